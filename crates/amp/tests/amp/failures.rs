//! Everything that a caller or a responder may hear instead of an answer.

use ropewalk_amp::{
    Amp, BadBox, BadField, BadValue, CallError, DeclaredError, Peer, RemoteError, Responders,
    VALUE_MAX, command,
};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Memory, Side, Wire};

use crate::common::{
    Desk, Divide, DivideError, Note, Strange, Sum, Wait, boxes, client, error, fields, join,
    only_box, server, value, wire_box,
};

const UNKNOWN: [(&str, &str); 3] =
    [("_error", "1"), ("_error_code", "UNKNOWN"), ("_error_description", "Unknown Error")];

fn divide_by(denominator: i64) -> Divide {
    Divide { numerator: 1, denominator }
}

fn lost(why: Disconnect) -> CallError {
    CallError::Lost(why)
}

/// What a server sends that is sent these fields, and how its connection is then.
#[track_caller]
fn check(sent: &[(&str, &str)], expected: &[(&str, &str)], ended: bool) {
    let (mut memory, _) = server();
    memory.push(&wire_box(sent));
    let answer = memory.take_sent();
    if expected.is_empty() {
        assert_eq!(answer, b"");
    } else {
        assert_eq!(only_box(&answer), fields(expected));
    }
    assert_eq!(memory.ended(), ended.then_some(Disconnect::Closed));
}

#[test]
fn declared_errors_leave_the_connection_open() {
    let (peer, _, mut wire) = join();
    let (zero, half) = (peer.call(&divide_by(0)), peer.call(&divide_by(2)));
    wire.run();
    let zero: DivideError = error(zero);
    assert_eq!(zero, DivideError::ZeroDivision("division by zero".to_owned()));
    assert_eq!((zero.code(), zero.is_fatal()), ("ZERO_DIVISION", false));
    assert_eq!(value(half).result.to_bits(), 0.5_f64.to_bits());
    assert_eq!(wire.ended(Side::Client), None);
}

#[test]
fn fatal_errors_close_the_connection_once_they_are_sent() {
    let (peer, _, mut wire) = join();
    let (fire, after) = (peer.call(&divide_by(-1)), peer.call(&divide_by(2)));
    wire.run();
    let fire: DivideError = error(fire);
    assert_eq!(fire, DivideError::OnFire("it burns".to_owned()));
    assert!(fire.is_fatal());
    assert_eq!(error::<_, CallError>(after), lost(Disconnect::Closed));
    assert_eq!(wire.ended(Side::Server), Some(Disconnect::Closed));
}

#[test]
fn other_failures_say_nothing_of_themselves_and_close() {
    let (peer, _, mut wire) = join();
    let secret = peer.call(&divide_by(-2));
    wire.run();
    let description = "Unknown Error".to_owned();
    assert_eq!(error::<_, CallError>(secret), CallError::Unknown { description });
    assert_eq!(only_box(wire.sent_by(Side::Server)), fields(&UNKNOWN));
    assert_eq!(wire.ended(Side::Server), Some(Disconnect::Closed));
}

#[test]
fn arguments_that_cannot_be_read_are_unexpected() {
    let ask = |a| [("_ask", "1"), ("_command", "Sum"), ("a", a), ("b", "1")];
    check(&ask("x"), &UNKNOWN, true);
    check(&ask("1")[..3], &UNKNOWN, true);
    check(&ask("1"), &[("_answer", "1"), ("total", "2")], false);
}

#[test]
fn panics_are_unexpected_and_stay_where_they_are() {
    let note = |text| [("_ask", "1"), ("_command", "Note"), ("text", text)];
    check(&note("panic"), &UNKNOWN, true);
    check(&note("calm"), &[("_answer", "1")], false);
}

