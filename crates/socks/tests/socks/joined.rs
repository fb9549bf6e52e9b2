//! The client and the server, each against the other.

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Conn, Disconnect};
use ropewalk_socks::{Login, Proxy, ProxyError, Refusal, Service, Target, Version};
use ropewalk_trial::Memory;

use crate::client::Greeter;
use crate::kit::{Answer, FAR, Gate, World, ip};

/// Moves what each has said to the other, in pieces of this size, until both are quiet.
fn join(client: &mut Memory, server: &mut Memory, size: usize) {
    loop {
        let (asked, answered) = (client.take_sent(), server.take_sent());
        if asked.is_empty() && answered.is_empty() {
            return;
        }
        server.push_in_pieces(&asked, size);
        client.push_in_pieces(&answered, size);
    }
}

struct Talk {
    made: Deferred<Conn<Greeter>>,
    client: Memory,
    server: Memory,
}

fn talk(
    world: &World,
    service: &mut Service,
    proxy: fn(Gate) -> Proxy,
    host: &str,
    size: usize,
) -> Talk {
    let gate = Gate::default();
    let target = Target::new(host, 80).expect("a target");
    let made = proxy(gate.clone()).connect(&target, Greeter);
    let mut talk = Talk { made, client: gate.take(), server: world.call(service) };
    join(&mut talk.client, &mut talk.server, size);
    talk
}

fn five(gate: Gate) -> Proxy {
    Proxy::new(gate)
}

fn five_with_login(gate: Gate) -> Proxy {
    Proxy::new(gate).login(Login::new("bob", "secret").expect("it is short"))
}

fn four(gate: Gate) -> Proxy {
    Proxy::new(gate).version(Version::V4)
}

#[test]
fn every_client_gets_through_every_server() {
    for proxy in [five, five_with_login, four] {
        for host in ["example.org", "93.184.215.14"] {
            for size in 1..30 {
                let world = World::new();
                let mut service = Service::new(world.clone());
                let mut talk = talk(&world, &mut service, proxy, host, size);
                assert!(talk.made.now_or_never().is_some_and(|made| made.is_ok()));
                let mut far = world.far();
                assert_eq!(far.take_sent(), format!("[{host}:80]").as_bytes());
                far.push(b"hello");
                join(&mut talk.client, &mut talk.server, size);
                assert_eq!(far.take_sent(), b"hello");
                assert_eq!(world.dialled()[0], ip(FAR));
            }
        }
    }
}

#[track_caller]
fn refused(made: Deferred<Conn<Greeter>>) -> ProxyError {
    let failure = made.now_or_never().expect("an answer").expect_err("no connection");
    *failure.check().expect("the proxy's error")
}

#[test]
fn refusals_mean_the_same_on_both_sides() {
    let refusals = [
        (Disconnect::Refused, Refusal::ConnectionRefused),
        (Disconnect::Unreachable, Refusal::HostUnreachable),
        (Disconnect::NetworkUnreachable, Refusal::NetworkUnreachable),
        (Disconnect::TimedOut, Refusal::TooLate),
    ];
    for (why, refusal) in refusals {
        let world = World::answering(Answer::Lost(why));
        let mut service = Service::new(world.clone());
        let made = talk(&world, &mut service, five, "example.org", 7).made;
        let error = refused(made);
        assert_eq!(error, ProxyError::Refused(refusal));
        assert_eq!(error.disconnect(), why);
        let made = talk(&world, &mut service, four, "example.org", 7).made;
        assert_eq!(refused(made), ProxyError::Refused(Refusal::Failed));
    }
    let world = World::new();
    let made = talk(&world, &mut Service::new(world.clone()), five, "127.0.0.1", 7).made;
    assert_eq!(refused(made), ProxyError::Refused(Refusal::NotAllowed));

    let users = vec![Login::new("bob", "another").expect("it is short")];
    let mut service = Service::new(world.clone()).users(users);
    assert_eq!(refused(talk(&world, &mut service, five, FAR, 7).made), ProxyError::NoMethod);
    let made = talk(&world, &mut service, five_with_login, "1.1.1.1", 7).made;
    assert_eq!(refused(made), ProxyError::LoginRefused);
}
