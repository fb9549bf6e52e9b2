//! How streams and connections end, and after how long.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Promise, deferred};
use ropewalk_http::events::{Event, EventGroup};
use ropewalk_http::{Body, Request, Site};
use ropewalk_http2::Limits as Streams;
use ropewalk_http2::frame::{ErrorCode, PREFACE};
use ropewalk_trial::{Clock, Memory};

use crate::client::Client;

fn hello() -> Site {
    Site::new(|_: Request| "hello")
}

fn silent() -> Site {
    Site::new(|_: Request| {
        let (promise, later) = deferred::<&'static str>();
        std::mem::forget(promise);
        later
    })
}

/// A site that answers when its promises are kept.
fn patient() -> (Site, Rc<RefCell<Vec<Promise<&'static str>>>>) {
    let promises = Rc::new(RefCell::new(Vec::new()));
    let shared = Rc::clone(&promises);
    let site = Site::new(move |_: Request| {
        let (promise, later) = deferred();
        shared.borrow_mut().push(promise);
        later
    });
    (site, promises)
}

#[test]
fn an_idle_connection_ends_after_its_time() {
    let site = hello();
    let mut client = Client::of(&site);
    client.get("/");
    client.server.advance(Duration::from_secs(59));
    client.listen();
    assert!(client.farewells.is_empty());
    client.server.advance(Duration::from_secs(2));
    client.listen();
    assert_eq!(client.farewells, [(1, ErrorCode::NoError)]);
    assert!(client.server.is_write_closed());
    client.server.advance(Duration::from_secs(6));
    assert!(client.server.ended().is_some());
    assert_eq!(site.connections(), 0);
}

#[test]
fn who_says_nothing_behind_the_preface_is_given_up() {
    let site = hello();
    let mut server = Memory::seat(site.server(), &Clock::new());
    server.push(PREFACE);
    server.take_sent();
    server.advance(Duration::from_secs(11));
    let sent = server.take_sent();
    assert_eq!(sent[3], 7);
    assert!(sent.ends_with(&[0, 0, 0, 4]), "SETTINGS_TIMEOUT");
    server.advance(Duration::from_secs(6));
    assert!(server.ended().is_some());
}

#[test]
fn a_site_drains_in_two_steps_and_loses_nothing() {
    let (site, promises) = patient();
    let mut client = Client::of(&site);
    let first = client.ask("GET", "/", &[], true);
    let drained = site.drain();
    client.server.run();
    // The client has not heard yet.
    let mut out = Vec::new();
    let second = client
        .engine
        .open(true, &mut out, |head| crate::client::request(head, "GET", "/", &[]))
        .expect("a stream");
    client.push(&out);
    assert_eq!(client.farewells[0], (0x7fff_ffff, ErrorCode::NoError));
    assert_eq!(client.farewells.last(), Some(&(second, ErrorCode::NoError)));
    for promise in promises.take() {
        promise.succeed("done");
    }
    client.listen();
    for stream in [first, second] {
        assert_eq!(client.answers[&stream].body, b"done");
    }
    assert!(client.server.is_write_closed());
    client.server.eof();
    assert_eq!(site.connections(), 0);
    assert!(drained.try_take().is_ok());
}

#[test]
fn an_idle_connection_drains_at_once() {
    let site = hello();
    let mut client = Client::of(&site);
    client.get("/");
    let _drained = site.drain();
    client.listen();
    assert!(client.server.is_write_closed());
    client.server.eof();
    assert_eq!(site.connections(), 0);
}

#[test]
fn streams_of_events_end_when_their_site_drains() {
    let group = EventGroup::new();
    let joined = group.clone();
    let site = Site::new(move |request: Request| joined.join(&request));
    let mut client = Client::of(&site);
    let streams = [client.ask("GET", "/", &[], true), client.ask("GET", "/", &[], true)];
    group.send(&Event::new("hello"));
    let drained = site.drain();
    client.listen();
    for stream in streams {
        assert_eq!(client.answers[&stream].body, b"data: hello\n\n");
    }
    assert!(client.server.is_write_closed(), "all streams are over");
    client.server.eof();
    assert!(drained.try_take().is_ok());
}

