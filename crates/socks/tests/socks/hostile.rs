//! Clients and proxies that mean no good.

use proptest::prelude::*;
use ropewalk_protocol::Disconnect;
use ropewalk_socks::{BIND_PATIENCE, CONNECT_PATIENCE, HANDSHAKE_PATIENCE, Proxy, Target};
use ropewalk_trial::{Attack, Clock, Hostile, chunked_seats};

use crate::client::Greeter;
use crate::kit::{Answer, Gate, Held, World};

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

/// The suite of hostile clients, at each step of a conversation.
#[test]
fn no_client_wears_the_server_out() {
    let patience = HANDSHAKE_PATIENCE + CONNECT_PATIENCE;
    for (request, answer) in [
        (&b"\x05\x01\0\x05\x01\0\x01\x0a\0\0\x01\0\x50"[..], Answer::Made),
        (b"\x05\x01\0\x05\x01\0\x03\x0bexample.org\0\x50", Answer::Late),
        (b"\x05\x01\0\x05\x01\0\x03\x0bexample.org\0\x50", Answer::Lost(Disconnect::Refused)),
        (b"\x04\x01\0\x50\0\0\0\x01me\0inside.example.org\0", Answer::Made),
        (b"\x05\x01\0\x05\x02\0\x01\x5d\xb8\xd7\x0e\0\x50", Answer::Late),
    ] {
        // Garbage may name a place that can be reached, which then is waited for.
        let waits = patience + BIND_PATIENCE + ropewalk_forward::HALF_CLOSED;
        Hostile::against(World::seats(answer))
            .request(request)
            .patience(waits)
            .kept(64 * 1024)
            .assert();
    }
}

#[test]
fn however_a_conversation_is_cut_the_answer_is_the_same() {
    for conversation in [
        &b"\x05\x01\0\x05\x01\0\x01\x0a\0\0\x01\0\x50"[..],
        b"\x05\x01\0\x05\x01\0\x03\x0bexample.org\0\x50hello",
        b"\x05\x01\xff",
        b"\x04\x01\0\x50\0\0\0\x01me\0example.org\0hello",
        b"\x04\x09\0\x50\x5d\xb8\xd7\x0eme\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let answer = chunked_seats(conversation, World::seats(Answer::Made));
        assert_ne!(answer.ended, Some(Disconnect::Panicked));
    }
}

/// A proxy that is the enemy: what a client asks of it is answered as a hostile client would ask a server.
#[test]
fn no_proxy_wears_a_client_out() {
    let client = |_: &Clock| {
        let gate = Held::default();
        let target = Target::new("example.org", 80).expect("a target");
        Proxy::new(gate.clone()).connect(&target, Greeter).on_result(drop);
        gate.take()
    };
    let honest = b"\x05\0\x05\0\0\x01\x01\x02\x03\x04\0\x50";
    // Once it is through, the proxy is not its business any more.
    let hostile = Hostile::against(client).request(&honest[..5]).kept(64 * 1024);
    hostile.patience(ropewalk_forward::PATIENCE).spare(Attack::Garbage).assert();
}
