//! A client in a few lines, on the room `http2`'s own state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use ropewalk_http::Site;
use ropewalk_http2::frame::ErrorCode;
use ropewalk_http2::hpack::{Pseudo, Section};
use ropewalk_http2::{Connection, Event, Limits, ResetBy};
use ropewalk_trial::{Clock, Memory};

pub(crate) struct Client {
    pub(crate) engine: Connection,
    pub(crate) server: Memory,
    pub(crate) answers: BTreeMap<u32, Answer>,
    pub(crate) farewells: Vec<(u32, ErrorCode)>,
    pub(crate) settings: usize,
    /// Whether bodies are dealt with as they come.
    pub(crate) releases: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    pub(crate) is_whole: bool,
    pub(crate) reset: Option<ResetBy>,
}

impl Client {
    pub(crate) fn of(site: &Site) -> Self {
        Self::with(site, Limits::default())
    }

    pub(crate) fn with(site: &Site, limits: Limits) -> Self {
        let server = Memory::seat(site.server(), &Clock::new());
        let engine = Connection::client(limits);
        let (answers, farewells) = (BTreeMap::new(), Vec::new());
        let mut client = Self { engine, server, answers, farewells, settings: 0, releases: true };
        let mut out = Vec::new();
        client.engine.greet(&mut out);
        client.push(&out);
        assert_eq!(client.settings, 1);
        client
    }

    /// Sends octets, and hears what there is to hear.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.server.push(octets);
        self.listen();
    }

    /// Hears what there is to hear, until nothing more comes of it.
    pub(crate) fn listen(&mut self) {
        loop {
            self.server.run();
            let sent = self.server.take_sent();
            if sent.is_empty() {
                return;
            }
            let out = self.hear(&sent);
            if self.server.ended().is_none() {
                self.server.push(&out);
            }
        }
    }

    fn hear(&mut self, mut input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(event) =
            self.engine.next(&mut input, Duration::ZERO, &mut out).expect("a server's octets")
        {
            match event {
                Event::Response { stream, head, is_end } => {
                    let answer = self.answers.entry(stream).or_default();
                    if head.status.is_informational() {
                        answer.interim.push(head.status.as_u16());
                        continue;
                    }
                    answer.status = head.status.as_u16();
                    answer.fields = head.fields;
                    answer.is_whole = is_end;
                }
                Event::Data { stream, data, is_end } => {
                    let answer = self.answers.entry(stream).or_default();
                    answer.body.extend_from_slice(data);
                    answer.is_whole = is_end;
                    if self.releases {
                        self.engine.release(stream, data.len(), &mut out);
                    }
                }
                Event::Trailers { stream, fields } => {
                    let answer = self.answers.entry(stream).or_default();
                    answer.trailers = fields;
                    answer.is_whole = true;
                }
                Event::Reset { stream, why } => {
                    self.answers.entry(stream).or_default().reset = Some(why);
                }
                Event::GoAway { last, code } => self.farewells.push((last, code)),
                Event::Settings => self.settings += 1,
                _ => (),
            }
        }
        out
    }

    /// Asks for something; the answer is in `answers`, as far as it came.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        is_end: bool,
    ) -> u32 {
        let mut out = Vec::new();
        let stream = self
            .engine
            .open(is_end, &mut out, |head| request(head, method, path, fields))
            .expect("a stream");
        if method == "HEAD" {
            self.engine.expect_no_body(stream);
        }
        self.push(&out);
        stream
    }

    pub(crate) fn get(&mut self, path: &str) -> &Answer {
        let stream = self.ask("GET", path, &[], true);
        &self.answers[&stream]
    }

    /// Sends a part of a body.
    pub(crate) fn send(&mut self, stream: u32, data: &[u8], is_end: bool) {
        let mut out = Vec::new();
        if let Some(head) = self.engine.data_head(stream, data.len(), is_end, &mut out) {
            out.extend_from_slice(&head);
            out.extend_from_slice(data);
        }
        self.push(&out);
    }

    /// Asks for a stream for another protocol: for one that is named (RFC 8441), or of a host and a port.
    pub(crate) fn connect(&mut self, protocol: Option<&str>, is_end: bool) -> u32 {
        let mut out = Vec::new();
        let opened = self.engine.open(is_end, &mut out, |head| {
            head.pseudo(Pseudo::Method, b"CONNECT");
            head.pseudo(Pseudo::Authority, b"example.com:80");
            if let Some(protocol) = protocol {
                head.pseudo(Pseudo::Protocol, protocol.as_bytes());
                head.pseudo(Pseudo::Scheme, b"http");
                head.pseudo(Pseudo::Path, b"/");
            }
        });
        self.push(&out);
        opened.expect("a stream")
    }

    pub(crate) fn reset(&mut self, stream: u32) {
        let mut out = Vec::new();
        self.engine.reset(stream, ErrorCode::Cancel, &mut out);
        self.push(&out);
    }
}

pub(crate) fn request(head: &mut Section<'_>, method: &str, path: &str, fields: &[(&str, &str)]) {
    head.pseudo(Pseudo::Method, method.as_bytes());
    head.pseudo(Pseudo::Scheme, b"http");
    head.pseudo(Pseudo::Authority, b"example.com");
    head.pseudo(Pseudo::Path, path.as_bytes());
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        head.field(&name, &http::HeaderValue::from_str(value).expect("a value"));
    }
}
