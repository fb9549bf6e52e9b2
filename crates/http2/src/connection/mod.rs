//! One end of a connection, without its octets' way (RFC 9113 3 to 6).

mod receiving;
mod sending;

use std::rc::Rc;
use std::time::Duration;

use crate::budget::{Allowance, Budget};
use crate::event::{Fatal, Nuisance, ResetBy};
use crate::frame::{
    ErrorCode, FRAME_SIZE, FrameDecoder, PREFACE, Setting, Settings, StreamId, WINDOW, WINDOW_MAX,
    write_go_away, write_ping, write_reset, write_settings, write_window_update,
};
use crate::hpack::{Decoder, Encoder};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::streams::{Stream, Streams};

pub use sending::NotOpened;

/// The ping that asks whether the peer has heard that this end goes away.
const GOODBYE: [u8; 8] = *b"goodbye\0";

/// One end of an HTTP/2 connection.
///
/// It does no I/O and knows no time but what it is told: octets that came go into
/// [`next`](Self::next), what is to be sent is appended to `out`.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_http2::{Connection, Event, Limits};
/// use ropewalk_http2::hpack::Pseudo;
///
/// let now = Duration::ZERO;
/// let (mut client, mut server) = (Connection::client(Limits::default()), Connection::server(Limits::default()));
/// let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
/// client.greet(&mut to_server);
/// server.greet(&mut to_client);
///
/// let stream = client.open(true, &mut to_server, |head| {
///     head.pseudo(Pseudo::Method, b"GET");
///     head.pseudo(Pseudo::Scheme, b"https");
///     head.pseudo(Pseudo::Authority, b"example.com");
///     head.pseudo(Pseudo::Path, b"/");
/// }).unwrap();
///
/// let mut input = &to_server[..];
/// while let Some(event) = server.next(&mut input, now, &mut to_client).unwrap() {
///     if let Event::Request { stream, head, .. } = event {
///         assert_eq!(head.path.unwrap(), "/");
///         server.send_head(stream, true, &mut to_client, |head| head.pseudo(Pseudo::Status, b"204"));
///     }
/// }
///
/// let mut input = &to_client[..];
/// let mut statuses = Vec::new();
/// while let Some(event) = client.next(&mut input, now, &mut to_server).unwrap() {
///     if let Event::Response { head, .. } = event {
///         statuses.push(head.status);
///     }
/// }
/// assert_eq!(statuses, [204]);
/// assert_eq!(client.streams() + server.streams(), 0);
/// ```
#[derive(Debug)]
pub struct Connection {
    is_server: bool,
    limits: Rc<Limits>,
    frames: FrameDecoder,
    decoder: Decoder,
    encoder: Encoder,
    streams: Streams,
    /// The highest stream that the peer opened, and that this end did.
    highest: StreamId,
    next_own: StreamId,
    send_window: i64,
    receive_window: i64,
    /// What was dealt with and the peer was not told of.
    credit: u32,
    peer: PeerSettings,
    /// This end's settings that the peer has yet to acknowledge.
    unacknowledged: u32,
    turn: u32,
    going: Going,
    /// The last stream that the peer will see to, once it goes away.
    peer_last: Option<StreamId>,
    resets: Budget,
    faults: Budget,
    updates: Budget,
    pings: Budget,
    settings: Budget,
    empties: Budget,
}

/// What the peer takes.
#[derive(Clone, Copy, Debug)]
struct PeerSettings {
    window: u32,
    frame_max: u32,
    streams_max: u32,
    list_max: Option<u32>,
    has_connect: bool,
    /// It goes by the priorities of RFC 9218.
    has_priorities: bool,
    /// It has said what it takes.
    has_spoken: bool,
}

/// How far this end's leaving has come (RFC 9113 6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    Not,
    /// The peer was told to open no further streams, but may not have heard yet.
    Announced,
    /// No stream above this one is seen to.
    Gone,
}

impl Connection {
    /// A server's end.
    pub fn server(limits: impl Into<Rc<Limits>>) -> Self {
        let limits = limits.into();
        let frames = FrameDecoder::of_client(limits.block_max);
        Self::new(true, limits, frames)
    }

    /// A client's end.
    pub fn client(limits: impl Into<Rc<Limits>>) -> Self {
        let limits = limits.into();
        let frames = FrameDecoder::of_server(limits.block_max);
        Self::new(false, limits, frames)
    }

