//! How long a server waits, each wait from both of its sides.

use http::StatusCode;
use ropewalk_deferred::Deferred;
use ropewalk_http::{Body, Patience, Request, Site};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::Clock;

use crate::client::{A_MOMENT, Client, Held, filler, get, head, just_under, post, secs, site};

fn hello() -> Site {
    site(|_: Request| "hello")
}

#[test]
fn a_head_that_dribbles_in_is_cut_off_at_its_deadline_and_nobody_else_waits() {
    let (site, clock) = (hello(), Clock::new());
    let mut slow = Client::of(&site, &clock);
    let mut quick = Client::of(&site, &clock);
    slow.advance(secs(3));
    for byte in &b"GET / HTTP"[..] {
        slow.send([*byte]).advance(just_under(1));
        assert_eq!(quick.ask(get("/")).status, 200);
    }
    slow.assert_silent();
    slow.advance(9 * A_MOMENT).assert_silent();
    slow.advance(A_MOMENT);
    assert_eq!(slow.answer().status, 408);
    slow.assert_over();
    assert_eq!(quick.ask(get("/")).status, 200);
}

#[test]
fn a_client_that_never_says_a_word_is_let_go_without_one() {
    let mut client = Client::of(&hello(), &Clock::new());
    client.advance(just_under(10));
    assert_eq!(client.memory.ended(), None);
    client.advance(A_MOMENT);
    client.assert_ended(Disconnect::Closed);
    client.assert_silent();
}

#[test]
fn an_empty_line_is_no_word() {
    let mut client = Client::of(&hello(), &Clock::new());
    client.advance(secs(5)).send("\r\n").advance(secs(5));
    client.assert_ended(Disconnect::Closed);
    client.assert_silent();
}

#[test]
fn a_client_may_be_silent_between_requests_but_not_for_ever() {
    let mut client = Client::of(&hello(), &Clock::new());
    for _ in 0..3 {
        assert_eq!(client.ask(get("/")).status, 200);
        client.advance(just_under(60)).assert_open();
    }
    client.advance(A_MOMENT);
    client.assert_ended(Disconnect::Closed);
    client.assert_silent();
}

#[test]
fn the_next_head_has_its_own_deadline() {
    let mut client = Client::of(&hello(), &Clock::new());
    client.ask(get("/"));
    client.advance(secs(59)).send("GET");
    client.advance(just_under(10)).assert_silent();
    client.advance(A_MOMENT);
    assert_eq!(client.answer().status, 408);
}

#[test]
fn an_answer_may_take_its_time() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |_: Request| holding.wait());
    client.send(get("/")).advance(secs(24 * 3600)).assert_open();
    held.release("at last");
    assert_eq!(client.answer().text(), "at last");
    client.advance(just_under(60)).assert_open();
    client.advance(A_MOMENT).assert_ended(Disconnect::Closed);
}

fn collecting(request: Request) -> Deferred<StatusCode> {
    request.into_body().collect(1 << 24).map(|_| StatusCode::OK)
}

#[test]
fn a_body_has_to_flow() {
    let patience = Patience::default().with_body(secs(5), 100);
    let site = site(collecting).patience(patience);
    // Five seconds and then 100 bytes each second: the 45 bytes that came last until 5.45 s, and
    // the server looks each second.
    let mut client = Client::of(&site, &Clock::new());
    client.send(head("POST / HTTP/1.1", &["Content-Length: 1000"])).send([b'x'; 45]);
    client.advance(just_under(6)).assert_silent();
    client.advance(A_MOMENT);
    assert_eq!(client.answer().status, 408);
    client.assert_over();

    let mut client = Client::of(&site, &Clock::new());
    client.send(head("POST / HTTP/1.1", &["Content-Length: 10000"])).advance(secs(5));
    for _ in 0..99 {
        client.send([b'x'; 100]).advance(secs(1)).assert_silent();
    }
    client.send([b'x'; 100]);
    assert_eq!(client.answer().status, 200);
    client.assert_open();
}

#[test]
fn a_pause_of_ours_is_not_counted_against_a_client() {
    let held = Held::new();
    let holding = held.clone();
    let site = site(move |request: Request| {
        let body = request.into_body();
        holding.wait().add_callback(move |()| body.collect(1 << 24)).map(|_| StatusCode::OK)
    });
    let mut client = Client::of(&site, &Clock::new());
    client.send(head("POST / HTTP/1.1", &["Content-Length: 100000"])).send(filler(64 * 1024));
    assert!(!client.memory.is_reading());
    client.advance(secs(3600)).assert_silent();
    held.release(());
    client.memory.run();
    assert!(client.memory.is_reading());
    client.advance(secs(5)).assert_silent();
    client.advance(secs(1));
    assert_eq!(client.answer().status, 408, "now it is the client that is slow");
}

