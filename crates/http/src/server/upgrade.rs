//! Another protocol takes the connection over.

use std::any::Any;
use std::fmt;

use ropewalk_protocol::{Conn, Protocol};

use super::body::{Body, Kind};
use super::connection::Server;

/// Hands a connection, and what the client sent behind its request, to whoever comes next.
pub(crate) struct Takeover {
    hand_over: HandOver,
    /// What lasts as long as the connection.
    kept: Vec<Box<dyn Any>>,
}

type HandOver = Box<dyn FnOnce(&Conn<Server>, &[u8], Vec<Box<dyn Any>>)>;

impl Takeover {
    pub(super) fn run(self, conn: &Conn<Server>, rest: &[u8]) {
        (self.hand_over)(conn, rest, self.kept);
    }

    /// Has something last as long as whoever comes next has the connection.
    pub(crate) fn keep(&mut self, kept: impl Any) {
        self.kept.push(Box::new(kept));
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Takeover").finish_non_exhaustive()
    }
}

impl Body {
    /// No body: once the response's head is out, `next` speaks on this connection (RFC 9110 7.8).
    ///
    /// It goes with `101 Switching Protocols` to a request that asked for it, and with a 2xx status to
    /// CONNECT (RFC 9110 9.3.6). The response's own fields have to say `Connection: upgrade` and what to.
    /// What the client sent behind its request is the first that `next` receives. With any other status,
    /// or to a request whose body has not come whole, the client is answered 500 and `next` is dropped.
    ///
    /// ```
    /// use http::{StatusCode, header};
    /// use ropewalk_http::{Body, Request, Response, Site};
    /// use ropewalk_protocol::{Conn, Protocol};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// struct Echo;
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
    ///         conn.write(data);
    ///     }
    /// }
    ///
    /// let site = Site::new(|_: Request| {
    ///     let head = http::Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    ///     let head = head.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "echo");
    ///     head.body(Body::switch_to(Echo)).expect("these are a response's fields")
    /// });
    /// let mut client = Memory::seat(site.server(), &Clock::new());
    /// client.push(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello");
    /// let answer = client.take_sent();
    /// assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
    /// assert!(answer.ends_with(b"\r\n\r\nhello"));
    /// ```
    pub fn switch_to(next: impl Protocol) -> Self {
        let hand_over = move |conn: &Conn<Server>, rest: &[u8], kept: Vec<Box<dyn Any>>| {
            let conn = conn.switch_protocol(next, rest);
            if !kept.is_empty() {
                conn.keep(kept);
            }
        };
        Kind::Switch(Takeover { hand_over: Box::new(hand_over), kept: Vec::new() }).into()
    }
}
