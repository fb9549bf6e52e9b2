//! Which requests share a connection, and which wait for a place.

use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_http::{AgentError, Dial, Options, Origin, PoolBounds, Wait};
use ropewalk_http2::Limits;
use ropewalk_http2::frame::{ErrorCode, Setting, Settings};
use ropewalk_protocol::{Address, Disconnect, Seat, TlsInfo};
use ropewalk_trial::{Clock, Memory};

use super::server::{Server, clear, h2};
use crate::{Dialled, World, error, heard, ok, text, value};

/// An agent whose dialler offers HTTP/2, and says of all hosts that begin alike that they are one.
struct Offers(Dialled);

impl Dial for Offers {
    fn dial(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
        self.0.borrow_mut().push((origin.clone(), seat));
        Deferred::succeed(())
    }

    fn offers_http2(&self, _: &Origin) -> bool {
        true
    }

    fn leads_to(&self, origin: &Origin, _: &Address, tls: &TlsInfo) -> Deferred<bool> {
        assert_eq!(*tls, h2());
        Deferred::succeed(origin.host().starts_with("a."))
    }
}

fn offering() -> World {
    let (clock, dialled) = (Clock::new(), Dialled::default());
    let dial = Offers(Dialled::clone(&dialled));
    let agent = ropewalk_http::Agent::new(dial, clock.clone());
    World { clock, agent, dialled }
}

#[test]
fn requests_share_one_connection_and_their_answers_come_in_any_order() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2?q").header("x-a", "1").send();
    assert_eq!(world.dialling(), 1);
    let mut server = Server::accept(&world);
    let ((one, line), (two, other)) = (server.next(), server.next());
    assert_eq!((line.as_str(), other.as_str()), ("GET /1", "GET /2?q"));
    let head = server.head(two);
    assert_eq!(head.authority.as_ref().map(http::uri::Authority::as_str), Some("a"));
    assert_eq!(head.scheme.as_deref(), Some(&b"http"[..]));
    assert_eq!(
        (&head.fields["x-a"], head.fields.contains_key("host")),
        (&"1".parse().unwrap(), false)
    );
    server.answer(two, "200", "two");
    assert_eq!(text(second), "two");
    server.answer(one, "201", "one");
    let first = value(first);
    assert_eq!((first.status().as_u16(), first.version()), (201, http::Version::HTTP_2));
    assert_eq!(value(first.text()), "one");
    assert_eq!(world.agent.connections(), (1, 1));
    // The next one goes the same way.
    let third = world.agent.get("http://a/3").send();
    assert_eq!(server.serve("three"), "GET /3");
    assert_eq!(text(third), "three");
}

#[test]
fn tls_chooses_the_version() {
    let world = World::new();
    let answer = world.agent.get("https://a/").send();
    let mut server = Server::accept(&world);
    assert_eq!(server.serve("two"), "GET /");
    assert_eq!(text(answer), "two");

    let answer = world.agent.get("https://b/").send();
    let (mut server, request) = world.accept();
    assert!(request.starts_with("GET / HTTP/1.1\r\n"));
    server.push(ok("one").as_bytes());
    assert_eq!(text(answer), "one");
}

#[test]
fn where_http2_may_be_chosen_the_first_connection_is_waited_for() {
    let world = offering();
    let answers: Vec<_> = (0..3).map(|_| world.agent.get("https://b/").send()).collect();
    assert_eq!(world.dialling(), 1);
    let mut server = Server::accept(&world);
    for _ in 0..3 {
        server.serve("x");
    }
    assert_eq!(answers.into_iter().map(text).collect::<String>(), "xxx");

    // Where it speaks HTTP/1.1 after all, the others get connections of their own.
    let answers: Vec<_> = (0..3).map(|_| world.agent.get("https://c/").send()).collect();
    assert_eq!(world.dialling(), 1);
    let mut servers = vec![world.accept().0];
    assert_eq!(world.dialling(), 2);
    servers.extend([world.accept().0, world.accept().0]);
    for server in &mut servers {
        server.push(ok("y").as_bytes());
    }
    assert_eq!(answers.into_iter().map(text).collect::<String>(), "yyy");
    // From then on it is known.
    drop(servers);
    let more: Vec<_> = (0..3).map(|_| world.agent.get("https://c/").send()).collect();
    assert_eq!(world.dialling(), 3);
    drop(more);
}

#[test]
fn where_the_first_connection_fails_the_next_request_tries_its_own() {
    let world = offering();
    let first = world.agent.get("https://b/1").send();
    let second = world.agent.get("https://b/2").send();
    let (_, seat) = world.dialled.borrow_mut().remove(0);
    Memory::with_tls(seat, &world.clock, None).lose(Disconnect::Refused);
    assert_eq!(error::<AgentError, _>(first), AgentError::NotEncrypted);
    let mut server = Server::accept(&world);
    assert_eq!(server.serve("two"), "GET /2");
    assert_eq!(text(second), "two");
}

