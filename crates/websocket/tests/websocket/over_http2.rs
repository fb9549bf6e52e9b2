//! WebSockets on streams of HTTP/2 (RFC 8441): the same protocol, the same frames.

use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use ropewalk_http::{Request, Site};
use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Connection, Event, Limits};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory};
use ropewalk_websocket::{Closed, Options, Origins, Prepared, Slow, WebSocketResource};

use crate::kit::{Book, Scribe, Told, opening};

/// A client of HTTP/2 with as many streams as it likes.
struct Client {
    engine: Connection,
    server: Memory,
    heard: HashMap<u32, Heard>,
}

#[derive(Default)]
struct Heard {
    status: u16,
    fields: HeaderMap,
    data: Vec<u8>,
    is_whole: bool,
}

impl Client {
    fn of(site: &Site) -> Self {
        let server = Memory::seat(site.server(), &Clock::new());
        let engine = Connection::client(Limits::default());
        let mut client = Self { engine, server, heard: HashMap::new() };
        let mut out = Vec::new();
        client.engine.greet(&mut out);
        client.push(&out);
        client
    }

    fn push(&mut self, octets: &[u8]) {
        let mut octets = octets.to_vec();
        while !octets.is_empty() {
            self.server.push(&octets);
            octets = self.hear();
        }
    }

    fn hear(&mut self) -> Vec<u8> {
        let (sent, mut out) = (self.server.take_sent(), Vec::new());
        let mut input = &sent[..];
        while let Some(event) =
            self.engine.next(&mut input, Duration::ZERO, &mut out).expect("frames")
        {
            match event {
                Event::Response { stream, head, is_end } => {
                    let heard = self.heard.entry(stream).or_default();
                    (heard.status, heard.fields, heard.is_whole) =
                        (head.status.as_u16(), head.fields, is_end);
                }
                Event::Data { stream, data, is_end } => {
                    let heard = self.heard.entry(stream).or_default();
                    heard.data.extend_from_slice(data);
                    heard.is_whole = is_end;
                    self.engine.release(stream, data.len(), &mut out);
                }
                _ => (),
            }
        }
        out
    }

    fn open(&mut self, fields: &[(&str, &str)]) -> u32 {
        let mut out = Vec::new();
        let opened = self.engine.open(false, &mut out, |head| {
            head.pseudo(Pseudo::Method, b"CONNECT");
            head.pseudo(Pseudo::Protocol, b"websocket");
            head.pseudo(Pseudo::Scheme, b"http");
            head.pseudo(Pseudo::Authority, b"server.example.com");
            head.pseudo(Pseudo::Path, b"/");
            for (name, value) in fields {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                head.field(&name, &HeaderValue::from_str(value).expect("a value"));
            }
        });
        self.push(&out);
        opened.expect("a stream")
    }

    fn say(&mut self, stream: u32, octets: &[u8], is_end: bool) {
        let mut out = Vec::new();
        let head = self.engine.data_head(stream, octets.len(), is_end, &mut out).expect("room");
        self.push(&[&out[..], &head, octets].concat());
    }

    fn take(&mut self, stream: u32) -> Vec<u8> {
        self.hear();
        std::mem::take(&mut self.heard.get_mut(&stream).expect("an answer").data)
    }
}

const VERSION: (&str, &str) = ("sec-websocket-version", "13");

