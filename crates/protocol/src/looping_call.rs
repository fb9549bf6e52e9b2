//! The same call, again and again.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::{Canceller, Context, Deferred, Outcome, Promise, deferred, maybe_deferred};

use crate::{Clock, DelayedCall};

/// Makes a call every so often.
///
/// The calls stand on a grid: the start, and each whole interval after it. A call that comes late,
/// because the body took long or the clock was held up, does not move the grid; the places that were
/// missed are skipped. While the body waits for a deferred, no call is made. A body that fails ends
/// the loop. An interval of zero means: once in each turn of the loop.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::{Rc, Weak};
/// use std::time::Duration;
/// use ropewalk_protocol::LoopingCall;
/// use ropewalk_trial::Clock;
///
/// let clock = Clock::new();
/// let calls = Rc::new(Cell::new(0));
/// let counted = Rc::clone(&calls);
/// let every = Duration::from_secs(10);
/// let (heartbeat, ended) = LoopingCall::start(clock.clone(), every, move |_| {
///     counted.set(counted.get() + 1);
/// });
/// clock.advance(Duration::from_secs(25));
/// assert_eq!(calls.get(), 3, "at 0, 10 and 20");
/// heartbeat.stop();
/// assert!(ended.now_or_never().unwrap().is_ok());
/// ```
///
/// The body is told how many places on the grid have come since its last call: 1, or more where some
/// were skipped. The deferred that comes with the loop succeeds when it is stopped and fails when the
/// body does; cancelling it stops the loop and what its body waits for. Dropping the handle changes
/// nothing.
#[derive(Clone)]
pub struct LoopingCall {
    inner: Rc<Inner>,
}

struct Inner {
    clock: Rc<dyn Clock>,
    interval: Duration,
    body: RefCell<Box<dyn FnMut(u64) -> Deferred<()>>>,
    /// Present while the loop runs.
    promise: Cell<Option<Promise<()>>>,
    /// The first place on the grid.
    start: Cell<Duration>,
    /// How many places of the grid have been passed, those called and those skipped.
    passed: Cell<u64>,
    next: RefCell<Option<DelayedCall>>,
    /// What the body waits for.
    body_wait: RefCell<Option<Canceller>>,
    in_body: Cell<bool>,
    made_at: &'static Location<'static>,
    stopping: Cell<bool>,
    context: Context,
}

impl LoopingCall {
    /// Calls `body` now, and then every `interval`.
    #[track_caller]
    pub fn start<R: Outcome<Value = ()>>(
        clock: impl Clock + 'static,
        interval: Duration,
        body: impl FnMut(u64) -> R + 'static,
    ) -> (Self, Deferred<()>) {
        let (looping, ended) = Self::new(clock, interval, body);
        looping.inner.call();
        (looping, ended)
    }

    /// Calls `body` every `interval`, for the first time when one has passed.
    #[track_caller]
    pub fn start_later<R: Outcome<Value = ()>>(
        clock: impl Clock + 'static,
        interval: Duration,
        body: impl FnMut(u64) -> R + 'static,
    ) -> (Self, Deferred<()>) {
        let (looping, ended) = Self::new(clock, interval, body);
        // The start itself is passed without a call.
        looping.inner.passed.set(1);
        looping.inner.schedule();
        (looping, ended)
    }

    #[track_caller]
    fn new<R: Outcome<Value = ()>>(
        clock: impl Clock + 'static,
        interval: Duration,
        mut body: impl FnMut(u64) -> R + 'static,
    ) -> (Self, Deferred<()>) {
        let (promise, ended) = deferred();
        let made_at = Location::caller();
        let inner = Rc::new_cyclic(|weak: &Weak<Inner>| {
            let stopped = weak.clone();
            promise.on_cancel(move || {
                if let Some(inner) = stopped.upgrade() {
                    inner.cancel();
                }
            });
            Inner {
                start: Cell::new(clock.now()),
                clock: Rc::new(clock),
                interval,
                body: RefCell::new(Box::new(move |count| maybe_deferred(|| body(count)))),
                promise: Cell::new(Some(promise)),
                passed: Cell::new(0),
                next: RefCell::new(None),
                body_wait: RefCell::new(None),
                in_body: Cell::new(false),
                made_at,
                stopping: Cell::new(false),
                context: Context::current(),
            }
        });
        (Self { inner }, ended)
    }

    /// Makes no more calls. Where the body still waits, the loop ends when that is over.
    pub fn stop(&self) {
        self.inner.stop();
    }

    /// Starts the grid again: the next call comes one interval from now.
    pub fn reset(&self) {
        let inner = &self.inner;
        if !self.is_running() {
            return;
        }
        inner.start.set(inner.clock.now());
        inner.passed.set(1);
        if !inner.in_body.get() {
            inner.schedule();
        }
    }

    /// Whether calls are still to be made.
    pub fn is_running(&self) -> bool {
        !self.inner.stopping.get()
    }

    /// The time between two calls.
    pub fn interval(&self) -> Duration {
        self.inner.interval
    }
}

impl Inner {
    /// Makes the call that is due now.
    fn call(self: &Rc<Self>) {
        let place = self.place();
        let count = place.saturating_sub(self.passed.get()).max(1);
        self.passed.set(place);
        self.in_body.set(true);
        // No call is asked for while the body runs, so it is never borrowed twice.
        let outcome = self.context.run(|| (self.body.borrow_mut())(count));
        let this = Rc::clone(self);
        let canceller = outcome.on_result(move |result| {
            this.in_body.set(false);
            this.body_wait.take();
            match result {
                Err(failure) => this.end(|promise| promise.fail(failure)),
                Ok(()) if this.stopping.get() => this.end(|promise| promise.succeed(())),
                Ok(()) => this.schedule(),
            }
        });
        if self.in_body.get() {
            self.body_wait.replace(Some(canceller));
        }
    }

    /// How many places of the grid lie behind, the one at this moment included.
    fn place(&self) -> u64 {
        if self.interval.is_zero() {
            return self.passed.get() + 1;
        }
        let elapsed = self.clock.now().saturating_sub(self.start.get());
        u64::try_from(elapsed.as_nanos() / self.interval.as_nanos())
            .map_or(u64::MAX, |full| full + 1)
    }

    /// Asks for the call at the next place of the grid.
    fn schedule(self: &Rc<Self>) {
        let elapsed = self.clock.now().saturating_sub(self.start.get());
        let delay = if self.interval.is_zero() {
            Duration::ZERO
        } else {
            let past = elapsed.as_nanos() % self.interval.as_nanos();
            self.interval.saturating_sub(Duration::from_nanos_u128(past))
        };
        let this = Rc::clone(self);
        let call = self.clock.schedule_from(
            self.made_at,
            delay,
            Box::new(move || {
                this.next.take();
                this.call();
            }),
        );
        if let Some(old) = self.next.replace(Some(call)) {
            old.cancel();
        }
    }

    fn stop(&self) {
        self.stopping.set(true);
        if let Some(call) = self.next.take() {
            call.cancel();
        }
        if !self.in_body.get() {
            self.end(|promise| promise.succeed(()));
        }
    }

    fn cancel(&self) {
        self.stop();
        let wait = self.body_wait.take();
        if let Some(wait) = wait {
            wait.cancel();
        }
    }

    fn end(&self, tell: impl FnOnce(Promise<()>)) {
        self.stopping.set(true);
        if let Some(promise) = self.promise.take() {
            tell(promise);
        }
    }
}

impl fmt::Debug for LoopingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopingCall")
            .field("interval", &self.inner.interval)
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}
