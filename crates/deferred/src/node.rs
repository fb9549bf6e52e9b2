//! The links between a promise and whoever waits, and the loop that runs them.
//!
//! A result on its way passes through *nodes*. The first is the promise's own, each further one is a
//! link with its closure; all have a [`Slot`] where their result goes. Ownership points with the
//! data, from promise to waiter, so there are no cycles; the way back, for cancelling, is weak.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::{Rc, Weak};
use std::task::{self, Poll, Waker};

use crate::deferred::Inner;
use crate::unfired::Node;
use crate::{Context, Deferred, Failure, WaitsForItself};

/// How deep firings may nest on the stack before the rest is left to the outermost.
const NESTING_MAX: u32 = 32;

/// How far up a returned deferred is searched for the link that returned it.
const SEARCH_MAX: usize = 16;

/// Where a node's result goes, once it has one.
pub(crate) struct Slot<T> {
    state: Cell<State<T>>,
    created: &'static Location<'static>,
}

pub(crate) enum State<T> {
    /// Neither a result nor a taker.
    Open,
    /// A task waits.
    Awaited(Waker),
    /// A link waits.
    Chained(Rc<dyn Consumer<T>>),
    /// Another node takes the result as its own.
    Forwarded(Rc<dyn Source<T>>),
    /// Nobody will ask any more; a failure is logged.
    Detached,
    /// Nobody wants to hear of it at all.
    Unwanted,
    /// The result waits.
    Ready(Result<T, Failure>),
    /// The result was taken.
    Taken,
}

impl<T> Slot<T> {
    pub(crate) fn new(created: &'static Location<'static>) -> Self {
        Self { state: Cell::new(State::Open), created }
    }

    pub(crate) fn created(&self) -> &'static Location<'static> {
        self.created
    }

    /// Takes the result if it is there; else leaves `taker` to wait for it.
    pub(crate) fn take_or_leave(&self, taker: State<T>) -> Option<Result<T, Failure>> {
        match self.state.replace(State::Taken) {
            State::Ready(result) => return Some(result),
            State::Open => (),
            other => drop(other),
        }
        self.fill(taker);
        None
    }

    /// Sets the state where it is known to be `Taken`: there is nothing to drop, which the compiler
    /// does not see.
    fn fill(&self, state: State<T>) {
        mem::forget(self.state.replace(state));
    }

