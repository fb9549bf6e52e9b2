//! Connections that are made one way or another, or not at all.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, CannotConnect, Conn, Disconnect, Port, Protocol, ResolveError, seat, seat_and_tell,
};
use ropewalk_reactor::{ConnectOptions, DriverKind, Reactor, TcpListenOptions, UnixListenOptions};
use ropewalk_trial::FakeResolver;
use socket2::{Domain, Socket, Type};

use crate::kit::{
    Echo, Seen, Witness, anywhere, bytes, come_to_rest, descriptors, on_each_driver,
    plain_listener, reactor, turn_until,
};

on_each_driver! {
    a_name_leads_to_the_address_that_answers,
    an_address_that_refuses_makes_way_for_the_next,
    all_addresses_that_failed_are_named,
    an_attempt_that_is_given_up_leaves_nothing,
    a_name_nobody_can_resolve_is_no_address,
    networks_that_cannot_be_reached_are_told_apart,
    one_connects_from_the_address_that_was_asked_for,
    several_listen_on_one_port_if_they_agree,
    an_ipv6_listener_takes_ipv4_if_told_to,
    a_full_unix_queue_is_waited_for,
    a_full_unix_queue_is_not_waited_for_beyond_the_time_out,
    abstract_names_are_no_files,
}

mod counted {
    crate::kit::on_each_driver! { alone the_losers_of_a_race_are_closed }

    use super::the_losers_of_a_race_are_closed;
}

/// A listener whose queue is full: whoever connects to it waits. All of it must be kept.
fn busy_listener() -> (Socket, TcpStream, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&anywhere().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let first = TcpStream::connect(address).unwrap();
    (socket, first, address)
}

/// An echo on `port` of another loopback address, if that is free there.
fn echo_at(reactor: &Reactor, last: u8, port: u16) -> bool {
    let address = SocketAddr::from(([127, 0, 0, last], port));
    let factory = |_: &Address| Some(Echo);
    reactor.listen_tcp(address, TcpListenOptions::default(), Box::new(factory)).is_ok()
}

/// A resolver that gives loopback addresses out for every name `host`.
fn host_of(reactor: &Reactor, lasts: &[u8]) -> FakeResolver {
    let resolver = FakeResolver::new();
    resolver.knows("host", lasts.iter().map(|last| [127, 0, 0, *last].into()));
    reactor.set_resolver(resolver.clone());
    resolver
}

fn eager() -> ConnectOptions {
    ConnectOptions::default().attempt_delay(Duration::from_millis(10))
}

/// The first address never answers; the second wins beside it (RFC 8305 section 5).
fn a_name_leads_to_the_address_that_answers(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_socket, _first, busy) = busy_listener();
    if !echo_at(&reactor, 2, busy.port()) {
        return a_name_leads_to_the_address_that_answers(kind);
    }
    host_of(&reactor, &[1, 2, 3]);
    let seen: Vec<Rc<Seen>> = (0..20).map(|_| Rc::default()).collect();
    for (n, seen) in seen.iter().enumerate() {
        let witness = Witness { greeting: bytes(1000 * n + 1), ..Witness::new(seen) };
        reactor.connect_name("host", busy.port(), eager(), seat(witness));
    }
    turn_until(&reactor, || seen.iter().enumerate().all(|(n, s)| s.count() == 1000 * n + 1));
    for (n, seen) in seen.iter().enumerate() {
        assert_eq!((seen.made.get(), seen.lost.get()), (1, None));
        assert!(*seen.data.borrow() == bytes(1000 * n + 1));
        let expected = SocketAddr::from(([127, 0, 0, 2], busy.port()));
        assert_eq!(seen.conn().peer(), Address::Ip(expected));
        assert_eq!(seen.conn().local().ip().unwrap().ip(), Ipv4Addr::from([127, 0, 0, 1]));
        seen.conn().close();
    }
    turn_until(&reactor, || reactor.census().connections == 0);
}

