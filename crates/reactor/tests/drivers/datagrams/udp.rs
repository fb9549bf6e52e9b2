//! Sending, receiving, refusals.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{
    Address, Disconnect, Port, SendError, connect_datagrams, open_datagrams, seat_datagrams,
};
use ropewalk_reactor::{DriverKind, UdpEndpoint, UdpOptions};

use super::{Heard, anywhere_v6, connect, echo, everywhere, open, open_at, plain, receiver};
use crate::kit::{anywhere, bytes, come_to_rest, on_each_driver, reactor, turn_until};

on_each_driver! {
    an_echo_returns_datagrams_of_every_size,
    a_crowd_of_datagrams_arrives_in_order,
    datagrams_that_the_system_puts_together_come_apart,
    what_is_sent_together_arrives_apart,
    connected_ports_hear_their_peer_alone,
    a_refusal_is_told_and_the_port_goes_on,
    a_refusal_is_told_while_reading_is_paused_or_when_it_resumes,
    datagrams_beyond_the_limit_are_reported,
    what_cannot_be_sent_is_told_and_the_rest_goes,
    broadcasts_want_leave,
    nothing_comes_while_reading_is_paused,
    a_port_that_closes_in_the_middle_of_a_batch_hears_no_more,
    a_stopped_port_is_gone_at_once,
    what_was_sent_before_the_close_goes_out,
    a_panic_is_survived,
    ports_over_both_families_see_plain_addresses,
    several_ports_may_share_an_address,
    a_place_that_is_taken_is_refused,
    ports_may_be_bound_to_an_interface_and_have_buffers_and_hops,
    calls_and_results_come_home,
    a_handle_used_from_outside_wakes_its_port,
    places_open_any_number_of_ports,
    the_end_of_the_reactor_is_told,
    a_key_that_is_used_again_gets_nothing_of_the_old_one,
}

fn an_echo_returns_datagrams_of_every_size(kind: DriverKind) {
    let reactor = reactor(kind);
    let server = Address::Ip(echo(&reactor));
    let (heard, own) = open(&reactor, &UdpOptions::default());
    assert_eq!(heard.port().local(), Address::Ip(own));
    let sizes = [0, 1, 512, 1472, 1473, 9000, 65_507];
    for (index, size) in sizes.into_iter().enumerate() {
        heard.port().send_to(&bytes(size), &server).unwrap();
        turn_until(&reactor, || heard.count() > index);
    }
    for ((data, from), size) in heard.datagrams.borrow().iter().zip(sizes) {
        assert!(*data == bytes(size) && *from == server, "{size}");
    }
    assert!(heard.truncated.borrow().is_empty());
}

fn a_crowd_of_datagrams_arrives_in_order(kind: DriverKind) {
    let reactor = reactor(kind);
    let server = Address::Ip(echo(&reactor));
    let options = UdpOptions::default().receive_buffer(1 << 20);
    let (heard, _) = open(&reactor, &options);
    // As many in a round as the system's buffers hold for sure, of sizes that differ.
    for round in 0..10_u32 {
        let before = heard.count();
        for index in 0..100_u32 {
            let mut data = (round * 100 + index).to_be_bytes().to_vec();
            data.resize(4 + (index * 7 % 200) as usize, 0);
            heard.port().send_to(&data, &server).unwrap();
        }
        turn_until(&reactor, || heard.count() == before + 100);
    }
    for (index, data) in heard.said().iter().enumerate() {
        assert_eq!(data[..4], (index as u32).to_be_bytes());
        assert_eq!(data.len(), 4 + (index % 100 * 7 % 200));
    }
}

fn datagrams_that_the_system_puts_together_come_apart(kind: DriverKind) {
    for coalesce in [true, false] {
        let reactor = reactor(kind);
        let (heard, place) = open(&reactor, &UdpOptions::default().coalesce(coalesce));
        let (sender, _) = open(&reactor, &UdpOptions::default());
        for index in 0..40_u8 {
            let size = if index == 39 { 100 } else { 1000 };
            sender.port().send_to(&vec![index; size], &Address::Ip(place)).unwrap();
        }
        turn_until(&reactor, || heard.count() == 40);
        for (index, data) in heard.said().iter().enumerate() {
            assert_eq!(data.len(), if index == 39 { 100 } else { 1000 });
            assert!(data.iter().all(|&byte| usize::from(byte) == index));
        }
    }
}

