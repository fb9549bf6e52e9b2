//! Several deferreds as one.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use crate::node::report_unhandled;
use crate::{Abandoned, Cancelled, Canceller, Deferred, Failure, Promise, deferred};

/// What becomes of the others once one deferred of a group has decided its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They are cancelled, before the outcome is told.
    Cancel,
    /// They go on. Their values are dropped; a failure among them is logged as unhandled.
    Leave,
}

/// Waits for all: gives each result, value or failure, in the order of `deferreds`.
///
/// It never fails. Of nothing, the result is an empty list, at once. Cancelling it cancels each that
/// still waits; the list then has their [`Cancelled`], or what their cancellers gave.
///
/// ```
/// use ropewalk_deferred::{Deferred, deferred_list};
///
/// let parsed = ["1", "two", "3"].map(|text| Deferred::ready(text.parse::<u8>().map_err(Into::into)));
/// let results = deferred_list(parsed).now_or_never().unwrap().unwrap();
/// assert_eq!(results[0].as_ref().unwrap(), &1);
/// assert!(results[1].is_err());
/// assert_eq!(results[2].as_ref().unwrap(), &3);
/// ```
#[track_caller]
pub fn deferred_list<T: 'static>(
    deferreds: impl IntoIterator<Item = Deferred<T>>,
) -> Deferred<Vec<Result<T, Failure>>> {
    Group::run(deferreds, Rest::Leave, |_, result| Heard::Kept(result), Ok)
}

/// Waits for all the values, in the order of `deferreds`; the first failure is the whole's.
///
/// That failure is a [`FirstError`], which says whose it was; [`Failure::check`] finds the error
/// itself. What becomes of the others then is said by `rest`. Of nothing, the result is an empty
/// list, at once. Cancelling it cancels each that still waits.
///
/// ```
/// use ropewalk_deferred::{Failure, Rest, deferred, gather};
///
/// let (left, one) = deferred::<u32>();
/// let (right, other) = deferred::<u32>();
/// let sum = gather([one, other], Rest::Cancel).map(|values| values.iter().sum::<u32>());
/// right.succeed(2);
/// left.succeed(1);
/// assert_eq!(sum.now_or_never().unwrap()?, 3);
/// # Ok::<(), Failure>(())
/// ```
#[track_caller]
pub fn gather<T: 'static>(
    deferreds: impl IntoIterator<Item = Deferred<T>>,
    rest: Rest,
) -> Deferred<Vec<T>> {
    let hear = |index, result| match result {
        Ok(value) => Heard::Kept(Ok(value)),
        Err(failure) => Heard::Decided(Err(FirstError { index, failure }.into())),
    };
    Group::run(deferreds, rest, hear, |results| results.into_iter().collect())
}

/// Waits for the first value, and tells whose it was by its place; the others are cancelled.
///
/// If each fails, the failure is [`AllFailed`], with all failures in the order of `deferreds`. Of
/// nothing, it fails so at once, with none. Cancelling it cancels each.
///
/// ```
/// use ropewalk_deferred::{AllFailed, Cancelled, Deferred, deferred, race};
///
/// let (_slow, never) = deferred::<&str>();
/// let failed = Deferred::fail(std::fmt::Error);
/// let winner = race([never, failed, Deferred::succeed("here")]);
/// assert_eq!(winner.now_or_never().unwrap().unwrap(), (2, "here"));
///
/// let nobody = race::<()>([]).now_or_never().unwrap().unwrap_err();
/// assert!(nobody.check::<AllFailed>().unwrap().failures().is_empty());
/// ```
#[track_caller]
pub fn race<T: 'static>(deferreds: impl IntoIterator<Item = Deferred<T>>) -> Deferred<(usize, T)> {
    let hear = |index, result| match result {
        Ok(value) => Heard::Decided(Ok((index, value))),
        Err(failure) => Heard::Kept(Err(failure)),
    };
    let end = |results: Vec<Result<T, Failure>>| {
        let failures = results.into_iter().filter_map(Result::err).collect();
        Err(AllFailed { failures }.into())
    };
    Group::run(deferreds, Rest::Cancel, hear, end)
}

impl<T> Deferred<T> {
    /// Waits for both values, of whatever types; the first failure cancels the other.
    #[track_caller]
    pub fn zip<U: 'static>(self, other: Deferred<U>) -> Deferred<(T, U)> {
        let values = Rc::new((Cell::new(None), Cell::new(None)));
        let (left, right) = (Rc::clone(&values), Rc::clone(&values));
        let both = [
            self.map(move |value| left.0.set(Some(value))),
            other.map(move |value| right.1.set(Some(value))),
        ];
        gather(both, Rest::Cancel).add_callback(move |_| {
            values.0.take().zip(values.1.take()).ok_or_else(|| Failure::plain(Abandoned))
        })
    }
}

/// What a group makes of all results, where none decided it.
type End<T, O> = fn(Vec<Result<T, Failure>>) -> Result<O, Failure>;

/// What a group makes of one result.
enum Heard<T, O> {
    /// It waits for the others.
    Kept(Result<T, Failure>),
    /// It decides for all.
    Decided(Result<O, Failure>),
}

