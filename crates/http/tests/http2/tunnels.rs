//! Other protocols on streams, which they have as if each were a connection (RFC 9113 8.5, RFC 8441).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{Response, StatusCode, header};
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_http::{Body, Request, Site};
use ropewalk_http2::frame::ErrorCode;
use ropewalk_http2::{Limits, ResetBy};
use ropewalk_protocol::{Conn, Disconnect};
use ropewalk_trial::{Note, Notes, Witness};

use crate::client::Client;

/// What changes to a witness.
fn switch(witness: Witness, status: StatusCode) -> Response<Body> {
    let head = Response::builder().status(status);
    let head = head.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "witness");
    head.header("x-told", "yes").body(Body::switch_to(witness)).expect("a response")
}

/// A site that gives each stream to a witness that acts so, and all that the witnesses note.
fn site(
    act: impl FnMut(&Conn<Witness>, &Note) + Clone + 'static,
) -> (Site, Rc<RefCell<Vec<Notes>>>) {
    let all: Rc<RefCell<Vec<Notes>>> = Rc::default();
    let keeper = Rc::clone(&all);
    let site = Site::new(move |request: Request| {
        if request.uri().path() == "/plain" {
            return Response::new("plain".into());
        }
        let (witness, notes) = Witness::new(act.clone());
        keeper.borrow_mut().push(notes);
        let status = if request.method() == http::Method::CONNECT {
            StatusCode::OK
        } else {
            assert_eq!(request.headers()[header::UPGRADE], "witness");
            StatusCode::SWITCHING_PROTOCOLS
        };
        switch(witness, status)
    });
    (site, all)
}

fn echo(conn: &Conn<Witness>, note: &Note) {
    match note {
        Note::Data(data) => conn.write(data),
        Note::Eof => conn.close(),
        _ => (),
    }
}

/// How a protocol ends its stream.
type End = fn(&Conn<Witness>);

fn quiet(_: &Conn<Witness>, _: &Note) {}

#[test]
fn a_protocol_has_a_stream_as_it_would_a_connection() {
    for protocol in [Some("witness"), None] {
        let (site, all) = site(echo);
        let mut client = Client::of(&site);
        let stream = client.connect(protocol, false);
        let answer = &client.answers[&stream];
        assert_eq!((answer.status, answer.is_whole), (200, false));
        assert_eq!(answer.fields["x-told"], "yes");
        assert!(
            answer.fields.get("upgrade").is_none() && answer.fields.get("content-length").is_none()
        );
        client.send(stream, b"hello", false);
        client.send(stream, b", stream", false);
        assert_eq!(client.answers[&stream].body, b"hello, stream");
        // Others go on beside it.
        assert_eq!(client.get("/plain").body, b"plain");
        client.send(stream, b"", true);
        assert!(client.answers[&stream].is_whole && client.answers[&stream].reset.is_none());
        let notes = all.borrow()[0].clone();
        assert_eq!(notes.lost(), Some(Disconnect::Closed));
        assert_eq!(notes.disorder(), None);
        assert_eq!(client.get("/plain").body, b"plain");
    }
}

#[test]
fn however_the_octets_are_cut_the_protocol_gives_the_same() {
    let mut expected = None;
    for size in [usize::MAX, 1, 2, 3, 5, 7, 11, 64] {
        let (site, all) = site(echo);
        let mut client = Client::of(&site);
        let stream = client.connect(Some("witness"), false);
        let mut out = Vec::new();
        for part in [&b"some"[..], b"", b"more, and a longer one", b"!"] {
            let is_end = part == b"!";
            out.extend(
                client.engine.data_head(stream, part.len(), is_end, &mut Vec::new()).expect("room"),
            );
            out.extend_from_slice(part);
        }
        for piece in out.chunks(size) {
            client.push(piece);
        }
        let got =
            (client.answers[&stream].body.clone(), all.borrow()[0].data(), all.borrow()[0].lost());
        assert_eq!(got.0, b"somemore, and a longer one!");
        assert_eq!(*expected.get_or_insert(got.clone()), got, "in pieces of {size}");
    }
}

