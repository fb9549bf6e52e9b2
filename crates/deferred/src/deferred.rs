//! The waiting end.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{self, Poll};

use crate::node::{self, Cancel, Link, Source, State, report_unhandled};
use crate::{Failure, Outcome};

/// A result that is not there yet.
///
/// The verbs that add a link consume the deferred and give the next one. Dropping a deferred does
/// not stop what it waits for: its links still run, and a failure at their end is logged. It is also
/// a [`Future`]; one that has been polled belongs to the task that polled it, and is cancelled when
/// dropped before its result came, as futures are.
#[must_use = "a failure that nobody takes is logged as unhandled; end a chain with `on_result` or `detach`"]
pub struct Deferred<T: 'static> {
    inner: Option<Inner<T>>,
    /// A task waits on it: dropping it means that the task was dropped.
    polled: bool,
}

pub(crate) enum Inner<T> {
    Ready(Result<T, Failure>),
    Waiting(Rc<dyn Source<T>>),
}

impl<T> Deferred<T> {
    /// A deferred that has its value.
    pub fn succeed(value: T) -> Self {
        Self::ready(Ok(value))
    }

    /// A deferred that has failed.
    #[track_caller]
    pub fn fail(error: impl Into<Failure>) -> Self {
        Self::ready(Err(error.into()))
    }

    /// A deferred that has its result.
    pub fn ready(result: Result<T, Failure>) -> Self {
        Self { inner: Some(Inner::Ready(result)), polled: false }
    }

    pub(crate) fn waiting(source: Rc<dyn Source<T>>) -> Self {
        Self { inner: Some(Inner::Waiting(source)), polled: false }
    }

    pub(crate) fn from_inner(inner: Inner<T>) -> Self {
        Self { inner: Some(inner), polled: false }
    }

    pub(crate) fn into_inner(mut self) -> Inner<T> {
        let inner = self.inner.take();
        // What is empty has nothing to do on drop, which the compiler does not see.
        mem::forget(self);
        // Only `drop` and the futures' side leave it empty, and neither is followed by this.
        inner.unwrap_or_else(|| Inner::Ready(Err(Failure::new(crate::Abandoned))))
    }

    /// Calls `f` with the value; the next deferred has what it gives, as a plain value.
    #[track_caller]
    pub fn map<U>(self, f: impl FnOnce(T) -> U + 'static) -> Deferred<U> {
        self.link(move |result| Inner::Ready(result.map(f)))
    }

    /// Calls `callback` with the value; a failure passes by.
    #[track_caller]
    pub fn add_callback<R: Outcome>(
        self,
        callback: impl FnOnce(T) -> R + 'static,
    ) -> Deferred<R::Value> {
        self.link(move |result| match result {
            Ok(value) => callback(value).into_deferred().into_inner(),
            Err(failure) => Inner::Ready(Err(failure)),
        })
    }

    /// Calls `errback` with the failure; a value passes by.
    #[track_caller]
    pub fn add_errback<R: Outcome<Value = T>>(
        self,
        errback: impl FnOnce(Failure) -> R + 'static,
    ) -> Self {
        self.link(move |result| match result {
            Ok(value) => Inner::Ready(Ok(value)),
            Err(failure) => errback(failure).into_deferred().into_inner(),
        })
    }

    /// Calls `callback` with the value or `errback` with the failure, never both.
    #[track_caller]
    pub fn add_callbacks<R: Outcome, S: Outcome<Value = R::Value>>(
        self,
        callback: impl FnOnce(T) -> R + 'static,
        errback: impl FnOnce(Failure) -> S + 'static,
    ) -> Deferred<R::Value> {
        self.link(move |result| match result {
            Ok(value) => callback(value).into_deferred().into_inner(),
            Err(failure) => errback(failure).into_deferred().into_inner(),
        })
    }

    /// Calls `both` with the result, value or failure.
    #[track_caller]
    pub fn add_both<R: Outcome>(
        self,
        both: impl FnOnce(Result<T, Failure>) -> R + 'static,
    ) -> Deferred<R::Value> {
        self.link(move |result| both(result).into_deferred().into_inner())
    }

    /// Ends the chain: calls `taker` with the result. The answer can stop the wait.
    #[track_caller]
    pub fn on_result(self, taker: impl FnOnce(Result<T, Failure>) + 'static) -> Canceller {
        let end = self.link(move |result| {
            taker(result);
            Inner::Ready(Ok(()))
        });
        end.canceller()
    }

    /// Lets go of the result on purpose; a failure will still be logged.
    pub fn detach(self) {}

    /// Cancels the innermost operation that this deferred waits for.
    ///
    /// The operation's canceller may give a result after all; otherwise the deferred fails with
    /// [`Cancelled`](crate::Cancelled). Where the result is there already, nothing happens.
    pub fn cancel(&self) {
        self.canceller().cancel();
    }

