//! Connections that are handed to another protocol.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_amp::{Amp, CallError, Peer, Responders};
use ropewalk_deferred::{Cancelled, Promise, deferred};
use ropewalk_protocol::{Conn, Disconnect, Protocol};
use ropewalk_trial::{Clock, Memory, Side, Wire};

use crate::common::{
    Desk, DivideError, Note, Sum, Total, Upgrade, Upgraded, Wait, boxes, error, fields, only_box,
    value, wire_box,
};

/// Says its name, and keeps what it hears.
#[derive(Clone, Default)]
struct Talk {
    name: &'static str,
    heard: Rc<RefCell<Vec<u8>>>,
}

impl Talk {
    fn named(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    fn heard(&self) -> String {
        self.heard.borrow().escape_ascii().to_string()
    }
}

impl Protocol for Talk {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(self.name.as_bytes());
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.heard.borrow_mut().extend_from_slice(data);
    }
}

/// Switches to `next`, unless it is asked to burn.
fn upgrading(next: Talk) -> Responders {
    Responders::new().on_switch(move |upgrade: Upgrade| match upgrade.to.as_str() {
        "fire" => Err(DivideError::ZeroDivision("no".to_owned())),
        _ => Ok((Upgraded { to: upgrade.to }, next.clone())),
    })
}

fn upgrade() -> Upgrade {
    Upgrade { to: "talk".to_owned() }
}

/// A client whose server is the test, with responders of its own.
fn client() -> (Memory, Peer) {
    let client = Amp::new(Responders::new().on(|sum: Sum| Total { total: sum.a + sum.b }));
    let peer = client.peer();
    (Memory::seat(client, &Clock::new()), peer)
}

#[test]
fn both_sides_hand_the_connection_on() {
    for size in 1..60 {
        let (theirs, ours) = (Talk::named("server"), Talk::named("client"));
        let client = Amp::new(Responders::new());
        let peer = client.peer();
        let next = ours.clone();
        let answer = peer.call_and_switch(&upgrade(), move |_| next);
        let mut wire = Wire::join(client, Amp::new(upgrading(theirs.clone()))).in_chunks_of(size);
        wire.run();
        assert_eq!(value(answer).to, "talk");
        assert_eq!((theirs.heard(), ours.heard()), ("client".to_owned(), "server".to_owned()));
        assert_eq!(wire.ended(Side::Client), None);
        let late = peer.call(&Sum { a: 1, b: 2 });
        assert_eq!(error::<_, CallError>(late), CallError::Switched);
    }
}

#[test]
fn bytes_behind_the_call_are_the_new_protocols() {
    let mut bytes = wire_box(&[("_ask", "1"), ("_command", "Upgrade"), ("to", "x")]);
    bytes.extend_from_slice(b"\0\0 and so on");
    for size in 1..=bytes.len() {
        let talk = Talk::named("hello");
        let mut memory = Memory::seat(Amp::new(upgrading(talk.clone())), &Clock::new());
        memory.push_in_pieces(&bytes, size);
        let mut expected = wire_box(&[("_answer", "1"), ("to", "x")]);
        expected.extend_from_slice(b"hello");
        assert_eq!(memory.take_sent(), expected);
        assert_eq!(talk.heard(), r"\x00\x00 and so on");
    }
}

#[test]
fn bytes_behind_the_answer_are_the_new_protocols() {
    let mut bytes = wire_box(&[("_answer", "1"), ("to", "x")]);
    bytes.extend_from_slice(b"\x01\x01 and so on");
    for size in 1..=bytes.len() {
        let (mut memory, peer) = client();
        let talk = Talk::named("hello");
        let next = talk.clone();
        let answer = peer.call_and_switch(&upgrade(), move |_| next);
        memory.take_sent();
        memory.push_in_pieces(&bytes, size);
        assert_eq!(value(answer).to, "x");
        assert_eq!(memory.take_sent(), b"hello");
        assert_eq!(talk.heard(), r"\x01\x01 and so on");
    }
}

#[test]
fn a_late_switch_takes_the_beginning_of_a_box_along() {
    let promises: Rc<RefCell<Vec<Promise<_>>>> = Rc::default();
    let waiting = Rc::clone(&promises);
    let responders = Responders::new().on_switch(move |_: Upgrade| {
        let (promise, answer) = deferred();
        waiting.borrow_mut().push(promise);
        answer
    });
    let mut memory = Memory::seat(Amp::new(responders), &Clock::new());
    memory.push(&wire_box(&[("_ask", "1"), ("_command", "Upgrade"), ("to", "x")]));
    memory.push(b"\0\x05unfi");
    let talk = Talk::named("hello");
    let promise = promises.borrow_mut().pop().expect("it was called");
    promise.succeed((Upgraded { to: "x".to_owned() }, talk.clone()));
    memory.push(b"nished");
    assert_eq!(talk.heard(), r"\x00\x05unfinished");
}

