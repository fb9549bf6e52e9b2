//! Connections that are encrypted while they are at work.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_amp::{Amp, CallError, Peer, RemoteError, Responders};
use ropewalk_deferred::{Cancelled, Failure, Promise, deferred};
use ropewalk_protocol::{CannotPass, Disconnect, TlsInfo};
use ropewalk_tls::{
    Identities, Identity, Policy, Reason, Tls, TlsClient, TlsError, TlsServer, Trust,
};
use ropewalk_trial::{Clock, Memory, Side, Wire};

use crate::common::{
    Desk, Note, Sum, Total, Wait, boxes, error, fields, only_box, value, wire_box,
};

/// Both sides of TLS, who know each other.
struct Pair {
    server: TlsServer,
    client: TlsClient,
}

impl Pair {
    fn new() -> Self {
        let identity = Identity::self_signed(["localhost"]).expect("an identity");
        let identities = Identities::new(Policy::new()).expect("a policy");
        identities.add(&identity).expect("it is taken");
        let client = TlsClient::new(&Trust::pinned([identity.pin()])).expect("a client");
        Self { server: TlsServer::new(&identities), client }
    }

    fn client(&self) -> Tls {
        self.client.layer("localhost").expect("a name")
    }

    /// Responds as a desk does, and to `StartTLS` with the server's layer.
    fn responders(&self, desk: &Desk) -> Responders {
        let server = self.server.clone();
        desk.responders().on_start_tls(move |_| Ok::<_, Failure>(server.layer()))
    }
}

const START_TLS: [(&str, &str); 2] = [("_ask", "1"), ("_command", "StartTLS")];

/// A client whose server is the test, with TLS asked for.
fn asking(pair: &Pair) -> (Memory, Peer, ropewalk_deferred::Deferred<TlsInfo>) {
    let client = Amp::new(Responders::new().on(|sum: Sum| Total { total: sum.a + sum.b }));
    let peer = client.peer();
    let mut memory = Memory::seat(client, &Clock::new());
    let agreed = peer.start_tls(pair.client());
    assert_eq!(memory.take_sent(), wire_box(&START_TLS));
    (memory, peer, agreed)
}

#[test]
fn calls_go_on_encrypted() {
    let pair = Pair::new();
    for size in [1, 2, 7, 1000] {
        let desk = Desk::default();
        let client = Amp::new(Responders::new());
        let peer = client.peer();
        let server = Amp::new(pair.responders(&desk));
        let of_server = server.peer();
        let mut wire = Wire::join(client, server).in_chunks_of(size);
        wire.run();
        let slow = peer.call(&Wait { name: "slow".to_owned() });
        let agreed = peer.start_tls(pair.client());
        let sum = peer.call(&Sum { a: 13, b: 81 });
        peer.tell(&Note { text: "a secret".to_owned() }).expect("it waits");
        wire.run();
        assert_eq!(value(agreed).protocol, "TLSv1.3");
        assert_eq!(value(sum).total, 94);
        assert_eq!(desk.notes(), ["a secret"]);
        desk.answer("slow");
        wire.run();
        assert_eq!(value(slow).name, "slow");
        let seen = [wire.sent_by(Side::Client), wire.sent_by(Side::Server)].concat();
        assert!(!seen.windows(8).any(|bytes| bytes == b"a secret"), "in pieces of {size}");
        for side in [&peer, &of_server] {
            let conn = side.conn().expect("it is up");
            assert!(conn.tls().is_some());
            // Nothing goes beside what is encrypted.
            let (pipe, _) = std::io::pipe().expect("a pipe");
            assert_eq!(conn.send_descriptor(pipe), Err(CannotPass::Unsupported));
            assert_eq!(conn.accept_descriptors(1), Err(CannotPass::Unsupported));
        }
        assert_eq!(wire.ended(Side::Client), None);
    }
}

#[test]
fn the_side_that_listens_may_ask_too() {
    let pair = Pair::new();
    for size in [1, 3, 1000] {
        let client = pair.client.clone();
        let responders =
            Desk::default().responders().on_start_tls(move |_| client.layer("localhost"));
        let server = Amp::new(Desk::default().responders());
        let peer = server.peer();
        let mut wire = Wire::join(Amp::new(responders), server).in_chunks_of(size);
        let agreed = peer.start_tls(pair.server.layer());
        let sum = peer.call(&Sum { a: 1, b: 2 });
        wire.run();
        value(agreed);
        assert_eq!(value(sum).total, 3);
        assert_eq!(wire.ended(Side::Server), None);
    }
}

