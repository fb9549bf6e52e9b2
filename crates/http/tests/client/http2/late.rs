//! Servers that go on with what was taken back, and such as make windows smaller than what is under way.

use std::time::Duration;

use bytes::Bytes;
use ropewalk_http::{AgentError, Body};
use ropewalk_http2::{Fatal, Limits, Nuisance};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::Random;

use super::server::{Server, clear, frame};
use crate::{World, error, text};

/// How often a server can send `octets` on a stream that was taken back, until its connection ends for `why`.
#[track_caller]
fn flood(octets: impl Fn(u32) -> Vec<u8>, why: &Fatal) -> usize {
    let world = World::with(clear());
    let other = world.agent.get("http://other/").send();
    let mut neighbour = Server::accept(&world);
    let answer = world.agent.get("http://a/").send();
    let waiting = world.agent.get("http://a/wait").send();
    let (mut server, stream) = Server::asked(&world);
    answer.cancel();
    answer.now_or_never().expect("it is over").expect_err("it is cancelled");
    server.listen();
    assert!(server.asked[&stream].reset.is_some());
    let (octets, mut count) = (octets(stream), 0);
    while server.memory.ended().is_none() {
        assert!(count < 100_000, "it is put up with");
        server.push(&octets);
        assert!(server.memory.waiting() < 1 << 20);
        count += 1;
    }
    assert_eq!(error::<AgentError, _>(waiting), AgentError::Connection(why.clone()));
    assert_eq!(server.farewells(), [why.code()]);
    assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
    neighbour.serve("x");
    assert_eq!(text(other), "x");
    assert_eq!(world.agent.connections(), (1, 1));
    count
}

/// A server whose one request was taken back, and the stream that this had.
fn taken_back(world: &World) -> (Server, u32) {
    let answer = world.agent.get("http://a/").send();
    let (mut server, stream) = Server::asked(world);
    answer.cancel();
    answer.now_or_never().expect("it is over").expect_err("it is cancelled");
    server.listen();
    (server, stream)
}

#[test]
fn what_comes_for_a_request_that_was_taken_back_has_an_end() {
    let limits = clear().http2.limits;
    let window = limits.window as usize;
    let data = |len: usize| move |stream| frame(0, 0, stream, &vec![0; len]);
    assert_eq!(flood(data(16_384), &Fatal::WindowExceeded), window / 16_384 + 1);
    assert_eq!(flood(data(1000), &Fatal::WindowExceeded), window / 1000 + 1);
    let head = |stream| frame(1, 4, stream, b"\x88");
    let most = limits.late_sections_max as usize;
    assert_eq!(flood(head, &Fatal::StreamClosed { stream: 1 }), most + 1);
    let calm = Fatal::TooMany(Nuisance::Updates);
    for update in [frame(8, 0, 1, &[0, 0, 0, 1]), frame(8, 0, 0, &[0, 0, 0, 1])] {
        let count = flood(|_| update.clone(), &calm);
        assert!(count >= limits.updates.burst as usize, "{count}");
    }
    let over = flood(|stream| frame(3, 0, stream, &[0; 4]), &calm);
    assert!(over >= limits.updates.burst as usize, "{over}");
}

