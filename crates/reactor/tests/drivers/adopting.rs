//! Sockets that somebody else has made.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write, pipe};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, DatagramPort, DatagramProtocol, Disconnect, Port, call_later, seat, seat_datagrams,
};
use ropewalk_reactor::{CannotAdopt, DriverKind, Reactor, UdpOptions};
use socket2::{Domain, Socket, Type};

use crate::kit::{
    Echo, PATIENCE, Seen, Witness, anywhere, bytes, come_to_rest, listen, now, on_each_driver,
    plain_listener, reactor, turn_until,
};

on_each_driver! {
    a_listener_is_taken_over_with_those_who_wait,
    a_listener_that_is_open_elsewhere_stays_open_there,
    a_connection_is_taken_over_with_what_has_come,
    a_connection_that_is_open_elsewhere_is_not_heard_of_again,
    a_port_for_datagrams_is_taken_over_with_what_has_come,
    what_is_no_listener_is_refused,
    what_is_no_connection_is_refused,
    one_that_is_taken_over_can_be_given_up_at_once,
    who_waits_when_listening_stops_is_served,
    who_was_let_in_is_served_also_where_others_go_on,
}

fn echo(reactor: &Reactor, listener: impl Into<OwnedFd>) -> Result<impl Port, CannotAdopt> {
    reactor.adopt_listener(listener.into(), Box::new(|_: &Address| Some(Echo)))
}

/// Says each datagram back.
struct SayBack;

impl DatagramProtocol for SayBack {
    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        port.send_to(data, from).unwrap();
    }
}

fn a_port_for_datagrams_is_taken_over_with_what_has_come(kind: DriverKind) {
    let reactor = reactor(kind);
    let here = "127.0.0.1:0".parse().unwrap();
    let socket = UdpSocket::from(UdpOptions::default().socket(here).unwrap());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(socket.local_addr().unwrap()).unwrap();
    client.set_nonblocking(true).unwrap();
    client.send(b"early").unwrap();
    let (options, other) = (UdpOptions::default(), socket.try_clone().unwrap());
    let adopt =
        |descriptor: OwnedFd| reactor.adopt_udp(descriptor, &options, seat_datagrams(SayBack));
    let port = adopt(socket.into()).unwrap();
    assert_eq!(port.address(), Address::Ip(other.local_addr().unwrap()));
    for expected in ["early", "late"] {
        turn_until(&reactor, || {
            let mut heard = [0; 16];
            client.recv(&mut heard).is_ok_and(|length| &heard[..length] == expected.as_bytes())
        });
        client.send(b"late").unwrap();
    }
    // It is open elsewhere too, and stays so.
    drop(port.stop_listening());
    come_to_rest(&reactor);
    assert!(client.send(b"on").is_ok() && client.send(b"on").is_ok(), "nobody refuses it");
    let stream = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(matches!(adopt(stream.into()), Err(CannotAdopt::NotDatagrams)));
    let (local, _) = UnixDatagram::pair().unwrap();
    assert!(matches!(adopt(local.into()), Err(CannotAdopt::UnknownFamily)));
    come_to_rest(&reactor);
}

/// The system has let them in: they know nothing of an end.
fn who_waits_when_listening_stops_is_served(kind: DriverKind) {
    let reactor = reactor(kind);
    let waiting =
        |address| (0..3).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>();
    let (port, address) = listen(&reactor, || Echo);
    let early = waiting(address);
    assert!(port.stop_listening().now_or_never().is_some());
    assert!(TcpStream::connect(address).is_err());
    // The same in the middle of a turn.
    let (port, address) = listen(&reactor, || Echo);
    let late = waiting(address);
    call_later(&reactor, Duration::ZERO, move || drop(port.stop_listening().on_result(drop)));
    for stream in early.into_iter().chain(late) {
        check_echo(&reactor, stream);
    }
    assert_eq!(reactor.census().listeners, 0);
    assert!(TcpStream::connect(address).is_err());
}

