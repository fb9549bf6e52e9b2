//! Silent peers, greedy peers, slow peers.

use std::time::Duration;

use ropewalk_http::{Request, Site};
use ropewalk_protocol::{Disconnect, Marks, seat};
use ropewalk_trial::{Clock, Hostile};
use ropewalk_websocket::{Compression, OpCode, Options, Patience, WebSocketResource};

use crate::kit::{Scribe, Server, Told, just_under, masked, opening, secs, text};

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let mut server = Server::plain();
    server.memory.advance(just_under(30));
    assert_eq!(server.sent(), []);
    server.memory.advance(Duration::from_nanos(1));
    assert_eq!(server.sent()[0].0.opcode, OpCode::Ping);
    server.memory.advance(just_under(20));
    assert_eq!(server.memory.ended(), None);
    server.memory.advance(Duration::from_nanos(1));
    assert_eq!(server.memory.ended(), Some(Disconnect::TimedOut));
}

#[test]
fn a_peer_that_answers_is_asked_again() {
    let mut server = Server::plain();
    for _ in 0..10 {
        server.memory.advance(secs(49));
        assert_eq!(server.sent()[0].0.opcode, OpCode::Ping);
        server.memory.push(&masked(true, OpCode::Pong, b""));
        assert_eq!(server.book.take(), [Told::Pong(vec![])]);
    }
    assert_eq!(server.memory.ended(), None);
}

#[test]
fn a_peer_that_speaks_is_not_asked() {
    let mut server = Server::plain();
    for _ in 0..10 {
        server.memory.advance(secs(29));
        server.memory.push(&masked(true, OpCode::Text, b"x"));
    }
    assert_eq!(server.sent(), []);
    assert_eq!(server.memory.ended(), None);
}

#[test]
fn a_patience_without_pings_never_asks() {
    let patience = Patience::default().with_pings(Duration::ZERO, secs(1));
    let mut server = Server::open(&Options::new().patience(patience), &[]);
    server.memory.advance(secs(100_000));
    assert_eq!(server.sent(), []);
    assert_eq!(server.memory.ended(), None);
}

#[test]
fn whoever_is_not_read_is_not_given_up() {
    let mut server = Server::plain();
    server.socket.pause_reading();
    server.memory.advance(secs(1000));
    assert_eq!(server.memory.ended(), None);
    server.socket.resume_reading();
    server.memory.push(&masked(true, OpCode::Text, b"still here"));
    assert_eq!(server.book.take(), [text("still here")]);
}

#[test]
fn pings_are_answered_with_what_they_hold() {
    let mut server = Server::plain();
    server.memory.push(&masked(true, OpCode::Ping, b"42"));
    let sent = server.sent();
    assert_eq!((sent[0].0.opcode, &sent[0].1[..]), (OpCode::Pong, &b"42"[..]));
}

#[test]
fn pings_of_a_peer_that_does_not_read_pile_nothing_up() {
    let mut server = Server::plain();
    server.socket.set_marks(Marks::default().between(100, 1000));
    server.memory.set_room(0);
    for _ in 0..10_000 {
        server.memory.push(&masked(true, OpCode::Ping, &[7; 125]));
    }
    assert!(server.socket.waiting() < 2000, "{} bytes wait", server.socket.waiting());
    server.memory.set_room(u64::MAX);
    server.sent();
    server.memory.push(&masked(true, OpCode::Ping, b"now"));
    assert_eq!(server.sent().last().map(|(_, payload)| payload.clone()), Some(b"now".to_vec()));
}

#[test]
fn no_message_comes_while_reading_is_paused() {
    let mut server = Server::plain();
    server.socket.pause_reading();
    assert_eq!(server.memory.push(&masked(true, OpCode::Text, b"1")), 0);
    let socket = server.socket.clone();
    server.socket.call_later(secs(1), move |_, _| socket.resume_reading());
    server.memory.advance(secs(1));
    let two = [masked(true, OpCode::Text, b"1"), masked(true, OpCode::Text, b"2")].concat();
    server.memory.push(&two);
    assert_eq!(server.book.take(), [text("1"), text("2")]);
}

/// The head of a masked text of so many bytes, and the first of them.
fn beginning(length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    vec![0x81, 0x80 | 0x7e, high, low, 0, 0, 0, 0, b'x']
}

#[test]
fn a_frame_that_has_begun_has_to_be_whole_in_time() {
    for ping in [secs(30), Duration::ZERO, secs(1000)] {
        let patience = Patience::default().with_pings(ping, secs(20));
        let mut server = Server::open(&Options::new().patience(patience), &[]);
        server.memory.push(&beginning(2048));
        // 60 seconds, and one for each of two KiB.
        for _ in 0..31 {
            server.memory.advance(just_under(2));
            server.memory.push(b"x");
        }
        assert!(server.memory.ended().is_none() && server.socket.is_open());
        server.memory.advance(secs(1));
        assert!(!server.socket.is_open(), "{ping:?}");
        let closes = server.sent();
        let (head, payload) = closes.last().expect("a close");
        assert_eq!((head.opcode, &payload[..2]), (OpCode::Close, &1008_u16.to_be_bytes()[..]));
        server.memory.advance(secs(5));
        assert_eq!(server.memory.ended(), Some(Disconnect::TimedOut));
    }
}

#[test]
fn frames_one_after_another_have_their_own_time() {
    let mut server = Server::plain();
    for _ in 0..10 {
        // The end of one and the beginning of the next come together.
        server.memory.push(&beginning(200));
        server.memory.advance(secs(25));
        server.memory.push(&[b'x'; 100]);
        server.memory.advance(secs(25));
        server.memory.push(&[b'x'; 99]);
        assert_eq!(server.book.take(), [text(&"x".repeat(200))]);
    }
    assert!(server.socket.is_open());
    // The first part of a message is not a frame that is not whole.
    server.memory.push(&masked(false, OpCode::Text, b"a"));
    for _ in 0..10 {
        server.memory.advance(secs(29));
        server.memory.push(&masked(true, OpCode::Pong, b""));
    }
    assert!(server.socket.is_open());
}

/// A client that has opened a WebSocket and goes on as it should not.
#[test]
fn no_client_wears_a_conversation_out() {
    for options in [Options::new(), Options::new().compression(Compression::default())] {
        let server = move |_: &Clock| {
            let resource = WebSocketResource::new(|_: &Request| Scribe::echoing());
            seat(Site::new(resource.options(options.clone())).server())
        };
        let mut request = opening(&["Sec-WebSocket-Extensions: permessage-deflate"]);
        request.extend(masked(true, OpCode::Text, b"hello"));
        Hostile::against(server).request(&request).patience(secs(300)).kept(20 << 20).assert();
    }
}
