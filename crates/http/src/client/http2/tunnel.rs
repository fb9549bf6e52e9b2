//! Another protocol on a stream that this end asked for (RFC 9113 8.5, RFC 8441).

use http::Response;
use ropewalk_http2::frame::{ErrorCode, StreamId};
use ropewalk_protocol::{Conn, Disconnect};

use super::Http2;
use super::exchange::{Exchange, Reading};
use crate::carried::{Carried, Course};
use crate::client::switch::Onto;
use crate::client::{AgentError, Reader, RequestPriority, Switch, Wait};
use crate::server::Incoming;

impl Http2 {
    /// The server has agreed: seats who comes next. `is_end` where it has nothing to say.
    pub(super) fn open_tunnel(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        switch: &Switch,
        response: Response<()>,
        is_end: bool,
    ) {
        let mut seat = None;
        let agreed = match switch.agree(&response) {
            Some(Ok(next)) => {
                next(Onto::Stream(&mut seat));
                Ok(())
            }
            Some(Err(why)) => Err(why),
            None => Err(AgentError::Upgraded.into()),
        };
        if let Err(why) = agreed {
            conn.write_with(|out| self.engine.reset(stream, ErrorCode::Cancel, out));
            let Some(Exchange { reading, ticket, .. }) = self.remove(conn, stream) else { return };
            drop(ticket);
            if let Reading::Head { promise, .. } = reading {
                promise.fail(why);
            }
            return;
        }
        let Some(seat) = seat else { return };
        let Some(exchange) = self.exchange(stream) else { return };
        exchange.stop_timers(conn);
        (exchange.timer, exchange.total, exchange.waits_for) = (None, None, None);
        let mut open = Carried::new(conn, stream, Self::tend_tunnel, seat, ErrorCode::Cancel);
        open.made();
        open.data(b"", is_end);
        let next = Reading::Tunnel(Box::new(open));
        let Reading::Head { promise, .. } = std::mem::replace(&mut exchange.reading, next) else {
            return;
        };
        let reader = Reader::of_stream(conn.clone(), None);
        self.ready.push((promise, response.map(|()| Incoming::of_answer(reader, None))));
        self.look_at_tunnel(conn, stream);
    }

    /// Something came on a stream that is a protocol's; whether it is one's.
    pub(super) fn tunnel_data(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        data: &[u8],
        is_end: bool,
    ) -> bool {
        let Some(exchange) = self.exchange(stream) else { return false };
        match &mut exchange.reading {
            Reading::Tunnel(open) => {
                open.data(data, is_end);
                self.look_at_tunnel(conn, stream);
            }
            Reading::Closing => {
                conn.write_with(|out| self.engine.release(stream, data.len(), out));
                if is_end {
                    self.end_tunnel(conn, stream, Disconnect::Closed);
                } else if !data.is_empty() {
                    // Nobody is there to have it, as a socket would say.
                    conn.write_with(|out| self.engine.reset(stream, ErrorCode::Cancel, out));
                    self.end_tunnel(conn, stream, Disconnect::Closed);
                }
            }
            Reading::Head { .. } | Reading::Body { .. } | Reading::Done => return false,
        }
        true
    }

    /// Something was written from outside, or a call is due.
    fn tend_tunnel(&mut self, conn: &Conn<Self>, key: u64) {
        let Ok(stream) = StreamId::try_from(key) else { return };
        if let Some(Exchange { reading: Reading::Tunnel(open), .. }) = self.exchange(stream) {
            open.tick();
        }
        self.look_at_tunnel(conn, stream);
        self.pump(conn);
        self.settle(conn);
    }

    /// Carries out what the protocol on a stream wishes.
    fn look_at_tunnel(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(place) = self.place_of(stream) else { return };
        let exchange = &mut self.exchanges[place];
        let Reading::Tunnel(open) = &mut exchange.reading else { return };
        match open.look(conn, &mut self.engine, stream) {
            Course::GoesOn => (),
            Course::Closed => {
                open.lose(Disconnect::Closed);
                exchange.reading = Reading::Closing;
                let goodbye = self.patience.goodbye;
                self.wait(conn, stream, Some((goodbye, Wait::Idle(goodbye))));
            }
            Course::Over(why) => self.end_tunnel(conn, stream, why),
        }
    }

    /// Sends as much of what a protocol wrote as goes into one frame; how many bytes that was, where the
    /// stream is one's.
    pub(super) fn put_tunnel_part(&mut self, conn: &Conn<Self>, stream: StreamId) -> Option<usize> {
        let place = self.place_of(stream)?;
        let Reading::Tunnel(open) = &mut self.exchanges[place].reading else { return None };
        let len = open.put_part(conn, &mut self.engine, stream);
        self.look_at_tunnel(conn, stream);
        Some(len)
    }

    /// Tells the protocols on streams what could not be sent.
    pub(super) fn tell_tunnels(&mut self, conn: &Conn<Self>) {
        let is_news =
            |one: &&Exchange| matches!(&one.reading, Reading::Tunnel(open) if open.is_news());
        let news: Vec<StreamId> =
            self.exchanges.iter().filter(is_news).map(|one| one.stream).collect();
        for stream in news {
            if let Some(Exchange { reading: Reading::Tunnel(open), .. }) = self.exchange(stream) {
                open.tell_sent();
            }
            self.look_at_tunnel(conn, stream);
        }
    }

    /// Fields came on a stream that is a protocol's, where nothing but data goes (RFC 9113 8.5).
    pub(super) fn break_tunnel(&mut self, conn: &Conn<Self>, stream: StreamId) {
        conn.write_with(|out| self.engine.reset(stream, ErrorCode::ProtocolError, out));
        self.end_tunnel(conn, stream, Disconnect::Aborted);
    }

    /// The stream is over at both ends. Its place is free before the protocol hears so.
    fn end_tunnel(&mut self, conn: &Conn<Self>, stream: StreamId, why: Disconnect) {
        let Some(exchange) = self.remove(conn, stream) else { return };
        let Exchange { reading, ticket, priority, .. } = exchange;
        priority.inspect(RequestPriority::is_over);
        drop(ticket);
        if let Reading::Tunnel(mut open) = reading {
            open.lose(why);
        }
    }
}

/// How a protocol's stream ended, whose connection ended so.
pub(super) fn lost(error: &AgentError, open: &Carried<Http2>) -> Disconnect {
    use ropewalk_http2::ResetBy;
    match error {
        // Nothing went wrong, and nothing that was said was not heard.
        AgentError::Stream(ResetBy::Peer(ErrorCode::NoError)) if open.has_no_more() => {
            Disconnect::Closed
        }
        AgentError::Stream(ResetBy::Peer(_) | ResetBy::GoAway) | AgentError::GoneAway(_) => {
            Disconnect::Reset
        }
        // A connection that ends cleanly has torn off what was on it.
        AgentError::Lost(Disconnect::Closed) | AgentError::Unprocessed => Disconnect::Reset,
        AgentError::Lost(why) => *why,
        AgentError::TimedOut(_) | AgentError::Silent(_) => Disconnect::TimedOut,
        _ => Disconnect::Aborted,
    }
}