#[test]
fn a_rule_broken_ends_the_connection_with_its_code() {
    let site = hello();
    let mut client = Client::of(&site);
    client.push(&[0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(client.farewells, [(0, ErrorCode::ProtocolError)]);
    assert!(client.server.is_write_closed());
    client.server.eof();
    assert!(client.server.ended().is_some());
}

#[test]
fn who_takes_requests_back_too_often_is_told_to_calm_down() {
    let mut client = Client::of(&silent());
    for _ in 0..400 {
        if !client.farewells.is_empty() {
            break;
        }
        let stream = client.ask("GET", "/", &[], true);
        client.reset(stream);
    }
    assert_eq!(client.farewells, [(513, ErrorCode::EnhanceYourCalm)]);
}

#[test]
fn a_request_that_is_taken_back_frees_what_it_held() {
    let site = silent();
    let mut client = Client::of(&site);
    for _ in 0..100 {
        let stream = client.ask("GET", "/", &[], true);
        client.reset(stream);
    }
    // More than may be open at a time, had they not been taken back.
    for _ in 0..100 {
        client.ask("GET", "/", &[], true);
    }
    assert!(client.answers.values().all(|answer| answer.reset.is_none()));
}

#[test]
fn a_body_that_drips_is_given_up_and_its_neighbours_are_not() {
    let site = Site::new(|request: Request| match request.method().as_str() {
        "POST" => request.into_body().collect(1000).map(|_| "taken"),
        _ => {
            let (promise, later) = deferred::<&'static str>();
            std::mem::forget(promise);
            later
        }
    });
    let mut client = Client::of(&site);
    let drips = client.ask("POST", "/", &[], false);
    let waits = client.ask("GET", "/", &[], true);
    for _ in 0..20 {
        client.server.advance(Duration::from_secs(1));
        client.listen();
        if client.engine.is_live(drips) {
            client.send(drips, b"x", false);
        }
    }
    assert_eq!(client.answers[&drips].status, 408);
    assert!(client.engine.is_live(waits));
}

#[test]
fn a_window_that_stays_shut_costs_the_stream() {
    let site = Site::new(|request: Request| match request.uri().path() {
        "/large" => Body::from(vec![0; 10_000]),
        _ => Body::from("small"),
    });
    let mut limits = Streams::default();
    limits.window = 1000;
    let mut client = Client::with(&site, limits);
    client.releases = false;
    let stream = client.ask("GET", "/large", &[], true);
    client.listen();
    client.server.advance(Duration::from_secs(29));
    client.listen();
    assert!(client.answers[&stream].reset.is_none());
    client.server.advance(Duration::from_secs(3));
    client.listen();
    let code = client.answers[&stream].reset.as_ref().map(ropewalk_http2::ResetBy::code);
    assert_eq!(code, Some(ErrorCode::Cancel));
    assert_eq!(client.get("/small").body, b"small");
}

#[test]
fn who_reads_nothing_at_all_is_cut_off_and_costs_no_more_memory() {
    let site = hello();
    let mut client = Client::of(&site);
    client.server.set_room(0);
    let mut out = Vec::new();
    for _ in 0..100_000 {
        if client
            .engine
            .open(true, &mut out, |head| crate::client::request(head, "GET", "/", &[]))
            .is_err()
        {
            // It does not know that its requests are answered.
            break;
        }
    }
    let pings: Vec<u8> =
        (0..200).flat_map(|_| [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[0; 8]].concat()).collect();
    client.server.push(&out);
    // Enough that the connection's marks are passed.
    for _ in 0..40 {
        client.server.push(&pings);
    }
    assert!(client.server.waiting() < 200_000, "{}", client.server.waiting());
    client.server.advance(Duration::from_secs(40));
    assert!(client.server.ended().is_some());
}

#[test]
fn a_client_that_ends_its_stream_hears_its_answers() {
    let (site, promises) = patient();
    let mut client = Client::of(&site);
    let stream = client.ask("GET", "/", &[], true);
    client.server.eof();
    for promise in promises.take() {
        promise.succeed("late");
    }
    client.listen();
    assert_eq!(client.answers[&stream].body, b"late");
    assert!(client.server.ended().is_some());
}
