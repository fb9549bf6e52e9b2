//! Records: how many there are, what is wrong with them, and where the stream ends.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_protocol::{Conn, Disconnect, Protocol, TlsAlert, TlsFault};
use ropewalk_tls::{Policy, Reason, TlsClient};
use ropewalk_trial::{Clock, Memory, Side, Wire};

use crate::common::{Authority, Talk, on, pair, reason, serving, wire};
use crate::raw::{Raw, client_config, server_config};

/// Calls this on its connection once it is made.
#[derive(Default)]
struct Does(Option<Act>);

type Act = Box<dyn FnOnce(&Conn<Does>)>;

impl Does {
    fn new(act: impl FnOnce(&Conn<Self>) + 'static) -> Self {
        Self(Some(Box::new(act)))
    }
}

impl Protocol for Does {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        if let Some(act) = self.0.take() {
            act(conn);
        }
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn eof_received(&mut self, _: &Conn<Self>) {}
}

/// The types and lengths of the records in these bytes.
fn records(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let [kind, 3, 3, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records.push((*kind, length));
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "whole records only");
    records
}

/// What a client's writes become, in records after those of the handshake.
fn written(act: impl FnOnce(&Conn<Does>) + 'static) -> (Vec<usize>, Vec<u8>) {
    let (client, server) = pair("localhost");
    let (answer, answered) = Talk::new();
    let client = (client.layer("localhost").unwrap(), Does::new(act));
    let mut wire = wire(client, (server.layer(), answer));
    wire.run();
    let sent = wire.sent_by(Side::Client);
    // The first flight's version is an older one.
    let hello = 5 + usize::from(u16::from_be_bytes([sent[3], sent[4]]));
    let data = records(&sent[hello..]).into_iter().filter(|(kind, _)| *kind == 23);
    // The client's last word in the handshake is encrypted as well.
    (data.skip(1).map(|(_, length)| length).collect(), answered.take().heard)
}

/// What encryption adds to a record: its type, and a tag.
const EXTRA: usize = 17;

#[test]
fn small_writes_of_one_callback_leave_in_one_record() {
    // 96 of the statements in `ropewalk_endpoint::twisted`.
    let (records, heard) = written(|conn| {
        for _ in 0..100 {
            conn.write(b"a word ");
        }
    });
    assert_eq!(records, [700 + EXTRA]);
    assert_eq!(heard, b"a word ".repeat(100));
}

#[test]
fn shared_bytes_and_small_ones_are_put_together() {
    // 96: a record has at most 16 KiB of plaintext.
    let (records, heard) = written(|conn| {
        conn.write(b"head");
        conn.write_bytes(Bytes::from(vec![b'x'; 5000]));
        conn.write_bytes(Bytes::from(vec![b'y'; 40_000]));
        conn.write(b"tail");
    });
    assert_eq!(records.iter().sum::<usize>(), 45_008 + EXTRA * records.len());
    assert!(records.len() <= 4, "{records:?}");
    assert_eq!(records[0], 16_384 + EXTRA);
    assert!(heard.starts_with(b"headx") && heard.ends_with(b"ytail") && heard.len() == 45_008);
}

#[test]
fn files_are_encrypted_on_their_way() {
    let path = std::env::temp_dir().join(format!("ropewalk-tls-file-{}", std::process::id()));
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n / 7) as u8).collect();
    File::create(&path).unwrap().write_all(&content).unwrap();
    let file = Arc::new(File::open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    let sent = Arc::clone(&file);
    let (_, heard) = written(move |conn| {
        conn.write(b"<");
        conn.write_file(sent, 5, 199_000);
        conn.write(b">");
    });
    assert!(heard == [&b"<"[..], &content[5..199_005], b">"].concat());

    // One that turns out shorter is a broken promise.
    let (client, server) = pair("localhost");
    let ask = Does::new(move |conn| conn.write_file(file, 0, 300_000));
    let (answer, answered) = Talk::new();
    let mut wire = wire((client.layer("localhost").unwrap(), ask), (server.layer(), answer));
    wire.run();
    assert_eq!(
        wire.ended(Side::Client),
        Some(Disconnect::Failed(std::io::ErrorKind::UnexpectedEof))
    );
    assert_eq!(answered.borrow().lost, Some(Disconnect::Reset));
}

