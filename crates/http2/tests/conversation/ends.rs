//! Two ends that speak with each other.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ropewalk_http2::hpack::{Pseudo, Section};
use ropewalk_http2::{Connection, Limits, NotOpened, Priority, ResetBy};

use crate::corpus::say;

pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
}

impl Pair {
    pub(crate) fn new(client: Limits, server: Limits) -> Self {
        let (client, server) = (Connection::client(client), Connection::server(server));
        let (to_server, to_client) = (Vec::new(), Vec::new());
        let mut pair = Self { client, server, to_server, to_client };
        pair.client.greet(&mut pair.to_server);
        pair.server.greet(&mut pair.to_client);
        let expected =
            ["server: settings", "server: writable", "client: settings", "client: writable"];
        assert_eq!(pair.pass(), expected);
        pair.pass();
        assert!(pair.client.is_settled() && pair.server.is_settled());
        pair
    }

    pub(crate) fn get(&mut self, path: &str) -> u32 {
        self.client.open(true, &mut self.to_server, |head| request(head, path)).expect("a stream")
    }

    pub(crate) fn answer(&mut self, stream: u32, is_end: bool) {
        let head = |head: &mut Section<'_>| head.pseudo(Pseudo::Status, b"200");
        self.server.send_head(stream, is_end, &mut self.to_client, head);
    }

    /// As much of `body` as there is room for, from the server.
    pub(crate) fn push(&mut self, stream: u32, body: &[u8], is_end: bool) -> usize {
        let len = self.server.room(stream).min(body.len());
        let is_end = is_end && len == body.len();
        if let Some(head) = self.server.data_head(stream, len, is_end, &mut self.to_client) {
            self.to_client.extend_from_slice(&head);
            self.to_client.extend_from_slice(&body[..len]);
        }
        len
    }

    /// Carries what waits, both ways once; what the two ends say of it.
    pub(crate) fn pass(&mut self) -> Vec<String> {
        let Self { client, server, to_server, to_client } = self;
        let (up, down) = (std::mem::take(to_server), std::mem::take(to_client));
        let mut said = Vec::new();
        said.extend(
            hear(server, &up, to_client).into_iter().map(|event| format!("server: {event}")),
        );
        said.extend(
            hear(client, &down, to_server).into_iter().map(|event| format!("client: {event}")),
        );
        said
    }
}

pub(crate) fn request(head: &mut Section<'_>, path: &str) {
    head.pseudo(Pseudo::Method, b"GET");
    head.pseudo(Pseudo::Scheme, b"https");
    head.pseudo(Pseudo::Authority, b"example.com");
    head.pseudo(Pseudo::Path, path.as_bytes());
}

fn hear(end: &mut Connection, mut input: &[u8], out: &mut Vec<u8>) -> Vec<String> {
    let mut said = Vec::new();
    loop {
        match end.next(&mut input, Duration::ZERO, out) {
            Ok(Some(event)) => said.push(say(&event)),
            Ok(None) => return said,
            Err(fatal) => {
                said.push(format!("{}: {fatal}", fatal.code()));
                return said;
            }
        }
    }
}

fn pair() -> Pair {
    Pair::new(Limits::default(), Limits::default())
}

#[test]
fn a_request_and_its_answer() {
    let mut pair = pair();
    let stream = pair.get("/one");
    assert_eq!(pair.pass(), ["server: GET https://example.com/one on 1, end"]);
    pair.answer(stream, false);
    pair.push(stream, b"hello", true);
    assert_eq!(pair.pass(), ["client: 200 on 1", "client: \"hello\" on 1, end"]);
    assert_eq!((pair.client.streams(), pair.server.streams()), (0, 0));
    assert!(pair.client.is_idle() && pair.server.is_idle());
}

#[test]
fn interim_answers_and_trailers() {
    let mut pair = pair();
    let stream = pair.get("/");
    pair.pass();
    let hint = |head: &mut Section<'_>| head.pseudo(Pseudo::Status, b"103");
    pair.server.send_head(stream, false, &mut pair.to_client, hint);
    pair.answer(stream, false);
    pair.push(stream, b"x", false);
    pair.server.send_head(stream, true, &mut pair.to_client, |trailers| {
        trailers.field(&HeaderName::from_static("sum"), &HeaderValue::from_static("1"));
    });
    let expected =
        ["client: 103 on 1", "client: 200 on 1", "client: \"x\" on 1", "client: sum: 1 behind 1"];
    assert_eq!(pair.pass(), expected);
    assert_eq!(pair.client.streams() + pair.server.streams(), 0);
}

