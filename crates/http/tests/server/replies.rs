//! What a resource answers, and what a client gets.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::SERVER;
use http::{HeaderMap, HeaderValue, StatusCode};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::{Body, Incoming, IntoReply, Reply, Request, Site};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory};

use crate::client::{Client, DATE, Held, get, head, post, secs, site};

#[track_caller]
fn check<R: IntoReply>(answer: impl FnMut(Request) -> R + 'static, expected: (u16, &str, &str)) {
    let mut client = Client::new(answer);
    let answer = client.ask(get("/"));
    let kind = answer.field("content-type").unwrap_or_default();
    assert_eq!((answer.status, kind, answer.text()), expected);
    assert_eq!(answer.field("date"), Some(DATE));
    assert_eq!(answer.field("content-length"), Some(answer.body.len().to_string().as_str()));
    client.assert_open();
}

const TEXT: &str = "text/plain; charset=utf-8";
const OCTETS: &str = "application/octet-stream";

#[test]
fn many_things_are_answers() {
    check(|_| "text", (200, TEXT, "text"));
    check(|_| "text".to_owned(), (200, TEXT, "text"));
    check(|_| b"bytes".to_vec(), (200, OCTETS, "bytes"));
    check(|_| bytes::Bytes::from_static(b"bytes"), (200, OCTETS, "bytes"));
    check(|_| Body::from("body"), (200, "", "body"));
    check(|_| Body::from(&b"body"[..]), (200, "", "body"));
    check(|_| Body::from(()), (200, "", ""));
    check(|_| StatusCode::NOT_FOUND, (404, TEXT, "404 Not Found\n"));
    check(|_| (StatusCode::ACCEPTED, "soon"), (202, TEXT, "soon"));
    check(|_| http::Response::new("bare"), (200, "", "bare"));
    check(|_| Ok::<_, Failure>("fine"), (200, TEXT, "fine"));
    check(|_| Deferred::succeed("ready"), (200, TEXT, "ready"));
    check(|_| Deferred::succeed(Deferred::succeed("nested")), (200, TEXT, "nested"));
    check(|_| (StatusCode::CREATED, Deferred::succeed("both")), (201, TEXT, "both"));
    check(|_| Reply::Now(http::Response::new("reply".into())), (200, "", "reply"));
}

#[test]
fn fields_are_added_to_any_answer() {
    let mut client = Client::new(|_: Request| {
        let mut fields = HeaderMap::new();
        fields.insert("content-type", HeaderValue::from_static("text/html"));
        fields.insert("x-more", HeaderValue::from_static("1"));
        (StatusCode::ACCEPTED, (fields, Deferred::succeed("<p>")))
    });
    let answer = client.ask(get("/"));
    assert_eq!(answer.status, 202);
    assert_eq!(answer.field("content-type"), Some("text/html"));
    assert_eq!(answer.field("x-more"), Some("1"));
}

#[test]
fn an_answer_without_content_has_none() {
    for (status, length) in [(204, None), (304, None), (205, Some("0"))] {
        let mut client = Client::new(move |_: Request| {
            (StatusCode::from_u16(status).expect("a status"), "not sent")
        });
        client.send([get("/"), get("/")].concat());
        let answers = client.answers();
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].status, status);
        assert_eq!(answers[0].field("content-length"), length, "{status}");
        assert_eq!(answers[0].field("transfer-encoding"), None);
    }
}

#[test]
fn an_answer_that_promises_another_is_a_fault_of_ours() {
    for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS, StatusCode::PROCESSING] {
        let mut client = Client::new(move |request: Request| match request.uri().path() {
            "/now" => status.into_reply(),
            _ => Deferred::succeed(status).into_reply(),
        });
        assert_eq!(client.ask(get("/now")).status, 500);
        assert_eq!(client.ask(get("/later")).status, 500);
        client.assert_open();
    }
}

