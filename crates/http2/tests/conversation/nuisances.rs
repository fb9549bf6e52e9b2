//! What costs a peer nothing, on both sides of its bound.

use std::time::Duration;

use ropewalk_http2::frame::PREFACE;
use ropewalk_http2::{Allowance, Connection, Event, Limits, Memory, Nuisance};

use crate::corpus::field;
use crate::frames::raw;

/// How many of `frame` a server takes at once, and how many more after `wait` seconds.
fn taken(limits: Limits, wait: u64, mut frame: impl FnMut(u32) -> Vec<u8>) -> (u32, u32, Nuisance) {
    let mut server = Connection::server(limits);
    let mut out = Vec::new();
    server.greet(&mut out);
    let mut hear = |octets: &[u8], now: u64| {
        let mut input = octets;
        let now = Duration::from_secs(now);
        loop {
            match server.next(&mut input, now, &mut out) {
                Ok(Some(_)) => (),
                Ok(None) => return Ok(()),
                Err(fatal) => return Err(fatal),
            }
        }
    };
    hear(PREFACE, 1).expect("a preface");
    hear(&raw(4, 0, 0, b""), 1).expect("settings");
    let burst = match frame(0)[3] {
        4 => limits.settings.burst - 1,
        6 => limits.pings.burst,
        1 => limits.resets.burst.min(limits.faults.burst),
        _ => limits.empties.burst,
    };
    let mut count = 0;
    for at in 0..burst {
        hear(&frame(at), 1).expect("within the bound");
        count += 1;
    }
    let mut more = 0;
    loop {
        match hear(&frame(burst + more), 1 + wait) {
            Ok(()) => more += 1,
            Err(ropewalk_http2::Fatal::TooMany(what)) => return (count, more, what),
            Err(fatal) => panic!("{fatal}"),
        }
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    let few = Allowance::new(10, 2);
    limits.resets = few;
    limits.faults = few;
    limits.pings = few;
    limits.settings = few;
    limits.empties = few;
    limits
}

#[test]
fn pings_settings_and_empty_frames() {
    let ping = |_| raw(6, 0, 0, &[0; 8]);
    assert_eq!(taken(limits(), 0, ping), (10, 0, Nuisance::Pings));
    assert_eq!(taken(limits(), 3, ping), (10, 6, Nuisance::Pings));
    assert_eq!(taken(limits(), 100, ping), (10, 10, Nuisance::Pings));
    // The first settings count too.
    assert_eq!(taken(limits(), 0, |_| raw(4, 0, 0, b"")), (9, 0, Nuisance::Settings));
    for frame in [raw(2, 0, 1, &[0; 5]), raw(0xfe, 0, 0, b"x"), raw(16, 0, 0, b"\0\0\0\x01u=1")] {
        assert_eq!(taken(limits(), 0, |_| frame.clone()), (10, 0, Nuisance::Empties));
    }
    let empty = |at| {
        let head = if at == 0 { raw(1, 4, 1, &[0x83, 0x87, 0x84]) } else { Vec::new() };
        [head, raw(0, 0, 1, b"")].concat()
    };
    let mut server = limits();
    server.empties = Allowance::new(10, 0);
    let mut first = true;
    let frames = |at: u32| {
        // The type that is looked at for the bound is that of the empty frame.
        if std::mem::take(&mut first) { raw(0, 0, 1, b"") } else { empty(at) }
    };
    assert_eq!(taken(server, 9, frames), (10, 0, Nuisance::Empties));
}

#[test]
fn streams_that_are_taken_back_or_had_to_be_reset() {
    let rapid = |at: u32| {
        let stream = 2 * at + 1;
        [raw(1, 5, stream, &[0x82, 0x87, 0x84]), raw(3, 0, stream, &[0, 0, 0, 8])].concat()
    };
    assert_eq!(taken(limits(), 0, rapid), (10, 0, Nuisance::Resets));
    // Resets that the server is made to send.
    let made = |at: u32| {
        let stream = 2 * at + 1;
        [raw(1, 5, stream, &[0x82, 0x87, 0x84]), raw(8, 0, stream, &[0; 4])].concat()
    };
    assert_eq!(taken(limits(), 0, made), (10, 0, Nuisance::Faults));
    let malformed = |at: u32| raw(1, 5, 2 * at + 1, &[0x82]);
    assert_eq!(taken(limits(), 0, malformed), (10, 0, Nuisance::Faults));
}

#[test]
fn streams_beyond_the_bound_are_refused() {
    let mut few = limits();
    few.streams_max = 3;
    let open = |at: u32| raw(1, 5, 2 * at + 1, &[0x82, 0x87, 0x84]);
    let mut server = Connection::server(few);
    let mut out = Vec::new();
    server.greet(&mut out);
    out.clear();
    let mut octets = [PREFACE, &raw(4, 0, 0, b"")[..]].concat();
    (0..5).for_each(|at| octets.extend(open(at)));
    let mut input = &octets[..];
    let mut asked = Vec::new();
    while let Some(event) = server.next(&mut input, Duration::ZERO, &mut out).expect("no end") {
        if let Event::Request { stream, .. } = event {
            asked.push(stream);
        }
    }
    assert_eq!(asked, [1, 3, 5]);
    let refused = |stream| raw(3, 0, stream, &[0, 0, 0, 7]);
    assert!(out.ends_with(&[refused(7), refused(9)].concat()));
}

#[test]
fn too_many_fields_are_told_and_the_rest_of_the_stream_dropped() {
    let mut small = Limits::default();
    small.list_max = 200;
    let mut server = Connection::server(small);
    let mut out = Vec::new();
    server.greet(&mut out);
    let mut block = vec![0x83, 0x87, 0x84];
    (0..5).for_each(|_| block.extend(field("name", "value")));
    let octets = [
        PREFACE,
        &raw(4, 0, 0, b"")[..],
        &raw(1, 4, 1, &block),
        &raw(0, 0, 1, b"body"),
        &raw(0, 1, 1, b"body"),
        &raw(1, 5, 3, &[0x82, 0x87, 0x84]),
    ]
    .concat();
    let mut input = &octets[..];
    let mut said = Vec::new();
    while let Some(event) = server.next(&mut input, Duration::ZERO, &mut out).expect("no end") {
        said.push(crate::corpus::say(&event));
    }
    assert_eq!(said, ["settings", "too large on 1", "GET https:/// on 3, end"]);
    server.send_head(1, true, &mut out, |head| {
        head.pseudo(ropewalk_http2::hpack::Pseudo::Status, b"431");
    });
    assert!(!server.is_live(1));
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 640, "{}", size_of::<Connection>());
}