    fn new(is_server: bool, limits: Rc<Limits>, frames: FrameDecoder) -> Self {
        Self {
            is_server,
            frames,
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            streams: Streams::default(),
            highest: 0,
            next_own: if is_server { 2 } else { 1 },
            send_window: i64::from(WINDOW),
            receive_window: i64::from(limits.whole_window()),
            credit: 0,
            peer: PeerSettings {
                window: WINDOW,
                frame_max: FRAME_SIZE,
                streams_max: u32::MAX,
                list_max: None,
                has_connect: false,
                has_priorities: false,
                has_spoken: false,
            },
            unacknowledged: 0,
            turn: 0,
            going: Going::Not,
            peer_last: None,
            resets: Budget::default(),
            faults: Budget::default(),
            updates: Budget::default(),
            pings: Budget::default(),
            settings: Budget::default(),
            empties: Budget::default(),
            limits,
        }
    }

    /// Says what this end says first: a client's preface, and what it takes.
    pub fn greet(&mut self, out: &mut Vec<u8>) {
        let limits = &self.limits;
        let mut settings = Settings::new()
            .with(Setting::InitialWindowSize, limits.stream_window())
            .with(Setting::MaxHeaderListSize, u32::try_from(limits.list_max).unwrap_or(u32::MAX))
            .with(Setting::NoRfc7540Priorities, 1);
        if self.is_server {
            settings = settings.with(Setting::MaxConcurrentStreams, limits.streams_max);
            if limits.has_connect {
                settings = settings.with(Setting::EnableConnectProtocol, 1);
            }
        } else {
            out.extend_from_slice(PREFACE);
            settings = settings.with(Setting::EnablePush, 0).with(Setting::MaxConcurrentStreams, 0);
        }
        write_settings(&settings, out);
        self.unacknowledged += 1;
        if limits.whole_window() > WINDOW {
            write_window_update(0, limits.whole_window() - WINDOW, out);
        }
    }

    /// How many streams are not over.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether a stream is not over.
    pub fn is_live(&self, stream: StreamId) -> bool {
        self.streams.get(stream).is_some()
    }

    /// Whether neither a stream nor a part of a frame is there.
    pub fn is_idle(&self) -> bool {
        self.streams.len() == 0 && self.frames.is_between_frames()
    }

    /// Whether nothing happens before more octets come: of no frame has a part come.
    #[inline]
    pub fn is_between_frames(&self) -> bool {
        self.frames.is_between_frames() && self.peer_last.is_none()
    }

    /// What it owns beside itself. Between frames, with no stream open, and once what was reset is
    /// [forgotten](Self::forget_resets), that is the tables of fields alone.
    pub fn memory(&self) -> Memory {
        let (streams, resets) = self.streams.memory();
        Memory {
            frames: self.frames.memory(),
            streams,
            resets,
            tables: self.decoder.memory() + self.encoder.memory(),
        }
    }

    /// Whether something may be under way for streams that this end reset.
    pub fn remembers_resets(&self) -> bool {
        self.streams.remembers()
    }

    /// Forgets which streams this end reset: whatever was under way has come by now. What comes still
    /// is taken for a fault.
    pub fn forget_resets(&mut self) {
        self.streams.forget_all();
    }

    /// Whether the peer has said that it keeps to what this end takes.
    pub fn is_settled(&self) -> bool {
        self.unacknowledged == 0
    }

    /// Whether the peer understands an extended CONNECT (RFC 8441 3).
    pub fn has_extended_connect(&self) -> bool {
        self.peer.has_connect
    }

    /// The longest header section that the peer takes, where it said so, each field counted with 32
    /// octets more.
    pub fn peer_list_max(&self) -> Option<u32> {
        self.peer.list_max
    }

    /// Whether either end goes away: no stream may be opened any more.
    pub fn is_going(&self) -> bool {
        self.going != Going::Not || self.peer_last.is_some()
    }

    /// Asks whether the peer is there; its answer comes as [`Event::Pong`](crate::Event::Pong).
    pub fn ping(&mut self, data: [u8; 8], out: &mut Vec<u8>) {
        write_ping(data, false, out);
    }

