//! Servers that break rules, or cost too much: their connection ends with the code that says why, and
//! other origins notice nothing.

use std::time::Duration;

use ropewalk_http::{AgentError, BodyError};
use ropewalk_http2::frame::{
    BadFrame, ErrorCode, FrameFault, Setting, Settings, write_ping, write_settings,
    write_window_update,
};
use ropewalk_http2::hpack::{Encoder, Pseudo};
use ropewalk_http2::{Fatal, Limits, Malformed, Nuisance, ResetBy};
use ropewalk_protocol::Disconnect;

use super::server::{Server, clear, frame};
use crate::{World, error, text};

/// What a server does to a request on a stream, and what its connection ends for.
fn check(
    name: &str,
    octets: impl Fn(u32) -> Vec<u8>,
    is_it: impl Fn(&Fatal) -> bool,
    code: ErrorCode,
) {
    for size in [1, 7, usize::MAX] {
        let world = World::with(clear());
        let other = world.agent.get("http://other/").send();
        let mut neighbour = Server::accept(&world);
        let answer = world.agent.post("http://a/", "x").send();
        let (mut server, stream) = Server::asked(&world);
        server.memory.push_in_pieces(&octets(stream), size.min(octets(stream).len()));
        server.listen();
        let AgentError::Connection(fatal) = error::<AgentError, _>(answer) else {
            panic!("{name}: the connection ends")
        };
        assert!(is_it(&fatal), "{name}: {fatal:?}");
        assert_eq!((fatal.code(), &server.farewells()[..]), (code, &[code][..]), "{name}");
        assert_eq!(server.memory.ended(), Some(Disconnect::Closed), "{name}");
        neighbour.serve("x");
        assert_eq!(text(other), "x");
        assert_eq!(world.agent.connections(), (1, 1));
    }
}

/// The same for a request's end alone: its connection goes on.
fn check_stream(name: &str, octets: impl Fn(&mut Server, u32) -> Vec<u8>, why: &ResetBy) {
    let world = World::with(clear());
    let answer = world.agent.post("http://a/", "x").send();
    let (mut server, stream) = Server::asked(&world);
    let octets = octets(&mut server, stream);
    server.push(&octets);
    assert_eq!(error::<AgentError, _>(answer), AgentError::Stream(why.clone()), "{name}");
    assert_eq!(server.asked[&stream].reset, Some(ResetBy::Peer(why.code())), "{name}");
    let answer = world.agent.get("http://a/").send();
    server.serve("x");
    assert_eq!(text(answer), "x", "{name}");
}

fn is_frame(fault: FrameFault) -> impl Fn(&Fatal) -> bool {
    move |fatal| matches!(fatal, Fatal::Frame(BadFrame { fault: got, .. }) if *got == fault)
}

#[test]
fn broken_frames_end_the_connection() {
    let any = |fatal: &Fatal| matches!(fatal, Fatal::Frame(_));
    check(
        "a frame beyond the size",
        |stream| frame(0, 0, stream, &vec![0; 16_385]),
        any,
        ErrorCode::FrameSizeError,
    );
    check(
        "settings of no whole number",
        |_| frame(4, 0, 0, &[0; 5]),
        any,
        ErrorCode::FrameSizeError,
    );
    check("a body on no stream", |_| frame(0, 0, 0, b"x"), any, ErrorCode::ProtocolError);
    check("a ping of another length", |_| frame(6, 0, 0, b"x"), any, ErrorCode::FrameSizeError);
    check("a stray continuation", |stream| frame(9, 4, stream, b""), any, ErrorCode::ProtocolError);
    check(
        "a block that something interrupts",
        |stream| [frame(1, 0, stream, b"\x88"), frame(6, 0, 0, &[0; 8])].concat(),
        any,
        ErrorCode::ProtocolError,
    );
    check(
        "a block that cannot be read",
        |stream| frame(1, 4, stream, b"\xff\xff\xff\xff\xff\xff"),
        |fatal| matches!(fatal, Fatal::Hpack(_)),
        ErrorCode::CompressionError,
    );
    check(
        "a table beyond its size",
        |stream| frame(1, 4, stream, b"\x3f\xe2\x1f\x88"),
        |fatal| matches!(fatal, Fatal::Hpack(_)),
        ErrorCode::CompressionError,
    );
}

