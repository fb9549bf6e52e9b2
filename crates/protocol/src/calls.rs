//! Calls that a connection, a port or a process will make, and results that it waits for.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Canceller, Context, Deferred, Failure};

use crate::ConnCall;
use crate::flags::Flags;

/// A call to be made.
pub(crate) struct Call<T> {
    due: Moment,
    id: u32,
    /// What was current when it was asked for. Not in the closure, so that a plain function needs no
    /// memory of its own.
    context: Context,
    turn: T,
}

impl<T> Call<T> {
    /// Has `make` make the call, in the context in which it was asked for.
    pub(crate) fn make(self, make: impl FnOnce(T)) {
        let Self { context, turn, .. } = self;
        context.run(|| make(turn));
    }
}

/// Calls to be made. Most connections have one, their time-out, which needs no list.
pub(crate) struct Calls<T> {
    one: Option<Call<T>>,
    #[expect(clippy::box_collection, reason = "hardly any has one, and each idle connection pays")]
    more: Option<Box<Vec<Call<T>>>>,
}

impl<T> Calls<T> {
    pub(crate) const fn new() -> Self {
        Self { one: None, more: None }
    }

    /// Adds a call that is made in the present context.
    fn add(&mut self, id: u32, due: Duration, turn: T) {
        let call = Call { due: Moment::of(due), id, context: Context::current(), turn };
        // Not before others that were asked for earlier.
        if self.one.is_none() && self.more().is_empty() {
            self.one = Some(call);
        } else {
            self.more.get_or_insert_default().push(call);
        }
    }

    fn take(&mut self, id: u32) -> Option<Call<T>> {
        if self.one.as_ref().is_some_and(|call| call.id == id) {
            return self.one.take();
        }
        let more = self.more.as_mut()?;
        let index = more.iter().position(|call| call.id == id)?;
        Some(more.remove(index))
    }

    /// The first call that is due, and when it is, unless it was asked for after `newest`.
    fn first_until(&self, newest: u32) -> Option<(u32, Duration)> {
        let call = self.first()?;
        let is_newer = newest.wrapping_sub(call.id).cast_signed() < 0;
        (!is_newer).then(|| (call.id, call.due.time()))
    }

    /// Has a call made at another time; whether that is earlier, if there is such a call.
    fn reschedule(&mut self, id: u32, due: Duration) -> Option<bool> {
        let due = Moment::of(due);
        let more = self.more.as_deref_mut().into_iter().flatten();
        let call = self.one.iter_mut().chain(more).find(|call| call.id == id)?;
        let earlier = due < call.due;
        call.due = due;
        Some(earlier)
    }

    /// When a call is due, if there is such a call.
    fn due(&self, id: u32) -> Option<Duration> {
        let mut all = self.one.iter().chain(self.more());
        all.find(|call| call.id == id).map(|call| call.due.time())
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.first().map(|call| call.due.time())
    }

    /// The call that is due first; the one asked for first among equals.
    fn first(&self) -> Option<&Call<T>> {
        match self.more() {
            [] => self.one.as_ref(),
            more => self.one.iter().chain(more).min_by_key(|call| call.due),
        }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        // Who has a list has had several.
        self.one.is_none() && self.more.is_none()
    }

    fn more(&self) -> &[Call<T>] {
        self.more.as_deref().map_or(&[], Vec::as_slice)
    }
}

