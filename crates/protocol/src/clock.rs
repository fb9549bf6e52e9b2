//! Time, as something that is handed in.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Context, Deferred, deferred};

/// Tells the time and calls later: a reactor, or a test's clock.
///
/// Time is a distance from the clock's own start and never runs backwards.
pub trait Clock {
    /// How long the clock has been running.
    fn now(&self) -> Duration;

    /// Makes `call` once `delay` has passed, no earlier than the loop's next turn.
    ///
    /// Calls due at the same time are made in the order in which they were asked for. The call is
    /// made as it is; [`call_later`] makes it in the context in which it was asked for.
    ///
    /// Whoever lists what waits names `made_at`.
    fn schedule_from(
        &self,
        made_at: &'static Location<'static>,
        delay: Duration,
        call: Box<dyn FnOnce()>,
    ) -> DelayedCall;

    /// Does as [`schedule_from`](Self::schedule_from), for whoever calls this: who has the clock as `&dyn Clock`
    /// names the place itself, which no compiler knows through a pointer.
    #[track_caller]
    fn schedule(&self, delay: Duration, call: Box<dyn FnOnce()>) -> DelayedCall {
        self.schedule_from(Location::caller(), delay, call)
    }
}

impl<C: Clock + ?Sized> Clock for Rc<C> {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn schedule_from(
        &self,
        made_at: &'static Location<'static>,
        delay: Duration,
        call: Box<dyn FnOnce()>,
    ) -> DelayedCall {
        (**self).schedule_from(made_at, delay, call)
    }
}

/// Makes `call` once `delay` has passed on `clock`, in the [`Context`] in which this is called.
#[track_caller]
pub fn call_later(
    clock: &(impl Clock + ?Sized),
    delay: Duration,
    call: impl FnOnce() + 'static,
) -> DelayedCall {
    let context = Context::current();
    clock.schedule_from(Location::caller(), delay, Box::new(move || context.run(call)))
}

/// A deferred that succeeds once `delay` has passed on `clock`; cancelling it drops the timer.
#[track_caller]
pub fn sleep(clock: &(impl Clock + ?Sized), delay: Duration) -> Deferred<()> {
    let (promise, waiting) = deferred();
    // The canceller needs the call and the call needs the promise: the promise is lent a slot.
    let slot: Rc<std::cell::Cell<Option<DelayedCall>>> = Rc::default();
    let call_slot = Rc::clone(&slot);
    promise.on_cancel(move || {
        if let Some(call) = call_slot.take() {
            call.cancel();
        }
    });
    let call = Box::new(move || promise.succeed(()));
    slot.set(Some(clock.schedule_from(Location::caller(), delay, call)));
    waiting
}

/// What a clock does with the calls it was asked for; [`DelayedCall`] is its handle.
pub trait Timers {
    /// Forgets a call; false if it was made or forgotten already.
    fn cancel(&self, id: u64) -> bool;

    /// Moves a call to `delay` from now; false if it was made or forgotten already.
    fn reset(&self, id: u64, delay: Duration) -> bool;

    /// When the call will be made, if it still will.
    fn deadline(&self, id: u64) -> Option<Duration>;
}

/// A call that a [`Clock`] will make. Dropping the handle changes nothing.
#[derive(Clone)]
pub struct DelayedCall {
    timers: Rc<dyn Timers>,
    id: u64,
}

impl DelayedCall {
    /// The handle of the call that `timers` knows as `id`; for those who build clocks.
    pub fn new(timers: Rc<dyn Timers>, id: u64) -> Self {
        Self { timers, id }
    }

    /// Forgets the call; false if it was made or forgotten already.
    pub fn cancel(&self) -> bool {
        self.timers.cancel(self.id)
    }

    /// Starts the wait again: the call comes `delay` from now. False if it is too late for that.
    pub fn reset(&self, delay: Duration) -> bool {
        self.timers.reset(self.id, delay)
    }

    /// Whether the call is still to be made.
    pub fn is_active(&self) -> bool {
        self.deadline().is_some()
    }

    /// When the call will be made, on the clock's own time, if it still will.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.deadline(self.id)
    }
}

impl fmt::Debug for DelayedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayedCall").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