#[test]
fn unknown_commands_are_unhandled_and_leave_the_connection_open() {
    let (peer, _, mut wire) = join();
    let (strange, sum) = (peer.call(&Strange {}), peer.call(&Sum { a: 1, b: 1 }));
    wire.run();
    let description = "Unhandled Command: Strange".to_owned();
    assert_eq!(error::<_, CallError>(strange), CallError::Unhandled { description });
    assert_eq!(value(sum).total, 2);
    let name = format!("\u{ff}{}", "x".repeat(VALUE_MAX - 2));
    check(
        &[("_ask", "1"), ("_command", &name)],
        &[
            ("_error", "1"),
            ("_error_code", "UNHANDLED"),
            (
                "_error_description",
                &format!("Unhandled Command: \\\\xc3\\\\xbf{}", "x".repeat(253)),
            ),
        ],
        false,
    );
}

#[test]
fn failures_that_nobody_waits_for_close_the_connection() {
    check(&[("_command", "Strange")], &[], true);
    check(&[("_command", "Sum"), ("a", "x"), ("b", "1")], &[], true);
    check(&[("_command", "Note"), ("text", "fail")], &[], true);
    check(&[("_command", "Note"), ("text", "panic")], &[], true);
    check(&[("_command", "Divide"), ("numerator", "1"), ("denominator", "0")], &[], true);
    check(&[("_command", "Note"), ("text", "fine")], &[], false);
}

#[test]
fn late_failures_are_told_like_early_ones() {
    let (peer, desk, mut wire) = join();
    let calls = ["zero", "fire"].map(|name| peer.call(&Wait { name: name.to_owned() }));
    wire.run();
    desk.take("zero").fail(DivideError::ZeroDivision("late".to_owned()));
    desk.take("fire").fail(DivideError::OnFire("late".to_owned()));
    wire.run();
    let errors = calls.map(error::<_, DivideError>);
    assert_eq!(errors[0], DivideError::ZeroDivision("late".to_owned()));
    assert_eq!(errors[1], DivideError::OnFire("late".to_owned()));
    assert_eq!(wire.ended(Side::Server), Some(Disconnect::Closed));
}

#[test]
fn a_responder_that_forgets_its_promise_has_failed() {
    let (peer, desk, mut wire) = join();
    let call = peer.call(&Wait { name: "forgotten".to_owned() });
    wire.run();
    drop(desk.take("forgotten"));
    wire.run();
    assert!(matches!(error::<_, CallError>(call), CallError::Unknown { .. }));
}

/// A client and a server that fails with this error.
fn failing(failure: impl Fn() -> Failure + 'static) -> (Peer, Wire) {
    let responders =
        Responders::new().on(move |_: Sum| Deferred::<crate::common::Total>::fail(failure()));
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    (peer, Wire::join(client, Amp::new(responders)))
}

#[test]
fn undeclared_errors_may_be_sent_by_their_code() {
    for (error_sent, ended) in [
        (RemoteError::new("CODE", "d\u{e9}s"), None),
        (RemoteError::new("CODE", "d\u{e9}s").fatal(), Some(Disconnect::Closed)),
    ] {
        let (peer, mut wire) = failing(move || error_sent.clone().into());
        let sum = peer.call(&Sum { a: 1, b: 2 });
        wire.run();
        let expected = CallError::Undeclared(RemoteError::new("CODE", "d\u{e9}s"));
        assert_eq!(error::<_, CallError>(sum), expected);
        assert_eq!(wire.ended(Side::Server), ended);
    }
}

#[test]
fn errors_too_long_to_be_sent_close_the_connection() {
    let (peer, mut wire) = failing(|| RemoteError::new("CODE", "x".repeat(VALUE_MAX + 1)).into());
    let sum = peer.call(&Sum { a: 1, b: 2 });
    wire.run();
    assert_eq!(error::<_, CallError>(sum), lost(Disconnect::Closed));
}

