//! Answers that are compressed, and those that are not.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ropewalk_deferred::Deferred;
use ropewalk_http::compress::{Coding, Compress};
use ropewalk_http::events::{Event, EventDecoder, EventGroup};
use ropewalk_http::{
    Body, BodyPiece, BodyStream, Directory, IntoReply as _, Reply, Request, Resource, files::Folder,
};
use ropewalk_trial::LaterThreads;

use crate::client::{Answer, Client, get, head, post};
use crate::directory::Files;

const ALL: &str = "Accept-Encoding: gzip, br, zstd";

fn text(length: usize) -> String {
    (0..).map(|number| format!("line {number}\n")).take(length / 8).collect()
}

#[track_caller]
fn decoded(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    match answer.field("content-encoding") {
        Some("gzip") => {
            flate2::read::MultiGzDecoder::new(&answer.body[..])
                .read_to_end(&mut plain)
                .expect("gzip");
        }
        Some("br") => {
            brotli::Decompressor::new(&answer.body[..], 4096).read_to_end(&mut plain).expect("br");
        }
        Some("zstd") => plain = zstd::decode_all(&answer.body[..]).expect("zstd"),
        None => plain.clone_from(&answer.body),
        Some(other) => panic!("nobody asked for {other}"),
    }
    plain
}

/// An answer of these fields and this body.
fn answer(fields: &[(&'static str, &'static str)], body: impl Into<Body>) -> Reply {
    let fields = fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    (fields.collect::<HeaderMap>(), body.into()).into_reply()
}

fn stream(length: Option<u64>, pieces: Vec<BodyPiece>) -> Body {
    let mut pieces = pieces.into_iter();
    let pieces = BodyStream::new(move || Deferred::succeed(pieces.next()));
    match length {
        Some(length) => Body::stream_of(length, pieces),
        None => Body::stream(pieces),
    }
}

#[test]
fn every_coding_says_the_same() {
    for length in [2_000, 200_000] {
        let body = text(length);
        let expected = body.clone();
        let page = move |_: Request| body.clone();
        let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
        for coding in ["gzip", "br", "zstd"] {
            let answer =
                client.ask(head("GET / HTTP/1.1", &[&format!("Accept-Encoding: {coding}")]));
            assert_eq!(answer.field("content-encoding"), Some(coding));
            assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
            assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
            assert!(answer.body.len() < length / 2, "{} bytes in {coding}", answer.body.len());
            assert_eq!(decoded(&answer), expected.as_bytes());
            client.assert_open();
        }
    }
}

#[test]
fn clients_choose() {
    let page = |_: Request| text(2000);
    let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
    let mut check = |field: &str, expected: Option<&str>| {
        let answer = client.ask(head("GET / HTTP/1.1", &[field]));
        assert_eq!((answer.status, answer.field("content-encoding")), (200, expected), "{field}");
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
    };
    check("Accept: */*", None);
    check("Accept-Encoding:", None);
    check("Accept-Encoding: identity", None);
    check("Accept-Encoding: *", Some("zstd"));
    check("Accept-Encoding: gzip, deflate, br", Some("br"));
    check("Accept-Encoding: x-gzip", Some("gzip"));
    check("Accept-Encoding: GZIP;q=0.5, br;q=0.4", Some("gzip"));
    check("Accept-Encoding: gzip;q=0.5, identity", None);
    check("Accept-Encoding: gzip;q=0, *", Some("zstd"));
    check("Accept-Encoding: compress", None);
    check("Accept-Encoding: zstd;q=0.001", Some("zstd"));
    for refused in ["identity;q=0", "*;q=0", "compress, identity;q=0"] {
        let answer = client.ask(head("GET / HTTP/1.1", &[&format!("Accept-Encoding: {refused}")]));
        assert_eq!((answer.status, answer.field("vary")), (406, Some("Accept-Encoding")));
    }
}

