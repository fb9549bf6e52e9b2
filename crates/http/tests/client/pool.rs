use std::time::Duration;

use ropewalk_http::{AgentError, Options, PoolBounds, Wait};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::Memory;

use super::{World, error, heard, ok, text, value};

fn narrow(per_origin_max: usize, open_max: usize, waiting_max: usize) -> World {
    let pool = PoolBounds { per_origin_max, open_max, waiting_max, ..PoolBounds::default() };
    World::with(Options { pool, ..Options::default() })
}

#[test]
fn a_request_says_what_it_has_to_and_its_answer_comes_back() {
    let world = World::new();
    let answer = world.agent.get("http://Example.org/a/../b?c=d#e").header("x-a", "1").send();
    let (mut server, request) = world.accept();
    assert_eq!(
        request,
        concat!(
            "GET /b?c=d HTTP/1.1\r\nhost: example.org\r\nuser-agent: ropewalk/0.1.0\r\n",
            "accept-encoding: gzip, deflate, br, zstd\r\nx-a: 1\r\n\r\n"
        )
    );
    server.push(ok("hello").as_bytes());
    let answer = value(answer);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.url(), "http://example.org/b?c=d#e");
    assert_eq!(value(answer.text()), "hello");
}

#[test]
fn a_connection_is_used_again() {
    let world = World::new();
    let first = world.agent.get("http://a/1").send();
    let (mut server, _) = world.accept();
    server.push(ok("one").as_bytes());
    assert_eq!(text(first), "one");
    assert_eq!(world.agent.connections(), (1, 1));

    let second = world.agent.get("http://a/2").send();
    assert_eq!(world.dialling(), 0);
    assert!(heard(&mut server).starts_with("GET /2 "));
    server.push(ok("two").as_bytes());
    assert_eq!(text(second), "two");

    let other = world.agent.get("http://a:81/").send();
    assert_eq!(world.dialling(), 1);
    drop(other);
}

#[test]
fn one_that_nobody_uses_is_closed_after_a_while_and_when_the_agent_goes() {
    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(ok("").as_bytes());
    value(answer);
    server.advance(world.agent.options().patience.keep);
    assert_eq!(server.ended(), Some(Disconnect::Closed));
    assert_eq!(world.agent.connections(), (0, 0));

    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(ok("").as_bytes());
    value(answer);
    drop(world);
    server.run();
    assert_eq!(server.ended(), Some(Disconnect::Closed));
}

#[test]
fn one_that_the_server_closed_or_spoke_on_unasked_is_not_used_again() {
    let ways: [fn(&mut Memory); 3] = [
        |server| server.eof(),
        |server| server.lose(Disconnect::Reset),
        |server| {
            server.push(b"HTTP/1.1 408 Request Timeout\r\n\r\n");
        },
    ];
    for end in ways {
        let world = World::new();
        let answer = world.agent.get("http://a/").send();
        let (mut server, _) = world.accept();
        server.push(ok("").as_bytes());
        value(answer);
        end(&mut server);
        assert_eq!(world.agent.connections(), (0, 0));
        world.agent.get("http://a/").send().detach();
        assert_eq!(world.dialling(), 1);
    }
}

#[test]
fn an_answer_that_closes_is_the_last_on_its_connection() {
    let closing = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ];
    for bytes in closing {
        let world = World::new();
        let answer = world.agent.get("http://a/").send();
        let (mut server, _) = world.accept();
        server.push(bytes.as_bytes());
        value(answer);
        assert_eq!(server.ended(), Some(Disconnect::Closed), "{bytes}");
        assert_eq!(world.agent.connections(), (0, 0));
    }
    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    value(answer);
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn requests_beyond_the_bounds_wait_and_no_more_of_them_than_may() {
    let world = narrow(1, 8, 1);
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let third = world.agent.get("http://a/3").send();
    assert_eq!(error::<AgentError, _>(third), AgentError::Busy { max: 1 });
    let (mut server, _) = world.accept();
    assert_eq!(world.dialling(), 0);
    server.push(ok("one").as_bytes());
    assert_eq!(text(first), "one");
    assert!(heard(&mut server).starts_with("GET /2 "));
    server.push(ok("two").as_bytes());
    assert_eq!(text(second), "two");
}

