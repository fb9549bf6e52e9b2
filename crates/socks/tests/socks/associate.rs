//! Datagrams through a server (RFC 1928, section 7), and a client that asks for them.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use ropewalk_forward::RelayOptions;
use ropewalk_protocol::{Address, Disconnect};
use ropewalk_socks::{
    Datagram, Destinations, HOSTS_MAX, LOOKUP_BYTES_MAX, LOOKUPS_MAX, Proxy, ProxyError, Refusal,
    Service, Target, Version,
};
use ropewalk_trial::{Memory, MemoryDatagrams};

use crate::kit::{CLIENT, FAR, Gate, World, ip};

/// `UDP ASSOCIATE`, from wherever.
const ASSOCIATE: &[u8] = b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0";
/// The method, and the permission: memory has no address to say.
const GRANTED: &[u8] = b"\x05\0\x05\0\0\x01\0\0\0\0\0\0";

/// A client whose datagrams are passed on.
struct Associated {
    world: World,
    control: Memory,
    inside: MemoryDatagrams,
    /// Towards IPv4 and IPv6.
    outside: Vec<MemoryDatagrams>,
}

impl Associated {
    fn new() -> Self {
        Self::asking(ASSOCIATE, |service| service)
    }

    #[track_caller]
    fn asking(request: &[u8], change: impl FnOnce(Service) -> Service) -> Self {
        let world = World::new();
        let mut control = world.call(&mut change(Service::new(world.clone())));
        control.push(request);
        control.run();
        assert_eq!(control.take_sent(), GRANTED);
        let mut opened = world.0.ports.take();
        let places: Vec<_> = opened.iter().map(|(place, _)| place.to_string()).collect();
        assert_eq!(places, ["10.0.0.1", "0.0.0.0", "::"]);
        let inside = opened.remove(0).1;
        let outside = opened.into_iter().map(|(_, port)| port).collect();
        Self { world, control, inside, outside }
    }

    /// The client sends this to `target`, and the server makes this of it.
    fn send(&mut self, target: &Target, data: &[u8]) -> Vec<(Vec<u8>, Address)> {
        self.send_from(CLIENT, &wrapped(target, data))
    }

    fn send_from(&mut self, from: &str, bytes: &[u8]) -> Vec<(Vec<u8>, Address)> {
        self.inside.push(bytes, &at(from));
        self.outside()
    }

    /// What the server sends outside.
    fn outside(&mut self) -> Vec<(Vec<u8>, Address)> {
        self.outside
            .iter_mut()
            .flat_map(|port| {
                port.run();
                port.take_sent()
            })
            .collect()
    }

    /// Somebody outside sends this over IPv4, and the client gets this.
    fn answer(&mut self, data: &[u8], from: &str) -> Vec<(Vec<u8>, Address)> {
        self.outside[0].push(data, &at(from));
        self.inside.run();
        self.inside.take_sent()
    }
}

fn at(text: &str) -> Address {
    Address::Ip(ip(text))
}

fn target(host: &str, port: u16) -> Target {
    Target::new(host, port).expect("a target")
}

fn wrapped(target: &Target, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Datagram { target: target.clone(), data }.encode(&mut bytes);
    bytes
}

#[test]
fn datagrams_go_there_and_back() {
    let mut all = Associated::new();
    let far = Target::from(ip(FAR));
    assert_eq!(all.send(&far, b"question"), [(b"question".to_vec(), at(FAR))]);
    let answer = wrapped(&Target::from(ip("93.184.215.14:90")), b"answer");
    assert_eq!(all.answer(b"answer", "93.184.215.14:90"), [(answer, at(CLIENT))]);
    assert_eq!(all.send(&far, b""), [(vec![], at(FAR))]);
    let v6 = "[2606:2800:21f::1]:80";
    assert_eq!(all.send(&Target::from(ip(v6)), b"six"), [(b"six".to_vec(), at(v6))]);
    // Each family has its own port.
    all.outside[1].push(b"from six", &at(v6));
    all.inside.run();
    let answer = wrapped(&Target::from(ip(v6)), b"from six");
    assert_eq!(all.inside.take_sent(), [(answer, at(CLIENT))]);
}

#[test]
fn names_are_looked_up_and_their_addresses_judged() {
    let mut all = Associated::new();
    assert_eq!(all.send(&target("example.org", 80), b"x"), [(b"x".to_vec(), at(FAR))]);
    assert_eq!(all.send(&target("both.example.org", 80), b"x"), [(b"x".to_vec(), at(FAR))]);
    for host in ["inside.example.org", "nowhere.example.org", "unknown.example.org"] {
        assert_eq!(all.send(&target(host, 80), b"x"), [], "{host}");
    }
}