/// What a reactor does not take of them is left to the others, and what the system has accepted for it is its own.
fn who_was_let_in_is_served_also_where_others_go_on(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let port = echo(&reactor, listener.try_clone().unwrap()).unwrap();
    come_to_rest(&reactor);
    // More than one turn accepts.
    let mut clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    reactor.turn(PATIENCE).unwrap();
    drop(port.stop_listening());
    let before = reactor.census().connections;
    assert!((1..=100).contains(&before), "{before} were accepted");
    let other = echo(&reactor, listener).unwrap();
    turn_until(&reactor, || reactor.census().connections == 100);
    for stream in &mut clients {
        stream.write_all(b"word").unwrap();
    }
    for stream in &mut clients {
        stream.set_nonblocking(true).unwrap();
        let heard = Cell::new(0);
        turn_until(&reactor, || {
            heard.set(heard.get() + (&*stream).read(&mut [0; 4]).unwrap_or(0));
            heard.get() == 4
        });
    }
    drop(other.stop_listening());
}

/// Says a word and hears it back.
fn check_echo(reactor: &Reactor, mut stream: impl Read + Write) {
    stream.write_all(b"word").unwrap();
    come_to_rest(reactor);
    stream.read_exact(&mut [0; 4]).unwrap();
}

/// Statement 71, but for what is adopted twice: that is two listeners on one socket.
fn a_listener_is_taken_over_with_those_who_wait(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let waiting = TcpStream::connect(address).unwrap();
    let port = echo(&reactor, listener).unwrap();
    assert_eq!(port.address(), Address::Ip(address));
    check_echo(&reactor, waiting);
    check_echo(&reactor, TcpStream::connect(address).unwrap());
    drop(port.stop_listening());
    assert!(TcpStream::connect(address).is_err(), "it was open nowhere else");
    // A Unix socket's file is not ours to remove.
    let path = std::env::temp_dir().join(format!("ropewalk-adopt-{}-{kind}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let port = echo(&reactor, UnixListener::bind(&path).unwrap()).unwrap();
    assert_eq!(port.address(), Address::Unix(path.clone()));
    check_echo(&reactor, UnixStream::connect(&path).unwrap());
    drop(port.stop_listening());
    assert!(path.exists());
    std::fs::remove_file(&path).unwrap();
}

/// How many turns are made within a tenth of a second in which nothing is to be done.
fn turns_for_nothing(reactor: &Reactor) -> usize {
    come_to_rest(reactor);
    let (began, mut turns) = (now(), 0);
    while began.elapsed() < Duration::from_millis(100) {
        reactor.turn(Duration::from_millis(100)).unwrap();
        turns += 1;
    }
    turns
}

fn a_listener_that_is_open_elsewhere_stays_open_there(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let port = echo(&reactor, listener.try_clone().unwrap()).unwrap();
    check_echo(&reactor, TcpStream::connect(address).unwrap());
    drop(port.stop_listening());
    come_to_rest(&reactor);
    let waiting = TcpStream::connect(address).unwrap();
    assert!(turns_for_nothing(&reactor) <= 3, "it turns for a listener that is not its own");
    let port = echo(&reactor, listener.try_clone().unwrap()).unwrap();
    check_echo(&reactor, waiting);
    drop((port, listener));
}

fn a_connection_is_taken_over_with_what_has_come(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let mut outside = TcpStream::connect(address).unwrap();
    let accepted = listener.accept().unwrap().0;
    outside.write_all(b"before ").unwrap();
    let seen: Rc<Seen> = Rc::default();
    let witness = Witness { greeting: b"hello".to_vec(), ..Witness::new(&seen) };
    reactor.adopt_stream(accepted.into(), seat(witness)).unwrap();
    assert_eq!(seen.made.get(), 0, "nobody is told during the call");
    turn_until(&reactor, || seen.made.get() == 1);
    assert_eq!(seen.conn().peer(), Address::Ip(outside.local_addr().unwrap()));
    assert_eq!(seen.conn().local(), Address::Ip(address));
    outside.write_all(b"and after").unwrap();
    turn_until(&reactor, || *seen.data.borrow() == b"before and after");
    outside.read_exact(&mut [0; 5]).unwrap();
    seen.conn().write(&bytes(300_000));
    seen.conn().close();
    let reading = crate::kit::in_thread(move || crate::kit::read_all(outside).unwrap());
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Closed));
    come_to_rest(&reactor);
    assert!(reading.join().unwrap() == bytes(300_000));
    // Two reactors' ends of one pair.
    let (one, other) = UnixStream::pair().unwrap();
    let both: [Rc<Seen>; 2] = Default::default();
    for (socket, seen) in [one, other].into_iter().zip(&both) {
        let witness = Witness { greeting: b"pair".to_vec(), ..Witness::new(seen) };
        reactor.adopt_stream(socket.into(), seat(witness)).unwrap();
    }
    turn_until(&reactor, || both.iter().all(|seen| seen.count() == 4));
    assert_eq!(both[0].conn().peer(), Address::Unnamed);
    both[0].conn().abort();
    turn_until(&reactor, || reactor.census().connections == 0);
}

