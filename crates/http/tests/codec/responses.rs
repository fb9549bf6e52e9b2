use http::{HeaderMap, HeaderName, StatusCode};
use ropewalk_http::{
    Asked, BadBody, BodySize, BodyWriter, Date, DateCache, Framing, HeadDecoder, Limits, SentAs,
    encode_head,
};

/// What this request asks for.
#[track_caller]
fn asked(line: &str, fields: &str) -> Asked {
    let text = format!("{line}\r\nHost: a\r\n{fields}\r\n");
    let head = HeadDecoder::default().feed(&mut text.as_bytes(), &Limits::default());
    Asked::by(&head.expect("a right head").expect("a whole head"))
}

fn get() -> Asked {
    asked("GET / HTTP/1.1", "")
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, value.parse().expect("a value"));
    }
    headers
}

/// Writes a head, takes the date off it, and checks what is left.
#[track_caller]
fn check(
    asked: Asked,
    status: u16,
    fields: &[(&str, &str)],
    size: BodySize,
    expected: &str,
    framing: (SentAs, bool),
) {
    let mut out = Vec::new();
    let status = StatusCode::from_u16(status).expect("a status");
    let date = Date::at(784_111_777);
    let got = encode_head(&mut out, asked, status, &headers(fields), size, &date);
    let text = String::from_utf8(out).expect("text");
    assert_eq!(text.replacen("date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "", 1), expected);
    assert_eq!(got, Framing { body: framing.0, keep_alive: framing.1 });
}

#[test]
fn the_form_follows_size_and_version() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let old = asked("GET / HTTP/1.0", "");
    let old_kept = asked("GET / HTTP/1.0", "Connection: keep-alive\r\n");
    let closed = asked("GET / HTTP/1.1", "Connection: close\r\n");
    let (five, unknown) = (BodySize::Known(5), BodySize::Unknown);
    let (fixed, chunked, until_close) = (SentAs::Fixed(5), SentAs::Chunked, SentAs::UntilClose);
    let length = "content-length: 5\r\n";
    let close = "connection: close\r\n";
    let keep = "connection: keep-alive\r\n";
    let coding = "transfer-encoding: chunked\r\n";

    check(get(), 200, &[], five, &format!("{ok}{length}\r\n"), (fixed, true));
    check(closed, 200, &[], five, &format!("{ok}{length}{close}\r\n"), (fixed, false));
    check(get().and_close(), 200, &[], five, &format!("{ok}{length}{close}\r\n"), (fixed, false));
    check(old, 200, &[], five, &format!("{ok}{length}{close}\r\n"), (fixed, false));
    check(old_kept, 200, &[], five, &format!("{ok}{length}{keep}\r\n"), (fixed, true));

    check(get(), 200, &[], unknown, &format!("{ok}{coding}\r\n"), (chunked, true));
    check(closed, 200, &[], unknown, &format!("{ok}{coding}{close}\r\n"), (chunked, false));
    check(old, 200, &[], unknown, &format!("{ok}{close}\r\n"), (until_close, false));
    check(old_kept, 200, &[], unknown, &format!("{ok}{close}\r\n"), (until_close, false));
}

#[test]
fn some_answers_have_no_body() {
    let nothing = (SentAs::Nothing, true);
    let head = asked("HEAD / HTTP/1.1", "");
    let connect = asked("CONNECT a:1 HTTP/1.1", "");
    let (five, unknown) = (BodySize::Known(5), BodySize::Unknown);
    let own = [("content-length", "7")];

    check(get(), 204, &own, five, "HTTP/1.1 204 No Content\r\n\r\n", nothing);
    check(get(), 304, &[], five, "HTTP/1.1 304 Not Modified\r\n\r\n", nothing);
    let expected = "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n";
    check(get(), 304, &own, unknown, expected, nothing);
    let expected = "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n";
    check(get(), 205, &[], five, expected, nothing);
    check(connect, 200, &own, five, "HTTP/1.1 200 OK\r\n\r\n", nothing);
    let expected = "HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\n\r\n";
    check(connect, 403, &[], five, expected, (SentAs::Fixed(5), true));

    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    check(head, 200, &[], five, expected, nothing);
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n";
    check(head, 200, &own, BodySize::Known(0), expected, nothing);
    check(head, 200, &[], BodySize::Known(0), "HTTP/1.1 200 OK\r\n\r\n", nothing);
    check(head, 200, &[], unknown, "HTTP/1.1 200 OK\r\n\r\n", nothing);
    // Without a body nothing has to end it.
    let old = asked("HEAD / HTTP/1.0", "Connection: keep-alive\r\n");
    let expected = "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\n";
    check(old, 200, &[], unknown, expected, nothing);
}

#[test]
fn answerers_cannot_contradict_the_codec() {
    let (five, unknown) = (BodySize::Known(5), BodySize::Unknown);
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    let own = [("content-length", "7"), ("transfer-encoding", "chunked")];
    check(get(), 200, &own, five, expected, (SentAs::Fixed(5), true));
    let expected = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n";
    check(get(), 200, &own, unknown, expected, (SentAs::Fixed(7), true));
    let own = [("connection", "x, Close"), ("content-length", "-7")];
    let expected = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    check(get(), 200, &own, unknown, expected, (SentAs::Chunked, false));
}

#[test]
fn own_fields_go_out_as_they_are() {
    let own = [("x-a", "1"), ("x-a", "2"), ("date", "today")];
    let expected = "HTTP/1.1 404 Not Found\r\nx-a: 1\r\nx-a: 2\r\ndate: today\r\n\
                    content-length: 18446744073709551615\r\n\r\n";
    let size = u64::MAX;
    check(get(), 404, &own, BodySize::Known(size), expected, (SentAs::Fixed(size), true));
    let expected = "HTTP/1.1 799 \r\ncontent-length: 0\r\n\r\n";
    check(get(), 799, &[], BodySize::Known(0), expected, (SentAs::Fixed(0), true));
}

#[test]
fn informational_answers_are_just_their_fields() {
    let nothing = (SentAs::Nothing, true);
    let own = [("connection", "upgrade"), ("upgrade", "websocket")];
    let expected = "HTTP/1.1 101 Switching Protocols\r\n\
                    connection: upgrade\r\nupgrade: websocket\r\n\r\n";
    check(get(), 101, &own, BodySize::Unknown, expected, nothing);
    let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    check(get(), 103, &[("link", "</a>")], BodySize::Unknown, expected, nothing);
    let mut out = Vec::new();
    let (none, date) = (HeaderMap::new(), Date::at(0));
    encode_head(&mut out, get(), StatusCode::CONTINUE, &none, BodySize::Unknown, &date);
    assert_eq!(out, ropewalk_http::CONTINUE);
}

#[test]
fn every_registered_status_has_its_line() {
    for code in 100..600 {
        let status = StatusCode::from_u16(code).expect("a status");
        let Some(reason) = status.canonical_reason() else { continue };
        let mut out = Vec::new();
        let (none, date) = (HeaderMap::new(), Date::at(0));
        encode_head(&mut out, get(), status, &none, BodySize::Known(0), &date);
        let text = String::from_utf8(out).expect("text");
        let (line, _) = text.split_once("\r\n").expect("a line");
        // The other side of this comparison has older names, and one without its hyphen.
        let reason = match code {
            203 => "Non-Authoritative Information",
            413 => "Content Too Large",
            422 => "Unprocessable Content",
            _ => reason,
        };
        assert_eq!(line, format!("HTTP/1.1 {code} {reason}"));
    }
}

#[test]
fn bytes_may_go_to_a_closure() {
    let mut sum = 0;
    let mut out = |bytes: &[u8]| sum += bytes.len();
    let (none, date) = (HeaderMap::new(), Date::at(0));
    encode_head(&mut out, get(), StatusCode::OK, &none, BodySize::Known(0), &date);
    assert_eq!(sum, "HTTP/1.1 200 OK\r\n".len() + 37 + "content-length: 0\r\n\r\n".len());
}

/// What goes out when `pieces` are written.
fn written(sent_as: SentAs, pieces: &[&str], trailers: &[(&str, &str)]) -> Result<String, BadBody> {
    let mut out = Vec::new();
    let mut body = BodyWriter::new(sent_as);
    for piece in pieces {
        body.write(&mut out, piece.as_bytes())?;
    }
    body.finish_with(&mut out, &headers(trailers))?;
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn bodies_go_out_as_the_head_said() {
    let check = |sent_as, pieces: &[&str], trailers: &[(&str, &str)], expected: &str| {
        assert_eq!(written(sent_as, pieces, trailers).as_deref(), Ok(expected));
    };
    let fields = [("x-sum", "1"), ("content-length", "5")];
    check(SentAs::Nothing, &["ab"], &fields, "");
    check(SentAs::UntilClose, &["ab", "", "c"], &fields, "abc");
    check(SentAs::Fixed(3), &["ab", "", "c"], &fields, "abc");
    check(SentAs::Fixed(0), &[], &[], "");
    let expected = "2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
    check(SentAs::Chunked, &["ab", "", "0123456789abcdef"], &[], expected);
    check(SentAs::Chunked, &[], &fields, "0\r\nx-sum: 1\r\n\r\n");
}

#[test]
fn bodies_are_as_long_as_the_head_said() {
    let over = Err(BadBody::TooLong { over: 1 });
    assert_eq!(written(SentAs::Fixed(3), &["ab", "cd"], &[]), over);
    assert_eq!(written(SentAs::Fixed(3), &["ab"], &[]), Err(BadBody::TooShort { under: 1 }));
}

#[test]
fn pieces_may_go_out_by_another_way() {
    let mut out = Vec::new();
    let mut body = BodyWriter::new(SentAs::Chunked);
    assert_eq!(body.begin(&mut out, 0x00ab_cdef_0123), Ok(true));
    body.end(&mut out);
    assert_eq!(out, b"abcdef0123\r\n\r\n");
    assert_eq!(body.begin(&mut out, 0), Ok(false));
    assert_eq!(BodyWriter::new(SentAs::Nothing).begin(&mut out, 5), Ok(false));
    assert_eq!(out, b"abcdef0123\r\n\r\n");
}

#[test]
fn dates_change_with_the_second() {
    let mut cache = DateCache::default();
    let check = |cache: &mut DateCache, second, expected: &str| {
        assert_eq!(cache.at(second).to_string(), expected);
        assert_eq!(cache.at(second).as_bytes(), expected.as_bytes());
    };
    check(&mut cache, 0, "Thu, 01 Jan 1970 00:00:00 GMT");
    check(&mut cache, 784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
    check(&mut cache, 784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT");
    check(&mut cache, 951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
    check(&mut cache, u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
}
