//! Connections, kept by origin.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::Conn;

use super::connection::Connection;
use super::link::{Line, Link};
use super::{AgentError, Origin, PoolBounds};

/// Of how many origins it is remembered which version they speak.
const KNOWN_MAX: usize = 1024;

/// What a request gets that asked for a connection.
pub(super) enum Grant {
    /// One that is up.
    Ready(Line),
    /// The right to make one.
    Open(Lease),
}

/// The right to have one connection; it goes to the next when it is dropped.
pub(super) struct Lease {
    pool: Weak<Pool>,
    origin: Rc<Origin>,
    is_dialling: Cell<bool>,
    /// Whether it is for HTTP/1.1 alone.
    is_http1: bool,
}

/// What kind of connection a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Any will do.
    Any,
    /// The first one may turn out to be enough for all, and is waited for.
    Shared,
    /// One that speaks HTTP/1.1, whatever else its server could.
    Http1,
}

pub(super) struct Pool {
    bounds: PoolBounds,
    slots: RefCell<Slots>,
}

#[derive(Default)]
struct Slots {
    open: HashMap<Rc<Origin>, Open>,
    open_count: usize,
    /// The longest unused first.
    idle: VecDeque<(Rc<Origin>, Idle)>,
    /// Where requests for an origin go that many can share a connection to.
    links: HashMap<Rc<Origin>, Rc<Link>>,
    /// Which version an origin speaks.
    known: HashMap<Rc<Origin>, Known>,
    waiting: VecDeque<Waiting>,
    last_id: u64,
}

/// Which version an origin speaks, as it was found out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Http1,
    Http2,
    /// It speaks HTTP/2, but has to be asked in HTTP/1.1.
    Http1Only,
}

/// Connections to one origin.
#[derive(Default)]
struct Open {
    count: usize,
    /// How many of them are being made.
    dialling: usize,
}

/// A connection that nobody uses.
enum Idle {
    Http1(Conn<Connection>),
    Http2(Rc<Link>),
}

struct Waiting {
    id: u64,
    origin: Rc<Origin>,
    wish: Wish,
    promise: Promise<Grant>,
}

impl Idle {
    fn close(&self) {
        match self {
            Self::Http1(conn) => conn.close(),
            Self::Http2(link) => link.close(),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Http1(conn) => conn.is_over(),
            Self::Http2(link) => link.is_over(),
        }
    }
}

impl Pool {
    pub(super) fn new(bounds: PoolBounds) -> Rc<Self> {
        Rc::new(Self { bounds, slots: RefCell::default() })
    }

    /// A connection to `origin`, or the right to make one, once there is one.
    pub(super) fn take(self: &Rc<Self>, origin: Rc<Origin>, wish: Wish) -> Deferred<Grant> {
        if let Some(grant) = self.grant(&origin, wish) {
            return Deferred::succeed(grant);
        }
        let mut slots = self.slots.borrow_mut();
        if slots.waiting.len() >= self.bounds.waiting_max {
            return Deferred::fail(AgentError::Busy { max: self.bounds.waiting_max });
        }
        slots.last_id += 1;
        let (id, pool) = (slots.last_id, Rc::downgrade(self));
        let (promise, grant) = deferred();
        promise.on_cancel(move || {
            let Some(pool) = pool.upgrade() else { return };
            let mut slots = pool.slots.borrow_mut();
            let at = slots.waiting.iter().position(|waiting| waiting.id == id);
            let gone = at.and_then(|at| slots.waiting.remove(at));
            drop(slots);
            drop(gone);
        });
        slots.waiting.push_back(Waiting { id, origin, wish, promise });
        grant
    }

