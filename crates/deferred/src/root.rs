//! The node of a promise: where a result sets out.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::{Rc, Weak};

use crate::node::{self, Cancel, Level, Run, Slot, Source, report_unhandled, settle};
use crate::unfired::{self, Node, Ticket};
use crate::{Abandoned, Cancelled, Context, Failure};

/// A promise's node as the promise sees it.
pub(crate) trait Giver<T> {
    /// Gives the result, and runs what waits for it.
    fn fire(self: Rc<Self>, result: Result<T, Failure>);

    /// Fails the wait because its promise was dropped: by its canceller, or unawares.
    fn abandon(self: Rc<Self>);

    fn on_cancel(&self, canceller: Box<dyn FnOnce()>);

    fn is_cancelled(&self) -> bool;

    fn is_wanted(&self) -> bool;
}

/// What a promise's result meets on its way to the deferred.
pub(crate) trait Way<T: 'static>: Sized + 'static {
    /// What arrives.
    type Out: 'static;

    /// Sends a result on its way.
    fn send(root: Rc<Root<T, Self>>, result: Result<T, Failure>);

    /// Whether a result was sent.
    fn is_used(&self, slot: &Slot<Self::Out>) -> bool;

    /// Takes back a result that came and that nobody will take.
    fn unclaimed(&self, result: Result<Self::Out, Failure>, created: &'static Location<'static>) {
        if let Err(failure) = result {
            report_unhandled(&failure, created);
        }
    }
}

/// Gives a slot its result, and runs what waits for it.
pub(crate) fn give<T: 'static>(slot: &Slot<T>, result: Result<T, Failure>) {
    if let Some(next) = settle(slot, result) {
        node::run_all(next);
    }
}

/// Nothing in between.
pub(crate) struct Straight;

impl<T: 'static> Way<T> for Straight {
    type Out = T;

    fn send(root: Rc<Root<T, Self>>, result: Result<T, Failure>) {
        give(&root.slot, result);
    }

    fn is_used(&self, slot: &Slot<T>) -> bool {
        slot.is_settled()
    }
}

/// A closure that needs no link of its own.
pub(crate) struct Through<F> {
    step: Cell<Option<F>>,
    context: Context,
}

impl<F> Through<F> {
    pub(crate) fn new(step: F) -> Self {
        Self { step: Cell::new(Some(step)), context: Context::current() }
    }
}

impl<T, U, F> Way<T> for Through<F>
where
    T: 'static,
    U: 'static,
    F: FnOnce(Result<T, Failure>) -> Result<U, Failure> + 'static,
{
    type Out = U;

    fn send(root: Rc<Root<T, Self>>, result: Result<T, Failure>) {
        let Some(step) = root.way.step.take() else { return };
        match Level::enter() {
            Some(_level) => {
                if let Some(next) = root.pass(step, result) {
                    node::run_chain(next);
                }
            }
            None => node::later(Rc::new(Late { root, load: Cell::new(Some((step, result))) })),
        }
    }

    fn is_used(&self, _: &Slot<U>) -> bool {
        let step = self.step.take();
        let is_used = step.is_none();
        self.step.set(step);
        is_used
    }
}

impl<T, U, F> Root<T, Through<F>>
where
    T: 'static,
    U: 'static,
    F: FnOnce(Result<T, Failure>) -> Result<U, Failure> + 'static,
{
    fn pass(&self, step: F, result: Result<T, Failure>) -> Option<Rc<dyn Run>> {
        let created = self.slot.created();
        let run = || catch_unwind(AssertUnwindSafe(|| step(result)));
        let passed = self.way.context.run(run);
        settle(&self.slot, passed.unwrap_or_else(|payload| Err(node::panicked(&*payload, created))))
    }
}

/// A result that goes on when the stack is shallower.
struct Late<T: 'static, F>
where
    Through<F>: Way<T>,
{
    root: Rc<Root<T, Through<F>>>,
    load: Cell<Option<(F, Result<T, Failure>)>>,
}

impl<T, U, F> Run for Late<T, F>
where
    T: 'static,
    U: 'static,
    F: FnOnce(Result<T, Failure>) -> Result<U, Failure> + 'static,
{
    fn run(self: Rc<Self>) -> Option<Rc<dyn Run>> {
        let (step, result) = self.load.take()?;
        self.root.pass(step, result)
    }
}

