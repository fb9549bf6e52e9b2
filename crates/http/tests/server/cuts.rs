//! However the same bytes are cut, the answers are the same.

use ropewalk_deferred::Deferred;
use ropewalk_http::{Request, Resource};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory};

use crate::client::{Answer, Client, chunk, get, head, post, site};
use crate::corpus::{self, Outcome};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Says what it was asked, once all of it is there.
fn repeat(request: Request) -> Deferred<String> {
    let (head, body) = request.into_parts();
    body.collect(1 << 24).map(move |body| format!("{} {} {}", head.method, head.uri, body.len()))
}

/// Does not care for what comes with a request.
#[expect(clippy::needless_pass_by_value, reason = "this is how resources are asked")]
fn careless(request: Request) -> String {
    format!("{} {}", request.method(), request.uri())
}

/// What is said to these pieces, without any word between requests, and how it ends.
fn said_to<'p>(
    resource: impl Resource,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<u8>, bool) {
    let mut memory = Memory::seat(site(resource).server(), &Clock::new());
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        assert_eq!(memory.push(piece), piece.len());
    }
    let mut said = memory.take_sent();
    while let Some(at) = said.windows(CONTINUE.len()).position(|part| part == CONTINUE) {
        said.drain(at..at + CONTINUE.len());
    }
    (said, memory.is_write_closed())
}

/// All the ways of cutting `bytes` that a test has time for.
fn cuts(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut ways: Vec<Vec<&[u8]>> = Vec::new();
    for size in [1, 2, 3, 7, 64, 1000, 4096] {
        ways.push(bytes.chunks(size).collect());
    }
    let step = (bytes.len() / 100).max(1);
    for at in (1..bytes.len()).step_by(step) {
        let (before, after) = bytes.split_at(at);
        ways.push(vec![before, after]);
    }
    ways
}

#[test]
fn each_case_of_the_corpus_is_answered_as_it_says() {
    for case in corpus::cases() {
        let mut client = Client::new(repeat);
        client.memory.push(&case.bytes);
        let mut expected = Vec::new();
        for outcome in &case.outcomes {
            match outcome {
                Outcome::Whole => expected.push(200),
                Outcome::Refused(status) => expected.push(*status),
                Outcome::Unfinished => (),
            }
        }
        if case.bytes.starts_with(b"CONNECT ") && expected == [200] {
            client.expect_no_body();
        }
        let answers = client.answers();
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, expected, "{}: {answers:?}", case.name);
        if let Some(Outcome::Refused(_)) = case.outcomes.last() {
            assert!(answers.last().is_some_and(Answer::closes), "{}", case.name);
            client.assert_over();
        }
    }
}

#[test]
fn each_case_of_the_corpus_is_answered_the_same_in_all_pieces() {
    for case in corpus::cases() {
        let whole = said_to(repeat, [&case.bytes[..]]);
        let heedless = said_to(careless, [&case.bytes[..]]);
        for pieces in cuts(&case.bytes) {
            let sizes: Vec<_> = pieces.iter().map(|piece| piece.len()).take(5).collect();
            let name = &case.name;
            let said = said_to(repeat, pieces.clone());
            assert_eq!(text(&said.0), text(&whole.0), "{name}, {sizes:?}");
            assert_eq!(said.1, whole.1, "{name}, {sizes:?}");
            let said = said_to(careless, pieces);
            assert_eq!(text(&said.0), text(&heedless.0), "careless: {name}, {sizes:?}");
            assert_eq!(said.1, heedless.1, "careless: {name}, {sizes:?}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn a_whole_conversation_is_the_same_in_all_pieces() {
    let expecting = ["Expect: 100-continue", "Content-Length: 4"];
    let chunked = head("PUT /chunked HTTP/1.1", &["Transfer-Encoding: chunked"]);
    let conversation = [
        get("/first"),
        post("/fixed", b"abc"),
        b"\r\n".to_vec(),
        post("/nothing", b""),
        chunked,
        chunk(b"hello"),
        chunk(&[b'x'; 300]),
        b"0\r\nX-Sum: 5\r\n\r\n".to_vec(),
        head("POST /expecting HTTP/1.1", &expecting),
        b"word".to_vec(),
        get("/middle"),
        head("GET /last HTTP/1.1", &["Connection: close"]),
        get("/never"),
    ]
    .concat();
    let whole = said_to(repeat, [&conversation[..]]);
    assert_eq!(text(&whole.0).matches("HTTP/1.1 200 OK").count(), 7);
    assert!(whole.1);
    for pieces in cuts(&conversation) {
        let said = said_to(repeat, pieces);
        assert_eq!(text(&said.0), text(&whole.0));
        assert!(said.1);
    }
}

#[test]
fn a_second_empty_line_is_refused_however_late_it_comes() {
    let mut client = Client::new(careless);
    client.send(b"\r\n").send(b"\r\n");
    assert_eq!(client.answer().status, 400);
    client.assert_over();
}

#[test]
fn a_client_that_leaves_in_the_middle_is_let_go() {
    for bytes in [&b""[..], b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = Client::new(careless);
        client.memory.push(bytes);
        client.memory.eof();
        client.assert_ended(Disconnect::Closed);
    }
}
