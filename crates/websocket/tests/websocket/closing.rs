//! How conversations end.

use ropewalk_protocol::Disconnect;
use ropewalk_websocket::{CloseCode, OpCode};

use crate::kit::{Server, Told, just_under, masked, secs, text};

#[test]
fn a_server_answers_a_close_and_hangs_up() {
    for (payload, code, reason) in [
        (&b""[..], CloseCode::NONE, ""),
        (b"\x03\xE8", CloseCode::NORMAL, ""),
        (b"\x0F\xA0tired", CloseCode::new(4000).expect("it is one's own"), "tired"),
    ] {
        let mut server = Server::plain();
        server.memory.push(&masked(true, OpCode::Close, payload));
        let sent = server.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].1, &payload[..payload.len().min(2)]);
        assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
        let closed = server.book.take_closed();
        assert_eq!((closed.code, closed.reason.as_str()), (code, reason));
        assert!(closed.is_clean);
    }
}

#[test]
fn a_close_is_waited_for() {
    let mut server = Server::plain();
    server.socket.send_text("last");
    server.socket.close(CloseCode::GOING_AWAY, "maintenance");
    server.socket.send_text("too late");
    assert!(!server.socket.is_open());
    let sent = server.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].0.opcode, OpCode::Close);
    assert_eq!(sent[1].1, b"\x03\xE9maintenance");
    assert_eq!(server.memory.ended(), None);
    // What was under way is still received.
    server.memory.push(&masked(true, OpCode::Text, b"crossing"));
    server.memory.push(&masked(true, OpCode::Close, b"\x03\xE9"));
    assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
    assert_eq!(server.sent(), []);
    let told = server.book.take();
    assert_eq!(told[0], text("crossing"));
    assert!(matches!(&told[1..], [Told::Closed(closed)] if closed.is_clean));
}

#[test]
fn a_peer_that_does_not_close_is_hung_up_on() {
    let mut server = Server::plain();
    server.socket.close(CloseCode::NORMAL, "");
    server.memory.run();
    server.memory.advance(just_under(5));
    assert_eq!(server.memory.ended(), None);
    server.memory.advance(secs(1));
    assert_eq!(server.memory.ended(), Some(Disconnect::TimedOut));
    let closed = server.book.take_closed();
    assert_eq!((closed.code, closed.is_clean), (CloseCode::ABNORMAL, false));
}

#[test]
fn closing_while_reading_is_paused_hears_the_peer() {
    let mut server = Server::plain();
    server.socket.pause_reading();
    server.socket.close(CloseCode::NORMAL, "");
    server.memory.push(&masked(true, OpCode::Close, b"\x03\xE8"));
    assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
    assert!(server.book.take_closed().is_clean);
}

#[test]
fn a_connection_that_just_ends_was_no_clean_close() {
    let mut server = Server::plain();
    server.memory.eof();
    let closed = server.book.take_closed();
    assert_eq!(closed.code, CloseCode::ABNORMAL);
    assert!(!closed.is_clean);
    assert_eq!(closed.disconnect, Disconnect::Closed);
    assert!(server.socket.is_over());
    server.socket.send_text("nobody hears this");
    server.socket.close(CloseCode::NORMAL, "");
}

#[test]
fn a_broken_rule_is_told_and_ends_it() {
    for (bytes, code) in [
        (b"\x81\x00".to_vec(), CloseCode::PROTOCOL_ERROR),
        (masked(true, OpCode::Text, b"\xFF"), CloseCode::INVALID_PAYLOAD),
        (b"\x82\xFF\x00\x00\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00".to_vec(), CloseCode::TOO_BIG),
        (masked(true, OpCode::Close, b"\x03"), CloseCode::PROTOCOL_ERROR),
    ] {
        let mut server = Server::plain();
        let text = masked(true, OpCode::Text, b"fine");
        server.memory.push(&[&text[..], &bytes, &text].concat());
        assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
        let sent = server.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0.opcode, OpCode::Close);
        assert_eq!(sent[0].1[..2], code.number().to_be_bytes());
        let told = server.book.take();
        assert_eq!(told[0], Told::Text("fine".to_owned()));
        assert!(matches!(&told[1..], [Told::Closed(closed)] if !closed.is_clean));
    }
}

#[test]
fn a_reason_is_cut_between_characters() {
    let mut server = Server::plain();
    server.socket.close(CloseCode::NORMAL, &"é".repeat(100));
    assert_eq!(server.sent()[0].1.len(), 2 + 122);
}

#[test]
fn codes_that_may_not_be_sent_are_none() {
    for number in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        assert_eq!(CloseCode::new(number), None, "{number}");
    }
    for number in [1000, 1003, 1007, 1014, 3000, 4999] {
        assert!(CloseCode::new(number).is_some(), "{number}");
    }
    let mut server = Server::plain();
    server.socket.close(CloseCode::ABNORMAL, "x");
    assert_eq!(server.sent()[0].1, b"");
}
