//! How requests and connections end early.

use std::time::Duration;

use ropewalk_http::{AgentError, BodyError, Wait};
use ropewalk_http2::frame::{ErrorCode, write_go_away};
use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Malformed, ResetBy};
use ropewalk_protocol::Disconnect;

use super::server::{Server, clear};
use crate::{World, error, text, value};

const CANCELLED: ResetBy = ResetBy::Peer(ErrorCode::Cancel);

#[test]
fn cancelling_takes_one_stream_back() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let mut server = Server::accept(&world);
    let ((one, _), (two, _)) = (server.next(), server.next());
    first.cancel();
    server.listen();
    first.now_or_never().expect("it is over").expect_err("it is cancelled");
    assert_eq!(server.asked[&one].reset, Some(CANCELLED));
    server.answer(two, "200", "two");
    assert_eq!(text(second), "two");
}

#[test]
fn one_that_is_cancelled_before_it_left_leaves_nothing() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/1").send();
    let mut server = Server::accept(&world);
    server.serve("x");
    assert_eq!(text(first), "x");
    let second = world.agent.get("http://a/2").send();
    second.cancel();
    server.listen();
    assert!(server.new.is_empty());
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_body_that_nobody_wants_is_taken_back() {
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let (mut server, stream) = Server::asked(&world);
    server.answer_head(stream, "200", false);
    server.send(stream, b"a part", false);
    drop(value(answer));
    server.listen();
    assert_eq!(server.asked[&stream].reset, Some(CANCELLED));
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_request_has_a_time_in_all() {
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let (mut server, stream) = Server::asked(&world);
    server.answer_head(stream, "200", false);
    let mut body = value(answer).into_response().into_body();
    for _ in 0..14 {
        server.advance(Duration::from_secs(20));
        server.send(stream, b"drop", false);
        assert!(value(body.next_piece()).is_some());
    }
    let next = body.next_piece();
    server.advance(Duration::from_secs(20));
    assert_eq!(error::<BodyError, _>(next), BodyError::Slow);
    assert_eq!(server.asked[&stream].reset, Some(CANCELLED));
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_and_the_connection_goes_on() {
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let (mut server, stream) = Server::asked(&world);
    for _ in 0..4 {
        server.advance(Duration::from_secs(15));
    }
    let head = Wait::Head(Duration::from_mins(1));
    assert_eq!(error::<AgentError, _>(answer), AgentError::TimedOut(head));
    assert_eq!(server.asked[&stream].reset, Some(CANCELLED));
    let answer = world.agent.get("http://a/").send();
    server.serve("x");
    assert_eq!(text(answer), "x");
}

#[test]
fn a_server_that_is_silent_is_pinged_and_given_up_where_it_does_not_answer() {
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let (mut server, stream) = Server::asked(&world);
    // It answers pings.
    let silence = world.agent.options().http2.silence.expect("there is one");
    server.advance(silence);
    server.advance(silence);
    server.answer_head(stream, "200", false);
    let mut body = value(answer).into_response().into_body();
    let (piece, other) = (body.next_piece(), world.agent.get("http://a/2").send());
    server.listen();
    // Now it does not.
    server.memory.advance(silence);
    assert!(!server.memory.take_sent().is_empty());
    let pong = world.agent.options().http2.pong;
    server.memory.advance(pong);
    assert_eq!(server.memory.ended(), Some(Disconnect::TimedOut));
    assert_eq!(error::<BodyError, _>(piece), BodyError::Slow);
    assert_eq!(error::<AgentError, _>(other), AgentError::Silent(silence + pong));
    assert_eq!(world.agent.connections(), (0, 0));
}

#[test]
fn a_stream_that_its_server_resets_fails_alone() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let third = world.agent.get("http://a/3").send();
    let mut server = Server::accept(&world);
    let ((one, _), (two, _), (three, _)) = (server.next(), server.next(), server.next());
    server.reset(one, ErrorCode::InternalError);
    let why = ResetBy::Peer(ErrorCode::InternalError);
    assert_eq!(error::<AgentError, _>(first), AgentError::Stream(why));
    server.answer_head(two, "200", false);
    let mut body = value(second).into_response().into_body();
    server.reset(two, ErrorCode::Cancel);
    assert_eq!(error::<BodyError, _>(body.next_piece()), BodyError::Reset(ErrorCode::Cancel));
    server.answer(three, "200", "three");
    assert_eq!(text(third), "three");
}

#[test]
fn a_message_that_is_none_ends_its_stream_alone() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let mut server = Server::accept(&world);
    let ((one, _), (two, _)) = (server.next(), server.next());
    server.answer_with(one, false, |head| head.pseudo(Pseudo::Path, b"/"));
    let why = ResetBy::Malformed(Malformed::Misplaced(Pseudo::Path));
    assert_eq!(error::<AgentError, _>(first), AgentError::Stream(why));
    assert_eq!(server.asked[&one].reset, Some(ResetBy::Peer(ErrorCode::ProtocolError)));
    server.answer(two, "200", "two");
    assert_eq!(text(second), "two");
}

#[test]
fn why_a_server_went_away_is_told() {
    let world = World::with(clear());
    let answer = world.agent.post("http://a/", "x").send();
    let (mut server, stream) = Server::asked(&world);
    let mut out = Vec::new();
    write_go_away(stream, ErrorCode::EnhanceYourCalm, b"", &mut out);
    server.push(&out);
    server.memory.eof();
    server.memory.run();
    let why = AgentError::GoneAway(ErrorCode::EnhanceYourCalm);
    assert_eq!(error::<AgentError, _>(answer), why);
}

#[test]
fn a_lost_connection_fails_what_was_on_it_and_safe_requests_go_out_again() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/").send();
    let mut server = Server::accept(&world);
    server.serve("x");
    assert_eq!(text(first), "x");
    let (get, post) =
        (world.agent.get("http://a/get").send(), world.agent.post("http://a/post", "x").send());
    server.listen();
    server.memory.lose(Disconnect::Reset);
    assert_eq!(error::<AgentError, _>(post), AgentError::Lost(Disconnect::Reset));
    let mut server = Server::accept(&world);
    assert_eq!(server.serve("got"), "GET /get");
    assert_eq!(text(get), "got");
    assert_eq!(world.agent.connections(), (1, 1));
}