#[test]
fn what_is_better_sent_as_it_is_stays_so() {
    let unchanged =
        |fields: &'static [(&'static str, &'static str)], asked: &[&str], varies: bool| {
            let page = move |_: Request| answer(fields, text(3000));
            let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
            let got = client.ask(head("GET / HTTP/1.1", &[&[ALL], asked].concat()));
            let coding = got.field("content-encoding").filter(|coding| *coding != "x");
            assert_eq!(coding, None, "{fields:?} {asked:?}");
            assert_eq!(got.field("vary").is_some(), varies, "{fields:?} {asked:?}");
            assert_eq!(got.text(), text(3000));
        };
    unchanged(&[("content-type", "image/png")], &[], false);
    unchanged(&[], &[], false);
    unchanged(&[("content-type", "text/html"), ("content-encoding", "x")], &[], false);
    unchanged(&[("content-type", "text/html"), ("content-range", "bytes 0-2999/9000")], &[], false);
    unchanged(
        &[("content-type", "text/html"), ("cache-control", "private, No-Transform")],
        &[],
        false,
    );
    unchanged(&[("content-type", "text/html"), ("content-digest", "sha-256=:x:")], &[], false);
    unchanged(&[("content-type", "text/html"), ("set-cookie", "a=b")], &[], false);
    unchanged(&[("content-type", "text/html")], &["Cookie: session=1"], false);
    unchanged(&[("content-type", "text/html")], &["Authorization: Basic eA=="], false);

    let mut client = Client::new((|_: Request| text(500)).wrap(Compress::new().into_middleware()));
    assert_eq!(client.ask(head("GET / HTTP/1.1", &[ALL])).field("content-encoding"), None);
    for status in [StatusCode::NO_CONTENT, StatusCode::PARTIAL_CONTENT] {
        let page = move |_: Request| (status, text(3000));
        let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
        assert_eq!(client.ask(head("GET / HTTP/1.1", &[ALL])).field("content-encoding"), None);
    }
}

#[test]
fn secrets_are_compressed_where_that_is_said() {
    let public = [("content-type", "text/html"), ("cache-control", "max-age=5, public")];
    let page = move |_: Request| answer(&public, text(3000));
    let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
    let got = client.ask(head("GET / HTTP/1.1", &[ALL, "Cookie: a=b"]));
    assert_eq!(got.field("content-encoding"), Some("zstd"));

    let page =
        |_: Request| answer(&[("content-type", "text/html"), ("set-cookie", "a=b")], text(3000));
    let compress = Compress::new().even_secrets().codings([Coding::Gzip]);
    let mut client = Client::new(page.wrap(compress.into_middleware()));
    let got = client.ask(head("GET / HTTP/1.1", &[ALL, "Authorization: Basic eA=="]));
    assert_eq!(got.field("content-encoding"), Some("gzip"));
}

#[test]
fn validators_are_weak_and_ranges_are_not_offered() {
    let fields = [
        ("content-type", "text/css"),
        ("etag", "\"v1\""),
        ("accept-ranges", "bytes"),
        ("vary", "Origin"),
    ];
    let page = move |_: Request| answer(&fields, text(3000));
    let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
    let got = client.ask(head("GET / HTTP/1.1", &[ALL]));
    assert_eq!(got.field("etag"), Some("W/\"v1\""));
    assert_eq!(got.field("accept-ranges"), None);
    let varies: Vec<_> =
        got.fields.iter().filter(|(name, _)| name == "vary").map(|(_, value)| &**value).collect();
    assert_eq!(varies, ["Origin", "Accept-Encoding"]);
    client.expect_no_body();
    let got = client.ask(head("HEAD / HTTP/1.1", &[ALL]));
    assert_eq!(got.field("etag"), Some("W/\"v1\""));
    let got = client.ask(get("/"));
    assert_eq!((got.field("etag"), got.field("accept-ranges")), (Some("\"v1\""), Some("bytes")));
}

#[test]
fn streams_are_compressed_as_they_come() {
    let bytes = |size: usize| BodyPiece::Bytes(text(size).into());
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", HeaderValue::from_static("yes"));
    for length in [None, Some(3 * text(50_000).len() as u64 + text(80).len() as u64)] {
        let trailers = trailers.clone();
        let page = move |_: Request| {
            let pieces = vec![
                bytes(50_000),
                BodyPiece::Bytes(Bytes::new()),
                bytes(80),
                bytes(50_000),
                bytes(50_000),
                BodyPiece::Trailers(trailers.clone()),
            ];
            answer(&[("content-type", "text/plain")], stream(length, pieces))
        };
        let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
        for coding in ["gzip", "br", "zstd"] {
            let accepted = format!("Accept-Encoding: {coding}");
            let got = client.ask(head("GET / HTTP/1.1", &[&accepted, "TE: trailers"]));
            assert_eq!(got.field("content-encoding"), Some(coding));
            assert_eq!(got.field("content-length"), None);
            let expected = [text(50_000), text(80), text(50_000), text(50_000)].concat();
            assert_eq!(decoded(&got), expected.as_bytes(), "{coding}");
            assert_eq!(got.trailers, [("x-end".to_owned(), "yes".to_owned())]);
        }
    }
}