#[test]
fn a_writer_is_held_up_by_the_streams_window_and_by_that_of_all() {
    const MUCH: usize = 600_000;
    let act = |conn: &Conn<Witness>, note: &Note| {
        if *note == Note::Made {
            conn.write(&vec![b'x'; MUCH]);
        }
    };
    let mut narrow = Limits::default();
    (narrow.window, narrow.connection_window) = (100_000, 150_000);
    let (site, all) = site(act);
    let mut client = Client::with(&site, narrow);
    client.releases = false;
    let streams = [client.connect(Some("witness"), false), client.connect(Some("witness"), false)];
    let got = |client: &Client| streams.map(|stream| client.answers[&stream].body.len());
    assert_eq!(got(&client), [100_000, 50_000]);
    let paused = |index: usize| {
        all.borrow()[index].has(&Note::Paused) && !all.borrow()[index].has(&Note::Resumed)
    };
    assert!(paused(0) && paused(1));
    // The connection's window alone lets the second go on, and its own window stops it again.
    client.releases = true;
    let mut out = Vec::new();
    client.engine.release(streams[0], 100_000, &mut out);
    client.releases = false;
    client.push(&out);
    let [first, second] = got(&client);
    assert!(first + second == 250_000 && second <= 100_000, "{first} {second}");
    client.releases = true;
    for _ in 0..200 {
        if got(&client) == [MUCH; 2] {
            break;
        }
        let mut out = Vec::new();
        for stream in streams {
            client.engine.release(stream, 100_000, &mut out);
        }
        client.push(&out);
    }
    assert_eq!(got(&client), [MUCH; 2]);
    assert!(all.borrow().iter().all(|notes| notes.has(&Note::Resumed)));
}

#[test]
fn a_reader_that_pauses_holds_its_client_up_and_no_other() {
    let held: Rc<RefCell<Option<Conn<Witness>>>> = Rc::default();
    let keeper = Rc::clone(&held);
    let act = move |conn: &Conn<Witness>, note: &Note| {
        if *note == Note::Made && keeper.borrow().is_none() {
            conn.pause_reading();
            keeper.replace(Some(conn.clone()));
        }
    };
    let mut narrow = Limits::default();
    narrow.window = 1000;
    let (site, all) = site(act);
    let site = site.streams(narrow);
    let mut client = Client::of(&site);
    let slow = client.connect(Some("witness"), false);
    client.send(slow, &[b'x'; 1000], false);
    assert_eq!(client.engine.room(slow), 0);
    assert!(all.borrow()[0].is_empty());
    let fast = client.connect(Some("witness"), false);
    for _ in 0..100 {
        client.send(fast, &[b'y'; 1000], false);
    }
    assert_eq!(all.borrow()[1].len(), 100_000);
    assert_eq!(client.engine.room(slow), 0);
    held.borrow().as_ref().expect("a connection").resume_reading();
    client.listen();
    assert_eq!((all.borrow()[0].len(), client.engine.room(slow)), (1000, 1000));
}

#[test]
fn each_direction_ends_alone() {
    let act = |conn: &Conn<Witness>, note: &Note| match note {
        Note::Made => {
            conn.write(b"all that I say");
            conn.close_write();
        }
        Note::Data(_) => conn.write(b"too late"),
        _ => (),
    };
    let (site, all) = site(act);
    let mut client = Client::of(&site);
    let stream = client.connect(Some("witness"), false);
    assert!(client.answers[&stream].is_whole);
    client.send(stream, b"still ", false);
    client.send(stream, b"heard", true);
    assert_eq!(client.answers[&stream].body, b"all that I say");
    let notes = all.borrow()[0].clone();
    assert_eq!((notes.data(), notes.lost()), (b"still heard".to_vec(), Some(Disconnect::Closed)));
    assert_eq!(notes.disorder(), None);
}

#[test]
fn endings_are_told_each_as_what_it_is() {
    let ways: [(Option<&str>, End, ErrorCode, Disconnect); 4] = [
        (Some("witness"), |conn| conn.abort(), ErrorCode::Cancel, Disconnect::Aborted),
        // RFC 9113 8.5.
        (None, |conn| conn.abort(), ErrorCode::ConnectError, Disconnect::Aborted),
        (
            None,
            |conn| conn.abort_with(Disconnect::TimedOut),
            ErrorCode::ConnectError,
            Disconnect::TimedOut,
        ),
        (
            Some("witness"),
            |_| std::panic::resume_unwind(Box::new("this panic is part of a test")),
            ErrorCode::InternalError,
            Disconnect::Panicked,
        ),
    ];
    for (protocol, end, code, why) in ways {
        let (site, all) = site(move |conn, note| {
            if matches!(note, Note::Data(_)) {
                conn.write(b"never heard");
                end(conn);
            }
        });
        let mut client = Client::of(&site);
        let stream = client.connect(protocol, false);
        client.send(stream, b"now", false);
        let answer = &client.answers[&stream];
        assert_eq!(answer.reset, Some(ResetBy::Peer(code)));
        assert!(answer.body.is_empty());
        let notes = all.borrow()[0].clone();
        assert_eq!((notes.lost(), notes.disorder()), (Some(why), None));
        assert_eq!(client.get("/plain").body, b"plain");
    }
}