    /// A handle that can cancel the wait from elsewhere, also after the deferred was handed on.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            node: match &self.inner {
                Some(Inner::Waiting(source)) => {
                    let source: Weak<dyn Source<T>> = Rc::downgrade(source);
                    Some(source)
                }
                _ => None,
            },
        }
    }

    /// The result, if it is there already.
    ///
    /// # Errors
    ///
    /// The deferred itself, if there is nothing yet.
    pub fn try_take(mut self) -> Result<Result<T, Failure>, Self> {
        let inner = self.inner.take();
        let polled = self.polled;
        // What is empty has nothing to do on drop, which the compiler does not see.
        mem::forget(self);
        match inner {
            Some(Inner::Ready(result)) => Ok(result),
            Some(Inner::Waiting(source)) => match source.slot().take_or_leave(State::Open) {
                Some(result) => Ok(result),
                None => Err(Self { inner: Some(Inner::Waiting(source)), polled }),
            },
            None => Err(Self { inner: None, polled }),
        }
    }

    /// The result if it is there already; else lets go of the deferred. Meant for tests.
    pub fn now_or_never(self) -> Option<Result<T, Failure>> {
        self.try_take().ok()
    }

    #[track_caller]
    pub(crate) fn link<U>(
        self,
        step: impl FnOnce(Result<T, Failure>) -> Inner<U> + 'static,
    ) -> Deferred<U> {
        let created = Location::caller();
        let source = match self.into_inner() {
            Inner::Ready(result) => return node::run_ready(result, step, created),
            Inner::Waiting(source) => source,
        };
        let link = Link::after(&source, step, created);
        if let Some(result) = source.slot().take_or_leave(State::Chained(Rc::clone(&link) as _)) {
            node::load(&link, result);
        }
        Deferred::waiting(link)
    }
}

// Nothing in it is ever pinned.
impl<T> Unpin for Deferred<T> {}

thread_local! {
    /// Where a deferred without a result was polled last.
    static AWAITED_AT: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// Takes the place at which this thread last awaited a deferred that had no result: what an executor
/// asks after a poll, to tell where a task waits. Known in builds with debug assertions.
///
/// ```
/// use std::task::{Context, Waker};
/// use ropewalk_deferred::{deferred, take_awaited_at};
///
/// let (_promise, never) = deferred::<()>();
/// let mut task = Box::pin(async move { never.await });
/// assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
/// let place = take_awaited_at();
/// assert_eq!(place.is_some(), cfg!(debug_assertions));
/// assert!(take_awaited_at().is_none());
/// ```
pub fn take_awaited_at() -> Option<&'static Location<'static>> {
    AWAITED_AT.take()
}

impl<T> Future for Deferred<T> {
    type Output = Result<T, Failure>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match self.inner.take() {
            Some(Inner::Ready(result)) => Poll::Ready(result),
            Some(Inner::Waiting(source)) => {
                let polled = source.slot().poll(cx);
                if polled.is_pending() {
                    if cfg!(debug_assertions) {
                        AWAITED_AT.set(Some(Location::caller()));
                    }
                    self.inner = Some(Inner::Waiting(source));
                    self.polled = true;
                }
                polled
            }
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Deferred<T> {
    fn drop(&mut self) {
        match mem::take(&mut self.inner) {
            None | Some(Inner::Ready(Ok(_))) => (),
            Some(Inner::Ready(Err(failure))) => report_unhandled(&failure, failure.location()),
            Some(Inner::Waiting(source)) => {
                // The task that polled it is gone and wants nothing, not even the news that it is.
                let taker = if self.polled { State::Unwanted } else { State::Detached };
                match source.slot().take_or_leave(taker) {
                    Some(result) => source.unclaimed(result),
                    None if self.polled => node::cancel(source),
                    None => (),
                }
            }
        }
    }
}

impl<T> fmt::Debug for Deferred<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.inner {
            Some(Inner::Ready(Ok(_))) => "succeeded",
            Some(Inner::Ready(Err(_))) => "failed",
            Some(Inner::Waiting(_)) => "waiting",
            None => "taken",
        };
        f.debug_tuple("Deferred").field(&format_args!("{state}")).finish()
    }
}

/// Can cancel a wait whose [`Deferred`] has been handed on; see [`Deferred::cancel`].
#[derive(Clone)]
pub struct Canceller {
    /// Absent where there was nothing left to wait for.
    node: Option<Weak<dyn Cancel>>,
}

impl Canceller {
    /// Cancels the wait, if it still goes on.
    pub fn cancel(&self) {
        if let Some(node) = self.node.as_ref().and_then(Weak::upgrade) {
            node::cancel(node);
        }
    }

    /// Whether there is still something to wait for.
    pub fn is_waiting(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.strong_count() > 0)
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}
