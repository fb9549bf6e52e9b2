//! Turns taken: a lock and a semaphore.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use crate::{Deferred, Outcome, Promise, deferred, maybe_deferred};

/// How many may wait for one lock or semaphore, unless told otherwise.
pub const WAITERS_MAX: usize = 65_536;

/// Lets a number of operations go on at a time; the others wait, first come, first served.
///
/// ```
/// use ropewalk_deferred::{DeferredSemaphore, deferred};
///
/// let downloads = DeferredSemaphore::new(1);
/// let (promise, page) = deferred::<&str>();
/// let first = downloads.run(move || page);
/// let second = downloads.run(|| Ok::<_, std::fmt::Error>("at once"));
/// let second = second.try_take().expect_err("it waits for its turn");
/// promise.succeed("page");
/// assert_eq!(first.now_or_never().unwrap().unwrap(), "page");
/// assert_eq!(second.now_or_never().unwrap().unwrap(), "at once");
/// ```
#[derive(Clone)]
pub struct DeferredSemaphore {
    gate: Rc<Gate>,
}

struct Gate {
    tokens: usize,
    free: Cell<usize>,
    waiters: RefCell<BTreeMap<u64, Promise<Permit>>>,
    waiters_max: usize,
    last_id: Cell<u64>,
    /// Tokens are being handed out further up on the stack.
    handing_out: Cell<bool>,
}

impl DeferredSemaphore {
    /// A semaphore for `tokens` holders at a time. Clones are the same.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0: nobody could ever have a turn.
    #[track_caller]
    pub fn new(tokens: usize) -> Self {
        Self::with_waiters_max(tokens, WAITERS_MAX)
    }

    /// The same, where at most `waiters_max` may wait.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0.
    #[track_caller]
    pub fn with_waiters_max(tokens: usize, waiters_max: usize) -> Self {
        assert!(tokens > 0, "a semaphore needs a token");
        let gate = Gate {
            tokens,
            free: Cell::new(tokens),
            waiters: RefCell::default(),
            waiters_max,
            last_id: Cell::new(0),
            handing_out: Cell::new(false),
        };
        Self { gate: Rc::new(gate) }
    }

    /// Waits for a turn, which lasts until the [`Permit`] is dropped.
    ///
    /// Cancelling it leaves the queue. Where too many wait, it fails at once with [`Crowded`].
    #[track_caller]
    pub fn acquire(&self) -> Deferred<Permit> {
        if let Some(permit) = self.try_acquire() {
            return Deferred::succeed(permit);
        }
        if self.gate.waiters.borrow().len() >= self.gate.waiters_max {
            return Deferred::fail(Crowded);
        }
        let (promise, waiting) = deferred();
        let id = self.gate.last_id.get() + 1;
        self.gate.last_id.set(id);
        let gate = Rc::downgrade(&self.gate);
        promise.on_cancel(move || {
            let left = gate.upgrade().and_then(|gate| gate.waiters.borrow_mut().remove(&id));
            drop(left);
        });
        self.gate.waiters.borrow_mut().insert(id, promise);
        waiting
    }

    /// A turn, if there is one now and nobody waits for it.
    pub fn try_acquire(&self) -> Option<Permit> {
        let free = self.gate.free.get();
        if free == 0 || !self.gate.waiters.borrow().is_empty() {
            return None;
        }
        self.gate.free.set(free - 1);
        Some(Permit { gate: Rc::clone(&self.gate) })
    }

    /// Calls `f` when its turn comes; the turn ends when what `f` gives has its result.
    #[track_caller]
    pub fn run<R: Outcome<Value: 'static>>(
        &self,
        f: impl FnOnce() -> R + 'static,
    ) -> Deferred<R::Value> {
        self.acquire().add_callback(move |permit| {
            maybe_deferred(f).add_both(move |result| {
                drop(permit);
                result
            })
        })
    }

    /// How many turns may be taken now.
    pub fn free(&self) -> usize {
        self.gate.free.get()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.gate.waiters.borrow().len()
    }
}

impl Gate {
    fn give_back(self: &Rc<Self>) {
        self.free.set(self.free.get() + 1);
        // Whoever hands out further up will see it: a queue that only drops its turns needs no stack.
        if self.handing_out.replace(true) {
            return;
        }
        while self.free.get() > 0 {
            let first = self.waiters.borrow_mut().pop_first();
            let Some((_, promise)) = first else { break };
            if promise.is_wanted() {
                self.free.set(self.free.get() - 1);
                promise.succeed(Permit { gate: Rc::clone(self) });
            }
        }
        self.handing_out.set(false);
    }
}

/// A turn at a [`DeferredSemaphore`] or a [`DeferredLock`]; dropping it ends the turn.
#[must_use = "a turn ends when its permit is dropped"]
pub struct Permit {
    gate: Rc<Gate>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.give_back();
    }
}

/// Lets one operation go on at a time: a [`DeferredSemaphore`] of one.
///
/// A reactor is one thread, so this is not about memory: it keeps whole conversations, with their
/// waits, from being mixed.
///
/// ```
/// use ropewalk_deferred::{DeferredLock, Failure};
///
/// # async fn example(lock: DeferredLock) -> Result<(), Failure> {
/// let turn = lock.acquire().await?;
/// // Nobody else is here.
/// drop(turn);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DeferredLock(DeferredSemaphore);

impl DeferredLock {
    /// A lock that nobody holds. Clones are the same.
    pub fn new() -> Self {
        Self(DeferredSemaphore::new(1))
    }

    /// The same, where at most `waiters_max` may wait.
    pub fn with_waiters_max(waiters_max: usize) -> Self {
        Self(DeferredSemaphore::with_waiters_max(1, waiters_max))
    }

    /// Waits for the turn, which lasts until the [`Permit`] is dropped.
    ///
    /// Cancelling it leaves the queue. Where too many wait, it fails at once with [`Crowded`].
    #[track_caller]
    pub fn acquire(&self) -> Deferred<Permit> {
        self.0.acquire()
    }

    /// The turn, if it is free.
    pub fn try_acquire(&self) -> Option<Permit> {
        self.0.try_acquire()
    }

    /// Calls `f` when its turn comes; the turn ends when what `f` gives has its result.
    #[track_caller]
    pub fn run<R: Outcome<Value: 'static>>(
        &self,
        f: impl FnOnce() -> R + 'static,
    ) -> Deferred<R::Value> {
        self.0.run(f)
    }

    /// Whether somebody has the turn.
    pub fn is_locked(&self) -> bool {
        self.0.free() == 0
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.waiting()
    }
}

impl Default for DeferredLock {
    fn default() -> Self {
        Self::new()
    }
}

/// Too many wait already for a lock, a semaphore or a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many wait already")
    }
}

impl Error for Crowded {}

impl fmt::Debug for DeferredSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredSemaphore")
            .field("tokens", &self.gate.tokens)
            .field("free", &self.free())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl fmt::Debug for DeferredLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredLock")
            .field("locked", &self.is_locked())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