#[test]
fn tls_can_be_asked_for_before_there_is_a_connection() {
    let (pair, desk) = (Pair::new(), Desk::default());
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    peer.tell(&Note { text: "in the clear".to_owned() }).expect("it waits");
    let agreed = peer.start_tls(pair.client());
    let sum = peer.call(&Sum { a: 1, b: 2 });
    let second = peer.start_tls(pair.client());
    assert_eq!(error::<_, CallError>(second), CallError::OnlyOneTls);
    let mut wire = Wire::join(client, Amp::new(pair.responders(&desk)));
    wire.run();
    value(agreed);
    assert_eq!((value(sum).total, desk.notes()), (3, vec!["in the clear".to_owned()]));
    let in_the_clear = wire.sent_by(Side::Client);
    assert!(!in_the_clear.windows(3).any(|bytes| bytes == b"Sum"));
}

#[test]
fn answers_wait_for_the_encryption_too() {
    let (mut memory, peer, agreed) = asking(&Pair::new());
    memory.push(&wire_box(&[("_ask", "q"), ("_command", "Sum"), ("a", "1"), ("b", "2")]));
    let sum = peer.call(&Sum { a: 1, b: 2 });
    assert_eq!(memory.take_sent(), b"");
    memory.push(&wire_box(&[("_answer", "1")]));
    // A handshake's first record, and nothing else.
    assert_eq!(memory.take_sent()[..2], [22, 3]);
    memory.lose(Disconnect::Reset);
    let why: TlsError = error(agreed);
    assert_eq!(*why.reason(), Reason::Lost(Disconnect::Reset));
    assert_eq!(error::<_, CallError>(sum), CallError::Lost(Disconnect::Reset));
}

#[test]
fn a_connection_is_encrypted_once() {
    let (pair, desk) = (Pair::new(), Desk::default());
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let server = Amp::new(pair.responders(&desk));
    let of_server = server.peer();
    let mut wire = Wire::join(client, server);
    value({
        let agreed = peer.start_tls(pair.client());
        wire.run();
        agreed
    });
    for side in [&peer, &of_server] {
        assert_eq!(error::<_, CallError>(side.start_tls(pair.client())), CallError::OnlyOneTls);
    }
    let sum = peer.call(&Sum { a: 1, b: 2 });
    wire.run();
    assert_eq!(value(sum).total, 3);
}

#[test]
fn a_second_request_is_told_so() {
    let pair = Pair::new();
    let promises: Rc<RefCell<Vec<Promise<Tls>>>> = Rc::default();
    let waiting = Rc::clone(&promises);
    let responders = Responders::new().on_start_tls(move |_| {
        let (promise, layer) = deferred();
        waiting.borrow_mut().push(promise);
        layer
    });
    let mut memory = Memory::seat(Amp::new(responders), &Clock::new());
    memory.push(&wire_box(&START_TLS));
    memory.push(&wire_box(&[("_ask", "2"), ("_command", "StartTLS")]));
    let told = only_box(&memory.take_sent());
    assert_eq!(told[1], ("_error_code".to_owned(), "TLS_ERROR".to_owned()));
    let promise = promises.borrow_mut().pop().expect("it was asked");
    promise.succeed(pair.server.layer());
    memory.run();
    assert_eq!(only_box(&memory.take_sent()), fields(&[("_answer", "1")]));
    assert_eq!(memory.ended(), None);
}

#[test]
fn bytes_ahead_of_the_handshake_are_refused() {
    let (pair, desk) = (Pair::new(), Desk::default());
    let mut bytes = wire_box(&START_TLS);
    bytes.extend(wire_box(&[("_command", "Note"), ("text", "injected")]));
    let mut memory = Memory::seat(Amp::new(pair.responders(&desk)), &Clock::new());
    memory.push(&bytes);
    assert!(memory.ended().is_some());
    assert!(desk.notes().is_empty());

    let (mut memory, _peer, agreed) = asking(&pair);
    let mut bytes = wire_box(&[("_answer", "1")]);
    bytes.extend(wire_box(&[("_ask", "q"), ("_command", "Sum"), ("a", "1"), ("b", "2")]));
    let behind = bytes.len() - wire_box(&[("_answer", "1")]).len();
    memory.push(&bytes);
    let why: TlsError = error(agreed);
    assert_eq!(*why.reason(), Reason::EarlyBytes(behind));
    assert!(memory.ended().is_some());
}

#[test]
fn a_beginning_ahead_of_the_handshake_is_refused_when_the_layer_comes_late() {
    let pair = Pair::new();
    let promises: Rc<RefCell<Vec<Promise<Tls>>>> = Rc::default();
    let waiting = Rc::clone(&promises);
    let responders = Responders::new().on_start_tls(move |_| {
        let (promise, layer) = deferred();
        waiting.borrow_mut().push(promise);
        layer
    });
    let mut memory = Memory::seat(Amp::new(responders), &Clock::new());
    memory.push(&wire_box(&START_TLS));
    memory.push(b"\0\x08_comm");
    promises.borrow_mut().pop().expect("it was asked").succeed(pair.server.layer());
    memory.run();
    assert!(memory.ended().is_some());
}

