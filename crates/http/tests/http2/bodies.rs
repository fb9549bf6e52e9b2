//! Bodies both ways, and their windows.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_http::{Body, Incoming, Limits, Request, Site};
use ropewalk_http2::Limits as Streams;

use crate::client::Client;

fn collecting() -> Site {
    Site::new(|request: Request| {
        request.into_body().collect(1 << 20).map(|body| format!("{} bytes", body.len()))
    })
}

#[test]
fn a_body_is_taken_as_it_comes() {
    let mut client = Client::of(&collecting());
    let stream = client.ask("POST", "/", &[], false);
    client.send(stream, b"abc", false);
    assert!(!client.answers.contains_key(&stream));
    client.send(stream, b"def", true);
    assert_eq!(client.answers[&stream].body, b"6 bytes");
    let stream = client.ask("POST", "/", &[("content-length", "3")], false);
    client.send(stream, b"abc", true);
    assert_eq!(client.answers[&stream].body, b"3 bytes");
    assert_eq!(client.engine.streams(), 0);
}

#[test]
fn many_windows_of_a_body_get_through() {
    let mut client = Client::of(&collecting());
    let stream = client.ask("POST", "/", &[], false);
    let mut left = 1 << 20;
    while left > 0 {
        let len = client.engine.room(stream).min(left);
        assert!(len > 0, "the server lets no more come, {left} are left");
        left -= len;
        client.send(stream, &vec![0; len], left == 0);
    }
    assert_eq!(client.answers[&stream].body, b"1048576 bytes");
}

#[test]
fn a_body_that_nobody_takes_fills_its_window_and_no_more() {
    type Kept = Rc<RefCell<Vec<Incoming>>>;
    let kept = Kept::default();
    let keeper = Rc::clone(&kept);
    let site = Site::new(move |request: Request| {
        keeper.borrow_mut().push(request.into_body());
        let (promise, later) = ropewalk_deferred::deferred::<&'static str>();
        std::mem::forget(promise);
        later
    });
    let mut client = Client::of(&site);
    let stream = client.ask("POST", "/", &[], false);
    let mut sent = 0;
    loop {
        let len = client.engine.room(stream);
        if len == 0 {
            break;
        }
        sent += len;
        client.send(stream, &vec![0; len], false);
    }
    // What is kept for those who do not take it, and a window.
    assert!((256 * 1024..=384 * 1024).contains(&sent), "{sent}");
    // Others go on.
    let other = client.ask("POST", "/", &[], false);
    assert!(client.engine.room(other) > 0);
    // As it is taken, more may come.
    let mut body = kept.borrow_mut().remove(0);
    let mut taken = 0;
    while taken < sent {
        match body.next_piece().now_or_never() {
            Some(Ok(Some(piece))) => taken += piece.len(),
            other => panic!("{other:?} after {taken} of {sent}"),
        }
        client.listen();
    }
    assert!(client.engine.room(stream) > 0);
}

#[test]
fn a_body_that_nobody_wants_is_cut_short() {
    let site = Site::new(|_: Request| "no, thanks");
    let mut client = Client::of(&site);
    let stream = client.ask("POST", "/", &[], false);
    let answer = &client.answers[&stream];
    assert_eq!((&answer.body[..], answer.is_whole), (&b"no, thanks"[..], true));
    assert!(!client.engine.is_live(stream));
    assert_eq!(client.engine.streams(), 0);
    assert_eq!(client.ask("GET", "/", &[], true), 3);
}

#[test]
fn a_body_has_its_bound() {
    let site = collecting().limits(Limits { body_max: Some(10), ..Limits::default() });
    let mut client = Client::of(&site);
    let stream = client.ask("POST", "/", &[("content-length", "11")], false);
    assert_eq!(client.answers[&stream].status, 413);
    let stream = client.ask("POST", "/", &[], false);
    client.send(stream, b"12345678901", true);
    assert_eq!(client.answers[&stream].status, 413);
    let stream = client.ask("POST", "/", &[], false);
    client.send(stream, b"1234567890", true);
    assert_eq!(client.answers[&stream].body, b"10 bytes");
}

#[test]
fn who_waits_for_a_word_gets_it_when_the_body_is_asked_for() {
    let mut client = Client::of(&collecting());
    let stream = client.ask("POST", "/", &[("expect", "100-continue")], false);
    client.listen();
    assert_eq!(client.answers[&stream].interim, [100]);
    client.send(stream, b"abc", true);
    assert_eq!(client.answers[&stream].body, b"3 bytes");
    let site = Site::new(|_: Request| "no, thanks");
    let mut client = Client::of(&site);
    let stream = client.ask("POST", "/", &[("expect", "100-continue")], false);
    assert!(client.answers[&stream].interim.is_empty());
}

#[test]
fn trailers_reach_the_resource() {
    let site = Site::new(|request: Request| {
        let mut body = request.into_body();
        body.next_piece().map(move |_| format!("{:?}", body.trailers().get("sum")))
    });
    let mut client = Client::of(&site);
    let stream = client.ask("POST", "/", &[], false);
    let mut out = Vec::new();
    client.engine.send_head(stream, true, &mut out, |head| {
        head.field(&http::HeaderName::from_static("sum"), &http::HeaderValue::from_static("1"));
    });
    client.push(&out);
    assert_eq!(client.answers[&stream].body, b"Some(\"1\")");
}

#[test]
fn large_answers_share_the_connection() {
    let site = Site::new(|_: Request| Body::from(vec![7; 300_000]));
    let mut client = Client::of(&site);
    let streams: Vec<u32> = (0..5).map(|_| client.ask("GET", "/", &[], true)).collect();
    client.listen();
    for stream in streams {
        let answer = &client.answers[&stream];
        assert!(answer.is_whole);
        assert_eq!(answer.body.len(), 300_000);
    }
}

#[test]
fn who_opens_no_window_gets_no_more() {
    let site = Site::new(|_: Request| Body::from(vec![7; 300_000]));
    let mut limits = Streams::default();
    limits.window = 1000;
    let mut client = Client::with(&site, limits);
    client.releases = false;
    let stream = client.ask("GET", "/", &[], true);
    client.listen();
    assert_eq!(client.answers[&stream].body.len(), 1000);
    let mut out = Vec::new();
    client.engine.release(stream, 1000, &mut out);
    client.push(&out);
    assert_eq!(client.answers[&stream].body.len(), 2000);
}