#[test]
fn answers_that_cannot_be_sent_are_unexpected() {
    command! { Long { length: usize } -> LongText { text: String }; }
    let responders = Responders::new().on(|long: Long| LongText { text: "x".repeat(long.length) });
    for (length, is_fine) in [(VALUE_MAX, true), (VALUE_MAX + 1, false)] {
        let client = Amp::new(Responders::new());
        let call = client.peer().call(&Long { length });
        let mut wire = Wire::join(client, Amp::new(responders.clone()));
        wire.run();
        if is_fine {
            assert_eq!(value(call).text.len(), length);
            continue;
        }
        assert!(matches!(error::<_, CallError>(call), CallError::Unknown { .. }));
        assert_eq!(only_box(wire.sent_by(Side::Server)), fields(&UNKNOWN));
    }
}

#[test]
fn arguments_that_cannot_be_sent_are_told_at_once_and_cost_nothing() {
    let (mut memory, peer) = client();
    let long = Note { text: "x".repeat(VALUE_MAX + 1) };
    let expected = BadField::new("text", BadValue::TooLong { length: VALUE_MAX + 1 });
    assert_eq!(peer.tell(&long), Err(CallError::BadArgument(expected.clone())));
    assert_eq!(memory.take_sent(), b"");
    let failure = peer
        .call(&Wait { name: long.text.clone() })
        .now_or_never()
        .expect("at once")
        .expect_err("too long");
    assert_eq!(failure.check::<BadField>().map(BadField::key), Some("name"));
    assert_eq!(
        failure.chain().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "an argument cannot be sent",
            "the value of `name` is not right",
            "it has 65536 bytes, where 65535 are allowed",
        ]
    );
    peer.tell(&Note { text: "x".repeat(VALUE_MAX) }).unwrap();
    assert_eq!(memory.take_sent().len(), 2 + 8 + 2 + 4 + 2 + 4 + 2 + VALUE_MAX + 2);
}

#[test]
fn answers_that_cannot_be_read_fail_their_call_alone() {
    let (mut memory, peer) = client();
    let (one, two) = (peer.call(&Sum { a: 1, b: 2 }), peer.call(&Sum { a: 1, b: 2 }));
    memory.push(&wire_box(&[("_answer", "1"), ("total", "three")]));
    memory.push(&wire_box(&[("_answer", "2"), ("total", "3"), ("more", "ignored")]));
    let bad = BadField::new("total", BadValue::NotInteger);
    assert_eq!(error::<_, CallError>(one), CallError::BadAnswer(bad));
    assert_eq!(value(two).total, 3);
}

/// What a client does that waits for call 1 and is sent these bytes.
#[track_caller]
fn check_refused(bytes: &[u8], expected: BadBox) {
    for size in 1..=bytes.len() {
        let (mut memory, peer) = client();
        let call = peer.call(&Sum { a: 1, b: 2 });
        memory.push_in_pieces(bytes, size);
        assert_eq!(memory.ended(), Some(Disconnect::Closed), "in pieces of {size}");
        assert_eq!(error::<_, CallError>(call), CallError::BadBox(expected));
        let again = peer.call(&Sum { a: 1, b: 2 });
        assert_eq!(error::<_, CallError>(again), CallError::BadBox(expected));
    }
}

#[test]
fn peers_that_break_the_protocol_are_left() {
    check_refused(b"\0\0", BadBox::NoMeaning);
    check_refused(&wire_box(&[("x", "1")]), BadBox::NoMeaning);
    check_refused(b"\x01\0", BadBox::KeyLength(256));
    for tag in ["2", "", "01", "0", "x", "A", "1 ", "10000000000000001", "ffffffffffffffff"] {
        check_refused(&wire_box(&[("_answer", tag)]), BadBox::UnknownTag);
        let bad = [("_error", tag), ("_error_code", "X"), ("_error_description", "")];
        check_refused(&wire_box(&bad), BadBox::UnknownTag);
    }
    check_refused(&wire_box(&[("_error", "1"), ("_error_code", "X")]), BadBox::BareError);
    let bare = [("_error", "1"), ("_error_description", "X")];
    check_refused(&wire_box(&bare), BadBox::BareError);
}