#[test]
fn a_server_says_how_many_requests_it_takes_at_a_time() {
    let pool = PoolBounds { waiting_max: 1, ..PoolBounds::default() };
    let world = World::with(Options { pool, ..clear() });
    let mut limits = Limits::default();
    limits.streams_max = 2;
    let ask = |path: &str| world.agent.get(&format!("http://a/{path}")).send();
    let first = ask("1");
    let mut server = Server::with(&world, limits);
    let second = ask("2");
    let third = ask("3");
    assert_eq!(error::<AgentError, _>(ask("4")), AgentError::Busy { max: 1 });
    server.listen();
    assert_eq!((server.new.len(), world.dialling()), (2, 0));
    assert_eq!(server.serve("one"), "GET /1");
    assert_eq!(text(first), "one");
    assert_eq!((server.serve("two"), server.serve("three")), ("GET /2".into(), "GET /3".into()));
    assert_eq!((text(second), text(third)), ("two".into(), "three".into()));

    // It may change its mind, both ways; those that wait are served as soon as it does.
    server.set(&Settings::new().with(Setting::MaxConcurrentStreams, 0));
    let fourth = ask("4");
    server.listen();
    assert!(server.new.is_empty());
    server.set(&Settings::new().with(Setting::MaxConcurrentStreams, 1));
    assert_eq!(server.serve("four"), "GET /4");
    assert_eq!(text(fourth), "four");
}

#[test]
fn a_place_is_not_waited_for_without_end() {
    let world = World::with(clear());
    let mut limits = Limits::default();
    limits.streams_max = 1;
    let first = world.agent.get("http://a/1").send();
    let mut server = Server::with(&world, limits);
    let second = world.agent.get("http://a/2").send();
    let slot = Duration::from_secs(30);
    world.clock.advance(slot);
    assert_eq!(error::<AgentError, _>(second), AgentError::TimedOut(Wait::Slot(slot)));
    server.listen();
    assert_eq!(server.serve("one"), "GET /1");
    assert_eq!(text(first), "one");
}

#[test]
fn this_end_has_a_bound_of_its_own() {
    let mut options = clear();
    options.http2.streams_max = 1;
    let world = World::with(options);
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let mut server = Server::accept(&world);
    server.listen();
    assert_eq!(server.new.len(), 1);
    server.serve("one");
    server.serve("two");
    assert_eq!((text(first), text(second)), ("one".into(), "two".into()));
}

#[test]
fn a_connection_leads_to_other_origins_where_the_dialler_says_so() {
    let world = offering();
    let first = world.agent.get("https://a.x/").send();
    let mut server = Server::accept(&world);
    server.serve("one");
    assert_eq!(text(first), "one");
    let second = world.agent.get("https://a.y/2").send();
    assert_eq!(world.dialling(), 0);
    let (stream, line) = server.next();
    assert_eq!(line, "GET /2");
    assert_eq!(server.head(stream).authority.as_ref().unwrap(), "a.y");
    server.answer(stream, "200", "two");
    assert_eq!(text(second), "two");
    // Neither a host that it is not good for, nor another port, nor one in clear.
    for url in ["https://b/", "https://a.y:444/", "http://a.y/"] {
        world.agent.get(url).send().detach();
        assert_eq!(world.dialling(), 1, "{url}");
        world.dialled.borrow_mut().clear();
    }
}

#[test]
fn a_misdirected_request_goes_out_again_on_a_connection_of_its_own() {
    let world = offering();
    let first = world.agent.get("https://a.x/").send();
    let mut shared = Server::accept(&world);
    shared.serve("one");
    assert_eq!(text(first), "one");
    let second = world.agent.post("https://a.y/", "body").send();
    let (stream, _) = shared.next();
    shared.answer(stream, "421", "not mine");
    let mut own = Server::accept(&world);
    let (stream, line) = own.next();
    assert_eq!((line.as_str(), &own.asked[&stream].body[..]), ("POST /", &b"body"[..]));
    own.answer(stream, "200", "mine");
    assert_eq!(text(second), "mine");
    // So do all that follow, and a second time it is the answer.
    let third = world.agent.get("https://a.y/3").send();
    let (stream, _) = own.next();
    own.answer(stream, "421", "not mine either");
    let mut fresh = Server::accept(&world);
    let (stream, _) = fresh.next();
    fresh.answer(stream, "421", "no");
    assert_eq!(value(third).status(), 421);
}

