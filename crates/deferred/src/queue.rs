//! Values on their way to whoever asks next.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use crate::{Crowded, Deferred, Promise, WAITERS_MAX, deferred};

/// Values waiting for takers, or takers for values: first come, first served, both bounded.
///
/// ```
/// use ropewalk_deferred::DeferredQueue;
///
/// let queue = DeferredQueue::new(1);
/// let early = queue.get();
/// queue.put("goes to the one who waits")?;
/// queue.put("stays")?;
/// assert_eq!(queue.put("is too much").unwrap_err().into_value(), "is too much");
/// assert_eq!(early.now_or_never().unwrap().unwrap(), "goes to the one who waits");
/// assert_eq!(queue.get().now_or_never().unwrap().unwrap(), "stays");
/// # Ok::<(), ropewalk_deferred::QueueOverflow<&str>>(())
/// ```
pub struct DeferredQueue<T: 'static> {
    inner: Rc<Inner<T>>,
}

struct Inner<T: 'static> {
    values: RefCell<VecDeque<T>>,
    values_max: usize,
    takers: RefCell<BTreeMap<u64, Promise<T>>>,
    takers_max: usize,
    last_id: Cell<u64>,
}

impl<T> DeferredQueue<T> {
    /// A queue in which at most `values_max` values wait, and at most [`WAITERS_MAX`] takers. Clones
    /// are the same.
    pub fn new(values_max: usize) -> Self {
        Self::with_takers_max(values_max, WAITERS_MAX)
    }

    /// The same, with another bound on the takers that may wait.
    pub fn with_takers_max(values_max: usize, takers_max: usize) -> Self {
        let inner = Inner {
            values: RefCell::default(),
            values_max,
            takers: RefCell::default(),
            takers_max,
            last_id: Cell::new(0),
        };
        Self { inner: Rc::new(inner) }
    }

    /// Hands `value` to the taker that has waited longest, or keeps it for the next.
    ///
    /// A taker that was dropped or cancelled gets nothing: the value is for the one behind it.
    ///
    /// # Errors
    ///
    /// The value itself, where nobody waits and too many values do.
    pub fn put(&self, value: T) -> Result<(), QueueOverflow<T>> {
        loop {
            let first = self.inner.takers.borrow_mut().pop_first();
            let Some((_, promise)) = first else { break };
            if promise.is_wanted() {
                promise.succeed(value);
                return Ok(());
            }
        }
        let mut values = self.inner.values.borrow_mut();
        if values.len() >= self.inner.values_max {
            return Err(QueueOverflow { value });
        }
        values.push_back(value);
        Ok(())
    }

    /// Takes the value that has waited longest, or waits for the next.
    ///
    /// Cancelling it leaves the queue. Where too many takers wait, it fails at once with
    /// [`Crowded`]. A value that has been handed to a deferred goes with it: a task that is dropped
    /// between that and its next turn loses the value, so what must not be lost is taken by a link.
    #[track_caller]
    pub fn get(&self) -> Deferred<T> {
        if let Some(value) = self.try_get() {
            return Deferred::succeed(value);
        }
        if self.inner.takers.borrow().len() >= self.inner.takers_max {
            return Deferred::fail(Crowded);
        }
        let (promise, waiting) = deferred();
        let id = self.inner.last_id.get() + 1;
        self.inner.last_id.set(id);
        let inner = Rc::downgrade(&self.inner);
        promise.on_cancel(move || {
            let left = inner.upgrade().and_then(|inner| inner.takers.borrow_mut().remove(&id));
            drop(left);
        });
        self.inner.takers.borrow_mut().insert(id, promise);
        waiting
    }

    /// The value that has waited longest, if there is any.
    pub fn try_get(&self) -> Option<T> {
        self.inner.values.borrow_mut().pop_front()
    }

    /// How many values wait.
    pub fn len(&self) -> usize {
        self.inner.values.borrow().len()
    }

    /// Whether no value waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many takers wait.
    pub fn waiting(&self) -> usize {
        self.inner.takers.borrow().len()
    }
}

impl<T> Clone for DeferredQueue<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T> fmt::Debug for DeferredQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredQueue")
            .field("values", &self.len())
            .field("values_max", &self.inner.values_max)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// A queue was full; here is the value back.
pub struct QueueOverflow<T> {
    value: T,
}

impl<T> QueueOverflow<T> {
    /// The value that did not fit.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> fmt::Debug for QueueOverflow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueOverflow").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for QueueOverflow<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full")
    }
}

impl<T> Error for QueueOverflow<T> {}