#[test]
fn what_the_client_ends_is_over_at_once() {
    let (site, all) = site(quiet);
    let mut client = Client::of(&site);
    let taken_back = client.connect(Some("witness"), false);
    client.reset(taken_back);
    let with_trailers = client.connect(Some("witness"), false);
    let mut out = Vec::new();
    client.engine.send_head(with_trailers, true, &mut out, |head| {
        head.field(&header::ETAG, &http::HeaderValue::from_static("x"));
    });
    client.push(&out);
    // RFC 9113 8.5: nothing but data goes on such a stream.
    assert_eq!(client.answers[&with_trailers].reset, Some(ResetBy::Peer(ErrorCode::ProtocolError)));
    client.connect(Some("witness"), false);
    client.server.lose(Disconnect::TimedOut);
    let told: Vec<_> = all.borrow().iter().map(Notes::lost).collect();
    let expected = [Disconnect::Reset, Disconnect::Aborted, Disconnect::TimedOut].map(Some);
    assert_eq!(told, expected);
    assert!(all.borrow().iter().all(|notes| notes.disorder().is_none()));
    assert_eq!(site.connections(), 0);
}

#[test]
fn a_client_that_ends_its_connection_is_told_the_rest() {
    let act = |conn: &Conn<Witness>, note: &Note| {
        if *note == Note::Eof {
            conn.write(b"the rest");
            conn.close();
        }
    };
    let (site, all) = site(act);
    let mut client = Client::of(&site);
    let stream = client.connect(Some("witness"), false);
    client.server.eof();
    client.listen();
    assert_eq!(client.answers[&stream].body, b"the rest");
    assert_eq!(all.borrow()[0].lost(), Some(Disconnect::Closed));
    assert_eq!(client.server.ended(), Some(Disconnect::Closed));
}

#[test]
fn who_closes_does_not_listen_for_ever() {
    let act = |conn: &Conn<Witness>, note: &Note| {
        if matches!(note, Note::Data(_)) {
            conn.write(b"bye");
            conn.close();
        }
    };
    let (site, all) = site(act);
    let mut client = Client::of(&site);
    let [polite, late, silent] = [0; 3].map(|_| client.connect(Some("witness"), false));
    for stream in [polite, late, silent] {
        client.send(stream, b"hello", false);
        assert!(client.answers[&stream].is_whole);
    }
    assert!(all.borrow().iter().all(|notes| notes.lost() == Some(Disconnect::Closed)));
    client.send(polite, b"", true);
    client.send(late, b"more", false);
    client.server.advance(Duration::from_secs(10));
    client.listen();
    let reset = |stream: u32| client.answers[&stream].reset.clone();
    assert_eq!(reset(polite), None);
    assert_eq!(reset(late), Some(ResetBy::Peer(ErrorCode::Cancel)));
    assert_eq!(reset(silent), Some(ResetBy::Peer(ErrorCode::NoError)));
}

