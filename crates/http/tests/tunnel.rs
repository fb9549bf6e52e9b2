//! Connections through an HTTP proxy, in memory.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use ropewalk_deferred::Deferred;
use ropewalk_forward::{Interrupted, PATIENCE};
use ropewalk_http::StatusCode;
use ropewalk_http::tunnel::{
    ANSWER_MAX, BadTarget, FIELDS_MAX, HOST_MAX, INTERIM_MAX, Proxy, Target, TunnelError,
};
use ropewalk_protocol::{ClientEndpoint, Conn, Disconnect, Protocol, Seat, connect};
use ropewalk_trial::{Clock, Memory};

const MOMENT: Duration = Duration::from_millis(1);

/// Says whom it talks to, then says back what it hears.
struct Greeter;

impl Protocol for Greeter {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(format!("[{}]", conn.peer()).as_bytes());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// A place to connect to, whose other side is the test.
#[derive(Clone, Default)]
struct Gate(Rc<RefCell<Vec<Memory>>>);

impl Gate {
    #[track_caller]
    fn take(&self) -> Memory {
        self.0.borrow_mut().pop().expect("a connection was made")
    }
}

impl ClientEndpoint for Gate {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.0.borrow_mut().push(Memory::take_seat(seat, &Clock::new()));
    }
}

fn target(host: &str) -> Target {
    Target::new(host, 443).expect("a target")
}

fn start(gate: &Gate) -> Deferred<Conn<Greeter>> {
    Proxy::new(gate.clone()).connect(&target("example.org"), Greeter)
}

#[track_caller]
fn failed(made: Deferred<Conn<Greeter>>) -> TunnelError {
    let failure = made.now_or_never().expect("an answer").expect_err("no connection");
    *failure.check().expect("the proxy's error")
}

/// What comes of an answer.
#[track_caller]
fn refused(answer: &[u8], expected: TunnelError, told: Disconnect) {
    for size in [1, 7, answer.len()] {
        let gate = Gate::default();
        let made = start(&gate);
        let mut there = gate.take();
        there.push_in_pieces(answer, size);
        assert_eq!(failed(made), expected);
        assert_eq!(there.ended(), Some(told));
    }
}

#[test]
fn a_proxy_is_asked_and_then_out_of_the_way() {
    let asked = "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n";
    let answers = [
        &b"HTTP/1.1 200 OK\r\n\r\nhello"[..],
        b"HTTP/1.0 200 Connection established\r\nX: y\r\n\r\nhello",
        b"HTTP/1.1 299 \r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
    ];
    for answer in answers {
        for size in 1..=answer.len() {
            let gate = Gate::default();
            let made = start(&gate);
            let mut there = gate.take();
            assert_eq!(there.take_sent(), asked.as_bytes());
            there.push_in_pieces(answer, size);
            assert_eq!(there.take_sent(), b"[example.org:443]hello", "pieces of {size}");
            assert!(made.now_or_never().is_some_and(|made| made.is_ok()));
        }
    }
}

#[test]
fn addresses_and_passwords_are_said_as_they_have_to_be() {
    let gate = Gate::default();
    let proxy = Proxy::new(gate.clone()).login("Aladdin", "open sesame");
    proxy.connect(&target("2001:db8::1"), Greeter).on_result(drop);
    let asked = "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\
        Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    assert_eq!(gate.take().take_sent(), asked.as_bytes());
    assert_eq!(target("192.0.2.1").to_string(), "192.0.2.1:443");
}

#[test]
fn hosts_that_are_none_are_not_asked_for() {
    for host in ["", "a b", "a\r\nX: y", "a:80", "[::1]", "a/b", "ä", "a@b"] {
        assert_eq!(Target::new(host, 80), Err(BadTarget), "{host:?}");
    }
    assert!(Target::new(&"x".repeat(HOST_MAX), 80).is_ok());
    assert_eq!(Target::new(&"x".repeat(HOST_MAX + 1), 80), Err(BadTarget));
}

