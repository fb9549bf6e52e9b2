//! Clients that are to be connected to.

use ropewalk_protocol::Disconnect;
use ropewalk_socks::{BIND_PATIENCE, CONNECT_PATIENCE};
use ropewalk_trial::Memory;

use crate::kit::{FAR, MOMENT, World, ip};

/// `BIND` for 93.184.215.14, in version 5.
const BIND_5: &[u8] = b"\x05\x01\0\x05\x02\0\x01\x5d\xb8\xd7\x0e\0\x50";
/// That the server listens at 198.41.0.4:55555.
const LISTENS_5: &[u8] = b"\x05\0\0\x01\xc6\x29\0\x04\xd9\x03";

#[track_caller]
fn bound(world: &World, request: &[u8]) -> Memory {
    let mut client = world.client();
    client.push(request);
    assert_eq!(client.take_sent(), [b"\x05\0", LISTENS_5].concat());
    assert!(world.0.listening.borrow().is_some());
    client
}

#[test]
fn the_target_connects() {
    let world = World::new();
    let mut client = bound(&world, BIND_5);
    let mut far = world.arrive(ip("93.184.215.14:20")).expect("it is expected");
    client.run();
    assert_eq!(client.take_sent(), b"\x05\0\0\x01\x5d\xb8\xd7\x0e\0\x14");
    assert!(world.0.listening.borrow().is_none(), "one is enough");
    far.push(b"hello");
    assert_eq!(client.take_sent(), b"hello");
    client.push(b"hello yourself");
    assert_eq!(far.take_sent(), b"hello yourself");
    assert_eq!(*world.0.asked.borrow(), ["bind towards 93.184.215.14"]);
}

#[test]
fn version_4_binds_too() {
    let world = World::new();
    let mut client = world.client();
    client.push(b"\x04\x02\0\x50\x5d\xb8\xd7\x0e\0");
    assert_eq!(client.take_sent(), b"\0\x5a\xd9\x03\xc6\x29\0\x04");
    let _far = world.arrive(ip(FAR)).expect("it is expected");
    client.run();
    assert_eq!(client.take_sent(), b"\0\x5a\0\x50\x5d\xb8\xd7\x0e");
}

#[test]
fn nobody_else_may_connect() {
    let world = World::new();
    let mut client = bound(&world, BIND_5);
    assert!(world.arrive(ip("93.184.215.15:80")).is_none());
    assert!(world.arrive(ip("10.0.0.7:80")).is_none());
    client.run();
    assert_eq!(client.take_sent(), b"");
    assert!(world.arrive(ip("[::ffff:93.184.215.14]:80")).is_some());

    // Who names nobody gets whomever he could go to himself.
    let world = World::new();
    let _client = bound(&world, b"\x05\x01\0\x05\x02\0\x01\0\0\0\0\0\0");
    assert!(world.arrive(ip("10.0.0.7:80")).is_none());
    assert!(world.arrive(ip(FAR)).is_some());
    assert_eq!(*world.0.asked.borrow(), ["bind towards 10.0.0.7"]);
}

#[test]
fn targets_are_judged_as_ever() {
    let world = World::new();
    let mut client = world.client();
    client.push(b"\x05\x01\0\x05\x02\0\x01\x0a\0\0\x05\0\x50");
    assert_eq!(client.take_sent()[2..4], [5, 2]);
    assert!(world.0.listening.borrow().is_none());
}

#[test]
fn a_port_that_cannot_be_had_is_a_failure() {
    let world = World::new();
    world.0.listens_at.set(None);
    let mut client = world.client();
    client.push(BIND_5);
    assert_eq!(client.take_sent()[2..4], [5, 1]);
    assert_eq!(client.ended(), Some(Disconnect::Closed));
}

#[test]
fn an_address_that_says_nothing_is_the_one_where_the_client_came_in() {
    let world = World::new();
    world.0.listens_at.set(Some(ip("0.0.0.0:55555")));
    let mut client = world.client();
    client.push(BIND_5);
    assert_eq!(client.take_sent(), b"\x05\0\x05\0\0\x01\x0a\0\0\x01\xd9\x03");
}

#[test]
fn the_target_has_a_time_to_connect() {
    let world = World::new();
    let mut client = bound(&world, BIND_5);
    client.advance(CONNECT_PATIENCE * 2);
    client.advance(BIND_PATIENCE.saturating_sub(CONNECT_PATIENCE * 2 + MOMENT));
    assert_eq!(client.ended(), None);
    client.advance(MOMENT);
    assert_eq!(client.take_sent()[..2], [5, 6]);
    assert_eq!(client.ended(), Some(Disconnect::Closed));
    assert!(world.0.listening.borrow().is_none());
}

#[test]
fn a_client_that_leaves_takes_its_port_with_it() {
    let world = World::new();
    let mut client = bound(&world, BIND_5);
    client.lose(Disconnect::Reset);
    assert!(world.0.listening.borrow().is_none());
}
