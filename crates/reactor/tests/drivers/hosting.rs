//! The descriptor and the deadline by which another loop hosts a reactor.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Clock, Port, call_later};
use ropewalk_reactor::{DriverKind, Exit, Reactor};
use rustix::event::epoll::{self as edges, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::kit::{
    Echo, PATIENCE, Seen, Witness, connect, in_thread, listen, now, on_each_driver, plain_listener,
    reactor, turn_until,
};

on_each_driver! {
    the_descriptor_is_readable_exactly_while_there_is_something_to_do,
    what_is_asked_for_between_turns_wakes_the_host,
    a_nearer_deadline_wakes_the_host,
    a_stop_between_turns_wakes_the_host,
    a_host_that_is_told_of_changes_alone_turns_until_there_is_nothing_left,
    a_host_sleeps_while_nothing_happens,
    a_host_that_came_in_the_middle_of_a_turn_is_told_of_all,
}

/// Whether the descriptor becomes readable within this time.
fn becomes_readable(reactor: &Reactor, within: Duration) -> bool {
    let timeout = Timespec::try_from(within).unwrap();
    loop {
        let mut asked = [PollFd::new(reactor, PollFlags::IN)];
        match rustix::event::poll(&mut asked, Some(&timeout)) {
            // A ring that has something to do in this thread ends its sleep.
            Err(Errno::INTR) => (),
            found => return found.unwrap() > 0,
        }
    }
}

fn is_readable(reactor: &Reactor) -> bool {
    becomes_readable(reactor, Duration::ZERO)
}

/// Turns as a host does until nothing is left to do.
#[track_caller]
fn do_what_is_there(reactor: &Reactor) {
    for _ in 0..1000 {
        let is_due = reactor.next_deadline() == Some(Duration::ZERO);
        if !is_due && !is_readable(reactor) {
            return;
        }
        reactor.turn(Duration::ZERO).unwrap();
    }
    panic!("{} has always something to do", reactor.driver());
}

/// Hosts a reactor by `poll` until `done`; answers how many turns that took.
#[track_caller]
fn host_until(reactor: &Reactor, done: impl Fn() -> bool) -> usize {
    let (began, mut turns) = (now(), 0);
    while !done() {
        assert!(began.elapsed() < PATIENCE, "nothing came of it on {}", reactor.driver());
        let wait = reactor.next_deadline().unwrap_or(PATIENCE);
        becomes_readable(reactor, wait);
        reactor.turn(Duration::ZERO).unwrap();
        turns += 1;
    }
    turns
}

/// A connection to a peer of the system's, at rest.
fn connection(reactor: &Reactor) -> (Rc<Seen>, TcpStream) {
    let (listener, address) = plain_listener();
    let seen = Rc::default();
    connect(reactor, address, Witness::new(&seen));
    turn_until(reactor, || seen.made.get() == 1);
    let (peer, _) = listener.accept().unwrap();
    do_what_is_there(reactor);
    (seen, peer)
}

fn the_descriptor_is_readable_exactly_while_there_is_something_to_do(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Echo);
    let (seen, mut peer) = connection(&reactor);
    call_later(&reactor, Duration::from_hours(1), || ());
    do_what_is_there(&reactor);
    assert!(!is_readable(&reactor), "nothing has happened");
    assert!(reactor.next_deadline().unwrap() > Duration::from_mins(50));
    for round in 1..=20 {
        peer.write_all(b"a").unwrap();
        assert!(becomes_readable(&reactor, PATIENCE), "bytes have come");
        assert!(is_readable(&reactor), "it stays so until there was a turn");
        do_what_is_there(&reactor);
        assert_eq!(seen.count(), round);
    }
    let client = TcpStream::connect(address).unwrap();
    assert!(becomes_readable(&reactor, PATIENCE), "a connection wants to be accepted");
    do_what_is_there(&reactor);
    assert_eq!(reactor.census().connections, 2);
    seen.conn().pause_reading();
    do_what_is_there(&reactor);
    peer.write_all(b"unwanted").unwrap();
    assert!(!becomes_readable(&reactor, Duration::from_millis(30)), "nobody wants to read that");
    drop(client);
    assert!(becomes_readable(&reactor, PATIENCE), "a peer has gone");
    do_what_is_there(&reactor);
    assert_eq!((reactor.census().connections, seen.count()), (1, 20));
}