#[test]
fn what_was_under_way_when_a_request_was_taken_back_harms_nobody() {
    let world = World::with(clear());
    let mut server = None;
    for at in 0..50 {
        let answer = world.agent.get("http://a/").send();
        let server = server.get_or_insert_with(|| Server::accept(&world));
        let (stream, _) = server.next();
        let head = frame(1, 4, stream, b"\x88");
        answer.cancel();
        answer.now_or_never().expect("it is over").expect_err("it is cancelled");
        // All that fits, as a server sends it that has not heard: the connection's window comes back.
        let window = world.agent.options().http2.limits.window as usize;
        let body = frame(0, 0, stream, &[0; 16_384]).repeat(window / 16_384 - 1);
        let end = frame(0, 1, stream, &[0; 16_384]);
        server.memory.push(&[head, body, end].concat());
        assert_eq!(server.memory.ended(), None, "the {at}th");
        server.listen();
    }
    let answer = world.agent.get("http://a/").send();
    server.as_mut().expect("a server").serve("x");
    assert_eq!(text(answer), "x");
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_client_at_rest_forgets_what_it_took_back() {
    let world = World::with(clear());
    let (mut server, stream) = taken_back(&world);
    server.advance(Duration::from_secs(9));
    // It may have been under way, and nothing is said of it.
    let part = frame(0, 0, stream, b"late");
    server.memory.push(&[frame(1, 4, stream, b"\x88"), part.clone()].concat());
    assert_eq!(server.memory.take_sent(), b"");
    // Nothing is under way for so long: nothing is kept, and who goes on breaks a rule of streams.
    server.memory.advance(Duration::from_secs(1));
    server.memory.push(&part);
    assert_eq!(server.memory.take_sent(), frame(3, 0, stream, &[0, 0, 0, 5]));
    // The connection has its time all the same, and no more than that.
    let kept = world.agent.options().patience.keep;
    server.advance(kept.checked_sub(Duration::from_secs(11)).expect("it is longer"));
    assert_eq!(server.memory.ended(), None);
    server.advance(Duration::from_secs(1));
    assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
    assert_eq!(world.agent.connections(), (0, 0));
}

#[test]
fn one_that_is_asked_again_forgets_later_and_what_was_under_way_is_not_held_against_it() {
    let world = World::with(clear());
    let (mut server, stream) = taken_back(&world);
    for at in 0..5 {
        server.advance(Duration::from_secs(9));
        server.memory.push(&frame(0, 0, stream, &[0; 16_384]));
        assert_eq!(server.memory.take_sent(), b"", "the {at}th");
        let answer = world.agent.get("http://a/").send();
        server.serve("x");
        assert_eq!(text(answer), "x");
    }
    assert_eq!(world.agent.connections(), (1, 1));
}

/// What a client has sent of a body on stream 1, by the frames in `sent`; whether that is all.
fn body_in(sent: &[u8]) -> (i64, bool) {
    let (mut rest, mut len, mut is_whole) = (sent, 0, false);
    while let [a, b, c, kind, flags, _, _, _, stream, behind @ ..] = rest {
        let size = u32::from_be_bytes([0, *a, *b, *c]);
        assert!(*kind != 3 && *kind != 7, "neither a reset nor a farewell");
        if (*kind, *stream) == (0, 1) {
            len += i64::from(size);
            is_whole = flags & 1 == 1;
        }
        rest = &behind[size as usize..];
    }
    (len, is_whole)
}

#[test]
fn an_upload_fills_its_window_to_the_octet_whatever_was_taken_back_of_it() {
    const SIZE: i64 = 200_000;
    let window = |size: i64| frame(4, 0, 0, &[&[0, 4], &(size as u32).to_be_bytes()[..]].concat());
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let world = World::with(clear());
        let body = Body::from(Bytes::from(vec![b'u'; SIZE as usize]));
        let answer = world.agent.put("http://a/", body).send();
        let mut server = Server::silent(&world, Limits::default());
        server.memory.run();
        let first = server.memory.take_sent();
        let (mut sent, mut is_whole) = body_in(&first[24..]);
        // Nothing else was agreed on yet.
        assert_eq!(sent, 65_535);
        let (mut initial, mut updates, mut expected, mut left) = (0, 0, sent, 25);
        server.memory.push(&[window(0), frame(8, 0, 0, &[0x3f, 0, 0, 0])].concat());
        while !is_whole {
            loop {
                server.memory.run();
                let said = server.memory.take_sent();
                if said.is_empty() {
                    break;
                }
                let (more, is_end) = body_in(&said);
                (sent, is_whole) = (sent + more, is_whole | is_end);
            }
            expected = SIZE.min(initial + updates).max(expected);
            assert_eq!(sent, expected, "seed {seed}");
            if left > 0 && random.below(2) == 0 {
                left -= 1;
                initial = random.below(100_000) as i64;
                server.memory.push(&window(initial));
            } else {
                let more = 1 + random.below(30_000) as u32;
                updates += i64::from(more);
                server.memory.push(&frame(8, 0, 1, &more.to_be_bytes()));
            }
        }
        server.memory.push(&frame(1, 5, 1, b"\x88"));
        assert_eq!(text(answer), "");
    }
}