#[test]
fn nothing_is_sent_while_a_switch_is_asked_for() {
    let (mut memory, peer) = client();
    let slow = peer.call(&Wait { name: "slow".to_owned() });
    let refused = peer.call_and_switch(&upgrade(), |_| Talk::default());
    assert_eq!(boxes(&memory.take_sent()).len(), 2);
    assert_eq!(error::<_, CallError>(peer.call(&Sum { a: 1, b: 2 })), CallError::Switched);
    let note = Note { text: String::new() };
    assert_eq!(peer.tell(&note), Err(CallError::Switched));
    memory.push(&wire_box(&[("_ask", "q"), ("_command", "Sum"), ("a", "1"), ("b", "2")]));
    memory.push(&wire_box(&[("_answer", "1"), ("name", "slow")]));
    assert_eq!(value(slow).name, "slow");
    assert_eq!(memory.take_sent(), b"");

    // The peer refuses: all goes on, and what was held is sent.
    let no = [("_error", "2"), ("_error_code", "ZERO_DIVISION"), ("_error_description", "no")];
    memory.push(&wire_box(&no));
    assert_eq!(error::<_, DivideError>(refused), DivideError::ZeroDivision("no".to_owned()));
    assert_eq!(only_box(&memory.take_sent()), fields(&[("_answer", "q"), ("total", "3")]));
    peer.tell(&note).expect("the connection is open again");
    assert_eq!(boxes(&memory.take_sent()).len(), 1);
}

#[test]
fn a_refused_switch_leaves_both_sides_as_they_were() {
    let desk = Desk::default();
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let refused = peer.call_and_switch(&Upgrade { to: "fire".to_owned() }, |_| Talk::default());
    // Asked for before the connection is made, it locks all the same.
    assert_eq!(error::<_, CallError>(peer.call(&Sum { a: 1, b: 2 })), CallError::Switched);
    let responders = upgrading(Talk::default()).on(|sum: Sum| Total { total: sum.a + sum.b });
    let mut wire = Wire::join(client, Amp::new(responders));
    wire.run();
    assert_eq!(error::<_, DivideError>(refused), DivideError::ZeroDivision("no".to_owned()));
    let sum = peer.call(&Sum { a: 1, b: 2 });
    wire.run();
    assert_eq!(value(sum).total, 3);
    drop(desk);
}

#[test]
fn calls_under_way_end_with_the_switch() {
    let (mut memory, peer) = client();
    let slow = peer.call(&Wait { name: "slow".to_owned() });
    peer.call_and_switch(&upgrade(), |_| Talk::default()).detach();
    memory.push(&wire_box(&[("_answer", "2"), ("to", "x")]));
    assert_eq!(error::<_, CallError>(slow), CallError::Switched);
    assert_eq!(memory.ended(), None);
}

#[test]
fn to_give_up_a_switch_is_to_close() {
    let (mut memory, peer) = client();
    let answer = peer.call_and_switch(&upgrade(), |_| Talk::default());
    answer.cancel();
    memory.run();
    assert_eq!(error::<_, Cancelled>(answer), Cancelled);
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn a_switch_whose_answer_makes_no_sense_closes() {
    let (mut memory, peer) = client();
    let answer = peer.call_and_switch(&upgrade(), |_| Talk::default());
    memory.push(&wire_box(&[("_answer", "1")]));
    assert!(matches!(error::<_, CallError>(answer), CallError::BadAnswer(_)));
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn calls_of_the_side_that_switches_end_too() {
    let server = Amp::new(upgrading(Talk::default()));
    let peer = server.peer();
    let mut memory = Memory::seat(server, &Clock::new());
    let call = peer.call(&Sum { a: 1, b: 2 });
    memory.push(&wire_box(&[("_ask", "1"), ("_command", "Upgrade"), ("to", "x")]));
    assert_eq!(error::<_, CallError>(call), CallError::Switched);
}

#[test]
fn a_switch_asked_for_early_locks_once_there_is_a_connection() {
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let answer = peer.call_and_switch(&upgrade(), |_| Talk::named("hello"));
    let mut memory = Memory::seat(client, &Clock::new());
    assert_eq!(boxes(&memory.take_sent()).len(), 1);
    assert_eq!(error::<_, CallError>(peer.call(&Sum { a: 1, b: 2 })), CallError::Switched);
    memory.push(&wire_box(&[("_answer", "1"), ("to", "x")]));
    assert_eq!(value(answer).to, "x");
    assert_eq!(memory.take_sent(), b"hello");
}
