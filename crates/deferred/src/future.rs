//! From a future to a deferred.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll, Waker};

use crate::{Context, Deferred, Failure, Panicked, Promise, deferred};

/// Splits a future into a deferred for its result and a [`Driver`] for some executor to run.
///
/// Cancelling the deferred drops the future; dropping the driver fails the deferred with
/// [`Abandoned`](crate::Abandoned). A panic in the future fails the deferred. The future is polled in
/// the [`Context`] in which this was called.
///
/// ```
/// use std::pin::pin;
/// use std::task::{Context, Waker};
/// use ropewalk_deferred::{Failure, from_future};
///
/// let (answer, driver) = from_future(async { Ok::<_, Failure>(6 * 7) });
/// let done = pin!(driver).poll(&mut Context::from_waker(Waker::noop()));
/// assert!(done.is_ready());
/// assert_eq!(answer.now_or_never().unwrap().unwrap(), 42);
/// ```
#[track_caller]
pub fn from_future<T, E, F>(future: F) -> (Deferred<T>, Driver<F, T>)
where
    T: 'static,
    E: Into<Failure>,
    F: Future<Output = Result<T, E>>,
{
    let (promise, waiting) = deferred();
    let stop = Rc::new(Stop::default());
    let stopper = Rc::clone(&stop);
    promise.on_cancel(move || stopper.stop());
    let context = Context::current();
    (waiting, Driver { future: Some(Box::pin(future)), promise: Some(promise), stop, context })
}

#[derive(Default)]
struct Stop {
    wanted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Stop {
    fn stop(&self) {
        self.wanted.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Drives a future to its end and fires the deferred that goes with it; see [`from_future`].
#[must_use = "a driver does nothing unless an executor polls it"]
pub struct Driver<F, T: 'static> {
    /// Empty once it has ended.
    future: Option<Pin<Box<F>>>,
    promise: Option<Promise<T>>,
    stop: Rc<Stop>,
    context: Context,
}

impl<T, E, F> Future for Driver<F, T>
where
    T: 'static,
    E: Into<Failure>,
    F: Future<Output = Result<T, E>>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = &mut this.future else { return Poll::Ready(()) };
        let result = if this.stop.wanted.get() {
            None
        } else {
            let poll = || catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
            match this.context.run(poll) {
                Ok(Poll::Pending) => {
                    this.stop.waker.replace(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                Ok(Poll::Ready(result)) => Some(result.map_err(Into::into)),
                Err(payload) => Some(Err(Failure::new(Panicked::from_payload(&*payload)))),
            }
        };
        // What the future holds is let go in the future's own context too.
        let ended = this.future.take();
        this.context.run(|| drop(ended));
        let promise = this.promise.take();
        if let (Some(promise), Some(result)) = (promise, result) {
            promise.fire(result);
        }
        Poll::Ready(())
    }
}

impl<F, T> fmt::Debug for Driver<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("ended", &self.future.is_none()).finish_non_exhaustive()
    }
}

impl<F, T> Unpin for Driver<F, T> {}
