//! Pages that are told what happens.

use std::time::Duration;

use proptest::prelude::*;
use ropewalk_http::events::{
    Event, EventDecoder, EventGroup, EventOptions, EventSender, EventTooLong, Slow, Told,
    last_event_id,
};
use ropewalk_http::{Request, SendError};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::Clock;

use crate::client::{Client, Seen, get, head, just_under, secs, site};

fn decode<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<Told>, EventDecoder) {
    let mut decoder = EventDecoder::default();
    let mut told = Vec::new();
    for piece in pieces {
        decoder.push(piece).expect("short events");
        told.extend(std::iter::from_fn(|| decoder.next()));
    }
    (told, decoder)
}

/// What is read of `stream`, however it is cut: each event as its name, data and id.
#[track_caller]
fn check(stream: &str, expected: &[(&str, &str, &str)]) {
    for size in 1..=stream.len() {
        let (told, _) = decode(stream.as_bytes().chunks(size));
        let told: Vec<_> = told.iter().map(|told| (&*told.name, &*told.data, &*told.id)).collect();
        assert_eq!(told, expected, "{stream:?} in pieces of {size}");
    }
}

#[test]
fn streams_are_read_as_browsers_do() {
    check("data: YHOO\ndata: +2\ndata: 10\n\n", &[("message", "YHOO\n+2\n10", "")]);
    check(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        &[
            ("message", "first event", "1"),
            ("message", "second event", ""),
            ("message", " third event", ""),
        ],
    );
    check("data\n\ndata\ndata\n\ndata:", &[("message", "", ""), ("message", "\n", "")]);
    check("data:test\n\ndata: test\n\n", &[("message", "test", ""); 2]);
    check(
        "event: add\r\ndata: 1\r\n\r\nevent: x\r\rdata: 2\n\r",
        &[("add", "1", ""), ("message", "2", "")],
    );
    check("\u{feff}data: a\n\n\u{feff}data: b\n\n", &[("message", "a", "")]);
    check(
        "id: 5\n\ndata: a\n\nid: a\0b\ndata: b\n\n",
        &[("message", "a", "5"), ("message", "b", "5")],
    );
    check("datas: a\ndata : b\n:data: c\n\n", &[]);
    check("data: an event that is not whole\n", &[]);
    let (told, decoder) =
        decode([&b"data: \xff\nretry: 2500\nretry: 1e3\nretry\n\nid: late\n"[..]]);
    assert_eq!(told[0].data, "\u{fffd}");
    assert_eq!(decoder.retry(), Some(Duration::from_millis(2500)));
    assert_eq!(decoder.last_event_id(), "", "an id counts with the end of its event");
}

#[test]
fn clients_read_no_endless_event() {
    for endless in [&b"data: x\n"[..], b"x", b"event: x", b": x\n", b"id:x"] {
        let mut decoder = EventDecoder::with_max(1000);
        let mut pushed = 0;
        let outcome = loop {
            pushed += endless.len();
            match decoder.push(endless) {
                Ok(()) if pushed > 100_000 => break Ok(()),
                Ok(()) => (),
                Err(error) => break Err(error),
            }
        };
        // Comments are read and forgotten.
        let expected = if endless == b": x\n" { Ok(()) } else { Err(EventTooLong { max: 1000 }) };
        assert_eq!(outcome, expected, "{}", endless.escape_ascii());
    }
}

proptest! {
    #[test]
    fn events_survive_the_wire(
        id in proptest::option::of("[^\r\n\0]{0,9}"),
        name in proptest::option::of("[^\r\n]{0,9}"),
        data in "(?s).{0,40}|[a:\r\n]{0,9}",
        size in 1_usize..9,
    ) {
        let mut event = Event::new(data.clone());
        if let Some(id) = &id {
            event = event.with_id(id.clone()).expect("one line");
        }
        if let Some(name) = &name {
            event = event.named(name.clone()).expect("one line");
        }
        let bytes = event.retry(secs(2)).encode();
        let (told, decoder) = decode(bytes.chunks(size));
        prop_assert_eq!(told.len(), 1);
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| "message".into());
        prop_assert_eq!(&told[0].name, &name);
        prop_assert_eq!(&told[0].data, &data.replace("\r\n", "\n").replace('\r', "\n"));
        prop_assert_eq!(&told[0].id, &id.unwrap_or_default());
        prop_assert_eq!(decoder.retry(), Some(secs(2)));
    }
}

