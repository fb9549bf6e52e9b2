//! Bodies, both ways.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_http::{
    Agent, AgentError, BadBody, Body, BodyError, BodyPiece, BodyStream, Origin, Request, Site, Wait,
};
use ropewalk_http2::frame::ErrorCode;
use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Limits, ResetBy};
use ropewalk_protocol::{ClientEndpoint as _, Seat, listen};
use ropewalk_trial::{Clock, MemoryNetwork};

use super::server::{Server, clear};
use crate::{World, error, text, value};

fn pieces(list: Vec<BodyPiece>) -> BodyStream {
    let mut list = VecDeque::from(list);
    BodyStream::new(move || Deferred::succeed(list.pop_front()))
}

#[test]
fn a_body_goes_out_as_the_windows_allow_and_the_stream_is_asked_as_it_goes() {
    let world = World::with(clear());
    let mut limits = Limits::default();
    (limits.window, limits.connection_window) = (10, 65_535);
    let taken = Rc::new(RefCell::new(0));
    let count = Rc::clone(&taken);
    let stream = BodyStream::new(move || {
        *count.borrow_mut() += 1;
        let piece =
            (*count.borrow() <= 5).then(|| BodyPiece::Bytes(Bytes::from_static(b"0123456")));
        Deferred::succeed(piece)
    });
    let answer = world.agent.post("http://a/", Body::stream(stream)).send();
    let mut server = Server::with(&world, limits);
    server.releases = false;
    let (stream, _) = server.next();
    let sent = server.asked[&stream].body.len();
    // What was sent before the server had said how much it takes.
    assert_eq!((sent, *taken.borrow()), (35, 6));
    assert!(server.asked[&stream].is_whole);
    server.answer(stream, "200", "x");
    assert_eq!(text(answer), "x");

    *taken.borrow_mut() = 0;
    let count = Rc::clone(&taken);
    let slow = BodyStream::new(move || {
        *count.borrow_mut() += 1;
        let piece =
            (*count.borrow() <= 5).then(|| BodyPiece::Bytes(Bytes::from_static(b"0123456")));
        Deferred::succeed(piece)
    });
    let answer = world.agent.post("http://a/", Body::stream_of(35, slow)).send();
    let (stream, _) = server.next();
    assert_eq!(server.head(stream).length, Some(35));
    assert_eq!((server.asked[&stream].body.len(), *taken.borrow()), (10, 2));
    let mut out = Vec::new();
    server.engine.release(stream, 10, &mut out);
    server.push(&out);
    assert_eq!((server.asked[&stream].body.len(), *taken.borrow()), (20, 3));
    server.releases = true;
    server.engine.release(stream, 10, &mut out);
    server.push(&out);
    assert!(server.asked[&stream].is_whole);
    assert_eq!(server.asked[&stream].body, b"01234560123456012345601234560123456");
    server.answer(stream, "200", "y");
    assert_eq!(text(answer), "y");
}

#[test]
fn a_window_that_shrinks_below_nothing_is_waited_out() {
    let world = World::with(clear());
    let answer = world.agent.post("http://a/", vec![b'x'; 100_000]).send();
    let mut limits = Limits::default();
    limits.window = 3000;
    let mut server = Server::silent(&world, limits);
    server.releases = false;
    let mut out = Vec::new();
    server.engine.greet(&mut out);
    server.push(&out);
    let (stream, _) = server.next();
    // So much left before the client had heard: the window is at 3,000 - 65,535 now.
    let mut sent = 65_535;
    for (released, more) in [(60_000, 0), (2_535, 0), (2_000, 2_000), (1_500, 1_500)] {
        assert_eq!(server.asked[&stream].body.len(), sent);
        let mut out = Vec::new();
        server.engine.release(stream, released, &mut out);
        server.push(&out);
        sent += more;
    }
    assert_eq!(server.asked[&stream].body.len(), sent);
    server.releases = true;
    let mut out = Vec::new();
    server.engine.release(stream, 3_000, &mut out);
    server.push(&out);
    assert_eq!(server.asked[&stream].body.len(), 100_000);
    assert!(server.asked[&stream].is_whole);
    server.answer(stream, "200", "x");
    assert_eq!(text(answer), "x");
}