#[test]
fn each_datagram_is_judged_by_its_address() {
    let mut all = Associated::asking(ASSOCIATE, |service| {
        service
            .destinations(Destinations::anywhere().deny("10.0.0.0/8".parse().expect("a network")))
    });
    for refused in [
        "10.1.2.3:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "0.0.0.0:80",
        "93.184.215.14:0",
        "[::ffff:10.1.2.3]:80",
        "[ff02::1]:80",
    ] {
        assert_eq!(all.send(&Target::from(ip(refused)), b"x"), [], "{refused}");
    }
    assert_eq!(all.send(&Target::from(ip("[::ffff:9.9.9.9]:80")), b"x").len(), 1);

    let mut all = Associated::asking(ASSOCIATE, |service| {
        service.destinations(Destinations::public().ports([53..=53]))
    });
    assert_eq!(all.send(&Target::from(ip(FAR)), b"x"), []);
    assert_eq!(all.send(&target("example.org", 80), b"x"), []);
    assert!(all.world.0.asked.borrow().is_empty(), "nothing is looked up for nothing");
    assert_eq!(all.send(&Target::from(ip("93.184.215.14:53")), b"x").len(), 1);
    for inside in ["127.0.0.1:53", "192.168.0.1:53"] {
        assert_eq!(all.send(&Target::from(ip(inside)), b"x"), [], "{inside}");
    }
}

#[test]
fn only_the_client_is_heard() {
    let mut all = Associated::new();
    let bytes = wrapped(&Target::from(ip(FAR)), b"x");
    assert_eq!(all.send_from("10.0.0.8:40000", &bytes), []);
    assert_eq!(all.send_from(CLIENT, &bytes).len(), 1);
    // The first settles from which port.
    assert_eq!(all.send_from("10.0.0.7:40001", &bytes), []);
    assert_eq!(all.send_from(CLIENT, &bytes).len(), 1);
}

#[test]
fn a_client_may_say_from_which_port_it_sends() {
    let bytes = wrapped(&Target::from(ip(FAR)), b"x");
    for request in [
        &b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\x12\x34"[..],
        b"\x05\x01\0\x05\x03\0\x01\x0a\0\0\x07\x12\x34",
    ] {
        let mut all = Associated::asking(request, |service| service);
        assert_eq!(all.send_from(CLIENT, &bytes), []);
        assert_eq!(all.send_from("10.0.0.7:4660", &bytes).len(), 1);
    }
    // What it says of another machine counts for nothing.
    let mut all =
        Associated::asking(b"\x05\x01\0\x05\x03\0\x01\x0a\0\0\x09\x12\x34", |service| service);
    assert_eq!(all.send_from("10.0.0.9:4660", &bytes), []);
    assert_eq!(all.send_from(CLIENT, &bytes).len(), 1);
}

#[test]
fn only_hosts_that_were_asked_may_answer() {
    let mut all = Associated::new();
    assert_eq!(all.answer(b"unasked", FAR), []);
    all.send(&Target::from(ip(FAR)), b"x");
    assert_eq!(all.answer(b"unasked", "93.184.215.15:80"), []);
    assert_eq!(all.answer(b"asked", FAR).len(), 1);
    for number in 0..HOSTS_MAX {
        let [high, low] = (number as u16).to_be_bytes();
        let other = SocketAddr::from(([44, 1, high, low], 80));
        assert_eq!(all.send(&Target::from(other), b"x").len(), 1);
    }
    assert_eq!(all.answer(b"forgotten", FAR), []);
    assert_eq!(all.answer(b"known", "44.1.3.255:80").len(), 1);
}

#[test]
fn parts_and_rubbish_are_dropped() {
    let mut all = Associated::new();
    let whole = wrapped(&Target::from(ip(FAR)), b"x");
    let mut part = whole.clone();
    part[2] = 1;
    assert_eq!(all.send_from(CLIENT, &part), []);
    for length in 0..10 {
        assert_eq!(all.send_from(CLIENT, &whole[..length]), [], "{length} bytes");
    }
    assert_eq!(all.send_from(CLIENT, b"\0\0\0\x02rubbish"), []);
    assert_eq!(all.send_from(CLIENT, &whole).len(), 1);
}

#[test]
fn so_many_datagrams_may_wait_for_names() {
    let mut all = Associated::new();
    let slow = target("slow.example.org", 80);
    for _ in 0..LOOKUPS_MAX + 5 {
        all.send(&slow, b"x");
    }
    let lookups = all.world.0.lookups.take();
    assert_eq!(lookups.len(), LOOKUPS_MAX);
    for lookup in lookups {
        lookup.succeed(vec![ip(FAR)]);
    }
    all.inside.run();
    assert_eq!(all.outside().len(), LOOKUPS_MAX);

    // Of large ones fewer.
    for _ in 0..4 {
        all.send(&slow, &vec![0; LOOKUP_BYTES_MAX / 2]);
    }
    assert_eq!(all.world.0.lookups.take().len(), 2);
    all.inside.run();
    all.send(&slow, b"x");
    assert_eq!(all.world.0.lookups.borrow().len(), 1, "those that were given up make room");
}