#[test]
fn a_body_waits_for_its_windows() {
    let mut limits = Limits::default();
    limits.window = 10;
    let mut pair = Pair::new(limits, Limits::default());
    let stream = pair.get("/");
    pair.pass();
    pair.answer(stream, false);
    assert_eq!(pair.push(stream, b"0123456789abc", true), 10);
    assert_eq!(pair.server.room(stream), 0);
    assert_eq!(pair.pass(), ["client: 200 on 1", "client: \"0123456789\" on 1"]);
    // Four dealt with are not worth a word; half of the window is.
    pair.client.release(stream, 4, &mut pair.to_server);
    assert!(pair.to_server.is_empty());
    pair.client.release(stream, 1, &mut pair.to_server);
    assert_eq!(pair.pass(), ["server: writable"]);
    assert_eq!(pair.server.room(stream), 5);
    assert_eq!(pair.push(stream, b"abc", true), 3);
    assert_eq!(pair.pass(), ["client: \"abc\" on 1, end"]);
}

#[test]
fn all_streams_share_the_connections_window() {
    let mut pair = pair();
    let streams: Vec<u32> = (0..5).map(|_| pair.get("/")).collect();
    pair.pass();
    // The client allowed 1 MiB in all and 256 KiB a stream.
    let mut sent = 0;
    for &stream in &streams {
        pair.answer(stream, false);
        loop {
            let len = pair.push(stream, &[0; 16_384], false);
            if len == 0 {
                break;
            }
            sent += len;
        }
    }
    assert_eq!(sent, 1024 * 1024);
    assert_eq!(pair.server.next_sender(), None);
    pair.pass();
    pair.client.release(1, 256 * 1024, &mut pair.to_server);
    // A quarter is not half.
    assert_eq!(pair.pass(), ["server: writable"]);
    assert_eq!(pair.server.room(9), 0);
    pair.client.release(3, 256 * 1024, &mut pair.to_server);
    pair.pass();
    assert_eq!(pair.server.room(9), 16_384);
}

#[test]
fn a_smaller_window_may_be_owed_to() {
    let mut pair = pair();
    let stream = pair.get("/");
    pair.pass();
    pair.answer(stream, false);
    pair.push(stream, &[0; 100], false);
    // SETTINGS_INITIAL_WINDOW_SIZE of 50, where 100 are under way.
    pair.to_server.extend(crate::frames::raw(4, 0, 0, &[0, 4, 0, 0, 0, 50]));
    pair.pass();
    assert_eq!(pair.server.room(stream), 0);
    pair.to_server.extend(crate::frames::raw(8, 0, 1, &[0, 0, 0, 60]));
    pair.pass();
    assert_eq!(pair.server.room(stream), 10);
}

#[test]
fn streams_are_served_by_urgency_and_share_where_they_may() {
    let mut pair = pair();
    let priorities = ["u=5", "u=1", "u=5, i", "u=5, i", ""];
    let streams: Vec<u32> = priorities
        .iter()
        .map(|priority| {
            let fields = |head: &mut Section<'_>| {
                request(head, "/");
                let value = HeaderValue::from_static(priority);
                head.field(&HeaderName::from_static("priority"), &value);
            };
            pair.client.open(true, &mut pair.to_server, fields).expect("a stream")
        })
        .collect();
    pair.pass();
    for &stream in &streams {
        pair.answer(stream, false);
        pair.server.set_wants_to_send(stream, true);
    }
    let mut order = Vec::new();
    let mut left = [2; 5];
    while let Some(stream) = pair.server.next_sender() {
        let at = stream as usize / 2;
        left[at] -= 1;
        pair.push(stream, b"part", left[at] == 0);
        order.push(stream);
    }
    assert_eq!(order, [3, 3, 9, 9, 1, 1, 5, 7, 5, 7]);
}

#[test]
fn priorities_change_on_the_way() {
    assert_eq!(Priority::parse(b"u=0,i"), Priority { urgency: 0, is_incremental: true });
    assert_eq!(Priority::parse(b"u=8, i=?0;x=1, other=2"), Priority::default());
    let mut pair = pair();
    let (first, second) = (pair.get("/1"), pair.get("/2"));
    pair.pass();
    for stream in [first, second] {
        pair.answer(stream, false);
        pair.server.set_wants_to_send(stream, true);
    }
    assert_eq!(pair.server.next_sender(), Some(first));
    ropewalk_http2::frame::write_priority_update(second, b"u=0", &mut pair.to_server);
    pair.pass();
    assert_eq!(pair.server.next_sender(), Some(second));
}

