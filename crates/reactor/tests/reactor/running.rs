//! Runs, stops, and what is left behind.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, deferred};
use ropewalk_protocol::{Disconnect, Port, call_later, sleep};
use ropewalk_reactor::{Census, Exit, Reactor, ReactorError, TcpListenOptions};

use crate::kit::{
    Count, Echo, Note, PATIENCE, alone, anywhere, connect, descriptors, listener, reactor, serve,
    settle, threads, turn_until, witness,
};

/// Stops the reactor with its next turn.
fn stop_soon(reactor: &Reactor) {
    let stopper = reactor.clone();
    call_later(reactor, Duration::ZERO, move || stopper.stop());
}

#[test]
fn a_reactor_runs_stops_and_runs_again() {
    let reactor = reactor();
    for _ in 0..3 {
        let (port, address) = serve(&reactor, || Echo);
        let (client, notes) = listener();
        connect(&reactor, address, client);
        turn_until(&reactor, || notes.has(&Note::Made));
        settle(&reactor);
        drop(reactor.spawn(std::future::pending::<Result<(), Failure>>()));
        let never = call_later(&reactor, PATIENCE, || panic!("the reactor stops before this"));
        assert_eq!(reactor.census().connections, 2);
        assert!(!reactor.is_running());
        let (asker, running) = (reactor.clone(), Rc::new(RefCell::new(None)));
        let answer = Rc::clone(&running);
        call_later(&reactor, Duration::ZERO, move || {
            answer.replace(Some(asker.is_running()));
        });
        stop_soon(&reactor);
        assert_eq!(reactor.run_without_signals().unwrap(), Exit::Stopped);
        assert_eq!(running.take(), Some(true));
        assert!(!reactor.is_running() && !never.is_active());
        assert_eq!(notes.lost(), Some(Disconnect::Stopped));
        assert_eq!(reactor.census(), Census::default());
        assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
        // What outlived the run does not reach what the next one has under the same key.
        let (_other, address) = serve(&reactor, || Echo);
        reactor.run_until(port.stop_listening()).unwrap();
        let (client, notes) = listener();
        connect(&reactor, address, client);
        turn_until(&reactor, || notes.has(&Note::Made));
        stop_soon(&reactor);
        reactor.run_without_signals().unwrap();
    }
}

#[test]
fn a_stop_before_the_run_holds() {
    let reactor = reactor();
    reactor.stop();
    assert_eq!(reactor.run().unwrap(), Exit::Stopped);
    stop_soon(&reactor);
    assert_eq!(reactor.run().unwrap(), Exit::Stopped);
}

#[test]
fn a_run_inside_a_run_is_refused_and_does_no_harm() {
    let reactor = reactor();
    let refusals = Count::default();
    let (inner, counted) = (reactor.clone(), refusals.clone());
    let nested = move || {
        let waiting = Deferred::<()>::succeed(());
        let refused = [inner.run(), inner.run_without_signals()];
        assert!(refused.iter().all(|run| matches!(run, Err(ReactorError::AlreadyRunning))));
        assert!(matches!(inner.turn(Duration::ZERO), Err(ReactorError::AlreadyRunning)));
        let (_promise, unfired) = deferred::<()>();
        assert!(inner.run_until(unfired).is_err());
        inner.run_until(waiting).unwrap();
        counted.add();
    };
    let nested = Rc::new(nested);
    let again = Rc::clone(&nested);
    // Inside a turn that a host makes, and inside a run.
    call_later(&reactor, Duration::ZERO, move || again());
    reactor.turn(PATIENCE).unwrap();
    let again = Rc::clone(&nested);
    call_later(&reactor, Duration::ZERO, move || again());
    // As the last thing that a connection hears.
    let (_port, address) = serve(&reactor, || Echo);
    let (client, notes) = witness(move |_, note| {
        if let Note::Lost(_) = note {
            nested();
        }
    });
    connect(&reactor, address, client);
    turn_until(&reactor, || notes.has(&Note::Made));
    stop_soon(&reactor);
    assert_eq!(reactor.run().unwrap(), Exit::Stopped);
    assert_eq!(refusals.get(), 3);
    stop_soon(&reactor);
    assert_eq!(reactor.run().unwrap(), Exit::Stopped, "a refusal leaves nothing behind");
}

#[test]
fn a_stop_waits_for_what_is_to_happen_before_it() {
    let reactor = reactor();
    let log: Rc<RefCell<Vec<&str>>> = Rc::default();
    let (sleeper, written) = (reactor.clone(), Rc::clone(&log));
    reactor.before_stop(move || {
        written.borrow_mut().push("asked");
        let stopper = sleeper.clone();
        sleep(&sleeper, Duration::from_millis(3)).map(move |()| {
            stopper.stop();
            written.borrow_mut().push("done");
        })
    });
    reactor.before_stop(|| panic!("this panic is part of the test"));
    reactor.before_stop(|| Deferred::fail(std::io::Error::other("part of the test")));
    let written = Rc::clone(&log);
    reactor.before_stop(move || {
        written.borrow_mut().push("asked as well");
        Deferred::succeed(())
    });
    stop_soon(&reactor);
    stop_soon(&reactor);
    assert_eq!(reactor.run().unwrap(), Exit::Stopped);
    assert_eq!(*log.borrow(), ["asked", "asked as well", "done"]);
    stop_soon(&reactor);
    reactor.run().unwrap();
    assert_eq!(log.borrow().len(), 3, "it belonged to the first run");
}

