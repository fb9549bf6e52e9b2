use http::{HeaderMap, Method, Version};
use ropewalk_http::{BadRequest, BodyLength, Head, HeadDecoder, Limits};

/// The head that is `text`, whole in one piece and bytewise.
#[track_caller]
fn read(text: &str) -> Result<Head, BadRequest> {
    let limits = Limits::default();
    let bytewise = || -> Result<Head, BadRequest> {
        let mut decoder = HeadDecoder::default();
        for byte in text.as_bytes().chunks(1) {
            if let Some(head) = decoder.feed(&mut &*byte, &limits)? {
                return Ok(head);
            }
        }
        panic!("the head is not whole")
    };
    let whole = HeadDecoder::default().feed(&mut text.as_bytes(), &limits);
    let whole = whole.map(|head| head.expect("a whole head"));
    assert_eq!(format!("{whole:?}"), format!("{:?}", bytewise()));
    whole
}

/// Refuses `fields` behind a request line and Host, for the reason that is `expected`.
#[track_caller]
fn check_fields(fields: &str, expected: &str) {
    check(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"), expected);
}

/// Refuses `line` with Host behind it, for the reason that is `expected`.
#[track_caller]
fn check_line(line: &str, expected: &str) {
    check(&format!("{line}\r\nHost: a\r\n\r\n"), expected);
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let bad = read(text).expect_err("a refusal");
    assert_eq!(format!("{bad:?}"), expected);
    assert!(bad.to_string().starts_with("expected "), "{bad}");
    assert!(bad.to_string().len() < 250, "{bad}");
}

#[test]
fn heads_say_what_was_sent() {
    let head = read(
        "POST /a/b?c=d HTTP/1.1\r\nHost: a.example:80\r\nX-One: \t 1 2 \t\r\n\
         x-one: 3\r\nContent-Length: 12\r\n\r\n",
    )
    .expect("a head");
    assert_eq!(head.request.method(), Method::POST);
    assert_eq!(head.request.uri().path(), "/a/b");
    assert_eq!(head.request.uri().query(), Some("c=d"));
    assert_eq!(head.request.version(), Version::HTTP_11);
    let mut expected = HeaderMap::new();
    expected.append("host", "a.example:80".parse().expect("a value"));
    expected.append("x-one", "1 2".parse().expect("a value"));
    expected.append("x-one", "3".parse().expect("a value"));
    expected.append("content-length", "12".parse().expect("a value"));
    assert_eq!(*head.request.headers(), expected);
    assert_eq!(head.body, BodyLength::Fixed(12));
    assert_eq!(head.authority(), Some("a.example:80"));
}

#[test]
fn a_whole_target_counts_more_than_host() {
    let head = read("GET http://a.example:8/b HTTP/1.1\r\nHost: c\r\n\r\n").expect("a head");
    assert_eq!(head.authority(), Some("a.example:8"));
    assert_eq!(head.request.uri().path(), "/b");
    let head = read("CONNECT a.example:443 HTTP/1.1\r\nHost: c\r\n\r\n").expect("a head");
    assert_eq!(head.authority(), Some("a.example:443"));
    assert_eq!(read("GET / HTTP/1.0\r\n\r\n").expect("a head").authority(), None);
}

#[test]
fn two_slashes_begin_a_path_and_no_host() {
    let head = read("GET //b.example/c HTTP/1.1\r\nHost: a\r\n\r\n").expect("a head");
    assert_eq!(head.request.uri().path(), "//b.example/c");
    assert_eq!(head.authority(), Some("a"));
}

#[test]
fn connections_go_on_as_version_and_connection_say() {
    let keeps = |version: &str, fields: &str| {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        read(&text).expect("a head").keep_alive
    };
    assert!(keeps("1.1", ""));
    assert!(keeps("1.1", "Connection: keep-alive\r\n"));
    assert!(!keeps("1.1", "Connection: close\r\n"));
    assert!(!keeps("1.1", "Connection: x , CLOSE\r\n"));
    assert!(!keeps("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
    assert!(keeps("1.1", "Connection: closed\r\n"));
    assert!(!keeps("1.0", ""));
    assert!(keeps("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!keeps("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn expectations_need_a_body_and_the_new_version() {
    let expects = |version: &str, fields: &str| {
        let text = format!("PUT / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        read(&text).expect("a head").expects_continue
    };
    assert!(expects("1.1", "Content-Length: 1\r\nExpect: 100-continue\r\n"));
    assert!(expects("1.1", "Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n"));
    assert!(!expects("1.1", "Expect: 100-continue\r\n"));
    assert!(!expects("1.1", "Content-Length: 1\r\n"));
    assert!(!expects("1.0", "Content-Length: 1\r\nExpect: 100-continue\r\n"));
    assert!(!expects("1.0", "Content-Length: 1\r\nExpect: tea\r\n"));
}

#[test]
fn upgrades_need_both_their_fields_and_the_new_version() {
    let wants = |version: &str, fields: &str| {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        read(&text).expect("a head").wants_upgrade
    };
    assert!(wants("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
    assert!(!wants("1.1", "Upgrade: websocket\r\n"));
    assert!(!wants("1.1", "Connection: upgrade\r\n"));
    assert!(!wants("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
}

#[test]
fn every_check_has_its_own_refusal() {
    check("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "BareCr");
    check("GET / HTTP/1.1\r\nHost: a\n\r\n", "BareLf");
    check("GET / HTTP/1.1\r\nHost: a\x0c\r\n\r\n", "ControlByte(12)");
    check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "EmptyLines");

    check_line("GET /", "BadRequestLine(\"GET /\")");
    check_line("GET  / HTTP/1.1", "BadRequestLine(\"GET  / HTTP/1.1\")");
    check_line("GET  HTTP/1.1", "BadRequestLine(\"GET  HTTP/1.1\")");
    check_line("G(T / HTTP/1.1", "BadMethod(\"G(T\")");
    check_line("GET /é HTTP/1.1", "BadTarget(\"/\\xc3\\xa9\")");
    check_line("GET http://b@a/ HTTP/1.1", "BadTarget(\"http://b@a/\")");
    check_line("CONNECT a HTTP/1.1", "BadConnectTarget(\"a\")");
    check_line("CONNECT a:0 HTTP/1.1", "BadConnectTarget(\"a:0\")");
    check_line("GET a:80 HTTP/1.1", "AuthorityTarget(\"a:80\")");
    check_line("GET * HTTP/1.1", "AsteriskTarget");
    check_line("GET / http/1.1", "BadVersion(\"http/1.1\")");
    check_line("GET / HTTP/3.0", "UnsupportedVersion(\"HTTP/3.0\")");

    check_fields("X: a\r\n b", "ObsFold");
    check_fields("X : a", "SpaceBeforeColon(\"X \")");
    check_fields(": a", "EmptyHeaderName");
    check_fields("X", "MissingColon(\"X\")");
    check_fields("X Y: a", "BadHeaderName(\"X Y\")");
    check("GET / HTTP/1.1\r\nX: a\r\n\r\n", "MissingHost");
    check_fields("Host: a", "SeveralHosts");
    check("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "BadHost(\"a/b\")");

    check_fields("Content-Length: 1\r\nTransfer-Encoding: chunked", "LengthAndCoding");
    check_fields("Content-Length: 1\r\nContent-Length: 1", "SeveralLengths");
    check_fields("Content-Length: +1", "BadLength(\"+1\")");
    let huge = "18446744073709551616";
    check_fields(&format!("Content-Length: {huge}"), &format!("HugeLength(\"{huge}\")"));
    check("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "CodingTooOld");
    check_fields("Transfer-Encoding: chunked,", "BadCoding(\"chunked,\")");
    check_fields("Transfer-Encoding: chunked, gzip", "ChunkedNotLast");
    check_fields("Transfer-Encoding: chunked, chunked", "ChunkedTwice");
    check_fields("Transfer-Encoding: gzip, chunked", "UnknownCoding(\"gzip\")");
    check_fields("Expect: tea", "UnknownExpectation(\"tea\")");

    let long = "a".repeat(9000);
    check_line(&format!("GET /{long} HTTP/1.1"), "RequestLineTooLong { max: 8192 }");
    check_fields(&format!("X: {long}\r\nX: {long}"), "HeadersTooLong { max: 16384 }");
    check_fields(&"X: a\r\n".repeat(100), "TooManyHeaders { max: 100 }");
}

#[test]
fn excerpts_are_short_and_printable() {
    let line = format!("\u{9b}2J{} / HTTP/1.1", "x".repeat(100));
    let bad = read(&format!("{line}\r\n\r\n")).expect_err("a refusal");
    let shown = format!("expected a method, got \"\\xc2\\x9b2J{}…\"", "x".repeat(34));
    assert_eq!(bad.to_string(), shown);
}

#[test]
fn the_largest_length_is_read() {
    let text = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", u64::MAX);
    assert_eq!(read(&text).expect("a head").body, BodyLength::Fixed(u64::MAX));
}

#[test]
fn limits_may_be_small_or_beyond_all_bounds() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let feed = |limits: &Limits| HeadDecoder::default().feed(&mut text.as_bytes(), limits);

    let fits = Limits {
        request_line_max: 14,
        header_block_max: 9,
        header_count_max: 1,
        ..Limits::default()
    };
    assert!(feed(&fits).is_ok());
    let refused = |limits| feed(&limits).expect_err("a refusal");
    let bad = refused(Limits { request_line_max: 13, ..fits.clone() });
    assert_eq!(bad, BadRequest::RequestLineTooLong { max: 13 });
    let bad = refused(Limits { header_block_max: 8, ..fits.clone() });
    assert_eq!(bad, BadRequest::HeadersTooLong { max: 8 });
    let bad = refused(Limits { header_count_max: 0, ..fits });
    assert_eq!(bad, BadRequest::TooManyHeaders { max: 0 });

    let all = usize::MAX;
    let endless = Limits {
        request_line_max: all,
        header_block_max: all,
        header_count_max: all,
        ..Limits::default()
    };
    let fields = "X: a\r\n".repeat(255);
    let text = format!("GET /{} HTTP/1.1\r\nHost: a\r\n{fields}", "a".repeat(60_000));
    let feed = |end| HeadDecoder::default().feed(&mut format!("{text}{end}").as_bytes(), &endless);
    assert!(feed("\r\n").is_ok());
    let bad = feed("X: a\r\n\r\n").expect_err("a refusal");
    assert_eq!(bad, BadRequest::TooManyHeaders { max: 256 });

    // A path of 64 KiB is more than the type of targets can hold.
    let text = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000));
    assert!(HeadDecoder::default().feed(&mut text.as_bytes(), &endless).is_err());
}

#[test]
fn nothing_is_kept_between_requests() {
    let limits = Limits::default();
    let mut decoder = HeadDecoder::default();
    assert!(!decoder.has_begun());
    let mut bytes = &b"GET / HTTP/1.1\r\nHost: a\r\n\r\nG"[..];
    assert!(decoder.feed(&mut bytes, &limits).is_ok_and(|head| head.is_some()));
    assert!(!decoder.has_begun());
    assert!(decoder.feed(&mut bytes, &limits).is_ok_and(|head| head.is_none()));
    assert!(decoder.has_begun());
    let mut bytes = &b"ET / HTTP/1.1\r\nHost: a\r\n\r\n"[..];
    assert!(decoder.feed(&mut bytes, &limits).is_ok_and(|head| head.is_some()));
    assert!(!decoder.has_begun());
}

#[test]
fn an_empty_line_is_no_beginning() {
    let limits = Limits::default();
    let mut decoder = HeadDecoder::default();
    assert!(decoder.feed(&mut &b"\r\n"[..], &limits).is_ok_and(|head| head.is_none()));
    assert!(!decoder.has_begun());
    let bad = decoder.feed(&mut &b"\r\n"[..], &limits).expect_err("a refusal");
    assert_eq!(bad, BadRequest::EmptyLines);

    let mut decoder = HeadDecoder::default();
    assert!(decoder.feed(&mut &b"\r\n"[..], &limits).is_ok_and(|head| head.is_none()));
    let mut bytes = &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..];
    assert!(decoder.feed(&mut bytes, &limits).is_ok_and(|head| head.is_some()));
}

#[test]
fn hosts_are_names_or_addresses() {
    let reads = |host: &str| read(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok();
    let right = [
        "a",
        "A-b.example.",
        "a_b",
        "127.0.0.1",
        "a:",
        "a:80",
        "a:65535",
        "%c3%a9",
        "[::1]",
        "[::1]:80",
        "[::ffff:1.2.3.4]",
        "[v1.a:b]",
        "[v1.:]",
        "a,b;c=d",
    ];
    let wrong = [
        "",
        ":80",
        "a:b",
        "a:65536",
        "a:000080",
        "a:80:80",
        "a:+80",
        "a b",
        "a/b",
        "a@b",
        "a\\b",
        "a?b",
        "%c3%",
        "%zz",
        "é",
        "[",
        "[]",
        "[::1",
        "[::1]a",
        "[a]",
        "[1.2.3.4]",
        "[::1%25a]",
        "[v.a]",
        "[v1.]",
        "[v1.%41]",
        "[vg.a]",
        "::1",
    ];
    assert!(right.into_iter().all(|host| reads(host) || panic!("{host} is right")));
    assert!(wrong.into_iter().all(|host| !reads(host) || panic!("{host} is wrong")));
}

#[test]
fn every_byte_that_is_taken_is_in_the_map() {
    for byte in 0..=u8::MAX {
        for (before, after) in [("x", ": v"), ("x: a", "b")] {
            let mut data = b"GET / HTTP/1.1\r\nhost: a\r\n".to_vec();
            data.extend_from_slice(before.as_bytes());
            data.push(byte);
            data.extend_from_slice(after.as_bytes());
            data.extend_from_slice(b"\r\n\r\n");
            let whole = HeadDecoder::default().feed(&mut &data[..], &Limits::default());
            let fields = whole.map(|head| head.expect("a whole head").request.headers().len());
            assert!(matches!(fields, Err(_) | Ok(2)), "{byte:#x}: {fields:?}");
        }
    }
}

#[test]
fn a_name_that_no_map_takes_is_refused() {
    let limits = Limits { header_block_max: 100_000, ..Limits::default() };
    for (length, is_taken) in [(65_535, true), (65_536, false)] {
        let name = "x".repeat(length);
        let text = format!("GET / HTTP/1.1\r\nhost: a\r\n{name}: v\r\n\r\n");
        let whole = HeadDecoder::default().feed(&mut text.as_bytes(), &limits);
        assert_eq!(whole.is_ok(), is_taken, "{length}: {whole:?}");
        if let Ok(Some(head)) = whole {
            assert_eq!(head.request.headers().len(), 2);
        }
    }
}