#[test]
fn events_reach_the_client_one_by_one() {
    let group = EventGroup::new();
    let joined = group.clone();
    let page = move |request: Request| joined.join(&request);
    let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
    client.send(head("GET / HTTP/1.1", &["Accept-Encoding: gzip"]));
    let answer = client.memory.take_sent();
    assert!(answer.escape_ascii().to_string().contains("content-encoding: gzip"));
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    let mut events = EventDecoder::default();
    for number in 0..50 {
        group.send(&Event::new(format!("event {number}")));
        client.memory.run();
        let mut sent = &client.memory.take_sent()[..];
        while let Some(end) = sent.windows(2).position(|pair| pair == b"\r\n") {
            let size = std::str::from_utf8(&sent[..end]).expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a size");
            std::io::Write::write_all(&mut decoder, &sent[end + 2..][..size]).expect("gzip");
            sent = &sent[end + 2 + size + 2..];
        }
        std::io::Write::flush(&mut decoder).expect("gzip");
        events.push(&std::mem::take(decoder.get_mut())).expect("short");
        let told = events.next().map(|told| told.data);
        assert_eq!(told, Some(format!("event {number}")), "it is there when it happens");
    }
}

#[test]
fn so_many_are_compressed_at_once_and_no_more() {
    let group = EventGroup::new();
    let joined = group.clone();
    let page = move |request: Request| joined.join(&request);
    let site = crate::client::site(page.wrap(Compress::new().at_most(2).into_middleware()));
    let clock = ropewalk_trial::Clock::new();
    let mut clients: Vec<_> = (0..3).map(|_| Client::of(&site, &clock)).collect();
    let mut is_coded = |client: &mut Client| {
        client.send(head("GET / HTTP/1.1", &[ALL]));
        client.memory.take_sent().escape_ascii().to_string().contains("content-encoding")
    };
    let coded: Vec<_> = clients.iter_mut().map(&mut is_coded).collect();
    assert_eq!(coded, [true, true, false]);
    clients.remove(0).memory.lose(ropewalk_protocol::Disconnect::Reset);
    let mut next = Client::of(&site, &clock);
    assert!(is_coded(&mut next), "there is a place again");
}

#[test]
fn a_slow_client_has_little_compressed_for_it() {
    let page = |_: Request| answer(&[("content-type", "text/plain")], noise(4_000_000));
    let mut client = Client::new(page.wrap(Compress::new().into_middleware()));
    client.memory.set_room(0);
    client.send(head("GET / HTTP/1.1", &["Accept-Encoding: gzip"]));
    let waiting = client.memory.waiting();
    assert!(waiting < 200_000, "{waiting} bytes wait");
    client.memory.set_room(u64::MAX);
    assert_eq!(decoded(&client.answer()), noise(4_000_000));
}

/// Bytes that nothing can be done about.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn files_are_compressed_by_threads_and_those_that_are_already_are_sent() {
    let long = text(300_000);
    let (page, index) = (text(2000), "plain");
    let folder = Files::new(&[
        ("long.txt", long.as_bytes()),
        ("page.html", page.as_bytes()),
        ("page.html.br", b"brotli's"),
        ("page.html.gz", b"gzip's"),
        ("index.html", index.as_bytes()),
        ("index.html.gz", b"index"),
    ]);
    let threads = LaterThreads::new();
    let served = Folder::new(folder.path()).expect("a path").precompressed(true);
    let compress = Compress::new().even_secrets().threads(threads.clone());
    let mut client =
        Client::new(Directory::new(served, threads.clone()).wrap(compress.into_middleware()));
    let mut ask = |path: &str, fields: &[&str]| {
        client.send(head(&format!("GET {path} HTTP/1.1"), fields));
        client.memory.run();
        while threads.do_one() {
            client.memory.run();
        }
        client.answer()
    };
    let got = ask("/long.txt", &["Accept-Encoding: br", "Cookie: a=b"]);
    assert_eq!(got.field("content-encoding"), Some("br"));
    assert_eq!(decoded(&got), long.as_bytes());
    assert!(got.field("etag").is_some_and(|tag| tag.starts_with("W/\"")), "{got:?}");

    let got = ask("/page.html", &[ALL]);
    assert_eq!((got.field("content-encoding"), got.text()), (Some("br"), "brotli's"));
    assert_eq!(got.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(got.field("vary"), Some("Accept-Encoding"));
    let got = ask("/page.html", &["Accept-Encoding: gzip;q=1, br;q=0.5"]);
    assert_eq!((got.field("content-encoding"), got.text()), (Some("gzip"), "gzip's"));
    let got = ask("/page.html", &["Accept-Encoding: gzip", "Range: bytes=0-3"]);
    assert_eq!(
        (got.status, got.field("content-encoding"), got.text()),
        (206, Some("gzip"), "gzip")
    );
    let got = ask("/page.html", &["Range: bytes=0-3"]);
    assert_eq!((got.status, got.field("content-encoding"), got.text()), (206, None, "line"));
    let got = ask("/page.html", &["Accept-Encoding: zstd"]);
    assert_eq!(got.field("content-encoding"), Some("zstd"), "made here, as there is none");
    assert_eq!(decoded(&got), text(2000).as_bytes());
    let got = ask("/", &[ALL]);
    assert_eq!((got.field("content-encoding"), got.text()), (Some("gzip"), "index"));

    // What is older than its original tells of another one.
    let old = std::fs::File::options().write(true).open(folder.path().join("page.html.br"));
    old.expect("the file").set_modified(std::time::UNIX_EPOCH).expect("its time");
    let got = ask("/page.html", &["Accept-Encoding: br"]);
    assert_eq!(decoded(&got), text(2000).as_bytes());
}