#[test]
fn a_stop_can_be_told_not_to_wait() {
    let reactor = reactor();
    let (_promise, never) = deferred::<()>();
    reactor.before_stop(|| never);
    stop_soon(&reactor);
    let stopper = reactor.clone();
    call_later(&reactor, Duration::from_millis(2), move || stopper.stop_now());
    assert_eq!(reactor.run().unwrap(), Exit::Stopped);
}

/// Where a connection's end is what stops the loop, the loop does not sleep over it.
#[test]
fn a_stop_out_of_a_failed_attempt_is_noticed() {
    let reactor = reactor();
    let stopper = reactor.clone();
    let (client, notes) = witness(move |_, note| {
        if let Note::Lost(_) = note {
            stopper.stop();
        }
    });
    let nowhere = std::path::Path::new("/no/such/folder/socket");
    let options = ropewalk_reactor::ConnectOptions::default();
    reactor.connect_unix(nowhere, options, ropewalk_protocol::seat(client));
    reactor.run().unwrap();
    assert!(notes.lost().is_some());
}

#[test]
fn connections_are_told_when_their_reactor_is_dropped() {
    let reactor = reactor();
    let (_port, address) = serve(&reactor, || Echo);
    let (client, notes) = listener();
    connect(&reactor, address, client);
    turn_until(&reactor, || notes.has(&Note::Made));
    // Made, being made, and not begun.
    let (second, attempt) = listener();
    connect(&reactor, address, second);
    drop(reactor);
    assert_eq!(notes.all(), [Note::Made, Note::Lost(Disconnect::Stopped)]);
    assert_eq!(attempt.all(), [Note::Lost(Disconnect::Stopped)]);
}

#[test]
fn a_place_is_free_when_listening_has_stopped() {
    let reactor = reactor();
    let (port, address) = serve(&reactor, || Echo);
    let options = TcpListenOptions::default();
    let factory = || Box::new(|_: &ropewalk_protocol::Address| Some(Echo));
    assert!(reactor.listen_tcp(address, options, factory()).is_err());
    // Outside a turn at once, and a second time too.
    assert!(port.stop_listening().now_or_never().unwrap().is_ok());
    assert!(port.stop_listening().now_or_never().unwrap().is_ok());
    let port = reactor.listen_tcp(address, options, factory()).unwrap();
    assert_eq!(reactor.census().listeners, 1);
    // Inside a turn as soon as the deferred says so.
    let again = reactor.clone();
    let (done, listening) = deferred();
    call_later(&reactor, Duration::ZERO, move || {
        port.stop_listening().on_result(move |stopped| {
            stopped.unwrap();
            done.fire(again.listen_tcp(address, options, factory()).map(|port| port.address()));
        });
    });
    assert_eq!(reactor.run_until(listening).unwrap(), address.into());
    // And while everything ends.
    let (last, _) = serve(&reactor, || Echo);
    let stopped = Count::default();
    let counted = stopped.clone();
    let mut last = Some(last);
    let (client, notes) = witness(move |_, note| {
        if let Note::Lost(_) = note {
            let counted = counted.clone();
            let port = last.take().unwrap();
            port.stop_listening().on_result(move |stopped| {
                stopped.unwrap();
                counted.add();
            });
        }
    });
    connect(&reactor, address, client);
    turn_until(&reactor, || notes.has(&Note::Made));
    stop_soon(&reactor);
    reactor.run().unwrap();
    assert_eq!(stopped.get(), 1);
}

#[test]
fn ten_thousand_reactors_leave_nothing_behind() {
    alone("running::ten_thousand_reactors");
}

/// A scene: it needs a process of its own.
pub(crate) fn ten_thousand_reactors() {
    one_life(true);
    let before = (descriptors(), threads());
    for cycle in 0..10_000 {
        one_life(cycle % 100 == 0);
    }
    assert_eq!((descriptors(), threads()), before);
}

fn one_life(is_full: bool) {
    let reactor = reactor();
    if is_full {
        let (_port, address) = serve(&reactor, || Echo);
        let (client, notes) = listener();
        connect(&reactor, address, client);
        turn_until(&reactor, || notes.has(&Note::Made));
        let work = reactor.defer_to_thread(|| Ok::<_, Failure>(1));
        assert_eq!(reactor.run_until(work).unwrap(), 1);
        let (client, _) = listener();
        connect(&reactor, anywhere(), client);
    }
    stop_soon(&reactor);
    reactor.run().unwrap();
}
