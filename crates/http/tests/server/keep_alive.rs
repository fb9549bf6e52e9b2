//! One connection, many requests: in order, and to an end.

use std::cell::Cell;
use std::rc::Rc;

use http::StatusCode;
use ropewalk_deferred::Deferred;
use ropewalk_http::{Body, IntoReply, Reply, Request, Site};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::Clock;

use crate::client::{A_MOMENT, Client, Held, filler, get, head, just_under, post, secs, site};

/// `/later` when it is told, `/stream` piece by piece, anything else now.
fn mixed(held: &Held<String>) -> Site {
    let held = held.clone();
    site(move |request: Request| match request.uri().path() {
        "/later" => held.wait().into_reply(),
        "/ready" => Deferred::succeed("ready").into_reply(),
        "/stream" => {
            let (mut sender, body) = Body::channel();
            sender.write("str").expect("room");
            sender.write("eam").expect("room");
            sender.finish();
            body.into_reply()
        }
        path => path.to_owned().into_reply(),
    })
}

#[test]
fn a_connection_goes_on() {
    let mut client = Client::new(|request: Request| request.uri().path().to_owned());
    for path in ["/a", "/b", "/c"] {
        let answer = client.ask(get(path));
        assert_eq!((answer.status, answer.text()), (200, path));
        assert_eq!(answer.field("connection"), None);
        client.assert_open();
    }
}

#[test]
fn a_connection_ends_where_the_client_wants_it() {
    for fields in ["Connection: close", "Connection: foo, Close"] {
        let mut client = Client::new(|_: Request| "ok");
        let answer = client.ask(head("GET / HTTP/1.1", &[fields]));
        assert!(answer.closes());
        assert_eq!(answer.text(), "ok");
        client.assert_over();
    }
}

#[test]
fn the_old_version_goes_on_only_if_it_is_asked_to() {
    let mut client = Client::new(|_: Request| "ok");
    let answer = client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(answer.field("connection"), Some("keep-alive"));
    client.assert_open();
    let answer = client.ask(b"GET / HTTP/1.0\r\n\r\n");
    assert!(answer.closes());
    client.assert_over();
}

#[test]
fn an_answer_can_end_the_connection() {
    let mut client = Client::new(|_: Request| {
        http::Response::builder().header("connection", "close").body("bye").expect("an answer")
    });
    client.send([get("/a"), get("/b")].concat());
    assert!(client.answer().closes());
    client.assert_over();
}

#[test]
fn a_tunnel_is_no_place_for_more_requests() {
    let mut client = Client::new(|_: Request| "I am no proxy");
    client.expect_no_body();
    client.send([&b"CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n"[..], &get("/inside")].concat());
    let answers = client.answers();
    assert_eq!(answers.len(), 1, "{answers:?}");
    client.assert_over();
}

#[test]
fn answers_come_in_the_order_of_their_requests() {
    let held = Held::new();
    let mut client = Client::of(&mixed(&held), &Clock::new());
    let paths = ["/later", "/now", "/stream", "/ready", "/later", "/last"];
    client.send(paths.map(get).concat());
    client.assert_silent();
    assert_eq!(held.count(), 1);

    held.release("first".to_owned());
    let texts: Vec<_> = client.answers().iter().map(|answer| answer.text().to_owned()).collect();
    assert_eq!(texts, ["first", "/now", "stream", "ready"]);

    held.release("second".to_owned());
    let texts: Vec<_> = client.answers().iter().map(|answer| answer.text().to_owned()).collect();
    assert_eq!(texts, ["second", "/last"]);
    client.assert_open();
}

#[test]
fn a_client_waits_with_its_next_requests_while_an_answer_is_made() {
    let held = Held::new();
    let mut client = Client::of(&mixed(&held), &Clock::new());
    client.send(get("/later"));
    assert!(client.memory.is_reading(), "a client that leaves is to be noticed");
    client.send(get("/now"));
    assert!(!client.memory.is_reading());
    held.release("done".to_owned());
    assert_eq!(client.answers().len(), 2);
    assert!(client.memory.is_reading());
}

#[test]
fn sixty_four_requests_in_a_row_are_answered_in_a_row() {
    let mut client = Client::new(|request: Request| request.uri().path().to_owned());
    let paths: Vec<_> = (0..64).map(|number| format!("/{number}")).collect();
    client.send(paths.iter().map(|path| get(path)).collect::<Vec<_>>().concat());
    let texts: Vec<_> = client.answers().iter().map(|answer| answer.text().to_owned()).collect();
    assert_eq!(texts, paths);
}

#[test]
fn a_long_line_behind_a_late_answer_neither_nests_nor_is_forgotten() {
    const COUNT: usize = 20_000;
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |request: Request| {
        counted.set(counted.get() + 1);
        match request.uri().path() {
            "/later" => holding.wait().into_reply(),
            "/ready" => Reply::Later(Deferred::succeed(http::Response::default())),
            _ => StatusCode::NO_CONTENT.into_reply(),
        }
    });
    let line = [get("/now"), get("/ready")].concat().repeat(COUNT / 2);
    client.send([get("/later"), line].concat());
    held.release(StatusCode::OK);
    assert_eq!(client.answers().len(), COUNT + 1);
    assert_eq!(count.get(), COUNT + 1);
}

