//! Content that can be had in parts.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;
use ropewalk_deferred::Deferred;
use ropewalk_http::{BodyPiece, BodyStream, IntoReply as _, Representation, Request};

use crate::client::{Answer, Client, Held, head};

const TEXT: &str = "0123456789abcdefghij";

fn modified() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// Every kind of the same content.
fn kinds() -> Vec<fn() -> Representation> {
    fn pieces(range: Range<u64>) -> BodyStream {
        let mut places = range;
        BodyStream::new(move || {
            let piece = places.next().map(|place| {
                let place = place as usize;
                BodyPiece::Bytes(Bytes::from_static(&TEXT.as_bytes()[place..=place]))
            });
            Deferred::succeed(piece)
        })
    }
    vec![|| Representation::bytes(TEXT), || Representation::seekable(TEXT.len() as u64, pieces)]
}

fn furnished(representation: Representation) -> Representation {
    let plain = HeaderValue::from_static("text/plain");
    representation.content_type(plain).etag("v1").expect("a tag").modified(modified())
}

/// What each kind answers, which has to be the same.
#[track_caller]
fn ask(line: &str, fields: &[&str]) -> Answer {
    let mut answers = kinds().into_iter().map(|make| {
        let mut client = Client::new(move |request: Request| furnished(make()).answer(&request));
        if line.starts_with("HEAD") {
            client.expect_no_body();
        }
        let answer = client.ask(head(&format!("{line} / HTTP/1.1"), fields));
        client.assert_open();
        answer
    });
    let answer = answers.next().expect("a kind");
    for other in answers {
        assert_eq!((other.status, &other.body), (answer.status, &answer.body), "{line} {fields:?}");
    }
    answer
}

#[test]
fn ranges_are_cut_out() {
    let whole = ask("GET", &[]);
    assert_eq!((whole.status, whole.text()), (200, TEXT));
    assert_eq!(whole.field("accept-ranges"), Some("bytes"));
    assert_eq!(whole.field("etag"), Some("\"v1\""));
    assert_eq!(whole.field("last-modified"), Some("Sun, 09 Sep 2001 01:46:40 GMT"));
    for (range, part, place) in [
        ("bytes=0-0", "0", "bytes 0-0/20"),
        ("bytes=5-9", "56789", "bytes 5-9/20"),
        ("bytes=15-", "fghij", "bytes 15-19/20"),
        ("bytes=-3", "hij", "bytes 17-19/20"),
        ("bytes=3-5,4-8", "345678", "bytes 3-8/20"),
    ] {
        let answer = ask("GET", &[&format!("Range: {range}")]);
        assert_eq!((answer.status, answer.text()), (206, part), "{range}");
        assert_eq!(answer.field("content-range"), Some(place));
        assert_eq!(answer.field("content-type"), Some("text/plain"));
    }
    let answer = ask("GET", &["Range: bytes=20-"]);
    assert_eq!((answer.status, answer.field("content-range")), (416, Some("bytes */20")));
    for ignored in ["bytes=x", "lines=1-2"] {
        assert_eq!(ask("GET", &[&format!("Range: {ignored}")]).status, 200, "{ignored}");
    }
    let answer = ask("HEAD", &["Range: bytes=0-1"]);
    assert_eq!((answer.status, answer.field("content-length")), (200, Some("20")));
    assert_eq!(ask("POST", &["Range: bytes=0-1"]).status, 200, "ranges are for GET");
}

#[test]
fn several_ranges_are_parts() {
    for make in kinds() {
        let mut client = Client::new(move |request: Request| furnished(make()).answer(&request));
        let answer = client.ask(head("GET / HTTP/1.1", &["Range: bytes=0-1, 5-6"]));
        let kind = answer.field("content-type").expect("a type");
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("parts");
        assert_eq!(
            answer.text(),
            format!(
                "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/20\r\n\r\n01\
                 \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-6/20\r\n\r\n56\
                 \r\n--{boundary}--\r\n"
            )
        );
        assert_eq!(answer.status, 206);
        client.assert_open();
    }
}