    fn grant(self: &Rc<Self>, origin: &Rc<Origin>, wish: Wish) -> Option<Grant> {
        let mut slots = self.slots.borrow_mut();
        if wish != Wish::Http1
            && let Some(link) = slots.links.get(origin).cloned()
        {
            if link.is_usable() {
                return slots.enter(&link).map(Grant::Ready);
            }
            slots.links.remove(origin);
        }
        // The last one used is the least likely to be closed by its server.
        while let Some(at) = slots
            .idle
            .iter()
            .rposition(|(idle, kept)| idle == origin && matches!(kept, Idle::Http1(_)))
        {
            let Some((_, Idle::Http1(conn))) = slots.idle.remove(at) else { continue };
            if !conn.is_over() && !conn.is_closing() {
                return Some(Grant::Ready(Line::Http1(conn)));
            }
        }
        let known = slots.known.get(origin).copied();
        let may_share = match (wish, known) {
            (Wish::Http1, _) => false,
            (_, Some(known)) => known == Known::Http2,
            (wish, None) => wish == Wish::Shared,
        };
        let (open, dialling) =
            slots.open.get(origin).map_or((0, 0), |open| (open.count, open.dialling));
        if open >= self.bounds.per_origin_max || (may_share && dialling > 0) {
            return None;
        }
        if slots.open_count >= self.bounds.open_max {
            // Its place is free as soon as it is closed.
            if let Some((_, kept)) = slots.idle.pop_front() {
                kept.close();
            }
            return None;
        }
        let open = slots.open.entry(Rc::clone(origin)).or_default();
        open.count += 1;
        open.dialling += 1;
        slots.open_count += 1;
        Some(Grant::Open(Lease {
            pool: Rc::downgrade(self),
            origin: Rc::clone(origin),
            is_dialling: Cell::new(true),
            is_http1: wish == Wish::Http1 || known == Some(Known::Http1Only),
        }))
    }

    /// Serves those who wait, as far as it goes.
    pub(super) fn serve(self: &Rc<Self>) {
        let mut at = 0;
        loop {
            let slots = self.slots.borrow();
            let Some(waiting) = slots.waiting.get(at) else { return };
            let (origin, wish) = (Rc::clone(&waiting.origin), waiting.wish);
            drop(slots);
            let Some(grant) = self.grant(&origin, wish) else {
                at += 1;
                continue;
            };
            let waiting = self.slots.borrow_mut().waiting.remove(at);
            match (waiting, grant) {
                (Some(waiting), grant) if waiting.promise.is_wanted() => {
                    waiting.promise.succeed(grant);
                }
                (_, Grant::Ready(Line::Http1(conn))) => self.keep(origin, Idle::Http1(conn)),
                (_, Grant::Ready(Line::Http2(ticket))) => drop(ticket),
                (_, Grant::Open(lease)) => drop(lease),
            }
        }
    }

    fn keep(&self, origin: Rc<Origin>, kept: Idle) {
        let mut slots = self.slots.borrow_mut();
        slots.idle.push_back((origin, kept));
        if slots.idle.len() > self.bounds.idle_max
            && let Some((_, oldest)) = slots.idle.pop_front()
        {
            oldest.close();
        }
    }

    /// Has requests for the origin of `link` go there from now on.
    pub(super) fn share(self: &Rc<Self>, link: &Rc<Link>) {
        let mut slots = self.slots.borrow_mut();
        let known = slots.links.get(link.origin());
        let is_wanted = slots.known.get(link.origin()) != Some(&Known::Http1Only);
        if is_wanted && known.is_none_or(|known| !known.is_usable()) {
            slots.links.insert(Rc::clone(link.origin()), Rc::clone(link));
        }
        drop(slots);
        self.serve();
    }

    /// Nobody uses a connection that many could.
    pub(super) fn rest(&self, link: &Rc<Link>) {
        self.keep(Rc::clone(link.origin()), Idle::Http2(Rc::clone(link)));
    }

    /// A connection that might lead to `origin`, too, and was not looked at for it: encrypted, and to
    /// the same port (RFC 9113 9.1.1).
    pub(super) fn candidate(&self, origin: &Rc<Origin>) -> Option<Rc<Link>> {
        let slots = self.slots.borrow();
        let has_own = || {
            slots.links.get(origin).is_some_and(|link| link.is_usable())
                || slots.open.get(origin).is_some_and(|open| open.count > 0)
                || matches!(slots.known.get(origin), Some(Known::Http1 | Known::Http1Only))
        };
        if slots.links.is_empty() || !origin.is_secure() || origin.socket().is_some() || has_own() {
            return None;
        }
        let fits = |link: &&Rc<Link>| {
            let other = link.origin();
            other.is_secure()
                && other.port() == origin.port()
                && other.socket().is_none()
                && link.is_usable()
                && !link.is_stranger_to(origin)
        };
        slots.links.values().find(fits).cloned()
    }

    /// Whether `link` leads to `origin`, too, as was found out.
    pub(super) fn judge(&self, origin: &Rc<Origin>, link: &Rc<Link>, leads: bool) {
        if leads && link.is_usable() {
            self.slots.borrow_mut().links.insert(Rc::clone(origin), Rc::clone(link));
        } else {
            link.add_stranger(origin);
        }
    }

