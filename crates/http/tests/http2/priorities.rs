//! Who is served first (RFC 9218), seen from a site: by urgency, and by turns where parts are of use by themselves.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, deferred};
use ropewalk_http::events::{Event, EventGroup};
use ropewalk_http::{Body, BodyPiece, BodyStream, Request, Response, Site, Tree};
use ropewalk_http2::frame::{PREFACE, write_priority_update};
use ropewalk_trial::{Clock, Memory};

use crate::frames::{exchange, raw};

const LARGE: usize = 300_000;
const HUGE: usize = 8 << 20;
/// How much of bodies goes out before anybody else has a turn.
const TURN: usize = 256 * 1024;
const SMALL: usize = 500;
/// As much as goes out before anybody has opened a window.
const FIRST: usize = 65_535;

fn site(news: &EventGroup) -> Site {
    let page = |len: usize| move |_: Request| Body::from(vec![b'x'; len]);
    let urgent = |_: Request| {
        let mut response = Response::new(Body::from(vec![b'x'; LARGE]));
        response.headers_mut().insert("priority", "u=0".parse().expect("a value"));
        response
    };
    let news = news.clone();
    let tree = Tree::new()
        .child("large", page(LARGE))
        .child("small", page(SMALL))
        .child("own", urgent)
        .child("news", move |request: Request| news.join(&request));
    Site::new(tree)
}

/// A client that opens the windows of streams at once, and the connection's as it is told to.
struct Reader {
    server: Memory,
    next: u32,
    /// Whose parts came, in their order, and how long each was; parts of one that follow each other are one.
    parts: Vec<(u32, usize)>,
    /// Streams whose answers are whole, in that order.
    whole: Vec<u32>,
}

impl Reader {
    fn of(site: &Site) -> Self {
        let server = Memory::seat(site.server(), &Clock::new());
        let mut reader = Self { server, next: 1, parts: Vec::new(), whole: Vec::new() };
        let windows = raw(4, 0, 0, &[0, 4, 0x3f, 0, 0, 0]);
        reader.push(&[&PREFACE[..], &windows].concat());
        reader
    }

    fn push(&mut self, octets: &[u8]) {
        let (parts, whole) = (&mut self.parts, &mut self.whole);
        exchange(&mut self.server, octets, |kind, flags, stream, len| {
            if kind == 0 && len > 0 {
                match parts.last_mut() {
                    Some((last, sum)) if *last == stream => *sum += len,
                    _ => parts.push((stream, len)),
                }
            }
            if kind < 2 && flags & 1 != 0 {
                whole.push(stream);
            }
        });
    }

    /// Asks for a page, by a `Priority` field where it is not empty.
    fn ask(&mut self, path: &str, priority: &str) -> u32 {
        let stream = self.next;
        self.next += 2;
        let mut block = vec![0x82, 0x86, 0x04, path.len() as u8];
        block.extend_from_slice(path.as_bytes());
        if !priority.is_empty() {
            block.extend_from_slice(b"\0\x08priority");
            block.push(priority.len() as u8);
            block.extend_from_slice(priority.as_bytes());
        }
        self.push(&raw(1, 5, stream, &block));
        stream
    }

    /// Lets so much more come, and says what came of it.
    fn open(&mut self, len: usize) -> Vec<(u32, usize)> {
        self.parts.clear();
        self.push(&raw(8, 0, 0, &(len as u32).to_be_bytes()));
        std::mem::take(&mut self.parts)
    }
}

#[test]
fn what_is_urgent_overtakes_what_was_asked_for_before() {
    let mut reader = Reader::of(&site(&EventGroup::new()));
    let first = reader.ask("/large", "");
    assert_eq!(reader.parts, [(first, FIRST)]);
    let (late, early) = (reader.ask("/large", "u=5"), reader.ask("/large", "u=1"));
    let small = reader.ask("/small", "u=0");
    let all = reader.open(1 << 30);
    assert_eq!(all, [(small, SMALL), (early, LARGE), (first, LARGE - FIRST), (late, LARGE)]);
    assert_eq!(reader.whole, [small, early, first, late]);
}