fn a_connection_that_is_open_elsewhere_is_not_heard_of_again(kind: DriverKind) {
    let reactor = reactor(kind);
    for aborts in [false, true] {
        let (ours, mut outside) = UnixStream::pair().unwrap();
        let kept = ours.try_clone().unwrap();
        let seen: Rc<Seen> = Rc::default();
        reactor.adopt_stream(ours.into(), seat(Witness::new(&seen))).unwrap();
        turn_until(&reactor, || seen.made.get() == 1);
        if aborts {
            seen.conn().abort();
        } else {
            seen.conn().close();
        }
        turn_until(&reactor, || seen.lost.get().is_some());
        outside.write_all(b"for whoever has it still").unwrap();
        assert!(turns_for_nothing(&reactor) <= 3, "it turns for what is not its own any more");
        (&kept).read_exact(&mut [0; 24]).unwrap();
    }
}

fn tcp() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
}

fn what_is_no_listener_is_refused(kind: DriverKind) {
    let reactor = reactor(kind);
    let refused = |descriptor: OwnedFd| {
        let error = echo(&reactor, descriptor).map(|_| ()).unwrap_err();
        assert!(!error.to_string().is_empty());
        error
    };
    let pipe = pipe().unwrap().0;
    assert!(matches!(refused(pipe.into()), CannotAdopt::NotSocket));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(refused(file.into()), CannotAdopt::NotSocket));
    let udp = UdpSocket::bind(anywhere()).unwrap();
    assert!(matches!(refused(udp.into()), CannotAdopt::NotStream));
    let datagrams = UnixDatagram::unbound().unwrap();
    assert!(matches!(refused(datagrams.into()), CannotAdopt::NotStream));
    assert!(matches!(refused(tcp().into()), CannotAdopt::NotListening));
    let (one, _other) = UnixStream::pair().unwrap();
    assert!(matches!(refused(one.into()), CannotAdopt::NotListening));
    assert_eq!(reactor.census().listeners, 0);
}

fn what_is_no_connection_is_refused(kind: DriverKind) {
    let reactor = reactor(kind);
    let refused = |descriptor: OwnedFd, told: ErrorKind| {
        let seen: Rc<Seen> = Rc::default();
        let error = reactor.adopt_stream(descriptor, seat(Witness::new(&seen))).unwrap_err();
        assert_eq!(seen.lost.get(), None, "nobody is told during the call");
        turn_until(&reactor, || seen.lost.get().is_some());
        assert_eq!((seen.lost.get(), seen.made.get()), (Some(Disconnect::Failed(told)), 0));
        error
    };
    let invalid = ErrorKind::InvalidInput;
    let pipe = pipe().unwrap().0;
    assert!(matches!(refused(pipe.into(), invalid), CannotAdopt::NotSocket));
    let udp = UdpSocket::bind(anywhere()).unwrap();
    assert!(matches!(refused(udp.into(), invalid), CannotAdopt::NotStream));
    let listener = TcpListener::bind(anywhere()).unwrap();
    assert!(matches!(refused(listener.into(), invalid), CannotAdopt::Listening));
    let unconnected = refused(tcp().into(), ErrorKind::NotConnected);
    assert!(matches!(unconnected, CannotAdopt::NotConnected));
    assert_eq!(reactor.census().connections, 0);
}

fn one_that_is_taken_over_can_be_given_up_at_once(kind: DriverKind) {
    let reactor = reactor(kind);
    let (ours, mut outside) = UnixStream::pair().unwrap();
    let (seat, made) = ropewalk_protocol::seat_and_tell(Witness::default());
    reactor.adopt_stream(ours.into(), seat).unwrap();
    made.cancel();
    turn_until(&reactor, || reactor.census().connections == 0);
    come_to_rest(&reactor);
    assert_eq!(outside.read(&mut [0]).unwrap(), 0, "it is closed");
}
