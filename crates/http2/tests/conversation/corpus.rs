//! What clients and servers must not send, and what becomes of each.

use std::time::Duration;

use ropewalk_http2::frame::PREFACE;
use ropewalk_http2::{Connection, Event, Limits};

use crate::frames::raw;

/// An event in words.
pub(crate) fn say(event: &Event<'_>) -> String {
    let end = |is_end: &bool| if *is_end { ", end" } else { "" };
    match event {
        Event::Request { stream, head, is_end } => {
            let text = |part: Option<&[u8]>| part.unwrap_or_default().escape_ascii().to_string();
            let (method, end) = (&head.method, end(is_end));
            let scheme = text(head.scheme.as_deref());
            let authority = head.authority.as_ref().map_or("", |authority| authority.as_str());
            let path = head.path.as_ref().map_or("", |path| path.as_str());
            format!("{method} {scheme}://{authority}{path} on {stream}{end}")
        }
        Event::TooLarge { stream } => format!("too large on {stream}"),
        Event::Response { stream, head, is_end } => {
            format!("{} on {stream}{}", head.status.as_u16(), end(is_end))
        }
        Event::Data { stream, data, is_end } => {
            format!("\"{}\" on {stream}{}", data.escape_ascii(), end(is_end))
        }
        Event::Trailers { stream, fields } => {
            let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                format!("{name}: {} ", value.as_bytes().escape_ascii())
            };
            format!("{}behind {stream}", fields.iter().map(line).collect::<String>())
        }
        Event::Reset { stream, why } => format!("{stream} reset: {why}"),
        Event::Writable => "writable".to_owned(),
        Event::GoAway { last, code } => format!("goes away behind {last}: {code}"),
        Event::Settings => "settings".to_owned(),
        Event::Pong { data } => format!("pong {}", data.escape_ascii()),
        other => format!("{other:?}"),
    }
}

/// A literal field that no table keeps.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let (name_len, value_len) = (name.len() as u8, value.len() as u8);
    assert!(name_len < 127 && value_len < 127);
    [&[0, name_len], name.as_bytes(), &[value_len], value.as_bytes()].concat()
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// GET https, path /.
const GET: &[u8] = &[0x82, 0x87, 0x84];
const POST: &[u8] = &[0x83, 0x87, 0x84];

fn get(fields: &[(&str, &str)]) -> Vec<u8> {
    raw(1, 5, 1, &[GET, &block(fields)].concat())
}

fn post(fields: &[(&str, &str)]) -> Vec<u8> {
    raw(1, 4, 1, &[POST, &block(fields)].concat())
}

/// What an end says of octets in pieces of `size`, and what it answers, resets and farewells in
/// words.
fn converse(mut end: Connection, octets: &[u8], size: usize) -> Vec<String> {
    let (mut said, mut out) = (Vec::new(), Vec::new());
    end.greet(&mut out);
    out.clear();
    let mut body: Option<(u32, Vec<u8>)> = None;
    'all: for mut input in octets.chunks(size) {
        loop {
            match end.next(&mut input, Duration::ZERO, &mut out) {
                // Bodies come as they come; joined, they are the same.
                Ok(Some(Event::Data { stream, data, is_end })) => {
                    let joined = &mut body.get_or_insert((stream, Vec::new())).1;
                    joined.extend_from_slice(data);
                    if is_end && let Some((stream, data)) = body.take() {
                        said.push(say(&Event::Data { stream, data: &data, is_end }));
                    }
                }
                Ok(Some(event)) => said.push(say(&event)),
                Ok(None) => break,
                Err(fatal) => {
                    said.push(format!("{}: {fatal}", fatal.code()));
                    break 'all;
                }
            }
        }
    }
    let mut answers = &out[..];
    while let [_, _, len, kind, _, a, b, c, d, rest @ ..] = answers {
        let stream = u32::from_be_bytes([*a, *b, *c, *d]);
        let number =
            |at: usize| u32::from_be_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        match kind {
            3 => said.push(format!("> reset {stream} {:#x}", number(0))),
            7 => said.push(format!("> goaway {} {:#x}", number(0), number(4))),
            _ => (),
        }
        answers = &rest[usize::from(*len)..];
    }
    said
}