#[test]
fn a_line_of_late_answers_moves_on_one_by_one() {
    let held = Held::new();
    let mut client = Client::of(&mixed(&held), &Clock::new());
    client.send(get("/later").repeat(500));
    for number in 0..500 {
        assert_eq!(held.count(), 1);
        held.release(number.to_string());
        assert_eq!(client.answer().text(), number.to_string());
    }
    assert_eq!(held.count(), 0);
}

#[test]
fn a_client_that_takes_no_answers_gets_no_more() {
    // Each answer is small enough to be copied, so what waits is memory of ours.
    let mut client = Client::new(|_: Request| "x".repeat(2000));
    client.memory.set_room(0);
    let line = get("/").repeat(1000);
    let mut pushed = 0;
    while pushed < 100 && client.memory.push(&line) > 0 {
        pushed += 1;
    }
    assert!(pushed < 3, "{pushed} lines were taken in");
    client.memory.set_room(u64::MAX);
    assert_eq!(client.answers().len(), pushed * 1000);
    assert!(client.memory.is_reading());
    assert_eq!(client.ask(get("/")).status, 200);
}

#[test]
fn a_client_that_ends_its_stream_still_gets_its_answer() {
    let held = Held::new();
    let mut client = Client::of(&mixed(&held), &Clock::new());
    client.send(get("/later"));
    client.memory.eof();
    assert_eq!(client.memory.ended(), None);
    held.release("late".to_owned());
    let answer = client.answer();
    assert_eq!(answer.text(), "late");
    assert!(answer.closes());
    client.assert_ended(Disconnect::Closed);
}

#[test]
fn a_client_that_ends_its_stream_gets_all_its_answers() {
    let held = Held::new();
    let mut client = Client::of(&mixed(&held), &Clock::new());
    client.send(["/later", "/a", "/later", "/b"].map(get).concat());
    client.memory.eof();
    held.release("one".to_owned());
    assert_eq!(client.answers().len(), 2);
    held.release("two".to_owned());
    assert_eq!(client.answers().len(), 2);
    client.assert_ended(Disconnect::Closed);
}

#[test]
fn a_client_that_ends_its_stream_under_a_streamed_answer_gets_the_rest() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |_: Request| {
        let (sender, body) = Body::channel();
        holding.wait().on_result(move |piece: Result<String, _>| {
            let mut sender = sender;
            sender.write(piece.expect("a piece")).expect("room");
            sender.finish();
        });
        body
    });
    client.send(get("/"));
    client.memory.eof();
    held.release("rest".to_owned());
    assert_eq!(client.answer().text(), "rest");
    client.assert_ended(Disconnect::Closed);
}

#[test]
fn an_error_reaches_a_client_that_is_still_sending() {
    let mut client = Client::new(|_: Request| "ok");
    client.send(b"GET / HTTP/9.9\r\n\r\n");
    assert_eq!(client.answer().status, 505);
    assert!(client.memory.is_write_closed());
    for _ in 0..16 {
        client.send(filler(64 * 1024));
        assert_eq!(client.memory.ended(), None);
    }
    client.memory.push(b"x");
    client.assert_ended(Disconnect::Aborted);
    client.assert_silent();
}

#[test]
fn goodbye_has_an_end() {
    let mut client = Client::new(|_: Request| "ok");
    client.ask(head("GET / HTTP/1.1", &["Connection: close"]));
    client.advance(secs(4)).send(b"and another thing");
    client.advance(just_under(1));
    assert_eq!(client.memory.ended(), None);
    client.advance(A_MOMENT);
    client.assert_ended(Disconnect::Closed);
}

#[test]
fn a_slow_reader_gets_all_of_a_last_answer() {
    let mut client = Client::new(|_: Request| vec![b'x'; 200_000]);
    client.memory.set_room(0);
    client.send(head("GET / HTTP/1.1", &["Connection: close"]));
    for _ in 0..20 {
        client.advance(secs(20));
        client.memory.set_room(10_000);
    }
    client.memory.set_room(u64::MAX);
    assert_eq!(client.answer().body.len(), 200_000);
    client.assert_over();
}

#[test]
fn a_slow_reader_gets_all_of_an_answer_and_may_ask_again() {
    let mut client = Client::new(|_: Request| vec![b'x'; 200_000]);
    client.memory.set_room(0);
    client.send(get("/")).send(get("/"));
    for _ in 0..39 {
        client.advance(secs(20));
        client.memory.set_room(10_000);
    }
    client.memory.set_room(u64::MAX);
    assert_eq!(client.answers().len(), 2);
    client.assert_open();
    client.memory.push(&post("/", b"a"));
    assert_eq!(client.answer().status, 200);
}
