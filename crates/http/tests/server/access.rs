//! What the log is told: each answer once.

use std::time::Duration;

use http::{StatusCode, Version};
use ropewalk_http::{Access, Body, IntoReply, Limits, Request, Site};
use ropewalk_protocol::{Address, Disconnect};
use ropewalk_trial::Clock;

use crate::client::{Client, Held, Seen, chunk, get, head, post, secs, site};

/// What was logged: method, path, status, bytes, seconds.
type Line = (String, String, u16, u64, u64);

struct Log {
    site: Site,
    seen: Seen<Access>,
    held: Held<&'static str>,
}

impl Log {
    fn new() -> Self {
        let (seen, held) = (Seen::new(), Held::new());
        let (noted, holding) = (seen.clone(), held.clone());
        let site = site(move |request: Request| match request.uri().path() {
            "/later" => holding.wait().into_reply(),
            "/stream" => {
                let holding = holding.clone();
                let next = move || holding.wait().map(|text| Some(bytes::Bytes::from(text).into()));
                let pieces = ropewalk_http::BodyStream::new(next);
                Body::stream_of(10, pieces).into_reply()
            }
            "/collect" => request.into_body().collect(100).map(|_| "collected").into_reply(),
            "/nothing" => StatusCode::NO_CONTENT.into_reply(),
            _ => "hello".into_reply(),
        });
        let limits = Limits { body_max: Some(1000), ..Limits::default() };
        let site = site.limits(limits).on_access(move |access| noted.push(access.clone()));
        Self { site, seen, held }
    }

    fn client(&self) -> Client {
        Client::of(&self.site, &Clock::new())
    }

    fn lines(&self) -> Vec<Line> {
        let line = |access: Access| {
            let method = access.method.map_or("-".to_owned(), |method| method.to_string());
            let uri = access.uri.map_or("-".to_owned(), |uri| uri.to_string());
            (method, uri, access.status.as_u16(), access.sent, access.took.as_secs())
        };
        self.seen.take().into_iter().map(line).collect()
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, &str, u16, u64, u64)]) {
        let lines = self.lines();
        let lines: Vec<_> = lines
            .iter()
            .map(|(method, uri, status, sent, took)| {
                (method.as_str(), uri.as_str(), *status, *sent, *took)
            })
            .collect();
        assert_eq!(lines, expected);
    }
}

#[test]
fn an_answer_is_logged_with_all_that_was_asked() {
    let log = Log::new();
    log.client().send(b"GET /a?b HTTP/1.0\r\nUser-Agent: test\r\n\r\n");
    let access = log.seen.take().remove(0);
    assert_eq!(access.peer, Address::Memory("peer".to_owned()));
    assert_eq!(access.method.as_ref().map(http::Method::as_str), Some("GET"));
    assert_eq!(access.uri.as_ref().map(ToString::to_string).as_deref(), Some("/a?b"));
    assert_eq!(access.version, Version::HTTP_10);
    assert_eq!(access.headers["user-agent"], "test");
    assert_eq!(access.status, StatusCode::OK);
    assert_eq!(access.sent, 5);
    assert_eq!(access.took, Duration::ZERO);
}

#[test]
fn answers_of_all_kinds_are_logged_once() {
    let log = Log::new();
    let mut client = log.client();
    client.send(get("/a")).send(head("HEAD /b HTTP/1.1", &[])).send(get("/nothing"));
    log.check(&[
        ("GET", "/a", 200, 5, 0),
        ("HEAD", "/b", 200, 0, 0),
        ("GET", "/nothing", 204, 0, 0),
    ]);

    client.send([get("/later"), get("/next")].concat()).advance(secs(3));
    log.check(&[]);
    log.held.release("four");
    client.memory.run();
    log.check(&[("GET", "/later", 200, 4, 3), ("GET", "/next", 200, 5, 0)]);

    client.send(post("/collect", b"body"));
    log.check(&[("POST", "/collect", 200, 9, 0)]);
    client.send(post("/unwanted", &[b'x'; 999]));
    log.check(&[("POST", "/unwanted", 200, 5, 0)]);

    client.send(get("/later"));
    log.held.take().fail(ropewalk_deferred::Failure::new("broken"));
    client.memory.run();
    log.check(&[("GET", "/later", 500, 26, 0)]);

    client.send(get("/stream"));
    log.held.release("12345");
    client.advance(secs(2));
    log.held.release("67890");
    client.memory.run();
    log.check(&[]);
    // The end is asked for only now, and is one piece too many.
    client.memory.lose(Disconnect::Reset);
    log.check(&[("GET", "/stream", 200, 10, 2)]);
}