/// The node of a promise.
pub(crate) struct Root<T: 'static, W: Way<T>> {
    slot: Slot<W::Out>,
    canceller: Cell<Option<Box<dyn FnOnce()>>>,
    wanted: Cell<Wanted>,
    ticket: Cell<Ticket>,
    way: W,
}

/// Whether anybody still wants a promise's result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    /// The canceller runs and may still give a result.
    Cancelling,
    No,
}

impl<T: 'static, W: Way<T>> Root<T, W> {
    #[inline]
    pub(crate) fn make(way: W, created: &'static Location<'static>) -> Rc<Self> {
        let root = Rc::new(Self {
            slot: Slot::new(created),
            canceller: Cell::new(None),
            wanted: Cell::new(Wanted::Yes),
            ticket: Cell::new(0),
            way,
        });
        if unfired::is_followed() {
            root.follow();
        }
        root
    }

    #[cold]
    fn follow(self: &Rc<Self>) {
        let node: Weak<Self> = Rc::downgrade(self);
        self.ticket.set(unfired::enter(node));
    }

    pub(crate) fn way(&self) -> &W {
        &self.way
    }

    fn is_used(&self) -> bool {
        self.way.is_used(&self.slot)
    }
}

impl<T: 'static, W: Way<T>> Giver<T> for Root<T, W> {
    fn fire(self: Rc<Self>, result: Result<T, Failure>) {
        self.canceller.take();
        let ticket = self.ticket.get();
        if ticket != 0 {
            unfired::leave(self.ticket.replace(0));
        }
        // The result of an operation that was cancelled too late to be stopped is not wanted.
        if self.wanted.get() != Wanted::No {
            W::send(self, result);
        }
    }

    fn abandon(self: Rc<Self>) {
        let failure = match self.wanted.get() {
            Wanted::Yes => Failure::plain(Abandoned),
            Wanted::Cancelling | Wanted::No => Failure::plain(Cancelled),
        };
        self.fire(Err(failure));
    }

    fn on_cancel(&self, canceller: Box<dyn FnOnce()>) {
        self.canceller.set(Some(canceller));
    }

    fn is_cancelled(&self) -> bool {
        self.wanted.get() != Wanted::Yes
    }

    fn is_wanted(&self) -> bool {
        !self.is_cancelled() && self.slot.is_heard()
    }
}

impl<T: 'static, W: Way<T>> Node for Root<T, W> {
    fn created(&self) -> &'static Location<'static> {
        self.slot.created()
    }

    fn next(&self) -> Option<Rc<dyn Node>> {
        self.slot.next()
    }
}

impl<T: 'static, W: Way<T>> Source<W::Out> for Root<T, W> {
    fn slot(&self) -> &Slot<W::Out> {
        &self.slot
    }

    fn wait_for(&self, _: Weak<dyn Cancel>) {}

    fn unclaimed(&self, result: Result<W::Out, Failure>) {
        self.way.unclaimed(result, self.slot.created());
    }
}

impl<T: 'static, W: Way<T>> Cancel for Root<T, W> {
    fn upstream(&self) -> Option<Rc<dyn Cancel>> {
        None
    }

    fn cancel(self: Rc<Self>) {
        if self.is_cancelled() || self.is_used() {
            return;
        }
        self.wanted.set(Wanted::Cancelling);
        let canceller = self.canceller.take().unwrap_or_else(|| Box::new(|| ()));
        // Whatever becomes of the canceller, the wait ends here.
        let failure = match catch_unwind(AssertUnwindSafe(canceller)) {
            Ok(()) if self.is_used() => None,
            Ok(()) => Some(Failure::plain(Cancelled)),
            Err(payload) => Some(Failure::from_panic(&*payload, self.slot.created())),
        };
        match failure {
            Some(failure) if self.is_used() => report_unhandled(&failure, self.slot.created()),
            Some(failure) => Rc::clone(&self).fire(Err(failure)),
            None => (),
        }
        self.wanted.set(Wanted::No);
    }
}
