//! Another protocol on a stream, which it has as if it were a connection (RFC 9113 8.5, RFC 8441).

use std::fmt;
use std::time::Duration;

use http::header::{DATE, SEC_WEBSOCKET_ACCEPT};
use http::{HeaderMap, StatusCode};
use ropewalk_http2::frame::{ErrorCode, StreamId};
use ropewalk_http2::hpack::Pseudo;
use ropewalk_protocol::{Conn, Disconnect};

use super::Http2;
use super::exchange::Answer;
use crate::carried::{Carried, Course};
use crate::outflow::put_fields;
use crate::server::body::Kind;
use crate::server::reply::Response;

/// What has become of a stream that a client wants for another protocol.
pub(super) enum Tunnel {
    /// The resource has not said anything.
    Asked(Asked),
    /// The protocol has it.
    Open(Carried<Http2>),
    /// The protocol has closed it, and the client has yet to.
    Closing(Duration),
}

/// What came before there was somebody to have it: no more than the stream's window has room for.
#[derive(Default)]
pub(super) struct Asked {
    /// An extended CONNECT, which names a protocol (RFC 8441).
    is_extended: bool,
    early: Vec<u8>,
    has_client_ended: bool,
}

impl Tunnel {
    pub(super) fn asked(is_extended: bool, has_client_ended: bool) -> Self {
        Self::Asked(Asked { is_extended, early: Vec::new(), has_client_ended })
    }

    /// Whether a resource may answer so with a change of protocol.
    pub(super) fn may_open_with(&self, status: StatusCode) -> bool {
        match self {
            Self::Asked(asked) if asked.is_extended => status == StatusCode::SWITCHING_PROTOCOLS,
            Self::Asked(_) => status.is_success(),
            Self::Open(_) | Self::Closing(_) => false,
        }
    }

    /// Whether the client may still send something.
    pub(super) fn is_receiving(&self) -> bool {
        match self {
            Self::Asked(asked) => !asked.has_client_ended,
            Self::Open(open) => open.is_receiving(),
            Self::Closing(_) => true,
        }
    }

    /// Whether somebody has to look after it once in a while.
    pub(super) fn is_watched(&self) -> bool {
        !matches!(self, Self::Open(_))
    }

    pub(super) fn is_overdue(&self, now: Duration, patience: Duration) -> bool {
        matches!(self, Self::Closing(since) if now.saturating_sub(*since) >= patience)
    }

    /// Tells the protocol that it is over.
    pub(super) fn lose(&mut self, why: Disconnect) {
        if let Self::Open(open) = self {
            open.lose(why);
        }
    }
}

impl Http2 {
    fn open_tunnel_of(&mut self, stream: StreamId) -> Option<&mut Carried<Self>> {
        match self.exchange(stream)?.tunnel.as_deref_mut() {
            Some(Tunnel::Open(open)) => Some(open),
            _ => None,
        }
    }

    /// Answers that the stream is the next protocol's, and seats that on it.
    pub(super) fn open_tunnel(&mut self, conn: &Conn<Self>, stream: StreamId, response: Response) {
        let now = conn.now();
        let Some(place) = self.place_of(stream) else { return };
        let (head, body) = response.into_parts();
        let Kind::Switch(takeover) = body.kind else { return };
        let Some(Tunnel::Asked(asked)) = self.exchanges[place].tunnel.take().map(|tunnel| *tunnel)
        else {
            return;
        };
        let status = if asked.is_extended { StatusCode::OK } else { head.status };
        self.put_tunnel_head(conn, stream, status, head.headers, now);
        let exchange = &mut self.exchanges[place];
        exchange.status = Some(status);
        exchange.answer = Answer::Done;
        if let Some(access) = exchange.finish_access(now) {
            self.site.log(&access);
        }
        // RFC 9113 8.5 has a code of its own for what CONNECT leads to.
        let abort = if asked.is_extended { ErrorCode::Cancel } else { ErrorCode::ConnectError };
        let (seat, kept) = takeover.into_seat(&self.site);
        let open = Carried::new(conn, stream, Self::tend_tunnel, seat, abort);
        let mut open = open.keeping(kept);
        open.made();
        open.data(&asked.early, asked.has_client_ended);
        exchange.tunnel = Some(Box::new(Tunnel::Open(open)));
        self.look_at_tunnel(conn, stream);
    }

