//! Connections that another protocol takes over.

use http::{StatusCode, header};
use ropewalk_deferred::Deferred;
use ropewalk_http::{Body, IntoReply, Reply, Request, Response};
use ropewalk_protocol::{Conn, Disconnect, Protocol};
use ropewalk_trial::{Clock, Memory};

use crate::client::{Client, Held, get, head, post, site};

/// Says everything twice.
struct Twice;

impl Protocol for Twice {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        for byte in data {
            conn.write(&[*byte, *byte]);
        }
    }
}

fn switch(status: StatusCode) -> Response {
    let head = http::Response::builder().status(status);
    let head = head.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "twice");
    head.body(Body::switch_to(Twice)).expect("these are a response's fields")
}

fn switching(_: Request) -> Response {
    switch(StatusCode::SWITCHING_PROTOCOLS)
}

const HEAD: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: twice\r\n\r\n";

fn upgrade() -> Vec<u8> {
    head("GET / HTTP/1.1", &["Connection: upgrade", "Upgrade: twice"])
}

#[test]
fn what_follows_the_request_is_for_the_next_protocol_however_it_is_cut() {
    let bytes = [upgrade(), b"GET / HTTP/1.1\r\n".to_vec()].concat();
    let doubled = "GGEETT  //  HHTTTTPP//11..11\r\r\n\n";
    for size in 1..=bytes.len() {
        let mut memory = Memory::seat(site(switching).server(), &Clock::new());
        assert_eq!(memory.push_in_pieces(&bytes, size), bytes.len());
        let sent = String::from_utf8(memory.take_sent()).expect("it is ASCII");
        assert_eq!(sent, format!("{HEAD}{doubled}"), "in pieces of {size}");
    }
}

#[test]
fn a_switch_that_takes_its_time_loses_nothing() {
    let held: Held<Response> = Held::new();
    let asked = held.clone();
    let mut memory = Memory::seat(site(move |_: Request| asked.wait()).server(), &Clock::new());
    memory.push(&[upgrade(), b"abc".to_vec()].concat());
    assert_eq!(memory.take_sent(), b"");
    held.release(switch(StatusCode::SWITCHING_PROTOCOLS));
    assert_eq!(String::from_utf8_lossy(&memory.take_sent()), format!("{HEAD}aabbcc"));
    memory.push(b"d");
    assert_eq!(memory.take_sent(), b"dd");
}

#[test]
fn requests_before_it_are_answered_first() {
    let mut memory = Memory::seat(
        site(|request: Request| match request.uri().path() {
            "/" => Reply::Later(Deferred::succeed(switching(request))),
            _ => "first".into_reply(),
        })
        .server(),
        &Clock::new(),
    );
    memory.push(&[get("/first"), upgrade(), b"x".to_vec()].concat());
    let sent = String::from_utf8(memory.take_sent()).expect("it is ASCII");
    assert!(sent.ends_with(&format!("first{HEAD}xx")), "{sent}");
}

#[test]
fn connect_switches_with_success() {
    let mut memory =
        Memory::seat(site(|_: Request| switch(StatusCode::OK)).server(), &Clock::new());
    memory.push(b"CONNECT a.example:22 HTTP/1.1\r\nHost: a.example:22\r\n\r\nssh");
    let sent = String::from_utf8(memory.take_sent()).expect("it is ASCII");
    assert!(sent.starts_with("HTTP/1.1 200 OK\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\nsssshh"), "{sent}");
    assert_eq!(memory.ended(), None);
}

#[test]
fn a_switch_where_there_can_be_none_is_a_failure() {
    let answers = |status: StatusCode, bytes: &[u8]| {
        let mut client = Client::new(move |_: Request| switch(status));
        client.send(bytes);
        client.answer().status
    };
    assert_eq!(answers(StatusCode::OK, &upgrade()), 500);
    assert_eq!(answers(StatusCode::CONTINUE, &upgrade()), 500);
    assert_eq!(answers(StatusCode::SWITCHING_PROTOCOLS, b"GET / HTTP/1.0\r\n\r\n"), 500);
    let connect = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    assert_eq!(answers(StatusCode::SWITCHING_PROTOCOLS, connect), 500);
    assert_eq!(answers(StatusCode::SWITCHING_PROTOCOLS, &post("/", b"abc")[..50]), 500);
}

#[test]
fn a_switch_is_asked_for_and_named() {
    let answers = |fields: &'static [(&'static str, &'static str)], bytes: &[u8]| {
        let mut client = Client::new(move |_: Request| {
            let head = http::Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let head = fields.iter().fold(head, |head, (name, value)| head.header(*name, *value));
            head.body(Body::switch_to(Twice)).expect("these are a response's fields")
        });
        client.send(bytes);
        client.memory.take_sent()[9..12].to_vec()
    };
    let whole = &[("connection", "x, Upgrade"), ("upgrade", "twice")];
    assert_eq!(answers(whole, &upgrade()), b"101");
    assert_eq!(answers(whole, &get("/")), b"500");
    assert_eq!(answers(whole, &head("GET / HTTP/1.1", &["Upgrade: twice"])), b"500");
    assert_eq!(answers(&[("connection", "upgrade")], &upgrade()), b"500");
    assert_eq!(answers(&[("upgrade", "twice")], &upgrade()), b"500");
}

#[test]
fn a_connection_that_was_handed_over_counts_until_it_ends() {
    let site = site(switching);
    let mut memory = Memory::seat(site.server(), &Clock::new());
    assert_eq!(site.connections(), 1);
    memory.push(&upgrade());
    assert_eq!(site.connections(), 1);
    memory.take_sent();
    memory.eof();
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
    assert_eq!(site.connections(), 0);
}
