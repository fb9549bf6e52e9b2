//! Where a request came from.

use std::rc::Weak;
use std::time::Duration;

use ropewalk_http2::frame::StreamId;
use ropewalk_protocol::{Address, Conn, TlsInfo};

use super::connection::Server;
use super::http2::Http2;
use super::reply::Reply;
use super::request::Request;
use super::site::Endless;

/// A connection, and which of its requests is meant.
#[derive(Clone)]
pub(crate) enum Place {
    /// One after another (HTTP/1.1).
    Serial(Conn<Server>, u32),
    /// Side by side (HTTP/2).
    Stream(Conn<Http2>, StreamId),
}

impl Place {
    /// Somebody waits for more of the body, or there is room for it.
    pub(super) fn want_body(&self) {
        match self {
            Self::Serial(conn, _) => {
                conn.call_later(Duration::ZERO, Server::body_wanted);
            }
            Self::Stream(conn, stream) => {
                let stream = *stream;
                conn.call_later(Duration::ZERO, move |this, conn| this.body_wanted(conn, stream));
            }
        }
    }

    /// Calls `then` after a while, unless the connection ends before.
    pub(crate) fn call_later(&self, delay: Duration, then: impl FnOnce() + 'static) {
        match self {
            Self::Serial(conn, _) => {
                conn.call_later(delay, |_, _| then());
            }
            Self::Stream(conn, _) => {
                conn.call_later(delay, |_, _| then());
            }
        }
    }

    /// Has an answer that has no end of its own end when the site says goodbye.
    pub(crate) fn end_at_goodbye(&self, answer: Weak<dyn Endless>) {
        match self {
            Self::Serial(conn, _) => {
                conn.call_later(Duration::ZERO, |this, _| this.site.end_at_goodbye(answer));
            }
            Self::Stream(conn, _) => {
                conn.call_later(Duration::ZERO, |this, _| this.site.end_at_goodbye(answer));
            }
        }
    }

    /// Has the site's resource answer a request of its own making, in a later turn.
    pub(super) fn render_later(&self, request: Request, take: impl FnOnce(Reply) + 'static) {
        match self {
            Self::Serial(conn, _) => {
                conn.call_later(Duration::ZERO, move |server, _| {
                    let mut take = Some(take);
                    server.render(request, move |_, reply| {
                        if let Some(take) = take.take() {
                            take(reply);
                        }
                    });
                });
            }
            Self::Stream(conn, _) => {
                conn.call_later(Duration::ZERO, move |server, _| take(server.render(request)));
            }
        }
    }

    pub(super) fn peer(&self) -> Address {
        match self {
            Self::Serial(conn, _) => conn.peer(),
            Self::Stream(conn, _) => conn.peer(),
        }
    }

    pub(super) fn local(&self) -> Address {
        match self {
            Self::Serial(conn, _) => conn.local(),
            Self::Stream(conn, _) => conn.local(),
        }
    }

    pub(super) fn tls(&self) -> Option<TlsInfo> {
        match self {
            Self::Serial(conn, _) => conn.tls(),
            Self::Stream(conn, _) => conn.tls(),
        }
    }
}
