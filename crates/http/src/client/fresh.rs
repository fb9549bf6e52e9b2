//! A connection that is being made: which version it speaks is not known yet.

use std::rc::Rc;

use ropewalk_deferred::Promise;
use ropewalk_protocol::{Conn, Protocol};

use super::connection::Connection;
use super::http2::Http2;
use super::link::Line;
use super::pool::Lease;
use super::{ClientPatience, Http2Options};
use crate::codec::Limits;

/// What TLS calls HTTP/2 (RFC 9113 3.2).
const H2: &[u8] = b"h2";

/// What all connections of an agent keep to.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) patience: Rc<ClientPatience>,
    pub(super) limits: Rc<Limits>,
    pub(super) http2: Rc<Http2Options>,
    pub(super) http2_limits: Rc<ropewalk_http2::Limits>,
}

/// Hands a connection to whoever speaks its version, as soon as that is known.
pub(super) struct Fresh {
    /// Both are there until the connection is handed on.
    held: Option<(Lease, Promise<Line>)>,
    rules: Rules,
}

impl Fresh {
    pub(super) fn new(lease: Lease, rules: Rules, promise: Promise<Line>) -> Self {
        Self { held: Some((lease, promise)), rules }
    }

    /// Whether the other end speaks HTTP/2: because it said so, or because this end was told so
    /// (RFC 9113 3.3).
    fn is_http2(&self, conn: &Conn<Self>, lease: &Lease) -> bool {
        if lease.origin().is_secure() {
            conn.tls().is_some_and(|tls| tls.alpn.as_deref() == Some(H2))
        } else {
            self.rules.http2.has_prior_knowledge && !lease.is_http1()
        }
    }
}

impl Protocol for Fresh {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let Some((lease, promise)) = self.held.take() else { return };
        if self.is_http2(conn, &lease) {
            let link = lease.is_shared(self.rules.http2.streams_max);
            promise.succeed(Line::Http2(link.enter()));
            let next = Http2::new(lease, Rc::clone(&link), &self.rules);
            link.is_of(conn.switch_protocol(next, b""));
        } else {
            lease.is_made();
            let Rules { patience, limits, .. } = self.rules.clone();
            let conn = conn.switch_protocol(Connection::new(lease, patience, limits), b"");
            promise.succeed(Line::Http1(conn));
        }
    }

    /// Servers of HTTP/1.1 that speak first are told so by whoever the connection is handed to.
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}
