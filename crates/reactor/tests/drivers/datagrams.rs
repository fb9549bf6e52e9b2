//! Datagrams over UDP.
//!
//! The numbers of statements are those of the table in `ropewalk_reactor::twisted`.

mod bounds;
mod groups;
mod udp;
mod unix;

use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;

use ropewalk_protocol::{
    Address, DatagramPort, DatagramProtocol, Disconnect, Port, SendError, seat_datagrams,
};
use ropewalk_reactor::{ListeningPort, Reactor, UdpOptions};

use crate::kit::{PATIENCE, anywhere, turn_until};

/// What a [`Receiver`] has seen.
#[derive(Default)]
pub(super) struct Heard {
    port: RefCell<Option<DatagramPort<Receiver>>>,
    datagrams: RefCell<Vec<(Vec<u8>, Address)>>,
    truncated: RefCell<Vec<Vec<u8>>>,
    refused: Cell<usize>,
    unsent: RefCell<Vec<(Option<Address>, SendError)>>,
    stopped: Cell<Option<Disconnect>>,
}

impl Heard {
    fn port(&self) -> DatagramPort<Receiver> {
        self.port.borrow().clone().unwrap()
    }

    fn count(&self) -> usize {
        self.datagrams.borrow().len()
    }

    /// What came, without who sent it.
    fn said(&self) -> Vec<Vec<u8>> {
        self.datagrams.borrow().iter().map(|(data, _)| data.clone()).collect()
    }
}

/// Remembers what it is told, and sends it back if it is to.
#[derive(Default)]
pub(super) struct Receiver {
    heard: Rc<Heard>,
    echoes: bool,
}

impl DatagramProtocol for Receiver {
    fn started(&mut self, port: &DatagramPort<Self>) {
        assert!(self.heard.port.replace(Some(port.clone())).is_none(), "started twice");
    }

    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        assert!(self.heard.stopped.get().is_none(), "a datagram after the end");
        assert!(!data.starts_with(b"panic"), "as asked");
        self.heard.datagrams.borrow_mut().push((data.to_vec(), from.clone()));
        if self.echoes {
            port.send_to(data, from).unwrap();
        }
        match data {
            b"close" => port.close(),
            b"pause" => port.pause_reading(),
            _ => (),
        }
    }

    fn datagram_truncated(&mut self, _port: &DatagramPort<Self>, data: &[u8], _from: &Address) {
        self.heard.truncated.borrow_mut().push(data.to_vec());
    }

    fn connection_refused(&mut self, _port: &DatagramPort<Self>) {
        self.heard.refused.set(self.heard.refused.get() + 1);
    }

    fn send_failed(&mut self, _port: &DatagramPort<Self>, to: Option<&Address>, why: SendError) {
        self.heard.unsent.borrow_mut().push((to.cloned(), why));
    }

    fn stopped(&mut self, _port: &DatagramPort<Self>, why: Disconnect) {
        assert!(self.heard.stopped.replace(Some(why)).is_none(), "stopped twice");
    }
}

fn receiver(echoes: bool) -> (Receiver, Rc<Heard>) {
    let heard = Rc::new(Heard::default());
    (Receiver { heard: Rc::clone(&heard), echoes }, heard)
}

/// Opens a port at `place`, and turns until it has started.
#[track_caller]
fn open_at(
    reactor: &Reactor,
    place: SocketAddr,
    options: &UdpOptions,
    echoes: bool,
) -> (Rc<Heard>, ListeningPort) {
    let (protocol, heard) = receiver(echoes);
    let port = reactor.listen_udp(place, options, seat_datagrams(protocol)).unwrap();
    turn_until(reactor, || heard.port.borrow().is_some());
    (heard, port)
}

#[track_caller]
fn open(reactor: &Reactor, options: &UdpOptions) -> (Rc<Heard>, SocketAddr) {
    let (heard, port) = open_at(reactor, anywhere(), options, false);
    let place = port.address().ip().unwrap();
    (heard, place)
}

#[track_caller]
fn echo(reactor: &Reactor) -> SocketAddr {
    open_at(reactor, anywhere(), &UdpOptions::default(), true).1.address().ip().unwrap()
}

#[track_caller]
fn connect(reactor: &Reactor, peer: SocketAddr) -> Rc<Heard> {
    let (protocol, heard) = receiver(false);
    reactor.connect_udp(peer, &UdpOptions::default(), seat_datagrams(protocol));
    turn_until(reactor, || heard.port.borrow().is_some() || heard.stopped.get().is_some());
    heard
}

/// A socket of the system's that gives up waiting some time.
fn plain() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(anywhere()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let place = socket.local_addr().unwrap();
    (socket, place)
}

fn anywhere_v6() -> SocketAddr {
    (Ipv6Addr::LOCALHOST, 0).into()
}

fn everywhere() -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, 0).into()
}
