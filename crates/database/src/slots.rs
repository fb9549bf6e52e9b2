//! Who has which connection, and who waits for one. Nothing here knows what a connection is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Clock, DelayedCall};

use crate::{PoolError, PoolMetrics, PoolOptions};

/// What becomes of a connection that is not wanted any more.
type Discard<C> = Box<dyn Fn(C)>;
/// Whether a connection can be used.
type IsGood<C> = Box<dyn Fn(&C) -> bool>;

/// The places for connections of one pool.
pub(crate) struct Slots<C: 'static>(Rc<Inner<C>>);

impl<C> Clone for Slots<C> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

struct Inner<C: 'static> {
    options: PoolOptions,
    clock: Rc<dyn Clock>,
    is_good: IsGood<C>,
    discard: Discard<C>,
    state: RefCell<State<C>>,
    pub(crate) counts: Counts,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) opened: Cell<u64>,
    pub(crate) open_failures: Cell<u64>,
    discarded: Cell<u64>,
    lent: Cell<u64>,
    waited: Cell<u64>,
    wait_timeouts: Cell<u64>,
    refused: Cell<u64>,
    pub(crate) committed: Cell<u64>,
    pub(crate) rolled_back: Cell<u64>,
    pub(crate) cancelled: Cell<u64>,
    pub(crate) failed: Cell<u64>,
}

/// Counts one more.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

struct State<C: 'static> {
    /// The one used last comes last, and is used next.
    idle: Vec<Idle<C>>,
    /// Places that are taken, by idle connections too.
    open: usize,
    waiters: VecDeque<Waiter<C>>,
    next_waiter: u64,
    reaper: Option<DelayedCall>,
    is_closed: bool,
    /// Waits for the last connection to come back.
    closing: Vec<Promise<()>>,
}

impl<C> State<C> {
    /// Whoever waits for the pool to be empty, once it is.
    fn closed_by_now(&mut self) -> Vec<Promise<()>> {
        if self.open == 0 { std::mem::take(&mut self.closing) } else { Vec::new() }
    }
}

struct Idle<C> {
    held: Held<C>,
    since: Duration,
}

/// A connection and when it was opened.
pub(crate) struct Held<C> {
    pub(crate) connection: C,
    pub(crate) opened: Duration,
}

struct Waiter<C: 'static> {
    id: u64,
    promise: Promise<Lease<C>>,
    timer: DelayedCall,
}

/// The right to one place. Dropped, it frees the place, and the connection in it is gone.
pub(crate) struct Lease<C: 'static> {
    held: Option<Held<C>>,
    slots: Option<Slots<C>>,
}

impl<C> Lease<C> {
    /// Takes out the connection; `None` where one is to be opened.
    pub(crate) fn take(&mut self) -> Option<Held<C>> {
        self.held.take()
    }

    /// Gives the place back with a connection for the next one.
    pub(crate) fn put_back(mut self, held: Held<C>) {
        if let Some(slots) = self.slots.take() {
            slots.release(Some(held));
        }
    }
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            // One that was never taken out is as good as it was.
            slots.release(self.held.take());
        }
    }
}

impl<C> Slots<C> {
    pub(crate) fn new(
        options: PoolOptions,
        clock: Rc<dyn Clock>,
        is_good: impl Fn(&C) -> bool + 'static,
        discard: impl Fn(C) + 'static,
    ) -> Self {
        let state = State {
            idle: Vec::new(),
            open: 0,
            waiters: VecDeque::new(),
            next_waiter: 0,
            reaper: None,
            is_closed: false,
            closing: Vec::new(),
        };
        Self(Rc::new(Inner {
            options,
            clock,
            is_good: Box::new(is_good),
            discard: Box::new(discard),
            state: RefCell::new(state),
            counts: Counts::default(),
        }))
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.clock.now()
    }

    /// A place at once, or why there is none.
    pub(crate) fn try_acquire(&self) -> Result<Option<Lease<C>>, PoolError> {
        let inner = &self.0;
        let mut state = inner.state.borrow_mut();
        if state.is_closed {
            return Err(PoolError::Closed);
        }
        // Whoever waits comes first.
        if !state.waiters.is_empty() {
            return Ok(None);
        }
        let mut old = Vec::new();
        let lease = loop {
            match state.idle.pop() {
                Some(idle) if inner.is_fresh(&idle) => break Some(Some(idle.held)),
                Some(idle) => {
                    state.open -= 1;
                    old.push(idle.held.connection);
                }
                None if state.open < inner.options.connections_max.max(1) => {
                    state.open += 1;
                    break Some(None);
                }
                None => break None,
            }
        };
        drop(state);
        for connection in old {
            inner.discard(connection);
        }
        Ok(lease.map(|held| self.lend(held)))
    }

    /// A place, now or later.
    #[track_caller]
    pub(crate) fn acquire(&self) -> Deferred<Lease<C>> {
        match self.try_acquire() {
            Ok(Some(lease)) => Deferred::succeed(lease),
            Ok(None) => self.wait(),
            Err(error) => Deferred::fail(error),
        }
    }