#[test]
fn ids_and_names_are_one_line() {
    for text in ["a\nb", "a\r", "\0"] {
        let error = Event::new("x").with_id(text).expect_err("no id");
        assert!(error.to_string().starts_with("an event's id: expected one line"), "{error}");
        // What readers do with a NUL differs: of a name it is a part.
        assert_eq!(Event::new("x").named(text).is_err(), text != "\0");
    }
}

/// A client that reads events, and the senders of what it asked for.
fn stage(options: EventOptions) -> (Client, Seen<EventSender>) {
    let seen = Seen::new();
    let kept = seen.clone();
    let client = Client::new(move |request: Request| {
        let (sender, answer) = EventSender::open(&request, options);
        kept.push(sender);
        answer
    });
    (client, seen)
}

#[test]
fn events_come_as_they_happen() {
    let (mut client, seen) = stage(EventOptions::default());
    client.send(get("/"));
    let sender = seen.take().remove(0);
    let answer = String::from_utf8(client.memory.take_sent()).expect("text");
    for line in
        ["content-type: text/event-stream", "cache-control: no-cache", "transfer-encoding: chunked"]
    {
        assert!(answer.contains(&format!("{line}\r\n")), "{line} in {answer}");
    }
    sender.send(&Event::new("a")).expect("room");
    client.memory.run();
    assert_eq!(client.memory.take_sent(), b"9\r\ndata: a\n\n\r\n");
    drop(sender);
    client.memory.run();
    assert_eq!(client.memory.take_sent(), b"0\r\n\r\n");
    client.assert_open();
}

#[test]
fn silence_is_broken_by_comments() {
    let (mut client, seen) = stage(EventOptions::default());
    client.send(get("/"));
    client.memory.take_sent();
    client.advance(secs(15)).assert_silent();
    client.advance(just_under(15)).assert_silent();
    client.advance(secs(1));
    assert_eq!(client.memory.take_sent(), b"3\r\n:\n\n\r\n");
    let sender = seen.take().remove(0);
    sender.send(&Event::new("a")).expect("room");
    client.advance(just_under(15));
    assert_eq!(client.memory.take_sent(), b"9\r\ndata: a\n\n\r\n");
    client.advance(secs(15));
    assert_eq!(client.memory.take_sent(), b"3\r\n:\n\n\r\n");
    sender.finish();
    client.memory.take_sent();
    client.advance(secs(45)).assert_silent();
}

#[test]
fn a_silent_stream_is_not_given_up_and_one_without_comments_stays_silent() {
    let (mut client, seen) = stage(EventOptions::default().with_keep_alive(None));
    client.send(get("/"));
    client.memory.take_sent();
    client.advance(secs(3600)).assert_silent();
    assert_eq!(seen.len(), 1);
    client.assert_open();
    client.memory.lose(Disconnect::Reset);
    let sender = seen.take().remove(0);
    assert!(sender.is_gone());
    assert_eq!(sender.send(&Event::new("a")), Err(SendError::Gone));
}

#[test]
fn slow_clients_miss_events_or_are_cut_off() {
    for slow in [Slow::Misses, Slow::Cut] {
        let options = EventOptions::default().with_waiting_max(10_000).with_slow(slow);
        let (mut client, seen) = stage(options);
        client.memory.set_room(0);
        client.send(get("/"));
        let sender = seen.take().remove(0);
        let long = Event::new("x".repeat(5_000));
        let mut sent = 0;
        let error = loop {
            match sender.send(&long) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            client.memory.run();
            assert!(sent < 100, "nobody is held back");
        };
        assert!(matches!(error, SendError::Full { max: 10_000, .. }));
        assert_eq!(sender.is_gone(), slow == Slow::Cut);
        client.memory.set_room(u64::MAX);
        match slow {
            Slow::Cut => client.assert_ended(Disconnect::Aborted),
            _ => {
                sender.send(&Event::new("last")).expect("there is room again");
                sender.finish();
                let (told, _) = decode([&client.answer().body[..]]);
                assert_eq!(told.len(), sent + 1);
            }
        }
    }
}