    /// The server at the end of `link` said that it does not answer for `origin` (RFC 9110 15.5.20).
    pub(super) fn misdirected(&self, origin: &Rc<Origin>, link: &Rc<Link>) {
        link.add_stranger(origin);
        let mut slots = self.slots.borrow_mut();
        if slots.links.get(origin).is_some_and(|known| Rc::ptr_eq(known, link)) {
            slots.links.remove(origin);
        }
    }

    /// A server that speaks HTTP/2 wants to be asked for `origin` in HTTP/1.1 (RFC 9113 7).
    pub(super) fn require_http1(&self, origin: &Rc<Origin>) {
        let mut slots = self.slots.borrow_mut();
        slots.links.remove(origin);
        if slots.known.len() >= KNOWN_MAX && !slots.known.contains_key(origin) {
            // What was found out of another can be found out again.
            let other = slots.known.keys().next().cloned();
            other.and_then(|other| slots.known.remove(&other));
        }
        slots.known.insert(Rc::clone(origin), Known::Http1Only);
    }

    /// How many connections are open or being made, and how many of them unused.
    pub(super) fn count(&self) -> (usize, usize) {
        let slots = self.slots.borrow();
        (slots.open_count, slots.idle.len())
    }

    /// Closes what nobody uses.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.slots.borrow_mut().idle);
        for (_, kept) in idle {
            kept.close();
        }
    }
}

impl Slots {
    /// A place on a connection that is shared, if it has one.
    fn enter(&mut self, link: &Rc<Link>) -> Option<Line> {
        if !link.has_room() {
            return None;
        }
        if link.is_unused() {
            let is_it = |kept: &Idle| matches!(kept, Idle::Http2(idle) if Rc::ptr_eq(idle, link));
            self.idle.retain(|(_, kept)| !is_it(kept));
        }
        Some(Line::Http2(link.enter()))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close_idle();
    }
}

impl Lease {
    pub(super) fn origin(&self) -> &Rc<Origin> {
        &self.origin
    }

    /// The connection is made, and speaks HTTP/1.1.
    pub(super) fn is_made(&self) {
        self.note(false);
        if let Some(pool) = self.pool.upgrade() {
            pool.serve();
        }
    }

    /// The connection is made, and has room for `max` requests at a time.
    pub(super) fn is_shared(&self, max: usize) -> Rc<Link> {
        self.note(true);
        Link::new(Weak::clone(&self.pool), Rc::clone(&self.origin), max)
    }

    /// Whether HTTP/1.1 is to be spoken, whatever else could be.
    pub(super) fn is_http1(&self) -> bool {
        self.is_http1
    }

    /// Whether there is no pool any more.
    pub(super) fn is_orphan(&self) -> bool {
        self.pool.strong_count() == 0
    }

    fn note(&self, is_http2: bool) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut slots = pool.slots.borrow_mut();
        if self.is_dialling.replace(false)
            && let Some(open) = slots.open.get_mut(&self.origin)
        {
            open.dialling -= 1;
        }
        if self.is_http1 {
            // It says nothing of what would have been spoken otherwise.
            return;
        }
        let known = slots.known.get(&self.origin).copied();
        if known != Some(Known::Http1Only) && (known.is_some() || slots.known.len() < KNOWN_MAX) {
            let version = if is_http2 { Known::Http2 } else { Known::Http1 };
            slots.known.insert(Rc::clone(&self.origin), version);
        }
    }

    /// The connection may be used again; false if there is no more pool.
    pub(super) fn give_back(&self, conn: &Conn<Connection>) -> bool {
        let Some(pool) = self.pool.upgrade() else { return false };
        pool.keep(Rc::clone(&self.origin), Idle::Http1(conn.clone()));
        pool.serve();
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut slots = pool.slots.borrow_mut();
        slots.open_count -= 1;
        if let Some(open) = slots.open.get_mut(&self.origin) {
            open.count -= 1;
            open.dialling -= usize::from(self.is_dialling.get());
            if open.count == 0 {
                slots.open.remove(&self.origin);
            }
        }
        slots.idle.retain(|(_, kept)| !kept.is_over());
        slots.links.retain(|_, link| !link.is_over());
        drop(slots);
        pool.serve();
    }
}
