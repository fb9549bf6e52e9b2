//! Answers that go out piece by piece.

use std::cell::Cell;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::{Body, BodyPiece, BodySender, BodyStream, IntoReply, Request, SendError};
use ropewalk_protocol::Disconnect;

use crate::client::{Client, Held, Seen, filler, get, head, post};

fn piece(size: usize) -> BodyPiece {
    BodyPiece::Bytes(vec![b'x'; size].into())
}

/// Pieces of these sizes, all there at once.
fn pieces(sizes: impl Into<Vec<usize>>) -> BodyStream {
    let mut sizes = sizes.into().into_iter();
    BodyStream::new(move || Deferred::succeed(sizes.next().map(piece)))
}

#[test]
fn a_stream_of_unknown_length_goes_out_in_chunks() {
    let mut client = Client::new(|_: Request| Body::stream(pieces([3, 0, 200_000, 1])));
    let answer = client.ask(get("/"));
    assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.body.len(), 200_004);
    client.assert_open();
}

#[test]
fn a_stream_of_known_length_says_so() {
    let mut client = Client::new(|_: Request| Body::stream_of(200_004, pieces([3, 200_000, 1])));
    let answer = client.ask(get("/"));
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!(answer.field("content-length"), Some("200004"));
    assert_eq!(answer.body.len(), 200_004);
    client.assert_open();
}

#[test]
fn a_stream_to_an_old_client_ends_with_the_connection() {
    let mut client = Client::new(|_: Request| Body::stream(pieces([3, 4])));
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(client.memory.is_write_closed());
    let answer = client.answer();
    assert!(answer.closes());
    assert_eq!(answer.body.len(), 7);
    client.assert_over();
}

#[test]
fn many_pieces_go_out_in_turns() {
    let mut client = Client::new(|_: Request| Body::stream(pieces(vec![1; 10_000])));
    assert_eq!(client.ask(get("/")).body.len(), 10_000);
}

#[test]
fn a_stream_that_breaks_its_word_cuts_the_connection() {
    for sizes in [&[3, 3][..], &[5, 1], &[2], &[]] {
        let sizes = sizes.to_vec();
        let mut client = Client::new(move |_: Request| Body::stream_of(5, pieces(sizes.clone())));
        client.send(get("/"));
        client.assert_ended(Disconnect::Aborted);
    }
}

#[test]
fn a_stream_that_fails_cuts_the_connection_and_is_not_asked_again() {
    let asked = Rc::new(Cell::new(0));
    let held = Held::<Option<BodyPiece>>::new();
    for late in [false, true] {
        asked.set(0);
        let (counted, holding) = (Rc::clone(&asked), held.clone());
        let mut client = Client::new(move |_: Request| {
            let (counted, holding) = (Rc::clone(&counted), holding.clone());
            Body::stream(BodyStream::new(move || {
                counted.set(counted.get() + 1);
                if late { holding.wait() } else { Deferred::fail(Failure::new("broken")) }
            }))
        });
        client.send(get("/"));
        if late {
            held.release(Some(piece(3)));
            client.memory.run();
            assert!(client.memory.take_sent().ends_with(b"3\r\nxxx\r\n"));
            held.take().fail(Failure::new("broken"));
        }
        client.assert_ended(Disconnect::Aborted);
        assert_eq!(asked.get(), 1 + u32::from(late));
    }
}

#[test]
fn a_stream_that_panics_ends_its_own_connection() {
    let mut client =
        Client::new(|_: Request| Body::stream(BodyStream::new(|| panic!("in the middle"))));
    client.send(get("/"));
    client.assert_ended(Disconnect::Panicked);
}

#[test]
fn pieces_are_asked_for_only_while_the_client_takes_them() {
    let asked = Rc::new(Cell::new(0));
    let counted = Rc::clone(&asked);
    let mut client = Client::new(move |_: Request| {
        let counted = Rc::clone(&counted);
        Body::stream(BodyStream::new(move || {
            counted.set(counted.get() + 1);
            Deferred::succeed((counted.get() <= 100).then(|| piece(10_000)))
        }))
    });
    client.memory.set_room(0);
    client.send(get("/"));
    assert_eq!(asked.get(), 7, "64 KiB may wait");
    client.memory.set_room(20_000);
    assert_eq!(asked.get(), 7, "more than 16 KiB still wait");
    client.memory.set_room(40_000);
    assert!((10..=13).contains(&asked.get()), "{}", asked.get());
    client.memory.set_room(u64::MAX);
    assert_eq!(client.answer().body.len(), 1_000_000);
    assert_eq!(asked.get(), 101);
}

