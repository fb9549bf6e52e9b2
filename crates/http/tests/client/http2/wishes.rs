//! What either end would rather have: another version, another order.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_http::{Agent, AgentError, Dial, Origin, Priority, RequestPriority};
use ropewalk_http2::frame::{ErrorCode, PREFACE, write_go_away, write_priority_update};
use ropewalk_http2::{Limits, ResetBy};
use ropewalk_protocol::Seat;
use ropewalk_trial::Clock;

use super::server::{Server, clear};
use crate::{Dialled, World, error, ok, text};

/// Notes for which connections HTTP/2 was not to be offered.
struct Noting {
    dialled: Dialled,
    http1: Rc<RefCell<Vec<String>>>,
}

impl Dial for Noting {
    fn dial(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
        self.dialled.borrow_mut().push((origin.clone(), seat));
        Deferred::succeed(())
    }

    fn dial_http1(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
        self.http1.borrow_mut().push(origin.to_string());
        self.dial(origin, seat)
    }

    fn offers_http2(&self, _: &Origin) -> bool {
        true
    }
}

#[test]
fn who_wants_to_be_asked_in_http_1_1_is_from_then_on() {
    let world = World::with(clear());
    let answer = world.agent.post("http://a/", "body").send();
    let (mut server, stream) = Server::asked(&world);
    server.reset(stream, ErrorCode::Http11Required);
    let (mut old, request) = world.accept();
    assert!(request.starts_with("POST / HTTP/1.1\r\n") && request.ends_with("\r\n\r\nbody"));
    old.push(ok("one").as_bytes());
    assert_eq!(text(answer), "one");
    // Nobody has to say so twice, and others are asked as before.
    let answer = world.agent.get("http://a/2").send();
    assert!(crate::heard(&mut old).starts_with("GET /2 HTTP/1.1\r\n"));
    old.push(ok("two").as_bytes());
    assert_eq!(text(answer), "two");
    let answer = world.agent.get("http://b/").send();
    assert_eq!(Server::accept(&world).serve("b"), "GET /");
    assert_eq!(text(answer), "b");
}

#[test]
fn one_that_goes_away_for_it_is_asked_again_for_all_that_it_left() {
    let world = World::with(clear());
    let answers = [1, 2].map(|n| world.agent.get(&format!("http://a/{n}")).send());
    let server = Server::accept(&world);
    let mut server = server;
    let mut out = Vec::new();
    write_go_away(0, ErrorCode::Http11Required, b"", &mut out);
    server.push(&out);
    for (index, answer) in answers.into_iter().enumerate() {
        let (mut old, request) = world.accept();
        assert!(request.starts_with(&format!("GET /{} HTTP/1.1\r\n", index + 1)), "{request}");
        old.push(ok("x").as_bytes());
        assert_eq!(text(answer), "x");
    }
    assert_eq!(world.dialling(), 0);
}

#[test]
fn over_tls_http2_is_not_offered_again() {
    let (clock, dialled) = (Clock::new(), Dialled::default());
    let http1 = Rc::<RefCell<Vec<String>>>::default();
    let dial = Noting { dialled: Rc::clone(&dialled), http1: Rc::clone(&http1) };
    let world = World { agent: Agent::new(dial, clock.clone()), clock, dialled };
    let answer = world.agent.get("https://a/").send();
    let (mut server, stream) = Server::asked(&world);
    assert!(http1.borrow().is_empty());
    server.reset(stream, ErrorCode::Http11Required);
    let (mut old, request) = world.accept();
    assert_eq!(*http1.borrow(), ["https://a:443"]);
    assert!(request.starts_with("GET / HTTP/1.1\r\n"));
    old.push(ok("x").as_bytes());
    assert_eq!(text(answer), "x");
}

#[test]
fn a_server_that_will_be_asked_in_no_version_is_given_up() {
    // Whoever dials here agrees on HTTP/2 whatever is said.
    let world = World::new();
    let answer = world.agent.get("https://a/").send();
    for _ in 0..4 {
        let (mut server, stream) = Server::asked(&world);
        server.reset(stream, ErrorCode::Http11Required);
    }
    let why = AgentError::Stream(ResetBy::Peer(ErrorCode::Http11Required));
    assert_eq!(error::<AgentError, _>(answer), why);
    assert_eq!(world.dialling(), 0);
}

