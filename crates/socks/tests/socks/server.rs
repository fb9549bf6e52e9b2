//! The server's side of the dialogue.

use std::time::Duration;

use ropewalk_forward::{IDLE, RelayOptions};
use ropewalk_framing::policy::Limits;
use ropewalk_protocol::{Address, Disconnect, Drain as _, Ending, Event, Factory, seat};
use ropewalk_socks::{
    CONNECT_PATIENCE, Destinations, GOODBYE_PATIENCE, HANDSHAKE_PATIENCE, Login, Service, Waits,
};
use ropewalk_trial::Memory;

use crate::kit::{Answer, FAR, MOMENT, World, ip};

/// `CONNECT` to 93.184.215.14:80, in each version.
const CONNECT_4: &[u8] = b"\x04\x01\0\x50\x5d\xb8\xd7\x0e\0";
const CONNECT_5: &[u8] = b"\x05\x01\0\x05\x01\0\x01\x5d\xb8\xd7\x0e\0\x50";
/// That the request is granted, from 198.41.0.4:50000.
const GRANTED_4: &[u8] = b"\0\x5a\xc3\x50\xc6\x29\0\x04";
const GRANTED_5: &[u8] = b"\x05\0\x05\0\0\x01\xc6\x29\0\x04\xc3\x50";

/// A request of version 5 for a name.
fn connect_to(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    [b"\x05\x01\0\x05\x01\0\x03", &[length][..], name.as_bytes(), b"\0\x50"].concat()
}