    #[track_caller]
    fn wait(&self) -> Deferred<Lease<C>> {
        let inner = &self.0;
        let mut state = inner.state.borrow_mut();
        let waiting = state.waiters.len();
        if waiting >= inner.options.waiters_max {
            count(&inner.counts.refused);
            return Deferred::fail(PoolError::Crowded { waiting });
        }
        let id = state.next_waiter;
        state.next_waiter += 1;
        let (promise, lease) = deferred();
        let leaving = Rc::downgrade(inner);
        promise.on_cancel(move || drop(Inner::leave(&leaving, id)));
        let after = inner.options.patience;
        let giving_up = Rc::downgrade(inner);
        let give_up = move || {
            if let Some(promise) = Inner::leave(&giving_up, id) {
                if let Some(inner) = giving_up.upgrade() {
                    count(&inner.counts.wait_timeouts);
                }
                promise.fail(PoolError::WaitTimedOut { after });
            }
        };
        let timer = inner.clock.schedule(after, Box::new(give_up));
        state.waiters.push_back(Waiter { id, promise, timer });
        count(&inner.counts.waited);
        lease
    }

    fn lend(&self, held: Option<Held<C>>) -> Lease<C> {
        count(&self.0.counts.lent);
        Lease { held, slots: Some(self.clone()) }
    }

    fn release(&self, held: Option<Held<C>>) {
        let inner = &self.0;
        let good = held.and_then(|held| {
            let is_young = inner.clock.now().saturating_sub(held.opened) < inner.options.age_max;
            if is_young && (inner.is_good)(&held.connection) {
                return Some(held);
            }
            inner.discard(held.connection);
            None
        });
        let mut state = inner.state.borrow_mut();
        while let Some(waiter) = state.waiters.pop_front() {
            waiter.timer.cancel();
            if waiter.promise.is_wanted() {
                drop(state);
                return waiter.promise.succeed(self.lend(good));
            }
        }
        match good {
            Some(held) if !state.is_closed => {
                state.idle.push(Idle { held, since: inner.clock.now() });
                drop(state);
                Inner::reap_later(inner);
            }
            rest => {
                state.open -= 1;
                let closing = state.closed_by_now();
                drop(state);
                if let Some(held) = rest {
                    inner.discard(held.connection);
                }
                for promise in closing {
                    promise.succeed(());
                }
            }
        }
    }

    /// Gives out no more places; the deferred tells when the last one has come back.
    #[track_caller]
    pub(crate) fn close(&self) -> Deferred<()> {
        let inner = &self.0;
        let mut state = inner.state.borrow_mut();
        state.is_closed = true;
        if let Some(reaper) = state.reaper.take() {
            reaper.cancel();
        }
        let idle = std::mem::take(&mut state.idle);
        state.open -= idle.len();
        let waiters = std::mem::take(&mut state.waiters);
        let (promise, closed) = deferred();
        state.closing.push(promise);
        let closing = state.closed_by_now();
        drop(state);
        for waiter in waiters {
            waiter.timer.cancel();
            waiter.promise.fail(PoolError::Closed);
        }
        for idle in idle {
            inner.discard(idle.held.connection);
        }
        for promise in closing {
            promise.succeed(());
        }
        closed
    }

    pub(crate) fn metrics(&self) -> PoolMetrics {
        let state = self.0.state.borrow();
        let counts = &self.0.counts;
        PoolMetrics {
            connections: state.open,
            idle: state.idle.len(),
            waiting: state.waiters.len(),
            opened: counts.opened.get(),
            open_failures: counts.open_failures.get(),
            discarded: counts.discarded.get(),
            lent: counts.lent.get(),
            waited: counts.waited.get(),
            wait_timeouts: counts.wait_timeouts.get(),
            refused: counts.refused.get(),
            committed: counts.committed.get(),
            rolled_back: counts.rolled_back.get(),
            cancelled: counts.cancelled.get(),
            failed: counts.failed.get(),
        }
    }
}

impl<C> Inner<C> {
    fn is_fresh(&self, idle: &Idle<C>) -> bool {
        let now = self.clock.now();
        now.saturating_sub(idle.held.opened) < self.options.age_max
            && (self.is_good)(&idle.held.connection)
    }

    fn discard(&self, connection: C) {
        count(&self.counts.discarded);
        (self.discard)(connection);
    }

    /// Takes a waiter out of the queue.
    fn leave(inner: &Weak<Self>, id: u64) -> Option<Promise<Lease<C>>> {
        let inner = inner.upgrade()?;
        let mut state = inner.state.borrow_mut();
        let place = state.waiters.iter().position(|waiter| waiter.id == id)?;
        let waiter = state.waiters.remove(place)?;
        waiter.timer.cancel();
        Some(waiter.promise)
    }

    /// Sees to it that connections which nobody uses are closed in time.
    fn reap_later(this: &Rc<Self>) {
        let mut state = this.state.borrow_mut();
        if state.reaper.is_some() || state.idle.len() <= this.options.connections_kept {
            return;
        }
        let pool = Rc::downgrade(this);
        let reap = move || {
            if let Some(pool) = pool.upgrade() {
                pool.reap();
                Self::reap_later(&pool);
            }
        };
        state.reaper = Some(this.clock.schedule(this.options.idle_max, Box::new(reap)));
    }

    fn reap(&self) {
        let mut state = self.state.borrow_mut();
        state.reaper = None;
        let now = self.clock.now();
        let surplus = state.idle.len().saturating_sub(self.options.connections_kept);
        let is_old = |idle: &Idle<C>| now.saturating_sub(idle.since) >= self.options.idle_max;
        // Those unused for longest stand in front.
        let old = state.idle.iter().take(surplus).take_while(|idle| is_old(idle)).count();
        let gone: Vec<_> = state.idle.drain(..old).collect();
        state.open -= gone.len();
        drop(state);
        for idle in gone {
            self.discard(idle.held.connection);
        }
    }
}

impl<C: 'static> Drop for Inner<C> {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut self.state.get_mut().idle);
        for idle in idle {
            self.discard(idle.held.connection);
        }
    }
}