#[test]
fn a_request_says_how_it_is_to_be_preferred_and_says_so_again_when_that_changes() {
    let world = World::with(clear());
    let image = RequestPriority::new(Priority { urgency: 5, is_incremental: true });
    let answer = world.agent.get("http://a/").priority(&image).send();
    let (mut server, stream) = Server::asked(&world);
    assert_eq!(server.head(stream).fields["priority"], "u=5, i");
    let before = server.heard().len();

    image.set(Priority { urgency: 1, is_incremental: false });
    server.listen();
    let mut update = Vec::new();
    write_priority_update(stream, b"u=1", &mut update);
    assert_eq!(&server.heard()[before..], update);
    // The same once more is no news.
    image.set(image.get());
    server.listen();
    assert_eq!(server.heard().len(), before + update.len());

    server.answer(stream, "200", "x");
    assert_eq!(text(answer), "x");
    let before = server.heard().len();
    image.set(Priority::default());
    server.listen();
    assert_eq!(server.heard().len(), before, "an answer that is here has no turn to wait for");

    // A field of one's own is left alone, and older versions have the field alone.
    let answer = world.agent.get("http://a/").header("priority", "u=0").priority(&image).send();
    let (stream, _) = server.next();
    assert_eq!(server.head(stream).fields["priority"], "u=0");
    server.answer(stream, "200", "y");
    assert_eq!(text(answer), "y");
}

#[test]
fn what_changes_before_the_server_has_spoken_is_told() {
    let world = World::with(clear());
    let image = RequestPriority::new(Priority { urgency: 5, is_incremental: true });
    let answer = world.agent.get("http://a/").priority(&image).send();
    let mut server = Server::silent(&world, Limits::default());
    assert!(server.memory.take_sent().len() > PREFACE.len());
    image.set(Priority { urgency: 1, is_incremental: false });
    assert_eq!(server.memory.take_sent(), update(1, b"u=1"));
    drop(answer);
}

#[test]
fn what_changes_before_the_request_is_out_is_told_behind_it() {
    let world = World::with(clear());
    let first = world.agent.get("http://a/").send();
    let mut server = Server::accept(&world);
    server.serve("x");
    assert_eq!(text(first), "x");
    let page = RequestPriority::new(Priority { urgency: 2, is_incremental: false });
    let answer = world.agent.get("http://a/2").priority(&page).send();
    page.set(Priority { urgency: 7, is_incremental: false });
    let (stream, _) = server.next();
    assert_eq!(server.head(stream).fields["priority"], "u=2");
    assert!(server.heard().ends_with(&update(stream, b"u=7")));
    assert_eq!(server.engine.priority(stream).map(|priority| priority.urgency), Some(7));
    server.answer(stream, "200", "y");
    assert_eq!(text(answer), "y");
}

/// What tells a server of another priority.
fn update(stream: u32, value: &[u8]) -> Vec<u8> {
    let mut update = Vec::new();
    write_priority_update(stream, value, &mut update);
    update
}

#[test]
fn a_server_that_does_not_go_by_priorities_hears_of_them_once() {
    use ropewalk_http2::frame::{Setting, Settings, write_settings};

    let world = World::with(clear());
    let priority = RequestPriority::new(Priority { urgency: 6, is_incremental: false });
    let answer = world.agent.get("http://a/").priority(&priority).send();
    let (mut server, stream) = Server::asked(&world);
    let mut out = Vec::new();
    write_settings(&Settings::new().with(Setting::NoRfc7540Priorities, 0), &mut out);
    server.memory.push(&out);
    server.memory.take_sent();
    priority.set(Priority { urgency: 0, is_incremental: false });
    server.memory.run();
    assert!(server.memory.take_sent().is_empty());
    server.answer(stream, "200", "x");
    assert_eq!(text(answer), "x");

    let answer = World::new();
    let asked = answer.agent.get("http://a/").priority(Priority::default()).send();
    let (mut old, request) = answer.accept();
    assert!(request.contains("\r\npriority: u=3\r\n"), "{request}");
    old.push(ok("y").as_bytes());
    assert_eq!(text(asked), "y");
}
