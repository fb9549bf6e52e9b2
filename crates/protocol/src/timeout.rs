//! Waits with an end.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Cancelled, Deferred, Failure, Outcome};

use crate::{Clock, call_later, sleep};

/// Cancels `deferred` if it has no result once `patience` has passed on `clock`.
///
/// It then fails with [`TimedOut`], unless its canceller or a link before this one makes something
/// else of the cancelling; they get the time that they need for it. Links added to the answer are
/// outside of the time-out. A wait that somebody else cancels fails with
/// [`Cancelled`], as ever.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_deferred::deferred;
/// use ropewalk_protocol::{TimedOut, timeout};
/// use ropewalk_trial::Clock;
///
/// let clock = Clock::new();
/// let (_silent, answer) = deferred::<u32>();
/// let answer = timeout(&clock, Duration::from_secs(30), answer);
/// clock.advance(Duration::from_secs(30));
/// let failure = answer.now_or_never().unwrap().unwrap_err();
/// assert!(failure.check::<TimedOut>().is_some());
/// ```
#[track_caller]
pub fn timeout<T: 'static>(
    clock: &(impl Clock + ?Sized),
    patience: Duration,
    deferred: Deferred<T>,
) -> Deferred<T> {
    let deferred = match deferred.try_take() {
        Ok(result) => return Deferred::ready(result),
        Err(waiting) => waiting,
    };
    let canceller = deferred.canceller();
    let expired = Rc::new(Cell::new(false));
    let told = Rc::clone(&expired);
    let call = call_later(clock, patience, move || {
        told.set(true);
        canceller.cancel();
    });
    deferred.add_both(move |result| {
        call.cancel();
        match result {
            Err(failure) if expired.get() && is_cancelled(&failure) => {
                Err(TimedOut { patience }.into())
            }
            result => result,
        }
    })
}

/// Whether the failure is the cancelling itself, and not one that only has to do with another.
fn is_cancelled(failure: &Failure) -> bool {
    failure.error().is::<Cancelled>()
}

/// Calls `f` once `delay` has passed on `clock`; cancelling drops the timer, or what `f` waits for.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::defer_later;
/// use ropewalk_trial::Clock;
///
/// let clock = Clock::new();
/// let answer = defer_later(&clock, Duration::from_secs(1), || "42".parse::<u32>());
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(answer.now_or_never().unwrap().unwrap(), 42);
/// ```
#[track_caller]
pub fn defer_later<R: Outcome<Value: 'static>>(
    clock: &(impl Clock + ?Sized),
    delay: Duration,
    f: impl FnOnce() -> R + 'static,
) -> Deferred<R::Value> {
    sleep(clock, delay).add_callback(|()| f())
}

/// A wait took too long; see [`timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    patience: Duration,
}

impl TimedOut {
    /// How long the wait was to last at most.
    pub fn patience(&self) -> Duration {
        self.patience
    }
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no result within {:?}", self.patience)
    }
}

impl Error for TimedOut {}
