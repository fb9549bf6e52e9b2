//! Both sides of every limit.

use ropewalk_amp::{Amp, BadBox, CallError, Limits, Responders};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory, Wire};

use crate::common::{
    Desk, Note, Strange, Sum, Upgrade, Wait, boxes, error, fields, only_box, wire_box,
};

fn server(limits: Limits) -> (Memory, Desk) {
    let desk = Desk::default();
    let amp = Amp::new(desk.responders()).with_limits(limits);
    (Memory::seat(amp, &Clock::new()), desk)
}

#[test]
fn boxes_are_as_long_as_their_limits_let_them() {
    let note = wire_box(&[("_command", "Note"), ("text", "x")]);
    for (spare, ended) in [(0, None), (-1, Some(Disconnect::Closed))] {
        let box_max = note.len().saturating_add_signed(spare);
        let (mut memory, desk) = server(Limits { box_max, ..Limits::default() });
        memory.push(&note);
        assert_eq!((memory.ended(), desk.notes().len()), (ended, usize::from(ended.is_none())));
    }
    for (keys_max, ended) in [(2, None), (1, Some(Disconnect::Closed))] {
        let (mut memory, _) = server(Limits { keys_max, ..Limits::default() });
        memory.push(&note);
        assert_eq!(memory.ended(), ended);
    }
}

#[test]
fn the_default_limits_hold() {
    let with_keys = |count: usize| {
        let keys: Vec<_> = (0..count).map(|number| format!("key {number}")).collect();
        let mut all = vec![("_command", "Note"), ("text", "x")];
        all.extend(keys.iter().map(|key| (key.as_str(), "")));
        wire_box(&all)
    };
    for (count, ended) in [(1022, None), (1023, Some(Disconnect::Closed))] {
        let (mut memory, _) = server(Limits::default());
        memory.push(&with_keys(count));
        assert_eq!(memory.ended(), ended, "{count}");
    }
}

#[test]
fn so_many_calls_may_wait_for_the_peer() {
    let limits = Limits { calls_max: 2, ..Limits::default() };
    let desk = Desk::default();
    let client = Amp::new(Responders::new()).with_limits(limits);
    let peer = client.peer();
    let wait = |name: &str| peer.call(&Wait { name: name.to_owned() });
    let (_one, two) = (wait("one"), wait("two"));
    let mut wire = Wire::join(client, Amp::new(desk.responders()));
    wire.run();
    let refused = error::<_, CallError>(wait("three"));
    assert_eq!(refused, CallError::TooMany);
    assert!(refused.is_temporary());
    peer.tell(&Note { text: "needs no room".to_owned() }).unwrap();
    // What was given up still takes a place: the peer is at work on it.
    two.cancel();
    assert_eq!(error::<_, CallError>(wait("three")), CallError::TooMany);
    desk.answer("two");
    wire.run();
    let three = wait("three");
    wire.run();
    desk.answer("three");
    wire.run();
    assert_eq!(crate::common::value(three).name, "three");
    drop(two);
}

#[test]
fn so_many_requests_may_wait_for_us() {
    let (mut memory, desk) = server(Limits { requests_max: 2, ..Limits::default() });
    let ask = |tag, name| wire_box(&[("_ask", tag), ("_command", "Wait"), ("name", name)]);
    memory.push(&ask("1", "one"));
    memory.push(&ask("2", "two"));
    desk.answer("one");
    assert_eq!(boxes(&memory.take_sent()).len(), 1);
    memory.push(&ask("3", "three"));
    assert_eq!(memory.take_sent(), b"");
    memory.push(&ask("4", "four"));
    let expected = [
        ("_error", "4"),
        ("_error_code", "UNKNOWN"),
        ("_error_description", "too many calls under way"),
    ];
    assert_eq!(only_box(&memory.take_sent()), fields(&expected));
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn so_much_output_may_wait() {
    let note = Note { text: "x".repeat(1000) };
    let length = wire_box(&[("_command", "Note"), ("text", &note.text)]).len() as u64;
    for (spare, ended) in [(0, None), (1, Some(Disconnect::Overflowed))] {
        let limits = Limits { output_max: 3 * length - spare, ..Limits::default() };
        let client = Amp::new(Responders::new()).with_limits(limits);
        let peer = client.peer();
        let mut memory = Memory::seat(client, &Clock::new());
        memory.set_room(0);
        for _ in 0..3 {
            peer.tell(&note).unwrap();
        }
        memory.run();
        assert_eq!(memory.ended(), ended);
    }
}

#[test]
fn so_much_may_be_asked_before_there_is_a_connection() {
    let limits = Limits { output_max: 2000, ..Limits::default() };
    let client = Amp::new(Responders::new()).with_limits(limits);
    let peer = client.peer();
    let note = Note { text: "x".repeat(1000) };
    assert_eq!(peer.tell(&note), Ok(()));
    assert_eq!(peer.tell(&note), Ok(()));
    assert_eq!(peer.tell(&note), Err(CallError::TooMany));
    assert_eq!(error::<_, CallError>(peer.call(&Strange {})), CallError::TooMany);
}

#[test]
fn limits_are_told_apart() {
    let client = |limits| {
        let client = Amp::new(Responders::new()).with_limits(limits);
        let call = client.peer().call(&Sum { a: 1, b: 1 });
        (Memory::seat(client, &Clock::new()), call)
    };
    let answer = wire_box(&[("_answer", "1"), ("total", "2")]);
    let (mut memory, call) = client(Limits { box_max: 8, ..Limits::default() });
    memory.push(&answer);
    assert_eq!(error::<_, CallError>(call), CallError::BadBox(BadBox::Long));
    let (mut memory, call) = client(Limits { keys_max: 1, ..Limits::default() });
    memory.push(&answer);
    assert_eq!(error::<_, CallError>(call), CallError::BadBox(BadBox::Keys));
}

#[test]
fn so_much_may_be_held_while_a_switch_is_asked_for() {
    let limits = Limits { output_max: 100, ..Limits::default() };
    let client = Amp::new(Desk::default().responders()).with_limits(limits);
    let peer = client.peer();
    let mut memory = Memory::seat(client, &Clock::new());
    let switch = Upgrade { to: "x".to_owned() };
    peer.call_and_switch(&switch, |_| -> Amp { unreachable!("it is never answered") }).detach();
    memory.take_sent();
    let ask = wire_box(&[("_ask", "1"), ("_command", "Sum"), ("a", "1"), ("b", "2")]);
    let answer = wire_box(&[("_answer", "1"), ("total", "3")]);
    for _ in 0..100 / answer.len() {
        memory.push(&ask);
        assert_eq!(memory.ended(), None);
    }
    memory.push(&ask);
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
}
