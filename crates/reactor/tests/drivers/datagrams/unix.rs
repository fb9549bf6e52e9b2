//! Unix datagrams.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::rc::Rc;

use ropewalk_protocol::{
    Address, Disconnect, Port, SendError, connect_datagrams, open_datagrams, seat_datagrams,
};
use ropewalk_reactor::{
    DriverKind, ListeningPort, Reactor, UnixDatagramEndpoint, UnixDatagramOptions,
};

use super::{Heard, receiver};
use crate::kit::{Folder, bytes, come_to_rest, on_each_driver, reactor, turn_until};

on_each_driver! {
    paths_and_abstract_names_receive_and_answer,
    connected_ports_wait_for_a_full_receiver,
    a_full_receiver_is_not_waited_for_otherwise,
    a_peer_that_is_gone_is_told,
    long_datagrams_are_reported,
    sockets_have_their_permissions_and_go_with_their_port,
    a_socket_that_was_left_behind_is_replaced,
    a_place_that_is_in_use_is_not_taken,
    places_for_unix_datagrams_open_ports,
}

#[track_caller]
fn listen(reactor: &Reactor, place: &Address, echoes: bool) -> (Rc<Heard>, ListeningPort) {
    let (protocol, heard) = receiver(echoes);
    let options = UnixDatagramOptions::default();
    let port = reactor.listen_unix_datagrams(place, &options, seat_datagrams(protocol)).unwrap();
    assert_eq!(port.address(), *place);
    turn_until(reactor, || heard.port.borrow().is_some());
    (heard, port)
}

#[track_caller]
fn connect(reactor: &Reactor, peer: &Address, options: &UnixDatagramOptions) -> Rc<Heard> {
    let (protocol, heard) = receiver(false);
    reactor.connect_unix_datagrams(peer, options, seat_datagrams(protocol));
    turn_until(reactor, || heard.port.borrow().is_some() || heard.stopped.get().is_some());
    heard
}

/// A name in the abstract namespace that nobody else has.
fn name(kind: DriverKind, what: &str) -> Address {
    let process = std::process::id();
    Address::Abstract(format!("ropewalk-test-{process}-{kind}-{what}\0x").into_bytes())
}

/// Statement 80: `listenUNIXDatagram`, `connectUNIXDatagram`.
fn paths_and_abstract_names_receive_and_answer(kind: DriverKind) {
    let (reactor, folder) = (reactor(kind), Folder::new("datagrams"));
    let places = [Address::Unix(folder.path("server")), name(kind, "server")];
    let clients = [Address::Unix(folder.path("client")), name(kind, "client")];
    for (place, own) in places.iter().zip(&clients) {
        let (server, _port) = listen(&reactor, place, true);
        assert_eq!(server.port().local(), *place);
        let options = UnixDatagramOptions::default().bind(own.clone());
        let client = connect(&reactor, place, &options);
        assert_eq!(client.port().peer(), *place);
        for size in [0, 1, 9000, 60_000] {
            client.port().send(&bytes(size)).unwrap();
            turn_until(&reactor, || {
                client.datagrams.borrow().last().is_some_and(|d| d.0.len() == size)
            });
        }
        assert!(server.datagrams.borrow().iter().all(|(_, from)| from == own));
        assert!(client.datagrams.borrow().iter().all(|(_, from)| from == place));
    }
    // One without a name is heard, and cannot be answered.
    let (server, _port) = listen(&reactor, &name(kind, "deaf"), false);
    let client = connect(&reactor, &name(kind, "deaf"), &UnixDatagramOptions::default());
    client.port().send(b"who am I?").unwrap();
    turn_until(&reactor, || server.count() == 1);
    assert_eq!(server.datagrams.borrow()[0].1, Address::Unnamed);
    server.port().send_to(b"nobody", &Address::Unnamed).unwrap();
    turn_until(&reactor, || server.unsent.borrow().len() == 1);
    assert_eq!(server.unsent.borrow()[0].1, SendError::WrongAddress);
}