fn the_losers_of_a_race_are_closed(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_socket, _first, busy) = busy_listener();
    if !echo_at(&reactor, 9, busy.port()) {
        return the_losers_of_a_race_are_closed(kind);
    }
    // Two addresses of one host that hang, and the same twice.
    host_of(&reactor, &[1, 1, 9]);
    come_to_rest(&reactor);
    let (before, operations) = (descriptors(), reactor.operations());
    let seen: Rc<Seen> = Rc::default();
    reactor.connect_name("host", busy.port(), eager(), seat(Witness::new(&seen)));
    turn_until(&reactor, || seen.made.get() == 1);
    come_to_rest(&reactor);
    assert_eq!(descriptors(), before + 2, "both ends of one connection, and no more");
    seen.conn().close();
    turn_until(&reactor, || reactor.census().connections == 0);
    come_to_rest(&reactor);
    assert_eq!((descriptors(), reactor.operations()), (before, operations));
}

fn an_address_that_refuses_makes_way_for_the_next(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, refusing) = plain_listener();
    drop(listener);
    if !echo_at(&reactor, 2, refusing.port()) {
        return an_address_that_refuses_makes_way_for_the_next(kind);
    }
    host_of(&reactor, &[1, 2]);
    let seen: Rc<Seen> = Rc::default();
    let witness = Witness { greeting: b"hello".to_vec(), ..Witness::new(&seen) };
    reactor.connect_name("host", refusing.port(), ConnectOptions::default(), seat(witness));
    turn_until(&reactor, || seen.count() == 5);
    assert_eq!(seen.conn().cannot_connect(), None);
}

/// Says why it was never connected.
struct Report(Rc<std::cell::RefCell<Option<CannotConnect>>>);

impl Protocol for Report {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let error = conn.cannot_connect();
        assert_eq!(error.as_ref().map(|error| error.why), Some(why));
        self.0.replace(error);
    }
}

/// Differs from Twisted (72): the first failure is told, not the last.
fn all_addresses_that_failed_are_named(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, refusing) = plain_listener();
    drop(listener);
    let resolver = host_of(&reactor, &[]);
    let (nowhere, local) = (Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST);
    resolver.knows("host", [nowhere.into(), local.into()]);
    let told = Rc::default();
    let (seat, made) = seat_and_tell(Report(Rc::clone(&told)));
    reactor.connect_name("host", refusing.port(), ConnectOptions::default(), seat);
    let failure = reactor.run_until(made).expect_err("nobody is there");
    assert_eq!(failure.check(), Some(&Disconnect::NetworkUnreachable));
    let error = failure.check::<CannotConnect>().unwrap().clone();
    assert_eq!(told.take().as_ref(), Some(&error));
    let attempts: Vec<_> =
        error.attempts.iter().map(|a| (a.address.ip().unwrap(), a.why)).collect();
    let port = refusing.port();
    let expected = [
        ((nowhere, port).into(), Disconnect::NetworkUnreachable),
        ((local, port).into(), Disconnect::Refused),
    ];
    assert_eq!(attempts, expected);
    assert_eq!(reactor.census().connections, 0);
}

/// Statement 70, and what Twisted has not (51): the question for addresses is given up as well.
fn an_attempt_that_is_given_up_leaves_nothing(kind: DriverKind) {
    let reactor = reactor(kind);
    let resolver = host_of(&reactor, &[]);
    for turns in 0..3 {
        let (seat, made) = seat_and_tell(Witness::default());
        reactor.connect_name("nobody knows", 80, ConnectOptions::default(), seat);
        assert_eq!(resolver.pending(), 1);
        (0..turns).for_each(|_| reactor.turn(Duration::ZERO).unwrap());
        made.cancel();
        turn_until(&reactor, || reactor.census().connections == 0);
        assert_eq!(resolver.pending(), 0);
        assert!(!resolver.answer("nobody knows", []), "there is nobody to be told");
    }
    // The time for everything runs while addresses are looked up.
    let seen: Rc<Seen> = Rc::default();
    let options = ConnectOptions::default().timeout(Duration::from_millis(5));
    reactor.connect_name("nobody knows", 80, options, seat(Witness::new(&seen)));
    turn_until(&reactor, || seen.lost.get() == Some(Disconnect::TimedOut));
    assert_eq!((resolver.pending(), reactor.next_deadline()), (0, None));
}