    /// Begins to go away: the peer is asked to open no further streams. Those that it opened before
    /// it heard so are still seen to, those that are open go on (RFC 9113 6.8).
    pub fn go_away(&mut self, out: &mut Vec<u8>) {
        if self.going != Going::Not {
            return;
        }
        if self.is_server {
            // What is on its way now was sent in good faith: the last stream is named once the
            // peer has heard.
            self.going = Going::Announced;
            write_go_away(WINDOW_MAX, ErrorCode::NoError, b"", out);
            write_ping(GOODBYE, false, out);
        } else {
            self.going = Going::Gone;
            write_go_away(self.highest, ErrorCode::NoError, b"", out);
        }
    }

    /// Goes away at once, for the reason that `code` names.
    pub fn go_away_at_once(&mut self, code: ErrorCode, debug: &[u8], out: &mut Vec<u8>) {
        self.going = Going::Gone;
        write_go_away(self.highest, code, debug, out);
    }

    /// Ends a stream early; nothing more is heard of it.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        if let Some(ended) = self.streams.remove(stream) {
            write_reset(stream, code, out);
            if !ended.is_received {
                let sections = self.limits.late_sections_max;
                self.streams.remember(stream, ended.receive_window, sections);
            }
            self.give_back(ended.unreleased, out);
        }
    }

    /// Lets the peer send `len` octets more of a body: as many as were dealt with.
    pub fn release(&mut self, stream: StreamId, len: usize, out: &mut Vec<u8>) {
        let Some(live) = self.streams.get_mut(stream) else { return };
        let len = u32::try_from(len).unwrap_or(u32::MAX).min(live.unreleased);
        live.unreleased -= len;
        live.credit += len;
        if live.credit >= self.limits.stream_window() / 2 && !live.is_received {
            write_window_update(stream, live.credit, out);
            live.receive_window += i64::from(live.credit);
            live.credit = 0;
        }
        self.give_back(len, out);
    }

    /// Lets the peer send more in all.
    fn give_back(&mut self, len: u32, out: &mut Vec<u8>) {
        self.credit += len;
        if self.credit >= self.limits.whole_window() / 2 {
            write_window_update(0, self.credit, out);
            self.receive_window += i64::from(self.credit);
            self.credit = 0;
        }
    }

    /// Forgets a stream that both ends have ended.
    fn remove_if_over(&mut self, stream: StreamId, out: &mut Vec<u8>) {
        let is_over = |live: &Stream| live.is_sent && live.is_received;
        if self.streams.get(stream).is_some_and(is_over)
            && let Some(ended) = self.streams.remove(stream)
        {
            self.give_back(ended.unreleased, out);
        }
    }

    /// Whether this is a stream that the peer opens.
    fn is_peers(&self, stream: StreamId) -> bool {
        (stream % 2 == 1) == self.is_server
    }

    /// Whether nobody has opened it yet.
    fn is_unopened(&self, stream: StreamId) -> bool {
        if self.is_peers(stream) { stream > self.highest } else { stream >= self.next_own }
    }

    /// What may come for a stream that this end refused, before the peer hears of it: as much as it
    /// could have had under way.
    fn remember_unknown(&mut self, stream: StreamId) {
        let window = self.first_window();
        self.streams.remember(stream, window, self.limits.late_sections_max);
    }

    /// What a stream may have under way that the peer opens now: until it is known to keep to this
    /// end's settings, as much as if nothing had been agreed on (RFC 9113 6.9.2).
    fn first_window(&self) -> i64 {
        let window = self.limits.stream_window();
        i64::from(if self.is_settled() { window } else { window.max(WINDOW) })
    }

    /// The peer keeps to this end's settings from here on.
    fn settle_windows(&mut self) {
        let more = WINDOW.saturating_sub(self.limits.stream_window());
        for stream in self.streams.iter_mut() {
            stream.receive_window -= i64::from(more);
        }
    }

    fn nuisance(
        budget: &mut Budget,
        allowance: Allowance,
        now: Duration,
        what: Nuisance,
    ) -> Result<(), Fatal> {
        if budget.take(allowance, now) { Ok(()) } else { Err(Fatal::TooMany(what)) }
    }

    /// Ends a stream because of what the peer did, which it may not do over and over.
    fn fault(
        &mut self,
        stream: StreamId,
        why: ResetBy,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<Option<ResetBy>, Fatal> {
        Self::nuisance(&mut self.faults, self.limits.faults, now, Nuisance::Faults)?;
        if self.streams.get(stream).is_some() {
            self.reset(stream, why.code(), out);
            return Ok(Some(why));
        }
        write_reset(stream, why.code(), out);
        self.remember_unknown(stream);
        Ok(None)
    }
}