/// Deferreds that are waited for together.
struct Group<T: 'static, O: 'static> {
    promise: Cell<Option<Promise<O>>>,
    results: RefCell<Vec<Option<Result<T, Failure>>>>,
    missing: Cell<usize>,
    cancellers: RefCell<Vec<Canceller>>,
    rest: Rest,
    hear: fn(usize, Result<T, Failure>) -> Heard<T, O>,
    end: End<T, O>,
    /// Members are being added or cancelled one by one: the outcome has to wait for the last.
    held: Cell<bool>,
    outcome: Cell<Option<Result<O, Failure>>>,
    decided: Cell<bool>,
    cancelled: Cell<bool>,
}

impl<T: 'static, O: 'static> Group<T, O> {
    #[track_caller]
    fn run(
        deferreds: impl IntoIterator<Item = Deferred<T>>,
        rest: Rest,
        hear: fn(usize, Result<T, Failure>) -> Heard<T, O>,
        end: End<T, O>,
    ) -> Deferred<O> {
        let deferreds: Vec<_> = deferreds.into_iter().collect();
        let (promise, waiting) = deferred();
        let group = Rc::new(Self {
            promise: Cell::new(Some(promise)),
            results: RefCell::new(deferreds.iter().map(|_| None).collect()),
            missing: Cell::new(deferreds.len()),
            cancellers: RefCell::new(Vec::with_capacity(deferreds.len())),
            rest,
            hear,
            end,
            held: Cell::new(true),
            outcome: Cell::new(None),
            decided: Cell::new(false),
            cancelled: Cell::new(false),
        });
        for (index, member) in deferreds.into_iter().enumerate() {
            let listener = Rc::clone(&group);
            let canceller = member.on_result(move |result| listener.hear(index, result));
            group.cancellers.borrow_mut().push(canceller);
        }
        group.held.set(false);
        if group.missing.get() == 0 && !group.decided.get() {
            group.end();
        }
        group.tell();
        group.on_cancel();
        waiting
    }

    fn on_cancel(self: &Rc<Self>) {
        let Some(promise) = self.promise.take() else { return };
        let group = Rc::downgrade(self);
        promise.on_cancel(move || {
            if let Some(group) = group.upgrade() {
                group.cancelled.set(true);
                group.cancel_all();
                group.tell();
            }
        });
        self.promise.set(Some(promise));
    }

    fn hear(&self, index: usize, result: Result<T, Failure>) {
        self.missing.set(self.missing.get() - 1);
        if self.decided.get() {
            return hear_late(&result);
        }
        match (self.hear)(index, result) {
            Heard::Decided(outcome) => self.decide(outcome),
            Heard::Kept(result) => {
                if let Some(place) = self.results.borrow_mut().get_mut(index) {
                    *place = Some(result);
                }
                if self.missing.get() == 0 {
                    self.end();
                }
            }
        }
        self.tell();
    }

    fn end(&self) {
        let results = self.results.take().into_iter().flatten().collect();
        self.decide((self.end)(results));
    }

    fn decide(&self, outcome: Result<O, Failure>) {
        self.decided.set(true);
        self.outcome.set(Some(outcome));
    }

    fn cancel_all(&self) {
        self.held.set(true);
        for canceller in self.cancellers.take() {
            canceller.cancel();
        }
        self.held.set(false);
    }

    /// Tells the outcome, if there is one and nothing else has to come first.
    fn tell(&self) {
        if self.held.get() || !self.decided.get() {
            return;
        }
        let Some(promise) = self.promise.take() else { return };
        if self.rest == Rest::Cancel && self.missing.get() > 0 {
            self.cancel_all();
        }
        match self.outcome.take() {
            // Who cancels the whole hears just that; dropping the promise says so.
            Some(Err(failure))
                if self.cancelled.get() && failure.check::<Cancelled>().is_some() =>
            {
                drop(promise);
            }
            Some(outcome) => promise.fire(outcome),
            None => drop(promise),
        }
    }
}

/// One that lost speaks up: only trouble that nobody asked for is worth a word.
fn hear_late<T>(result: &Result<T, Failure>) {
    if let Err(failure) = result
        && failure.check::<Cancelled>().is_none()
    {
        report_unhandled(failure, failure.location());
    }
}

/// The first failure of a [`gather`], which is the failure of the whole.
#[derive(Debug)]
pub struct FirstError {
    index: usize,
    failure: Failure,
}

impl FirstError {
    /// Which deferred failed, counted from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its failure.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Its failure, as an owner.
    pub fn into_failure(self) -> Failure {
        self.failure
    }
}

impl fmt::Display for FirstError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} of those gathered failed", self.index)
    }
}

impl Error for FirstError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.failure.error())
    }
}

/// Nobody won a [`race`].
#[derive(Debug)]
pub struct AllFailed {
    failures: Vec<Failure>,
}

impl AllFailed {
    /// Why each failed, in the order in which they were given; empty where there was nobody to race.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// The same, as an owner.
    pub fn into_failures(self) -> Vec<Failure> {
        self.failures
    }
}

impl fmt::Display for AllFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failures.len() {
            0 => f.write_str("there was nobody to race"),
            count => write!(f, "all {count} failed"),
        }
    }
}

impl Error for AllFailed {
    /// The failure of the first that was given; the others are in [`AllFailed::failures`].
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let first: &(dyn Error + 'static) = self.failures.first()?.error();
        Some(first)
    }
}
