//! Requests side by side, and what is answered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_http::{Body, BodyPiece, BodyStream, IntoReply as _, Request, Response, Site, Tree};
use ropewalk_http2::frame::PREFACE;
use ropewalk_trial::{Clock, Memory, Random};

use crate::client::{Answer, Client};

fn hello() -> Site {
    let site = Site::new(|request: Request| {
        format!("{} {} {:?}", request.method(), request.uri(), request.headers().get("host"))
    });
    site.wall_clock(|| UNIX_EPOCH + Duration::from_secs(784_111_777))
}

#[test]
fn the_same_site_answers_both_versions() {
    let site = hello();
    let mut client = Client::of(&site);
    let answer = client.get("/a?b");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"GET /a?b Some(\"example.com\")");
    assert!(answer.is_whole);
    let expected = [
        ("content-type", "text/plain; charset=utf-8"),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("content-length", "28"),
    ];
    assert_eq!(answer.fields.len(), expected.len());
    for (name, value) in expected {
        assert_eq!(answer.fields[name], value);
    }
    let mut old = Memory::seat(site.server(), &Clock::new());
    old.push(b"GET /a?b HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert!(old.take_sent().ends_with(b"\r\n\r\nGET /a?b Some(\"example.com\")"));
    assert_eq!(site.connections(), 2);
}

/// Answers with the same head one after another, and others between them: each says what it would alone.
#[test]
fn answers_that_are_alike_say_each_what_is_theirs() {
    static SECOND: AtomicU64 = AtomicU64::new(784_111_777);
    let site = || {
        let page = |request: Request| {
            let number: usize = request.uri().path()[1..].parse().expect("a number");
            let text = || "x".repeat(number / 8 % 3);
            match number % 8 {
                0..3 => text().into_reply(),
                3 => Bytes::from(text()).into_reply(),
                4 => (StatusCode::NOT_FOUND, text()).into_reply(),
                5 => Response::new(Body::from(text())).into_reply(),
                6 => StatusCode::NO_CONTENT.into_reply(),
                _ => {
                    let mut fields = HeaderMap::new();
                    let value = HeaderValue::from_str(&number.to_string()).expect("digits");
                    fields.insert("x-number", value);
                    (fields, text()).into_reply()
                }
            }
        };
        let wall = || UNIX_EPOCH + Duration::from_secs(SECOND.load(Ordering::Relaxed));
        Site::new(page).wall_clock(wall)
    };
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut client = Client::of(&site());
        let mut number = 0;
        for at in 0..100 {
            if random.below(3) == 0 {
                number = random.below(24);
            }
            if random.below(10) == 0 {
                SECOND.fetch_add(1, Ordering::Relaxed);
                client.server.advance(Duration::from_secs(1));
            }
            let method = if random.below(5) == 0 { "HEAD" } else { "GET" };
            let path = format!("/{number}");
            let stream = client.ask(method, &path, &[], true);
            let mut alone = Client::of(&site());
            let expected = alone.ask(method, &path, &[], true);
            let (answer, expected) = (&client.answers[&stream], &alone.answers[&expected]);
            let said =
                |answer: &Answer| (answer.status, answer.fields.clone(), answer.body.clone());
            assert_eq!(said(answer), said(expected), "the {at}th of seed {seed}");
            assert!(answer.is_whole);
        }
    }
}