#[test]
fn refusals_are_typed() {
    let denied = Disconnect::Failed(io::ErrorKind::PermissionDenied);
    let invalid = Disconnect::Failed(io::ErrorKind::InvalidData);
    let statuses = [
        (StatusCode::FORBIDDEN, denied),
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, denied),
        (StatusCode::FOUND, denied),
        (StatusCode::BAD_GATEWAY, Disconnect::Unreachable),
        (StatusCode::SERVICE_UNAVAILABLE, Disconnect::Unreachable),
        (StatusCode::GATEWAY_TIMEOUT, Disconnect::TimedOut),
    ];
    for (status, told) in statuses {
        let answer = format!("HTTP/1.1 {} No\r\nContent-Length: 2\r\n\r\nno", status.as_u16());
        refused(answer.as_bytes(), TunnelError::Refused(status), told);
    }
    for answer in [&b"SSH-2.0-x\r\n"[..], b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 20x OK\r\n\r\n"] {
        refused(answer, TunnelError::BadAnswer, invalid);
    }
}

#[test]
fn answers_have_bounds() {
    let gate = Gate::default();
    let answer = |length: usize| {
        let front = "HTTP/1.1 200 OK\r\nX: ";
        format!("{front}{}\r\n\r\n", "x".repeat(length - front.len() - 4))
    };
    let made = start(&gate);
    gate.take().push_in_pieces(answer(ANSWER_MAX).as_bytes(), 1000);
    assert!(made.now_or_never().is_some_and(|made| made.is_ok()));
    let invalid = Disconnect::Failed(io::ErrorKind::InvalidData);
    refused(answer(ANSWER_MAX + 1).as_bytes(), TunnelError::LongAnswer, invalid);

    let fields = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
    let made = start(&gate);
    gate.take().push(fields(FIELDS_MAX).as_bytes());
    assert!(made.now_or_never().is_some_and(|made| made.is_ok()));
    refused(fields(FIELDS_MAX + 1).as_bytes(), TunnelError::LongAnswer, invalid);

    let interim =
        |count| format!("{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 100 \r\n\r\n".repeat(count));
    let made = start(&gate);
    gate.take().push(interim(INTERIM_MAX).as_bytes());
    assert!(made.now_or_never().is_some_and(|made| made.is_ok()));
    refused(interim(INTERIM_MAX + 1).as_bytes(), TunnelError::Interim, invalid);
}

#[test]
fn a_proxy_has_a_time_and_may_not_just_leave() {
    let gate = Gate::default();
    let made = start(&gate);
    let mut there = gate.take();
    there.push(b"HTTP/1.1 200 OK\r\n");
    there.advance(PATIENCE.saturating_sub(MOMENT));
    assert_eq!(there.ended(), None);
    there.advance(MOMENT);
    assert_eq!(failed(made), TunnelError::Interrupted(Interrupted::TimedOut));

    let made = Proxy::new(gate.clone()).patience(MOMENT).connect(&target("example.org"), Greeter);
    gate.take().advance(MOMENT);
    assert_eq!(failed(made), TunnelError::Interrupted(Interrupted::TimedOut));

    let made = start(&gate);
    gate.take().eof();
    assert_eq!(failed(made), TunnelError::Interrupted(Interrupted::Ended));
}

#[test]
fn a_target_behind_a_proxy_is_a_place_to_connect_to() {
    let gate = Gate::default();
    let made = connect(&Proxy::new(gate.clone()).to(target("example.org")), Greeter);
    let mut there = gate.take();
    there.push(b"HTTP/1.1 502 No\r\n\r\n");
    let failure = made.now_or_never().expect("an answer").expect_err("no connection");
    assert_eq!(failure.check(), Some(&Disconnect::Unreachable));
}

proptest! {
    #[test]
    fn whatever_a_proxy_says_the_client_ends_or_talks(
        front in prop::sample::select(vec!["HTTP/1.1 200 OK\r\n", "HTTP/1.1 1", "HTTP/", ""]),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        size in 1_usize..30,
    ) {
        let answer = [front.as_bytes(), &bytes].concat();
        let outcome = |size| {
            let gate = Gate::default();
            let made = start(&gate);
            let mut there = gate.take();
            there.push_in_pieces(&answer, size);
            there.advance(PATIENCE);
            let made = made.now_or_never().expect("it has an end");
            made.map(|_| there.take_sent()).map_err(|failure| failure.check::<TunnelError>().copied())
        };
        prop_assert_eq!(outcome(size).ok(), outcome(usize::MAX).ok());
    }
}