fn what_is_asked_for_between_turns_wakes_the_host(kind: DriverKind) {
    let reactor = reactor(kind);
    let (port, address) = listen(&reactor, || Echo);
    let (seen, mut peer) = connection(&reactor);
    do_what_is_there(&reactor);

    seen.conn().write(b"from outside");
    assert!(becomes_readable(&reactor, PATIENCE), "it is to be sent");
    do_what_is_there(&reactor);
    let mut received = [0; 12];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"from outside");

    let other = Rc::default();
    connect(&reactor, address, Witness::new(&other));
    assert!(becomes_readable(&reactor, PATIENCE), "it is to be connected");
    host_until(&reactor, || other.made.get() == 1);
    do_what_is_there(&reactor);

    let ran = Rc::new(Cell::new(false));
    let runs = Rc::clone(&ran);
    let _task = reactor.spawn(async move {
        runs.set(true);
        Ok::<(), std::io::Error>(())
    });
    assert!(becomes_readable(&reactor, PATIENCE), "a task is to be polled");
    do_what_is_there(&reactor);
    assert!(ran.get());

    let work = reactor.defer_to_thread(|| Ok::<_, std::io::Error>(7));
    let result = Rc::new(Cell::new(0));
    let gets = Rc::clone(&result);
    work.on_result(move |answer| gets.set(answer.unwrap()));
    host_until(&reactor, || result.get() == 7);
    do_what_is_there(&reactor);

    let handle = reactor.handle();
    let called = Rc::new(Cell::new(false));
    in_thread(move || handle.call_from_thread(|_| ()).unwrap()).join().unwrap();
    assert!(becomes_readable(&reactor, PATIENCE), "another thread has a call to make");
    do_what_is_there(&reactor);

    let calls = Rc::clone(&called);
    call_later(&reactor, Duration::ZERO, move || calls.set(true));
    assert!(becomes_readable(&reactor, PATIENCE), "a call is to be made");
    do_what_is_there(&reactor);
    assert!(called.get());

    let stopped = port.stop_listening();
    do_what_is_there(&reactor);
    stopped.now_or_never().unwrap().unwrap();
    seen.conn().close();
    host_until(&reactor, || seen.lost.get().is_some());
}

fn a_nearer_deadline_wakes_the_host(kind: DriverKind) {
    let reactor = reactor(kind);
    let far = call_later(&reactor, Duration::from_hours(1), || ());
    assert!(!is_readable(&reactor), "nobody has asked for the descriptor before");
    let log: Rc<RefCell<Vec<&str>>> = Rc::default();
    do_what_is_there(&reactor);
    let told = reactor.next_deadline().unwrap();
    let says = Rc::clone(&log);
    call_later(&reactor, Duration::from_millis(5), move || says.borrow_mut().push("near"));
    assert!(is_readable(&reactor), "a host that sleeps for {told:?} would be late");
    host_until(&reactor, || !log.borrow().is_empty());
    do_what_is_there(&reactor);
    far.reset(Duration::from_millis(5));
    assert!(is_readable(&reactor), "the call comes sooner now");
    host_until(&reactor, || reactor.census().calls == 0);
    assert_eq!(reactor.next_deadline(), None);
}

