//! Clients that mean harm: each loses its own connection by the right code, or its stream, and no neighbour
//! notices anything.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_http::{Body, BodyPiece, BodyStream, Request, Site};
use ropewalk_http2::frame::{ErrorCode, PREFACE};
use ropewalk_http2::hpack::{Decoder, Name, Pseudo};
use ropewalk_http2::{Limits, ResetBy};
use ropewalk_protocol::seat;
use ropewalk_trial::{Clock, Hostile, Memory};

use crate::client::Client;
use crate::frames::raw;

/// How much of an attack is sent before it counts as put up with, in bytes.
const ATTACK_MAX: usize = 4 << 20;

/// GET http / in four octets.
const GET: [u8; 4] = [0x82, 0x86, 0x84, 0x01];

/// What is sent the how many-th time.
type Attack = fn(u32) -> Vec<u8>;

/// A request whose host is `a`, all said or not.
fn get(stream: u32, flags: u8) -> Vec<u8> {
    raw(1, flags, stream, &[&GET[..], &[1, b'a']].concat())
}

fn site() -> Site {
    let waiting = RefCell::new(Vec::new());
    Site::new(move |request: Request| {
        if request.uri().path() != "/late" {
            return Deferred::succeed("fine");
        }
        let (promise, later) = deferred();
        waiting.borrow_mut().push(promise);
        later
    })
}

/// A client that sends octets by hand, and reads what it is answered frame by frame.
struct Offender {
    server: Memory,
    decoder: Decoder,
    /// Statuses, by streams.
    statuses: Vec<(u32, String)>,
    resets: Vec<(u32, u32)>,
    farewell: Option<ErrorCode>,
}

impl Offender {
    fn of(site: &Site) -> Self {
        let server = Memory::seat(site.server(), &Clock::new());
        let (decoder, statuses, resets) = (Decoder::new(), Vec::new(), Vec::new());
        let mut offender = Self { server, decoder, statuses, resets, farewell: None };
        offender.push(&[&PREFACE[..], &raw(4, 0, 0, b"")].concat());
        offender
    }

    fn push(&mut self, octets: &[u8]) {
        self.server.push(octets);
        let sent = self.server.take_sent();
        let mut rest = &sent[..];
        while let [a, b, c, kind, _, s0, s1, s2, s3, ..] = *rest {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            let stream = u32::from_be_bytes([s0, s1, s2, s3]);
            let payload = &rest[9..9 + len];
            let number =
                |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four"));
            match kind {
                1 => {
                    let statuses = &mut self.statuses;
                    let take = |field: ropewalk_http2::hpack::Field| {
                        if field.name == Name::Pseudo(Pseudo::Status) {
                            statuses
                                .push((stream, String::from_utf8_lossy(&field.value).into_owned()));
                        }
                    };
                    self.decoder.decode(payload, take).expect("a block");
                }
                3 => self.resets.push((stream, number(0))),
                7 => self.farewell = Some(ErrorCode::from(number(4))),
                _ => (),
            }
            rest = &rest[9 + len..];
        }
    }
}

/// Sends what `attack` gives, with a neighbour beside it; the code that ends the connection, and how many
/// times it was sent.
#[track_caller]
fn offend(mut attack: impl FnMut(u32) -> Vec<u8>) -> (ErrorCode, u32) {
    let site = site();
    let mut neighbour = Client::of(&site);
    let mut offender = Offender::of(&site);
    let (mut sent, mut count) = (0, 0);
    while offender.farewell.is_none() {
        assert!(sent < ATTACK_MAX, "it is put up with");
        let octets = attack(count);
        sent += octets.len();
        count += 1;
        offender.push(&octets);
        assert!(offender.server.waiting() < 1 << 20, "{}", offender.server.waiting());
    }
    assert_eq!(neighbour.get("/").body, b"fine");
    let code = offender.farewell.expect("a farewell");
    assert!(offender.server.is_write_closed());
    offender.server.advance(Duration::from_secs(10));
    assert!(offender.server.ended().is_some());
    assert_eq!(neighbour.get("/").body, b"fine");
    assert_eq!(site.connections(), 1);
    (code, count)
}

