//! Bytes to replies, cut anywhere; and servers that say anything.

use proptest::collection::vec;
use proptest::prelude::*;
use ropewalk_memcached::{BadReply, CallError, Decoder, Expiry, Limits, Reply};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::error_of;

use crate::{client, client_with};

/// Replies, and how it came to an end.
fn decode<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<Reply>, Option<BadReply>) {
    let (mut decoder, mut found) = (Decoder::new(20), Vec::new());
    for mut piece in pieces {
        loop {
            match decoder.feed(&mut piece) {
                Ok(Some(reply)) => found.push(reply),
                Ok(None) => break,
                Err(bad) => return (found, Some(bad)),
            }
        }
        assert!(piece.is_empty(), "all is taken where no reply is whole");
    }
    (found, None)
}

#[track_caller]
fn refused(bytes: &[u8]) -> Option<BadReply> {
    let whole = decode([bytes]);
    for size in 1..bytes.len() {
        assert_eq!(decode(bytes.chunks(size)), whole, "in pieces of {size}");
    }
    whole.1
}

#[test]
fn what_is_no_reply_is_refused() {
    for line in [
        "",
        "WHAT",
        "STORED ",
        "stored",
        "END x",
        "-1",
        "+1",
        "1 2",
        "1x",
        " 1",
        "18446744073709551616",
        "VALUE",
        "VALUE k",
        "VALUE k 0",
        "VALUE  0 1",
        "VALUE k -1 1",
        "VALUE k 0 -1",
        "VALUE k 0 1 x",
        "VALUE k 0 1 2 3",
        "VALUE k 4294967296 1",
        "VALUE k 0 1 ",
        "VALUE k\t 0 1",
    ] {
        assert_eq!(refused(format!("{line}\r\n").as_bytes()), Some(BadReply::Unknown), "{line:?}");
    }
    assert_eq!(refused(b"STORED\n"), Some(BadReply::Line));
    assert_eq!(refused(b"STORED\rX"), Some(BadReply::Line));
    assert_eq!(refused(b"VALUE k 0 2\r\nabc"), Some(BadReply::Unended));
    assert_eq!(refused(b"VALUE k 0 2\r\nab\rx"), Some(BadReply::Unended));
    assert_eq!(refused(b"VALUE k 0 2\r\nab\n"), Some(BadReply::Unended));
    let long = |length| Some(BadReply::LongValue { length });
    assert_eq!(refused(b"VALUE k 0 21\r\n"), long(21));
    assert_eq!(refused(b"VALUE k 0 18446744073709551615\r\n"), long(u64::MAX));
    assert_eq!(refused(b"VALUE k 0 20\r\n01234567890123456789\r\n18446744073709551615\r\n"), None);
}

#[test]
fn answers_that_do_not_fit_end_the_connection() {
    for (answer, why) in [
        (&b"STORED\r\n"[..], BadReply::OutOfPlace),
        (b"VALUE k 0 1 7\r\na\r\n", BadReply::OutOfPlace),
        (b"VALUE other 0 1\r\na\r\n", BadReply::OtherKey),
        (b"VALUE k 0 1\r\na\r\nVALUE k 0 1\r\na\r\n", BadReply::OtherKey),
    ] {
        let (mut memory, client) = client();
        let (one, two) = (client.get("k"), client.version());
        memory.push(answer);
        assert_eq!(error_of::<_, CallError>(one), CallError::BadReply(why));
        assert_eq!(
            error_of::<_, CallError>(two),
            CallError::BadReply(why),
            "nor can later ones be told"
        );
        assert_eq!(memory.ended(), Some(Disconnect::Aborted));
    }
    let (mut memory, client) = client();
    memory.push(b"VERSION 1\r\n");
    assert_eq!(error_of::<_, CallError>(client.version()), CallError::BadReply(BadReply::Unasked));
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(vec![
        &b"END\r\n"[..],
        b"STORED\r\n",
        b"NOT_FOUND\r\n",
        b"VALUE k 0 3\r\nabc\r\n",
        b"VALUE k 0 0 7\r\n\r\n",
        b"VALUE k 0 20\r\n",
        b"STAT a b\r\n",
        b"OK\r\n",
        b"17\r\n",
        b"VERSION 1\r\n",
        b"ERROR\r\n",
        b"SERVER_ERROR no\r\n",
        b"\r",
        b"\n",
    ]);
    let piece = prop_oneof![8 => known.prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..30)];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_cut_of_any_bytes_gives_the_same_replies(bytes in any_bytes(), size in 1..40_usize) {
        prop_assert_eq!(decode(bytes.chunks(size)), decode([&bytes[..]]));
    }

    #[test]
    fn every_call_ends_and_nothing_panics(bytes in any_bytes(), size in 1..40_usize) {
        let talk = |size: usize| {
            let limits = Limits { value_max: 20, stats_max: 2, ..Limits::default() };
            let (mut memory, client) = client_with(limits);
            let calls = [
                client.get("k").map(|found| format!("{found:?}")),
                client.set("k", "v").map(|()| "set".to_owned()),
                client.gats("k", Expiry::Never).map(|found| format!("{found:?}")),
                client.stats().map(|stats| format!("{stats:?}")),
                client.incr("k", 1).map(|number| format!("{number:?}")),
            ];
            memory.push_in_pieces(&bytes, size);
            memory.eof();
            assert!(memory.ended().is_some_and(|why| why != Disconnect::Panicked));
            calls.map(|call| call.now_or_never().expect("it is over").map_err(|why| why.to_string()))
        };
        prop_assert_eq!(talk(size), talk(bytes.len().max(1)));
    }
}
