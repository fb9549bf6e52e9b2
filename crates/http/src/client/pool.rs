//! Connections, kept by origin.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::Conn;

use super::connection::Connection;
use super::{AgentError, Origin, PoolBounds};

/// What a request gets that asked for a connection.
pub(super) enum Grant {
    /// One that is up and unused.
    Reuse(Conn<Connection>),
    /// The right to make one.
    Open(Lease),
}

/// The right to have one connection; it goes to the next when it is dropped.
pub(super) struct Lease {
    pool: Weak<Pool>,
    origin: Rc<Origin>,
}

pub(super) struct Pool {
    bounds: PoolBounds,
    slots: RefCell<Slots>,
}

#[derive(Default)]
struct Slots {
    open: HashMap<Rc<Origin>, usize>,
    open_count: usize,
    /// The longest unused first.
    idle: VecDeque<(Rc<Origin>, Conn<Connection>)>,
    waiting: VecDeque<Waiting>,
    last_id: u64,
}

struct Waiting {
    id: u64,
    origin: Rc<Origin>,
    promise: Promise<Grant>,
}

impl Pool {
    pub(super) fn new(bounds: PoolBounds) -> Rc<Self> {
        Rc::new(Self { bounds, slots: RefCell::default() })
    }

    /// A connection to `origin`, or the right to make one, once there is one.
    pub(super) fn take(self: &Rc<Self>, origin: Rc<Origin>) -> Deferred<Grant> {
        if let Some(grant) = self.grant(&origin) {
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
        slots.waiting.push_back(Waiting { id, origin, promise });
        grant
    }

    fn grant(self: &Rc<Self>, origin: &Rc<Origin>) -> Option<Grant> {
        let mut slots = self.slots.borrow_mut();
        // The last one used is the least likely to be closed by its server.
        while let Some(at) = slots.idle.iter().rposition(|(idle, _)| idle == origin) {
            let (_, conn) = slots.idle.remove(at)?;
            if !conn.is_over() && !conn.is_closing() {
                return Some(Grant::Reuse(conn));
            }
        }
        let open = slots.open.get(origin).copied().unwrap_or(0);
        if open >= self.bounds.per_origin_max {
            return None;
        }
        if slots.open_count >= self.bounds.open_max {
            // Its place is free as soon as it is closed.
            if let Some((_, conn)) = slots.idle.pop_front() {
                conn.close();
            }
            return None;
        }
        *slots.open.entry(Rc::clone(origin)).or_default() += 1;
        slots.open_count += 1;
        Some(Grant::Open(Lease { pool: Rc::downgrade(self), origin: Rc::clone(origin) }))
    }

    /// Serves those who wait, as far as it goes.
    fn serve(self: &Rc<Self>) {
        let mut at = 0;
        loop {
            let slots = self.slots.borrow();
            let Some(origin) = slots.waiting.get(at).map(|waiting| Rc::clone(&waiting.origin))
            else {
                return;
            };
            drop(slots);
            let Some(grant) = self.grant(&origin) else {
                at += 1;
                continue;
            };
            let waiting = self.slots.borrow_mut().waiting.remove(at);
            match (waiting, grant) {
                (Some(waiting), grant) if waiting.promise.is_wanted() => {
                    waiting.promise.succeed(grant);
                }
                (_, Grant::Reuse(conn)) => self.keep(origin, conn),
                (_, Grant::Open(lease)) => drop(lease),
            }
        }
    }

    fn keep(self: &Rc<Self>, origin: Rc<Origin>, conn: Conn<Connection>) {
        let mut slots = self.slots.borrow_mut();
        slots.idle.push_back((origin, conn));
        if slots.idle.len() > self.bounds.idle_max
            && let Some((_, oldest)) = slots.idle.pop_front()
        {
            oldest.close();
        }
    }

    /// How many connections are open or being made, and how many of them unused.
    pub(super) fn count(&self) -> (usize, usize) {
        let slots = self.slots.borrow();
        (slots.open_count, slots.idle.len())
    }

    /// Closes what nobody uses.
    pub(super) fn close_idle(&self) {
        let idle = std::mem::take(&mut self.slots.borrow_mut().idle);
        for (_, conn) in idle {
            conn.close();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close_idle();
    }
}

impl Lease {
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The connection may be used again; false if there is no more pool.
    pub(super) fn give_back(&self, conn: &Conn<Connection>) -> bool {
        let Some(pool) = self.pool.upgrade() else { return false };
        pool.keep(Rc::clone(&self.origin), conn.clone());
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
            *open -= 1;
            if *open == 0 {
                slots.open.remove(&self.origin);
            }
        }
        slots.idle.retain(|(_, conn)| !conn.is_over());
        drop(slots);
        pool.serve();
    }
}
