//! What is sent.

use std::error::Error;
use std::fmt;

use super::Connection;
use crate::frame::{
    HEAD_LEN, StreamId, WINDOW_MAX, data_head, write_block, write_headers, write_priority_update,
};
use crate::hpack;
use crate::priority::Priority;
use crate::streams::Stream;

/// How many windows are opened with good reason, by a reader in small bites, for each part of a body
/// and for each stream.
const UPDATES_EACH: u32 = 16;

impl Connection {
    /// Opens a stream with a request's head, which `head` gives; `is_end` where no body follows.
    ///
    /// # Errors
    ///
    /// No stream can be opened, now or ever, and nothing was written.
    ///
    /// # Panics
    ///
    /// If this is a server's end: servers open no streams.
    pub fn open(
        &mut self,
        is_end: bool,
        out: &mut Vec<u8>,
        head: impl FnOnce(&mut hpack::Section<'_>),
    ) -> Result<StreamId, NotOpened> {
        assert!(!self.is_server, "a server opens no streams");
        if self.is_going() {
            return Err(NotOpened::Going);
        }
        if self.is_used_up() {
            return Err(NotOpened::UsedUp);
        }
        if self.streams.len() >= self.peer.streams_max as usize {
            return Err(NotOpened::TooMany { max: self.peer.streams_max });
        }
        let id = self.next_own;
        self.next_own += 2;
        let mut stream = self.new_stream(id);
        stream.is_sent = is_end;
        self.streams.add(stream);
        self.write_block(id, is_end, out, head);
        Ok(id)
    }

    /// How many more streams can be opened now.
    pub fn openable(&self) -> usize {
        if self.is_going() || self.is_used_up() {
            return 0;
        }
        (self.peer.streams_max as usize).saturating_sub(self.streams.len())
    }

    /// How many streams the peer takes at a time; 2³²−1 where it said nothing of it.
    pub fn peer_streams_max(&self) -> u32 {
        self.peer.streams_max
    }

    /// Whether every number that a stream of this end's can have was used.
    pub fn is_used_up(&self) -> bool {
        self.next_own > WINDOW_MAX
    }

    /// The answer to this stream will have no body, whatever it says of one: it was asked for with
    /// `HEAD`.
    pub fn expect_no_body(&mut self, stream: StreamId) {
        if let Some(live) = self.streams.get_mut(stream) {
            live.is_bodiless = true;
        }
    }

    /// Sends a head, an interim one, or trailers; `is_end` where nothing follows.
    ///
    /// On a stream that is over nothing happens.
    pub fn send_head(
        &mut self,
        stream: StreamId,
        is_end: bool,
        out: &mut Vec<u8>,
        head: impl FnOnce(&mut hpack::Section<'_>),
    ) {
        let Some(live) = self.streams.get_mut(stream).filter(|live| !live.is_sent) else { return };
        live.is_sent = is_end;
        self.write_block(stream, is_end, out, head);
        if is_end {
            self.remove_if_over(stream, out);
        }
    }

    /// Another one each time that what heads are written with has changed: see
    /// [`repeat_head`](Self::repeat_head).
    pub fn revision(&self) -> u32 {
        self.encoder.revision()
    }

    /// Sends a head that was sent before, as this block, without making it once more; `is_end` where nothing
    /// follows. It says the same as long as [`revision`](Self::revision) is the same after it was made,
    /// before it was made, and now. It has to fit into one frame.
    ///
    /// On a stream that is over nothing happens.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ropewalk_http2::{Connection, Event, Limits};
    /// use ropewalk_http2::frame::HEAD_LEN;
    /// use ropewalk_http2::hpack::Pseudo;
    /// # let (mut client, mut server) = (Connection::client(Limits::default()), Connection::server(Limits::default()));
    /// # let (mut to_server, mut to_client, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
    /// # client.greet(&mut to_server);
    /// # server.greet(&mut to_client);
    /// # let [one, two] = [0; 2].map(|_| client.open(true, &mut to_server, |head| {
    /// #     head.pseudo(Pseudo::Method, b"GET");
    /// #     head.pseudo(Pseudo::Scheme, b"https");
    /// #     head.pseudo(Pseudo::Path, b"/");
    /// # }).unwrap());
    /// # let mut input = &to_server[..];
    /// # while server.next(&mut input, Duration::ZERO, &mut to_client).unwrap().is_some() {}
    /// let (before, revision) = (to_client.len(), server.revision());
    /// server.send_head(one, true, &mut to_client, |head| head.pseudo(Pseudo::Status, b"204"));
    /// assert_eq!(server.revision(), revision);
    /// let block = to_client[before + HEAD_LEN..].to_vec();
    /// server.repeat_head(two, true, &block, &mut to_client);
    /// # let mut input = &to_client[..];
    /// # while let Some(event) = client.next(&mut input, Duration::ZERO, &mut to_server).unwrap() {
    /// #     if let Event::Response { head, .. } = event {
    /// #         statuses.push(head.status);
    /// #     }
    /// # }
    /// assert_eq!(statuses, [204, 204]);
    /// ```
    pub fn repeat_head(&mut self, stream: StreamId, is_end: bool, block: &[u8], out: &mut Vec<u8>) {
        debug_assert!(block.len() <= self.frame_max(), "more than one frame takes");
        let Some(live) = self.streams.get_mut(stream).filter(|live| !live.is_sent) else { return };
        live.is_sent = is_end;
        write_block(stream, is_end, block, out);
        if is_end {
            self.remove_if_over(stream, out);
        }
    }

    fn write_block(
        &mut self,
        stream: StreamId,
        is_end: bool,
        out: &mut Vec<u8>,
        head: impl FnOnce(&mut hpack::Section<'_>),
    ) {
        let frame_max = self.peer.frame_max as usize;
        let encoder = &mut self.encoder;
        write_headers(stream, is_end, frame_max, out, |out| head(&mut encoder.section(out)));
    }

    /// How many octets of a body can be sent on this stream now, in one frame.
    pub fn room(&self, stream: StreamId) -> usize {
        let Some(live) = self.streams.get(stream).filter(|live| !live.is_sent) else { return 0 };
        let window =
            live.send_window.min(self.send_window).clamp(0, i64::from(self.peer.frame_max));
        window as usize
    }

    /// How many octets of a body can be sent on this stream before it is another's turn: where the
    /// stream shares its turns with others (RFC 9218 4.2) as many as go into one frame, and else what its
    /// windows have, in frames of at most [`frame_max`](Self::frame_max).
    pub fn room_of_turn(&self, stream: StreamId) -> usize {
        let Some(live) = self.streams.get(stream).filter(|live| !live.is_sent) else { return 0 };
        let window = live.send_window.min(self.send_window).max(0) as usize;
        if live.priority.is_incremental { window.min(self.frame_max()) } else { window }
    }

    /// How many octets the peer takes in one frame.
    pub fn frame_max(&self) -> usize {
        self.peer.frame_max as usize
    }

    /// What stands in front of the next `len` octets of a body, which are at most
    /// [`room`](Self::room): they have to follow at once. `is_end` where nothing follows them.
    ///
    /// `None` where the stream is over: nothing may follow.
    pub fn data_head(
        &mut self,
        stream: StreamId,
        len: usize,
        is_end: bool,
        out: &mut Vec<u8>,
    ) -> Option<[u8; HEAD_LEN]> {
        debug_assert!(len <= self.room(stream) || len == 0, "more than the peer takes");
        let live = self.streams.get_mut(stream).filter(|live| !live.is_sent)?;
        live.send_window -= len as i64;
        live.is_sent = is_end;
        self.turn = self.turn.wrapping_add(1);
        live.turn = self.turn;
        self.send_window -= len as i64;
        self.updates.earn(UPDATES_EACH);
        if is_end {
            live.wants_to_send = false;
            self.remove_if_over(stream, out);
        }
        Some(data_head(stream, len, is_end))
    }

    /// Says whether there is something to send on a stream: those that have something take turns.
    pub fn set_wants_to_send(&mut self, stream: StreamId, wants: bool) {
        if let Some(live) = self.streams.get_mut(stream) {
            live.wants_to_send = wants;
        }
    }

    /// The stream whose turn it is to send, among those that [want to](Self::set_wants_to_send) and
    /// have room (RFC 9218 10).
    pub fn next_sender(&self) -> Option<StreamId> {
        if self.send_window > 0 { self.streams.next_sender() } else { None }
    }

    /// Says how a stream is to be preferred, whatever the client said (RFC 9218 8).
    pub fn prioritize(&mut self, stream: StreamId, priority: Priority) {
        if let Some(live) = self.streams.get_mut(stream) {
            live.priority = priority;
        }
    }

    /// How a stream is preferred now.
    pub fn priority(&self, stream: StreamId) -> Option<Priority> {
        self.streams.get(stream).map(|live| live.priority)
    }

    /// Says that a stream of this end's, which is a client's, is to be preferred otherwise than its request
    /// said (RFC 9218 7.1). A server that has said what it takes, but not that it goes by such priorities, is
    /// told nothing (2.1).
    pub fn change_priority(&mut self, stream: StreamId, priority: Priority, out: &mut Vec<u8>) {
        let tells = !self.is_server && (self.peer.has_priorities || !self.peer.has_spoken);
        let Some(live) = self.streams.get_mut(stream) else { return };
        live.priority = priority;
        if tells {
            write_priority_update(stream, priority.to_string().as_bytes(), out);
        }
    }

    pub(super) fn new_stream(&mut self, id: StreamId) -> Stream {
        self.updates.earn(UPDATES_EACH);
        Stream {
            id,
            send_window: i64::from(self.peer.window),
            receive_window: self.first_window(),
            unreleased: 0,
            credit: 0,
            is_sent: false,
            is_received: false,
            has_head: false,
            is_dropped: false,
            is_bodiless: false,
            left: None,
            priority: Priority::default(),
            wants_to_send: false,
            turn: 0,
        }
    }
}

/// Why no stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpened {
    /// One end goes away.
    Going,
    /// The peer takes no more at a time.
    TooMany {
        /// How many it takes.
        max: u32,
    },
    /// All numbers of streams were used.
    UsedUp,
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Going => f.write_str("the connection takes no further streams"),
            Self::TooMany { max } => write!(f, "the peer takes {max} streams at a time"),
            Self::UsedUp => f.write_str("the connection has used up its streams' numbers"),
        }
    }
}

impl Error for NotOpened {}
