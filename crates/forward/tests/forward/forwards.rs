//! Listening in one place for another.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_forward::{Forward, IDLE, RelayOptions};
use ropewalk_framing::policy::Limits;
use ropewalk_protocol::{Address, Disconnect, Ending, Event, Factory, Seat, seat};
use ropewalk_trial::{Attack, Clock, Hostile, Memory, chunked_seats};

use crate::kit::{Answer, Far, ip};

fn call(forward: &mut Forward, far: &Far) -> Memory {
    let forwarded = forward.build(&ip("192.0.2.1:4000")).expect("a connection");
    Memory::seat(forwarded, &far.0.clock)
}

#[test]
fn whoever_connects_talks_to_the_other_place() {
    let far = Far::default();
    let mut near = call(&mut Forward::to(far.clone()), &far);
    let mut there = far.take();
    near.push(b"ping");
    assert_eq!(there.take_sent(), b"ping");
    there.push(b"pong");
    there.eof();
    assert_eq!(near.take_sent(), b"pong");
    assert!(near.is_write_closed());
    near.push(b"thanks");
    near.eof();
    near.run();
    assert_eq!(there.take_sent(), b"thanks");
    assert_eq!((near.ended(), there.ended()), (Some(Disconnect::Closed), Some(Disconnect::Closed)));
}

#[test]
fn nothing_is_read_before_the_other_place_is_reached() {
    let far = Far::answering(Answer::Late);
    let mut near = call(&mut Forward::to(far.clone()), &far);
    assert!(!near.is_reading());
    near.eof();
    let seat = far.0.waiting.borrow_mut().pop().expect("an attempt");
    let mut there = Memory::take_seat(seat, &far.0.clock);
    near.run();
    assert!(there.is_reading());
    there.run();
    assert!(there.is_write_closed(), "that the stream has ended is not forgotten");
    there.push(b"hello");
    assert_eq!(near.take_sent(), b"hello");
}

#[test]
fn a_place_that_cannot_be_reached_resets_the_connection() {
    let far = Far::answering(Answer::Refused);
    let near = call(&mut Forward::to(far.clone()), &far);
    assert_eq!(near.ended(), Some(Disconnect::Refused));
}

#[test]
fn an_attempt_for_nobody_is_given_up() {
    let far = Far::answering(Answer::Late);
    let mut near = call(&mut Forward::to(far.clone()), &far);
    let mut waiting = far.0.waiting.borrow_mut().pop().expect("an attempt");
    assert_eq!(waiting.wishes().ending, None);
    near.lose(Disconnect::Reset);
    assert_eq!(waiting.wishes().ending, Some(Ending::Abort(Disconnect::Aborted)));
    waiting.handle(Event::Lost(Disconnect::Aborted));
}

#[test]
fn options_reach_the_connections() {
    let far = Far::default();
    let options = RelayOptions { idle: Some(IDLE / 60), ..RelayOptions::default() };
    let mut near = call(&mut Forward::to(far.clone()).options(options), &far);
    let mut there = far.take();
    near.advance(IDLE / 60);
    there.run();
    near.run();
    let late = Some(Disconnect::TimedOut);
    assert_eq!((near.ended(), there.ended()), (late, late));
}

#[test]
fn connections_have_a_number() {
    let far = Far::default();
    let limits = Limits { total: Some(3), per_peer: Some(2), ..Limits::default() };
    let mut forward = Forward::to(far.clone()).limits(limits);
    let (one, other) = (ip("192.0.2.1:4000"), ip("192.0.2.2:4000"));
    let first = forward.build(&one).map(seat);
    let second = forward.build(&one).map(seat);
    assert!(first.is_some() && second.is_some());
    assert!(forward.build(&one).is_none(), "two from one address");
    let third = forward.build(&other).map(seat);
    assert!(third.is_some());
    assert!(forward.build(&Address::Unnamed).is_none(), "three in all");
    let mut second = Memory::take_seat(second.expect("a connection"), &far.0.clock);
    second.lose(Disconnect::Reset);
    assert!(forward.build(&one).is_some(), "one has gone");
}

#[test]
fn whose_connection_it_is_may_be_said_on_the_way() {
    let asked: Rc<RefCell<Vec<String>>> = Rc::default();
    let told = Rc::clone(&asked);
    let far = Far::default();
    let mut forward = Forward::to(far.clone()).dressed(move |peer, local, seat: Box<dyn Seat>| {
        told.borrow_mut().push(format!("{peer} at {local}"));
        seat
    });
    let mut near = call(&mut forward, &far);
    near.push(b"hello");
    assert_eq!(far.take().take_sent(), b"hello");
    assert_eq!(*asked.borrow(), ["memory:peer at memory:local"]);
}

/// A forwarder's end of a client's connection, with somebody at the far end who takes whatever comes.
fn forwarded(answer: Answer) -> impl FnMut(&Clock) -> Box<dyn Seat> {
    let mut kept = Vec::new();
    move |clock| {
        let far = Far::on(clock, answer);
        kept.push(far.clone());
        seat(Forward::to(far).build(&ip("192.0.2.1:4000")).expect("a connection"))
    }
}

#[test]
fn no_client_wears_it_out() {
    for answer in [Answer::Made, Answer::Refused] {
        // It forwards as long as somebody speaks: what is too slow or too long is for the far end to say.
        let hostile = Hostile::against(forwarded(answer)).request(b"hello").kept(256 * 1024);
        let hostile = hostile.patience(IDLE).spare(Attack::Slowloris).spare(Attack::EndlessLine);
        hostile.spare(Attack::Flood).assert();
    }
}

#[test]
fn any_cut_is_forwarded_the_same() {
    let answer = chunked_seats(b"whatever is said\r\n", forwarded(Answer::Made));
    assert_eq!((answer.sent, answer.ended), (Vec::new(), None));
}
