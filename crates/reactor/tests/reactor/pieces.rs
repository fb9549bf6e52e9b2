//! How much comes at once.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_protocol::Conn;
use ropewalk_reactor::Reactor;

use crate::kit::{Note, Witness, fill, held, reactor, settle};

/// How much a receive takes as a rule.
const USUAL: usize = 32 * 1024;
/// After so many bytes it is known how large pieces become.
const ENOUGH: usize = 8 * 1024 * 1024;

/// Whether a driver receives by itself, and so knows when to take more.
fn receives(reactor: &Reactor) -> bool {
    reactor.driver() != "io_uring"
}

/// How long the longest piece is of a stream that is sent to this protocol as fast as it takes it; the search ends
/// with one that is longer than the usual.
fn longest(reactor: &Reactor, react: impl FnMut(&Conn<Witness>) + 'static) -> usize {
    let mut react = react;
    let longest = Rc::new(RefCell::new(0));
    let found = Rc::clone(&longest);
    let (conn, _notes, stream) = held(reactor, move |conn, note| {
        if let Note::Data(data) = note {
            found.replace_with(|most| data.len().max(*most));
            react(conn);
        }
    });
    let mut sent = 0;
    while sent < ENOUGH && *longest.borrow() <= USUAL {
        sent += fill(&stream);
        settle(reactor);
        conn.resume_reading();
    }
    *longest.borrow()
}

#[test]
fn who_takes_much_and_says_nothing_gets_more_at_once() {
    let reactor = reactor();
    if receives(&reactor) {
        assert!(longest(&reactor, |_| ()) > USUAL);
    }
}

#[test]
fn who_answers_gets_no_more_than_usual() {
    let reactor = reactor();
    if receives(&reactor) {
        assert_eq!(longest(&reactor, |conn| conn.write(b".")), USUAL);
    }
}

#[test]
fn who_has_its_peer_wait_gets_no_more_than_usual() {
    let reactor = reactor();
    if receives(&reactor) {
        assert_eq!(longest(&reactor, Conn::pause_reading), USUAL);
    }
}

#[test]
fn who_passes_it_on_gets_no_more_than_usual() {
    let reactor = reactor();
    if receives(&reactor) {
        let (other, _notes, _stream) = held(&reactor, |_, _| ());
        assert_eq!(longest(&reactor, move |_| other.write(b".")), USUAL);
    }
}
