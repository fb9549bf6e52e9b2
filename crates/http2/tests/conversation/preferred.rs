//! How a client prefers its streams, also before it opens them (RFC 9218 7.1).

use std::time::Duration;

use ropewalk_http2::frame::{ErrorCode, PREFACE, write_priority_update};
use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Connection, Fatal, Limits, Memory, Nuisance, Priority};

use crate::corpus::{field, say};
use crate::ends::request;
use crate::frames::raw;

struct Server {
    connection: Connection,
    out: Vec<u8>,
}

impl Server {
    /// One that takes so many streams at a time; `is_settled` where the client has heard so.
    fn of(streams_max: u32, is_settled: bool) -> Self {
        let mut limits = Limits::default();
        limits.streams_max = streams_max;
        let mut server = Self { connection: Connection::server(limits), out: Vec::new() };
        server.connection.greet(&mut server.out);
        let acknowledgement = if is_settled { raw(4, 1, 0, b"") } else { Vec::new() };
        let first = [PREFACE, &raw(4, 0, 0, b"")[..], &acknowledgement].concat();
        assert_eq!(server.hear(&first), Ok(vec!["settings".to_owned()]));
        server
    }

    fn hear(&mut self, octets: &[u8]) -> Result<Vec<String>, Fatal> {
        let (mut input, mut said) = (octets, Vec::new());
        while let Some(event) = self.connection.next(&mut input, Duration::ZERO, &mut self.out)? {
            said.push(say(&event));
        }
        Ok(said)
    }

    #[track_caller]
    fn prefer(&mut self, stream: u32, value: &str) -> Result<(), Fatal> {
        let mut update = Vec::new();
        write_priority_update(stream, value.as_bytes(), &mut update);
        let said = self.hear(&update)?;
        assert_eq!(said, Vec::<String>::new());
        Ok(())
    }

    /// Opens a stream, with a `Priority` field where it says anything.
    #[track_caller]
    fn open(&mut self, stream: u32, priority: &str) {
        let mut block = vec![0x82, 0x87, 0x84];
        if !priority.is_empty() {
            block.extend(field("priority", priority));
        }
        let said = self.hear(&raw(1, 5, stream, &block)).expect("no end");
        assert_eq!(said, [format!("GET https:/// on {stream}, end")]);
    }

    fn urgency(&self, stream: u32) -> Option<u8> {
        self.connection.priority(stream).map(|priority| priority.urgency)
    }

    fn answer(&mut self, stream: u32) {
        let head =
            |head: &mut ropewalk_http2::hpack::Section<'_>| head.pseudo(Pseudo::Status, b"200");
        self.connection.send_head(stream, true, &mut self.out, head);
    }
}

#[test]
fn what_was_said_of_a_stream_before_it_was_opened_holds() {
    let mut server = Server::of(10, true);
    server.prefer(3, "u=6").expect("a client may");
    server.prefer(5, "u=5, i").expect("a client may");
    // Of two the later one holds.
    server.prefer(3, "u=1").expect("a client may");
    server.open(1, "u=4");
    server.open(3, "u=7");
    server.open(5, "");
    assert_eq!([1, 3, 5].map(|stream| server.urgency(stream)), [Some(4), Some(1), Some(5)]);
    let shared = Priority { urgency: 5, is_incremental: true };
    assert_eq!(server.connection.priority(5), Some(shared));
    // It was said of that stream alone, and may be said otherwise.
    server.open(7, "");
    assert_eq!(server.urgency(7), Some(3));
    server.prefer(3, "u=2").expect("a client may");
    assert_eq!(server.urgency(3), Some(2));
}

#[test]
fn no_more_are_spoken_of_than_may_be_open() {
    let most = Fatal::TooManyPreferred { max: 4 };
    assert_eq!(most.code(), ErrorCode::ProtocolError);
    for open in 0..=4 {
        let mut server = Server::of(4, true);
        (0..open).for_each(|at| server.open(2 * at + 1, ""));
        for at in open..4 {
            server.prefer(2 * at + 1, "u=1").expect("there is room");
        }
        // What was spoken of takes no more room for being spoken of again.
        (open..4).for_each(|at| server.prefer(2 * at + 1, "u=2").expect("there is room"));
        assert_eq!(server.prefer(9, "u=1"), Err(most.clone()), "{open} are open");
    }
    // Those that were opened, or passed over, make room.
    let mut server = Server::of(4, true);
    for stream in [1, 3, 5, 7] {
        server.prefer(stream, "u=1").expect("there is room");
    }
    server.open(5, "");
    server.answer(5);
    for stream in [9, 11, 13] {
        server.prefer(stream, "u=1").expect("there is room");
    }
    assert_eq!(server.prefer(15, "u=1"), Err(most));
}