#[test]
fn head_gets_what_get_does_but_no_body() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |request: Request| match request.uri().path() {
        "/later" => holding.wait().into_reply(),
        "/stream" => {
            let (mut sender, body) = Body::channel();
            sender.write("never sent").expect("room");
            sender.finish();
            body.into_reply()
        }
        _ => "hello".into_reply(),
    });
    let ask = |path| head(&format!("HEAD {path} HTTP/1.1"), &[]);
    client.send([ask("/now"), ask("/stream"), ask("/later"), get("/now")].concat());
    held.release("later".to_owned());
    client.expect_no_body().expect_no_body().expect_no_body();
    let answers = client.answers();
    let lengths: Vec<_> = answers.iter().map(|answer| answer.field("content-length")).collect();
    assert_eq!(lengths, [Some("5"), None, Some("5"), Some("5")]);
    assert_eq!(answers[3].text(), "hello");
    client.assert_open();
}

#[test]
fn a_late_answer_is_sent_when_it_comes() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |_: Request| holding.wait());
    client.send(get("/")).assert_silent();
    held.release(StatusCode::CREATED);
    assert_eq!(client.answer().status, 201);
    client.assert_open();
}

#[test]
fn nothing_of_a_failure_is_told_to_strangers() {
    let secret = || Failure::new("the password is 1234");
    let held = Held::<&str>::new();
    let holding = held.clone();
    let mut client = Client::new(move |request: Request| match request.uri().path() {
        "/now" => Err::<&str, _>(secret()).into_reply(),
        "/ready" => Deferred::<&str>::ready(Err(secret())).into_reply(),
        _ => holding.wait().into_reply(),
    });
    for path in ["/now", "/ready", "/later"] {
        client.send(get(path));
        if path == "/later" {
            held.take().fail(secret());
        }
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (500, "500 Internal Server Error\n"));
    }
    client.assert_open();
}

#[test]
fn a_resource_that_panics_disturbs_nobody() {
    let mut count = 0;
    let held = Held::<&str>::new();
    let holding = held.clone();
    let site = site(move |request: Request| {
        count += 1;
        assert!(request.uri().path() != "/panic", "at once");
        if request.uri().path() == "/later" {
            return holding.wait().map(|_| -> &str { panic!("late") }).into_reply();
        }
        count.to_string().into_reply()
    });
    let clock = Clock::new();
    let (mut first, mut second) = (Client::of(&site, &clock), Client::of(&site, &clock));
    assert_eq!(first.ask(get("/panic")).status, 500);
    assert_eq!(second.ask(get("/")).text(), "2");
    assert_eq!(first.ask(get("/")).text(), "3");
    first.send(get("/later"));
    held.release("now");
    assert_eq!(first.answer().status, 500);
    assert_eq!(first.ask(post("/panic", b"body")).status, 500);
    first.assert_open();
}

#[test]
fn an_answer_that_never_comes_is_cancelled_when_its_client_leaves() {
    let held = Held::<&str>::new();
    let holding = held.clone();
    let mut client = Client::new(move |_: Request| holding.wait());
    client.send(get("/"));
    let promise = held.take();
    assert!(!promise.is_cancelled());
    client.memory.lose(Disconnect::Reset);
    assert!(promise.is_cancelled());
    promise.succeed("to nobody");
    client.assert_silent();
}

#[test]
fn an_answer_to_a_request_that_was_refused_meanwhile_goes_nowhere() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |_: Request| holding.wait());
    client.send(head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"])).send("zzz");
    assert_eq!(client.answer().status, 400);
    held.release("too late");
    client.assert_silent();
    client.assert_over();
}

#[test]
fn a_request_handed_to_its_own_site_is_a_loop() {
    // A resource cannot reach its own site but through a cell.
    thread_local!(static SITE: RefCell<Option<Site>> = const { RefCell::new(None) });
    let site = site(|_: Request| {
        let inner = SITE.with_borrow(Clone::clone).expect("the site");
        let mut client = Client::of(&inner, &Clock::new());
        client.ask(get("/")).status.to_string()
    });
    SITE.set(Some(site.clone()));
    assert_eq!(Client::of(&site, &Clock::new()).ask(get("/")).text(), "508");
    SITE.set(None);
}

