//! Another protocol on a stream of HTTP/2, which it has as if it were a connection (RFC 9113 8.5, RFC 8441),
//! whichever end opened it.

use std::any::Any;

use ropewalk_http2::Connection;
use ropewalk_http2::frame::{ErrorCode, StreamId};
use ropewalk_protocol::{Channel, Conn, Disconnect, Ending, Protocol, Seat, Tend};

/// A protocol and its stream: windows are its back-pressure, `END_STREAM` the end of either half, and
/// `RST_STREAM` what a socket calls a reset.
pub(crate) struct Carried<P: 'static> {
    channel: Channel<P>,
    /// What the peer is told where the protocol gives up.
    abort: ErrorCode,
    /// What the peer may not send again before somebody takes what is here.
    held: usize,
    is_sent: bool,
    is_received: bool,
    /// What lasts as long.
    _kept: Vec<Box<dyn Any>>,
}

/// What is to become of a stream whose protocol was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    GoesOn,
    /// The protocol has closed it, and the peer has yet to. Until then nobody is there to have what comes.
    Closed,
    /// It is over at both ends, and to be forgotten; the protocol is to hear of it then.
    Over(Disconnect),
}

impl<P: Protocol> Carried<P> {
    /// Seats a protocol on a stream. It has not been told anything yet.
    pub(crate) fn new(
        conn: &Conn<P>,
        stream: StreamId,
        tend: Tend<P>,
        seat: Box<dyn Seat>,
        abort: ErrorCode,
    ) -> Self {
        let channel = Channel::new(conn, stream.into(), tend, seat);
        Self { channel, abort, held: 0, is_sent: false, is_received: false, _kept: Vec::new() }
    }

    /// Has something last as long.
    pub(crate) fn keeping(self, kept: Vec<Box<dyn Any>>) -> Self {
        Self { _kept: kept, ..self }
    }

    /// Tells the protocol that its connection is made.
    pub(crate) fn made(&mut self) {
        self.channel.made();
    }

    /// Hands on what came; `is_end` where nothing follows.
    pub(crate) fn data(&mut self, data: &[u8], is_end: bool) {
        self.held += data.len();
        if !data.is_empty() {
            self.channel.data_received(data);
        }
        if is_end {
            self.is_received = true;
            self.channel.eof_received();
        }
    }

    /// Has the protocol's calls made that are due.
    pub(crate) fn tick(&mut self) {
        self.channel.tick();
    }

    /// Whether the peer may still send something.
    pub(crate) fn is_receiving(&self) -> bool {
        !self.is_received
    }

    /// Whether this end has said all, or the peer has and nothing waits to be sent to it.
    pub(crate) fn has_no_more(&self) -> bool {
        self.is_sent || (self.is_received && self.channel.waiting() == 0)
    }

    /// Whether the protocol does not know yet how much of what it wrote waits.
    pub(crate) fn is_news(&self) -> bool {
        self.channel.is_news()
    }

    pub(crate) fn tell_sent(&mut self) {
        self.channel.tell_sent();
    }

    /// Carries out what the protocol wishes.
    pub(crate) fn look(
        &mut self,
        conn: &Conn<P>,
        engine: &mut Connection,
        stream: StreamId,
    ) -> Course {
        let wishes = self.channel.settle();
        if let Some(Ending::Abort(why)) = wishes.ending {
            let code = match why {
                Disconnect::Panicked | Disconnect::Overflowed => ErrorCode::InternalError,
                _ => self.abort,
            };
            conn.write_with(|out| engine.reset(stream, code, out));
            return Course::Over(why);
        }
        let release = if wishes.reading { std::mem::take(&mut self.held) } else { 0 };
        let ends =
            wishes.end_of_stream && !std::mem::replace(&mut self.is_sent, wishes.end_of_stream);
        engine.set_wants_to_send(stream, self.channel.waiting() > 0);
        conn.write_with(|out| {
            engine.release(stream, release, out);
            if ends && let Some(head) = engine.data_head(stream, 0, true, out) {
                out.extend_from_slice(&head);
            }
        });
        let is_over = self.is_sent && self.is_received;
        match wishes.ending {
            _ if is_over && (wishes.reading || wishes.ending.is_some()) => {
                Course::Over(Disconnect::Closed)
            }
            Some(_) => Course::Closed,
            None => Course::GoesOn,
        }
    }

    /// Sends as much of what the protocol wrote as goes into one frame; how many bytes that was. It is to be
    /// [looked at](Self::look) then.
    pub(crate) fn put_part(
        &mut self,
        conn: &Conn<P>,
        engine: &mut Connection,
        stream: StreamId,
    ) -> usize {
        let part = self.channel.take(engine.room(stream) as u64);
        let len = part.len() as usize;
        let mut is_live = false;
        conn.write_with(|out| {
            if let Some(head) = engine.data_head(stream, len, false, out) {
                out.extend_from_slice(&head);
                is_live = true;
            }
        });
        if is_live {
            conn.write_outbox(Box::new(part));
        }
        self.channel.tell_sent();
        len
    }

    /// Tells the protocol that it is over, once.
    pub(crate) fn lose(&mut self, why: Disconnect) {
        self.channel.lose(why);
    }
}