/// The notes of a connection, a port or a process: its flags, and the calls that it will make. What it has
/// besides is its own affair.
pub(crate) trait Agenda: Sized + 'static {
    /// A call into the protocol.
    type Turn: 'static;

    fn noted(&self) -> &Cell<Flags>;

    fn last_id(&self) -> &Cell<u32>;

    /// The time on the carrier's clock.
    fn now(&self) -> Duration;

    /// Has the carrier look at the notes; false if there is none.
    fn wake_carrier(&self) -> bool;

    fn with_calls<T>(&self, look: impl FnOnce(&mut Calls<Self::Turn>) -> T) -> T;

    /// A result is waited for, which is cancelled when all is over.
    fn add_wait(&self, id: u32, canceller: Canceller);

    fn forget_wait(&self, id: u32);

    fn flags(&self) -> Flags {
        self.noted().get()
    }

    fn is(&self, flag: Flags) -> bool {
        self.flags().has(flag)
    }

    fn set(&self, flag: Flags) {
        self.noted().set(self.flags().or(flag));
    }

    fn clear(&self, flag: Flags) {
        self.noted().set(self.flags().without(flag));
    }

    /// Whether the protocol has asked for the end.
    fn is_ending(&self) -> bool {
        self.is(Flags::CLOSING.or(Flags::ABORTING).or(Flags::OVER))
    }

    /// Whoever carries this begins to handle an event: what is noted from now on is looked at afterwards.
    fn enter(&self) {
        self.noted().set(self.flags().without(Flags::WOKEN).or(Flags::IN_CALL));
    }

    /// Makes the carrier look at the notes, unless it will anyway.
    fn wake(&self) {
        if !self.is(Flags::IN_CALL.or(Flags::WOKEN).or(Flags::OVER)) {
            self.set(Flags::WOKEN);
            if !self.wake_carrier() {
                self.clear(Flags::WOKEN);
            }
        }
    }

    fn new_id(&self) -> u32 {
        let id = self.last_id().get().wrapping_add(1);
        self.last_id().set(id);
        id
    }

    /// Writes down a call that is made in the present context.
    fn add_call(&self, id: u32, due: Duration, turn: Self::Turn) {
        self.with_calls(|calls| calls.add(id, due, turn));
        self.wake();
    }

    fn call_later(&self, delay: Duration, turn: Self::Turn) -> ConnCall {
        let id = self.new_id();
        if !self.is(Flags::OVER) {
            self.add_call(id, self.now().saturating_add(delay), turn);
        }
        ConnCall(id)
    }

    fn cancel_call(&self, call: ConnCall) -> bool {
        // What is dropped with it may look at the notes.
        let call = self.with_calls(|calls| calls.take(call.0));
        call.is_some()
    }

    fn reset_call(&self, call: ConnCall, delay: Duration) -> bool {
        let due = self.now().saturating_add(delay);
        let earlier = self.with_calls(|calls| calls.reschedule(call.0, due));
        if earlier == Some(true) {
            self.wake();
        }
        earlier.is_some()
    }

    /// How long it is until a call is due, if there is such a call.
    fn time_left(&self, call: ConnCall) -> Option<Duration> {
        let due = self.with_calls(|calls| calls.due(call.0))?;
        Some(due.saturating_sub(self.now()))
    }

    /// Takes the first call that is due, unless it was asked for after `newest`.
    fn take_due(&self, newest: u32) -> Option<Call<Self::Turn>> {
        let (id, due) = self.with_calls(|calls| calls.first_until(newest))?;
        if due > self.now() { None } else { self.with_calls(|calls| calls.take(id)) }
    }

    /// Has the call that `turn` makes of the deferred's result made, unless all is over before: then the
    /// deferred is cancelled.
    fn bring_home<T: 'static>(
        self: &Rc<Self>,
        deferred: Deferred<T>,
        turn: impl FnOnce(Result<T, Failure>) -> Self::Turn + 'static,
    ) {
        if self.is(Flags::OVER) {
            deferred.cancel();
            deferred.on_result(drop);
            return;
        }
        let id = self.new_id();
        let page = Rc::downgrade(self);
        let canceller = deferred.on_result(move |result| {
            let Some(page) = page.upgrade().filter(|page| !page.is(Flags::OVER)) else { return };
            page.forget_wait(id);
            // The context is that in which this was asked for: this link runs in it.
            page.add_call(id, page.now(), turn(result));
        });
        if canceller.is_waiting() {
            self.add_wait(id, canceller);
        }
    }
}

/// A time in half the room that a `Duration` takes, in nanoseconds; what lies beyond their 584 years is
/// at the end of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Moment {
    fn of(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    fn time(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}
