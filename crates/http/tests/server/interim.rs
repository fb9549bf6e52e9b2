//! What a client hears before its answer.

use http::{HeaderMap, HeaderValue, StatusCode};
use ropewalk_http::{Interim, IntoReply as _, Request};

use crate::client::{Client, Held, Seen, get, post};

/// A client whose answers come later, and what speaks to it meanwhile.
fn stage() -> (Client, Held<&'static str>, Seen<Option<Interim>>) {
    let (held, seen) = (Held::new(), Seen::new());
    let (holding, kept) = (held.clone(), seen.clone());
    let client = Client::new(move |request: Request| {
        kept.push(request.interim());
        holding.wait().into_reply()
    });
    (client, held, seen)
}

fn hint(link: &'static str) -> [HeaderValue; 1] {
    [HeaderValue::from_static(link)]
}

#[test]
fn hints_come_before_the_answer() {
    let (mut client, held, seen) = stage();
    client.send(get("/"));
    let interim = seen.take().remove(0).expect("it speaks HTTP/1.1");
    interim.processing();
    interim.early_hints(
        ["</a.css>; rel=preload", "</b.js>; rel=preload"].map(HeaderValue::from_static),
    );
    client.memory.run();
    held.release("page");
    let answers = client.answers();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [102, 103, 200]);
    let links: Vec<_> = answers[1].fields.iter().map(|(_, link)| link.as_str()).collect();
    assert_eq!(links, ["</a.css>; rel=preload", "</b.js>; rel=preload"]);
    assert_eq!(answers[1].field("date"), None);
    assert_eq!(answers[2].text(), "page");
    client.assert_open();
}

#[test]
fn hints_that_come_too_late_are_not_sent() {
    let (mut client, held, seen) = stage();
    client.send(get("/"));
    let interim = seen.take().remove(0).expect("it speaks HTTP/1.1");
    held.release("page");
    interim.early_hints(hint("</late>"));
    assert_eq!(client.answer().status, 200);

    // Another request waits now, of which they do not tell.
    client.send(post("/", b"body"));
    interim.early_hints(hint("</of another>"));
    client.memory.run();
    client.assert_silent();
    held.release("page");
    assert_eq!(client.answer().status, 200);
    client.assert_open();
}

#[test]
fn old_clients_are_told_nothing_before_their_answer() {
    let (mut client, held, seen) = stage();
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    assert!(seen.take().remove(0).is_none(), "RFC 9110 15.2");
    held.release("page");
    assert_eq!(client.answer().text(), "page");
}

#[test]
fn clients_that_do_not_listen_are_told_no_more() {
    let (mut client, held, seen) = stage();
    client.send(get("/"));
    let interim = seen.take().remove(0).expect("it speaks HTTP/1.1");
    client.memory.set_room(0);
    for _ in 0..100_000 {
        interim.early_hints(hint("</a.css>; rel=preload"));
        client.memory.run();
    }
    client.memory.set_room(u64::MAX);
    held.release("page");
    let count = client.answers().len();
    assert!(count < 2000, "64 KiB of hints wait, not {count} of them");
}

#[test]
fn what_would_be_read_as_framing_is_left_out() {
    let (mut client, held, seen) = stage();
    client.send(get("/"));
    let interim = seen.take().remove(0).expect("it speaks HTTP/1.1");
    let mut fields = HeaderMap::new();
    for (name, value) in [("content-length", "5"), ("transfer-encoding", "chunked"), ("x-a", "b")] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    interim.send(StatusCode::EARLY_HINTS, fields);
    client.memory.run();
    let sent = client.memory.take_sent();
    assert_eq!(sent.escape_ascii().to_string(), "HTTP/1.1 103 Early Hints\\r\\nx-a: b\\r\\n\\r\\n");
    held.release("page");
    assert_eq!(client.answer().status, 200);
}