#[test]
fn what_the_transport_does_not_take_stays_unencrypted_and_counts_as_waiting() {
    let (client, server) = pair("localhost");
    let clock = Clock::new();
    let (talk, made) =
        crate::common::on_told(&clock, client.layer("localhost").unwrap(), Does::default());
    let mut wire = Wire::of(&clock, talk, on(&clock, server.layer(), Talk::new().0));
    wire.run();
    let conn = made.now_or_never().unwrap().unwrap();
    conn.write(&vec![b'x'; 1_000_000]);
    assert_eq!(conn.waiting(), 1_000_000);
    assert!(conn.is_writing_paused());
    wire.run();
    assert_eq!(conn.waiting(), 0);
    assert!(!conn.is_writing_paused());
}

#[test]
fn a_stream_that_is_cut_short_is_lost() {
    // 97: an end without `close_notify` is a loss.
    let authority = Authority::new();
    let server = serving(&authority.server("localhost"), Policy::new());
    let (answer, answered) = Talk::echo();
    let clock = Clock::new();
    let client = Raw::client(client_config(&authority.der, None)).saying(b"half a").cutting();
    let client = Memory::seat(client, &clock);
    Wire::of(&clock, client, on(&clock, server.layer(), answer)).run();
    let story = answered.borrow();
    assert_eq!(story.heard, b"half a");
    assert_eq!(story.eofs, 0, "it is no end");
    assert_eq!(story.lost, Some(Disconnect::Tls(TlsFault::Truncated)));
    assert_eq!(reason(story.cause.as_ref().unwrap()), Reason::Truncated);
}

#[test]
fn whoever_ends_his_stream_without_a_word_still_has_what_was_said_to_him() {
    let (mut server, answered, last) = established();
    server.push(&last);
    assert_eq!(answered.borrow().heard, b"the first");
    server.take_sent();
    server.eof();
    assert_eq!(answered.borrow().lost, Some(Disconnect::Tls(TlsFault::Truncated)));
    assert_eq!(server.ended(), Some(Disconnect::Closed), "an end, and no reset");
    let sent = server.take_sent();
    assert_eq!(records(&sent).len(), 1, "and the word for it");
}

#[test]
fn one_direction_is_ended_in_tls() {
    // 97: `close_notify` comes behind all that was written.
    let (client, server) = pair("localhost");
    let ask = Does::new(|conn| {
        conn.write(b"all there is");
        conn.close_write();
    });
    let (answer, answered) = Talk::saying("and the answer");
    let mut wire = wire((client.layer("localhost").unwrap(), ask), (server.layer(), answer));
    wire.run();
    assert_eq!((answered.borrow().eofs, &answered.borrow().heard[..]), (1, &b"all there is"[..]));
    assert_eq!(answered.borrow().lost, Some(Disconnect::Closed));
}

/// A server that has heard a whole handshake, on its side of the wire.
fn established() -> (Memory, crate::common::Told, Vec<u8>) {
    let (client, server) = pair("localhost");
    let clock = Clock::new();
    let (ask, _) = Talk::saying("the first");
    let (answer, answered) = Talk::echo();
    let mut client = on(&clock, client.layer("localhost").unwrap(), ask);
    let mut server = on(&clock, server.layer(), answer);
    server.push(&client.take_sent());
    client.push(&server.take_sent());
    let last = client.take_sent();
    (server, answered, last)
}

#[test]
fn altered_records_end_the_connection() {
    let (_, _, last) = established();
    let count = records(&last).len();
    assert_eq!(count, 3, "a change of ciphers, the end of the handshake, the first data");
    // In its header and its content. Its type and the low half of its version say nothing any more.
    for place in [1, 3, 4, 5, 6, 15, 30] {
        let (mut server, story, mut bytes) = established();
        let at = bytes.len() - (9 + EXTRA + 5) + place % (9 + EXTRA + 5);
        bytes[at] ^= 1;
        server.push(&bytes);
        let story = story.borrow();
        assert!(story.heard.is_empty(), "{place}");
        if let Some(cause) = &story.cause {
            assert!(matches!(cause.reason(), Reason::Peer { .. }), "{place}: {cause}");
            assert!(cause.alert().is_some());
        } else {
            // The length says that more is to come.
            assert_eq!((story.lost, place % (9 + EXTRA + 5) < 5), (None, true), "{place}");
        }
    }
}

