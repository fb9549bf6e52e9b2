//! Connections that are not made, or not for long.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{Address, Conn, Disconnect, Protocol, call_later, seat, seat_and_tell};
use ropewalk_reactor::{ConnectOptions, Reactor};
use socket2::{Domain, Socket, Type};

use crate::kit::{
    Count, Echo, Note, anywhere, connect, listener, reactor, serve, settle, turn_until, witness,
};

/// A port where nobody listens: it is taken while the socket lives.
fn deaf_port() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&anywhere().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A listener whose queue is full, so that whoever comes waits; what it is made of must be kept.
fn busy_port() -> (Socket, std::net::TcpStream, SocketAddr) {
    let (socket, address) = deaf_port();
    socket.listen(0).unwrap();
    (socket, std::net::TcpStream::connect(address).unwrap(), address)
}

#[test]
fn nobody_listens() {
    let reactor = reactor();
    let (_socket, address) = deaf_port();
    let (client, notes) = listener();
    connect(&reactor, address, client);
    assert_eq!(notes.all(), [], "nobody is told during the call");
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.all(), [Note::Lost(Disconnect::Refused)]);
    assert_eq!(reactor.census().connections, 0);
    assert_eq!(reactor.next_deadline(), None, "the time-out is gone with the attempt");
}

#[test]
fn nobody_answers_in_time() {
    let reactor = reactor();
    let (_socket, _first, address) = busy_port();
    let (client, notes) = listener();
    let options = ConnectOptions::default().timeout(Duration::from_millis(20));
    reactor.connect_tcp(address, options, seat(client));
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.all(), [Note::Lost(Disconnect::TimedOut)]);
}

#[test]
fn names_without_addresses_are_unknown() {
    let reactor = reactor();
    let (client, notes) = listener();
    reactor.connect_name("no.such.host.invalid", 80, ConnectOptions::default(), seat(client));
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.all(), [Note::Lost(Disconnect::UnknownHost)]);
}

#[test]
fn what_cannot_even_begin_is_told_like_the_rest() {
    let reactor = reactor();
    let (client, notes) = listener();
    let path = PathBuf::from("/no/such/folder/socket");
    reactor.connect_unix(&path, ConnectOptions::default(), seat(client));
    assert_eq!(notes.all(), []);
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.all(), [Note::Lost(Disconnect::Failed(ErrorKind::NotFound))]);
    let (client, notes) = listener();
    let path = PathBuf::from("x".repeat(200));
    reactor.connect_unix(&path, ConnectOptions::default(), seat(client));
    turn_until(&reactor, || notes.lost().is_some());
    assert!(matches!(notes.lost(), Some(Disconnect::Failed(_))));
}

#[test]
fn attempts_can_be_cancelled_at_each_stage() {
    let reactor = reactor();
    let (_socket, _first, address) = busy_port();
    for turns in 0..3 {
        for by_name in [false, true] {
            let (client, notes) = listener();
            let (seat, made) = seat_and_tell(client);
            let options = ConnectOptions::default();
            if by_name {
                reactor.connect_name("127.1", address.port(), options, seat);
            } else {
                reactor.connect_tcp(address, options, seat);
            }
            (0..turns).for_each(|_| reactor.turn(Duration::ZERO).unwrap());
            made.cancel();
            let failure: Failure = reactor.run_until(made).expect_err("it was cancelled");
            turn_until(&reactor, || notes.lost().is_some());
            assert_eq!(notes.all(), [Note::Lost(Disconnect::Aborted)], "{failure:?}");
            assert_eq!(reactor.census().connections, 0);
        }
    }
    settle(&reactor);
}

#[test]
fn a_deferred_tells_of_the_connection_or_of_its_failure() {
    let reactor = reactor();
    let (_port, echo) = serve(&reactor, || Echo);
    let (client, notes) = listener();
    let (seat, made) = seat_and_tell(client);
    reactor.connect_tcp(echo, ConnectOptions::default(), seat);
    let conn = reactor.run_until(made).unwrap();
    assert_eq!(conn.peer(), Address::Ip(echo));
    assert_eq!(conn.local().ip().unwrap().ip(), Ipv4Addr::LOCALHOST);
    conn.write(b"from outside");
    turn_until(&reactor, || notes.data() == b"from outside");

    let (_socket, address) = deaf_port();
    let (client, notes) = listener();
    let (seat, made) = seat_and_tell(client);
    reactor.connect_tcp(address, ConnectOptions::default(), seat);
    let failure = reactor.run_until(made).expect_err("nobody listens");
    assert_eq!(failure.check(), Some(&Disconnect::Refused));
    assert_eq!(notes.lost(), Some(Disconnect::Refused));
}

/// Connects again as soon as it is told that it failed.
struct Stubborn {
    reactor: Reactor,
    attempts: Count,
}

impl Stubborn {
    fn begin(reactor: &Reactor, attempts: &Count) {
        let path = PathBuf::from("/no/such/folder/socket");
        let this = Self { reactor: reactor.clone(), attempts: attempts.clone() };
        reactor.connect_unix(&path, ConnectOptions::default(), seat(this));
    }
}

impl Protocol for Stubborn {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn connection_lost(&mut self, _: &Conn<Self>, _: Disconnect) {
        self.attempts.add();
        Self::begin(&self.reactor, &self.attempts);
    }
}

#[test]
fn one_that_connects_again_and_again_leaves_the_others_their_turn() {
    let reactor = reactor();
    let attempts = Count::default();
    Stubborn::begin(&reactor, &attempts);
    let (_port, echo) = serve(&reactor, || Echo);
    let (client, notes) = witness(|conn, note| {
        if *note == Note::Made {
            conn.write(b"through");
        }
    });
    connect(&reactor, echo, client);
    turn_until(&reactor, || notes.data() == b"through");
    // Nor does it keep the reactor from stopping.
    let stopper = reactor.clone();
    call_later(&reactor, Duration::from_millis(1), move || stopper.stop());
    reactor.run().unwrap();
    assert!(attempts.get() > 1);
    assert_eq!(reactor.census(), ropewalk_reactor::Census::default());
    assert_eq!(notes.lost(), Some(Disconnect::Stopped));
}