#[test]
fn streams_that_a_server_cannot_have_end_the_connection() {
    check(
        "an answer on a stream that nobody opened",
        |_| frame(1, 4, 99, b"\x88"),
        |fatal| *fatal == Fatal::IdleStream { stream: 99 },
        ErrorCode::ProtocolError,
    );
    check(
        "a request of the server's",
        |_| frame(1, 4, 2, b"\x88"),
        |fatal| *fatal == Fatal::WrongParity { stream: 2 },
        ErrorCode::ProtocolError,
    );
    check(
        "a push",
        |stream| frame(5, 4, stream, b"\x00\x00\x00\x02\x82"),
        |fatal| *fatal == Fatal::Pushed,
        ErrorCode::ProtocolError,
    );
    check(
        "settings that ask for pushes",
        |_| {
            let mut out = Vec::new();
            write_settings(&Settings::new().with(Setting::EnablePush, 1), &mut out);
            out
        },
        |fatal| *fatal == Fatal::Pushed,
        ErrorCode::ProtocolError,
    );
    check(
        "an acknowledgement of nothing",
        |_| frame(4, 1, 0, b""),
        |fatal| *fatal == Fatal::StrayAck,
        ErrorCode::ProtocolError,
    );
}

#[test]
fn a_push_that_was_on_its_way_is_refused() {
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let mut server = Server::silent(&world, Limits::default());
    server.memory.run();
    let sent = server.memory.take_sent();
    // Before this server has acknowledged that it may not push.
    let settings = frame(4, 0, 0, b"");
    let push = frame(5, 4, 1, b"\x00\x00\x00\x02\x82\x86\x84\x01\x01a");
    server.memory.push(&[settings, push].concat());
    let heard = server.memory.take_sent();
    let refusal = frame(3, 0, 2, &ErrorCode::RefusedStream.number().to_be_bytes());
    assert!(heard.windows(refusal.len()).any(|part| part == refusal), "{heard:?}");
    server.memory.push(&[frame(4, 1, 0, b""), frame(1, 5, 1, b"\x88")].concat());
    assert!(!sent.is_empty());
    assert_eq!(text(answer), "");
}

#[test]
fn what_comes_beyond_a_window_ends_what_the_window_is_of() {
    for (window, whole) in [(65_535, 1 << 20), (1 << 20, 65_535)] {
        let mut options = clear();
        (options.http2.limits.window, options.http2.limits.connection_window) = (window, whole);
        let world = World::with(options);
        let (first, second) =
            (world.agent.get("http://a/1").send(), world.agent.post("http://a/2", "x").send());
        let mut server = Server::accept(&world);
        let ((one, _), (two, _)) = (server.next(), server.next());
        server.answer_head(one, "200", false);
        let mut body = crate::value(first).into_response().into_body();
        // What nobody takes is kept up to 64 KiB, and given back up to there: by halves of a window.
        server.push(&frame(0, 0, one, &[b'x'; 16_384]).repeat(5));
        server.push(&frame(0, 0, one, &[b'x'; 16_383]));
        assert_eq!(server.memory.ended(), None);
        server.push(&frame(0, 0, one, b"x"));
        for _ in 0..6 {
            assert!(crate::value(body.next_piece()).is_some());
        }
        let code = ErrorCode::FlowControlError;
        assert_eq!(error::<BodyError, _>(body.next_piece()), BodyError::Reset(code));
        if window < whole {
            assert_eq!(server.asked[&one].reset, Some(ResetBy::Peer(code)));
            server.answer(two, "200", "x");
            assert_eq!(text(second), "x");
        } else {
            let fatal = AgentError::Connection(Fatal::WindowExceeded);
            assert_eq!(error::<AgentError, _>(second), fatal);
            assert_eq!(server.farewells(), [code]);
        }
    }
}

#[test]
fn floods_end_the_connection() {
    let limits = clear().http2.limits;
    let calm = ErrorCode::EnhanceYourCalm;
    let times = |one: Vec<u8>, count: u32| one.repeat(count as usize);
    let too_many = |what: Nuisance| move |fatal: &Fatal| *fatal == Fatal::TooMany(what);
    check(
        "pings",
        |_| {
            let mut out = Vec::new();
            write_ping([0; 8], false, &mut out);
            times(out, limits.pings.burst + 1)
        },
        too_many(Nuisance::Pings),
        calm,
    );
    check(
        "settings",
        |_| times(frame(4, 0, 0, b""), limits.settings.burst + 1),
        too_many(Nuisance::Settings),
        calm,
    );
    check(
        "frames that say nothing",
        |_| times(frame(0xfa, 0, 0, b""), limits.empties.burst + 1),
        too_many(Nuisance::Empties),
        calm,
    );
    check(
        "continuations",
        |stream| [frame(1, 0, stream, b"\x88"), times(frame(9, 0, stream, b"\x88"), 17)].concat(),
        is_frame(FrameFault::TooManyContinuations { max: 16 }),
        calm,
    );
    check(
        "a block beyond its size",
        |stream| {
            [frame(1, 0, stream, b"\x88"), times(frame(9, 0, stream, &[0x88; 16_384]), 4)].concat()
        },
        is_frame(FrameFault::BlockTooLong { max: limits.block_max }),
        calm,
    );
    check(
        "a window beyond what there are",
        |_| {
            let mut out = Vec::new();
            write_window_update(0, 0x7fff_ffff, &mut out);
            times(out, 2)
        },
        |fatal| *fatal == Fatal::WindowTooLarge,
        ErrorCode::FlowControlError,
    );
}