#[track_caller]
fn check(make: impl Fn() -> Connection, first: &[u8], octets: &[u8], expected: &[&str]) {
    let input = [first, &raw(4, 0, 0, b""), octets].concat();
    for size in [input.len(), 1, 2, 7, 13] {
        let said = converse(make(), &input, size);
        assert_eq!(said[0], "settings");
        assert_eq!(said[1..], *expected, "in pieces of {size}");
    }
}

/// What a server says of a client's octets.
#[track_caller]
fn server(octets: &[u8], expected: &[&str]) {
    check(|| Connection::server(Limits::default()), PREFACE, octets, expected);
}

#[test]
fn requests_that_are_none_are_reset() {
    #[track_caller]
    fn malformed(octets: &[u8]) {
        server(octets, &["> reset 1 0x1"]);
    }
    malformed(&raw(1, 5, 1, b""));
    malformed(&raw(1, 5, 1, &[0x82]));
    malformed(&raw(1, 5, 1, &[0x82, 0x87]));
    malformed(&raw(1, 5, 1, &[0x87, 0x84]));
    malformed(&raw(1, 5, 1, &[0x82, 0x82, 0x87, 0x84]));
    malformed(&raw(1, 5, 1, &[0x88, 0x82, 0x87, 0x84]));
    malformed(&get(&[(":unknown", "x")]));
    malformed(&get(&[("Capital", "x")]));
    malformed(&get(&[("with space", "x")]));
    malformed(&get(&[("", "x")]));
    malformed(&get(&[("x", " leading")]));
    malformed(&get(&[("x", "trailing\t")]));
    malformed(&get(&[("x", "a\nb")]));
    malformed(&get(&[("x", "a\rb")]));
    malformed(&get(&[("x", "a\0b")]));
    malformed(&get(&[("x", "y"), (":authority", "late")]));
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        malformed(&get(&[(name, "x")]));
    }
    malformed(&get(&[("te", "gzip")]));
    malformed(&get(&[(":authority", "a"), ("host", "b")]));
    malformed(&get(&[("host", "a"), ("host", "a")]));
    malformed(&get(&[(":authority", "user@a")]));
    malformed(&get(&[(":authority", "a b")]));
    malformed(&get(&[(":protocol", "websocket")]));
    malformed(&get(&[("content-length", "1")]));
    malformed(&get(&[("content-length", "+0")]));
    malformed(&get(&[("content-length", "0"), ("content-length", "1")]));
    malformed(&get(&[("content-length", "99999999999999999999")]));
    let method = |method: &str, rest: &[(&str, &str)]| {
        raw(1, 5, 1, &[block(&[(":method", method)]), block(rest)].concat())
    };
    malformed(&method("", &[(":scheme", "https"), (":path", "/")]));
    malformed(&method("A B", &[(":scheme", "https"), (":path", "/")]));
    malformed(&method("GET", &[(":scheme", "1ttp"), (":path", "/")]));
    malformed(&method("GET", &[(":scheme", "https"), (":path", "")]));
    malformed(&method("GET", &[(":scheme", "https"), (":path", "*")]));
    malformed(&method("GET", &[(":scheme", "https"), (":path", "x")]));
    malformed(&method("GET", &[(":scheme", "https"), (":path", "/#part")]));
    malformed(&method("GET", &[(":scheme", "https"), (":path", "/a b")]));
    malformed(&method("CONNECT", &[]));
    malformed(&method("CONNECT", &[(":authority", "a:1"), (":scheme", "https")]));
    malformed(&method("CONNECT", &[(":authority", "a:1"), (":path", "/")]));
    malformed(&method("CONNECT", &[(":protocol", "websocket"), (":authority", "a")]));
}

#[test]
fn requests_that_are_some_are_told() {
    server(&get(&[("te", "trailers")]), &["GET https:/// on 1, end"]);
    server(&get(&[("host", "a")]), &["GET https://a/ on 1, end"]);
    server(&get(&[(":authority", "a"), ("host", "A")]), &["GET https://a/ on 1, end"]);
    server(&get(&[("content-length", "0"), ("content-length", "0")]), &["GET https:/// on 1, end"]);
    let connect = block(&[(":method", "CONNECT"), (":authority", "a:1")]);
    server(&raw(1, 4, 1, &connect), &["CONNECT ://a:1 on 1"]);
    let extended =
        [connect, block(&[(":scheme", "https"), (":path", "/"), (":protocol", "x")])].concat();
    server(&raw(1, 4, 1, &extended), &["CONNECT https://a:1/ on 1"]);
    let options = block(&[(":method", "OPTIONS"), (":scheme", "https"), (":path", "*")]);
    server(&raw(1, 5, 1, &options), &["OPTIONS https://* on 1, end"]);
}

