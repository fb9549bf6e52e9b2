//! The server among hosts, in all weathers.

use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::{Body, BodyPiece, BodyStream, Request, Resource, Tree};
use ropewalk_protocol::{Clock as _, Disconnect, connect, listen, sleep};
use ropewalk_trial::{Clock, Cut, Link, Memory, Note, Notes, Random, Simulation, Witness};

use crate::client::{chunk, get, head, post, secs, site};

/// How long the slow resource thinks.
const THINKS: Duration = Duration::from_secs(2);

/// Answers at once, later, in a stream, and from what it was sent.
fn resource(clock: impl ropewalk_protocol::Clock + Clone + 'static) -> impl Resource {
    Tree::new()
        .child("hello", |_: Request| "hello\n")
        .child("echo", |request: Request| {
            request.into_body().collect(1 << 20).map(|body| body.to_vec())
        })
        .child("stream", |_: Request| {
            let mut left = 20;
            Body::stream(BodyStream::new(move || {
                left -= 1;
                let piece = BodyPiece::Bytes(vec![b'a' + left; 1500].into());
                Deferred::succeed((left > 0).then_some(piece))
            }))
        })
        .child("later", move |_: Request| {
            let clock = clock.clone();
            sleep(&clock, THINKS).map(|()| "at last\n")
        })
}

/// Requests in any order, the last of which ends the connection.
fn conversation(random: &mut Random) -> Vec<u8> {
    let body: Vec<u8> = (0..random.below(6000)).map(|n| b'a' + (n % 26) as u8).collect();
    let chunked = [
        head("POST /echo HTTP/1.1", &["Transfer-Encoding: chunked"]),
        chunk(&body),
        chunk(b"and more"),
        b"0\r\n\r\n".to_vec(),
    ];
    let kinds =
        [get("/hello"), post("/echo", &body), chunked.concat(), get("/stream"), get("/later")];
    let count = random.between(1, 6);
    let mut all: Vec<u8> = (0..count).flat_map(|_| random.choose(&kinds).clone()).collect();
    all.extend(head("GET /hello HTTP/1.1", &["Connection: close"]));
    all
}

/// What is answered where there is no network.
fn in_memory(conversation: &[u8]) -> Vec<u8> {
    let clock = Clock::new();
    let mut memory = Memory::seat(site(resource(clock.clone())).server(), &clock);
    let mut rest = conversation;
    while !rest.is_empty() {
        rest = &rest[memory.push(rest)..];
        memory.advance(THINKS);
    }
    memory.advance(secs(30));
    assert!(memory.is_write_closed(), "the last request ends it");
    assert!(clock.now() > secs(30));
    memory.take_sent()
}

/// A client that sends its requests in pieces, one after the other, and closes when the server does.
fn client(conversation: &[u8], seed: u64) -> (Witness, Notes) {
    let pieces: Vec<Vec<u8>> =
        Cut::Random(seed).cut(conversation).into_iter().map(<[u8]>::to_vec).collect();
    Witness::new(move |conn, note| match note {
        Note::Made => {
            for (index, piece) in pieces.clone().into_iter().enumerate() {
                let delay = Duration::from_millis(index as u64);
                conn.call_later(delay, move |_, conn| conn.write(&piece));
            }
        }
        Note::Eof => conn.close(),
        _ => (),
    })
}

#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn every_answer_comes_whole_and_in_order(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let site = site(resource(simulation.host("server")));
    let port = listen(&simulation.server_endpoint("server", 80), site).await?;
    let mut asked = Vec::new();
    for name in ["one", "two", "three"] {
        let (from, conversation) =
            (simulation.client_endpoint(name, "server", 80), conversation(&mut random));
        let (client, notes) = client(&conversation, random.number());
        asked.push((connect(&from, client), notes, in_memory(&conversation)));
    }
    simulation.rough_weather();
    for (made, notes, expected) in asked {
        let conn = made.await?;
        while notes.lost().is_none() {
            sleep(&simulation.host("one"), secs(1)).await?;
        }
        assert_eq!(notes.data().escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(notes.lost(), Some(Disconnect::Closed), "{conn:?}");
        assert_eq!(notes.disorder(), None);
    }
    port.stop_listening().await
}

/// One client is cut off at any byte of any direction; it heard right until then, another does not
/// notice, and nothing is left.
#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn who_is_cut_off_harms_nobody(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let site = site(resource(simulation.host("server")));
    let port = listen(&simulation.server_endpoint("server", 80), site).await?;
    let mut asked = Vec::new();
    for name in ["broken", "sound"] {
        let (from, conversation) =
            (simulation.client_endpoint(name, "server", 80), conversation(&mut random));
        let (client, notes) = client(&conversation, random.number());
        connect(&from, client).await?;
        asked.push((notes, in_memory(&conversation)));
    }
    let breaks = Link::passable(&mut random).reset_after(random.below(8000));
    let (from, to) = *random.choose(&[("broken", "server"), ("server", "broken")]);
    simulation.link_from(from, to, breaks);
    let clock = simulation.host("sound");
    while asked.iter().any(|(notes, _)| notes.lost().is_none()) {
        sleep(&clock, secs(1)).await?;
    }
    for (notes, expected) in &asked {
        assert!(expected.starts_with(&notes.data()), "{notes:?}");
        assert_eq!(notes.disorder(), None);
    }
    let (notes, expected) = &asked[1];
    assert_eq!(notes.data(), *expected);
    port.stop_listening().await
}
