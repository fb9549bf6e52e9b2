//! Bytes to the messages of SOCKS and back.

use std::fmt::Debug;

use ropewalk_socks::{
    BadMessage, Choice5, Datagram, Decoder, Login, LoginReply5, Message, Opening, Reply4, Reply5,
    Request5,
};

use crate::cut::cuts;

/// Nothing panics, any cut gives the same message, and what is read can be written.
pub(crate) fn check(bytes: &[u8]) {
    check_message(bytes, |opening: &Opening, out| match opening {
        Opening::V4(request) => request.encode(out).expect("it was read"),
        Opening::V5(greeting) => greeting.encode(out),
    });
    check_message(bytes, Choice5::encode);
    check_message(bytes, Login::encode);
    check_message(bytes, LoginReply5::encode);
    check_message(bytes, Request5::encode);
    check_message(bytes, Reply4::encode);
    check_message(bytes, Reply5::encode);
    if let Ok(datagram) = Datagram::read(bytes) {
        let mut again = Vec::new();
        datagram.encode(&mut again);
        assert_eq!(Datagram::read(&again), Ok(datagram));
    }
}

fn check_message<M: Message + PartialEq + Debug>(bytes: &[u8], encode: impl Fn(&M, &mut Vec<u8>)) {
    let whole = read::<M>([bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(read(pieces), whole);
    }
    let Ok(Some((message, _))) = whole else { return };
    let mut again = Vec::new();
    encode(&message, &mut again);
    let (read, rest) = read([&again[..]]).expect("a message").expect("all of it");
    assert_eq!((read, rest), (message, Vec::new()));
}

/// The message and what stands behind it.
fn read<'p, M: Message>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Option<(M, Vec<u8>)>, BadMessage> {
    let mut decoder = Decoder::default();
    let mut found: Option<(M, Vec<u8>)> = None;
    for mut piece in pieces {
        if let Some((_, rest)) = &mut found {
            rest.extend_from_slice(piece);
        } else if let Some(message) = decoder.feed(&mut piece)? {
            found = Some((message, piece.to_vec()));
        } else {
            assert!(piece.is_empty(), "all is taken where no message is finished");
        }
    }
    Ok(found)
}