fn what_is_sent_together_arrives_apart(kind: DriverKind) {
    let reactor = reactor(kind);
    let (sender, own) = open(&reactor, &UdpOptions::default());
    let ((here, one), (there, other)) = (plain(), plain());
    // Runs of equal sizes, a shorter one, a longer one, empty ones, and another receiver between.
    let sizes = [500, 500, 500, 20, 30, 0, 0, 700, 700, 1];
    for (index, &size) in sizes.iter().enumerate() {
        sender.port().send_to(&vec![index as u8; size], &Address::Ip(one)).unwrap();
        if index == 1 {
            sender.port().send_to(b"other", &Address::Ip(other)).unwrap();
        }
    }
    turn_until(&reactor, || sender.port().waiting() == 0);
    let mut buffer = vec![0; 2000];
    for (index, &size) in sizes.iter().enumerate() {
        let (count, from) = here.recv_from(&mut buffer).unwrap();
        assert_eq!((count, from), (size, own), "{index}");
        assert!(buffer[..count].iter().all(|&byte| usize::from(byte) == index));
    }
    assert_eq!(there.recv_from(&mut buffer).unwrap(), (5, own));
}

fn connected_ports_hear_their_peer_alone(kind: DriverKind) {
    let reactor = reactor(kind);
    let server = echo(&reactor);
    let client = connect(&reactor, server);
    let port = client.port();
    assert_eq!(port.peer(), Address::Ip(server));
    let (stranger, _) = plain();
    stranger.send_to(b"forged", port.local().ip().unwrap()).unwrap();
    port.send(b"question").unwrap();
    turn_until(&reactor, || client.count() > 0);
    come_to_rest(&reactor);
    assert_eq!(*client.datagrams.borrow(), [(b"question".to_vec(), Address::Ip(server))]);
}

/// Statement 77: `connect`, then `connectionRefused` on ICMP.
fn a_refusal_is_told_and_the_port_goes_on(kind: DriverKind) {
    let reactor = reactor(kind);
    let (socket, place) = plain();
    drop(socket);
    let client = connect(&reactor, place);
    client.port().send(b"anybody?").unwrap();
    turn_until(&reactor, || client.refused.get() == 1);
    // Now somebody is there: what comes in the place of a report is sent all the same.
    let there = UdpSocket::bind(place).unwrap();
    client.port().send(b"and now?").unwrap();
    come_to_rest(&reactor);
    let (count, from) = there.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(count, 8);
    there.send_to(b"yes", from).unwrap();
    turn_until(&reactor, || client.count() == 1);
    assert!(client.unsent.borrow().is_empty() && client.stopped.get().is_none());
    assert_eq!(client.refused.get(), 1);
}

fn a_refusal_is_told_while_reading_is_paused_or_when_it_resumes(kind: DriverKind) {
    let reactor = reactor(kind);
    let (socket, place) = plain();
    drop(socket);
    let client = connect(&reactor, place);
    client.port().pause_reading();
    client.port().send(b"anybody?").unwrap();
    come_to_rest(&reactor);
    client.port().resume_reading();
    turn_until(&reactor, || client.refused.get() == 1);
    come_to_rest(&reactor);
    assert_eq!(client.refused.get(), 1);
}

fn datagrams_beyond_the_limit_are_reported(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, place) = open(&reactor, &UdpOptions::default().max_length(100));
    let (sender, _) = open(&reactor, &UdpOptions::default());
    for size in [99, 100, 101, 0, 5000, 50] {
        sender.port().send_to(&bytes(size), &Address::Ip(place)).unwrap();
    }
    turn_until(&reactor, || heard.count() == 4);
    let sizes: Vec<_> = heard.said().iter().map(Vec::len).collect();
    assert_eq!(sizes, [99, 100, 0, 50]);
    assert_eq!(
        *heard.truncated.borrow(),
        [bytes(5000)[..100].to_vec(), bytes(5000)[..100].to_vec()]
    );
}

