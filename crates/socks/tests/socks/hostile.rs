//! Clients and proxies that mean no good.

use proptest::prelude::*;
use ropewalk_protocol::Disconnect;
use ropewalk_socks::{CONNECT_PATIENCE, HANDSHAKE_PATIENCE, Proxy, Target};

use crate::client::Greeter;
use crate::kit::{Answer, Gate, World};

#[test]
fn nothing_piles_up_for_a_client_that_only_talks() {
    let world = World::answering(Answer::Late);
    let mut client = world.client();
    client.push(b"\x05\x01\0\x05\x01\0\x01\x5d\xb8\xd7\x0e\0\x50");
    // What a client says after its request is not even read.
    assert_eq!(client.push(&[0; 10_000]), 0);
    client.advance(CONNECT_PATIENCE);
    assert_eq!(client.ended(), Some(Disconnect::Closed));
}

#[test]
fn a_client_that_says_a_byte_now_and_then_is_not_waited_for() {
    let mut client = World::new().client();
    client.push(b"\x05\xff");
    for _ in 0..20 {
        client.push(b"\x09");
        client.advance(HANDSHAKE_PATIENCE / 20);
    }
    assert_eq!(client.ended(), Some(Disconnect::TimedOut));
}

proptest! {
    #[test]
    fn whatever_a_client_says_it_gets_nowhere_it_may_not_go(
        front in prop::sample::select(vec![
            &b"\x05\x01\0"[..], b"\x05\x01\0\x05\x01\0\x01", b"\x04\x01", b"\x05\x02", b"",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        size in 1_usize..20,
    ) {
        let world = World::new();
        let mut client = world.client();
        client.push_in_pieces(&[front, &bytes].concat(), size);
        client.advance(HANDSHAKE_PATIENCE);
        for address in world.dialled() {
            prop_assert!(ropewalk_socks::Destinations::public().admits(address));
        }
        let is_joined = world.0.made.borrow().len() == 1 || world.0.listening.borrow().is_some();
        prop_assert!(is_joined || client.ended().is_some(), "it is either served or gone");
    }

    #[test]
    fn whatever_a_proxy_says_the_client_ends_or_talks(
        front in prop::sample::select(vec![&b"\x05\0\x05\0\0"[..], b"\x05\0\x05", b"\x05", b""]),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        size in 1_usize..20,
    ) {
        let gate = Gate::default();
        let target = Target::new("example.org", 80).expect("a target");
        let made = Proxy::new(gate.clone()).connect(&target, Greeter);
        let mut there = gate.take();
        there.push_in_pieces(&[front, &bytes].concat(), size);
        there.advance(ropewalk_forward::PATIENCE);
        let made = made.now_or_never();
        prop_assert!(made.is_some());
        prop_assert_eq!(made.is_some_and(|made| made.is_err()), there.ended().is_some());
    }
}