#[test]
fn floods_end_their_connection_with_the_word_to_calm_down() {
    let calm = ErrorCode::EnhanceYourCalm;
    let floods: [(&str, Attack, u32); 9] = [
        ("pings", |_| raw(6, 0, 0, &[0; 8]), 257),
        // One has been sent already.
        ("settings", |_| raw(4, 0, 0, b""), 32),
        (
            "empty data",
            |at| [if at == 0 { get(1, 4) } else { vec![] }, raw(0, 0, 1, b"")].concat(),
            1025,
        ),
        ("old priorities", |_| raw(2, 0, 1, &[0; 5]), 1025),
        ("new priorities", |_| raw(0x10, 0, 0, &[0, 0, 0, 1, b'u', b'=', b'1']), 1025),
        ("types not known", |_| raw(0xfa, 0, 0, b""), 1025),
        (
            "rapid reset",
            |at| [get(2 * at + 1, 5), raw(3, 0, 2 * at + 1, &[0, 0, 0, 8])].concat(),
            257,
        ),
        ("made you reset", |at| [get(2 * at + 1, 4), raw(8, 0, 2 * at + 1, &[0; 4])].concat(), 257),
        ("malformed", |at| raw(1, 5, 2 * at + 1, &[0x82]), 257),
    ];
    for (what, attack, most) in floods {
        let (code, count) = offend(attack);
        assert_eq!((code, count), (calm, most), "{what}");
    }
}

#[test]
fn what_comes_for_a_stream_that_was_given_up_has_an_end() {
    // It is answered before its body has come, which nobody wants.
    let post = |flags: u8| raw(1, flags, 1, &[0x83, 0x86, 0x84, 0x01, 1, b'a']);
    let begin = move |at: u32, frame: Vec<u8>| if at == 0 { post(4) } else { frame };
    let (code, count) = offend(|at| begin(at, raw(0, 0, 1, &vec![0; 16_384])));
    // Sixteen of them are the stream's window.
    assert_eq!((code, count), (ErrorCode::FlowControlError, 18));
    let (code, count) = offend(|at| begin(at, raw(0, 0, 1, &[0; 100])));
    assert_eq!((code, count), (ErrorCode::FlowControlError, 2623));
    let (code, count) = offend(|at| begin(at, raw(1, 4, 1, &[0, 1, b'a', 1, b'b'])));
    assert_eq!((code, count), (ErrorCode::StreamClosed, 34));
    // Each time another, one a fault.
    let (code, count) = offend(|at| [get(2 * at + 1, 5), raw(0, 0, 2 * at + 1, b"x")].concat());
    assert_eq!((code, count), (ErrorCode::EnhanceYourCalm, 257));
    let (code, count) = offend(|at| begin(at, raw(8, 0, 1, &[0, 0, 0, 1])));
    assert_eq!(code, ErrorCode::EnhanceYourCalm);
    assert!((1025..1100).contains(&count), "{count}");
}

#[test]
fn continuations_without_end_are_cut_off() {
    // Empty ones, small ones, and few that are large.
    for (size, most) in [(0, 18), (1, 18), (16_000, 6)] {
        let (code, count) =
            offend(
                |at| {
                    if at == 0 { raw(1, 1, 1, &GET[..3]) } else { raw(9, 0, 1, &vec![0; size]) }
                },
            );
        assert_eq!(code, ErrorCode::EnhanceYourCalm, "of {size}");
        assert!(count <= most, "{count} of {size}");
    }
}

#[test]
fn a_small_block_that_stands_for_much_is_431_and_no_more() {
    // One field of 4,000 octets in the table, named 2,000 times: 8 MB out of 6 KB.
    let site = site();
    let mut neighbour = Client::of(&site);
    let mut offender = Offender::of(&site);
    let mut block = vec![0x82, 0x86, 0x84, 0x40, 1, b'x', 0x7f, 0x81, 0x1e];
    block.extend(vec![b'y'; 4000]);
    block.extend(vec![0xbe; 2000]);
    for at in 0..50 {
        let stream = 2 * at + 1;
        offender.push(&raw(1, 5, stream, &block));
        assert_eq!(offender.statuses.last(), Some(&(stream, "431".to_owned())));
    }
    assert!(offender.farewell.is_none());
    assert_eq!(neighbour.get("/").body, b"fine");
}