/// A frame of a client's, whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0xfe);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn the_same_protocol_speaks_the_same_frames() {
    let book = Book::default();
    let (inner, options) = (book.clone(), Options::new().protocols(["chat"]));
    let echoes =
        WebSocketResource::new(move |_: &Request| Scribe { book: inner.clone(), echoes: true });
    let everyone = echoes.group();
    let site = Site::new(echoes.options(options));

    // Text, one in three pieces with a ping between them, binary, and the end.
    let said = [
        frame(0x81, b"hello"),
        frame(0x01, b"in "),
        frame(0x89, b"there?"),
        frame(0x00, b"three "),
        frame(0x80, b"pieces"),
        frame(0x82, &[7; 3000]),
    ];
    let mut old = Memory::seat(site.server(), &Clock::new());
    old.push(&opening(&["Sec-WebSocket-Protocol: chat"]));
    assert!(old.take_sent().starts_with(b"HTTP/1.1 101 "));
    let mut client = Client::of(&site);
    let stream = client.open(&[VERSION, ("sec-websocket-protocol", "chat")]);
    let heard = &client.heard[&stream];
    assert_eq!((heard.status, heard.is_whole), (200, false));
    assert_eq!(heard.fields["sec-websocket-protocol"], "chat");
    for absent in ["sec-websocket-accept", "connection", "upgrade"] {
        assert!(!heard.fields.contains_key(absent), "{absent}");
    }
    assert_eq!(book.take(), [Told::Opened, Told::Opened]);
    for octets in &said {
        old.push(octets);
        client.say(stream, octets, false);
        let answer = old.take_sent();
        assert_eq!(client.take(stream), answer);
    }
    everyone.send(&Prepared::text("news"), Slow::Misses);
    assert_eq!(client.take(stream), old.take_sent());
    book.take();
    client.say(stream, &frame(0x88, b"\x03\xe8bye"), false);
    assert_eq!(client.take(stream), b"\x88\x02\x03\xe8");
    // RFC 8441 5: the stream's end is the connection's.
    assert!(client.heard[&stream].is_whole);
    client.say(stream, b"", true);
    assert_eq!(client.engine.streams(), 0);
    let Closed { is_clean, disconnect, reason, .. } = book.take_closed();
    assert_eq!((is_clean, disconnect, &reason[..]), (true, Disconnect::Closed, "bye"));
}

#[test]
fn many_of_them_go_over_one_connection_however_it_is_cut() {
    for size in [1, 2, 5, 9, 17, 1000] {
        let site = Site::new(WebSocketResource::new(|_: &Request| Scribe::echoing()));
        let mut client = Client::of(&site);
        let streams = [0; 20].map(|_| client.open(&[VERSION]));
        let mut out = Vec::new();
        for stream in streams {
            let message = frame(0x81, format!("stream {stream}").as_bytes());
            let mut parts = Vec::new();
            let head =
                client.engine.data_head(stream, message.len(), false, &mut parts).expect("room");
            out.extend([&parts[..], &head, &message].concat());
        }
        for piece in out.chunks(size) {
            client.push(piece);
        }
        for stream in streams {
            let message = format!("stream {stream}");
            let expected = [&[0x81, message.len() as u8], message.as_bytes()].concat();
            assert_eq!(client.take(stream), expected, "in pieces of {size}");
        }
    }
}

#[test]
fn what_opens_none_is_told_why() {
    let options = Options::new().origins(Origins::Same);
    let site = Site::new(WebSocketResource::new(|_: &Request| Scribe::echoing()).options(options));
    let mut client = Client::of(&site);
    let cases: [(&[(&str, &str)], u16); 5] = [
        (&[], 426),
        (&[("sec-websocket-version", "8")], 426),
        (&[VERSION, ("origin", "http://evil.example")], 403),
        (&[VERSION, ("origin", "http://server.example.com")], 200),
        // A key means nothing here.
        (&[VERSION, ("sec-websocket-key", "x")], 200),
    ];
    for (fields, status) in cases {
        let stream = client.open(fields);
        assert_eq!(client.heard[&stream].status, status, "{fields:?}");
        assert_eq!(client.heard[&stream].is_whole, status != 200, "{fields:?}");
    }
}

#[test]
fn a_site_that_drains_says_so_on_each_stream() {
    let site = Site::new(WebSocketResource::new(|_: &Request| Scribe::echoing()));
    let mut client = Client::of(&site);
    let streams = [client.open(&[VERSION]), client.open(&[VERSION])];
    let mut drained = site.drain();
    client.server.run();
    let out = client.hear();
    client.push(&out);
    for stream in streams {
        assert_eq!(client.heard[&stream].data, b"\x88\x02\x03\xE9");
        drained = drained.try_take().expect_err("one is still here");
        client.say(stream, &frame(0x88, b"\x03\xE9"), true);
        assert!(client.heard[&stream].is_whole);
    }
    // The connection, whose last stream that was, goes with them.
    assert!(client.server.is_write_closed());
    client.server.eof();
    assert_eq!(site.connections(), 0);
    assert!(drained.now_or_never().is_some());
}