/// Octets for octet, and in pieces of every size: what is not whole is kept, and nothing after it.
#[test]
fn an_idle_connection_owns_no_frame_and_no_stream() {
    let nothing = |memory: Memory| (memory.frames, memory.streams, memory.resets) == (0, 0, 0);
    let head = field("x-name", "value");
    let octets = [
        PREFACE,
        &raw(4, 0, 0, &[0, 4, 0, 1, 0, 0])[..],
        &raw(1, 0, 1, &[0x83, 0x87]),
        &raw(9, 4, 1, &[&[0x84], &head[..]].concat()),
        &raw(0, 1, 1, b"body"),
        &raw(6, 0, 0, &[0; 8]),
    ]
    .concat();
    for size in 1..=octets.len() {
        let mut server = Connection::server(Limits::default());
        let mut out = Vec::new();
        server.greet(&mut out);
        assert_eq!(server.memory(), Memory::default());
        let mut has_owned = false;
        for mut piece in octets.chunks(size) {
            while server.next(&mut piece, Duration::ZERO, &mut out).expect("no end").is_some() {}
            has_owned |= server.memory().frames > 0;
        }
        assert!(has_owned || size > 20, "in pieces of {size}");
        assert!(server.memory().streams > 0);
        server.send_head(1, true, &mut out, |head| {
            head.pseudo(ropewalk_http2::hpack::Pseudo::Status, b"200");
        });
        assert!(server.is_idle() && nothing(server.memory()), "{:?}", server.memory());
    }
}

#[test]
fn streams_that_were_reset_are_forgotten_in_the_end() {
    let mut server = Connection::server(Limits::default());
    let mut out = Vec::new();
    server.greet(&mut out);
    let mut hear = |server: &mut Connection, octets: &[u8]| {
        let mut input = octets;
        while server.next(&mut input, Duration::ZERO, &mut out).expect("no end").is_some() {}
        std::mem::take(&mut out)
    };
    hear(&mut server, &[PREFACE, &raw(4, 0, 0, b"")[..]].concat());
    for at in 0..1000 {
        hear(&mut server, &raw(1, 4, 2 * at + 1, &[0x83, 0x87, 0x84]));
        server.reset(2 * at + 1, ropewalk_http2::frame::ErrorCode::Cancel, &mut Vec::new());
    }
    let memory = server.memory();
    assert!(memory.streams == 0 && (1..=4096).contains(&memory.resets), "{memory:?}");
    assert_eq!(hear(&mut server, &raw(0, 0, 1999, b"late")), b"");
    server.forget_resets();
    assert_eq!(server.memory().resets, 0);
    let reset = raw(3, 0, 1999, &[0, 0, 0, 5]);
    assert_eq!(hear(&mut server, &raw(0, 0, 1999, b"too late")), reset);
}
