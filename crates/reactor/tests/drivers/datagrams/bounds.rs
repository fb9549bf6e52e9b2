//! Work in a turn, sleep, and what is left behind.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, Port, call_later};
use ropewalk_reactor::{DriverKind, Reactor, UdpOptions};

use super::{connect, echo, open, open_at, plain};
use crate::kit::{anywhere, come_to_rest, descriptors, now, on_each_driver, reactor, turn_until};

on_each_driver! {
    a_flood_at_one_port_does_not_keep_the_others_waiting,
    ports_do_not_turn_while_idle,
}

mod alone {
    use super::nothing_is_left_behind;

    crate::kit::on_each_driver! { alone nothing_is_left_behind }
}

/// Statement 77 bounds what one port receives at a time by 256 KiB; here it is 32 messages.
fn a_flood_at_one_port_does_not_keep_the_others_waiting(kind: DriverKind) {
    const FLOOD: usize = 400;
    let reactor = reactor(kind);
    let (flooded, place) = open(&reactor, &UdpOptions::default().receive_buffer(1 << 20));
    let (other, other_place) = open(&reactor, &UdpOptions::default());
    let (sender, _) = plain();
    for _ in 0..FLOOD {
        sender.send_to(b"x", place).unwrap();
    }
    sender.send_to(b"y", other_place).unwrap();
    let called = Rc::new(Cell::new(0));
    let (calls, seen) = (Rc::clone(&called), Rc::clone(&flooded));
    call_later(&reactor, Duration::ZERO, move || calls.set(seen.count()));
    turn_until(&reactor, || other.count() == 1);
    assert!(flooded.count() < FLOOD, "{} came first", flooded.count());
    turn_until(&reactor, || flooded.count() == FLOOD);
    assert!(called.get() < FLOOD);
}

fn ports_do_not_turn_while_idle(kind: DriverKind) {
    let reactor = reactor(kind);
    let server = echo(&reactor);
    let client = connect(&reactor, server);
    client.port().send(b"x").unwrap();
    turn_until(&reactor, || client.count() == 1);
    // One that was refused, and one that is paused with something to read.
    let (socket, nobody) = plain();
    drop(socket);
    let refused = connect(&reactor, nobody);
    refused.port().send(b"x").unwrap();
    turn_until(&reactor, || refused.refused.get() == 1);
    let (paused, place) = open(&reactor, &UdpOptions::default());
    paused.port().pause_reading();
    reactor.turn(Duration::ZERO).unwrap();
    plain().0.send_to(b"unread", place).unwrap();
    come_to_rest(&reactor);
    let start = now();
    reactor.turn(Duration::from_millis(200)).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
}

fn nothing_is_left_behind(kind: DriverKind) {
    let before = {
        let reactor = reactor(kind);
        exchange(&reactor);
        descriptors()
    };
    for _ in 0..3 {
        let reactor = reactor(kind);
        for _ in 0..3 {
            let (open, operations) = (descriptors(), reactor.operations());
            exchange(&reactor);
            come_to_rest(&reactor);
            assert_eq!(descriptors(), open);
            assert!(reactor.operations() <= operations.max(2), "{}", reactor.operations());
        }
        drop(reactor);
        assert!(descriptors() <= before);
    }
}

/// Opens ports, has them exchange datagrams, and stops them in each of the ways that there are.
fn exchange(reactor: &Reactor) {
    let (one, port) = open_at(reactor, anywhere(), &UdpOptions::default(), true);
    let place = port.address().ip().unwrap();
    let clients: Vec<_> = (0..20).map(|_| connect(reactor, place)).collect();
    for client in &clients {
        for _ in 0..10 {
            client.port().send(b"hello").unwrap();
        }
    }
    turn_until(reactor, || clients.iter().all(|client| client.count() == 10));
    for (index, client) in clients.iter().enumerate() {
        client.port().send_to(b"unheard", &Address::Ip(place)).unwrap();
        if index % 2 == 0 { client.port().close() } else { client.port().abort() }
    }
    turn_until(reactor, || clients.iter().all(|client| client.stopped.get().is_some()));
    reactor.run_until(port.stop_listening()).unwrap();
    assert!(one.stopped.get().is_some());
}
