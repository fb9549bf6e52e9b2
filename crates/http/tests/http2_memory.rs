//! What connections of HTTP/2 cost, counted byte by byte. One test alone: the count is the whole program's.

#[path = "http2/client.rs"]
#[allow(dead_code, reason = "it is there for other tests, which use all of it")]
mod client;

use std::alloc::System;
use std::time::UNIX_EPOCH;

use ropewalk_http::{Body, Request, Site, Tree};
use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Connection, Event, Limits};
use ropewalk_trial::{Clock, Memory, Random};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::client::Client;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 100;
/// How many requests are made over all of them, unless `ROPEWALK_REQUESTS` says.
const REQUESTS: usize = 10_000;
/// What an idle connection may take, in bytes, the test's own end of it included.
const EACH_MAX: usize = 2048;

/// How many pieces of memory an idle connection owns, used before: the seat and its page, the connection
/// itself, and tables of fields with their text, both ways and at both ends.
const PIECES_MAX: usize = 40;

/// How many pieces are allocated now.
fn pieces() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations - stats.deallocations
}

/// How many bytes are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn site() -> Site {
    let tree = Tree::new()
        .child("", |_: Request| "hello")
        .child("large", |_: Request| Body::from(vec![b'l'; 100_000]))
        .child("echo", |request: Request| {
            request.into_body().collect(1 << 20).map(|body| body.to_vec())
        });
    // With the same date in each answer: tables of fields would grow with each new one, up to their bound.
    Site::new(tree).wall_clock(|| UNIX_EPOCH)
}

/// A client that hears out what comes and keeps nothing of it.
struct Lean {
    engine: Connection,
    server: Memory,
    answered: usize,
    whole: usize,
}

impl Lean {
    fn of(site: &Site) -> Self {
        let server = Memory::seat(site.server(), &Clock::new());
        let engine = Connection::client(Limits::default());
        let mut lean = Self { engine, server, answered: 0, whole: 0 };
        let mut out = Vec::new();
        lean.engine.greet(&mut out);
        lean.push(out);
        lean
    }

    fn push(&mut self, mut out: Vec<u8>) {
        // Patience for those who take back is counted by the second.
        while !out.is_empty() {
            self.server.push(&out);
            let sent = self.server.take_sent();
            let (mut input, now) = (&sent[..], self.server.now());
            out = Vec::new();
            while let Some(event) = self.engine.next(&mut input, now, &mut out).expect("frames") {
                match event {
                    Event::Response { is_end, .. } => {
                        self.answered += 1;
                        self.whole += usize::from(is_end);
                    }
                    Event::Data { stream, data, is_end } => {
                        self.whole += usize::from(is_end);
                        self.engine.release(stream, data.len(), &mut out);
                    }
                    Event::GoAway { code, .. } => panic!("{code}"),
                    _ => (),
                }
            }
        }
    }

    fn open(&mut self, path: &str, is_end: bool, out: &mut Vec<u8>) -> u32 {
        let opened = self.engine.open(is_end, out, |head| {
            head.pseudo(Pseudo::Method, if is_end { b"GET" } else { b"POST" });
            head.pseudo(Pseudo::Scheme, b"http");
            head.pseudo(Pseudo::Authority, b"example.com");
            head.pseudo(Pseudo::Path, path.as_bytes());
        });
        opened.expect("a stream")
    }

    /// One request, whose stream may be taken back at several places.
    fn ask(&mut self, random: &mut Random) {
        let mut out = Vec::new();
        let stream = match random.below(10) {
            0 => self.open("/large", true, &mut out),
            1 | 2 => {
                let stream = self.open("/echo", false, &mut out);
                let len = random.below(3000) as usize;
                // Some bodies stop in the middle, and their streams are taken back.
                let is_end = random.below(4) > 0;
                if let Some(head) = self.engine.data_head(stream, len, is_end, &mut out) {
                    out.extend_from_slice(&head);
                    out.extend(vec![b'e'; len]);
                }
                if !is_end {
                    self.push(std::mem::take(&mut out));
                    self.engine.reset(stream, ropewalk_http2::frame::ErrorCode::Cancel, &mut out);
                }
                stream
            }
            _ => self.open("/", true, &mut out),
        };
        if random.below(8) == 0 {
            self.engine.reset(stream, ropewalk_http2::frame::ErrorCode::Cancel, &mut out);
        }
        self.push(out);
        assert_eq!(self.engine.streams(), 0);
    }
}