#[test]
fn one_answer_is_enough() {
    let (mut memory, peer) = client();
    let call = peer.call(&Sum { a: 1, b: 2 });
    let answer = wire_box(&[("_answer", "1"), ("total", "3")]);
    memory.push(&[&answer[..], &answer].concat());
    assert_eq!(value(call).total, 3);
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn a_lost_connection_fails_every_call_in_order() {
    let (mut memory, peer) = client();
    let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    for number in 0..40 {
        let order = std::rc::Rc::clone(&order);
        peer.call(&Sum { a: 1, b: 2 }).on_result(move |result| {
            let failure = result.expect_err("nobody answered");
            assert_eq!(failure.check(), Some(&lost(Disconnect::Reset)));
            order.borrow_mut().push(number);
        });
    }
    memory.lose(Disconnect::Reset);
    assert_eq!(*order.borrow(), (0..40).collect::<Vec<_>>());
    let late = peer.call(&Sum { a: 1, b: 2 });
    assert_eq!(error::<_, CallError>(late), lost(Disconnect::Reset));
    assert_eq!(peer.tell(&Note { text: String::new() }), Err(lost(Disconnect::Reset)));
    assert!(peer.conn().is_none());
    assert!(lost(Disconnect::Reset).is_temporary());
}

#[test]
fn a_connection_that_is_never_made_fails_every_call() {
    let amp = Amp::new(Responders::new());
    let peer = amp.peer();
    let early = peer.call(&Sum { a: 1, b: 2 });
    let mut seat = ropewalk_protocol::seat(amp);
    seat.handle(ropewalk_protocol::Event::Lost(Disconnect::Refused));
    assert_eq!(error::<_, CallError>(early), lost(Disconnect::Refused));

    let amp = Amp::new(Responders::new());
    let early = amp.peer().call(&Sum { a: 1, b: 2 });
    drop(amp);
    assert_eq!(error::<_, CallError>(early), lost(Disconnect::Stopped));
}

#[test]
fn responders_are_cancelled_with_their_connection() {
    let (peer, desk, mut wire) = join();
    let call = peer.call(&Wait { name: "slow".to_owned() });
    wire.run();
    wire.cut();
    assert!(desk.take("slow").is_cancelled());
    assert_eq!(error::<_, CallError>(call), lost(Disconnect::Reset));
}

#[test]
fn what_follows_a_fatal_error_is_not_acted_on() {
    let (mut memory, desk) = server();
    let fatal = [("_ask", "1"), ("_command", "Divide"), ("denominator", "-1"), ("numerator", "1")];
    let note = [("_command", "Note"), ("text", "too late")];
    memory.push(&[wire_box(&fatal), wire_box(&note)].concat());
    assert_eq!(boxes(&memory.take_sent()).len(), 1);
    assert!(desk.notes().is_empty());
}

#[test]
fn nothing_of_a_connection_outlives_it() {
    let desk = Desk::default();
    let alive = std::rc::Rc::new(());
    let held = std::rc::Rc::clone(&alive);
    let responders = desk.responders().on(move |_: Strange| {
        let _ = &held;
    });
    let amp = Amp::new(responders);
    let peer = amp.peer();
    let memory = Memory::seat(amp, &ropewalk_trial::Clock::new());
    let call = peer.call(&Sum { a: 1, b: 2 });
    drop(memory);
    assert_eq!(std::rc::Rc::strong_count(&alive), 1);
    assert_eq!(error::<_, CallError>(call), lost(Disconnect::Stopped));
}

#[test]
fn nothing_is_sent_on_a_connection_that_closes() {
    let (_memory, peer) = client();
    peer.conn().expect("it is made").close();
    let note = Note { text: String::new() };
    assert_eq!(peer.tell(&note), Err(lost(Disconnect::Closed)));
    let late = peer.call(&Sum { a: 1, b: 2 });
    assert_eq!(error::<_, CallError>(late), lost(Disconnect::Closed));
}
