//! Attacks on `ropewalk web`, with somebody beside them who only wants a page.

use std::thread;
use std::time::{Duration, Instant};

use ropewalk_http2::frame::ErrorCode;
use ropewalk_interop::PATIENCE;

use crate::process::Belongings;
use crate::web::{Web, large};
use crate::wire::{GET, POST, Wire, block, raw};

/// What is sent the how many-th time, to a server under TLS or not.
type Attack = fn(u32, bool) -> Vec<u8>;

/// How much of an attack may come before it counts as put up with, in bytes.
const ATTACK_MAX: usize = 4 << 20;
/// How much is sent before somebody looks at what came of it.
const AT_A_TIME: u32 = 64;
/// By how much a server's memory may grow meanwhile, in KiB. A page on its way takes its own.
const GROWTH_MAX: u64 = 16 << 10;

fn get(at: u32, flags: u8, is_secure: bool) -> Vec<u8> {
    raw(1, flags, 2 * at + 1, &block(GET, is_secure, "/hello.txt"))
}

fn first(at: u32, one: Vec<u8>, then: Vec<u8>) -> Vec<u8> {
    if at == 0 { one } else { then }
}

/// Somebody who asks for pages, again and again.
struct Neighbour {
    wire: Wire,
    is_secure: bool,
    next: u32,
}

impl Neighbour {
    fn of(web: &Web, is_secure: bool) -> Self {
        Self { wire: wire(web, is_secure, b""), is_secure, next: 0 }
    }

    #[track_caller]
    fn ask(&mut self) {
        let (wire, stream) = (&mut self.wire, 2 * self.next + 1);
        self.next += 1;
        let (before, ended) = (wire.body, wire.ended);
        wire.send(&raw(1, 5, stream, &block(GET, self.is_secure, "/hello.txt")));
        wire.hear_until(|wire| wire.ended > ended);
        assert_eq!(wire.statuses.last(), Some(&(stream, "200".to_owned())));
        assert_eq!((wire.body - before, wire.farewell), (b"hello, file\n".len(), None));
    }
}

fn wire(web: &Web, is_secure: bool, settings: &[u8]) -> Wire {
    let place = if is_secure { &web.encrypted } else { &web.clear };
    Wire::connect(Web::authority(place), is_secure, settings)
}

/// By how many KiB the server has grown, which has a bound.
#[track_caller]
fn grown(web: &Web, before: Belongings) -> u64 {
    let grown = Belongings::of(web.id()).resident.saturating_sub(before.resident);
    assert!(grown < GROWTH_MAX, "{grown} KiB more");
    grown
}

/// Sends an attack until the connection ends, with a neighbour beside it.
#[track_caller]
fn offend(web: &Web, what: &str, attack: Attack, code: ErrorCode) {
    for is_secure in [false, true] {
        let mut neighbour = Neighbour::of(web, is_secure);
        neighbour.ask();
        let before = Belongings::of(web.id());
        let mut offender = wire(web, is_secure, b"");
        let (mut sent, mut at, mut most) = (0, 0, 0);
        while !offender.is_over {
            assert!(sent < ATTACK_MAX, "{what}: it is put up with");
            let octets: Vec<u8> =
                (at..at + AT_A_TIME).flat_map(|at| attack(at, is_secure)).collect();
            at += AT_A_TIME;
            sent += octets.len();
            offender.tell(&octets);
            neighbour.ask();
            most = most.max(grown(web, before));
        }
        assert_eq!(offender.farewell, Some(code), "{what}, under TLS: {is_secure}");
        println!("{what}, under TLS: {is_secure}: {sent} octets, {most} KiB more");
        neighbour.ask();
    }
}

#[test]
fn floods_end_their_own_connection_and_no_other() {
    const CALM: ErrorCode = ErrorCode::EnhanceYourCalm;
    let floods: [(&str, Attack); 16] = [
        ("pings", |_, _| raw(6, 0, 0, &[0; 8])),
        ("settings", |_, _| raw(4, 0, 0, b"")),
        ("settings of windows", |at, _| raw(4, 0, 0, &[0, 4, 0, 0, 0, at as u8])),
        ("empty data", |at, tls| {
            let post = raw(1, 4, 1, &block(POST, tls, "/hello.txt"));
            // Nobody has answered it before its body came.
            first(at, post, raw(0, 0, 1, b""))
        }),
        ("priorities of older times", |_, _| raw(2, 0, 1, &[0; 5])),
        ("priorities", |_, _| raw(0x10, 0, 0, b"\0\0\0\x01u=1")),
        ("types not known", |_, _| raw(0xfa, 0, 0, b"")),
        ("windows", |_, _| raw(8, 0, 0, &[0, 0, 0, 1])),
        ("rapid reset", |at, tls| [get(at, 5, tls), raw(3, 0, 2 * at + 1, &[0, 0, 0, 8])].concat()),
        ("made you reset, by windows of nothing", |at, tls| {
            [get(at, 4, tls), raw(8, 0, 2 * at + 1, &[0; 4])].concat()
        }),
        ("made you reset, by windows beyond all", |at, tls| {
            [get(at, 4, tls), raw(8, 0, 2 * at + 1, &[0x7f, 0xff, 0xff, 0xff])].concat()
        }),
        ("made you reset, by bodies behind the end", |at, tls| {
            [get(at, 5, tls), raw(0, 0, 2 * at + 1, b"x")].concat()
        }),
        ("made you reset, by priorities of another size", |at, tls| {
            [get(at, 4, tls), raw(2, 0, 2 * at + 1, &[0; 4])].concat()
        }),
        ("requests that are none", |at, _| raw(1, 5, 2 * at + 1, &[GET])),
        ("continuations of nothing", |at, tls| {
            first(at, raw(1, 1, 1, &block(GET, tls, "/")), raw(9, 0, 1, b""))
        }),
        ("continuations", |at, tls| {
            first(at, raw(1, 1, 1, &block(GET, tls, "/")), raw(9, 0, 1, &[0; 8000]))
        }),
    ];
    let web = Web::start();
    for (what, attack) in floods {
        offend(&web, what, attack, CALM);
    }
}