    pub(crate) fn poll(&self, cx: &mut task::Context<'_>) -> Poll<Result<T, Failure>> {
        let waker = match self.state.replace(State::Taken) {
            State::Ready(result) => return Poll::Ready(result),
            State::Awaited(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.fill(State::Awaited(waker));
        Poll::Pending
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.peek(|state| matches!(state, State::Ready(_) | State::Taken))
    }

    pub(crate) fn is_heard(&self) -> bool {
        self.peek(|state| !matches!(state, State::Detached | State::Unwanted))
    }

    /// Who waits for the result, if it is a node.
    pub(crate) fn next(&self) -> Option<Rc<dyn Node>> {
        self.peek(|state| match state {
            State::Chained(next) => Some(Rc::clone(next) as Rc<dyn Node>),
            State::Forwarded(next) => Some(Rc::clone(next) as Rc<dyn Node>),
            _ => None,
        })
    }

    fn peek<R>(&self, look: impl FnOnce(&State<T>) -> R) -> R {
        let state = self.state.replace(State::Taken);
        let seen = look(&state);
        self.fill(state);
        seen
    }
}

/// Logs a failure that nobody took; once, however many owners it has.
pub(crate) fn report_unhandled(failure: &Failure, created: &'static Location<'static>) {
    if !failure.is_first_report() {
        return;
    }
    tracing::error!(
        target: "ropewalk::deferred",
        created = %created,
        failed = %failure.location(),
        "unhandled failure in a deferred: {failure:?}",
    );
}

/// A node as those see it who wait for its result.
pub(crate) trait Source<T>: Cancel + Node {
    fn slot(&self) -> &Slot<T>;

    /// Remembers whose result this node now waits for.
    fn wait_for(&self, upstream: Weak<dyn Cancel>);

    /// Takes back a result that came and that nobody will take.
    fn unclaimed(&self, result: Result<T, Failure>) {
        if let Err(failure) = result {
            report_unhandled(&failure, self.slot().created());
        }
    }
}

/// A link as the node before it sees it.
pub(crate) trait Consumer<T>: Run + Node {
    /// Lays the result in; [`Run::run`] must follow.
    fn put(&self, result: Result<T, Failure>);
}

/// A link that has its input and can run.
pub(crate) trait Run {
    /// Runs the link's closure; answers the link that can run next, if any.
    fn run(self: Rc<Self>) -> Option<Rc<dyn Run>>;
}

/// A node as somebody sees it who wants to stop the wait.
pub(crate) trait Cancel {
    /// The node whose result this one waits for.
    fn upstream(&self) -> Option<Rc<dyn Cancel>>;

    /// Stops the operation behind this node, if it is the first and has no result.
    fn cancel(self: Rc<Self>);
}

/// Cancels the innermost wait that `node` hangs on.
///
/// A canceller may cancel another wait, and so on: where that nests too deep, the rest is left to the
/// outermost as with firings.
pub(crate) fn cancel(mut node: Rc<dyn Cancel>) {
    while let Some(upstream) = node.upstream() {
        node = upstream;
    }
    match Level::enter() {
        Some(_level) => node.cancel(),
        None => later(Rc::new(Cancelling(node))),
    }
}

/// A wait to be cancelled when the stack is shallower.
struct Cancelling(Rc<dyn Cancel>);

impl Run for Cancelling {
    fn run(self: Rc<Self>) -> Option<Rc<dyn Run>> {
        Rc::clone(&self.0).cancel();
        None
    }
}

/// Gives a node its result; answers the link that can run next, if any.
#[inline]
pub(crate) fn settle<T: 'static>(
    slot: &Slot<T>,
    result: Result<T, Failure>,
) -> Option<Rc<dyn Run>> {
    match slot.state.replace(State::Taken) {
        State::Chained(consumer) => {
            consumer.put(result);
            Some(consumer)
        }
        State::Open => {
            slot.fill(State::Ready(result));
            None
        }
        other => settle_rarely(slot, other, result),
    }
}

/// Gives a result where no link waits for it: to a task, to another node, to the log.
#[inline(never)]
fn settle_rarely<T: 'static>(
    slot: &Slot<T>,
    state: State<T>,
    result: Result<T, Failure>,
) -> Option<Rc<dyn Run>> {
    match state {
        State::Forwarded(next) => return settle_forwarded(next, result),
        State::Awaited(waker) => {
            slot.fill(State::Ready(result));
            waker.wake();
        }
        State::Detached => {
            if let Err(failure) = result {
                report_unhandled(&failure, slot.created);
            }
        }
        State::Unwanted => (),
        State::Open | State::Chained(_) | State::Ready(_) | State::Taken => {
            slot.fill(State::Ready(result));
        }
    }
    None
}

/// Follows a result from node to node, as far as each takes it for its own.
fn settle_forwarded<T: 'static>(
    mut node: Rc<dyn Source<T>>,
    result: Result<T, Failure>,
) -> Option<Rc<dyn Run>> {
    loop {
        let slot = node.slot();
        match slot.state.replace(State::Taken) {
            State::Forwarded(next) => node = next,
            State::Chained(consumer) => {
                consumer.put(result);
                return Some(consumer);
            }
            other => return settle_rarely(slot, other, result),
        }
    }
}

/// A closure between two results.
pub(crate) struct Link<T, U, F> {
    slot: Slot<U>,
    step: Cell<Option<F>>,
    input: Cell<Option<Result<T, Failure>>>,
    upstream: Cell<Option<Weak<dyn Cancel>>>,
    context: Context,
}