#[test]
fn a_stream_that_is_taken_back_is_over_at_both_ends() {
    let mut pair = pair();
    let stream = pair.get("/");
    pair.pass();
    pair.client.reset(stream, ropewalk_http2::frame::ErrorCode::Cancel, &mut pair.to_server);
    // What was on its way is nobody's fault.
    pair.answer(stream, false);
    pair.push(stream, b"too late", false);
    assert_eq!(pair.pass(), ["server: 1 reset: the peer ended the stream with CANCEL"]);
    assert_eq!(pair.pass(), Vec::<String>::new());
    let next = pair.get("/again");
    assert_eq!(pair.pass(), [format!("server: GET https://example.com/again on {next}, end")]);
}

#[test]
fn what_a_reset_stream_had_in_its_window_comes_back() {
    let mut pair = pair();
    for _ in 0..50 {
        let stream = pair.get("/");
        pair.pass();
        pair.answer(stream, false);
        for _ in 0..4 {
            assert_eq!(pair.push(stream, &[0; 16_384], false), 16_384);
        }
        pair.pass();
        pair.client.reset(stream, ropewalk_http2::frame::ErrorCode::Cancel, &mut pair.to_server);
        pair.pass();
    }
}

#[test]
fn a_server_goes_away_in_two_steps() {
    let mut pair = pair();
    let first = pair.get("/1");
    pair.pass();
    pair.server.go_away(&mut pair.to_client);
    // Sent before it heard: seen to all the same.
    let second = pair.get("/2");
    let said = pair.pass();
    assert_eq!(said[0], format!("server: GET https://example.com/2 on {second}, end"));
    assert_eq!(said[1], "client: goes away behind 2147483647: NO_ERROR");
    let refused = pair.client.open(true, &mut pair.to_server, |head| request(head, "/3"));
    assert_eq!(refused, Err(NotOpened::Going));
    pair.pass();
    assert_eq!(pair.pass(), [format!("client: goes away behind {second}: NO_ERROR")]);
    for stream in [first, second] {
        pair.answer(stream, true);
    }
    assert_eq!(pair.pass().len(), 2);
    assert_eq!(pair.server.streams(), 0);
}

#[test]
fn what_a_server_that_goes_away_has_not_seen_is_told_of() {
    let mut pair = pair();
    let first = pair.get("/1");
    pair.pass();
    let second = pair.get("/2");
    pair.server.go_away_at_once(
        ropewalk_http2::frame::ErrorCode::NoError,
        b"",
        &mut pair.to_client,
    );
    assert_eq!(
        pair.pass(),
        [
            format!("client: goes away behind {first}: NO_ERROR"),
            format!("client: {second} reset: {}", ResetBy::GoAway),
        ]
    );
    // The one that it saw goes on.
    pair.answer(first, true);
    assert_eq!(pair.pass(), ["client: 200 on 1, end"]);
}

#[test]
fn no_more_streams_than_the_server_takes() {
    let mut limits = Limits::default();
    limits.streams_max = 2;
    let mut pair = Pair::new(Limits::default(), limits);
    assert_eq!(pair.client.openable(), 2);
    pair.get("/1");
    pair.get("/2");
    let third = pair.client.open(true, &mut pair.to_server, |head| request(head, "/3"));
    assert_eq!(third, Err(NotOpened::TooMany { max: 2 }));
    pair.pass();
    pair.answer(1, true);
    pair.pass();
    assert_eq!(pair.client.openable(), 1);
}

#[test]
fn a_bodiless_answer_may_name_a_length() {
    let mut pair = pair();
    let stream = pair.get("/");
    pair.client.expect_no_body(stream);
    pair.pass();
    let length = HeaderValue::from_static("1000");
    pair.server.send_head(stream, true, &mut pair.to_client, |head| {
        head.pseudo(Pseudo::Status, b"200");
        head.field(&http::header::CONTENT_LENGTH, &length);
    });
    assert_eq!(pair.pass(), ["client: 200 on 1, end"]);
    // Where it was not asked for like this, the body is missing.
    let stream = pair.get("/");
    pair.pass();
    pair.server.send_head(stream, true, &mut pair.to_client, |head| {
        head.pseudo(Pseudo::Status, b"200");
        head.field(&http::header::CONTENT_LENGTH, &length);
    });
    let said = pair.pass();
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("client: 3 reset: the message was malformed"), "{said:?}");
}

#[test]
fn large_heads_go_in_pieces() {
    let mut limits = Limits::default();
    limits.list_max = 200_000;
    limits.block_max = 200_000;
    let mut pair = Pair::new(limits, Limits::default());
    let stream = pair.get("/");
    pair.pass();
    let value = HeaderValue::from_bytes(&vec![b'~'; 50_000]).expect("a value");
    pair.server.send_head(stream, true, &mut pair.to_client, |head| {
        head.pseudo(Pseudo::Status, b"200");
        head.field(&HeaderName::from_static("x"), &value);
    });
    assert_eq!(pair.pass(), ["client: 200 on 1, end"]);
}