#[test]
fn what_cannot_be_read_ends_the_connection_by_its_own_code() {
    assert_eq!(offend(|_| raw(1, 5, 1, &[0xff; 9])).0, ErrorCode::CompressionError);
    assert_eq!(offend(|_| raw(0, 0, 1, &vec![0; 16_385])).0, ErrorCode::FrameSizeError);
    assert_eq!(offend(|_| raw(8, 0, 0, &[0; 4])).0, ErrorCode::ProtocolError);
}

#[test]
fn streams_beyond_the_bound_are_refused_and_asking_on_is_too_much() {
    let site = site();
    let mut neighbour = Client::of(&site);
    let mut offender = Offender::of(&site);
    let late =
        |stream: u32| raw(1, 5, stream, &[0x82, 0x86, 0x04, 5, b'/', b'l', b'a', b't', b'e']);
    for at in 0..128 {
        offender.push(&late(2 * at + 1));
    }
    assert_eq!((&offender.resets[..], &offender.statuses[..]), (&[][..], &[][..]));
    let mut refused = 0;
    while offender.farewell.is_none() {
        offender.push(&late(2 * (128 + refused) + 1));
        refused += 1;
        assert!(refused < 1000);
    }
    assert!(offender.resets.iter().all(|(stream, code)| *stream > 256 && *code == 7));
    assert_eq!(
        (refused, offender.farewell.expect("a farewell")),
        (257, ErrorCode::EnhanceYourCalm)
    );
    assert_eq!(neighbour.get("/").body, b"fine");
}

#[test]
fn who_opens_no_window_costs_its_producers_a_piece_and_gets_no_answer_for_ever() {
    let pulled = Rc::new(Cell::new(0_usize));
    let counter = Rc::clone(&pulled);
    let site = Site::new(move |_: Request| {
        let counter = Rc::clone(&counter);
        Body::stream(BodyStream::new(move || {
            counter.set(counter.get() + 1);
            Deferred::succeed(Some(BodyPiece::Bytes(vec![b'z'; 10_000].into())))
        }))
    });
    let mut limits = Limits::default();
    limits.window = 0;
    let mut stalling = Client::with(&site, limits);
    let streams = [0; 100].map(|_| stalling.ask("GET", "/", &[], true));
    assert_eq!(pulled.get(), 100, "each producer is asked for one piece");
    for _ in 0..40 {
        stalling.server.advance(Duration::from_secs(1));
        stalling.listen();
    }
    for stream in streams {
        let answer = &stalling.answers[&stream];
        assert_eq!((answer.status, &answer.reset), (200, &Some(ResetBy::Peer(ErrorCode::Cancel))));
    }
    assert_eq!((pulled.get(), stalling.engine.streams()), (100, 0));
}

#[test]
fn a_producer_is_held_up_by_the_windows_of_its_reader() {
    let pulled = Rc::new(Cell::new(0_usize));
    let counter = Rc::clone(&pulled);
    let site = Site::new(move |_: Request| {
        let counter = Rc::clone(&counter);
        Body::stream(BodyStream::new(move || {
            counter.set(counter.get() + 1);
            Deferred::succeed(
                (counter.get() <= 100).then(|| BodyPiece::Bytes(vec![b'z'; 1000].into())),
            )
        }))
    });
    let mut limits = Limits::default();
    limits.window = 10_000;
    let mut client = Client::with(&site, limits);
    client.releases = false;
    let stream = client.ask("GET", "/", &[], true);
    // Ten that fit, and the one at hand.
    assert_eq!((pulled.get(), client.answers[&stream].body.len()), (11, 10_000));
    let mut out = Vec::new();
    client.engine.release(stream, 5000, &mut out);
    client.push(&out);
    assert_eq!((pulled.get(), client.answers[&stream].body.len()), (16, 15_000));
    client.releases = true;
    while !client.answers[&stream].is_whole {
        let mut out = Vec::new();
        client.engine.release(stream, 10_000, &mut out);
        client.push(&out);
    }
    assert_eq!(client.answers[&stream].body.len(), 100_000);
}

#[test]
fn no_attack_in_the_book_gets_further_than_the_limits() {
    let site = site();
    let request = [&PREFACE[..], &raw(4, 0, 0, b""), &get(1, 5)].concat();
    Hostile::against(move |_| seat(site.server())).request(&request).assert();
}