#[test]
fn what_was_refused_is_logged() {
    let log = Log::new();
    let plain = |status: u16, text: &str| format!("{status} {text}\n").len() as u64;

    log.client().send(b"GET / HTTP/3.0\r\n\r\n");
    let line = log.lines().remove(0);
    assert_eq!((line.0.as_str(), line.1.as_str(), line.2), ("-", "-", 505));
    assert!(line.3 > 0);

    log.client().send("GET").advance(secs(60));
    log.check(&[("-", "-", 408, plain(408, "Request Timeout"), 0)]);

    log.client().send(head("POST /a HTTP/1.1", &["Content-Length: 1001"]));
    let line = log.lines().remove(0);
    assert_eq!((line.0.as_str(), line.1.as_str(), line.2), ("POST", "/a", 413));

    let mut client = log.client();
    client.send(head("POST /collect HTTP/1.1", &["Transfer-Encoding: chunked"]));
    client.send(chunk(b"abc")).advance(secs(2)).send("zzz");
    let line = log.lines().remove(0);
    assert_eq!((line.0.as_str(), line.1.as_str(), line.2, line.4), ("POST", "/collect", 400, 2));

    let mut client = log.client();
    client.send(head("POST /collect HTTP/1.1", &["Content-Length: 1000"])).advance(secs(60));
    log.check(&[("POST", "/collect", 408, plain(408, "Request Timeout"), 6)]);
}

#[test]
fn answers_that_broke_off_are_logged() {
    let log = Log::new();
    let mut client = log.client();
    client.send(get("/later")).advance(secs(5));
    client.memory.lose(Disconnect::Reset);
    log.check(&[("GET", "/later", 499, 0, 5)]);

    let mut client = log.client();
    client.send(get("/stream"));
    drop(log.held.take());
    log.held.release("123");
    client.advance(secs(1)).memory.lose(Disconnect::Reset);
    log.check(&[("GET", "/stream", 200, 3, 1)]);
}

#[test]
fn connections_without_requests_are_not_logged() {
    let log = Log::new();
    log.client().advance(secs(100));
    let mut client = log.client();
    client.send("GET / HT");
    client.memory.eof();
    log.check(&[]);
}

#[test]
fn what_is_asked_for_under_https_is_not_answered_in_clear() {
    let whole = |request: Request| request.uri().to_string();
    let ask = |site: &ropewalk_http::Site,
               tls: Option<ropewalk_protocol::TlsInfo>,
               target: &str| {
        let seat = ropewalk_protocol::seat(site.server());
        let mut memory = ropewalk_trial::Memory::with_tls(seat, &ropewalk_trial::Clock::new(), tls);
        memory.push(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        String::from_utf8(memory.take_sent()).expect("text")[9..12].to_owned()
    };
    let site = crate::client::site(whole);
    let tls = Some(ropewalk_protocol::TlsInfo::default());
    assert_eq!(ask(&site, None, "https://a/x"), "421");
    assert_eq!(ask(&site, None, "HTTPS://a/"), "421");
    assert_eq!(ask(&site, tls, "https://a/x"), "200");
    assert_eq!(ask(&site, None, "http://a/x"), "200");
    let site = crate::client::site(whole).trust_schemes();
    assert_eq!(ask(&site, None, "https://a/x"), "200");
}