fn a_stop_between_turns_wakes_the_host(kind: DriverKind) {
    let reactor = reactor(kind);
    let (seen, _peer) = connection(&reactor);
    do_what_is_there(&reactor);
    let (promise, waiting) = ropewalk_deferred::deferred::<()>();
    let waiting: Rc<Cell<Option<Deferred<()>>>> = Rc::new(Cell::new(Some(waiting)));
    reactor.before_stop(move || waiting.take().unwrap());
    reactor.stop();
    assert!(!reactor.is_stopped(), "something is to happen before");
    do_what_is_there(&reactor);
    promise.succeed(());
    assert!(reactor.is_stopped() && is_readable(&reactor));
    assert_eq!(reactor.run_without_signals().unwrap(), Exit::Stopped);
    assert!(seen.lost.get().is_some() && !reactor.is_stopped());
    // From another thread.
    do_what_is_there(&reactor);
    let handle = reactor.handle();
    in_thread(move || handle.stop().unwrap()).join().unwrap();
    assert!(becomes_readable(&reactor, PATIENCE));
    host_until(&reactor, || reactor.is_stopped());
}

fn a_host_that_is_told_of_changes_alone_turns_until_there_is_nothing_left(kind: DriverKind) {
    const ROUNDS: usize = 200;
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Echo);
    let poller = edges::create(CreateFlags::CLOEXEC).unwrap();
    edges::add(&poller, &reactor, EventData::new_u64(0), EventFlags::IN | EventFlags::ET).unwrap();
    let clients: Vec<_> = (0..3_u8)
        .map(|client| {
            in_thread(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                for _ in 0..ROUNDS {
                    stream.write_all(&[client; 64]).unwrap();
                    let mut back = [0; 64];
                    stream.read_exact(&mut back).unwrap();
                    assert_eq!(back, [client; 64]);
                }
            })
        })
        .collect();
    let began = now();
    do_what_is_there(&reactor);
    while !clients.iter().all(std::thread::JoinHandle::is_finished) {
        assert!(began.elapsed() < PATIENCE, "{} has missed a change", reactor.driver());
        // Clients that are done leave nothing to wake for, at the end.
        let timeout = Timespec::try_from(Duration::from_secs(1)).unwrap();
        let mut events = Vec::with_capacity(1);
        let waited =
            edges::wait(&poller, rustix::buffer::spare_capacity(&mut events), Some(&timeout));
        // A ring that has something to do in this thread ends its sleep.
        assert!(matches!(waited, Ok(_) | Err(Errno::INTR)));
        do_what_is_there(&reactor);
    }
    assert!(clients.into_iter().all(|client| client.join().is_ok()));
}

fn a_host_sleeps_while_nothing_happens(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, _) = listen(&reactor, || Echo);
    let (seen, mut peer) = connection(&reactor);
    let done = Rc::new(Cell::new(0));
    let counts = Rc::clone(&done);
    let begun = reactor.now();
    call_later(&reactor, Duration::from_millis(100), move || counts.set(counts.get() + 1));
    let counts = Rc::clone(&done);
    call_later(&reactor, Duration::from_millis(200), move || counts.set(counts.get() + 1));
    let writer = in_thread(move || {
        peer.write_all(b"hello").unwrap();
        peer
    });
    let turns = host_until(&reactor, || done.get() == 2);
    assert!(reactor.now() >= begun + Duration::from_millis(200));
    assert!(turns <= 20, "{turns} turns for three things");
    assert_eq!(seen.count(), 5);
    drop(writer.join().unwrap());
}

fn a_host_that_came_in_the_middle_of_a_turn_is_told_of_all(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let seen = Rc::default();
    connect(&reactor, address, Witness::new(&seen));
    turn_until(&reactor, || seen.made.get() == 1);
    let (mut peer, _) = listener.accept().unwrap();
    let (inner, descriptor) = (reactor.clone(), Rc::new(Cell::new(None)));
    let asks = Rc::clone(&descriptor);
    call_later(&reactor, Duration::ZERO, move || {
        asks.set(Some(inner.as_fd().try_clone_to_owned().unwrap()));
    });
    reactor.turn(PATIENCE).unwrap();
    let descriptor: OwnedFd = descriptor.take().expect("the call was made");
    do_what_is_there(&reactor);
    peer.write_all(b"x").unwrap();
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    let mut asked = [PollFd::new(&descriptor, PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut asked, Some(&timeout)).unwrap(), 1);
    do_what_is_there(&reactor);
    assert_eq!(seen.count(), 1);
}