#[test]
fn what_comes_before_the_answer_is_kept_for_who_comes_next() {
    let promises: Rc<RefCell<Vec<Promise<Response<Body>>>>> = Rc::default();
    let keeper = Rc::clone(&promises);
    let mut narrow = Limits::default();
    narrow.window = 1000;
    let site = Site::new(move |_: Request| -> Deferred<Response<Body>> {
        let (promise, later) = deferred();
        keeper.borrow_mut().push(promise);
        later
    });
    let mut client = Client::of(&site.streams(narrow));
    let streams = [0; 3].map(|_| client.connect(Some("witness"), false));
    for stream in streams {
        client.send(stream, &[b'e'; 600], false);
        client.send(stream, &[b'f'; 400], stream == streams[0]);
        assert_eq!(client.engine.room(stream), 0);
    }
    let answer = |at: usize, response| promises.borrow_mut().remove(at).succeed(response);
    let (witness, notes) = Witness::new(echo);
    answer(0, switch(witness, StatusCode::SWITCHING_PROTOCOLS));
    // One is refused, and one is changed to nothing.
    let refused = Response::builder().status(403).body(Body::from("no")).expect("a response");
    answer(0, refused);
    answer(0, Response::new("something else".into()));
    client.listen();
    let [first, second, third] = streams.map(|stream| &client.answers[&stream]);
    assert_eq!(notes.data(), [[b'e'; 600].to_vec(), [b'f'; 400].to_vec()].concat());
    assert_eq!(
        (first.body.len(), first.is_whole, notes.lost()),
        (1000, true, Some(Disconnect::Closed))
    );
    assert_eq!((second.status, &second.body[..]), (403, &b"no"[..]));
    assert_eq!(second.reset, Some(ResetBy::Peer(ErrorCode::NoError)));
    assert_eq!(third.status, 501);
    assert_eq!(client.engine.streams(), 0);
}

#[test]
fn a_client_may_say_all_with_its_request() {
    let (site, all) = site(echo);
    let mut client = Client::of(&site);
    let stream = client.connect(Some("witness"), true);
    assert!(client.answers[&stream].is_whole);
    assert_eq!(all.borrow()[0].all(), [Note::Made, Note::Eof, Note::Lost(Disconnect::Closed)]);
}

#[test]
fn only_what_was_asked_for_changes_the_protocol() {
    let site = Site::new(|request: Request| {
        let status = if request.uri().path() == "/101" { 101 } else { 200 };
        switch(Witness::quiet().0, StatusCode::from_u16(status).expect("a status"))
    });
    let mut client = Client::of(&site);
    // To a GET nothing is changed, and to a CONNECT of either kind with its own status alone.
    assert_eq!(client.get("/101").status, 500);
    assert_eq!(client.get("/200").status, 500);
    let stream = client.connect(Some("witness"), true);
    assert_eq!(client.answers[&stream].status, 500);
    let stream = client.connect(None, true);
    assert_eq!(client.answers[&stream].status, 200);
}

#[test]
fn a_site_that_does_not_offer_it_does_not_take_it() {
    let (site, all) = site(echo);
    let mut limits = Limits::default();
    limits.has_connect = false;
    let mut client = Client::of(&site.streams(limits));
    assert!(!client.engine.has_extended_connect());
    let stream = client.connect(Some("witness"), false);
    assert_eq!(client.answers[&stream].reset, Some(ResetBy::Peer(ErrorCode::ProtocolError)));
    assert!(all.borrow().is_empty());
    let (site, _) = self::site(echo);
    assert!(Client::of(&site).engine.has_extended_connect());
}

#[test]
fn a_stream_at_rest_has_no_timer_and_its_calls_come_in_time() {
    let act = |conn: &Conn<Witness>, note: &Note| {
        if matches!(note, Note::Data(_)) {
            conn.call_later(Duration::from_secs(100), |_, conn| conn.write(b"late"));
        }
    };
    let (site, _) = site(act);
    let mut client = Client::of(&site);
    let stream = client.connect(Some("witness"), false);
    client.server.advance(Duration::from_mins(10));
    assert_eq!(client.server.next_call(), None);
    client.send(stream, b"x", false);
    client.server.advance(Duration::from_secs(99));
    client.listen();
    assert!(client.answers[&stream].body.is_empty());
    client.server.advance(Duration::from_secs(2));
    client.listen();
    assert_eq!(client.answers[&stream].body, b"late");
    assert_eq!(client.server.next_call(), None);
}

#[test]
fn a_site_that_drains_waits_for_its_streams() {
    let (site, all) = site(echo);
    let mut client = Client::of(&site);
    let stream = client.connect(Some("witness"), false);
    let drained = site.drain();
    client.listen();
    client.send(stream, b"still there", false);
    assert_eq!(client.answers[&stream].body, b"still there");
    client.send(stream, b"", true);
    client.listen();
    assert!(all.borrow()[0].lost().is_some() && client.server.is_write_closed());
    client.server.eof();
    assert!(drained.try_take().is_ok());
}
