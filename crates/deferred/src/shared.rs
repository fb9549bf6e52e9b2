//! One result for several who wait.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::failure::SharedFailure;
use crate::node::report_unhandled;
use crate::{Canceller, Deferred, Failure, Promise, deferred};

impl<T> Deferred<T> {
    /// Makes the result good for several waiters: each gets a clone of the value.
    ///
    /// A value that cannot be cloned is shared as `deferred.map(Rc::new).shared()`.
    #[track_caller]
    pub fn shared(self) -> Shared<T>
    where
        T: Clone,
    {
        let state = Rc::new(State {
            outcome: RefCell::new(None),
            taken: Cell::new(false),
            waiters: RefCell::default(),
            last_id: Cell::new(0),
            source: RefCell::new(None),
            handles: Rc::new(()),
        });
        let handle = Rc::clone(&state.handles);
        let listener = Rc::clone(&state);
        let canceller = self.on_result(move |result| listener.hear(result));
        state.source.replace(Some(canceller));
        Shared { state, handle }
    }

    /// Keeps the operation behind this deferred from being cancelled.
    ///
    /// Cancelling the new deferred, or a time-out on it, ends only the wait: the operation goes on,
    /// and its result is dropped, a failure with a word in the log.
    #[track_caller]
    pub fn shielded(self) -> Self {
        let (promise, waiting) = deferred();
        self.on_result(move |result| {
            let late = if promise.is_cancelled() { result.as_ref().err() } else { None };
            if let Some(failure) = late {
                report_unhandled(failure, failure.location());
            }
            promise.fire(result);
        });
        waiting
    }
}

/// One result for several waiters: [`Deferred::shared`]. Clones are the same.
///
/// Waiters are served in the order in which they asked; who asks when the result is there gets it at
/// once. A waiter that is cancelled just leaves. The operation itself is cancelled with the last
/// waiter, unless a handle is left by which more might come; dropping handles alone stops nothing. A
/// failure reaches each waiter; where nobody takes it, it is logged once.
///
/// ```
/// use ropewalk_deferred::deferred;
///
/// let (promise, page) = deferred::<String>();
/// let page = page.shared();
/// let (first, second) = (page.wait(), page.wait());
/// promise.succeed("hello".to_owned());
/// assert_eq!(first.now_or_never().unwrap().unwrap(), "hello");
/// assert_eq!(second.now_or_never().unwrap().unwrap(), "hello");
/// assert_eq!(page.wait().now_or_never().unwrap().unwrap(), "hello");
/// ```
pub struct Shared<T: Clone + 'static> {
    state: Rc<State<T>>,
    /// One count for each handle, apart from those who only keep the state.
    handle: Rc<()>,
}

struct State<T: Clone + 'static> {
    outcome: RefCell<Option<Result<T, SharedFailure>>>,
    /// Somebody has the failure, so that it is theirs to handle.
    taken: Cell<bool>,
    waiters: RefCell<BTreeMap<u64, Promise<T>>>,
    last_id: Cell<u64>,
    source: RefCell<Option<Canceller>>,
    handles: Rc<()>,
}

impl<T: Clone> Shared<T> {
    /// A deferred for the result, one of any number.
    #[track_caller]
    pub fn wait(&self) -> Deferred<T> {
        if let Some(result) = self.state.result() {
            return Deferred::ready(result);
        }
        let (promise, waiting) = deferred();
        let id = self.state.last_id.get() + 1;
        self.state.last_id.set(id);
        let state = Rc::downgrade(&self.state);
        promise.on_cancel(move || {
            if let Some(state) = state.upgrade() {
                state.leave(id);
            }
        });
        self.state.waiters.borrow_mut().insert(id, promise);
        waiting
    }

    /// Cancels the operation itself, whoever waits for it.
    pub fn cancel(&self) {
        self.state.cancel();
    }

    /// Whether the result is there.
    pub fn is_ready(&self) -> bool {
        self.state.outcome.borrow().is_some()
    }
}

impl<T: Clone> State<T> {
    fn hear(&self, result: Result<T, Failure>) {
        self.outcome.replace(Some(result.map_err(Failure::share)));
        loop {
            let first = self.waiters.borrow_mut().pop_first();
            let Some((_, promise)) = first else { break };
            if let Some(result) = self.result() {
                promise.fire(result);
            }
        }
    }

    fn result(&self) -> Option<Result<T, Failure>> {
        let result = match self.outcome.borrow().as_ref()? {
            Ok(value) => Ok(value.clone()),
            Err(failure) => Err(failure.to_failure()),
        };
        self.taken.set(true);
        Some(result)
    }

    fn leave(&self, id: u64) {
        let left = self.waiters.borrow_mut().remove(&id);
        // The state has one of its own.
        let handles = Rc::strong_count(&self.handles) - 1;
        if left.is_some() && self.waiters.borrow().is_empty() && handles == 0 {
            self.cancel();
        }
    }

    fn cancel(&self) {
        let source = self.source.borrow().clone();
        if let Some(source) = source {
            source.cancel();
        }
    }
}

impl<T: Clone> Drop for State<T> {
    fn drop(&mut self) {
        if let Some(Err(failure)) = self.outcome.get_mut()
            && !self.taken.get()
        {
            let failure = failure.to_failure();
            report_unhandled(&failure, failure.location());
        }
    }
}

impl<T: Clone> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { state: Rc::clone(&self.state), handle: Rc::clone(&self.handle) }
    }
}

impl<T: Clone> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("ready", &self.is_ready())
            .field("waiters", &self.state.waiters.borrow().len())
            .finish_non_exhaustive()
    }
}
