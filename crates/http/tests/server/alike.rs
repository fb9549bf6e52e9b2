//! What a server remembers of requests changes nothing for those that come after them.

use std::cell::RefCell;
use std::rc::Rc;

use http::header::ACCEPT;
use proptest::collection::vec;
use proptest::prelude::*;
use ropewalk_http::{Limits, Request, Site};
use ropewalk_trial::{Clock, Memory};

use crate::client::site;
use crate::corpus;

fn mirror() -> Site {
    site(|request: Request| {
        format!(
            "{} {} {:?} {:?}",
            request.method(),
            request.uri(),
            request.version(),
            request.headers()
        )
    })
}

/// What a client of its own is answered.
fn answer(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut client = Memory::seat(site.server(), &Clock::new());
    client.push(bytes);
    client.take_sent()
}

#[track_caller]
fn check(said_before: &[u8], bytes: &[u8]) {
    let site = mirror();
    answer(&site, said_before);
    let [after, alone] = [&site, &mirror()].map(|site| answer(site, bytes));
    let shown = [&alone, &after].map(|answer| String::from_utf8_lossy(answer));
    assert_eq!(alone, after, "{shown:#?} to {:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn what_deceives_a_server_does_so_no_better_after_the_like_of_it() {
    for case in corpus::cases() {
        let fields = case.bytes.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for line in ["GET / HTTP/1.1\r\n", "GET /a HTTP/1.0\r\n", "POST / HTTP/1.1\r\n"] {
            check(&[line.as_bytes(), &case.bytes[fields..]].concat(), &case.bytes);
        }
        check(&case.bytes, &case.bytes);
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &case.bytes);
    }
}

#[test]
fn a_request_that_is_kept_keeps_its_own_fields() {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keeper = Rc::clone(&kept);
    let site = site(move |request: Request| {
        keeper.borrow_mut().push(request);
        "kept"
    });
    for accept in ["a/a", "a/a", "bb/bb", "a/a", "c/c"] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
        assert!(answer(&site, head.as_bytes()).ends_with(b"kept"));
    }
    let kept = kept.borrow();
    let accepted: Vec<_> = kept.iter().map(|request| &request.headers()[ACCEPT]).collect();
    assert_eq!(accepted, ["a/a", "a/a", "bb/bb", "a/a", "c/c"]);
}

#[test]
fn clients_who_speak_in_turn_are_not_taken_for_each_other() {
    let site = mirror();
    let mut clients: Vec<_> =
        (0..200).map(|_| Memory::seat(site.server(), &Clock::new())).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            let path = format!("/{number}/{round}");
            client.push(format!("GET {path} HTTP/1.1\r\nHost: {number}\r\n\r\n").as_bytes());
            let answer = client.take_sent();
            let expected = format!("GET {path} HTTP/1.1 {{\"host\": \"{number}\"}}");
            assert!(answer.ends_with(expected.as_bytes()), "{}", answer.escape_ascii());
        }
    }
}

#[test]
fn long_fields_are_read_as_often_as_they_come() {
    let site = mirror();
    for length in [4000, 4096, 5000, 5000, 4096, 4000, 15_000] {
        let head = head_with(&"b".repeat(length));
        assert!(answer(&site, &head).ends_with(&[b"b".repeat(length), b"\"}".to_vec()].concat()));
        let head = head_with(&"c".repeat(length));
        assert!(answer(&site, &head).ends_with(&[b"c".repeat(length), b"\"}".to_vec()].concat()));
    }
}

fn head_with(value: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: {0}\r\nAccept: {value}\r\n\r\n", "a".repeat(300)).into_bytes()
}

#[test]
fn a_request_line_is_no_longer_for_what_came_before_it() {
    let get = |length: usize| {
        let path = "a".repeat(length - "GET / HTTP/1.1".len());
        format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    };
    let site = mirror().limits(Limits { request_line_max: 40, ..Limits::default() });
    assert!(answer(&site, &get(20)).starts_with(b"HTTP/1.1 200 "));
    assert!(answer(&site, &get(40)).starts_with(b"HTTP/1.1 200 "));
    assert!(answer(&site, &get(41)).starts_with(b"HTTP/1.1 414 "));
}

/// Few words, so that many heads are nearly the same.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec!["GET", "GET", "GET", "HEAD", "POST", "CONNECT", "get"]);
    let target = prop::sample::select(vec![
        "/",
        "/",
        "/a?b",
        "",
        "*",
        "/\"",
        "/%2",
        "http://b/",
        "a:1",
        "/ /",
        "/\u{e9}",
    ]);
    let version = prop::sample::select(vec![
        " HTTP/1.1\r\n",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/1.1\n",
        "  HTTP/1.1\r\n",
        " HTTP/2.0\r\n",
    ]);
    let field = prop::sample::select(vec![
        "Host: a\r\n",
        "Host: a\r\n",
        "Host: b\r\n",
        "Accept: a\r\n",
        "Accept: a\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Accept : a\r\n",
        " a\r\n",
        "Accept: a\n",
    ]);
    (method, target, version, vec(field, 0..4), prop::sample::select(vec!["\r\n", "\r\n", "\n"]))
        .prop_map(|(method, target, version, fields, end)| {
            format!("{method} {target}{version}{}{end}", fields.concat()).into_bytes()
        })
}

proptest! {
    #[test]
    fn each_head_says_the_same_after_any_others(heads in vec(head(), 1..8)) {
        let site = mirror();
        for head in &heads {
            prop_assert_eq!(answer(&site, head), answer(&mirror(), head));
        }
    }
}

#[test]
fn a_field_is_the_same_with_a_map_and_without() {
    let site = Site::new(|request: Request| {
        let names = ["host", "X-A", "x-ab", "x-", "x-empty", "x-none", "HOST"];
        let of = |name: &str| request.field(name).map(<[u8]>::to_vec);
        let without = names.map(of);
        let mapped = names.map(|name| request.headers().get(name).map(|it| it.as_bytes().to_vec()));
        assert_eq!(without, mapped);
        assert_eq!(names.map(of), mapped);
        format!(
            "{:?}",
            without.map(|value| value.map(|it| String::from_utf8_lossy(&it).into_owned()))
        )
    });
    let mut client = Memory::seat(site.server(), &Clock::new());
    client.push(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Ab:2\r\nx-a: \t first of it \r\nX-A: second\r\nX-Empty:\r\n\r\n",
    );
    let answer = String::from_utf8(client.take_sent()).expect("text");
    let expected =
        r#"[Some("a"), Some("first of it"), Some("2"), None, Some(""), None, Some("a")]"#;
    assert!(answer.ends_with(expected), "{answer}");
}
