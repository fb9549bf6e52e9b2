//! Values on their way to whoever asks next.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

use crate::node::{Slot, Source, report_unhandled};
use crate::root::{Giver, Root, Way, give};
use crate::{Crowded, Deferred, Failure, Promise, WAITERS_MAX};

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
    values: RefCell<VecDeque<Numbered<T>>>,
    values_max: usize,
    takers: RefCell<BTreeMap<u64, Promise<Numbered<T>>>>,
    takers_max: usize,
    /// Of values and takers alike.
    last_id: Cell<u64>,
}

/// A value, and which one it was: what comes back goes to its old place.
type Numbered<T> = (u64, T);

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
        let Some(value) = self.inner.offer((self.inner.next_id(), value)) else { return Ok(()) };
        let mut values = self.inner.values.borrow_mut();
        if values.len() >= self.inner.values_max {
            return Err(QueueOverflow { value: value.1 });
        }
        values.push_back(value);
        Ok(())
    }

    /// Takes the value that has waited longest, or waits for the next.
    ///
    /// Cancelling it leaves the queue. Where too many takers wait, it fails at once with
    /// [`Crowded`]. A value that has come to a deferred which is then dropped, as when the task that
    /// awaits it is, goes back to its place in the queue.
    #[track_caller]
    pub fn get(&self) -> Deferred<T> {
        let first = self.inner.values.borrow_mut().pop_front();
        if first.is_none() && self.inner.takers.borrow().len() >= self.inner.takers_max {
            return Deferred::fail(Crowded);
        }
        let lent = Lent { queue: Rc::downgrade(&self.inner), number: Cell::new(0) };
        let root = Root::make(lent, Location::caller());
        let promise = Promise::new(Rc::clone(&root) as Rc<dyn Giver<Numbered<T>>>);
        let waiting = Deferred::waiting(root);
        if let Some(value) = first {
            promise.succeed(value);
            return waiting;
        }
        let id = self.inner.next_id();
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
        self.inner.values.borrow_mut().pop_front().map(|(_, value)| value)
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

impl<T> Inner<T> {
    fn next_id(&self) -> u64 {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        id
    }

    /// Hands a value to the taker that has waited longest; gives it back where nobody waits.
    fn offer(&self, value: Numbered<T>) -> Option<Numbered<T>> {
        loop {
            let first = self.takers.borrow_mut().pop_first();
            let Some((_, promise)) = first else { return Some(value) };
            if promise.is_wanted() {
                promise.succeed(value);
                return None;
            }
        }
    }

    /// Takes back what was lent, also where that is one value more than may wait.
    fn put_back(&self, value: Numbered<T>) {
        if let Some(value) = self.offer(value) {
            let mut values = self.values.borrow_mut();
            let place = values.partition_point(|(number, _)| *number < value.0);
            values.insert(place, value);
        }
    }
}

/// The way of a value out of its queue: one that nobody takes in the end goes back.
struct Lent<T: 'static> {
    queue: Weak<Inner<T>>,
    number: Cell<u64>,
}

impl<T: 'static> Way<Numbered<T>> for Lent<T> {
    type Out = T;

    fn send(root: Rc<Root<Numbered<T>, Self>>, result: Result<Numbered<T>, Failure>) {
        let value = result.map(|(number, value)| {
            root.way().number.set(number);
            value
        });
        give(root.slot(), value);
    }

    fn is_used(&self, slot: &Slot<T>) -> bool {
        slot.is_settled()
    }

    fn unclaimed(&self, result: Result<T, Failure>, created: &'static Location<'static>) {
        match (result, self.queue.upgrade()) {
            (Ok(value), Some(queue)) => queue.put_back((self.number.get(), value)),
            (Ok(_), None) => (),
            (Err(failure), _) => report_unhandled(&failure, created),
        }
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
