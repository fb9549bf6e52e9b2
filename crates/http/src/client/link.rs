//! A connection that many requests share, as the pool sees it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Address, Conn, TlsInfo};

use super::connection::{Connection, Exchange};
use super::http2::Http2;
use super::pool::Pool;
use super::{AgentError, Origin};

/// How many origins a connection remembers not to be for.
const STRANGERS_MAX: usize = 64;

/// A connection that speaks HTTP/2: how much of it is in use.
pub(super) struct Link {
    conn: OnceCell<Conn<Http2>>,
    pool: Weak<Pool>,
    origin: Rc<Origin>,
    /// Requests that have a place on it.
    busy: Cell<usize>,
    /// How many may have one.
    max: Cell<usize>,
    /// It takes no further requests.
    is_leaving: Cell<bool>,
    /// Origins that it was looked at for, and that it does not lead to.
    strangers: RefCell<Vec<Rc<Origin>>>,
    /// Whether its server takes protocols on streams, once it has said so.
    takes_protocols: Cell<Option<bool>>,
    /// Who waits for that word; each has a place.
    curious: RefCell<Vec<Promise<bool>>>,
}

impl Link {
    pub(super) fn new(pool: Weak<Pool>, origin: Rc<Origin>, max: usize) -> Rc<Self> {
        Rc::new(Self {
            conn: OnceCell::new(),
            pool,
            origin,
            busy: Cell::new(0),
            max: Cell::new(max),
            is_leaving: Cell::new(false),
            strangers: RefCell::default(),
            takes_protocols: Cell::new(None),
            curious: RefCell::default(),
        })
    }

    /// Says which connection it is.
    pub(super) fn is_of(&self, conn: Conn<Http2>) {
        self.conn.get_or_init(|| conn);
    }

    /// It is there for all from now on.
    pub(super) fn share(self: &Rc<Self>) {
        if let Some(pool) = self.pool.upgrade() {
            pool.share(self);
        }
    }

    pub(super) fn origin(&self) -> &Rc<Origin> {
        &self.origin
    }

    /// Whether it takes requests, now or once others are over.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_leaving.get()
            && self.conn.get().is_some_and(|conn| !conn.is_over() && !conn.is_closing())
    }

    pub(super) fn is_over(&self) -> bool {
        self.conn.get().is_none_or(Conn::is_over)
    }

    /// Whether a request has a place on it.
    pub(super) fn has_room(&self) -> bool {
        self.busy.get() < self.max.get()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.busy.get() == 0
    }

    /// Who is at its other end, and what was agreed on with them.
    pub(super) fn ends(&self) -> Option<(Address, TlsInfo)> {
        let conn = self.conn.get()?;
        Some((conn.peer(), conn.tls()?))
    }

    /// Takes a place on it.
    pub(super) fn enter(self: &Rc<Self>) -> Ticket {
        self.busy.set(self.busy.get() + 1);
        Ticket(Rc::clone(self))
    }

    /// How many requests it takes from now on.
    pub(super) fn set_max(&self, max: usize) {
        let before = self.max.replace(max);
        if max > before {
            self.serve();
        }
    }

    /// It takes no further requests.
    pub(super) fn leave(&self) {
        if !self.is_leaving.replace(true) {
            // They are asked elsewhere.
            self.curious.take();
            self.serve();
        }
    }

    /// Whether its server takes protocols on streams (RFC 8441 3), as soon as it has said so. Where it does
    /// not come to that, the promise of it is dropped, or fails for the reason.
    pub(super) fn takes_protocols(&self) -> Deferred<bool> {
        if let Some(takes) = self.takes_protocols.get() {
            return Deferred::succeed(takes);
        }
        let (promise, word) = deferred();
        if !self.is_leaving.get() {
            let mut curious = self.curious.borrow_mut();
            curious.retain(Promise::is_wanted);
            curious.push(promise);
        }
        word
    }

    /// The server has said whether it takes protocols on streams.
    pub(super) fn set_takes_protocols(&self, takes: bool) {
        self.takes_protocols.set(Some(takes));
        for promise in self.curious.take() {
            promise.succeed(takes);
        }
    }

    /// Nothing comes of it any more.
    pub(super) fn fail(&self, error: &AgentError) {
        for promise in self.curious.take() {
            promise.fail(error.clone());
        }
    }

    /// Closes it, as nobody uses it.
    pub(super) fn close(&self) {
        self.is_leaving.set(true);
        if let Some(conn) = self.conn.get() {
            conn.call_later(Duration::ZERO, Http2::close_unused);
        }
    }

    /// Whether it was looked at for this origin, and does not lead there.
    pub(super) fn is_stranger_to(&self, origin: &Rc<Origin>) -> bool {
        self.strangers.borrow().contains(origin)
    }

    pub(super) fn add_stranger(&self, origin: &Rc<Origin>) {
        let mut strangers = self.strangers.borrow_mut();
        if strangers.len() == STRANGERS_MAX {
            strangers.remove(0);
        }
        strangers.push(Rc::clone(origin));
    }

    fn serve(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.serve();
        }
    }
}

/// One request's place on a connection that is shared; it goes to the next when it is dropped.
pub(super) struct Ticket(Rc<Link>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
        let Some(pool) = self.0.pool.upgrade() else { return };
        pool.serve();
        if self.0.is_unused() && self.0.is_usable() {
            pool.rest(&self.0);
        }
    }
}

/// A connection that a request can go out on.
pub(super) enum Line {
    /// It has it to itself.
    Http1(Conn<Connection>),
    /// It shares it.
    Http2(Ticket),
}

impl Line {
    /// Sends a request. Where that cannot be any more, its promise is dropped.
    pub(super) fn begin(self, exchange: Exchange) {
        match self {
            Self::Http1(conn) => {
                conn.call_later(Duration::ZERO, move |this, conn| this.begin(conn, exchange));
            }
            Self::Http2(ticket) => {
                let Some(conn) = ticket.0.conn.get().cloned() else { return };
                conn.call_later(Duration::ZERO, move |this, conn| {
                    this.begin(conn, exchange, ticket);
                });
            }
        }
    }

    /// No request goes out on it.
    pub(super) fn discard(self) {
        if let Self::Http1(conn) = self {
            conn.close();
        }
    }

    /// The connection, where it is shared.
    pub(super) fn link(&self) -> Option<Rc<Link>> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(ticket) => Some(Rc::clone(&ticket.0)),
        }
    }
}
