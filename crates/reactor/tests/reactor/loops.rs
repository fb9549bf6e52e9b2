//! Several reactors, and a reactor inside another loop.

use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk_protocol::{Clock, call_later};
use ropewalk_reactor::Exit;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::kit::{
    Count, Echo, Note, PATIENCE, connect, pattern, reactor, serve, turn_until, witness,
};

#[test]
fn reactors_in_their_own_threads_talk_to_each_other() {
    const CLIENTS: usize = 4;
    let (tell, told) = mpsc::channel();
    let server = thread::Builder::new().spawn(move || {
        let reactor = reactor();
        let (_port, address) = serve(&reactor, || Echo);
        tell.send((address, reactor.handle())).unwrap();
        reactor.run_without_signals().unwrap()
    });
    let (address, handle) = told.recv().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let client = move || {
                let reactor = reactor();
                let (client, notes) = witness(|conn, note| match note {
                    Note::Made => {
                        conn.write(&pattern(300_000));
                        conn.close_write();
                    }
                    Note::Eof => conn.close(),
                    _ => (),
                });
                connect(&reactor, address, client);
                turn_until(&reactor, || notes.lost().is_some());
                notes.data() == pattern(300_000)
            };
            thread::Builder::new().spawn(client).unwrap()
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
    handle.stop().unwrap();
    assert_eq!(server.unwrap().join().unwrap(), Exit::Stopped);
}

#[test]
fn two_reactors_on_one_thread_take_turns() {
    let (one, two) = (reactor(), reactor());
    let (_port, address) = serve(&one, || Echo);
    let (client, notes) = witness(|conn, note| match note {
        Note::Made => {
            conn.write(&pattern(500_000));
            conn.close_write();
        }
        Note::Eof => conn.close(),
        _ => (),
    });
    connect(&two, address, client);
    while notes.lost().is_none() {
        one.turn(Duration::ZERO).unwrap();
        two.turn(Duration::ZERO).unwrap();
    }
    assert!(notes.data() == pattern(500_000));
    // One may even take a turn inside the other's.
    let (inner, count) = (two.clone(), Count::default());
    let counted = count.clone();
    call_later(&two, Duration::ZERO, move || _ = counted.add());
    call_later(&one, Duration::ZERO, move || inner.turn(PATIENCE).unwrap());
    one.turn(PATIENCE).unwrap();
    assert_eq!(count.get(), 1);
}

/// What a toolkit's loop can do: watch one descriptor, keep one timer, call one function.
#[test]
fn a_foreign_loop_needs_a_descriptor_and_a_deadline() {
    let reactor = reactor();
    let (_port, address) = serve(&reactor, || Echo);
    let (client, notes) = witness(|conn, note| match note {
        Note::Made => conn.write(b"over there"),
        Note::Data(_) => _ = conn.call_later(Duration::from_millis(4), |_, conn| conn.close()),
        _ => (),
    });
    connect(&reactor, address, client);
    let fired = Count::default();
    let counted = fired.clone();
    let begun = reactor.now();
    call_later(&reactor, Duration::from_millis(15), move || _ = counted.add());
    let handle = reactor.handle();
    let called = Count::default();
    let (send, received) = mpsc::channel();
    let other = thread::Builder::new().spawn(move || {
        handle.call_from_thread(move |_| send.send(()).unwrap()).unwrap();
    });
    let (mut turns, descriptor) = (0, reactor.as_fd().try_clone_to_owned().unwrap());
    while notes.lost().is_none() || fired.get() == 0 || called.get() == 0 {
        let wait = reactor.next_deadline().unwrap_or(PATIENCE);
        let timeout = Timespec::try_from(wait).unwrap();
        poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout)).unwrap();
        reactor.turn(Duration::ZERO).unwrap();
        if received.try_recv().is_ok() {
            called.add();
        }
        turns += 1;
        assert!(turns < 1000, "the host spins");
    }
    assert!(reactor.now() >= begun + Duration::from_millis(15));
    assert_eq!(notes.data(), b"over there");
    other.unwrap().join().unwrap();
}