#[test]
fn records_that_nobody_may_send_are_told_apart() {
    let oversized = [&[23, 3, 3, 0x48, 0x01][..], &vec![0; 0x4801]].concat();
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n\r\n", "plaintext"),
        (&[22, 3, 1, 0, 4, 9, 0, 0, 0], "a message of no type"),
        (&[22, 3, 1, 0, 4, 2, 0, 0, 0], "a server's message"),
        (&[22, 3, 1, 0, 0], "an empty record"),
        (&[23, 3, 3, 0, 1, 0], "data ahead of the handshake"),
        (&[20, 3, 3, 0, 1, 1], "a change of ciphers ahead of it"),
        (&[22, 2, 0, 0, 4, 1, 0, 0, 0], "a version of the last century"),
        (&[22, 3, 1, 0, 8, 1, 0, 0, 4, 3, 3, 0, 0], "a message that is cut short"),
        (&oversized, "a record too long"),
        (&[0x80, 0x2e, 1, 3, 1, 0, 0x15], "SSL 2"),
    ];
    for (bytes, what) in cases {
        for size in [1, bytes.len()] {
            let (_, server) = pair("localhost");
            let (answer, answered) = Talk::echo();
            let mut memory = on(&Clock::new(), server.layer(), answer);
            memory.push_in_pieces(bytes, size);
            memory.advance(Duration::from_secs(1));
            let story = answered.borrow();
            let cause = story.cause.as_ref().unwrap_or_else(|| panic!("{what} is taken"));
            let Reason::Peer { alert, .. } = reason(cause) else { panic!("{what}: {cause}") };
            assert_eq!(story.lost, Some(Disconnect::Tls(TlsFault::Refused(alert))), "{what}");
            assert_eq!(memory.sent(), [21, 3, 3, 0, 2, 2, alert.0], "{what}: the peer is told");
        }
    }
}

#[test]
fn the_peers_alert_is_told() {
    let (client, _) = pair("localhost");
    let (ask, asked) = Talk::saying("hello");
    let mut memory = on(&Clock::new(), client.layer("localhost").unwrap(), ask);
    memory.push(&[21, 3, 3, 0, 2, 2, TlsAlert::HANDSHAKE_FAILURE.0]);
    let refused = TlsFault::RefusedByPeer(TlsAlert::HANDSHAKE_FAILURE);
    assert_eq!(asked.borrow().lost, Some(Disconnect::Tls(refused)));
}

#[test]
fn a_message_in_many_records_is_waited_for_while_others_are_sent() {
    // Tickets that come in crumbs: the client writes while it has only half of one.
    let authority = Authority::new();
    let wanted = crate::common::Wanted::named("localhost");
    let (chain, key) = authority.parts(&wanted, &rcgen::KeyPair::generate().unwrap());
    let mut config = server_config(chain, key);
    config.max_fragment_size = Some(40);
    let client = TlsClient::new(&authority.trust()).unwrap();
    let clock = Clock::new();
    let (ask, made) =
        crate::common::on_told(&clock, client.layer("localhost").unwrap(), Does::default());
    let mut ask = ask;
    let mut answer = Memory::seat(Raw::server(config).saying(&[b'x'; 100]), &clock);
    answer.push(&ask.take_sent());
    let flight = answer.take_sent();
    ask.push(&flight);
    answer.push(&ask.take_sent());
    let conn = made.now_or_never().unwrap().unwrap();
    let tickets = answer.take_sent();
    assert!(records(&tickets).len() > 5, "crumbs");
    for byte in &tickets {
        ask.push(std::slice::from_ref(byte));
        conn.write(b"meanwhile");
        answer.push(&ask.take_sent());
        assert_eq!((ask.ended(), answer.ended()), (None, None));
    }
    conn.close();
    ask.run();
    assert_eq!(ask.ended(), Some(Disconnect::Closed));
}
