//! What is behind the first bytes: a receive that takes less than it could need not have taken all.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;

use ropewalk_reactor::{DriverKind, Reactor};
use rustix::net::{SendFlags, send};

use crate::kit::{Seen, Witness, bytes, listen, on_each_driver, reactor, turn_until};

on_each_driver! {
    bytes_behind_an_urgent_one_are_received,
    an_end_behind_bytes_is_told,
    an_end_behind_more_than_a_buffer_is_told,
    what_came_during_a_pause_is_told_after_it,
}

/// More than one receive takes.
const MUCH: usize = 150_000;

/// A connection that nothing was sent on yet, from both sides.
fn connected(reactor: &Reactor) -> (TcpStream, Rc<Seen>) {
    let seen = Rc::<Seen>::default();
    let other = Rc::clone(&seen);
    let (port, address) = listen(reactor, move || Witness { stays: true, ..Witness::new(&other) });
    let stream = TcpStream::connect(address).unwrap();
    turn_until(reactor, || seen.made.get() == 1);
    drop(port);
    (stream, seen)
}

fn bytes_behind_an_urgent_one_are_received(kind: DriverKind) {
    let reactor = reactor(kind);
    let (mut stream, seen) = connected(&reactor);
    let mut expected = Vec::new();
    for round in 0..20 {
        stream.write_all(b"before").unwrap();
        send(stream.as_fd(), b"!", SendFlags::OOB).unwrap();
        stream.write_all(b"after").unwrap();
        expected.extend_from_slice(b"beforeafter");
        turn_until(&reactor, || seen.count() >= 11 * (round + 1));
    }
    assert_eq!(*seen.data.borrow(), expected);
    stream.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || seen.ended.get());
}

fn an_end_behind_bytes_is_told(kind: DriverKind) {
    let reactor = reactor(kind);
    let (mut stream, seen) = connected(&reactor);
    stream.write_all(b"the last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || seen.ended.get());
    assert_eq!(*seen.data.borrow(), b"the last words");
}

fn an_end_behind_more_than_a_buffer_is_told(kind: DriverKind) {
    let reactor = reactor(kind);
    let (mut stream, seen) = connected(&reactor);
    let sent = bytes(MUCH);
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || seen.ended.get());
    assert!(*seen.data.borrow() == sent, "{} bytes", seen.count());
}

fn what_came_during_a_pause_is_told_after_it(kind: DriverKind) {
    let reactor = reactor(kind);
    let (mut stream, seen) = connected(&reactor);
    for round in 1..=20 {
        seen.conn().pause_reading();
        stream.write_all(b"x").unwrap();
        reactor.turn(std::time::Duration::ZERO).unwrap();
        assert_eq!(seen.count(), 2 * (round - 1));
        stream.write_all(b"y").unwrap();
        seen.conn().resume_reading();
        turn_until(&reactor, || seen.count() == 2 * round);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || seen.ended.get());
}