fn connected_ports_wait_for_a_full_receiver(kind: DriverKind) {
    const COUNT: usize = 2000;
    let (reactor, folder) = (reactor(kind), Folder::new("full"));
    let path = folder.path("slow");
    let slow = UnixDatagram::bind(&path).unwrap();
    slow.set_nonblocking(true).unwrap();
    let client = connect(&reactor, &Address::Unix(path), &UnixDatagramOptions::default());
    for index in 0..COUNT {
        client.port().send(&index.to_be_bytes()).unwrap();
    }
    come_to_rest(&reactor);
    assert!(client.port().waiting() > 0, "the system took them all");
    let mut received = 0_usize;
    while received < COUNT {
        let mut buffer = [0; 100];
        match slow.recv(&mut buffer) {
            Ok(count) => {
                assert_eq!(buffer[..count], received.to_be_bytes());
                received += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                reactor.turn(crate::kit::PATIENCE).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(client.port().waiting(), 0);
    assert!(client.unsent.borrow().is_empty());
}

/// Differs from Twisted (statement 80), which drops such datagrams in silence.
fn a_full_receiver_is_not_waited_for_otherwise(kind: DriverKind) {
    let (reactor, folder) = (reactor(kind), Folder::new("dropped"));
    let path = folder.path("slow");
    let _slow = UnixDatagram::bind(&path).unwrap();
    let (sender, _port) = listen(&reactor, &name(kind, "sender"), false);
    let (other, _port) = listen(&reactor, &name(kind, "other"), false);
    for _ in 0..1000 {
        sender.port().send_to(b"x", &Address::Unix(path.clone())).unwrap();
    }
    sender.port().send_to(b"y", &name(kind, "other")).unwrap();
    turn_until(&reactor, || other.count() == 1);
    let unsent = sender.unsent.borrow();
    assert!(!unsent.is_empty() && unsent.iter().all(|(_, why)| *why == SendError::PeerFull));
}

fn a_peer_that_is_gone_is_told(kind: DriverKind) {
    let (reactor, folder) = (reactor(kind), Folder::new("gone"));
    let path = folder.path("peer");
    let peer = UnixDatagram::bind(&path).unwrap();
    let client = connect(&reactor, &Address::Unix(path.clone()), &UnixDatagramOptions::default());
    drop(peer);
    client.port().send(b"anybody?").unwrap();
    turn_until(&reactor, || client.refused.get() > 0);
    let (sender, _port) = listen(&reactor, &name(kind, "sender"), false);
    let nowhere = Address::Unix(folder.path("nowhere"));
    sender.port().send_to(b"x", &Address::Unix(path.clone())).unwrap();
    sender.port().send_to(b"x", &nowhere).unwrap();
    turn_until(&reactor, || sender.unsent.borrow().len() == 2);
    let missing = SendError::Failed(ErrorKind::NotFound);
    assert_eq!(
        *sender.unsent.borrow(),
        [(Some(Address::Unix(path)), SendError::Refused), (Some(nowhere.clone()), missing)],
    );
    let never = connect(&reactor, &nowhere, &UnixDatagramOptions::default());
    assert_eq!(never.stopped.get(), Some(Disconnect::Failed(ErrorKind::NotFound)));
}

fn long_datagrams_are_reported(kind: DriverKind) {
    let (reactor, place) = (reactor(kind), name(kind, "long"));
    let (protocol, heard) = receiver(false);
    let options = UnixDatagramOptions::default().receive_buffer(400_000);
    reactor.listen_unix_datagrams(&place, &options, seat_datagrams(protocol)).unwrap();
    turn_until(&reactor, || heard.port.borrow().is_some());
    let options = UnixDatagramOptions::default().send_buffer(400_000);
    let client = connect(&reactor, &place, &options);
    for size in [65_535, 65_536, 100_000, 7] {
        client.port().send(&bytes(size)).unwrap();
    }
    turn_until(&reactor, || heard.count() == 2);
    let sizes: Vec<_> = heard.said().iter().map(Vec::len).collect();
    assert_eq!(sizes, [65_535, 7]);
    let cut = bytes(65_535);
    assert!(heard.truncated.borrow().iter().all(|part| *part == cut));
    assert_eq!(heard.truncated.borrow().len(), 2);
}

fn sockets_have_their_permissions_and_go_with_their_port(kind: DriverKind) {
    let (reactor, folder) = (reactor(kind), Folder::new("modes"));
    for mode in [0o600, 0o660, 0o777, 0o200] {
        let path = folder.path(&format!("{mode:o}"));
        let (protocol, heard) = receiver(false);
        let options = UnixDatagramOptions::default().mode(mode);
        let place = Address::Unix(path.clone());
        let seat = seat_datagrams(protocol);
        let port = reactor.listen_unix_datagrams(&place, &options, seat).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode);
        turn_until(&reactor, || heard.port.borrow().is_some());
        if mode == 0o600 {
            heard.port().close();
            turn_until(&reactor, || heard.stopped.get().is_some());
        } else {
            reactor.run_until(port.stop_listening()).unwrap();
        }
        assert!(!path.exists());
    }
    let path = folder.path("last");
    let (_heard, _port) = listen(&reactor, &Address::Unix(path.clone()), false);
    drop(reactor);
    assert!(!path.exists());
}

/// Statement 68, of streams, holds for datagrams as well: stale sockets are removed.
fn a_socket_that_was_left_behind_is_replaced(kind: DriverKind) {
    let (reactor, folder) = (reactor(kind), Folder::new("stale"));
    for stream in [false, true] {
        let path = folder.path(if stream { "stream" } else { "datagram" });
        if stream {
            drop(UnixListener::bind(&path).unwrap());
        } else {
            drop(UnixDatagram::bind(&path).unwrap());
        }
        assert!(path.exists(), "the standard library leaves it behind");
        let place = Address::Unix(path);
        let (heard, _port) = listen(&reactor, &place, false);
        let client = connect(&reactor, &place, &UnixDatagramOptions::default());
        client.port().send(b"hello").unwrap();
        turn_until(&reactor, || heard.count() == 1);
    }
    assert!(std::fs::read_dir(folder.path("")).unwrap().count() <= 2, "a lock was left behind");
}

fn a_place_that_is_in_use_is_not_taken(kind: DriverKind) {
    let (reactor, folder) = (reactor(kind), Folder::new("live"));
    let paths = ["datagram", "stream", "file"].map(|name| folder.path(name));
    let _one = UnixDatagram::bind(&paths[0]).unwrap();
    let _two = UnixListener::bind(&paths[1]).unwrap();
    std::fs::write(&paths[2], "precious").unwrap();
    let own = folder.path("own");
    let (_heard, _port) = listen(&reactor, &Address::Unix(own.clone()), false);
    let refused = |place: Address| {
        let (protocol, heard) = receiver(false);
        let options = UnixDatagramOptions::default();
        let seat = seat_datagrams(protocol);
        let error = reactor.listen_unix_datagrams(&place, &options, seat).unwrap_err();
        turn_until(&reactor, || heard.stopped.get().is_some());
        error.error.kind()
    };
    for path in paths.iter().chain([&own]) {
        assert_eq!(refused(Address::Unix(path.clone())), ErrorKind::AddrInUse);
        assert!(path.exists());
    }
    assert_eq!(refused(Address::Unix(PathBuf::from("p".repeat(200)))), ErrorKind::InvalidInput);
    assert_eq!(refused(Address::Memory("m".to_owned())), ErrorKind::InvalidInput);
}

fn places_for_unix_datagrams_open_ports(kind: DriverKind) {
    let reactor = reactor(kind);
    let (server, client) = (name(kind, "place"), name(kind, "from"));
    let options = UnixDatagramOptions::default();
    let place = UnixDatagramEndpoint::new(&reactor, server.clone(), options.clone());
    let (protocol, heard) = receiver(true);
    reactor.run_until(open_datagrams(&place, protocol)).unwrap();
    for own in [Address::Unnamed, client] {
        let place = UnixDatagramEndpoint::new(&reactor, own.clone(), options.clone());
        let (protocol, answered) = receiver(false);
        let port = reactor.run_until(connect_datagrams(&place, &server, protocol)).unwrap();
        port.send(b"hello").unwrap();
        let before = heard.count();
        turn_until(&reactor, || heard.count() > before);
        if own != Address::Unnamed {
            turn_until(&reactor, || answered.count() == 1);
        }
    }
}