#[test]
fn a_client_that_waits_for_a_word_is_not_slow() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |request: Request| {
        let body = request.into_body();
        holding.wait().add_callback(move |()| body.collect(100)).map(|_| StatusCode::OK)
    });
    client.send(head("POST / HTTP/1.1", &["Expect: 100-continue", "Content-Length: 10"]));
    client.advance(secs(3600)).assert_silent();
    held.release(());
    assert!(client.memory.take_sent().starts_with(b"HTTP/1.1 100 "));
    client.advance(secs(5)).assert_silent();
    client.advance(secs(1));
    assert_eq!(client.answer().status, 408);
}

#[test]
fn a_body_that_nobody_wants_has_to_flow_too() {
    let mut client = Client::of(&hello(), &Clock::new());
    assert_eq!(client.ask(head("POST / HTTP/1.1", &["Content-Length: 1000"])).status, 200);
    client.advance(secs(5)).assert_open();
    client.advance(secs(1));
    client.assert_over();
}

/// Bytes without end.
fn endless(_: Request) -> Body {
    Body::stream(ropewalk_http::BodyStream::new(|| Deferred::succeed(Some(bytes(10_000).into()))))
}

fn bytes(count: usize) -> bytes::Bytes {
    vec![b'x'; count].into()
}

#[test]
fn a_client_has_to_take_its_answer() {
    for resource in [endless, |_: Request| Body::from(vec![b'x'; 200_000])] {
        let mut client = Client::new(resource);
        client.memory.set_room(0);
        client.send(get("/"));
        client.advance(just_under(30));
        assert_eq!(client.memory.ended(), None);
        client.advance(A_MOMENT);
        client.assert_ended(Disconnect::Aborted);
    }
}

#[test]
fn a_client_that_takes_its_answer_slowly_gets_it() {
    for resource in [endless, |_: Request| Body::from(vec![b'x'; 200_000])] {
        let mut client = Client::new(resource);
        client.memory.set_room(0);
        client.send(get("/"));
        for _ in 0..100 {
            client.advance(secs(29));
            assert_eq!(client.memory.ended(), None);
            client.memory.set_room(1000);
        }
        client.advance(secs(60));
        client.assert_ended(Disconnect::Aborted);
    }
}

#[test]
fn a_client_is_not_blamed_for_a_piece_that_comes_late() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |_: Request| {
        let holding = holding.clone();
        Body::stream(ropewalk_http::BodyStream::new(move || {
            holding.wait().map(|size: usize| Some(bytes(size).into()))
        }))
    });
    client.send(get("/")).advance(secs(1000));
    assert_eq!(client.memory.ended(), None);
    client.memory.set_room(0);
    held.release(100_000);
    client.advance(just_under(30));
    assert_eq!(client.memory.ended(), None);
    client.advance(A_MOMENT);
    client.assert_ended(Disconnect::Aborted);
}

#[test]
fn waits_are_what_a_site_was_told() {
    let patience = Patience::default()
        .with_head(secs(2))
        .with_idle(secs(3))
        .with_reader(secs(4))
        .with_body(secs(1), 1000)
        .with_goodbye(secs(6));
    let site = hello().patience(patience);
    let mut client = Client::of(&site, &Clock::new());
    client.send("G").advance(secs(2));
    assert_eq!(client.answer().status, 408);

    let mut client = Client::of(&site, &Clock::new());
    client.ask(post("/", b"a"));
    client.advance(secs(3)).assert_ended(Disconnect::Closed);

    let mut client = Client::of(&site, &Clock::new());
    client.ask(head("POST / HTTP/1.1", &["Content-Length: 10"]));
    client.advance(secs(2));
    assert!(client.memory.is_write_closed(), "the body is slow");
    client.advance(just_under(6));
    assert_eq!(client.memory.ended(), None);
    client.advance(A_MOMENT);
    client.assert_ended(Disconnect::Closed);

    let mut client = Client::of(&site, &Clock::new());
    client.memory.set_room(0);
    client.send(get("/").repeat(2000));
    client.advance(just_under(4));
    assert_eq!(client.memory.ended(), None);
    client.advance(A_MOMENT);
    client.assert_ended(Disconnect::Aborted);
}

#[test]
fn pieces_that_keep_coming_buy_a_client_no_time() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |_: Request| {
        let holding = holding.clone();
        Body::stream(ropewalk_http::BodyStream::new(move || {
            holding.wait().map(|size: usize| Some(bytes(size).into()))
        }))
    });
    client.memory.set_room(0);
    client.send(get("/"));
    for _ in 0..2 {
        client.advance(secs(10));
        held.release(100);
    }
    client.advance(just_under(10));
    assert_eq!(client.memory.ended(), None);
    client.advance(A_MOMENT);
    client.assert_ended(Disconnect::Aborted);
}