#[test]
fn no_request_waits_for_more_than_a_turn_of_anothers_body() {
    const HUGE: usize = 8 << 20;
    const TURN: usize = 256 * 1024;
    let world = World::with(clear());
    let mut limits = Limits::default();
    (limits.window, limits.connection_window) = (1 << 28, 1 << 28);
    let answer = world.agent.get("http://a/").send();
    let mut server = Server::with(&world, limits);
    server.serve("x");
    assert_eq!(text(answer), "x");
    // Another is asked for while the huge body is about to go out, which is not in pieces.
    let (agent, asked) = (world.agent.clone(), Rc::new(RefCell::new(None)));
    let other = Rc::clone(&asked);
    let mut piece = Some(BodyPiece::from(Bytes::from(vec![b'x'; HUGE])));
    let pieces = BodyStream::new(move || {
        if piece.is_some() {
            *other.borrow_mut() = Some(agent.get("http://a/other").send());
        }
        Deferred::succeed(piece.take())
    });
    let answer = world.agent.put("http://a/", Body::stream(pieces)).send();
    let before = server.heard().len();
    let ((one, _), (two, line)) = (server.next(), server.next());
    assert_eq!(line, "GET /other");
    let (mut rest, mut first) = (&server.heard()[before..], 0);
    while let [a, b, c, kind, _, _, _, _, stream, behind @ ..] = rest {
        let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if (*kind, u32::from(*stream)) == (1, two) {
            break;
        }
        first += if *kind == 0 { len } else { 0 };
        rest = &behind[len..];
    }
    // One that had begun, and one until the request was given to the connection.
    assert!(first <= 2 * TURN, "{first} bytes of another's body went first");
    assert_eq!(server.asked[&one].body.len(), HUGE);
    for stream in [one, two] {
        server.answer(stream, "200", "y");
    }
    assert_eq!(text(answer), "y");
    assert_eq!(text(asked.take().expect("it was asked for")), "y");
}

#[test]
fn trailers_go_both_ways() {
    let world = World::with(clear());
    let mut fields = HeaderMap::new();
    fields.insert("x-sum", "7".parse().unwrap());
    let body = pieces(vec![Bytes::from_static(b"body").into(), BodyPiece::Trailers(fields)]);
    let answer = world.agent.post("http://a/", Body::stream(body)).send();
    let (mut server, stream) = Server::asked(&world);
    assert_eq!(server.asked[&stream].body, b"body");
    assert_eq!(server.asked[&stream].trailers["x-sum"], "7");
    server.answer_head(stream, "200", false);
    server.send(stream, b"answer", false);
    let name = http::HeaderName::from_static("x-end");
    server.answer_with(stream, true, |head| head.field(&name, &"8".parse().unwrap()));
    let mut body = value(answer).into_response().into_body();
    assert_eq!(value(body.next_piece()).as_deref(), Some(&b"answer"[..]));
    assert_eq!(value(body.next_piece()), None);
    assert_eq!(body.trailers()["x-end"], "8");
}

#[test]
fn what_nobody_takes_of_an_answer_holds_its_server_up_and_no_other_answer() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let mut server = Server::accept(&world);
    let ((one, _), (two, _)) = (server.next(), server.next());
    server.answer_head(one, "200", false);
    let window = world.agent.options().http2.limits.window as usize;
    server.send(one, &vec![b'x'; window], false);
    assert_eq!(server.engine.room(one), 0);
    server.answer_head(two, "200", false);
    for _ in 0..8 {
        server.send(two, &[b'y'; 16_384], false);
    }
    server.send(two, b"", true);
    assert_eq!(server.engine.room(one), 0);
    let mut body = value(first).into_response().into_body();
    let mut taken = 0;
    while server.engine.room(one) == 0 {
        taken += value(body.next_piece()).expect("a piece").len();
        server.listen();
    }
    assert!(taken >= window - 64 * 1024, "{taken}");
    assert_eq!(text(second).len(), 8 * 16_384);
    server.send(one, b"z", true);
    assert_eq!(value(body.collect(1 << 20)).len(), window + 1 - taken);
}

#[test]
fn a_hundred_answers_that_nobody_takes_hold_up_no_other() {
    let world = World::with(clear());
    let mut answers: Vec<_> = (0..100).map(|_| world.agent.get("http://a/").send()).collect();
    let mut server = Server::accept(&world);
    server.listen();
    let streams = std::mem::take(&mut server.new);
    assert_eq!(streams.len(), 100);
    let full = vec![b'x'; world.agent.options().http2.limits.window as usize];
    for &stream in &streams[..99] {
        server.answer_head(stream, "200", false);
        server.send(stream, &full, false);
    }
    server.answer_head(streams[99], "200", false);
    server.send(streams[99], &full, true);
    assert_eq!(text(answers.pop().unwrap()).len(), full.len());
}

