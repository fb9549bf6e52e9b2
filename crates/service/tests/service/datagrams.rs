//! Ports for datagrams, as services.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, DatagramPort, DatagramProtocol};
use ropewalk_reactor::{DriverKind, Reactor, UdpEndpoint, UdpOptions};
use ropewalk_service::{DatagramServer, Service as _, Tree};

/// Sends each datagram back, with how many there were.
#[derive(Default)]
struct Count(u8);

impl DatagramProtocol for Count {
    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        self.0 += 1;
        let answer = [data, &[self.0]].concat();
        port.send_to(&answer, from).unwrap();
    }
}

fn ask(reactor: &Reactor, place: SocketAddr) -> Vec<u8> {
    let asked = reactor.defer_to_thread(move || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        socket.send_to(b"n", place).unwrap();
        let mut answer = [0; 8];
        let count = socket.recv(&mut answer).unwrap();
        Ok::<_, std::io::Error>(answer[..count].to_vec())
    });
    reactor.run_until(asked).unwrap()
}

#[test]
fn a_port_is_opened_and_closed_with_its_service_and_begins_anew_each_time() {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    let reactor = Reactor::with_driver(kind).unwrap();
    let made = Rc::new(Cell::new(0));
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let place = UdpEndpoint::new(&reactor, anywhere, UdpOptions::default());
    let counter = Rc::clone(&made);
    let server = Rc::new(DatagramServer::new(place, move || {
        counter.set(counter.get() + 1);
        Count::default()
    }));
    assert!(server.port().is_none());
    let tree = Tree::new(reactor.clone());
    tree.add("count", Rc::clone(&server)).unwrap().detach();
    for turn in 1..=2 {
        reactor.run_until(tree.start()).unwrap();
        assert_eq!(made.get(), turn);
        let place = server.port().unwrap().local().ip().unwrap();
        assert_eq!([ask(&reactor, place), ask(&reactor, place)], [b"n\x01", b"n\x02"]);
        reactor.run_until(server.start()).unwrap();
        assert_eq!(made.get(), turn, "who is open is not opened twice");
        let drained = reactor.run_until(tree.drain(Duration::ZERO)).unwrap();
        assert_eq!((drained.found, drained.cut), (0, 0));
        reactor.run_until(tree.stop()).unwrap();
        assert!(server.port().is_none());
        // The place is free: somebody else may have it.
        drop(UdpSocket::bind(place).unwrap());
    }
}

#[test]
fn a_place_that_is_taken_is_why_it_does_not_start() {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    let reactor = Reactor::with_driver(kind).unwrap();
    let holder = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap();
    let place = UdpEndpoint::new(&reactor, taken, UdpOptions::default());
    let server = DatagramServer::new(place, Count::default);
    let failure = reactor.run_until(server.start()).unwrap_err();
    assert!(!failure.to_string().is_empty());
    assert!(server.port().is_none());
    reactor.run_until(server.stop()).unwrap();
}