#[test]
fn one_who_waits_gets_a_connection_of_its_own_when_another_ends() {
    let world = narrow(1, 8, 8);
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let (mut server, _) = world.accept();
    server.lose(Disconnect::Reset);
    assert_eq!(error::<AgentError, _>(first), AgentError::Lost(Disconnect::Reset));
    let (mut server, request) = world.accept();
    assert!(request.starts_with("GET /2 "));
    server.push(ok("two").as_bytes());
    assert_eq!(text(second), "two");
}

#[test]
fn an_unused_connection_makes_room_for_one_to_another_origin() {
    let world = narrow(1, 1, 8);
    let first = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(ok("").as_bytes());
    value(first);
    let second = world.agent.get("http://b/").send();
    assert_eq!(world.dialling(), 0);
    server.run();
    assert_eq!(server.ended(), Some(Disconnect::Closed));
    let (mut server, _) = world.accept();
    server.push(ok("b").as_bytes());
    assert_eq!(text(second), "b");
}

#[test]
fn a_safe_request_goes_out_again_where_its_connection_was_closed_as_unused() {
    for (method, is_repeated) in [("GET", true), ("HEAD", true), ("POST", false), ("PUT", false)] {
        let world = World::new();
        let first = world.agent.get("http://a/").send();
        let (mut server, _) = world.accept();
        server.push(ok("").as_bytes());
        value(first);
        let method = method.parse().expect("a method");
        let second = world.agent.request(method, "http://a/2").send();
        assert!(heard(&mut server).contains(" /2 "));
        server.lose(Disconnect::Reset);
        if is_repeated {
            let (mut server, request) = world.accept();
            assert!(request.contains(" /2 "));
            server.push(b"HTTP/1.1 204 No Content\r\n\r\n");
            assert_eq!(value(second).status(), 204);
        } else {
            assert_eq!(error::<AgentError, _>(second), AgentError::Lost(Disconnect::Reset));
        }
    }
}

#[test]
fn nothing_goes_out_again_on_a_fresh_connection_or_after_a_byte_of_an_answer() {
    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.lose(Disconnect::Reset);
    assert_eq!(error::<AgentError, _>(answer), AgentError::Lost(Disconnect::Reset));

    let first = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(ok("").as_bytes());
    value(first);
    let second = world.agent.get("http://a/").send();
    heard(&mut server);
    server.push(b"H");
    server.eof();
    assert_eq!(error::<AgentError, _>(second), AgentError::Lost(Disconnect::Closed));
}

#[test]
fn what_has_not_left_goes_out_again_whatever_it_is() {
    let world = World::new();
    let first = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(ok("").as_bytes());
    value(first);
    let second = world.agent.post("http://a/2", "body").send();
    // The end comes before the request is handed to the connection.
    drop(server);
    let (mut server, request) = world.accept();
    assert!(request.starts_with("POST /2 ") && request.ends_with("\r\n\r\nbody"), "{request}");
    server.push(ok("two").as_bytes());
    assert_eq!(text(second), "two");
}

#[test]
fn cancelling_ends_the_wait_wherever_it_is() {
    let world = narrow(1, 8, 8);
    let first = world.agent.get("http://a/1").send();
    let second = world.agent.get("http://a/2").send();
    let third = world.agent.get("http://a/3").send();
    second.cancel();
    second.now_or_never().expect("it is over").expect_err("it is cancelled");
    let (mut server, _) = world.accept();
    first.cancel();
    server.run();
    assert_eq!(server.ended(), Some(Disconnect::Aborted));
    first.now_or_never().expect("it is over").expect_err("it is cancelled");
    let (mut server, request) = world.accept();
    assert!(request.starts_with("GET /3 "));
    server.push(ok("three").as_bytes());
    assert_eq!(text(third), "three");
}

