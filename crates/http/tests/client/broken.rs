//! Answers that are none, each with the reason that it is refused for.

use ropewalk_http::{AgentError, BadAnswer, BadRequest, BodyError, Limits, Options};
use ropewalk_protocol::Disconnect;

use super::{World, value};

/// Why an answer in bytes, after which the server closes, has no head, or else no whole body; in the
/// words of the error. Nothing if it is whole.
fn refusal(bytes: &[u8], size: usize) -> Option<String> {
    let limits = Limits { body_max: Some(1000), ..Limits::default() };
    let world = World::with(Options { limits, ..Options::default() });
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push_in_pieces(bytes, size);
    server.eof();
    server.run();
    assert!(server.ended().is_some(), "{}", bytes.escape_ascii());
    assert_eq!(world.agent.connections(), (0, 0));
    let answer = match answer.now_or_never().expect("it is over") {
        Ok(answer) => answer,
        Err(failure) => {
            return Some(match failure.check::<AgentError>().expect("it is typed") {
                AgentError::BadAnswer(bad) => bad.to_string(),
                other => other.to_string(),
            });
        }
    };
    let failure = answer.text().now_or_never().expect("it is over").err()?;
    Some(match failure.check::<BodyError>().expect("it is typed") {
        BodyError::Bad(bad) => bad.to_string(),
        other => other.to_string(),
    })
}

const LOST: &str = "the connection ended before the answer's head did";
const SHORT: &str = "the connection ended before the body did";

fn head(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").into_bytes()
}

fn chunks(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into_bytes()
}

