//! Clients that mean no good, and the kit's ways of cutting.

use ropewalk_deferred::Deferred;
use ropewalk_http::compress::Compress;
use ropewalk_http::events::{Event, EventOptions, EventSender};
use ropewalk_http::files::Folder;
use ropewalk_http::{IntoReply as _, Reply, Request, Resource as _, Uploads};
use ropewalk_protocol::{call_later, seat};
use ropewalk_trial::{Attack, Clock, ClockThreads, Hostile, Side, Transcript, chunked};

use crate::client::{chunk, get, head, post, secs, site};
use crate::directory::Files;

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

/// Tells the time each second, for as long as anybody hears it.
fn tick(clock: &Clock, sender: EventSender) {
    if sender.send(&Event::new("x".repeat(1000))).is_ok() {
        let again = clock.clone();
        call_later(clock, secs(1), move || tick(&again, sender));
    }
}

#[test]
fn no_client_wears_a_stream_of_events_out() {
    let server = |clock: &Clock| {
        let clock = clock.clone();
        seat(
            site(move |request: Request| {
                let (sender, answer) = EventSender::open(&request, EventOptions::default());
                tick(&clock, sender);
                answer
            })
            .server(),
        )
    };
    let mut hostile = Hostile::against(server).request(&get("/")).patience(secs(100));
    // Whoever has only said that he will ask no more may listen on for as long as he takes what comes.
    hostile = hostile.spare(Attack::EarlyEnd);
    hostile.kept(1 << 20).assert();
}

#[test]
fn no_client_wears_uploads_out() {
    let files = Files::new(&[("there", b"before")]);
    let put = [head("PUT /new HTTP/1.1", &["Content-Length: 10"]), b"0123456789".to_vec()].concat();
    let chunked = [
        head("PUT /new HTTP/1.1", &["Transfer-Encoding: chunked"]),
        chunk(b"hello"),
        b"0\r\n\r\n".to_vec(),
    ];
    for request in [put, chunked.concat(), get("/there")] {
        let path = files.path().to_owned();
        let server = move |clock: &Clock| {
            let folder = Folder::new(&path).expect("an absolute path");
            seat(site(Uploads::new(folder, ClockThreads::new(clock, secs(0)))).server())
        };
        Hostile::against(server).request(&request).patience(secs(100)).kept(2 << 20).assert();
    }
}