impl<T: 'static, U: 'static, F> Link<T, U, F>
where
    F: FnOnce(Result<T, Failure>) -> Inner<U> + 'static,
{
    /// A link that waits for `source`.
    pub(crate) fn after(
        source: &Rc<dyn Source<T>>,
        step: F,
        created: &'static Location<'static>,
    ) -> Rc<Self> {
        let upstream: Weak<dyn Source<T>> = Rc::downgrade(source);
        Rc::new(Self::new(None, step, Some(upstream), created))
    }

    /// A link that has its input already and is run when the stack is shallower.
    pub(crate) fn loaded(
        input: Result<T, Failure>,
        step: F,
        created: &'static Location<'static>,
    ) -> Rc<Self> {
        Rc::new(Self::new(Some(input), step, None, created))
    }

    fn new(
        input: Option<Result<T, Failure>>,
        step: F,
        upstream: Option<Weak<dyn Cancel>>,
        created: &'static Location<'static>,
    ) -> Self {
        Self {
            slot: Slot::new(created),
            step: Cell::new(Some(step)),
            input: Cell::new(input),
            upstream: Cell::new(upstream),
            context: Context::current(),
        }
    }

    /// Takes the result of `inner` as this link's own.
    fn follow(self: &Rc<Self>, inner: &Rc<dyn Source<U>>) -> Option<Rc<dyn Run>> {
        // Where somebody already follows this link, they follow `inner` directly: a loop written as
        // a tail call stays two nodes long.
        let target = match self.slot.state.replace(State::Open) {
            State::Forwarded(target) => target,
            other => {
                self.slot.state.set(other);
                Rc::clone(self) as Rc<dyn Source<U>>
            }
        };
        if waits_for(inner, &target) {
            // The deferred went into its own callback, so nobody else has it: let the log tell.
            drop(inner.slot().take_or_leave(State::Detached));
            return settle(target.slot(), Err(Failure::new(WaitsForItself)));
        }
        match inner.slot().take_or_leave(State::Forwarded(Rc::clone(&target))) {
            Some(result) => settle(target.slot(), result),
            None => {
                let upstream: Weak<dyn Source<U>> = Rc::downgrade(inner);
                target.wait_for(upstream);
                None
            }
        }
    }
}

impl<T: 'static, U: 'static, F> Node for Link<T, U, F>
where
    F: FnOnce(Result<T, Failure>) -> Inner<U> + 'static,
{
    fn created(&self) -> &'static Location<'static> {
        self.slot.created
    }

    fn next(&self) -> Option<Rc<dyn Node>> {
        self.slot.next()
    }
}

impl<T: 'static, U: 'static, F> Source<U> for Link<T, U, F>
where
    F: FnOnce(Result<T, Failure>) -> Inner<U> + 'static,
{
    fn slot(&self) -> &Slot<U> {
        &self.slot
    }

    fn wait_for(&self, upstream: Weak<dyn Cancel>) {
        self.upstream.set(Some(upstream));
    }
}

impl<T: 'static, U: 'static, F> Consumer<T> for Link<T, U, F>
where
    F: FnOnce(Result<T, Failure>) -> Inner<U> + 'static,
{
    fn put(&self, result: Result<T, Failure>) {
        // It is empty: a link is loaded once.
        mem::forget(self.input.replace(Some(result)));
    }
}

impl<T: 'static, U: 'static, F> Run for Link<T, U, F>
where
    F: FnOnce(Result<T, Failure>) -> Inner<U> + 'static,
{
    fn run(self: Rc<Self>) -> Option<Rc<dyn Run>> {
        drop(self.upstream.take());
        let step = self.step.take()?;
        let input = self.input.take()?;
        let outcome = self.context.run(|| attempt(step, input, self.slot.created));
        match outcome {
            Inner::Ready(result) => settle(&self.slot, result),
            Inner::Waiting(inner) => self.follow(&inner),
        }
    }
}

impl<T: 'static, U: 'static, F> Cancel for Link<T, U, F>
where
    F: FnOnce(Result<T, Failure>) -> Inner<U> + 'static,
{
    fn upstream(&self) -> Option<Rc<dyn Cancel>> {
        let weak = self.upstream.take();
        let upstream = weak.as_ref().and_then(Weak::upgrade);
        mem::forget(self.upstream.replace(weak));
        upstream
    }

    // A link without anything before it is running or has run: there is nothing to stop.
    fn cancel(self: Rc<Self>) {}
}