#[test]
fn what_breaks_a_rule_ends_by_its_own_code() {
    let web = Web::start();
    let bomb = |_: u32, _: bool| raw(1, 5, 1, &[0xff; 9]);
    offend(&web, "a block that is none", bomb, ErrorCode::CompressionError);
    let large = |_: u32, _: bool| raw(0, 0, 1, &vec![0; 16_385]);
    offend(&web, "a frame beyond the size", large, ErrorCode::FrameSizeError);
    let late = |at: u32, tls: bool| {
        // A folder takes no such request, and says so at once.
        let post = raw(1, 4, 1, &block(POST, tls, "/hello.txt"));
        first(at, post, raw(0, 0, 1, &[0; 16_384]))
    };
    offend(&web, "a body that nobody wants", late, ErrorCode::FlowControlError);
    let fields = |at: u32, tls: bool| {
        let post = raw(1, 4, 1, &block(POST, tls, "/hello.txt"));
        first(at, post, raw(1, 4, 1, b"\0\x01a\x01b"))
    };
    offend(&web, "fields that nobody wants", fields, ErrorCode::StreamClosed);
}

#[test]
fn a_small_block_that_stands_for_much_is_431_and_costs_no_more_than_its_bound() {
    let web = Web::start();
    for is_secure in [false, true] {
        let mut neighbour = Neighbour::of(&web, is_secure);
        neighbour.ask();
        let before = Belongings::of(web.id());
        let mut offender = wire(&web, is_secure, b"");
        // One field of 4,000 octets in the table, named 8,000 times: 32 MB out of 12 KB.
        let mut bomb = block(GET, is_secure, "/");
        bomb.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0x81, 0x1e]);
        bomb.extend(vec![b'y'; 4000]);
        bomb.extend(vec![0xbe; 8000]);
        for at in 0..100 {
            offender.tell(&raw(1, 5, 2 * at + 1, &bomb));
            neighbour.ask();
        }
        assert_eq!(offender.statuses.len(), 100);
        assert!(offender.statuses.iter().all(|(_, status)| status == "431"));
        println!("{} KiB more", grown(&web, before));
        offender.send(&get(100, 5, is_secure));
        // A file is read by another thread, so this answer may come behind that to a ping.
        offender.hear_until(|wire| wire.statuses.len() == 101);
        assert_eq!(offender.statuses.last(), Some(&(201, "200".to_owned())));
    }
}

/// Takes as long as the server is patient, for all of them at once.
#[test]
fn who_takes_nothing_is_given_up_and_costs_little_until_then() {
    const STREAMS: u32 = 100;
    let web = Web::start();
    let mut neighbours = [false, true].map(|is_secure| Neighbour::of(&web, is_secure));
    neighbours.iter_mut().for_each(Neighbour::ask);
    let before = Belongings::of(web.id());
    let ask = |wire: &mut Wire, is_secure: bool| {
        for at in 0..STREAMS {
            wire.send(&raw(1, 5, 2 * at + 1, &block(GET, is_secure, "/large.bin")));
        }
    };
    // These open no window.
    let mut stalled = [false, true].map(|is_secure| {
        let mut wire = wire(&web, is_secure, &[0, 4, 0, 0, 0, 0]);
        ask(&mut wire, is_secure);
        wire.hear_until(|wire| wire.statuses.len() == STREAMS as usize);
        assert_eq!((wire.body, wire.is_over), (0, false));
        wire
    });
    // These open all windows, and read nothing.
    let mut deaf = [false, true].map(|is_secure| {
        let mut wire = wire(&web, is_secure, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        wire.send(&raw(8, 0, 0, &[0x7f, 0, 0, 0]));
        ask(&mut wire, is_secure);
        wire
    });
    // Files are open as long as anybody may want them: in the end there are the two that stalled.
    let (deadline, mut most) = (Instant::now() + 6 * PATIENCE, grown(&web, before));
    while Belongings::of(web.id()).descriptors > before.descriptors + stalled.len() {
        assert!(Instant::now() < deadline, "they are put up with");
        neighbours.iter_mut().for_each(Neighbour::ask);
        most = most.max(grown(&web, before));
        // Nobody asks without a pause.
        thread::sleep(Duration::from_millis(100));
    }
    for wire in &mut stalled {
        wire.hear_until(|wire| wire.resets.len() == STREAMS as usize);
        assert!(wire.resets.iter().all(|(_, code)| *code == ErrorCode::Cancel));
        assert_eq!((wire.body, wire.farewell), (0, None));
    }
    for wire in &mut deaf {
        // What the system holds is there still; it is not all, and then there is nothing.
        wire.hear_until(|_| false);
        assert!(wire.body < STREAMS as usize * large().len(), "it was cut off");
    }
    neighbours.iter_mut().for_each(Neighbour::ask);
    println!("{most} KiB more at most, {} in the end", grown(&web, before));
}