#[test]
fn an_expected_word_is_waited_for_a_while() {
    let world = World::with(clear());
    let ask = || world.agent.post("http://a/", "body").expect_continue().send();
    let answer = ask();
    let (mut server, stream) = Server::asked(&world);
    assert_eq!(server.head(stream).fields["expect"], "100-continue");
    assert_eq!(server.asked[&stream].body, b"");
    server.answer_head(stream, "103", false);
    assert_eq!(server.asked[&stream].body, b"");
    server.answer_head(stream, "100", false);
    assert_eq!(server.asked[&stream].body, b"body");
    server.answer(stream, "200", "x");
    assert_eq!(text(answer), "x");

    let answer = ask();
    let (stream, _) = server.next();
    server.advance(world.agent.options().patience.proceed);
    assert_eq!(server.asked[&stream].body, b"body");
    server.answer(stream, "200", "x");
    assert_eq!(text(answer), "x");

    // An answer instead makes the body superfluous.
    let answer = ask();
    let (stream, _) = server.next();
    server.answer(stream, "417", "no");
    assert_eq!(value(answer).status(), 417);
    assert_eq!(server.asked[&stream].body, b"");
    assert_eq!(server.asked[&stream].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
}

#[test]
fn an_answer_before_the_whole_request_ends_the_request() {
    let world = World::with(clear());
    let (_promise, later): (Promise<Option<BodyPiece>>, _) = deferred();
    let mut later = Some(later);
    let body = BodyStream::new(move || later.take().expect("asked once"));
    let answer = world.agent.post("http://a/", Body::stream(body)).send();
    let (mut server, stream) = Server::asked(&world);
    server.answer(stream, "413", "enough");
    assert_eq!(text(answer), "enough");
    assert_eq!(server.asked[&stream].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_body_that_is_not_what_was_told_takes_its_stream_back_alone() {
    let world = World::with(clear());
    let other = world.agent.get("http://a/other").send();
    let mut server = Server::accept(&world);
    let (other_stream, _) = server.next();
    let seven = || Bytes::from_static(b"0123456").into();
    let cases = [
        (pieces(vec![seven(), seven()]), AgentError::BadBody(BadBody::TooLong { over: 4 })),
        (pieces(vec![seven()]), AgentError::BadBody(BadBody::TooShort { under: 3 })),
        (BodyStream::new(|| Deferred::fail(BodyError::NotInMemory)), AgentError::BodyFailed),
    ];
    for (body, expected) in cases {
        let answer = world.agent.post("http://a/", Body::stream_of(10, body)).send();
        let (stream, _) = server.next();
        assert_eq!(error::<AgentError, _>(answer), expected);
        let reset = ResetBy::Peer(ErrorCode::InternalError);
        assert_eq!(server.asked[&stream].reset, Some(reset));
    }
    server.answer(other_stream, "200", "x");
    assert_eq!(text(other), "x");
}

#[test]
fn an_answer_without_a_body_has_none_whatever_it_says_of_one() {
    let world = World::with(clear());
    let answer = world.agent.head("http://a/").send();
    let mut server = Server::accept(&world);
    let (stream, line) = server.next();
    assert_eq!(line, "HEAD /");
    server.answer_with(stream, true, |head| {
        head.pseudo(Pseudo::Status, b"200");
        head.fleeting(&http::header::CONTENT_LENGTH, b"1000");
    });
    let answer = value(answer);
    assert_eq!(answer.headers()["content-length"], "1000");
    assert!(answer.into_response().into_body().is_none());
}

#[test]
fn a_body_that_stops_coming_is_given_up_and_the_connection_goes_on() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let mut server = Server::accept(&world);
    let ((one, _), (two, _)) = (server.next(), server.next());
    server.answer_head(one, "200", false);
    server.send(one, b"a part", false);
    let mut body = value(first).into_response().into_body();
    assert_eq!(value(body.next_piece()).as_deref(), Some(&b"a part"[..]));
    let idle = Duration::from_secs(30);
    // While nobody wants more, it may take its time.
    server.advance(Duration::from_secs(15));
    server.advance(Duration::from_secs(16));
    let next = body.next_piece();
    server.advance(Duration::from_secs(15));
    server.send(one, b"more", false);
    assert_eq!(value(next).as_deref(), Some(&b"more"[..]));
    let next = body.next_piece();
    server.listen();
    server.advance(idle);
    assert_eq!(error::<BodyError, _>(next), BodyError::Slow);
    assert_eq!(server.asked[&one].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
    drop(body);
    // Its head did not come within a minute either, as the clock has it.
    assert_eq!(
        error::<AgentError, _>(second),
        AgentError::TimedOut(Wait::Head(Duration::from_mins(1)))
    );
    assert_eq!(server.asked[&two].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
    let third = world.agent.get("http://a/3").send();
    assert_eq!(server.serve("x"), "GET /3");
    assert_eq!(text(third), "x");
}

#[test]
fn a_request_that_is_not_taken_is_given_up() {
    let world = World::with(clear());
    let mut limits = Limits::default();
    limits.window = 0;
    let first = world.agent.get("http://a/").send();
    let mut server = Server::with(&world, limits);
    server.serve("x");
    assert_eq!(text(first), "x");
    let answer = world.agent.post("http://a/", "body").send();
    let (stream, _) = server.next();
    server.advance(Duration::from_secs(30));
    let idle = Wait::Idle(Duration::from_secs(30));
    assert_eq!(error::<AgentError, _>(answer), AgentError::TimedOut(idle));
    assert_eq!(server.asked[&stream].reset, Some(ResetBy::Peer(ErrorCode::Cancel)));
}

#[test]
fn answers_are_the_same_however_their_octets_are_cut() {
    let told = |piece: usize| {
        let world = World::with(clear());
        let answers: Vec<_> = (0..3).map(|_| world.agent.get("http://a/").send()).collect();
        let mut server = Server::accept(&world);
        server.piece = piece;
        let streams: Vec<u32> = (0..3).map(|_| server.next().0).collect();
        server.answer_head(streams[0], "103", false);
        server.answer_with(streams[0], false, |head| {
            head.pseudo(Pseudo::Status, b"200");
            head.field(&http::header::SET_COOKIE, &"a=b".parse().unwrap());
        });
        server.send(streams[0], &[b'x'; 3000], false);
        server.answer(streams[1], "404", "nothing");
        let name = http::HeaderName::from_static("x-end");
        server.answer_with(streams[0], true, |head| head.field(&name, &"8".parse().unwrap()));
        server.reset(streams[2], ErrorCode::InternalError);
        answers
            .into_iter()
            .map(|answer| match answer.now_or_never().expect("it is over") {
                Err(failure) => failure.to_string(),
                Ok(answer) => {
                    let (parts, mut body) = answer.into_response().into_parts();
                    let mut whole = Vec::new();
                    while let Some(piece) = value(body.next_piece()) {
                        whole.extend_from_slice(&piece);
                    }
                    format!("{parts:?} {whole:?} {:?}", body.trailers())
                }
            })
            .collect::<Vec<_>>()
    };
    let whole = told(usize::MAX);
    assert!(
        whole[0].contains("set-cookie") && whole[0].ends_with(r#"{"x-end": "8"}"#),
        "{}",
        whole[0]
    );
    for piece in [1, 2, 3, 5, 8, 9, 10, 100, 1000] {
        assert_eq!(told(piece), whole, "{piece}");
    }
}

#[test]
fn our_own_site_is_asked_over_http2() {
    let clock = Clock::new();
    let network = MemoryNetwork::new(&clock);
    let site = Site::new(|request: Request| {
        assert_eq!(request.version(), http::Version::HTTP_2);
        let line = format!("{} {} ", request.method(), request.uri());
        request.into_body().collect(1 << 20).map(move |body| {
            let length = body.len();
            ropewalk_http::Response::new(Body::from(
                format!("{line}{length} ") + &"z".repeat(length),
            ))
        })
    });
    let _port = listen(&network.endpoint("example.org:80"), site);
    let dialled = network.clone();
    let dial = move |origin: &Origin, seat: Box<dyn Seat>| {
        dialled.endpoint(&format!("{}:{}", origin.host(), origin.port())).connect_seat(seat);
    };
    let agent = Agent::with_options(dial, clock, clear());
    let sizes = [0, 1, 1000, 20_000, 300_000, 900_000];
    let answers: Vec<_> = sizes
        .iter()
        .map(|&size| {
            let answer = agent.post("http://example.org/x", vec![b'x'; size]).send();
            answer.add_callback(ropewalk_http::Answer::text)
        })
        .collect();
    network.run();
    for (size, answer) in sizes.into_iter().zip(answers) {
        let text = value(answer);
        assert_eq!(text.len(), format!("POST /x {size} ").len() + size);
        assert!(text.starts_with(&format!("POST /x {size} ")));
    }
    assert_eq!(agent.connections(), (1, 1));
}