/// Whether `inner` waits for `target`, as far as can be seen without following it for ever.
fn waits_for<U: 'static>(inner: &Rc<dyn Source<U>>, target: &Rc<dyn Source<U>>) -> bool {
    let target = Rc::as_ptr(target);
    if std::ptr::addr_eq(Rc::as_ptr(inner), target) {
        return true;
    }
    let mut upstream = inner.upstream();
    for _ in 0..SEARCH_MAX {
        let Some(node) = upstream else { return false };
        if std::ptr::addr_eq(Rc::as_ptr(&node), target) {
            return true;
        }
        upstream = node.upstream();
    }
    false
}

/// Runs a closure; a panic in it is its failure.
pub(crate) fn attempt<T, U: 'static>(
    step: impl FnOnce(Result<T, Failure>) -> Inner<U>,
    input: Result<T, Failure>,
    created: &'static Location<'static>,
) -> Inner<U> {
    match catch_unwind(AssertUnwindSafe(|| step(input))) {
        Ok(outcome) => outcome,
        Err(payload) => Inner::Ready(Err(panicked(&*payload, created))),
    }
}

#[cold]
pub(crate) fn panicked(payload: &(dyn Any + Send), created: &'static Location<'static>) -> Failure {
    Failure::from_panic(payload, created)
}

thread_local! {
    static NESTING: Cell<u32> = const { Cell::new(0) };
    static LATER: RefCell<VecDeque<Rc<dyn Run>>> = const { RefCell::new(VecDeque::new()) };
}

/// Holds one level of nesting.
pub(crate) struct Level;

impl Level {
    /// One level deeper, unless that is too deep.
    pub(crate) fn enter() -> Option<Self> {
        let level = NESTING.try_with(|nesting| {
            let depth = nesting.get();
            if depth < NESTING_MAX {
                nesting.set(depth + 1);
                Some(Self)
            } else {
                None
            }
        });
        // A thread on its way out has no more counters; what little still fires then nests freely.
        level.unwrap_or_else(|_| Some(Self))
    }

    fn is_outermost() -> bool {
        NESTING.try_with(Cell::get).unwrap_or(0) == 1
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        if Self::is_outermost() {
            // Still on this level, so that what is fired here queues behind what is queued.
            while let Some(first) = LATER.with_borrow_mut(VecDeque::pop_front) {
                run_chain(first);
            }
        }
        let _ = NESTING.try_with(|nesting| nesting.set(nesting.get().saturating_sub(1)));
    }
}

pub(crate) fn run_chain(first: Rc<dyn Run>) {
    let mut next = Some(first);
    while let Some(link) = next {
        next = link.run();
    }
}

pub(crate) fn later(link: Rc<dyn Run>) {
    LATER.with_borrow_mut(|later| later.push_back(link));
}

/// Runs `first` and each link that this makes ready.
pub(crate) fn run_all(first: Rc<dyn Run>) {
    match Level::enter() {
        Some(_level) => run_chain(first),
        None => later(first),
    }
}

/// Runs a link whose result was there before it.
#[cold]
pub(crate) fn load<T: 'static, L: Consumer<T> + 'static>(link: &Rc<L>, result: Result<T, Failure>) {
    link.put(result);
    run_all(Rc::clone(link) as Rc<dyn Run>);
}

/// Runs one closure on a result that is there already.
pub(crate) fn run_ready<T: 'static, U: 'static, F>(
    input: Result<T, Failure>,
    step: F,
    created: &'static Location<'static>,
) -> Deferred<U>
where
    F: FnOnce(Result<T, Failure>) -> Inner<U> + 'static,
{
    if let Some(_level) = Level::enter() {
        return Deferred::from_inner(attempt(step, input, created));
    }
    let link = Link::loaded(input, step, created);
    later(Rc::clone(&link) as Rc<dyn Run>);
    Deferred::waiting(link)
}