    fn put_tunnel_head(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        status: StatusCode,
        mut fields: HeaderMap,
        now: Duration,
    ) {
        // RFC 8441 5: this answers a key, which there is none of.
        fields.remove(SEC_WEBSOCKET_ACCEPT);
        let (engine, site) = (&mut self.engine, &self.site);
        conn.write_with(|out| {
            engine.send_head(stream, false, out, |head| {
                head.pseudo(Pseudo::Status, status.as_str().as_bytes());
                put_fields(head, Some(&fields));
                if !fields.contains_key(DATE) {
                    site.with_date(now, |date| head.shared(&DATE, date.as_bytes()));
                }
            });
        });
    }

    /// The client has sent something on a stream that it wants for another protocol.
    pub(super) fn tunnel_data(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        data: &[u8],
        is_end: bool,
    ) {
        let Some(exchange) = self.exchange(stream) else { return };
        match exchange.tunnel.as_deref_mut() {
            Some(Tunnel::Asked(asked)) => {
                asked.early.extend_from_slice(data);
                asked.has_client_ended = is_end;
            }
            Some(Tunnel::Open(open)) => {
                open.data(data, is_end);
                self.look_at_tunnel(conn, stream);
            }
            Some(Tunnel::Closing(_)) => {
                conn.write_with(|out| self.engine.release(stream, data.len(), out));
                if is_end {
                    self.end_tunnel(stream, Disconnect::Closed);
                } else if !data.is_empty() {
                    // Nobody is there to have it, as a socket would say.
                    self.reset(conn, stream, ErrorCode::Cancel);
                }
            }
            None => (),
        }
    }

    /// Something was written from outside, or a call is due.
    fn tend_tunnel(&mut self, conn: &Conn<Self>, key: u64) {
        let Ok(stream) = StreamId::try_from(key) else { return };
        if let Some(open) = self.open_tunnel_of(stream) {
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
        let Some(Tunnel::Open(open)) = exchange.tunnel.as_deref_mut() else { return };
        match open.look(conn, &mut self.engine, stream) {
            Course::GoesOn => (),
            Course::Closed => {
                open.lose(Disconnect::Closed);
                exchange.tunnel = Some(Box::new(Tunnel::Closing(conn.now())));
            }
            Course::Over(why) => self.end_tunnel(stream, why),
        }
    }

    /// Sends as much of what a protocol wrote as goes into one frame; how many bytes that was, where the
    /// stream is one's.
    pub(super) fn put_tunnel_part(&mut self, conn: &Conn<Self>, stream: StreamId) -> Option<usize> {
        let place = self.place_of(stream)?;
        let exchange = &mut self.exchanges[place];
        let Some(Tunnel::Open(open)) = exchange.tunnel.as_deref_mut() else { return None };
        let len = open.put_part(conn, &mut self.engine, stream);
        exchange.moved = conn.now();
        self.look_at_tunnel(conn, stream);
        Some(len)
    }

    /// Tells the protocols on streams what could not be sent.
    pub(super) fn tell_tunnels(&mut self, conn: &Conn<Self>) {
        let is_news = |tunnel: &Tunnel| matches!(tunnel, Tunnel::Open(open) if open.is_news());
        let news: Vec<StreamId> = self
            .exchanges
            .iter()
            .filter(|exchange| exchange.tunnel.as_deref().is_some_and(is_news))
            .map(|exchange| exchange.stream)
            .collect();
        for stream in news {
            if let Some(open) = self.open_tunnel_of(stream) {
                open.tell_sent();
            }
            self.look_at_tunnel(conn, stream);
        }
    }

    /// The client will send no more at all.
    pub(super) fn end_tunnels_input(&mut self, conn: &Conn<Self>) {
        let streams: Vec<StreamId> = self
            .exchanges
            .iter()
            .filter(|one| one.tunnel.is_some())
            .map(|one| one.stream)
            .collect();
        for stream in streams {
            self.tunnel_data(conn, stream, b"", true);
        }
    }

    fn end_tunnel(&mut self, stream: StreamId, why: Disconnect) {
        if let Some(place) = self.place_of(stream)
            && let Some(mut tunnel) = self.exchanges.remove(place).tunnel
        {
            tunnel.lose(why);
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked(_) => "asked",
            Self::Open(_) => "open",
            Self::Closing(_) => "closing",
        })
    }
}