#[test]
fn a_group_is_told_the_same_and_the_gone_are_forgotten() {
    let group = EventGroup::new();
    let joined = group.clone();
    let site = site(move |request: Request| joined.join(&request));
    let clock = Clock::new();
    let mut clients: Vec<_> = (0..40).map(|_| Client::of(&site, &clock)).collect();
    for client in &mut clients {
        client.send(get("/"));
        client.memory.take_sent();
    }
    assert_eq!(group.len(), 40);
    for client in clients.drain(20..) {
        let mut client = client;
        client.memory.lose(Disconnect::Reset);
    }
    let reached = group.send(&Event::new("hello"));
    assert_eq!((reached.to, reached.missed, reached.cut, group.len()), (20, 0, 0, 20));
    for client in &mut clients {
        client.memory.run();
        assert_eq!(client.memory.take_sent(), b"d\r\ndata: hello\n\n\r\n");
    }
    group.finish();
    assert!(group.is_empty());
    for client in &mut clients {
        client.memory.run();
        assert_eq!(client.memory.take_sent(), b"0\r\n\r\n");
    }
}

#[test]
fn streams_end_when_their_site_drains() {
    let group = EventGroup::new();
    let joined = group.clone();
    let site = site(move |request: Request| joined.join(&request));
    let clock = Clock::new();
    let mut clients: Vec<Client> = (0..40).map(|_| Client::of(&site, &clock)).collect();
    let (late, early) = clients.split_last_mut().expect("some");
    for client in &mut *early {
        client.send(get("/"));
        client.memory.take_sent();
    }
    group.send(&Event::new("hello"));
    let drained = site.drain();
    late.send(get("/"));
    late.memory.run();
    assert!(late.memory.take_sent().ends_with(b"\r\n\r\n0\r\n\r\n"));
    for client in &mut *early {
        client.memory.run();
        assert_eq!(client.memory.take_sent(), b"d\r\ndata: hello\n\n\r\n0\r\n\r\n");
    }
    assert_eq!(group.send(&Event::new("bye")).to, 0);
    late.assert_over();
    for client in early {
        client.advance(Duration::from_millis(100));
        client.assert_ended(Disconnect::Closed);
    }
    assert!(drained.now_or_never().is_some());
}

#[test]
fn clients_that_come_and_go_without_events_are_not_kept() {
    let group = EventGroup::new();
    let joined = group.clone();
    let site = site(move |request: Request| joined.join(&request));
    let clock = Clock::new();
    for _ in 0..1000 {
        let mut client = Client::of(&site, &clock);
        client.send(get("/"));
        client.memory.lose(Disconnect::Reset);
    }
    assert!(group.len() <= 16, "{} are kept", group.len());
}

#[test]
fn a_group_has_a_bound() {
    let group = EventGroup::new().members_max(1);
    let joined = group.clone();
    let site = site(move |request: Request| joined.join(&request));
    let clock = Clock::new();
    let (mut first, mut second) = (Client::of(&site, &clock), Client::of(&site, &clock));
    first.send(get("/"));
    assert_eq!(second.ask(get("/")).status, 503);
    first.memory.lose(Disconnect::Reset);
    second.send(get("/"));
    assert!(second.memory.take_sent().starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn who_comes_back_is_told_what_was_missed() {
    let group = EventGroup::new().keeping(3, 1000);
    let joined = group.clone();
    let site = site(move |request: Request| joined.join(&request));
    let event = |id: u32| Event::new(format!("event {id}")).with_id(id.to_string()).expect("an id");
    for id in 1..=5 {
        group.send(&event(id));
    }
    let clock = Clock::new();
    let missed = |last: &str| {
        let mut client = Client::of(&site, &clock);
        client.send(head("GET / HTTP/1.1", &[&format!("Last-Event-ID: {last}")]));
        group.finish();
        client.memory.run();
        let (told, _) = decode([&client.answer().body[..]]);
        told.into_iter().map(|told| told.id).collect::<Vec<_>>()
    };
    assert_eq!(missed("4"), ["5"]);
    assert_eq!(missed("3"), ["4", "5"]);
    assert_eq!(missed("5"), [""; 0]);
    assert_eq!(missed("1"), ["3", "4", "5"], "as much as there is");
    assert_eq!(missed(""), [""; 0], "it is new here");
    group.send(&Event::new("x".repeat(2000)).with_id("6").expect("an id"));
    group.send(&event(7));
    assert_eq!(missed("5"), ["7"], "what is too long to keep is not kept");
}

#[test]
fn the_last_id_is_read() {
    let seen = Seen::new();
    let kept = seen.clone();
    let mut client = Client::new(move |request: Request| {
        kept.push(last_event_id(&request).map(str::to_owned));
        "x"
    });
    for fields in [&["Last-Event-ID: \u{e4} 7"][..], &["Last-Event-ID:"], &[]] {
        client.ask(head("GET / HTTP/1.1", fields));
    }
    assert_eq!(seen.take(), [Some("\u{e4} 7".to_owned()), None, None]);
}
