//! What happens when there are no more descriptors.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ropewalk_protocol::{Clock, Disconnect};
use ropewalk_reactor::Reactor;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::kit::{
    Count, Echo, Note, PATIENCE, alone, connect, is_quiet, listener, open_reactor, reactor, serve,
    settle, turn_until,
};

/// How long clients wait before they are turned away.
const STARVING_PATIENCE: Duration = Duration::from_secs(1);

#[test]
fn a_listener_without_descriptors_waits_and_recovers() {
    alone("scarcity::all_descriptors_are_taken");
}

#[test]
fn a_connection_that_cannot_have_a_descriptor_says_so() {
    alone("scarcity::nothing_to_connect_with");
}

/// Every descriptor that this process may still have.
struct Hoard(Vec<OwnedFd>);

impl Hoard {
    fn all() -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = Some(100);
        setrlimit(Resource::Nofile, limit).unwrap();
        let mut all = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            all.push(file.into());
        }
        Self(all)
    }

    fn release(&mut self, count: usize) {
        self.0.truncate(self.0.len() - count);
    }
}

/// Connects clients while `hoard` leaves each a descriptor, and none for the server's side.
fn clients(hoard: &mut Hoard, address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        hoard.release(1);
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    (0..count).map(connect).collect()
}

fn answers(client: &mut TcpStream, reactor: &Reactor) {
    client.write_all(b"word").unwrap();
    client.set_nonblocking(true).unwrap();
    let mut answer = [0; 4];
    turn_until(reactor, || match client.read_exact(&mut answer) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    });
    assert_eq!(&answer, b"word");
}

/// A scene: it needs a process of its own.
pub(crate) fn all_descriptors_are_taken() {
    let reactor = reactor();
    let served = Count::default();
    let counted = served.clone();
    let (_port, address) = serve(&reactor, move || {
        counted.add();
        Echo
    });
    let mut hoard = Hoard::all();
    // One is served, and then nothing is left.
    let mut first = clients(&mut hoard, address, 1).remove(0);
    hoard.release(1);
    answers(&mut first, &reactor);
    let mut waiting = clients(&mut hoard, address, 3);

    // The clients wait at the listener, and the loop does not spin over them.
    let begun = reactor.now();
    settle(&reactor);
    assert!(is_quiet(&reactor), "it sleeps");
    let wait = reactor.next_deadline().expect("it will not wait for ever");
    assert!(wait <= STARVING_PATIENCE, "{wait:?}");
    assert_eq!((served.get(), reactor.census().connections), (1, 1));
    // Who is served already is served on.
    answers(&mut first, &reactor);

    // One ends, and one of those who wait has its place.
    drop(first);
    // The client's own descriptor is not the one that it is about.
    hoard.0.push(std::fs::File::open("/dev/null").unwrap().into());
    turn_until(&reactor, || served.get() == 2);
    assert!(reactor.now() < begun + STARVING_PATIENCE, "it did not wait for its patience to end");
    answers(&mut waiting[0], &reactor);
    settle(&reactor);
    assert_eq!(reactor.census().connections, 1);

    // Nobody ends: after a second those who wait are turned away rather than left hanging.
    let since = reactor.now();
    let mut turns = 0;
    while !is_reset_or_closed(&waiting[1]) || !is_reset_or_closed(&waiting[2]) {
        reactor.turn(PATIENCE).unwrap();
        turns += 1;
        assert!(turns < 20, "it spins");
    }
    assert!(reactor.now() >= since + STARVING_PATIENCE / 2, "it was not patient");
    assert_eq!(served.get(), 2, "nobody was served without a descriptor");
    answers(&mut waiting[0], &reactor);

    // And with descriptors all is as before.
    drop(waiting);
    drop(hoard);
    let mut last = TcpStream::connect(address).unwrap();
    answers(&mut last, &reactor);
    turn_until(&reactor, || reactor.census().connections == 1);
    settle(&reactor);
    assert_eq!(reactor.next_deadline(), None);
}

fn is_reset_or_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// A scene: it needs a process of its own.
pub(crate) fn nothing_to_connect_with() {
    let reactor = reactor();
    let (_port, address) = serve(&reactor, || Echo);
    let hoard = Hoard::all();
    assert!(open_reactor().is_err());
    let (client, notes) = listener();
    connect(&reactor, address, client);
    turn_until(&reactor, || notes.lost().is_some());
    assert!(matches!(notes.lost(), Some(Disconnect::Failed(_))), "{:?}", notes.lost());
    drop(hoard);
    let (client, notes) = listener();
    connect(&reactor, address, client);
    turn_until(&reactor, || notes.has(&Note::Made));
}
