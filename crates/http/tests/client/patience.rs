use std::time::Duration;

use ropewalk_http::{AgentError, Body, BodyError, ClientPatience, Options, Wait};
use ropewalk_protocol::Disconnect;

use super::{World, error, heard, ok, text, value};

#[test]
fn each_wait_has_an_end() {
    let patience = ClientPatience::default();
    let (head, idle) = (patience.head.expect("on"), patience.idle.expect("on"));

    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.1 200 OK\r\n");
    server.advance(head.saturating_sub(Duration::from_millis(1)));
    assert_eq!(server.ended(), None);
    server.advance(Duration::from_millis(1));
    assert_eq!(error::<AgentError, _>(answer), AgentError::TimedOut(Wait::Head(head)));
    assert_eq!(server.ended(), Some(Disconnect::Aborted));

    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx");
    let mut answer = value(answer);
    assert_eq!(value(answer.body_mut().next_piece()).expect("a piece"), "x");
    // Nobody waits: the server may take its time.
    server.advance(idle * 2);
    let next = answer.body_mut().next_piece();
    server.advance(idle.saturating_sub(Duration::from_millis(1)));
    assert_eq!(server.ended(), None);
    server.advance(Duration::from_millis(1));
    assert_eq!(error::<BodyError, _>(next), BodyError::Slow);
    assert_eq!(server.ended(), Some(Disconnect::Aborted));
}

#[test]
fn the_total_time_counts_from_the_request_to_the_end_of_the_body() {
    let total = Duration::from_secs(10);
    let patience = ClientPatience { total: Some(total), ..ClientPatience::default() };
    let world = World::with(Options { patience, ..Options::default() });
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.advance(Duration::from_secs(9));
    server.push(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n");
    assert!(heard(&mut server).starts_with("GET /b "));
    server.advance(Duration::from_secs(1));
    server.run();
    assert_eq!(error::<AgentError, _>(answer), AgentError::TimedOut(Wait::Total(total)));
    assert_eq!(server.ended(), Some(Disconnect::Aborted));

    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.advance(Duration::from_secs(9));
    server.push(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx");
    let body = value(answer).bytes();
    server.advance(Duration::from_secs(1));
    assert_eq!(error::<BodyError, _>(body), BodyError::Slow);
}

#[test]
fn a_body_is_held_back_until_the_server_wants_it_or_says_nothing() {
    let world = World::new();
    let put = || world.agent.put("http://a/", "body").expect_continue().send();
    let answer = put();
    let (mut server, request) = world.accept();
    assert!(
        request.contains("\r\nexpect: 100-continue\r\n") && request.ends_with("\r\n\r\n"),
        "{request}"
    );
    server.push(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(heard(&mut server), "body");
    server.push(ok("done").as_bytes());
    assert_eq!(text(answer), "done");

    let answer = put();
    heard(&mut server);
    server.advance(world.agent.options().patience.proceed);
    assert_eq!(heard(&mut server), "body");
    server.push(ok("done").as_bytes());
    assert_eq!(text(answer), "done");

    let answer = put();
    heard(&mut server);
    server.push(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(value(answer).status(), 417);
    assert_eq!(heard(&mut server), "");
    assert!(server.ended().is_some(), "a body was announced, so the connection is spent");
}

#[test]
fn an_answer_before_the_whole_request_ends_the_connection() {
    let world = World::new();
    let (mut sender, body) = Body::channel();
    sender.write("some").expect("room");
    let answer = world.agent.post("http://a/", body).send();
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    assert_eq!(text(answer), "big");
    server.run();
    assert_eq!(server.ended(), Some(Disconnect::Aborted));
    assert!(sender.is_gone());
}