#[test]
fn bodies_have_the_length_that_was_announced() {
    let wrong =
        "1 reset: the message was malformed: the body does not have the length that was announced";
    let whole = [post(&[("content-length", "3")]), raw(0, 1, 1, b"abc")].concat();
    server(&whole, &["POST https:/// on 1", "\"abc\" on 1, end"]);
    let short = [post(&[("content-length", "3")]), raw(0, 1, 1, b"")].concat();
    server(&short, &["POST https:/// on 1", wrong, "> reset 1 0x1"]);
    let trailed = [post(&[("content-length", "1")]), raw(1, 5, 1, &field("a", "b"))].concat();
    server(&trailed, &["POST https:/// on 1", wrong, "> reset 1 0x1"]);
}

#[test]
fn trailers_end_a_message() {
    let head = post(&[]);
    let good = [head.clone(), raw(0, 0, 1, b""), raw(1, 5, 1, &field("a", "b"))].concat();
    server(&good, &["POST https:/// on 1", "a: b behind 1"]);
    let unfinished = [head.clone(), raw(1, 4, 1, &field("a", "b"))].concat();
    let why = "1 reset: the message was malformed: fields came behind the body, but not as its end";
    server(&unfinished, &["POST https:/// on 1", why, "> reset 1 0x1"]);
    let pseudo = [head, raw(1, 5, 1, &[0x82])].concat();
    let why = "1 reset: the message was malformed: :method does not belong here";
    server(&pseudo, &["POST https:/// on 1", why, "> reset 1 0x1"]);
}

#[test]
fn frames_that_do_not_fit_a_streams_state() {
    let idle = "PROTOCOL_ERROR: a frame came on stream 1, which nobody opened";
    for frame in [raw(0, 0, 1, b"x"), raw(3, 0, 1, &[0; 4]), raw(8, 0, 1, &[0, 0, 0, 1])] {
        server(&frame, &[idle, "> goaway 0 0x1"]);
    }
    let even = "PROTOCOL_ERROR: a frame came on stream 2, which nobody opened";
    server(&raw(1, 5, 2, GET), &[even, "> goaway 0 0x1"]);
    server(&raw(8, 0, 2, &[0, 0, 0, 1]), &[even, "> goaway 0 0x1"]);
    // Behind the end of a stream.
    let ended = |frame: Vec<u8>| [get(&[]), frame].concat();
    let behind = "1 reset: something came behind the stream's end";
    server(&ended(raw(0, 1, 1, b"x")), &["GET https:/// on 1, end", behind, "> reset 1 0x5"]);
    server(
        &ended(raw(1, 5, 1, &field("a", "b"))),
        &["GET https:/// on 1, end", behind, "> reset 1 0x5"],
    );
    // Also where it was malformed.
    let again = [raw(1, 5, 1, b""), raw(1, 5, 1, GET)].concat();
    let closed = "STREAM_CLOSED: a header section came on stream 1, which had ended";
    server(&again, &[closed, "> reset 1 0x1", "> goaway 1 0x5"]);
    server(&raw(2, 0, 1, &[0; 4]), &["FRAME_SIZE_ERROR: a frame broke a rule", "> goaway 0 0x6"]);
    // A number that was passed over is a stream that has ended.
    let passed = [raw(1, 5, 3, GET), raw(1, 5, 1, GET)].concat();
    let closed = "STREAM_CLOSED: a header section came on stream 1, which had ended";
    server(&passed, &["GET https:/// on 3, end", closed, "> goaway 3 0x5"]);
    // What may still come for a stream that is over.
    let reset = [get(&[]), raw(3, 0, 1, &[0, 0, 0, 8]), raw(8, 0, 1, &[0, 0, 0, 1])].concat();
    server(&reset, &["GET https:/// on 1, end", "1 reset: the peer ended the stream with CANCEL"]);
    server(&raw(2, 0, 9, &[0; 5]), &[]);
    server(&raw(0xfe, 0, 9, &[0; 5]), &[]);
    server(&raw(1, 0x25, 1, &[&[0, 0, 0, 1, 9][..], GET].concat()), &["GET https:/// on 1, end"]);
}