thread_local!(static SECONDS: Cell<u64> = const { Cell::new(1_000_000_000) });
thread_local!(static LOOKS: Cell<u32> = const { Cell::new(0) });

fn moving_clock() -> SystemTime {
    LOOKS.set(LOOKS.get() + 1);
    UNIX_EPOCH + Duration::from_secs(SECONDS.get())
}

#[test]
fn the_time_of_day_is_asked_for_once_a_second() {
    let site = Site::new(|_: Request| "hello").wall_clock(moving_clock);
    let clock = Clock::new();
    let (mut client, mut other) = (Client::of(&site, &clock), Client::of(&site, &clock));
    for _ in 0..10 {
        assert_eq!(client.ask(get("/")).field("date"), Some(DATE));
        assert_eq!(other.ask(get("/")).field("date"), Some(DATE));
    }
    assert_eq!(LOOKS.get(), 1);
    SECONDS.set(1_000_000_001);
    client.advance(Duration::from_millis(999));
    assert_eq!(client.ask(get("/")).field("date"), Some(DATE));
    client.advance(Duration::from_millis(1));
    assert_eq!(client.ask(get("/")).field("date"), Some("Sun, 09 Sep 2001 01:46:41 GMT"));
    assert_eq!(other.ask(get("/")).field("date"), Some("Sun, 09 Sep 2001 01:46:41 GMT"));
    assert_eq!(LOOKS.get(), 2);
    client.advance(secs(1));
    assert_eq!(client.ask(get("/")).status, 200);
    assert_eq!(LOOKS.get(), 3);
}

/// Heads are like those before them as far as they should be, and no further.
#[test]
fn an_answer_is_the_same_whatever_was_answered_before() {
    fn mixed(path: &str) -> Reply {
        match path {
            "/text" => "text".into_reply(),
            "/longer" => "a longer text".into_reply(),
            "/bytes" => vec![0; 4].into_reply(),
            "/untyped" => Body::from("body").into_reply(),
            "/created" => (StatusCode::CREATED, "text").into_reply(),
            "/empty" => StatusCode::NO_CONTENT.into_reply(),
            "/fields" => (HeaderMap::from_iter([(SERVER, HeaderValue::from_static("a"))]), "text")
                .into_reply(),
            _ => StatusCode::NOT_FOUND.into_reply(),
        }
    }
    let lines = ["GET {} HTTP/1.1", "HEAD {} HTTP/1.1", "GET {} HTTP/1.0"];
    let paths =
        ["/text", "/longer", "/bytes", "/untyped", "/created", "/empty", "/fields", "/none"];
    let requests: Vec<Vec<u8>> = lines
        .iter()
        .flat_map(|line| paths.map(|path| line.replace("{}", path)))
        .flat_map(|line| [head(&line, &[]), head(&line, &["Connection: close"])])
        .collect();
    let ask = |site: &Site, request: &[u8]| {
        let mut client = Memory::seat(site.server(), &Clock::new());
        client.push(request);
        client.take_sent()
    };
    for first in &requests {
        for second in &requests {
            let fresh = || site(|request: Request| mixed(request.uri().path()));
            let used = fresh();
            ask(&used, first);
            let (after, alone) = (ask(&used, second), ask(&fresh(), second));
            assert_eq!(after.escape_ascii().to_string(), alone.escape_ascii().to_string());
        }
    }
}

#[test]
fn a_request_is_changed_and_becomes_another_one() {
    let mut client = Client::new(|mut request: Request| {
        request.headers_mut().insert("x-more", HeaderValue::from_static("1"));
        *request.uri_mut() = "/b".parse().expect("a path");
        request.extensions_mut().insert(7_u8);
        let mut plain: http::Request<Incoming> = request.into();
        *plain.method_mut() = http::Method::PUT;
        let request = Request::from(plain);
        let more = &request.headers()["x-more"];
        let names = request.headers().len();
        format!(
            "{} {} {names} {more:?} {:?}",
            request.method(),
            request.uri(),
            request.extensions().get::<u8>()
        )
    });
    assert_eq!(client.ask(get("/a")).text(), "PUT /b 2 \"1\" Some(7)");
}