/// Statement 77: EMSGSIZE is an error of the sender's; other addresses than IP's are refused.
fn what_cannot_be_sent_is_told_and_the_rest_goes(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, place) = open(&reactor, &UdpOptions::default());
    let (sender, _) = open(&reactor, &UdpOptions::default());
    let (good, port) = (Address::Ip(place), sender.port());
    let six = Address::Ip((Ipv6Addr::LOCALHOST, place.port()).into());
    let name = Address::Memory("name".to_owned());
    port.send_to(b"first", &good).unwrap();
    port.send_to(&bytes(65_508), &good).unwrap();
    port.send_to(b"six", &six).unwrap();
    port.send_to(b"name", &name).unwrap();
    port.send_to(b"nowhere", &Address::Ip((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    port.send_to(b"last", &good).unwrap();
    turn_until(&reactor, || heard.count() == 2);
    assert_eq!(heard.said(), [b"first".to_vec(), b"last".to_vec()]);
    let unsent = sender.unsent.borrow();
    let why: Vec<_> = unsent.iter().map(|(_, why)| *why).collect();
    let wrong = SendError::WrongAddress;
    assert_eq!(why, [SendError::TooLong, wrong, wrong, wrong]);
    assert_eq!([&unsent[0].0, &unsent[1].0, &unsent[2].0], [&Some(good), &Some(six), &Some(name)]);
    assert_eq!(port.send(b"peer?"), Err(SendError::NotConnected));
}

/// Statement 77: broadcast is off by default.
fn broadcasts_want_leave(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, port) = open_at(&reactor, everywhere(), &UdpOptions::default(), false);
    let number = port.address().ip().unwrap().port();
    let all = Address::Ip((Ipv4Addr::new(127, 255, 255, 255), number).into());
    let (quiet, _) = open(&reactor, &UdpOptions::default());
    quiet.port().send_to(b"hear me", &all).unwrap();
    turn_until(&reactor, || !quiet.unsent.borrow().is_empty());
    assert_eq!(*quiet.unsent.borrow(), [(Some(all.clone()), SendError::NotPermitted)]);
    let (loud, _) = open(&reactor, &UdpOptions::default().broadcast(true));
    loud.port().send_to(b"hear me", &all).unwrap();
    turn_until(&reactor, || heard.count() == 1);
    assert!(loud.unsent.borrow().is_empty());
}

fn nothing_comes_while_reading_is_paused(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, place) = open(&reactor, &UdpOptions::default());
    let (sender, _) = plain();
    for data in ["1", "pause", "2", "3", "pause", "4"] {
        sender.send_to(data.as_bytes(), place).unwrap();
    }
    turn_until(&reactor, || heard.count() == 2);
    sender.send_to(b"5", place).unwrap();
    come_to_rest(&reactor);
    assert_eq!(heard.count(), 2);
    heard.port().resume_reading();
    turn_until(&reactor, || heard.count() == 5);
    come_to_rest(&reactor);
    assert_eq!(heard.count(), 5);
    heard.port().resume_reading();
    turn_until(&reactor, || heard.count() == 7);
    assert_eq!(heard.said().concat(), b"1pause23pause45");
}

fn a_port_that_closes_in_the_middle_of_a_batch_hears_no_more(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, place) = open(&reactor, &UdpOptions::default());
    let (sender, _) = plain();
    for data in ["1", "close", "2", "3"] {
        sender.send_to(data.as_bytes(), place).unwrap();
    }
    turn_until(&reactor, || heard.stopped.get().is_some());
    assert_eq!(heard.count(), 2);
    assert_eq!(heard.stopped.get(), Some(Disconnect::Closed));
    assert_eq!(reactor.census().ports, 0);
}

/// Statement 78: `stopListening` tells when the port is free.
fn a_stopped_port_is_gone_at_once(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, port) = open_at(&reactor, anywhere(), &UdpOptions::default(), false);
    let place = port.address().ip().unwrap();
    reactor.run_until(port.stop_listening()).unwrap();
    assert_eq!(heard.stopped.get(), Some(Disconnect::Closed));
    drop(UdpSocket::bind(place).unwrap());
    let (again, _) = open_at(&reactor, place, &UdpOptions::default(), false);
    // One that the protocol closes itself is as gone.
    again.port().close();
    turn_until(&reactor, || again.stopped.get().is_some());
    drop(UdpSocket::bind(place).unwrap());
    reactor.run_until(port.stop_listening()).unwrap();
    // One that has not even started.
    let (protocol, heard) = receiver(false);
    let seat = seat_datagrams(protocol);
    let port = reactor.listen_udp(place, &UdpOptions::default(), seat).unwrap();
    reactor.run_until(port.stop_listening()).unwrap();
    assert_eq!(heard.stopped.get(), Some(Disconnect::Closed));
    assert!(heard.port.borrow().is_none());
    come_to_rest(&reactor);
    assert_eq!(reactor.census().ports, 0);
}