#[test]
fn windows_do_not_overflow() {
    let most = raw(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    let large = "FLOW_CONTROL_ERROR: the connection's window grew beyond 2^31-1";
    server(&most, &[large, "> goaway 0 0x3"]);
    let most = [get(&[]), raw(8, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat();
    let large = "1 reset: the stream's window grew beyond 2^31-1";
    server(&most, &["GET https:/// on 1, end", large, "> reset 1 0x3"]);
    let grown =
        [get(&[]), raw(8, 0, 1, &[0, 0, 0, 1]), raw(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])];
    let large = "FLOW_CONTROL_ERROR: the connection's window grew beyond 2^31-1";
    server(&grown.concat(), &["GET https:/// on 1, end", "writable", large, "> goaway 1 0x3"]);
    let nothing = [get(&[]), raw(8, 0, 1, &[0; 4])].concat();
    let why = "1 reset: stream 1 ends with PROTOCOL_ERROR: a WINDOW_UPDATE adds nothing";
    server(&nothing, &["GET https:/// on 1, end", why, "> reset 1 0x1"]);
}

#[test]
fn who_sends_more_than_was_allowed_is_stopped() {
    let mut small = Limits::default();
    small.window = 4;
    // Until the client has heard of it, a stream's window is as large as ever.
    let octets = [post(&[]), raw(0, 0, 1, &[0; 100]), raw(0, 1, 1, b"")].concat();
    let input = [PREFACE, &raw(4, 0, 0, b"")[..], &octets].concat();
    let said = converse(Connection::server(small), &input, input.len());
    assert!(said[2].ends_with("on 1, end"), "{said:?}");
    let octets = [raw(4, 1, 0, b""), post(&[]), raw(0, 0, 1, b"12345")].concat();
    let input = [PREFACE, &raw(4, 0, 0, b"")[..], &octets].concat();
    let said = converse(Connection::server(small), &input, input.len());
    let why = "1 reset: more came than the stream's window takes";
    assert_eq!(said[2..], [why, "> reset 1 0x3"]);

    let mut small = Limits::default();
    small.connection_window = 65_535;
    let mut octets = post(&[]);
    (0..4).for_each(|_| octets.extend(raw(0, 0, 1, &[0; 16_384])));
    let input = [PREFACE, &raw(4, 0, 0, b"")[..], &octets].concat();
    let said = converse(Connection::server(small), &input, input.len());
    let why = "FLOW_CONTROL_ERROR: more came than the window takes";
    assert_eq!(said[2..], [why, "> goaway 1 0x3"]);
}

#[test]
fn a_block_that_cannot_be_read_ends_the_connection() {
    let why = "COMPRESSION_ERROR: a field block cannot be read";
    server(&raw(1, 5, 1, &[0xbe]), &[why, "> goaway 0 0x9"]);
    let trailers = [post(&[]), raw(1, 5, 1, &[0x40])].concat();
    server(&trailers, &["POST https:/// on 1", why, "> goaway 1 0x9"]);
}

#[test]
fn pushes_and_stray_acknowledgements_end_the_connection() {
    let pushed = "PROTOCOL_ERROR: a request was pushed, which was ruled out";
    server(&raw(5, 4, 1, &[0, 0, 0, 2, 0x82]), &[pushed, "> goaway 0 0x1"]);
    let acks = [raw(4, 1, 0, b""), raw(4, 1, 0, b"")].concat();
    server(
        &acks,
        &["PROTOCOL_ERROR: settings were acknowledged that were not sent", "> goaway 0 0x1"],
    );
    let taken_back =
        [raw(4, 0, 0, &[0, 8, 0, 0, 0, 1]), raw(4, 0, 0, &[0, 8, 0, 0, 0, 0])].concat();
    let why = "PROTOCOL_ERROR: the extended CONNECT was taken back";
    server(&taken_back, &["settings", why, "> goaway 0 0x1"]);
}

#[test]
fn what_a_server_must_not_say() {
    #[track_caller]
    fn client(octets: &[u8], expected: &[&str]) {
        let make = || {
            let mut client = Connection::client(Limits::default());
            let mut out = Vec::new();
            client.open(true, &mut out, |head| crate::ends::request(head, "/")).expect("a stream");
            client
        };
        check(make, b"", octets, expected);
    }
    let answer = |fields: &[(&str, &str)], flags: u8| raw(1, flags, 1, &block(fields));
    client(&answer(&[(":status", "200")], 5), &["200 on 1, end"]);
    let no_end = |why: &str| format!("1 reset: the message was malformed: {why}");
    for (frame, why) in [
        (answer(&[], 5), ":status is absent"),
        (answer(&[(":status", "20")], 5), ":status has no meaning"),
        (answer(&[(":status", "101")], 4), ":status has no meaning"),
        (answer(&[(":status", "600")], 5), ":status has no meaning"),
        (answer(&[(":status", "200"), (":path", "/")], 5), ":path does not belong here"),
        (answer(&[(":status", "100")], 5), "an interim answer ends its stream"),
        (raw(0, 1, 1, b"x"), ":status is absent"),
    ] {
        client(&frame, &[&no_end(why), "> reset 1 0x1"]);
    }
    let idle = "PROTOCOL_ERROR: a frame came on stream 3, which nobody opened";
    client(&raw(1, 5, 3, &[0x88]), &[idle, "> goaway 0 0x1"]);
    let parity = "PROTOCOL_ERROR: stream 2 was opened by the end that cannot open it";
    client(&raw(1, 5, 2, &[0x88]), &[parity, "> goaway 0 0x1"]);
    client(
        &raw(4, 0, 0, &[0, 2, 0, 0, 0, 1]),
        &["PROTOCOL_ERROR: a request was pushed, which was ruled out", "> goaway 0 0x1"],
    );
    // Before the server can have heard that it may not.
    client(&raw(5, 4, 1, &[0, 0, 0, 2, 0x82]), &["> reset 2 0x7"]);
    let heard = [raw(4, 1, 0, b""), raw(5, 4, 1, &[0, 0, 0, 2, 0x82])].concat();
    client(
        &heard,
        &["PROTOCOL_ERROR: a request was pushed, which was ruled out", "> goaway 0 0x1"],
    );
    let going = raw(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]);
    let left_out = "1 reset: the peer went away before it saw to the stream";
    client(&going, &["goes away behind 0: NO_ERROR", left_out]);
}

#[test]
fn what_means_nothing_changes_nothing() {
    // RFC 9113 4.1: the bit in front of a stream's number, and flags that its type does not have.
    let mut reserved = get(&[]);
    reserved[5] |= 0x80;
    reserved[4] |= 0x52;
    server(&reserved, &["GET https:/// on 1, end"]);
    // 6.9: the bit in front of an increment.
    let more = [get(&[]), raw(8, 0, 1, &[0x80, 0, 0, 1])].concat();
    server(&more, &["GET https:/// on 1, end", "writable"]);
    // 7: codes that nobody knows.
    let odd = [get(&[]), raw(3, 0, 1, &[9, 9, 9, 9]), raw(7, 0, 0, &[0, 0, 0, 0, 8, 8, 8, 8])];
    let input = [PREFACE, &raw(4, 0, 0, b"")[..], &odd.concat()].concat();
    let said = converse(Connection::server(Limits::default()), &input, input.len());
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[2].starts_with("1 reset: the peer ended the stream with "), "{said:?}");
    assert!(said[3].starts_with("goes away behind 0: "), "{said:?}");
}

#[test]
fn a_cookie_in_crumbs_is_whole_again() {
    let mut server = Connection::server(Limits::default());
    let crumbs = get(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")]);
    let octets = [PREFACE, &raw(4, 0, 0, b"")[..], &crumbs].concat();
    let (mut input, mut out, mut cookies) = (&octets[..], Vec::new(), Vec::new());
    while let Some(event) = server.next(&mut input, Duration::ZERO, &mut out).expect("a request") {
        if let Event::Request { head, .. } = event {
            let values = head.fields.get_all("cookie").iter();
            cookies.extend(values.map(|value| value.to_str().expect("text").to_owned()));
        }
    }
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}