fn raw(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// Each is refused for its own reason, however it is cut.
#[track_caller]
fn check(cases: &[(Vec<u8>, &str)]) {
    for (bytes, wanted) in cases {
        for size in [bytes.len().max(1), 1, 2, 3, 7] {
            let shown = bytes[..bytes.len().min(120)].escape_ascii().to_string();
            let got = refusal(bytes, size);
            let got = got.unwrap_or_else(|| panic!("{shown} was taken"));
            assert!(got.starts_with(wanted), "{shown} by {size}: {got}");
        }
    }
}

#[test]
fn status_lines() {
    let long = "x".repeat(20_000);
    let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(17);
    check(&[
        (raw(""), LOST),
        (raw("H"), LOST),
        (raw("HTTP/1.1 200 OK"), LOST),
        (raw("HTTP/1.1 200 OK\r\n"), LOST),
        (raw("HTTP/1.1 200 OK\r\nA: b\r\n"), LOST),
        (raw("hello\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw("<html>not found</html>"), "expected an HTTP/1 status line, got"),
        (raw("\r\nHTTP/1.1 200 OK\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw(" HTTP/1.1 200 OK\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw("http/1.1 200 OK\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw("ICY 200 OK\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw("SSH-2.0-OpenSSH\r\n"), "expected an HTTP/1 status line, got"),
        (raw("HTTP/1.1\r\n\r\n"), "expected an HTTP/1 status line, got \"HTTP/1.1\""),
        (raw("HTTP/1.1\t200 OK\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw("HTTP/11 200 OK\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw("HTTP/1.10 200 OK\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw("HTTP/x.1 200 OK\r\n\r\n"), "expected an HTTP/1 status line, got"),
        (raw("HTTP/2.0 200 OK\r\n\r\n"), "expected HTTP/1.0 or 1.1, got \"HTTP/2.0\""),
        (raw("HTTP/0.9 200 OK\r\n\r\n"), "expected HTTP/1.0 or 1.1, got \"HTTP/0.9\""),
        (raw("HTTP/1.2 200 OK\r\n\r\n"), "expected HTTP/1.0 or 1.1, got \"HTTP/1.2\""),
        (raw("HTTP/1.1 \r\n\r\n"), "expected a status of three digits, got \"\""),
        (raw("HTTP/1.1  200 OK\r\n\r\n"), "expected a status of three digits, got \" 200 OK\""),
        (raw("HTTP/1.1 20 OK\r\n\r\n"), "expected a status of three digits, got \"20 OK\""),
        (raw("HTTP/1.1 2000 OK\r\n\r\n"), "expected a status of three digits, got \"2000 OK\""),
        (raw("HTTP/1.1 099 OK\r\n\r\n"), "expected a status of three digits, got \"099 OK\""),
        (raw("HTTP/1.1 -10 OK\r\n\r\n"), "expected a status of three digits, got \"-10 OK\""),
        (raw("HTTP/1.1 2x0 OK\r\n\r\n"), "expected a status of three digits, got \"2x0 OK\""),
        (raw("HTTP/1.1 OK\r\n\r\n"), "expected a status of three digits, got \"OK\""),
        (raw("HTTP/1.1 200OK\r\n\r\n"), "expected a status of three digits, got \"200OK\""),
        (raw(&format!("HTTP/1.1 200 {long}\r\n\r\n")), "expected a status line of 8192 bytes"),
        (raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"), "the server changed to a protocol"),
        (raw(&interim), "the server gave more than 16 interim answers"),
    ]);
}

#[test]
fn lines_and_fields() {
    let long = "x".repeat(20_000);
    let many = "a: b\r\n".repeat(101);
    check(&[
        (raw("HTTP/1.1 200 OK\n\n"), "expected a carriage return before a line feed"),
        (raw("HTTP/1.1 200 OK\r\nA: b\n\r\n"), "expected a carriage return before a line feed"),
        (raw("HTTP/1.1 200 OK\rA: b\r\n\r\n"), "expected a line feed after a carriage return"),
        (raw("HTTP/1.1 200 OK\r\r\n"), "expected a line feed after a carriage return"),
        (head("A: b\0c"), "expected text, got the byte \"\\x00\""),
        (head("A: b\x01"), "expected text, got the byte \"\\x01\""),
        (head("A: b\x7f"), "expected text, got the byte \"\\x7f\""),
        (raw("HTTP/1.1 200 O\0K\r\n\r\n"), "expected text, got the byte \"\\x00\""),
        (head(" A: b"), "expected a header name, got a continued line"),
        (head(" A: b\r\n c"), "expected a header name, got a continued line"),
        (head("A: b\r\n c\0"), "expected text, got the byte \"\\x00\""),
        (head("A : b"), "expected a colon right after"),
        (head("A\t: b"), "expected a colon right after"),
        (head(": b"), "expected a header name, got a colon"),
        (head("A"), "expected a colon, got \"A\""),
        (head("A b: c"), "expected a header name, got \"A b\""),
        (head("A(: c"), "expected a header name, got \"A(\""),
        (head("\u{e9}: c"), "expected a header name, got"),
        (head(&many), "expected 100 fields, got more"),
        (head(&format!("A: {long}")), "expected 16384 bytes of fields, got more"),
    ]);
}

#[test]
fn a_field_may_go_on_in_the_next_line() {
    let bytes = b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\t\td\r\nContent-Length:\r\n 1\r\n\r\nx";
    for size in 1..=bytes.len() {
        let world = World::new();
        let answer = world.agent.get("http://a/").send();
        let (mut server, _) = world.accept();
        server.push_in_pieces(bytes, size);
        let answer = value(answer);
        let field = answer.headers()["a"].to_str().expect("text");
        assert_eq!(field.split_ascii_whitespace().collect::<Vec<_>>(), ["b", "c", "d"]);
        assert!(!field.contains(['\r', '\n']), "{field:?}");
        assert_eq!(value(answer.text()), "x");
    }
}

#[test]
fn lengths_and_codings() {
    check(&[
        (head("Content-Length: 1\r\nContent-Length: 1"), "expected one Content-Length"),
        (head("Content-Length: 1\r\nContent-Length: 2"), "expected one Content-Length"),
        (head("Content-Length: 1, 1"), "expected digits as Content-Length, got \"1, 1\""),
        (head("Content-Length: +1"), "expected digits as Content-Length, got \"+1\""),
        (head("Content-Length: -1"), "expected digits as Content-Length, got \"-1\""),
        (head("Content-Length: 0x1"), "expected digits as Content-Length, got \"0x1\""),
        (head("Content-Length: 1 1"), "expected digits as Content-Length, got \"1 1\""),
        (head("Content-Length:"), "expected digits as Content-Length, got \"\""),
        (head("Content-Length: 18446744073709551616"), "expected a length of 64 bits"),
        (head("Content-Length: 1001"), "expected a body of 1000 bytes, got more"),
        (head("Content-Length: 1"), SHORT),
        (
            head("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            "expected Content-Length or Transfer-Encoding, got both",
        ),
        (
            head("Transfer-Encoding: chunked\r\nContent-Length: 1"),
            "expected Content-Length or Transfer-Encoding, got both",
        ),
        (head("Transfer-Encoding: gzip"), "expected no coding but chunked, got \"gzip\""),
        (head("Transfer-Encoding: gzip, chunked"), "expected no coding but chunked, got \"gzip\""),
        (head("Transfer-Encoding: identity"), "expected no coding but chunked, got \"identity\""),
        (head("Transfer-Encoding: chunked, gzip"), "expected chunked as the last coding"),
        (head("Transfer-Encoding: chunked, chunked"), "expected chunked once, got it again"),
        (head("Transfer-Encoding: chunked;q=1"), "expected transfer codings, got"),
        (head("Transfer-Encoding: \"chunked\""), "expected transfer codings, got"),
        (head("Transfer-Encoding:"), "expected transfer codings, got"),
        (
            raw("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "expected no Transfer-Encoding in HTTP/1.0, got one",
        ),
    ]);
}

#[test]
fn pieces_of_a_body() {
    let long = "x".repeat(20_000);
    check(&[
        (chunks(""), SHORT),
        (chunks("5\r\nhel"), SHORT),
        (chunks("5\r\nhello\r\n"), SHORT),
        (chunks("0\r\n"), SHORT),
        (chunks("\r\n"), "expected a chunk size, got \"\\r\""),
        (chunks("x\r\n"), "expected a chunk size, got \"x\""),
        (chunks("-1\r\n"), "expected a chunk size, got \"-\""),
        (chunks("0x1\r\nx\r\n0\r\n\r\n"), "expected the end of a chunk size, got \"x\""),
        (chunks("1\nx\r\n0\r\n\r\n"), "expected a carriage return before a line feed"),
        (chunks("1\rx"), "expected a line feed after a carriage return"),
        (chunks("1\r\nxy\r\n0\r\n\r\n"), "expected a line end after a chunk, got \"y\""),
        (chunks("11111111111111111\r\n"), "expected a chunk size of 16 digits, got more"),
        (chunks("3e9\r\n"), "expected a body of 1000 bytes, got more"),
        (chunks("1;=x\r\n"), "expected a chunk extension, got \"=\""),
        (chunks(&format!("1;{long}\r\n")), "expected at most 256 bytes before a chunk"),
        (chunks("0\r\nContent-Length: 1\r\n\r\n"), "expected \"content-length\" before the body"),
        (chunks("0\r\nA\r\n\r\n"), "expected a colon, got \"A\""),
        (chunks(&format!("0\r\nA: {long}\r\n\r\n")), "expected 4096 bytes of trailers"),
    ]);
}

#[test]
fn errors_are_typed() {
    let cases = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            AgentError::BadAnswer(BadAnswer::Message(BadRequest::LengthAndCoding)),
        ),
        ("HTTP/1.1 200 OK\n", AgentError::BadAnswer(BadAnswer::Message(BadRequest::BareLf))),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", AgentError::Upgraded),
    ];
    for (bytes, wanted) in cases {
        let world = World::new();
        let answer = world.agent.get("http://a/").send();
        let (mut server, _) = world.accept();
        server.push(bytes.as_bytes());
        assert_eq!(super::error::<AgentError, _>(answer), wanted);
        assert_eq!(server.ended(), Some(Disconnect::Aborted));
    }
}

#[test]
fn an_answer_that_nobody_asked_for_is_no_answer_to_what_comes_next() {
    let world = World::new();
    let first = world.agent.get("http://a/1").send();
    let (mut server, _) = world.accept();
    let spoken = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    server.push(spoken.as_bytes());
    assert_eq!(super::text(first), "x");
    let second = world.agent.get("http://a/2").send();
    let (mut fresh, request) = world.accept();
    assert!(request.starts_with("GET /2 "));
    fresh.push(super::ok("good").as_bytes());
    assert_eq!(value(value(second).text()), "good");
}