#[test]
fn empty_parts_of_a_body_are_counted() {
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let (mut server, stream) = Server::asked(&world);
    server.answer_head(stream, "200", false);
    let mut body = crate::value(answer).into_response().into_body();
    let burst = world.agent.options().http2.limits.empties.burst as usize;
    server.push(&frame(0, 0, stream, b"").repeat(burst));
    assert_eq!(server.memory.ended(), None);
    server.push(&frame(0, 0, stream, b""));
    let code = ErrorCode::EnhanceYourCalm;
    assert_eq!(error::<BodyError, _>(body.next_piece()), BodyError::Reset(code));
    assert_eq!(server.farewells(), [code]);
}

#[test]
fn fewer_than_a_flood_are_put_up_with() {
    let world = World::with(clear());
    let limits = world.agent.options().http2.limits;
    let answer = world.agent.get("http://a/").send();
    let (mut server, stream) = Server::asked(&world);
    let mut pings = Vec::new();
    write_ping([0; 8], false, &mut pings);
    server.push(&pings.repeat(limits.pings.burst as usize));
    server.push(&frame(4, 0, 0, b"").repeat(limits.settings.burst as usize - 1));
    server.push(&frame(0xfa, 0, 0, b"").repeat(limits.empties.burst as usize));
    assert_eq!(server.memory.ended(), None);
    server.advance(Duration::from_secs(1));
    server.push(&pings.repeat(limits.pings.per_second as usize));
    server.answer(stream, "200", "x");
    assert_eq!(text(answer), "x");
}

#[test]
fn more_fields_than_are_taken_end_the_stream() {
    let max = clear().http2.limits.list_max;
    let fields = |server: &mut Server, stream: u32, size: usize| {
        // Each of these counts 1 + 1 + 32 octets more than it takes on the way.
        let name = http::HeaderName::from_static("x");
        let mut encoder = Encoder::new();
        let mut block = Vec::new();
        let mut section = encoder.section(&mut block);
        section.pseudo(Pseudo::Status, b"200");
        let mut left = size - (7 + 3 + 32);
        while left > 0 {
            let len = if left > 4200 { 4000 } else { left - 33 };
            section.fleeting(&name, "y".repeat(len).as_bytes());
            left -= len + 33;
        }
        let _ = server;
        let mut out = Vec::new();
        let mut parts = block.chunks(16_384).peekable();
        let mut kind = 1;
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() { 4 } else { 0 } | u8::from(kind == 1);
            out.extend(frame(kind, flags, stream, part));
            kind = 9;
        }
        out
    };
    check_stream(
        "one octet more",
        |server, stream| fields(server, stream, max + 1),
        &ResetBy::Malformed(Malformed::TooLarge { max }),
    );
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let (mut server, stream) = Server::asked(&world);
    let octets = fields(&mut server, stream, max);
    server.push(&octets);
    assert_eq!(text(answer), "");
}

#[test]
fn interim_answers_are_counted() {
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let mut server = Server::accept(&world);
    let mut run = |count: usize| {
        let (stream, _) = server.next();
        for _ in 0..count {
            server.answer_head(stream, "103", false);
        }
        server.answer(stream, "200", "x");
        server.asked[&stream].reset.clone()
    };
    assert_eq!(run(16), None);
    assert_eq!(text(answer), "x");
    let answer = world.agent.get("http://a/").send();
    assert_eq!(run(17), Some(ResetBy::Peer(ErrorCode::EnhanceYourCalm)));
    assert_eq!(error::<AgentError, _>(answer), AgentError::Interim { max: 16 });
}

#[test]
fn a_body_that_is_not_as_long_as_its_head_said_ends_its_stream() {
    for (data, is_end) in [(&b"123456"[..], false), (b"1234", true)] {
        let world = World::with(clear());
        let answer = world.agent.get("http://a/").send();
        let (mut server, stream) = Server::asked(&world);
        server.answer_with(stream, false, |head| {
            head.pseudo(Pseudo::Status, b"200");
            head.fleeting(&http::header::CONTENT_LENGTH, b"5");
        });
        let mut body = crate::value(answer).into_response().into_body();
        server.send(stream, data, is_end);
        let failure = loop {
            match body.next_piece().now_or_never().expect("it is over") {
                Ok(Some(_)) => (),
                Ok(None) => panic!("it is not whole"),
                Err(failure) => break failure,
            }
        };
        let code = BodyError::Reset(ErrorCode::ProtocolError);
        assert_eq!(failure.check(), Some(&code));
    }
}
