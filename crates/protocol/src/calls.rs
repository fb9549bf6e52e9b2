//! Calls that a connection or a port will make.

use std::time::Duration;

use ropewalk_deferred::Context;

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
    pub(crate) fn add(&mut self, id: u32, due: Duration, turn: T) {
        let call = Call { due: Moment::of(due), id, context: Context::current(), turn };
        // Not before others that were asked for earlier.
        if self.one.is_none() && self.more().is_empty() {
            self.one = Some(call);
        } else {
            self.more.get_or_insert_default().push(call);
        }
    }

    pub(crate) fn take(&mut self, id: u32) -> Option<Call<T>> {
        if self.one.as_ref().is_some_and(|call| call.id == id) {
            return self.one.take();
        }
        let more = self.more.as_mut()?;
        let index = more.iter().position(|call| call.id == id)?;
        Some(more.remove(index))
    }

    /// Takes the first call that is due, unless it was asked for after `newest`.
    pub(crate) fn take_due(
        &mut self,
        newest: u32,
        now: impl FnOnce() -> Duration,
    ) -> Option<Call<T>> {
        let (due, id) = self.first().map(|call| (call.due, call.id))?;
        let is_newer = newest.wrapping_sub(id).cast_signed() < 0;
        if is_newer || due > Moment::of(now()) {
            return None;
        }
        self.take(id)
    }

    /// Has a call made at another time; whether that is earlier, if there is such a call.
    pub(crate) fn reschedule(&mut self, id: u32, due: Duration) -> Option<bool> {
        let due = Moment::of(due);
        let more = self.more.as_deref_mut().into_iter().flatten();
        let call = self.one.iter_mut().chain(more).find(|call| call.id == id)?;
        let earlier = due < call.due;
        call.due = due;
        Some(earlier)
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

    fn more(&self) -> &[Call<T>] {
        self.more.as_deref().map_or(&[], Vec::as_slice)
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