pub(crate) fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, plain).expect("memory");
    encoder.finish().expect("memory")
}

fn brotlied(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    encoder.write_all(bytes).expect("memory");
    encoder.into_inner()
}

fn zstded(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("memory")
}

#[test]
fn frames_of_zstd_follow_one_another_and_have_a_window() {
    let counts = |mut request: Request| {
        request.decode_body(1 << 30)?;
        let body = request.into_body().collect(1 << 30);
        Ok::<_, ropewalk_deferred::Failure>(body.map(|body| body.len().to_string()))
    };
    let ask = |body: &[u8]| {
        let mut client = Client::new(counts);
        let length = format!("Content-Length: {}", body.len());
        client.ask(
            [head("POST / HTTP/1.1", &["Content-Encoding: zstd", &length]), body.to_vec()].concat(),
        )
    };
    assert_eq!(ask(&[zstded(b"one"), zstded(b"three")].concat()).text(), "8");
    for (log, status) in [(23, 200), (24, 400)] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("memory");
        encoder.window_log(log).expect("a window");
        // What has no length has the window that was asked for.
        encoder.write_all(b"x").and_then(|()| encoder.flush()).expect("memory");
        assert_eq!(ask(&encoder.finish().expect("memory")).status, status, "{log}");
    }
}

#[test]
fn request_bodies_are_decoded_where_that_is_asked_for() {
    let counts = |mut request: Request| {
        if request.uri().path() == "/decoded" {
            request.decode_body(1_000_000)?;
        }
        let body = request.into_body().collect(10_000_000);
        Ok::<_, ropewalk_deferred::Failure>(body.map(|body| body.len().to_string()))
    };
    let ask = |path: &str, coding: &str, body: &[u8], size: usize| {
        let mut client = Client::new(counts);
        let length = body.len();
        client.send(head(
            &format!("POST {path} HTTP/1.1"),
            &[&format!("Content-Encoding: {coding}"), &format!("Content-Length: {length}")],
        ));
        for piece in body.chunks(size) {
            client.memory.push(piece);
        }
        client.memory.run();
        client.answer()
    };
    let body = gzipped(&vec![b'x'; 1_000_000]);
    for size in [1, 7, 100_000] {
        assert_eq!(ask("/decoded", "gzip", &body, size).text(), "1000000");
    }
    assert_eq!(ask("/decoded", "identity", &body, 1000).text(), body.len().to_string());
    assert_eq!(ask("/as-it-came", "gzip", &body, 1000).text(), body.len().to_string());
    assert_eq!(ask("/decoded", "gzip", &gzipped(&vec![b'x'; 1_000_001]), 1000).status, 413);
    assert_eq!(ask("/decoded", "gzip", b"what is this", 1000).status, 400);
    assert_eq!(ask("/decoded", "gzip", &body[..body.len() - 9], 1000).status, 400);
    for unknown in ["compress", "gzip, gzip", "x"] {
        let got = ask("/decoded", unknown, &body, 1000);
        let known = Some("gzip, deflate, br, zstd");
        assert_eq!((got.status, got.field("accept-encoding")), (415, known));
    }
    for (coding, encode) in [("br", &brotlied as &dyn Fn(&[u8]) -> Vec<u8>), ("zstd", &zstded)] {
        let whole = encode(&vec![b'x'; 1_000_000]);
        for size in [1, 7, 100_000] {
            assert_eq!(ask("/decoded", coding, &whole, size).text(), "1000000", "{coding}");
        }
        assert_eq!(ask("/decoded", coding, &encode(b""), 1000).text(), "0", "{coding}");
        // A few bytes of it stand for a thousand times what is wanted.
        assert_eq!(
            ask("/decoded", coding, &encode(&vec![b'x'; 10_000_000]), 1000).status,
            413,
            "{coding}"
        );
        assert_eq!(ask("/decoded", coding, b"what is this", 1000).status, 400, "{coding}");
        assert_eq!(
            ask("/decoded", coding, &whole[..whole.len() - 2], 1000).status,
            400,
            "{coding}"
        );
        let more = [&whole[..], b"more"].concat();
        assert_eq!(ask("/decoded", coding, &more, 1000).status, 400, "{coding}");
    }
    let mut client = Client::new(counts);
    assert_eq!(client.ask(post("/decoded", b"plain")).text(), "5");
}
