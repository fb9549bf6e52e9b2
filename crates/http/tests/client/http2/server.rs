//! A server that is the test, on the room `http2`'s own state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use ropewalk_http::Options;
use ropewalk_http2::frame::{
    ErrorCode, HEAD_LEN, PREFACE, Settings, write_settings, write_settings_ack,
};
use ropewalk_http2::hpack::{Pseudo, Section};
use ropewalk_http2::{Connection, Event, Limits, RequestHead, ResetBy};
use ropewalk_protocol::TlsInfo;
use ropewalk_trial::Memory;

use crate::World;

/// Options of a client that speaks HTTP/2 in clear.
pub(crate) fn clear() -> Options {
    let mut options = Options::default();
    options.http2.has_prior_knowledge = true;
    options
}

/// What a server and its client agree on who speak HTTP/2.
pub(crate) fn h2() -> TlsInfo {
    let mut tls = TlsInfo::default();
    tls.alpn = Some(b"h2".to_vec());
    tls
}

pub(crate) struct Server {
    pub(crate) engine: Connection,
    pub(crate) memory: Memory,
    pub(crate) asked: BTreeMap<u32, Asked>,
    /// The streams of requests that nobody has looked at.
    pub(crate) new: Vec<u32>,
    /// All that the client has said.
    heard: Vec<u8>,
    /// Whether bodies are dealt with as they come.
    pub(crate) releases: bool,
    /// How long the pieces are in which it sends.
    pub(crate) piece: usize,
}

#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) head: Option<RequestHead>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: http::HeaderMap,
    pub(crate) is_whole: bool,
    pub(crate) reset: Option<ResetBy>,
}

impl Server {
    /// Takes the connection that was asked for first.
    pub(crate) fn accept(world: &World) -> Self {
        Self::with(world, Limits::default())
    }

    /// The same, and the stream of the first request that came on it.
    pub(crate) fn asked(world: &World) -> (Self, u32) {
        let mut server = Self::accept(world);
        let (stream, _) = server.next();
        (server, stream)
    }

    pub(crate) fn with(world: &World, limits: Limits) -> Self {
        let mut server = Self::silent(world, limits);
        let mut out = Vec::new();
        server.engine.greet(&mut out);
        server.push(&out);
        server
    }

    /// One that says nothing of itself.
    pub(crate) fn silent(world: &World, limits: Limits) -> Self {
        let (origin, seat) = world.dialled.borrow_mut().remove(0);
        let memory = Memory::with_tls(seat, &world.clock, origin.is_secure().then(h2));
        Self {
            engine: Connection::server(limits),
            memory,
            asked: BTreeMap::new(),
            new: Vec::new(),
            heard: Vec::new(),
            releases: true,
            piece: usize::MAX,
        }
    }

    /// Says that it takes this and no more.
    pub(crate) fn set(&mut self, settings: &Settings) {
        let mut out = Vec::new();
        write_settings(settings, &mut out);
        self.memory.push(&out);
        // The state machine here did not send them, and would not have them acknowledged.
        let mut sent = self.memory.take_sent();
        let mut ack = Vec::new();
        write_settings_ack(&mut ack);
        let at = sent.windows(ack.len()).position(|part| part == ack).expect("it is acknowledged");
        sent.drain(at..at + ack.len());
        let out = self.hear(&sent);
        self.push(&out);
    }