#[test]
fn preconditions_are_looked_at_in_order() {
    let (before, at) = ("Sun, 09 Sep 2001 01:46:39 GMT", "Sun, 09 Sep 2001 01:46:40 GMT");
    let check = |status: u16, fields: &[String]| {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_eq!(ask("GET", &fields).status, status, "{fields:?}");
    };
    let field = |name: &str, value: &str| format!("{name}: {value}");
    check(200, &[field("If-Match", "\"v0\", \"v1\"")]);
    check(200, &[field("If-Match", "*")]);
    check(412, &[field("If-Match", "\"v0\"")]);
    check(412, &[field("If-Match", "W/\"v1\"")]);
    check(412, &[field("If-Unmodified-Since", before)]);
    check(200, &[field("If-Unmodified-Since", at)]);
    check(200, &[field("If-Match", "\"v1\""), field("If-Unmodified-Since", before)]);
    check(304, &[field("If-None-Match", "W/\"v1\"")]);
    check(304, &[field("If-None-Match", "*")]);
    check(304, &[field("If-Modified-Since", at)]);
    check(200, &[field("If-Modified-Since", before)]);
    check(200, &[field("If-None-Match", "\"v0\""), field("If-Modified-Since", at)]);
    check(412, &[field("If-Match", "\"v0\""), field("If-None-Match", "\"v1\"")]);
    let range = field("Range", "bytes=0-1");
    check(206, &[range.clone(), field("If-Range", "\"v1\"")]);
    check(200, &[range.clone(), field("If-Range", "\"v0\"")]);
    check(200, &[range.clone(), field("If-Range", "W/\"v1\"")]);
    check(206, &[range.clone(), field("If-Range", at)]);
    check(200, &[range.clone(), field("If-Range", before)]);
    check(304, &[range, field("If-None-Match", "\"v1\"")]);
    let unchanged = ask("GET", &["If-None-Match: \"v1\""]);
    assert_eq!(unchanged.field("etag"), Some("\"v1\""));
}

#[test]
fn what_would_be_changed_is_looked_at_too() {
    let mut client = Client::new(|request: Request| {
        match furnished(Representation::bytes(TEXT)).refuse_change(&request) {
            None => "changed".into_reply(),
            Some(refused) => refused.into_reply(),
        }
    });
    for (field, status) in [
        ("If-Match: \"v1\"", 200),
        ("If-Match: \"v0\"", 412),
        ("If-None-Match: *", 412),
        ("If-None-Match: \"v1\"", 412),
        ("If-None-Match: \"v0\"", 200),
        ("If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT", 200),
        ("If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT", 412),
    ] {
        let answer = client.ask(head("PATCH / HTTP/1.1", &[field]));
        assert_eq!(answer.status, status, "{field}");
    }
}

#[test]
fn weak_tags_give_no_ranges_of_something_else() {
    let mut client = Client::new(|request: Request| {
        let content = Representation::bytes(TEXT).weak_etag("v1").expect("a tag");
        content.answer(&request)
    });
    let answer = client.ask(head("GET / HTTP/1.1", &["Range: bytes=0-1", "If-Range: W/\"v1\""]));
    assert_eq!((answer.status, answer.field("etag")), (200, Some("W/\"v1\"")));
    assert_eq!(client.ask(head("GET / HTTP/1.1", &["If-None-Match: \"v1\""])).status, 304);
    assert_eq!(client.ask(head("GET / HTTP/1.1", &["If-Match: W/\"v1\""])).status, 412);
    for bad in ["a\"b", "a b", "\u{e4}"] {
        let error = Representation::bytes("").etag(bad).expect_err("no tag");
        assert!(error.to_string().contains("printable ASCII"), "{error}");
    }
}

#[test]
fn parts_may_come_late() {
    let held = Held::<Option<BodyPiece>>::new();
    let holding = held.clone();
    let mut client = Client::new(move |request: Request| {
        let holding = holding.clone();
        let parts = move |_: Range<u64>| {
            let holding = holding.clone();
            BodyStream::new(move || holding.wait())
        };
        Representation::seekable(10, parts).answer(&request)
    });
    client.send(head("GET / HTTP/1.1", &["Range: bytes=0-1, 8-9"]));
    for text in ["ab", "cd"] {
        held.release(Some(BodyPiece::Bytes(text.into())));
        client.memory.run();
        held.release(None);
        client.memory.run();
    }
    let answer = client.answer();
    assert!(answer.text().contains("bytes 0-1/10\r\n\r\nab\r\n--"), "{answer:?}");
    assert!(answer.text().contains("bytes 8-9/10\r\n\r\ncd\r\n--"), "{answer:?}");
    client.assert_open();
}
