//! The client's side of the dialogue.

use std::io;

use ropewalk_deferred::Deferred;
use ropewalk_forward::{Interrupted, PATIENCE};
use ropewalk_protocol::{Conn, Disconnect, Protocol, connect};
use ropewalk_socks::{
    BIND_PATIENCE, BadMessage, Bound, Login, Proxy, ProxyError, Refusal, Target, Version,
};

use crate::kit::{Gate, MOMENT};

/// Says whom it talks to, then says back what it hears.
pub(crate) struct Greeter;

impl Protocol for Greeter {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(format!("[{}]", conn.peer()).as_bytes());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

fn login() -> Login {
    Login::new("bob", "secret").expect("it is short")
}

fn target(host: &str) -> Target {
    Target::new(host, 80).expect("a target")
}

#[track_caller]
fn failed<T>(result: Deferred<T>) -> ProxyError {
    let Some(Err(failure)) = result.now_or_never() else { panic!("it has not failed") };
    *failure.check().expect("the proxy's error")
}

/// What the client says to each thing that the proxy says; the first is said to nobody.
#[track_caller]
fn dialogue(proxy: impl FnOnce(Gate) -> Proxy, host: &str, lines: &[(&[u8], &[u8])]) {
    let gate = Gate::default();
    let made = proxy(gate.clone()).connect(&target(host), Greeter);
    let mut there = gate.take();
    for (heard, said) in lines {
        there.push_in_pieces(heard, 1);
        assert_eq!(there.take_sent().escape_ascii().to_string(), said.escape_ascii().to_string());
    }
    assert!(made.now_or_never().is_some_and(|made| made.is_ok()));
}

#[test]
fn each_version_connects() {
    let request = b"\x05\x01\0\x03\x0bexample.org\0\x50";
    let granted = b"\x05\0\0\x01\x0a\0\0\x01\0\x50hello";
    let five: [(&[u8], &[u8]); 3] =
        [(b"", b"\x05\x01\0"), (b"\x05\0", request), (granted, b"[example.org:80]hello")];
    dialogue(Proxy::new, "example.org", &five);
    let with_login: [(&[u8], &[u8]); 4] = [
        (b"", b"\x05\x02\0\x02"),
        (b"\x05\x02", b"\x01\x03bob\x06secret"),
        (b"\x01\0", request),
        (granted, b"[example.org:80]hello"),
    ];
    dialogue(|gate| Proxy::new(gate).login(login()), "example.org", &with_login);
    let without: [(&[u8], &[u8]); 3] =
        [(b"", b"\x05\x02\0\x02"), (b"\x05\0", request), (granted, b"[example.org:80]hello")];
    dialogue(|gate| Proxy::new(gate).login(login()), "example.org", &without);
    let four: [(&[u8], &[u8]); 2] = [
        (b"", b"\x04\x01\0\x50\x5d\xb8\xd7\x0e\0"),
        (b"\0\x5a\0\0\0\0\0\0hello", b"[93.184.215.14:80]hello"),
    ];
    dialogue(|gate| Proxy::new(gate).version(Version::V4), "93.184.215.14", &four);
    let named: [(&[u8], &[u8]); 2] = [
        (b"", b"\x04\x01\0\x50\0\0\0\x01bob\0example.org\0"),
        (b"\0\x5a\0\0\0\0\0\0hello", b"[example.org:80]hello"),
    ];
    dialogue(|gate| Proxy::new(gate).version(Version::V4).login(login()), "example.org", &named);
}

/// What comes of these answers to a client with a password.
#[track_caller]
fn refused(heard: &[u8], expected: ProxyError, told: Disconnect) {
    let gate = Gate::default();
    let made = Proxy::new(gate.clone()).login(login()).connect(&target("example.org"), Greeter);
    let mut there = gate.take();
    there.push(heard);
    assert_eq!(there.ended(), Some(told));
    assert_eq!(failed(made), expected);
    assert_eq!(expected.disconnect(), told);
}

#[test]
fn refusals_are_typed() {
    let denied = Disconnect::Failed(io::ErrorKind::PermissionDenied);
    let invalid = Disconnect::Failed(io::ErrorKind::InvalidData);
    refused(b"\x05\xff", ProxyError::NoMethod, denied);
    refused(b"\x05\x01", ProxyError::WrongMethod { method: 1 }, invalid);
    refused(b"\x05\x02\x01\x01", ProxyError::LoginRefused, denied);
    let http = BadMessage::Version { version: b'H' };
    refused(b"HTTP/1.1 400", ProxyError::BadReply(http), invalid);
    let login = BadMessage::LoginVersion { version: 5 };
    refused(b"\x05\x02\x05", ProxyError::BadReply(login), invalid);
    let codes = [
        (1, Refusal::Failed, Disconnect::Failed(io::ErrorKind::Other)),
        (2, Refusal::NotAllowed, denied),
        (3, Refusal::NetworkUnreachable, Disconnect::NetworkUnreachable),
        (4, Refusal::HostUnreachable, Disconnect::Unreachable),
        (5, Refusal::ConnectionRefused, Disconnect::Refused),
        (6, Refusal::TooLate, Disconnect::TimedOut),
        (7, Refusal::Command, Disconnect::Failed(io::ErrorKind::Unsupported)),
        (9, Refusal::Other(9), Disconnect::Failed(io::ErrorKind::Other)),
    ];
    for (code, refusal, told) in codes {
        let heard = [b"\x05\0\x05", &[code][..], b"\0\x01\0\0\0\0\0\0"].concat();
        refused(&heard, ProxyError::Refused(refusal), told);
    }
}

#[test]
fn a_proxy_that_wants_a_password_is_not_told_one_that_was_not_given() {
    let gate = Gate::default();
    let made = Proxy::new(gate.clone()).connect(&target("example.org"), Greeter);
    let mut there = gate.take();
    there.push(b"\x05\x02");
    assert_eq!(there.take_sent(), b"\x05\x01\0");
    assert_eq!(failed(made), ProxyError::WrongMethod { method: 2 });
}

#[test]
fn version_4_has_no_ipv6() {
    let gate = Gate::default();
    let made = Proxy::new(gate.clone()).version(Version::V4).connect(&target("::1"), Greeter);
    assert_eq!(gate.take().take_sent(), b"");
    assert_eq!(failed(made), ProxyError::BadRequest(BadMessage::AddressFamily));
}

#[test]
fn a_proxy_has_a_time_and_may_not_just_leave() {
    let gate = Gate::default();
    let made = Proxy::new(gate.clone()).connect(&target("example.org"), Greeter);
    let mut there = gate.take();
    there.push(b"\x05\0");
    there.advance(PATIENCE.saturating_sub(MOMENT));
    assert_eq!(there.ended(), None);
    there.advance(MOMENT);
    assert_eq!(failed(made), ProxyError::Interrupted(Interrupted::TimedOut));

    let hasty = Proxy::new(gate.clone()).patience(MOMENT);
    let made = hasty.connect(&target("example.org"), Greeter);
    gate.take().advance(MOMENT);
    assert_eq!(failed(made), ProxyError::Interrupted(Interrupted::TimedOut));

    let made = Proxy::new(gate.clone()).connect(&target("example.org"), Greeter);
    gate.take().eof();
    assert_eq!(failed(made), ProxyError::Interrupted(Interrupted::Ended));
}

#[test]
fn a_target_behind_a_proxy_is_a_place_to_connect_to() {
    let gate = Gate::default();
    let place = Proxy::new(gate.clone()).to(target("example.org"));
    let made = connect(&place, Greeter);
    let mut there = gate.take();
    there.push(b"\x05\0\x05\0\0\x01\0\0\0\0\0\0");
    assert!(there.take_sent().ends_with(b"[example.org:80]"));
    assert!(made.now_or_never().is_some_and(|made| made.is_ok()));

    // And so is a target behind a proxy behind a proxy.
    let second = Proxy::new(place).to(target("further.example.org"));
    let made = connect(&second, Greeter);
    let mut there = gate.take();
    there.push(b"\x05\0\x05\0\0\x01\0\0\0\0\0\0");
    there.push(b"\x05\0\x05\x05\0\x01\0\0\0\0\0\0");
    let failure = made.now_or_never().expect("an answer").expect_err("no connection");
    assert_eq!(failure.check(), Some(&Disconnect::Refused));
}

const LISTENS: &[u8] = b"\x05\0\x05\0\0\x01\x0a\0\0\x01\x15\xb3";

fn bind(gate: &Gate) -> Deferred<Bound<Greeter>> {
    Proxy::new(gate.clone()).bind(&target("93.184.215.14"), Greeter)
}

#[test]
fn a_client_that_is_to_be_connected_to_learns_where_and_then_by_whom() {
    for pieces in [1, 100] {
        let gate = Gate::default();
        let bound = bind(&gate);
        let mut there = gate.take();
        there.push_in_pieces(LISTENS, pieces);
        let bound = bound.now_or_never().expect("an answer").expect("a place");
        assert_eq!(bound.address.to_string(), "10.0.0.1:5555");
        assert_eq!(there.take_sent(), b"\x05\x01\0\x05\x02\0\x01\x5d\xb8\xd7\x0e\0\x50");
        there.push_in_pieces(b"\x05\0\0\x01\x5d\xb8\xd7\x0e\0\x14hello", pieces);
        assert_eq!(there.take_sent(), b"[93.184.215.14:20]hello");
        assert!(bound.connected.now_or_never().is_some_and(|made| made.is_ok()));
    }
}

#[test]
fn a_place_to_be_connected_to_fails_where_it_stands() {
    let gate = Gate::default();
    let bound = bind(&gate);
    gate.take().push(b"\x05\0\x05\x02\0\x01\0\0\0\0\0\0");
    assert_eq!(failed(bound), ProxyError::Refused(Refusal::NotAllowed));

    let bound = bind(&gate);
    let mut there = gate.take();
    there.push(LISTENS);
    let bound = bound.now_or_never().expect("an answer").expect("a place");
    there.push(b"\x05\x06\0\x01\0\0\0\0\0\0");
    assert_eq!(failed(bound.connected), ProxyError::Refused(Refusal::TooLate));

    let bound = bind(&gate);
    let mut there = gate.take();
    there.advance((PATIENCE + BIND_PATIENCE).saturating_sub(MOMENT));
    assert_eq!(there.ended(), None);
    there.advance(MOMENT);
    assert_eq!(failed(bound), ProxyError::Interrupted(Interrupted::TimedOut));
}

#[test]
fn a_place_that_nobody_wants_any_more_is_given_up() {
    let gate = Gate::default();
    let waiting = bind(&gate);
    let mut there = gate.take();
    waiting.cancel();
    there.run();
    assert_eq!(there.ended(), Some(Disconnect::Aborted));
    waiting.on_result(drop);

    let bound = bind(&gate);
    let mut there = gate.take();
    there.push(LISTENS);
    let bound = bound.now_or_never().expect("an answer").expect("a place");
    bound.connected.cancel();
    there.run();
    assert_eq!(there.ended(), Some(Disconnect::Aborted));
    bound.connected.on_result(drop);
}