fn a_name_nobody_can_resolve_is_no_address(kind: DriverKind) {
    let reactor = reactor(kind);
    let resolver = host_of(&reactor, &[4]);
    let failed = ResolveError::Failed { host: "down".to_owned(), reason: "no network".to_owned() };
    resolver.fails("down", failed.clone());
    resolver.knows("empty", []);
    let missing = |host: &str| ResolveError::NoAddress { host: host.to_owned() };
    let from_v6 = ConnectOptions::default().bind((Ipv6Addr::LOCALHOST, 0).into());
    for (host, options, expected) in [
        ("down", ConnectOptions::default(), failed),
        ("empty", ConnectOptions::default(), missing("empty")),
        ("host", ConnectOptions::default().v6_only(true), missing("host")),
        ("host", from_v6, missing("host")),
        ("127.0.0.1", from_v6, missing("127.0.0.1")),
    ] {
        let (seat, made) = seat_and_tell(Witness::default());
        reactor.connect_name(host, 80, options, seat);
        let failure = reactor.run_until(made).expect_err("there is no address");
        assert_eq!(failure.check(), Some(&Disconnect::UnknownHost));
        let error = failure.check::<CannotConnect>().unwrap();
        assert_eq!(error.unresolved.as_ref(), Some(&expected));
    }
}

fn networks_that_cannot_be_reached_are_told_apart(kind: DriverKind) {
    let reactor = reactor(kind);
    // No stream leads to everybody.
    let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, 80));
    // An address that is not this machine's to connect from.
    let elsewhere = ConnectOptions::default().bind(([192, 0, 2, 1], 0).into());
    let not_ours = Disconnect::Failed(ErrorKind::AddrNotAvailable);
    for (options, expected) in
        [(ConnectOptions::default(), Disconnect::NetworkUnreachable), (elsewhere, not_ours)]
    {
        let seen: Rc<Seen> = Rc::default();
        reactor.connect_tcp(everybody, options, seat(Witness::new(&seen)));
        turn_until(&reactor, || seen.lost.get().is_some());
        assert_eq!((seen.lost.get(), seen.made.get()), (Some(expected), 0));
    }
}

fn one_connects_from_the_address_that_was_asked_for(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let from = SocketAddr::from(([127, 0, 0, 77], 0));
    let seen: Rc<Seen> = Rc::default();
    let options = ConnectOptions::default().bind(from);
    reactor.connect_tcp(address, options, seat(Witness::new(&seen)));
    turn_until(&reactor, || seen.made.get() == 1);
    let (_stream, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), from.ip());
    assert_eq!(seen.conn().local(), Address::Ip(peer));
}

/// Statement 65.
fn several_listen_on_one_port_if_they_agree(kind: DriverKind) {
    let reactor = reactor(kind);
    let listen = |address, shared| {
        let options = TcpListenOptions::default().reuse_port(shared);
        reactor.listen_tcp(address, options, Box::new(|_: &Address| Some(Echo)))
    };
    let first = listen(anywhere(), true).unwrap();
    let address = first.address().ip().unwrap();
    assert_eq!(listen(address, false).unwrap_err().error.kind(), ErrorKind::AddrInUse);
    let second = listen(address, true).unwrap();
    come_to_rest(&reactor);
    drop(first.stop_listening());
    come_to_rest(&reactor);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"x").unwrap();
    turn_until(&reactor, || reactor.census().connections == 1);
    come_to_rest(&reactor);
    stream.read_exact(&mut [0]).unwrap();
    drop(second.stop_listening());
}

fn an_ipv6_listener_takes_ipv4_if_told_to(kind: DriverKind) {
    let reactor = reactor(kind);
    let listen = |both: bool| {
        let options = TcpListenOptions::default().v6_only(!both);
        let factory = Box::new(|_: &Address| Some(Echo));
        let port = reactor.listen_tcp((Ipv6Addr::UNSPECIFIED, 0).into(), options, factory);
        port.map(|port| port.address().ip().unwrap().port())
    };
    let Ok(both) = listen(true) else {
        return eprintln!("passed over: this machine does not speak IPv6");
    };
    let alone = listen(false).unwrap();
    come_to_rest(&reactor);
    let reach = |host: &str, port| TcpStream::connect((host, port)).is_ok();
    assert!(reach("127.0.0.1", both) && reach("::1", both) && reach("::1", alone));
    assert!(!reach("127.0.0.1", alone));
}