#[test]
fn a_secure_request_goes_out_on_no_connection_in_clear() {
    let world = World::new();
    let answer = world.agent.get("https://a/").send();
    let (_, seat) = world.dialled.borrow_mut().remove(0);
    let mut server = Memory::take_seat(seat, &world.clock);
    assert_eq!(heard(&mut server), "");
    assert_eq!(error::<AgentError, _>(answer), AgentError::NotEncrypted);
    let answer = world.agent.get("https://a/").send();
    let (mut server, _) = world.accept();
    server.push(ok("safe").as_bytes());
    assert_eq!(text(answer), "safe");
}

#[test]
fn a_connection_that_is_not_made_in_time_is_given_up() {
    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let connect = world.agent.options().patience.connect.expect("there is one");
    world.clock.advance(connect);
    let wait = Wait::Connect(connect);
    assert_eq!(error::<AgentError, _>(answer), AgentError::TimedOut(wait));
}

#[test]
fn a_unix_socket_is_an_origin_of_its_own() {
    let world = World::new();
    let answer = world.agent.get("http://localhost/").over_unix("/run/x").send();
    let origin = world.dialled.borrow()[0].0.clone();
    assert_eq!(origin.socket(), Some(std::path::Path::new("/run/x")));
    let (mut server, _) = world.accept();
    server.push(ok("").as_bytes());
    value(answer);
    world.agent.get("http://localhost/").send().detach();
    assert_eq!(world.dialling(), 1);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let world = World::new();
    let bad = |url: &str| error::<AgentError, _>(world.agent.get(url).send());
    assert_eq!(bad("no url"), AgentError::BadUrl("no url".to_owned()));
    assert_eq!(bad("http://"), AgentError::BadUrl("http://".to_owned()));
    assert_eq!(bad("ftp://a/"), AgentError::UnknownScheme("ftp".to_owned()));
    let field = world.agent.get("http://a/").header("x", "a\r\nb: c").send();
    assert_eq!(error::<AgentError, _>(field), AgentError::BadRequest("\"x\"".to_owned()));
    for name in ["content-length", "transfer-encoding", "connection", "upgrade", "te", "expect"] {
        let answer = world.agent.get("http://a/").header(name, "1").send();
        drop(world.accept());
        assert_eq!(error::<AgentError, _>(answer), AgentError::BadRequest(name.to_owned()));
    }
}

#[test]
fn a_place_among_the_connections_is_not_waited_for_without_end() {
    let pool = PoolBounds { per_origin_max: 1, ..PoolBounds::default() };
    let world = World::with(Options { pool, ..Options::default() });
    let first = world.agent.get("http://a/1").send();
    let (mut server, _) = world.accept();
    let second = world.agent.get("http://a/2").send();
    server.advance(Duration::from_secs(29));
    world.clock.advance(Duration::ZERO);
    assert_eq!(world.dialling(), 0);
    server.advance(Duration::from_secs(1));
    let slot = Wait::Slot(Duration::from_secs(30));
    assert_eq!(error::<AgentError, _>(second), AgentError::TimedOut(slot));
    server.push(ok("one").as_bytes());
    assert_eq!(text(first), "one");
    // Nobody is left in the line.
    let third = world.agent.get("http://a/3").send();
    assert!(heard(&mut server).starts_with("GET /3 "));
    drop(third);
}

#[test]
fn the_server_as_a_whole_is_asked_with_an_asterisk() {
    let world = World::new();
    let answer = world.agent.get("http://a/path?query").for_server().send();
    let (mut server, request) = world.accept();
    assert!(request.starts_with("OPTIONS * HTTP/1.1\r\nhost: a\r\n"), "{request}");
    server.push(ok("").as_bytes());
    assert_eq!(value(answer).status(), 200);
}