#[test]
fn the_preface_is_known_however_it_is_cut() {
    let site = hello();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let octets = [&PREFACE[..], &settings].concat();
    for size in 1..=octets.len() {
        let mut server = Memory::seat(site.server(), &Clock::new());
        server.push_in_pieces(&octets, size);
        // Settings, a larger window, an acknowledgement.
        let sent = server.take_sent();
        assert_eq!(sent[3], 4, "in pieces of {size}");
        assert!(sent.ends_with(&[0, 0, 0, 4, 1, 0, 0, 0, 0]), "in pieces of {size}");
    }
    // What only begins like it is HTTP/1.1's to refuse or to take.
    for size in [1, 2, 3, 100] {
        let mut server = Memory::seat(site.server(), &Clock::new());
        server.push_in_pieces(b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", size);
        assert!(server.take_sent().starts_with(b"HTTP/1.1 400 "), "in pieces of {size}");
        let mut server = Memory::seat(site.server(), &Clock::new());
        server.push_in_pieces(b"PROPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n", size);
        assert!(server.take_sent().ends_with(b"PROPFIND /x Some(\"a\")"), "in pieces of {size}");
    }
}

#[test]
fn answers_come_in_the_order_in_which_they_are_there() {
    type Promises = Rc<RefCell<HashMap<String, Promise<String>>>>;
    let promises = Promises::default();
    let shared = Rc::clone(&promises);
    let site = Site::new(move |request: Request| {
        let (promise, later) = deferred();
        shared.borrow_mut().insert(request.uri().path().to_owned(), promise);
        later
    });
    let mut client = Client::of(&site);
    let streams: Vec<u32> =
        ["/1", "/2", "/3"].map(|path| client.ask("GET", path, &[], true)).to_vec();
    for (at, path) in [(2, "/3"), (0, "/1"), (1, "/2")] {
        let promise = promises.borrow_mut().remove(path).expect("it was asked for");
        promise.succeed(path.to_owned());
        client.listen();
        assert_eq!(client.answers[&streams[at]].body, path.as_bytes());
    }
}

#[test]
fn a_resource_that_fails_or_panics_harms_no_other() {
    let site = Site::new(|request: Request| match request.uri().path() {
        "/fails" => Err(Failure::new("no")),
        "/panics" => panic!("no"),
        _ => Ok("fine"),
    });
    let mut client = Client::of(&site);
    assert_eq!(client.get("/fails").status, 500);
    assert_eq!(client.get("/panics").status, 500);
    assert_eq!(client.get("/").body, b"fine");
}

#[test]
fn heads_and_statuses_have_their_rules() {
    let site = Site::new(|request: Request| {
        let status = match request.uri().path() {
            "/204" => StatusCode::NO_CONTENT,
            "/304" => StatusCode::NOT_MODIFIED,
            "/101" => StatusCode::SWITCHING_PROTOCOLS,
            _ => StatusCode::OK,
        };
        let mut response = Response::new(Body::from("hello"));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        for (name, value) in [("connection", "close"), ("keep-alive", "5"), ("x-kept", "yes")] {
            fields.insert(name, HeaderValue::from_static(value));
        }
        fields.insert("transfer-encoding", HeaderValue::from_static("chunked"));
        response
    });
    let mut client = Client::of(&site);
    let stream = client.ask("HEAD", "/", &[], true);
    let answer = &client.answers[&stream];
    assert_eq!((answer.status, &answer.body[..], answer.is_whole), (200, &b""[..], true));
    assert_eq!(answer.fields["content-length"], "5");
    for path in ["/204", "/304"] {
        let answer = client.get(path);
        assert!(answer.is_whole && answer.body.is_empty(), "{path}");
        assert!(!answer.fields.contains_key("content-length"), "{path}");
    }
    let answer = client.get("/");
    assert_eq!(answer.fields["x-kept"], "yes");
    for name in ["connection", "keep-alive", "transfer-encoding"] {
        assert!(!answer.fields.contains_key(name), "{name}");
    }
    assert_eq!(client.get("/101").status, 500);
}

#[test]
fn interim_answers_come_first() {
    let site = Site::new(|request: Request| {
        if let Some(interim) = request.interim() {
            interim.early_hints([HeaderValue::from_static("</style.css>; rel=preload")]);
        }
        let (promise, later) = deferred::<&'static str>();
        std::mem::forget(promise);
        later
    });
    let mut client = Client::of(&site);
    let stream = client.ask("GET", "/", &[], true);
    client.listen();
    assert_eq!(client.answers[&stream].interim, [103]);
}

#[test]
fn bodies_of_pieces_end_with_their_trailers() {
    let site = Site::new(|_: Request| {
        let mut trailers = HeaderMap::new();
        trailers.insert("sum", HeaderValue::from_static("42"));
        let mut pieces = vec![
            BodyPiece::Trailers(trailers),
            BodyPiece::Bytes("cd".into()),
            BodyPiece::Bytes("".into()),
            BodyPiece::Bytes("ab".into()),
        ];
        Body::stream(BodyStream::new(move || Deferred::succeed(pieces.pop())))
    });
    let mut client = Client::of(&site);
    let stream = client.ask("GET", "/", &[("te", "trailers")], true);
    client.listen();
    let answer = &client.answers[&stream];
    assert_eq!((&answer.body[..], answer.is_whole), (&b"abcd"[..], true));
    assert_eq!(answer.trailers["sum"], "42");
    assert!(!answer.fields.contains_key("content-length"));
}

#[test]
fn bodies_that_are_not_what_their_head_said_are_broken_off() {
    let site = Site::new(|request: Request| {
        let length = if request.uri().path() == "/short" { 5 } else { 2 };
        let mut pieces = vec![BodyPiece::Bytes("abc".into())];
        Body::stream_of(length, BodyStream::new(move || Deferred::succeed(pieces.pop())))
    });
    let mut client = Client::of(&site);
    for path in ["/short", "/long"] {
        let stream = client.ask("GET", path, &[], true);
        client.listen();
        let answer = &client.answers[&stream];
        let code = answer.reset.as_ref().map(|why| why.code().to_string());
        assert_eq!(code.as_deref(), Some("INTERNAL_ERROR"), "{path}");
    }
    assert_eq!(client.engine.streams(), 0);
}

#[test]
fn a_connect_that_nobody_takes_is_refused_and_too_many_fields_are_431() {
    let mut client = Client::of(&hello());
    let mut out = Vec::new();
    let stream = client
        .engine
        .open(false, &mut out, |head| {
            head.pseudo(ropewalk_http2::hpack::Pseudo::Method, b"CONNECT");
            head.pseudo(ropewalk_http2::hpack::Pseudo::Authority, b"example.com:80");
        })
        .expect("a stream");
    client.push(&out);
    assert_eq!(client.answers[&stream].status, 501);
    let long = "e".repeat(40_000);
    let stream = client.ask("GET", "/", &[("x-long", &long), ("x-longer", &long)], true);
    assert_eq!(client.answers[&stream].status, 431);
    assert_eq!(client.get("/still").status, 200);
}

#[test]
fn a_tree_and_its_files_do_not_know_the_difference() {
    let site = Site::new(Tree::new().child("a", |_: Request| "found"));
    let mut client = Client::of(&site);
    assert_eq!(client.get("/a").body, b"found");
    assert_eq!(client.get("/b").status, 404);
}
