//! A clock that a test moves.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{DelayedCall, Timers};

type Call = Box<dyn FnOnce()>;

/// A clock that stands still until a test moves it. Clones are the same clock.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::call_later;
/// use ropewalk_trial::Clock;
///
/// let clock = Clock::new();
/// let call = call_later(&clock, Duration::from_secs(3), || ());
/// clock.advance(Duration::from_secs(2));
/// assert!(call.is_active());
/// clock.advance(Duration::from_secs(1));
/// assert!(!call.is_active());
/// ```
#[derive(Clone, Default)]
pub struct Clock(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now: Cell<Duration>,
    last_id: Cell<u64>,
    /// By when they are due, and among equals by when they were asked for.
    calls: RefCell<BTreeMap<(Duration, u64), (u64, Call)>>,
    order: Cell<u64>,
    in_call: Cell<bool>,
    /// How much time passes whenever somebody looks.
    auto_advance: Cell<Duration>,
}

impl Clock {
    /// A clock that has just been started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `time` pass: makes each call at its moment, those asked for on the way included.
    pub fn advance(&self, time: Duration) {
        let until = self.0.now.get() + time;
        loop {
            let first = self.0.calls.borrow().first_key_value().map(|(key, _)| *key);
            let Some((due, _)) = first.filter(|(due, _)| *due <= until) else { break };
            self.0.now.set(self.0.now.get().max(due));
            self.make_first();
        }
        self.0.now.set(self.0.now.get().max(until));
    }

    /// Lets `time` pass as on a machine that is held up: only then makes the calls that were due, each
    /// of them late. Called from within a call, it only moves the time.
    pub fn jump(&self, time: Duration) {
        self.0.now.set(self.0.now.get() + time);
        if !self.0.in_call.get() {
            self.advance(Duration::ZERO);
        }
    }

    /// Goes to the moment of the next call and makes that alone; false if there is none.
    pub fn turn(&self) -> bool {
        let Some(due) = self.next_call() else { return false };
        self.0.now.set(self.0.now.get().max(due));
        self.make_first();
        true
    }

    /// Advances by each of `times` in turn.
    pub fn pump(&self, times: impl IntoIterator<Item = Duration>) {
        times.into_iter().for_each(|time| self.advance(time));
    }

    /// Goes from call to call until `condition` holds; false if it does not within `time`, all of which
    /// has passed then.
    #[must_use]
    pub fn until(&self, time: Duration, condition: impl Fn() -> bool) -> bool {
        let until = self.0.now.get() + time;
        while !condition() {
            if self.next_call().is_none_or(|due| due > until) || !self.turn() {
                self.advance(until.saturating_sub(self.0.now.get()));
                return condition();
            }
        }
        true
    }

    /// Lets `step` pass whenever the time is asked for, for code that waits for the clock to move. Calls
    /// are made when the clock is moved the next time.
    pub fn set_auto_advance(&self, step: Duration) {
        self.0.auto_advance.set(step);
    }

    fn make_first(&self) {
        let first = self.0.calls.borrow_mut().pop_first();
        if let Some((_, (_, call))) = first {
            let outer = self.0.in_call.replace(true);
            call();
            self.0.in_call.set(outer);
        }
    }

    /// When the next call is due, if there is any.
    pub fn next_call(&self) -> Option<Duration> {
        self.0.calls.borrow().first_key_value().map(|((due, _), _)| *due)
    }

    /// How many calls are still to be made.
    pub fn pending(&self) -> usize {
        self.0.calls.borrow().len()
    }
}

impl Inner {
    fn next_order(&self) -> u64 {
        self.order.set(self.order.get() + 1);
        self.order.get()
    }

    fn key(&self, id: u64) -> Option<(Duration, u64)> {
        self.calls.borrow().iter().find(|(_, (other, _))| *other == id).map(|(key, _)| *key)
    }
}

impl ropewalk_protocol::Clock for Clock {
    fn now(&self) -> Duration {
        let now = self.0.now.get();
        self.0.now.set(now + self.0.auto_advance.get());
        now
    }

    fn schedule_from(
        &self,
        _: &'static Location<'static>,
        delay: Duration,
        call: Call,
    ) -> DelayedCall {
        let id = self.0.last_id.get() + 1;
        self.0.last_id.set(id);
        let due = self.0.now.get() + delay;
        let order = self.0.next_order();
        self.0.calls.borrow_mut().insert((due, order), (id, call));
        DelayedCall::new(Rc::clone(&self.0) as Rc<dyn Timers>, id)
    }
}

impl Timers for Inner {
    fn cancel(&self, id: u64) -> bool {
        let call = self.key(id).and_then(|key| self.calls.borrow_mut().remove(&key));
        call.is_some()
    }

    fn reset(&self, id: u64, delay: Duration) -> bool {
        let Some(key) = self.key(id) else { return false };
        let order = self.next_order();
        let mut calls = self.calls.borrow_mut();
        if let Some(call) = calls.remove(&key) {
            calls.insert((self.now.get() + delay, order), call);
        }
        true
    }

    fn deadline(&self, id: u64) -> Option<Duration> {
        self.key(id).map(|(due, _)| due)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("now", &self.0.now.get())
            .field("pending", &self.pending())
            .finish()
    }
}