fn what_was_sent_before_the_close_goes_out(kind: DriverKind) {
    let reactor = reactor(kind);
    let (socket, place) = plain();
    let (one, _) = open(&reactor, &UdpOptions::default());
    one.port().send_to(b"by the protocol", &Address::Ip(place)).unwrap();
    one.port().close();
    let (two, port) = open_at(&reactor, anywhere(), &UdpOptions::default(), false);
    two.port().send_to(b"by its owner", &Address::Ip(place)).unwrap();
    reactor.run_until(port.stop_listening()).unwrap();
    turn_until(&reactor, || one.stopped.get().is_some());
    let mut said: Vec<_> = (0..2)
        .map(|_| {
            let mut buffer = [0; 100];
            let (count, _) = socket.recv_from(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        })
        .collect();
    said.sort();
    assert_eq!(said, ["by its owner", "by the protocol"]);
}

/// Statement 77: an exception in `datagramReceived` is logged, and the port stays.
fn a_panic_is_survived(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, place) = open(&reactor, &UdpOptions::default());
    let (sender, _) = plain();
    for data in ["1", "panic", "2"] {
        sender.send_to(data.as_bytes(), place).unwrap();
    }
    turn_until(&reactor, || heard.count() == 2);
    assert!(heard.stopped.get().is_none());
}

fn ports_over_both_families_see_plain_addresses(kind: DriverKind) {
    let reactor = reactor(kind);
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let (_, port) = open_at(&reactor, both, &UdpOptions::default().v6_only(false), true);
    let number = port.address().ip().unwrap().port();
    for place in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, number)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, number)),
    ] {
        let client = connect(&reactor, place);
        client.port().send(b"hello").unwrap();
        turn_until(&reactor, || client.count() == 1);
        assert_eq!(client.datagrams.borrow()[0].1, Address::Ip(place));
    }
    // One that leaves IPv4 alone shares the number with one that has it.
    let (_, six) = open_at(&reactor, anywhere_v6(), &UdpOptions::default(), true);
    let four = (Ipv4Addr::LOCALHOST, six.address().ip().unwrap().port()).into();
    let (_, _) = open_at(&reactor, four, &UdpOptions::default(), true);
}

fn several_ports_may_share_an_address(kind: DriverKind) {
    let reactor = reactor(kind);
    for options in
        [UdpOptions::default().reuse_port(true), UdpOptions::default().reuse_address(true)]
    {
        let (one, port) = open_at(&reactor, anywhere(), &options, false);
        let place = port.address().ip().unwrap();
        let (two, _) = open_at(&reactor, place, &options, false);
        for _ in 0..20 {
            plain().0.send_to(b"x", place).unwrap();
        }
        turn_until(&reactor, || one.count() + two.count() == 20);
    }
}

fn a_place_that_is_taken_is_refused(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_socket, place) = plain();
    let (protocol, heard) = receiver(false);
    let seat = seat_datagrams(protocol);
    let error = reactor.listen_udp(place, &UdpOptions::default(), seat).unwrap_err();
    assert_eq!(error.error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(error.address, Address::Ip(place));
    assert!(heard.stopped.get().is_none(), "told inside the call");
    turn_until(&reactor, || heard.stopped.get().is_some());
    assert_eq!(heard.stopped.get(), Some(Disconnect::Failed(std::io::ErrorKind::AddrInUse)));

    // This net is set aside for documents: no way leads there from a loopback address.
    let (protocol, heard) = receiver(false);
    let options = UdpOptions::default().bind((Ipv4Addr::new(198, 51, 100, 7), 0).into());
    reactor.connect_udp(place, &options, seat_datagrams(protocol));
    turn_until(&reactor, || heard.stopped.get().is_some());
    assert_eq!(heard.stopped.get(), Some(Disconnect::Failed(std::io::ErrorKind::AddrNotAvailable)));
    assert_eq!(reactor.census().ports, 0);
}