/// What the server says of a request that it refuses, behind its choice of a method.
#[track_caller]
fn refused(client: &mut Memory) -> u8 {
    let sent = client.take_sent();
    let [5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(client.ended(), Some(Disconnect::Closed));
    code
}

#[test]
fn each_version_connects() {
    for (request, granted) in [(CONNECT_4, GRANTED_4), (CONNECT_5, GRANTED_5)] {
        for size in 1..=request.len() {
            let world = World::new();
            let mut client = world.client();
            client.push_in_pieces(request, size);
            assert_eq!(client.take_sent(), granted, "pieces of {size}");
            let mut far = world.far();
            client.push(b"GET /");
            assert_eq!(far.take_sent(), b"GET /");
            far.push(b"200 OK");
            far.eof();
            assert_eq!(client.take_sent(), b"200 OK");
            assert!(client.is_write_closed() && client.ended().is_none());
            assert_eq!(world.dialled(), [ip(FAR)]);
        }
    }
}

#[test]
fn names_are_looked_up_here() {
    let four = b"\x04\x01\0\x50\0\0\0\x01\0example.org\0".to_vec();
    for request in [four, connect_to("example.org")] {
        let world = World::new();
        let mut client = world.client();
        client.push(&request);
        assert_eq!(world.0.made.borrow().len(), 1);
        assert_eq!(*world.0.asked.borrow(), ["example.org:80"]);
        assert_eq!(world.dialled(), [ip(FAR), ip("[2606:2800:21f::1]:80")]);
    }
}

#[test]
fn what_is_said_early_waits_for_the_connection() {
    for request in [CONNECT_4, CONNECT_5] {
        let world = World::answering(Answer::Late);
        let mut client = world.client();
        client.push(&[request, b"early words"].concat());
        assert!(!client.is_reading(), "nothing piles up meanwhile");
        client.eof();
        let seat = world.0.waiting.borrow_mut().pop().expect("an attempt");
        let mut far = Memory::take_seat(seat, &world.0.clock);
        client.run();
        far.run();
        assert_eq!(far.take_sent(), b"early words");
        assert!(far.is_write_closed());
    }
}

#[test]
fn a_name_that_leads_inside_is_no_way_inside() {
    for name in ["inside.example.org", "localhost", "10.0.0.5", "127.0.0.1", "::1"] {
        let world = World::new();
        let mut client = world.client();
        client.push(&connect_to(name));
        let code = refused(&mut client);
        assert_eq!(code, if name == "localhost" { 4 } else { 2 }, "{name}");
        assert_eq!(world.dialled(), []);
    }
    // Of those that a name has, only the others are dialled.
    let world = World::new();
    world.client().push(&connect_to("both.example.org"));
    assert_eq!(world.dialled(), [ip(FAR)]);
}

#[test]
fn whom_the_connection_is_made_to_is_what_counts() {
    let world = World::new();
    world.0.instead.set(Some(ip("127.0.0.1:80")));
    let mut client = world.client();
    client.push(CONNECT_5);
    assert_eq!(refused(&mut client), 2);
    let mut far = world.far();
    far.run();
    assert_eq!(far.ended(), Some(Disconnect::Aborted));
}

#[test]
fn ports_are_judged_before_names_are_asked_for() {
    let world = World::new();
    let rules = Destinations::public().ports([443..=443]);
    let mut client = world.call(&mut Service::new(world.clone()).destinations(rules));
    client.push(&connect_to("example.org"));
    assert_eq!(refused(&mut client), 2);
    assert!(world.0.asked.borrow().is_empty());
}

#[test]
fn failures_have_their_codes() {
    let codes = [
        (Disconnect::Refused, 5),
        (Disconnect::Unreachable, 4),
        (Disconnect::NetworkUnreachable, 3),
        (Disconnect::TimedOut, 6),
        (Disconnect::Failed(std::io::ErrorKind::Other), 1),
    ];
    for (why, code) in codes {
        let mut client = World::answering(Answer::Lost(why)).client();
        client.push(CONNECT_5);
        assert_eq!(refused(&mut client), code, "{why}");
        let mut client = World::answering(Answer::Lost(why)).client();
        client.push(CONNECT_4);
        assert_eq!(client.take_sent(), b"\0\x5b\0\0\0\0\0\0");
        assert_eq!(client.ended(), Some(Disconnect::Closed));
    }
    for name in ["unknown.example.org", "nowhere.example.org"] {
        let mut client = World::new().client();
        client.push(&connect_to(name));
        assert_eq!(refused(&mut client), 4, "{name}");
    }
}

#[test]
fn users_have_passwords() {
    let service = |world: &World| {
        let users = ["alice", "bob"].map(|user| Login::new(user, "secret").expect("it is short"));
        Service::new(world.clone()).users(users.to_vec())
    };
    let request = &CONNECT_5[3..];
    let world = World::new();
    let mut client = world.call(&mut service(&world));
    client.push(&[b"\x05\x02\0\x02\x01\x03bob\x06secret", request].concat());
    assert_eq!(client.take_sent(), [b"\x05\x02\x01\0", &GRANTED_5[2..]].concat());

    for login in [&b"\x01\x03bob\x06secreT"[..], b"\x01\x03eve\x06secret", b"\x01\0\0"] {
        let world = World::new();
        let mut client = world.call(&mut service(&world));
        client.push(&[b"\x05\x01\x02", login, request].concat());
        assert_eq!(client.take_sent(), b"\x05\x02\x01\x01");
        assert_eq!(client.ended(), Some(Disconnect::Closed));
        assert_eq!(world.dialled(), []);
    }
    // Nobody gets around it.
    for opening in [&b"\x05\x01\0"[..], b"\x05\0", b"\x05\x02\0\x01"] {
        let mut client = world.call(&mut service(&world));
        client.push(&[opening, request].concat());
        assert_eq!(client.take_sent(), b"\x05\xff");
        assert_eq!(client.ended(), Some(Disconnect::Closed));
    }
    let mut client = world.call(&mut service(&world));
    client.push(CONNECT_4);
    assert_eq!(client.take_sent(), b"\0\x5b\0\0\0\0\0\0");
}

#[test]
fn passwords_may_be_checked_by_anybody() {
    let world = World::new();
    let even = |login: &Login| login.password().len().is_multiple_of(2);
    let mut service = Service::new(world.clone()).users(even);
    for (password, told) in [(&b"\x02xx"[..], 0), (b"\x01x", 1)] {
        let mut client = world.call(&mut service);
        client.push(&[b"\x05\x01\x02\x01\0", password].concat());
        assert_eq!(client.take_sent(), [5, 2, 1, told]);
    }
}

#[test]
fn commands_that_are_unknown_are_answered() {
    let mut client = World::new().client();
    client.push(b"\x05\x01\0\x05\x09\0\x01\x5d\xb8\xd7\x0e\0\x50");
    assert_eq!(refused(&mut client), 7);
    let mut client = World::new().client();
    client.push(b"\x05\x01\0\x05\x01\0\x02");
    assert_eq!(refused(&mut client), 8);
    let mut client = World::new().client();
    client.push(b"\x04\x03");
    assert_eq!(client.take_sent(), b"\0\x5b\0\0\0\0\0\0");
    let mut client = World::new().client();
    client.push(b"GET / HTTP/1.1\r\n");
    assert_eq!(client.take_sent(), b"");
    assert_eq!(client.ended(), Some(Disconnect::Closed));
}

#[test]
fn a_client_has_a_time_to_say_what_it_wants() {
    for said in [&b""[..], b"\x05\x01\0", b"\x05\x01\0\x05\x01\0\x03\x0bexamp", b"\x04\x01"] {
        let mut client = World::new().client();
        client.push(said);
        client.advance(HANDSHAKE_PATIENCE.saturating_sub(MOMENT));
        assert_eq!(client.ended(), None);
        client.advance(MOMENT);
        assert_eq!(client.ended(), Some(Disconnect::TimedOut));
    }
    let world = World::new();
    let mut client = world.client();
    client.advance(HANDSHAKE_PATIENCE.saturating_sub(MOMENT));
    client.push(CONNECT_5);
    client.advance(CONNECT_PATIENCE * 10);
    assert_eq!(client.ended(), None);
}

#[test]
fn a_connection_has_a_time_to_come_about() {
    for name in ["slow.example.org", "example.org"] {
        let world = World::answering(Answer::Late);
        let mut client = world.client();
        client.push(&connect_to(name));
        client.advance(CONNECT_PATIENCE.saturating_sub(MOMENT));
        assert_eq!(client.ended(), None);
        client.advance(MOMENT);
        assert_eq!(refused(&mut client), 6);
        // What was under way is given up.
        for promise in world.0.lookups.take() {
            assert!(!promise.is_wanted());
        }
        for mut seat in world.0.waiting.take() {
            assert_eq!(seat.wishes().ending, Some(Ending::Abort(Disconnect::Aborted)));
            seat.handle(Event::Lost(Disconnect::Aborted));
        }
    }
}

#[test]
fn waits_and_idle_times_are_the_owners_to_say() {
    let world = World::answering(Answer::Late);
    let waits = Waits { handshake: MOMENT, connect: MOMENT * 2, ..Waits::default() };
    let mut service = Service::new(world.clone()).waits(waits);
    let mut client = world.call(&mut service);
    client.advance(MOMENT);
    assert_eq!(client.ended(), Some(Disconnect::TimedOut));
    let mut client = world.call(&mut service);
    client.push(CONNECT_5);
    client.advance(MOMENT * 2);
    assert_eq!(refused(&mut client), 6);

    let world = World::new();
    let relay = RelayOptions { idle: Some(IDLE / 2), ..RelayOptions::default() };
    let mut client = world.call(&mut Service::new(world.clone()).relay(relay));
    client.push(CONNECT_5);
    client.advance((IDLE / 2).saturating_sub(MOMENT));
    assert_eq!(client.ended(), None);
    client.advance(MOMENT + Duration::from_secs(1));
    world.far().run();
    client.run();
    assert_eq!(client.ended(), Some(Disconnect::TimedOut));
}

#[test]
fn a_client_that_leaves_takes_its_attempt_with_it() {
    let world = World::answering(Answer::Late);
    let mut client = world.client();
    client.push(CONNECT_5);
    client.lose(Disconnect::Reset);
    let mut seat = world.0.waiting.borrow_mut().pop().expect("an attempt");
    assert_eq!(seat.wishes().ending, Some(Ending::Abort(Disconnect::Aborted)));
    seat.handle(Event::Lost(Disconnect::Aborted));
}

#[test]
fn clients_have_a_number() {
    let world = World::new();
    let limits = Limits { total: Some(2), per_peer: Some(1), ..Limits::default() };
    let mut service = Service::new(world).limits(limits);
    let (one, other) = (Address::Ip(ip("10.0.0.7:1")), Address::Ip(ip("10.0.0.8:1")));
    let first = service.build(&one).map(seat);
    assert!(first.is_some());
    assert!(service.build(&one).is_none());
    let second = service.build(&other).map(seat);
    assert!(second.is_some());
    assert!(service.build(&Address::Ip(ip("10.0.0.9:1"))).is_none());
}

#[test]
fn who_has_asked_for_nothing_is_let_go_when_the_server_ends() {
    let world = World::new();
    let mut service = Service::new(world.clone());
    let silent = service.silent();
    let [mut nothing, mut halfway, mut quick, mut joined] =
        std::array::from_fn(|_| world.call(&mut service));
    halfway.push(b"\x05\x01\0");
    joined.push(CONNECT_5);
    let mut far = world.far();
    assert!(silent.drain().now_or_never().is_some());
    let mut late = world.call(&mut service);
    for client in [&mut nothing, &mut halfway, &mut quick, &mut joined] {
        client.run();
        assert_eq!(client.ended(), None);
    }
    // One that says it in time is served.
    quick.push(CONNECT_5);
    assert_eq!(quick.take_sent(), GRANTED_5);
    world.0.clock.advance(GOODBYE_PATIENCE);
    for client in [&mut nothing, &mut halfway, &mut late] {
        client.run();
        assert_eq!(client.ended(), Some(Disconnect::TimedOut));
    }
    joined.push(b"still there");
    assert_eq!(far.take_sent(), b"still there");
    for client in [&mut quick, &mut joined] {
        client.run();
        assert_eq!(client.ended(), None);
    }
    silent.resume();
    let mut another = world.call(&mut service);
    another.advance(GOODBYE_PATIENCE);
    assert_eq!(another.ended(), None);
}
