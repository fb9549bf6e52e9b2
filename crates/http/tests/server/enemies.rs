//! Clients that mean no good, and the kit's ways of cutting.

use ropewalk_deferred::Deferred;
use ropewalk_http::compress::Compress;
use ropewalk_http::{IntoReply as _, Reply, Request, Resource as _};
use ropewalk_protocol::seat;
use ropewalk_trial::{Hostile, Side, Transcript, chunked};

use crate::client::{chunk, get, head, post, secs, site};

fn length(request: Request) -> Deferred<String> {
    request.into_body().collect(1 << 20).map(|body| body.len().to_string())
}

#[test]
fn no_client_wears_the_server_out() {
    for request in [get("/"), post("/", b"0123456789")] {
        let server = |_: &_| seat(site(length).server());
        Hostile::against(server).request(&request).patience(secs(100)).kept(1 << 20).assert();
    }
}

/// Answers that are compressed as they go, bodies that are decoded as they come.
fn coded(mut request: Request) -> Reply {
    if let Err(unknown) = request.decode_body(1 << 20) {
        return unknown.response().into_reply();
    }
    if request.body().is_none() {
        return "all work and no play\n".repeat(20_000).into_reply();
    }
    length(request).into_reply()
}

#[test]
fn no_client_wears_codings_out() {
    let long = head("GET / HTTP/1.1", &["Accept-Encoding: gzip"]);
    let packed = crate::compress::gzipped(&vec![b'x'; 10_000]);
    let length = format!("Content-Length: {}", packed.len());
    let sent = head("POST / HTTP/1.1", &["Content-Encoding: gzip", &length]);
    for request in [long, [sent, packed].concat()] {
        let server = |_: &_| {
            let resource = coded.wrap(Compress::new().into_middleware());
            seat(site(resource).server())
        };
        Hostile::against(server).request(&request).patience(secs(100)).kept(2 << 20).assert();
    }
}

#[test]
fn requests_are_answered_the_same_however_they_are_cut() {
    let chunked_head = head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"]);
    let chunks = [chunked_head, chunk(b"hello"), chunk(b"again"), b"0\r\n\r\n".to_vec()].concat();
    let last = head("GET / HTTP/1.1", &["Connection: close"]);
    let requests = [get("/"), post("/", b"abc"), chunks, last, get("/never")].concat();
    let answer = chunked(&requests, || site(length).server());
    assert_eq!(answer.sent.windows(15).filter(|part| part == b"HTTP/1.1 200 OK").count(), 4);
    assert!(answer.write_closed);
}

#[test]
fn a_dialogue_with_a_sleeper() {
    let dialogue: Transcript = "
        C: GET / HTTP/1.1
        C: Host: a
        C:
        S: HTTP/1.1 200 OK
        S: content-type: text/plain; charset=utf-8
        S: date: Sun, 09 Sep 2001 01:46:40 GMT
        S: content-length: 1
        S:
        S: 0\\
        # Nobody is waited for longer than a minute.
        + 59s
        + 1s
        S.
    "
    .parse()
    .expect("a dialogue");
    dialogue.check(Side::Server, || site(length).server());
}