/// Requests that were answered before their bodies had come are forgotten, too.
fn remember_and_forget(idle: &mut [Lean]) {
    let at_rest = held();
    for lean in &mut *idle {
        for _ in 0..50 {
            let mut out = Vec::new();
            lean.open("/", false, &mut out);
            lean.push(out);
            assert_eq!(lean.engine.streams(), 0);
        }
    }
    let remembering = held();
    assert!(remembering > at_rest + CONNECTIONS * 256, "{at_rest} {remembering}");
    for lean in &mut *idle {
        lean.server.advance(std::time::Duration::from_secs(11));
        assert!(lean.server.ended().is_none());
    }
    let forgotten = held();
    eprintln!(
        "{at_rest} bytes at rest, {remembering} with streams that were reset, {forgotten} soon after"
    );
    assert!(forgotten < at_rest + CONNECTIONS * 256, "{at_rest} {forgotten}");
}

#[test]
fn an_idle_connection_is_small_and_requests_leave_nothing_behind() {
    let site = site();
    // What all of a site's connections share is there once.
    drop(Client::of(&site));
    let mut warm = Lean::of(&site);
    let mut random = Random::new(11);
    (0..100).for_each(|_| warm.ask(&mut random));
    drop(warm);

    let (before, pieces_before) = (held(), pieces());
    let mut idle: Vec<Lean> = (0..CONNECTIONS).map(|_| Lean::of(&site)).collect();
    let fresh = (held() - before) / CONNECTIONS;
    assert!(fresh <= EACH_MAX, "{fresh} bytes before any request");
    for lean in &mut idle {
        let mut out = Vec::new();
        lean.open("/", true, &mut out);
        lean.push(out);
        assert_eq!((lean.answered, lean.whole), (1, 1));
    }
    // Used and idle again: there are tables of fields now, and still no frame and no stream.
    let used = (held() - before) / CONNECTIONS;
    eprintln!(
        "an idle connection: {fresh} bytes, {used} after a request, the client's engine included"
    );
    assert!(used <= 2 * EACH_MAX, "{used} bytes after a request");
    let each = (pieces() - pieces_before) / CONNECTIONS;
    eprintln!("{each} pieces of memory each");
    assert!(each <= PIECES_MAX, "{each} pieces each");

    remember_and_forget(&mut idle);
    let rest = idle.iter().map(|lean| lean.engine.streams()).sum::<usize>();
    assert_eq!(rest, 0);

    let count = std::env::var("ROPEWALK_REQUESTS")
        .map_or(REQUESTS, |count| count.parse().expect("ROPEWALK_REQUESTS is a number"));
    let mut round = |count: usize, every: usize| {
        for at in 0..count {
            let lean = &mut idle[at % CONNECTIONS];
            lean.ask(&mut random);
            if at % (every * CONNECTIONS) < CONNECTIONS {
                // Time passes, so that resets stay within what is put up with.
                lean.server.advance(std::time::Duration::from_secs(1));
            }
        }
    };
    // What is remembered of streams that were reset fills first.
    round(250 * CONNECTIONS, 20);
    let full = held();
    round(count, 20);
    let after = held();
    assert!(after <= full + full / 10, "{full} bytes became {after} after {count} requests");
    drop(idle);
    let left = held().saturating_sub(before);
    assert!(left <= 64 * 1024, "{left} bytes are left of {CONNECTIONS} connections");
    assert_eq!(site.connections(), 0);
}