#[test]
fn a_peer_who_refuses_loses_the_connection() {
    let pair = Pair::new();
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let mut wire = Wire::join(client, Amp::new(Desk::default().responders()));
    let agreed = peer.start_tls(pair.client());
    let sum = peer.call(&Sum { a: 1, b: 2 });
    wire.run();
    assert!(matches!(error::<_, CallError>(agreed), CallError::Unhandled { .. }));
    assert_eq!(error::<_, CallError>(sum), CallError::NotEncrypted);
    assert_eq!(wire.ended(Side::Client), Some(Disconnect::Closed));
    let sent = wire.sent_by(Side::Client);
    assert!(!sent.windows(3).any(|bytes| bytes == b"Sum"), "what waited is not sent in the clear");
}

#[test]
fn who_was_refused_once_may_ask_again() {
    let pair = Pair::new();
    let (mut asked, server) = (0, pair.server.clone());
    let responders = Responders::new().on_start_tls(move |_| {
        asked += 1;
        if asked == 1 { Err(RemoteError::new("LATER", "not yet")) } else { Ok(server.layer()) }
    });
    let mut memory = Memory::seat(Amp::new(responders), &Clock::new());
    memory.push(&wire_box(&START_TLS));
    let told = only_box(&memory.take_sent());
    assert_eq!(told[1], ("_error_code".to_owned(), "LATER".to_owned()));
    memory.push(&wire_box(&[("_ask", "2"), ("_command", "StartTLS")]));
    assert_eq!(only_box(&memory.take_sent()), fields(&[("_answer", "2")]));
}

#[test]
fn two_who_ask_at_once_would_wait_for_ever() {
    let pair = Pair::new();
    let [one, other] = [0, 1].map(|_| Amp::new(pair.responders(&Desk::default())));
    let (peer, of_other) = (one.peer(), other.peer());
    let mut wire = Wire::join(one, other);
    let agreed = peer.start_tls(pair.client());
    let of_other = of_other.start_tls(pair.server.layer());
    wire.run();
    for agreed in [agreed, of_other] {
        assert!(matches!(error::<_, CallError>(agreed), CallError::Lost(_)));
    }
}

#[test]
fn nobody_answers_a_call_for_tls_that_wants_no_answer() {
    let pair = Pair::new();
    let mut memory = Memory::seat(Amp::new(pair.responders(&Desk::default())), &Clock::new());
    memory.push(&wire_box(&[("_command", "StartTLS")]));
    assert_eq!((memory.take_sent(), memory.ended()), (vec![], Some(Disconnect::Closed)));
}

#[test]
fn strangers_are_not_talked_to() {
    let (pair, desk) = (Pair::new(), Desk::default());
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let mut wire = Wire::join(client, Amp::new(pair.responders(&desk)));
    // It trusts somebody else.
    let agreed = peer.start_tls(Pair::new().client());
    peer.tell(&Note { text: "a secret".to_owned() }).expect("it waits");
    wire.run();
    let why: TlsError = error(agreed);
    assert!(matches!(why.reason(), Reason::Certificate(..)), "{why}");
    assert!(desk.notes().is_empty());
    assert!(wire.ended(Side::Client).is_some());
}

#[test]
fn a_handshake_that_does_not_come_ends_the_connection() {
    let (mut memory, _peer, agreed) = asking(&Pair::new());
    memory.push(&wire_box(&[("_answer", "1")]));
    memory.advance(Duration::from_secs(10));
    let why: TlsError = error(agreed);
    assert!(matches!(why.reason(), Reason::TimedOut(_)), "{why}");
    assert!(memory.ended().is_some());
}

#[test]
fn to_give_up_the_handshake_is_to_close() {
    for is_answered in [false, true] {
        let (mut memory, _peer, agreed) = asking(&Pair::new());
        if is_answered {
            memory.push(&wire_box(&[("_answer", "1")]));
        }
        agreed.cancel();
        memory.run();
        assert_eq!(error::<_, Cancelled>(agreed), Cancelled);
        assert_eq!(memory.ended(), Some(Disconnect::Closed), "answered: {is_answered}");
    }
}

#[test]
fn what_waits_for_the_encryption_is_bounded() {
    let client = Amp::new(Responders::new())
        .with_limits(ropewalk_amp::Limits { output_max: 1000, ..Default::default() });
    let peer = client.peer();
    let mut memory = Memory::seat(client, &Clock::new());
    peer.start_tls(Pair::new().client()).detach();
    assert_eq!(boxes(&memory.take_sent()).len(), 1);
    let note = Note { text: "x".repeat(600) };
    assert_eq!(peer.tell(&note), Ok(()));
    assert_eq!(peer.tell(&note), Ok(()));
    memory.run();
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
    assert_eq!(peer.tell(&note).map_err(|why| matches!(why, CallError::Lost(_))), Err(true));
}