    /// All that the client has said.
    pub(crate) fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Sends octets, and hears what there is to hear.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        if self.memory.ended().is_none() {
            self.memory.push_in_pieces(octets, self.piece.min(octets.len()).max(1));
        }
        self.listen();
    }

    /// Hears what there is to hear, until nothing more comes of it.
    pub(crate) fn listen(&mut self) {
        loop {
            self.memory.run();
            let sent = self.memory.take_sent();
            if sent.is_empty() {
                return;
            }
            let out = self.hear(&sent);
            if self.memory.ended().is_none() {
                self.memory.push(&out);
            }
        }
    }

    fn hear(&mut self, mut input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.heard.extend_from_slice(input);
        loop {
            // A client that is asked to do senseless things does some: that is not looked at here.
            let Ok(Some(event)) = self.engine.next(&mut input, Duration::ZERO, &mut out) else {
                return out;
            };
            match event {
                Event::Request { stream, head, is_end } => {
                    let asked = self.asked.entry(stream).or_default();
                    asked.head = Some(*head);
                    asked.is_whole = is_end;
                    self.new.push(stream);
                }
                Event::Data { stream, data, is_end } => {
                    let asked = self.asked.entry(stream).or_default();
                    asked.body.extend_from_slice(data);
                    asked.is_whole = is_end;
                    if self.releases {
                        self.engine.release(stream, data.len(), &mut out);
                    }
                }
                Event::Trailers { stream, fields } => {
                    let asked = self.asked.entry(stream).or_default();
                    asked.trailers = fields;
                    asked.is_whole = true;
                }
                Event::Reset { stream, why } => {
                    self.asked.entry(stream).or_default().reset = Some(why);
                }
                _ => (),
            }
        }
    }

    /// The next request that came, as `METHOD path`, and its stream.
    #[track_caller]
    pub(crate) fn next(&mut self) -> (u32, String) {
        self.listen();
        assert!(!self.new.is_empty(), "a request came");
        let stream = self.new.remove(0);
        let head = self.asked[&stream].head.as_ref().expect("a head");
        let path = head.path.as_ref().map_or("", |path| path.as_str());
        (stream, format!("{} {path}", head.method))
    }

    pub(crate) fn head(&self, stream: u32) -> &RequestHead {
        self.asked[&stream].head.as_ref().expect("a head")
    }

    /// Answers with a head alone.
    pub(crate) fn answer_head(&mut self, stream: u32, status: &str, is_end: bool) {
        self.answer_with(stream, is_end, |head| head.pseudo(Pseudo::Status, status.as_bytes()));
    }

    pub(crate) fn answer_with(
        &mut self,
        stream: u32,
        is_end: bool,
        head: impl FnOnce(&mut Section<'_>),
    ) {
        let mut out = Vec::new();
        self.engine.send_head(stream, is_end, &mut out, head);
        self.push(&out);
    }

    /// Sends a part of a body, where the client still wants it.
    pub(crate) fn send(&mut self, stream: u32, data: &[u8], is_end: bool) {
        let mut out = Vec::new();
        let mut rest = data;
        while self.engine.is_live(stream) {
            let len = rest.len().min(self.engine.room(stream));
            let (part, after) = rest.split_at(len);
            rest = after;
            let is_last = rest.is_empty();
            assert!(len > 0 || is_last, "the client takes no more");
            if let Some(head) = self.engine.data_head(stream, len, is_end && is_last, &mut out) {
                out.extend_from_slice(&head);
                out.extend_from_slice(part);
            }
            if is_last {
                break;
            }
        }
        self.push(&out);
    }

    pub(crate) fn answer(&mut self, stream: u32, status: &str, body: &str) {
        self.answer_head(stream, status, body.is_empty());
        if !body.is_empty() {
            self.send(stream, body.as_bytes(), true);
        }
    }

    /// Answers the next request, and says which it was.
    #[track_caller]
    pub(crate) fn serve(&mut self, body: &str) -> String {
        let (stream, line) = self.next();
        self.answer(stream, "200", body);
        line
    }

    pub(crate) fn reset(&mut self, stream: u32, code: ErrorCode) {
        let mut out = Vec::new();
        self.engine.reset(stream, code, &mut out);
        self.push(&out);
    }

    /// Time passes, and whatever comes meanwhile is answered.
    pub(crate) fn advance(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(1));
            self.memory.advance(step);
            self.listen();
            left -= step;
        }
    }

    /// The codes with which the client went away, whatever else it had said.
    pub(crate) fn farewells(&self) -> Vec<ErrorCode> {
        let mut rest = &self.heard[PREFACE.len()..];
        let mut codes = Vec::new();
        while let Some((head, after)) = rest.split_at_checked(HEAD_LEN) {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (payload, next) = after.split_at(len);
            if head[3] == 7 {
                let code = payload[4..8].try_into().expect("four octets");
                codes.push(ErrorCode::from(u32::from_be_bytes(code)));
            }
            rest = next;
        }
        codes
    }
}

/// A frame, whatever is in it.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