#[test]
fn those_that_may_share_have_a_frame_each_and_others_go_before_them() {
    let mut reader = Reader::of(&site(&EventGroup::new()));
    let first = reader.ask("/large", "");
    let shared = [0; 3].map(|_| reader.ask("/large", "i"));
    assert_eq!(reader.open(LARGE - FIRST), [(first, LARGE - FIRST)]);
    let parts = reader.open(30 * 16_384);
    assert_eq!(parts.len(), 30, "each part is another's than the one before");
    for stream in shared {
        let sum = parts.iter().filter(|(of, _)| *of == stream).map(|(_, len)| len).sum::<usize>();
        assert_eq!(sum, 10 * 16_384);
    }
    reader.open(1 << 30);
    assert_eq!(reader.whole, [first, shared[0], shared[1], shared[2]]);
}

#[test]
fn a_client_may_think_again_and_an_answer_may_say_more() {
    let mut reader = Reader::of(&site(&EventGroup::new()));
    let streams = [0; 3].map(|_| reader.ask("/large", ""));
    let mut update = Vec::new();
    write_priority_update(streams[2], b"u=1", &mut update);
    reader.push(&update);
    let own = reader.ask("/own", "u=6");
    let order = reader.open(1 << 30);
    let order: Vec<u32> = order.into_iter().map(|(stream, _)| stream).collect();
    assert_eq!(order, [own, streams[2], streams[0], streams[1]]);
}

#[test]
fn a_client_may_say_so_before_it_asks() {
    let mut reader = Reader::of(&site(&EventGroup::new()));
    let mut updates = Vec::new();
    write_priority_update(5, b"u=1", &mut updates);
    write_priority_update(7, b"u=6", &mut updates);
    // Of two, the later one.
    write_priority_update(7, b"u=2, i", &mut updates);
    reader.push(&updates);
    let [first, plain, early, later] =
        ["", "", "u=7", "u=0"].map(|priority| reader.ask("/large", priority));
    assert_eq!([first, plain, early, later], [1, 3, 5, 7]);
    let order = reader.open(1 << 30);
    let order: Vec<u32> = order.into_iter().map(|(stream, _)| stream).collect();
    assert_eq!(order, [early, later, first, plain]);
}

#[test]
fn nobody_waits_for_more_than_a_turn_of_anothers_body() {
    // What is asked for first waits until the huge body is about to go out, which is not in pieces.
    let (promise, later) = deferred();
    let (promise, later) = (Cell::new(Some(promise)), Cell::new(Some(later)));
    let promise = Rc::new(promise);
    let huge = move |_: Request| {
        let promise = Rc::clone(&promise);
        let mut piece = Some(BodyPiece::from(Bytes::from(vec![b'x'; HUGE])));
        let pieces = BodyStream::new(move || {
            if let Some(promise) = promise.take() {
                promise.succeed("here");
            }
            Deferred::succeed(piece.take())
        });
        Body::stream(pieces)
    };
    let later = move |_: Request| later.take().expect("it is asked for once");
    let mut reader = Reader::of(&Site::new(Tree::new().child("huge", huge).child("later", later)));
    reader.open(1 << 30);
    let small = reader.ask("/later", "");
    let huge = reader.ask("/huge", "u=7");
    let parts = std::mem::take(&mut reader.parts);
    let place = parts.iter().position(|(stream, _)| *stream == small).expect("it is answered");
    let before: usize = parts[..place].iter().map(|(_, len)| len).sum();
    assert!(before <= TURN, "{before} bytes of another's body went first");
    assert_eq!(reader.whole, [small, huge]);
    assert_eq!(parts.iter().map(|(_, len)| len).sum::<usize>(), HUGE + "here".len());
}

#[test]
fn events_are_told_beside_large_pages() {
    let news = EventGroup::new();
    let mut reader = Reader::of(&site(&news));
    let large = [0; 4].map(|_| reader.ask("/large", "u=4, i"));
    let told = [reader.ask("/news", ""), reader.ask("/news", "u=1, i")];
    reader.open(0x1_0000);
    let event = Event::new("it rains".repeat(10));
    let size = event.encode().len();
    for at in 0..20 {
        assert_eq!(news.send(&event).to, 2);
        // An event each comes first, whatever else waits.
        let came = reader.open(2 * size + 16_384);
        assert_eq!(came[..2], [(told[1], size), (told[0], size)], "the {at}th: {came:?}");
        assert!(large.contains(&came[2].0), "and then what waited");
    }
    // Each of the pages goes on; the events do not end.
    reader.open(1 << 28);
    assert_eq!(reader.whole, large);
    assert_eq!(news.send(&event).to, 2);
    let mut came = reader.open(1);
    came.sort_unstable();
    assert_eq!(came, told.map(|stream| (stream, size)));
}