#[test]
fn the_ports_go_with_the_connection() {
    let mut all = Associated::new();
    all.control.eof();
    assert_eq!(all.control.ended(), Some(Disconnect::Closed));
    for port in all.outside.iter_mut().chain([&mut all.inside]) {
        port.run();
        assert!(port.ended().is_some());
    }
}

#[test]
fn the_connection_goes_with_the_port() {
    let mut all = Associated::new();
    all.inside.stop(Disconnect::Reset);
    all.control.run();
    assert_eq!(all.control.ended(), Some(Disconnect::Closed));
}

#[test]
fn an_association_ends_when_nothing_moves() {
    let idle = Duration::from_mins(1);
    let mut all = Associated::asking(ASSOCIATE, |service| {
        service.relay(RelayOptions { idle: Some(idle), ..RelayOptions::default() })
    });
    all.control.advance(idle / 2);
    assert_eq!(all.send(&Target::from(ip(FAR)), b"x").len(), 1);
    // What a client says on its connection is not listened to.
    all.control.push(&[0; 1000]);
    all.control.advance(Duration::from_secs(59));
    assert_eq!(all.control.ended(), None);
    all.control.advance(Duration::from_secs(1));
    assert_eq!(all.control.ended(), Some(Disconnect::TimedOut));
}

#[test]
fn a_server_may_pass_no_datagrams_on() {
    let world = World::new();
    let mut client = world.call(&mut Service::new(world.clone()).without_datagrams());
    client.push(ASSOCIATE);
    assert_eq!(client.take_sent()[2..4], [5, 7]);
    assert_eq!(client.ended(), Some(Disconnect::Closed));
}

#[test]
fn a_port_that_cannot_be_had_is_a_failure() {
    let world = World::new();
    world.0.has_ports.set(false);
    let mut client = world.client();
    client.push(ASSOCIATE);
    client.run();
    assert_eq!(client.take_sent()[2..4], [5, 1]);
    assert_eq!(client.ended(), Some(Disconnect::Closed));
}

proptest! {
    #[test]
    fn whatever_comes_goes_nowhere_it_may_not(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        kind in prop::sample::select(vec![1_u8, 3, 4]),
    ) {
        let mut all = Associated::new();
        let with_front = [&[0, 0, 0, kind], &bytes[..]].concat();
        for bytes in [bytes, with_front] {
            for (_, to) in all.send_from(CLIENT, &bytes) {
                prop_assert!(to.ip().is_some_and(|to| Destinations::public().admits(to)));
            }
        }
    }
}

#[test]
fn a_client_asks_for_datagrams() {
    for (relay, expected) in [
        (&b"\x01\x0a\0\0\x02\x12\x34"[..], Ok("10.0.0.2:4660")),
        // A server that says no address means its own; memory has none.
        (b"\x01\0\0\0\0\x12\x34", Err(ProxyError::NoRelay)),
        (b"\x03\x0bexample.org\x12\x34", Err(ProxyError::NoRelay)),
    ] {
        let gate = Gate::default();
        let made = Proxy::new(gate.clone()).associate();
        let mut there = gate.take();
        assert_eq!(there.take_sent(), b"\x05\x01\0");
        there.push(b"\x05\0");
        assert_eq!(there.take_sent(), ASSOCIATE[3..]);
        there.push_in_pieces(&[b"\x05\0\0", relay].concat(), 1);
        match (made.now_or_never().expect("an answer"), expected) {
            (Ok(association), Ok(expected)) => {
                assert_eq!(association.relay(), ip(expected));
                there.push(b"whatever");
                assert!(!association.is_over());
                drop(association);
                there.run();
                assert_eq!(there.ended(), Some(Disconnect::Closed));
            }
            (Err(failure), Err(expected)) => {
                assert_eq!(failure.check::<ProxyError>(), Some(&expected));
            }
            (made, expected) => panic!("{made:?} where {expected:?} was expected"),
        }
    }
}

#[test]
fn a_client_is_told_that_it_gets_no_datagrams() {
    let gate = Gate::default();
    let made = Proxy::new(gate.clone()).associate();
    gate.take().push(b"\x05\0\x05\x07\0\x01\0\0\0\0\0\0");
    let failure = made.now_or_never().expect("an answer").expect_err("a refusal");
    assert_eq!(failure.check(), Some(&ProxyError::Refused(Refusal::Command)));

    // Version 4 has none.
    let made = Proxy::new(Gate::default()).version(Version::V4).associate();
    let failure = made.now_or_never().expect("an answer").expect_err("no such request");
    assert!(matches!(failure.check(), Some(ProxyError::BadRequest(_))), "{failure:?}");
}
