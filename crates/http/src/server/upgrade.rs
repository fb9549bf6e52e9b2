//! Another protocol takes the connection over.

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use ropewalk_protocol::{Conn, Drain, Protocol, Seat, seat};

use super::body::{Body, Kind};
use super::connection::Server;
use super::site::Shared;

/// Hands a connection, and what the client sent behind its request, or a stream to whoever comes next.
pub(crate) struct Takeover {
    hand_over: HandOver,
    /// What lasts as long as the connection.
    kept: Vec<Box<dyn Any>>,
}

type HandOver = Box<dyn FnOnce(Onto<'_>, &Rc<Shared>)>;

/// What there is to be had.
enum Onto<'a> {
    /// A connection, what came on it, and what is to last as long.
    Connection(&'a Conn<Server>, &'a [u8], Vec<Box<dyn Any>>),
    /// A stream, which wants a seat to carry.
    Stream(&'a mut Option<Box<dyn Seat>>),
}

impl Takeover {
    pub(super) fn run(self, conn: &Conn<Server>, rest: &[u8], site: &Rc<Shared>) {
        (self.hand_over)(Onto::Connection(conn, rest, self.kept), site);
    }

    /// Who comes next, seated, and what is to last as long.
    pub(super) fn into_seat(self, site: &Rc<Shared>) -> (Box<dyn Seat>, Vec<Box<dyn Any>>) {
        let mut next = None;
        (self.hand_over)(Onto::Stream(&mut next), site);
        match next {
            Some(next) => (next, self.kept),
            None => unreachable!("it seats what it has"),
        }
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
    /// In HTTP/2 `next` has the request's stream, which it writes to, pauses, half-closes, closes and
    /// aborts as it would a connection. A client that asks for a protocol there by an extended CONNECT
    /// (RFC 8441) is heard as one that asks for an upgrade: the resource sees the `GET` with `Connection`
    /// and `Upgrade` that HTTP/1.1 has for it, and answers as there. Where it answers 2xx and changes to
    /// nothing, the client is told 501.
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
        Self::switch(next, None)
    }

    /// The same for what is among others of its kind from then on, such as a WebSocket: `group` is the same
    /// `Rc` for all of them. When the site is drained it drains `group`, which knows how they say goodbye
    /// and whether they are busy. What `next` is for [`switch_to`](Self::switch_to) is left to itself then,
    /// until it has ended or is cut.
    pub fn switch_among(group: &Rc<dyn Drain>, next: impl Protocol) -> Self {
        Self::switch(next, Some(Rc::clone(group)))
    }

    fn switch(next: impl Protocol, group: Option<Rc<dyn Drain>>) -> Self {
        let hand_over = move |onto: Onto<'_>, site: &Rc<Shared>| {
            if let Some(group) = &group {
                site.join(group);
            }
            match onto {
                Onto::Connection(conn, rest, kept) => {
                    if conn.is_closing() {
                        return;
                    }
                    let conn = conn.switch_protocol(next, rest);
                    // A group counts its own. While it leaves it has been asked already, whatever comes to it.
                    if group.is_none() || site.is_draining() {
                        conn.keep(site.hand_over(conn.clone()));
                    }
                    if !kept.is_empty() {
                        conn.keep(kept);
                    }
                }
                Onto::Stream(place) => *place = Some(seat(next)),
            }
        };
        Kind::Switch(Takeover { hand_over: Box::new(hand_over), kept: Vec::new() }).into()
    }
}
