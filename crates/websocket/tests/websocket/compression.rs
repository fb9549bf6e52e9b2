//! Compressed messages.

use ropewalk_http::{Request, Site};
use ropewalk_trial::{Side, Wire};
use ropewalk_websocket::{
    self as websocket, CloseCode, Compression, FrameHead, Limits, OpCode, Opening, Options,
    WebSocketResource,
};

use crate::kit::{Book, Scribe, Server, frames, text};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";

/// A compressed frame as a client sends it, with a mask of zeros.
fn compressed(is_final: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let (mask, length) = (Some([0; 4]), payload.len() as u64);
    let is_compressed = opcode != OpCode::Continuation;
    let mut out = Vec::new();
    FrameHead { is_final, is_compressed, opcode, mask, length }.encode(&mut out);
    out.extend_from_slice(payload);
    out
}

fn kept() -> Options {
    Options::new().compression(Compression::default().with_context())
}

/// RFC 7692 7.2.3.
#[test]
fn the_examples_of_the_rfc_are_read() {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let mut server = Server::open(&kept(), &[OFFER]);
    server.memory.push(&compressed(true, OpCode::Text, hello));
    // The second refers to the first.
    server.memory.push(&compressed(true, OpCode::Text, b"\xf2\x00\x11\x00\x00"));
    // A block that is not compressed, one that says it is the last, and two blocks.
    let stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    server.memory.push(&compressed(true, OpCode::Text, stored));
    server.memory.push(&compressed(true, OpCode::Text, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"));
    let two = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    server.memory.push(&compressed(true, OpCode::Text, two));
    assert_eq!(server.book.take(), vec![text("Hello"); 5]);
    // In two fragments.
    let cut = [
        compressed(false, OpCode::Text, &hello[..3]),
        compressed(true, OpCode::Continuation, &hello[3..]),
    ];
    server.memory.push(&cut.concat());
    assert_eq!(server.book.take(), [text("Hello")]);
}

#[test]
fn both_ends_understand_one_another_however_the_bytes_are_cut() {
    let options = |keeps_context, window_bits| {
        let compression = Compression { keeps_context, window_bits, ..Compression::default() };
        Options::new().compression(Compression { shortest: 0, ..compression })
    };
    let texts: Vec<String> =
        (0..20).map(|i: u32| format!("{i} ").repeat(1 << (i / 2))).chain([String::new()]).collect();
    for (client_keeps, server_keeps, client_bits, server_bits) in [
        (false, false, 15, 15),
        (true, true, 15, 15),
        (true, false, 9, 15),
        (false, true, 15, 9),
        (true, true, 10, 11),
    ] {
        for chunk in [1, 5, 1000, usize::MAX] {
            let book = Book::default();
            let request = websocket::Request::new("ws://a").expect("it is one");
            let ours = options(client_keeps, client_bits);
            let (client, opened) = Opening::new(&request, &ours, Scribe::new(&book));
            let theirs = options(server_keeps, server_bits);
            let resource = WebSocketResource::new(|_: &Request| Scribe::echoing()).options(theirs);
            let mut wire = Wire::join(client, Site::new(resource).server()).in_chunks_of(chunk);
            wire.run();
            let socket = opened.now_or_never().expect("it is open").expect("it has not failed");
            assert!(socket.is_compressed());
            book.take();
            for text in &texts {
                socket.send_text(text);
            }
            wire.run();
            let told: Vec<_> = texts.iter().map(|t| text(t)).collect();
            assert_eq!(book.take(), told);
            let sent = wire.sent_by(Side::Client).len();
            assert!(sent < texts.iter().map(String::len).sum::<usize>() / 2, "{sent} bytes");
        }
    }
}

#[test]
fn a_kept_context_makes_what_was_said_before_cheap() {
    let say = "a sentence that is said again and again, and is as good as any other. ".repeat(4);
    let sizes = |options: &Options| {
        let mut server = Server::open(options, &[OFFER]);
        server.socket.send_text(&say);
        server.socket.send_text(&say);
        server.sent().iter().map(|(_, payload)| payload.len()).collect::<Vec<_>>()
    };
    let with = sizes(&kept());
    assert!(with[1] < with[0] / 2, "{with:?}");
    let without = sizes(&Options::new().compression(Compression::default()));
    assert_eq!(without[0], without[1]);
}

#[test]
fn short_messages_go_as_they_are() {
    let mut server = Server::open(&kept(), &[OFFER]);
    server.socket.send_text(&"x".repeat(255));
    server.socket.send_text(&"x".repeat(256));
    let heads: Vec<_> = server.sent().iter().map(|(head, _)| head.is_compressed).collect();
    assert_eq!(heads, [false, true]);
}

#[test]
fn a_message_is_as_long_as_the_limit_allows_once_it_is_expanded() {
    for (length, fits) in [(100_000, true), (100_001, false), (10_000_000, false)] {
        let limits = Limits { message_max: 100_000, ..Limits::default() };
        let mut sender = Server::open(&kept(), &[OFFER]);
        sender.socket.send_text(&"0".repeat(length));
        let bomb = sender.sent().remove(0).1;
        assert!(bomb.len() < 100_000);
        let mut server = Server::open(&kept().limits(limits), &[OFFER]);
        server.memory.push(&compressed(true, OpCode::Text, &bomb));
        if fits {
            assert_eq!(server.book.take().len(), 1);
        } else {
            let sent = frames(&server.memory.take_sent());
            assert_eq!(sent[0].1[..2], CloseCode::TOO_BIG.number().to_be_bytes());
        }
    }
}

#[test]
fn what_cannot_be_expanded_is_refused() {
    for payload in [&b"\xFF\xFF\xFF\xFF"[..], b"\x00\x05\x00\xfa\x00Hello", b"\x07"] {
        let mut server = Server::open(&kept(), &[OFFER]);
        server.memory.push(&compressed(true, OpCode::Text, payload));
        let sent = frames(&server.memory.take_sent());
        let code = sent.first().map(|(_, payload)| payload[..2].to_vec());
        let expected = CloseCode::INVALID_PAYLOAD.number().to_be_bytes().to_vec();
        assert_eq!(code, Some(expected), "{payload:?}");
    }
}

#[test]
fn nothing_is_compressed_where_that_was_not_agreed_on() {
    let mut server = Server::open(&Options::new(), &[OFFER]);
    server.socket.send_text(&"x".repeat(1000));
    assert!(!server.sent()[0].0.is_compressed);
    server.memory.push(&compressed(true, OpCode::Text, b"\xf2\x48\xcd\xc9\xc9\x07\x00"));
    let sent = frames(&server.memory.take_sent());
    assert_eq!(sent[0].1[..2], CloseCode::PROTOCOL_ERROR.number().to_be_bytes());
}