#[test]
fn a_client_that_has_not_heard_of_the_bound_is_not_held_to_it() {
    let mut server = Server::of(2, false);
    for at in 0..10 {
        server.prefer(2 * at + 1, "u=0").expect("it could not know");
    }
    // Those that there was room for are kept.
    server.open(1, "");
    server.open(3, "");
    server.answer(1);
    server.answer(3);
    server.open(5, "");
    assert_eq!(server.urgency(5), Some(3));
    let mut server = Server::of(2, false);
    server.prefer(1, "u=0").expect("it could not know");
    server.open(1, "");
    assert_eq!(server.urgency(1), Some(0));
}

#[test]
fn what_is_over_is_spoken_of_in_vain_and_nothing_is_kept_of_it() {
    let mut server = Server::of(10, true);
    server.open(5, "");
    server.answer(5);
    assert_eq!(server.connection.memory().streams, 0);
    // One that is over, and two that were passed over.
    for stream in [5, 1, 3] {
        server.prefer(stream, "u=0").expect("it crossed with the answer");
    }
    assert_eq!(server.connection.memory().streams, 0);
    // What is kept of those to come goes as they come.
    server.prefer(7, "u=0").expect("a client may");
    assert!(server.connection.memory().streams > 0);
    server.open(9, "");
    server.answer(9);
    let Memory { frames, streams, resets, .. } = server.connection.memory();
    assert_eq!((frames, streams, resets), (0, 0, 0));
}

#[test]
fn behind_a_farewell_nothing_is_kept() {
    let mut server = Server::of(10, true);
    server.connection.go_away(&mut server.out);
    server.hear(&raw(6, 1, 0, b"goodbye\0")).expect("it has heard");
    for at in 0..20 {
        server.prefer(2 * at + 1, "u=0").expect("it may have crossed");
    }
    assert_eq!(server.connection.memory().streams, 0);
}

#[test]
fn only_clients_say_so_and_of_their_own_streams() {
    // Nothing is pushed, so that no stream of the server's is ever open.
    let mut server = Server::of(10, true);
    let pushed = Fatal::IdleStream { stream: 2 };
    assert_eq!(pushed.code(), ErrorCode::ProtocolError);
    assert_eq!(server.prefer(2, "u=1"), Err(pushed));
    let (mut client, mut out) = (Connection::client(Limits::default()), Vec::new());
    client.greet(&mut out);
    let stream = client.open(true, &mut out, |head| request(head, "/")).expect("a stream");
    out.clear();
    let mut update = Vec::new();
    write_priority_update(stream, b"u=1", &mut update);
    let heard = [raw(4, 0, 0, b""), update].concat();
    let mut input = &heard[..];
    let end = loop {
        match client.next(&mut input, Duration::ZERO, &mut out) {
            Ok(event) => assert!(event.is_some(), "no server says so"),
            Err(fatal) => break fatal,
        }
    };
    assert_eq!((end.code(), end), (ErrorCode::ProtocolError, Fatal::ServersPriority));
    assert!(out.windows(4).any(|part| part[0] == 0 && part[3] == 7), "a farewell: {out:?}");
}

#[test]
fn saying_so_over_and_over_is_a_nuisance() {
    let mut server = Server::of(10, true);
    let burst = Limits::default().empties.burst;
    (0..burst).for_each(|_| server.prefer(1, "u=1").expect("within the bound"));
    assert_eq!(server.prefer(1, "u=1"), Err(Fatal::TooMany(Nuisance::Empties)));
}

#[test]
fn a_client_says_so_until_the_server_has_said_that_it_does_not_care() {
    let urgent = Priority { urgency: 1, is_incremental: false };
    // Before the server has spoken, and after it has said that it goes by them, that it does not, or nothing.
    let settings = [None, Some((9, 1)), Some((9, 0)), Some((3, 100))];
    for (setting, is_told) in settings.into_iter().zip([true, true, false, false]) {
        let (mut client, mut out) = (Connection::client(Limits::default()), Vec::new());
        client.greet(&mut out);
        if let Some((number, value)) = setting {
            let octets = raw(4, 0, 0, &[0, number, 0, 0, 0, value]);
            let mut input = &octets[..];
            while client.next(&mut input, Duration::ZERO, &mut out).expect("settings").is_some() {}
        }
        let stream = client.open(true, &mut out, |head| request(head, "/")).expect("a stream");
        out.clear();
        client.change_priority(stream, urgent, &mut out);
        let mut update = Vec::new();
        write_priority_update(stream, b"u=1", &mut update);
        assert_eq!(out, if is_told { update } else { Vec::new() }, "{setting:?}");
        assert_eq!(client.priority(stream), Some(urgent));
    }
}