fn ports_may_be_bound_to_an_interface_and_have_buffers_and_hops(kind: DriverKind) {
    let reactor = reactor(kind);
    let options = UdpOptions::default().interface("lo").receive_buffer(20_000).send_buffer(30_000);
    for place in [anywhere(), anywhere_v6()] {
        let (heard, port) = open_at(&reactor, place, &options.clone().hops(7), false);
        let client = connect(&reactor, port.address().ip().unwrap());
        client.port().send(b"hello").unwrap();
        turn_until(&reactor, || heard.count() == 1);
    }
    let (protocol, _) = receiver(false);
    let nowhere = UdpOptions::default().interface("no such");
    let refused = reactor.listen_udp(anywhere(), &nowhere, seat_datagrams(protocol));
    assert!(refused.is_err());
}

fn calls_and_results_come_home(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, _) = open(&reactor, &UdpOptions::default());
    let port = heard.port();
    port.call_later(Duration::from_millis(3), |this, port| {
        this.heard.refused.set(1);
        let work = Deferred::succeed(7);
        port.then(work, |this, port, result: Result<usize, _>| {
            this.heard.refused.set(result.unwrap());
            port.close();
        });
    });
    turn_until(&reactor, || heard.stopped.get().is_some());
    assert_eq!(heard.refused.get(), 7);
}

fn a_handle_used_from_outside_wakes_its_port(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, place) = open(&reactor, &UdpOptions::default());
    let (sender, _) = open(&reactor, &UdpOptions::default());
    for round in 1..5 {
        sender.port().send_to(b"x", &Address::Ip(place)).unwrap();
        turn_until(&reactor, || heard.count() == round);
    }
}

fn places_open_any_number_of_ports(kind: DriverKind) {
    let reactor = reactor(kind);
    let server = Address::Ip(echo(&reactor));
    let place = UdpEndpoint::new(&reactor, anywhere(), UdpOptions::default());
    let heard: Vec<Rc<Heard>> = (0..10)
        .map(|index| {
            let (protocol, heard) = receiver(false);
            let opened = if index % 2 == 0 {
                open_datagrams(&place, protocol)
            } else {
                connect_datagrams(&place, &server, protocol)
            };
            let port = reactor.run_until(opened).unwrap();
            port.send_to(b"hello", &server).unwrap();
            heard
        })
        .collect();
    turn_until(&reactor, || heard.iter().all(|heard| heard.count() == 1));
    assert_eq!(reactor.census().ports, 11);
    let nowhere = Address::Memory("nowhere".to_owned());
    let failed = connect_datagrams(&place, &nowhere, receiver(false).0);
    let failure = reactor.run_until(failed).unwrap_err();
    assert!(failure.check::<Disconnect>().is_some());
}

fn the_end_of_the_reactor_is_told(kind: DriverKind) {
    let reactor = reactor(kind);
    let (socket, place) = plain();
    let (heard, _) = open(&reactor, &UdpOptions::default());
    heard.port().send_to(b"last words", &Address::Ip(place)).unwrap();
    let (protocol, late) = receiver(false);
    let late_seat = seat_datagrams(protocol);
    reactor.listen_udp(anywhere(), &UdpOptions::default(), late_seat).unwrap();
    reactor.stop();
    reactor.run_without_signals().unwrap();
    for heard in [&heard, &late] {
        assert_eq!(heard.stopped.get(), Some(Disconnect::Stopped));
    }
    assert_eq!(socket.recv_from(&mut [0; 100]).unwrap().0, 10);
    assert_eq!(reactor.census().ports, 0);
}

fn a_key_that_is_used_again_gets_nothing_of_the_old_one(kind: DriverKind) {
    let reactor = reactor(kind);
    let (old, place) = open(&reactor, &UdpOptions::default());
    let (sender, _) = plain();
    for _ in 0..20 {
        sender.send_to(b"for the old one", place).unwrap();
    }
    old.port().abort();
    turn_until(&reactor, || old.stopped.get().is_some());
    let (new, place) = open(&reactor, &UdpOptions::default());
    sender.send_to(b"for the new one", place).unwrap();
    turn_until(&reactor, || new.count() > 0);
    come_to_rest(&reactor);
    assert_eq!(new.said(), [b"for the new one".to_vec()]);
}