/// A Unix listener whose queue is full.
fn busy_path(folder: &std::path::Path) -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = socket2::SockAddr::unix(folder).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (listener, waiting);
            }
        }
    }
}

fn path(name: &str, kind: DriverKind) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("ropewalk-{name}-{}-{kind}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn a_full_unix_queue_is_waited_for(kind: DriverKind) {
    let reactor = reactor(kind);
    let path = path("busy", kind);
    let (listener, _waiting) = busy_path(&path);
    let seen: Vec<Rc<Seen>> = (0..3).map(|_| Rc::default()).collect();
    for seen in &seen {
        reactor.connect_unix(&path, ConnectOptions::default(), seat(Witness::new(seen)));
    }
    come_to_rest(&reactor);
    assert!(seen.iter().all(|seen| seen.made.get() == 0 && seen.lost.get().is_none()));
    listener.set_nonblocking(true).unwrap();
    let accepted = std::cell::RefCell::new(Vec::new());
    turn_until(&reactor, || {
        // What is accepted makes room, which nothing tells of.
        accepted.borrow_mut().extend(listener.accept());
        assert!(seen.iter().all(|seen| seen.lost.get().is_none()));
        seen.iter().all(|seen| seen.made.get() == 1)
    });
    std::fs::remove_file(&path).unwrap();
}

fn a_full_unix_queue_is_not_waited_for_beyond_the_time_out(kind: DriverKind) {
    let reactor = reactor(kind);
    let path = path("never", kind);
    let (_listener, _waiting) = busy_path(&path);
    let seen: Rc<Seen> = Rc::default();
    let options = ConnectOptions::default().timeout(Duration::from_millis(20));
    reactor.connect_unix(&path, options, seat(Witness::new(&seen)));
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!((seen.lost.get(), seen.made.get()), (Some(Disconnect::TimedOut), 0));
    assert_eq!(reactor.next_deadline(), None);
    std::fs::remove_file(&path).unwrap();
}

/// Statement 68, without Twisted's zero byte in front.
fn abstract_names_are_no_files(kind: DriverKind) {
    let reactor = reactor(kind);
    let name = format!("ropewalk-test-\0-{}-{kind}", std::process::id()).into_bytes();
    let options = UnixListenOptions::default();
    let listen = || reactor.listen_abstract(&name, options, Box::new(|_: &Address| Some(Echo)));
    let port = listen().unwrap();
    assert_eq!(port.address(), Address::Abstract(name.clone()));
    assert!(port.address().to_string().starts_with("unix:@ropewalk-test-\\x00-"));
    assert_eq!(listen().unwrap_err().error.kind(), ErrorKind::AddrInUse);
    // With the reactor at both ends, and with the system's own at either.
    let seen: Rc<Seen> = Rc::default();
    let witness = Witness { greeting: b"no file".to_vec(), ..Witness::new(&seen) };
    reactor.connect_abstract(&name, ConnectOptions::default(), seat(witness));
    turn_until(&reactor, || seen.count() == 7);
    assert_eq!(seen.conn().peer(), Address::Abstract(name.clone()));
    let address = UnixAddr::from_abstract_name(&name).unwrap();
    UnixStream::connect_addr(&address).unwrap();
    drop(port.stop_listening());
    come_to_rest(&reactor);
    assert!(UnixStream::connect_addr(&address).is_err(), "the name is free again");
    let _plain = UnixListener::bind_addr(&address).unwrap();
    let seen: Rc<Seen> = Rc::default();
    reactor.connect_abstract(&name, ConnectOptions::default(), seat(Witness::new(&seen)));
    turn_until(&reactor, || seen.made.get() == 1);
    // A name that is too long is refused like any other address.
    let seen: Rc<Seen> = Rc::default();
    reactor.connect_abstract(&[b'x'; 200], ConnectOptions::default(), seat(Witness::new(&seen)));
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Failed(ErrorKind::InvalidInput)));
}