#[test]
fn one_that_nobody_uses_is_closed_after_a_while_and_when_the_agent_goes() {
    let world = World::with(clear());
    let answer = world.agent.get("http://a/").send();
    let mut server = Server::accept(&world);
    server.serve("x");
    assert_eq!(text(answer), "x");
    assert_eq!(world.agent.connections(), (1, 1));
    server.advance(world.agent.options().patience.keep);
    assert_eq!(server.farewells(), [ErrorCode::NoError]);
    assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
    assert_eq!(world.agent.connections(), (0, 0));

    let (first, second) =
        (world.agent.get("http://a/1").send(), world.agent.get("http://a/2").send());
    let mut server = Server::accept(&world);
    server.serve("x");
    assert_eq!(text(first), "x");
    drop(world);
    // What is under way goes on.
    server.serve("y");
    assert_eq!(text(second), "y");
    server.listen();
    assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn an_unused_one_makes_room_for_one_to_another_origin() {
    let pool = PoolBounds { open_max: 1, ..PoolBounds::default() };
    let world = World::with(Options { pool, ..clear() });
    let first = world.agent.get("http://a/").send();
    let mut server = Server::accept(&world);
    server.serve("x");
    assert_eq!(text(first), "x");
    let second = world.agent.get("http://b/").send();
    assert_eq!(world.dialling(), 0);
    server.listen();
    assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
    let mut server = Server::accept(&world);
    server.serve("y");
    assert_eq!(text(second), "y");
}

#[test]
fn a_server_that_goes_away_is_left_and_what_it_did_not_see_to_is_asked_elsewhere() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.post("http://a/2", "body").send();
    let mut server = Server::accept(&world);
    let (one, _) = server.next();
    let mut out = Vec::new();
    ropewalk_http2::frame::write_go_away(one, ErrorCode::NoError, b"", &mut out);
    server.push(&out);
    let mut other = Server::accept(&world);
    assert_eq!(other.serve("two"), "POST /2");
    assert_eq!(text(second), "two");
    // The one that it did see to ends in peace.
    server.answer(one, "200", "one");
    assert_eq!(text(first), "one");
    server.listen();
    assert_eq!(server.memory.ended(), Some(Disconnect::Closed));
    let third = world.agent.get("http://a/3").send();
    assert_eq!(other.serve("three"), "GET /3");
    assert_eq!(text(third), "three");
}

#[test]
fn a_refused_stream_is_asked_for_again_and_not_for_ever() {
    let world = World::with(clear());
    let answer = world.agent.post("http://a/", "body").send();
    let mut server = Server::accept(&world);
    for _ in 0..3 {
        let (stream, _) = server.next();
        server.reset(stream, ErrorCode::RefusedStream);
    }
    let (stream, _) = server.next();
    assert_eq!(server.asked[&stream].body, b"body");
    server.answer(stream, "200", "at last");
    assert_eq!(text(answer), "at last");

    let answer = world.agent.get("http://a/").send();
    for _ in 0..4 {
        let (stream, _) = server.next();
        server.reset(stream, ErrorCode::RefusedStream);
    }
    assert_eq!(error::<AgentError, _>(answer), AgentError::Unprocessed);
}

#[test]
fn heads_say_the_same_as_in_older_versions_but_for_what_is_a_connections() {
    let world = World::with(clear());
    let answer = world.agent.get("http://u:p@Example.org:81/b?c#d").header("X-A", " 1 ").send();
    let mut server = Server::accept(&world);
    let (stream, line) = server.next();
    assert_eq!(line, "GET /b?c");
    let head = server.head(stream);
    assert_eq!(head.authority.as_ref().unwrap(), "example.org:81");
    let mut names: Vec<_> = head.fields.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept-encoding", "authorization", "user-agent", "x-a"]);
    assert!(head.fields["authorization"].is_sensitive());
    server.answer(stream, "204", "");
    assert_eq!(value(answer).status(), 204);

    let answer = world.agent.get("http://a/x").for_server().send();
    let mut server = Server::accept(&world);
    assert_eq!(server.serve("x"), "OPTIONS *");
    assert_eq!(text(answer), "x");
    assert_eq!(heard(&mut server.memory), "");
}

#[test]
fn more_than_a_server_takes_may_be_under_way_before_it_has_said_so() {
    let world = World::with(clear());
    let ask = |index| world.agent.post("http://a/", format!("{index}")).send();
    let answers: Vec<_> = (0..40).map(ask).collect();
    let mut limits = Limits::default();
    limits.streams_max = 3;
    let mut server = Server::with(&world, limits);
    for _ in 0..40 {
        let (stream, _) = server.next();
        let body = String::from_utf8(server.asked[&stream].body.clone()).expect("text");
        server.answer(stream, "200", &body);
    }
    for (index, answer) in answers.into_iter().enumerate() {
        assert_eq!(text(answer), index.to_string());
    }
}
