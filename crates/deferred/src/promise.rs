//! The giving end.

use std::fmt;
use std::mem;
use std::panic::Location;
use std::rc::Rc;

use crate::root::{Giver, Root, Straight};
use crate::{Context, Deferred, Failure};

/// A promise and the deferred that it fires.
///
/// ```
/// let (promise, answer) = ropewalk_deferred::deferred();
/// promise.succeed("hello");
/// assert_eq!(answer.now_or_never().unwrap().unwrap(), "hello");
/// ```
#[track_caller]
pub fn deferred<T: 'static>() -> (Promise<T>, Deferred<T>) {
    let root = Root::make(Straight, Location::caller());
    (Promise::new(Rc::clone(&root) as Rc<dyn Giver<T>>), Deferred::waiting(root))
}

/// The end that gives the result; firing consumes it.
///
/// Dropped unfired, it fails its deferred with [`Abandoned`](crate::Abandoned). A second result cannot
/// be written:
///
/// ```compile_fail,E0382
/// let (promise, answer) = ropewalk_deferred::deferred();
/// promise.succeed(1);
/// promise.succeed(2);
/// # drop(answer);
/// ```
#[must_use = "dropping a promise fails its deferred"]
pub struct Promise<T: 'static> {
    /// Empty once fired.
    root: Option<Rc<dyn Giver<T>>>,
}

impl<T> Promise<T> {
    pub(crate) fn new(root: Rc<dyn Giver<T>>) -> Self {
        Self { root: Some(root) }
    }

    /// Gives the result and runs what waits for it.
    pub fn fire<E: Into<Failure>>(mut self, result: Result<T, E>) {
        let root = self.root.take();
        // What is empty has nothing to do on drop, which the compiler does not see.
        mem::forget(self);
        if let Some(root) = root {
            root.fire(result.map_err(Into::into));
        }
    }

    /// Gives a value.
    pub fn succeed(self, value: T) {
        self.fire(Ok::<_, Failure>(value));
    }

    /// Gives a failure.
    #[track_caller]
    pub fn fail(self, error: impl Into<Failure>) {
        self.fire(Err::<T, _>(error.into()));
    }

    /// Says how to stop the operation behind this promise when its deferred is cancelled.
    ///
    /// The canceller may fire or drop the promise itself; otherwise the deferred fails with
    /// [`Cancelled`](crate::Cancelled), and what the promise is fired with later is dropped. One
    /// that panics fails the deferred with [`Panicked`](crate::Panicked). It replaces the one that
    /// was set before.
    pub fn on_cancel(&self, canceller: impl FnOnce() + 'static) {
        if let Some(root) = &self.root {
            let context = Context::current();
            root.on_cancel(Box::new(move || context.run(canceller)));
        }
    }

    /// Whether the wait was cancelled, so that nobody wants the result any more.
    pub fn is_cancelled(&self) -> bool {
        self.root.as_ref().is_some_and(|root| root.is_cancelled())
    }

    /// Whether the result still has somewhere to go: false once the wait was cancelled, or the
    /// deferred dropped without any link on it. For queues, which should hand on what nobody hears.
    pub fn is_wanted(&self) -> bool {
        self.root.as_ref().is_some_and(|root| root.is_wanted())
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            root.abandon();
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