#[test]
fn late_pieces_are_asked_for_one_at_a_time() {
    let held = Held::new();
    let holding = held.clone();
    let mut client = Client::new(move |_: Request| {
        let holding = holding.clone();
        Body::stream(BodyStream::new(move || holding.wait()))
    });
    client.send([get("/"), get("/")].concat());
    client.memory.take_sent();
    for size in [1, 2, 3] {
        assert_eq!(held.count(), 1);
        held.release(Some(piece(size)));
        client.memory.run();
    }
    assert_eq!(client.memory.take_sent(), b"1\r\nx\r\n2\r\nxx\r\n3\r\nxxx\r\n");
    held.release(None);
    assert!(client.memory.take_sent().starts_with(b"0\r\n\r\nHTTP/1.1 200 "));
    assert_eq!(held.count(), 1, "the next answer has begun");
    client.memory.lose(Disconnect::Reset);
    assert!(held.take().is_cancelled());
}

/// A client, and the senders of the answers that it was given.
fn sending() -> (Client, Seen<BodySender>) {
    let senders = Seen::new();
    let kept = senders.clone();
    let client = Client::new(move |_: Request| {
        let (sender, body) = Body::channel();
        kept.push(sender);
        body
    });
    (client, senders)
}

#[test]
fn a_sender_writes_whenever_it_likes() {
    let (mut client, senders) = sending();
    client.send(get("/"));
    let mut sender = senders.take().remove(0);
    for text in ["one", "", "two"] {
        sender.write(text).expect("room");
    }
    assert!(client.memory.take_sent().ends_with(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n"));
    sender.finish();
    assert_eq!(client.memory.take_sent(), b"0\r\n\r\n");
    client.assert_open();
}

#[test]
fn a_sender_that_fails_or_is_forgotten_cuts_the_connection() {
    let (mut client, senders) = sending();
    client.send(get("/"));
    let mut sender = senders.take().remove(0);
    sender.write("one").expect("room");
    sender.fail(Failure::new("broken"));
    client.assert_ended(Disconnect::Aborted);

    let (mut client, senders) = sending();
    client.send(get("/"));
    drop(senders.take());
    client.assert_ended(Disconnect::Aborted);
}

#[test]
fn a_sender_is_told_when_there_is_room() {
    let (mut client, senders) = sending();
    client.memory.set_room(0);
    client.send(get("/"));
    let mut sender = senders.take().remove(0);
    let mut count = 0;
    let waiting = loop {
        match sender.ready().try_take() {
            Ok(ready) => ready.expect("there is room"),
            Err(waiting) => break waiting,
        }
        sender.write(vec![b'x'; 10_000]).expect("it was ready");
        client.memory.run();
        count += 1;
    };
    assert_eq!(count, 14, "64 KiB in the connection and 64 KiB here");
    client.memory.set_room(30_000);
    let waiting = waiting.try_take().expect_err("no room yet");
    client.memory.set_room(40_000);
    assert!(waiting.now_or_never().expect("room").is_ok());
    client.memory.set_room(u64::MAX);
    sender.finish();
    assert_eq!(client.answer().body.len(), 140_000);
}

#[test]
fn a_sender_keeps_no_more_than_its_bound() {
    let senders = Seen::new();
    let kept = senders.clone();
    let mut client = Client::new(move |_: Request| {
        let (sender, body) = Body::channel_of(10_000);
        kept.push(sender);
        body
    });
    client.memory.set_room(0);
    client.send(get("/"));
    let mut sender = senders.take().remove(0);
    // The connection's own buffer first: it takes no more once it is over its mark.
    sender.write(vec![b'a'; 70_000]).expect("nothing waits");
    client.memory.run();
    sender.write(vec![b'b'; 30_000]).expect("nothing waits: a piece of any length is taken");
    assert_eq!(sender.waiting(), 30_064);
    let refused = sender.write("more").expect_err("it is full");
    assert_eq!(refused, SendError::Full { refused: "more".into(), max: 10_000 });
    assert!(refused.to_string().contains("10000 bytes"), "{refused}");
    client.memory.set_room(u64::MAX);
    assert_eq!(sender.waiting(), 0);
    sender.write("more").expect("there is room");
    client.memory.set_room(0);
    sender.write(vec![b'a'; 70_000]).expect("there is room");
    client.memory.run();
    let many = (0..1000).take_while(|_| sender.write("c").is_ok()).count();
    assert_eq!(many, 10_000 / 65, "pieces of a byte each are bounded too");
    client.memory.set_room(u64::MAX);
    sender.finish();
    assert_eq!(client.answer().body.len(), 70_000 + 30_000 + 4 + 70_000 + many);
}

fn digest(value: &'static str) -> HeaderMap {
    let name = HeaderName::from_static("content-digest");
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

#[test]
fn fields_go_out_after_a_body_in_chunks() {
    for (early, is_waited_for) in [(true, false), (false, true)] {
        let (mut client, senders) = sending();
        client.send(head("GET / HTTP/1.1", &["TE: gzip;q=0.5, Trailers"]));
        let mut sender = senders.take().remove(0);
        if early {
            client.memory.set_room(0);
        }
        sender.write("body").expect("room");
        if is_waited_for {
            client.memory.run();
        }
        let mut trailers = digest("sha-256=:x:");
        // RFC 9110 6.5.1: what has to be known before the body cannot stand behind it.
        trailers.insert("content-length", HeaderValue::from_static("4"));
        sender.finish_with(trailers);
        client.memory.set_room(u64::MAX);
        let answer = client.answer();
        assert_eq!(answer.text(), "body");
        assert_eq!(answer.trailers, [("content-digest".to_owned(), "sha-256=:x:".to_owned())]);
        client.assert_open();
    }
}

#[test]
fn fields_go_out_after_a_body_to_those_alone_who_take_them() {
    for fields in [&[][..], &["TE: gzip"], &["TE: trailers-not"]] {
        let (mut client, senders) = sending();
        client.send(head("GET / HTTP/1.1", fields));
        let mut sender = senders.take().remove(0);
        sender.write("body").expect("room");
        sender.finish_with(digest("sha-256=:x:"));
        let answer = client.answer();
        assert_eq!((answer.text(), answer.trailers.len()), ("body", 0), "{fields:?}");
        client.assert_open();
    }
}

#[test]
fn fields_after_a_body_of_known_length_have_no_place() {
    let mut client = Client::new(|_: Request| {
        let mut pieces = vec![BodyPiece::Trailers(digest("x")), piece(3)];
        Body::stream_of(3, BodyStream::new(move || Deferred::succeed(pieces.pop())))
    });
    let answer = client.ask(get("/"));
    assert_eq!((answer.text(), answer.trailers.len()), ("xxx", 0));
    client.assert_open();
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().text(), "xxx");
}

#[test]
fn a_sender_is_told_that_its_client_is_gone() {
    let (mut client, senders) = sending();
    client.memory.set_room(0);
    client.send(get("/"));
    let mut sender = senders.take().remove(0);
    for _ in 0..20 {
        sender.write(vec![b'x'; 10_000]).expect("less than may wait");
        client.memory.run();
    }
    let ready = sender.ready();
    assert!(!sender.is_gone());
    client.memory.lose(Disconnect::Reset);
    assert!(sender.is_gone());
    assert!(ready.now_or_never().expect("an end").is_err());
    assert!(sender.ready().now_or_never().expect("an end").is_err());
    assert_eq!(sender.write("to nobody"), Err(SendError::Gone));
    sender.finish();
}

#[test]
fn nobody_takes_the_body_of_an_answer_that_has_none() {
    let (mut client, senders) = sending();
    client.send(head("HEAD / HTTP/1.1", &[])).expect_no_body();
    assert_eq!(client.answer().status, 200);
    assert!(senders.take()[0].is_gone());
    client.assert_open();

    let mut client =
        Client::new(|_: Request| (StatusCode::NO_CONTENT, Body::stream(pieces([5]))).into_reply());
    assert_eq!(client.ask(get("/")).status, 204);
    client.assert_open();
}

/// Answers with what comes, as it comes.
fn parrot(request: Request) -> Body {
    let mut body = request.into_body();
    Body::stream(BodyStream::new(move || {
        body.next_piece().map(|piece| piece.map(BodyPiece::Bytes))
    }))
}

#[test]
fn a_body_that_an_answer_is_made_of_is_asked_for_before_the_answer() {
    let mut client = Client::new(parrot);
    client.send(head("POST / HTTP/1.1", &["Expect: 100-continue", "Content-Length: 10"]));
    let sent = client.memory.take_sent();
    assert!(sent.starts_with(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    client.send("hello").send("world");
    assert_eq!(client.memory.take_sent(), b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n");
    client.assert_open();
    assert_eq!(client.ask(post("/", b"again")).text(), "again");
}

#[test]
fn a_client_that_hears_its_own_words_has_to_listen_to_say_more() {
    let mut client = Client::new(parrot);
    client.memory.set_room(0);
    client.send(head("POST / HTTP/1.1", &["Content-Length: 1000000"]));
    let mut left = 1_000_000;
    while left > 0 && client.memory.push(&filler(10_000)) > 0 {
        left -= 10_000;
    }
    let taken_in = 1_000_000 - left;
    assert!((128 * 1024..160 * 1024).contains(&taken_in), "{taken_in}");
    client.memory.set_room(u64::MAX);
    while left > 0 {
        client.send(filler(10_000));
        left -= 10_000;
    }
    assert_eq!(client.answer().body.len(), 1_000_000);
    client.assert_open();
}
