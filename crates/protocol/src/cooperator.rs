//! Long work in short slices.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{
    Canceller, Context, Deferred, Failure, Outcome, Promise, deferred, maybe_deferred,
};

use crate::{Clock, DelayedCall};

/// How long one slice of work may take.
pub const SLICE: Duration = Duration::from_millis(10);

/// How many steps one slice has at most, however quick they are.
pub const STEPS_PER_SLICE_MAX: usize = 1_024;

/// Does long work step by step, so that the loop goes on meanwhile.
///
/// A task is an iterator; each `next` is a step. The tasks take turns, a step each. A slice of work
/// ends after [`SLICE`] or [`STEPS_PER_SLICE_MAX`] steps; the next comes with the loop's next turn.
/// An item is `()`, a `Result`, or a `Deferred`, for which its task alone waits; a failed item ends
/// its task.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::Cooperator;
/// use ropewalk_trial::Clock;
///
/// let clock = Clock::new();
/// let cooperator = Cooperator::new(clock.clone());
/// let mut sum = 0_u64;
/// let task = cooperator.cooperate((0..5_000).map(move |n| {
///     sum += n;
/// }));
/// let done = task.when_done();
/// clock.advance(Duration::ZERO);
/// assert!(done.now_or_never().unwrap().is_ok());
/// ```
#[derive(Clone)]
pub struct Cooperator {
    inner: Rc<Inner>,
}

struct Inner {
    clock: Rc<dyn Clock>,
    made_at: &'static Location<'static>,
    /// Those that can take a step.
    ready: RefCell<VecDeque<Rc<Task>>>,
    next: RefCell<Option<DelayedCall>>,
    stopped: Cell<bool>,
    /// All that have not ended, for the day the cooperator stops.
    alive: RefCell<BTreeMap<u64, Rc<Task>>>,
    last_id: Cell<u64>,
}

type Step = Box<dyn FnMut() -> Option<Deferred<()>>>;

struct Task {
    id: u64,
    cooperator: Rc<Inner>,
    /// Present until the task has ended.
    step: RefCell<Option<Step>>,
    context: Context,
    pauses: Cell<usize>,
    /// A step's deferred has no result yet.
    waits: RefCell<Option<Canceller>>,
    /// It stands in the queue, or takes its step.
    queued: Cell<bool>,
    ending: Cell<Option<TaskEnding>>,
    /// Why it failed, until somebody takes it.
    failure: Cell<Option<Failure>>,
    waiters: RefCell<Vec<Promise<()>>>,
}

/// How a task of a [`Cooperator`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskEnding {
    /// Its iterator came to its end.
    Done,
    /// A step failed.
    Failed,
    /// It was stopped.
    Stopped,
    /// The whole cooperator was stopped.
    CooperatorStopped,
}

impl fmt::Display for TaskEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "the task is done",
            Self::Failed => "the task has failed",
            Self::Stopped => "the task was stopped",
            Self::CooperatorStopped => "the cooperator was stopped",
        })
    }
}

impl Error for TaskEnding {}

impl Cooperator {
    /// A cooperator that takes its turns from `clock`. Clones are the same.
    #[track_caller]
    pub fn new(clock: impl Clock + 'static) -> Self {
        let inner = Inner {
            made_at: Location::caller(),
            clock: Rc::new(clock),
            ready: RefCell::default(),
            next: RefCell::new(None),
            stopped: Cell::new(false),
            alive: RefCell::default(),
            last_id: Cell::new(0),
        };
        Self { inner: Rc::new(inner) }
    }

    /// Works through `steps`, from the loop's next turn on. Dropping the handle changes nothing.
    ///
    /// Given to a cooperator that was stopped, the task has ended already.
    pub fn cooperate<I>(&self, steps: I) -> CooperativeTask
    where
        I: IntoIterator<IntoIter: 'static, Item: Outcome<Value = ()>>,
    {
        let mut steps = steps.into_iter();
        let step = move || steps.next().map(Outcome::into_deferred);
        let id = self.inner.last_id.get() + 1;
        self.inner.last_id.set(id);
        let task = Rc::new(Task {
            id,
            cooperator: Rc::clone(&self.inner),
            step: RefCell::new(Some(Box::new(step))),
            context: Context::current(),
            pauses: Cell::new(0),
            waits: RefCell::new(None),
            queued: Cell::new(false),
            ending: Cell::new(None),
            failure: Cell::new(None),
            waiters: RefCell::default(),
        });
        if self.inner.stopped.get() {
            task.end(TaskEnding::CooperatorStopped, None);
        } else {
            self.inner.alive.borrow_mut().insert(id, Rc::clone(&task));
            task.enqueue();
        }
        CooperativeTask { task }
    }

    /// Stops every task, and those that are given later.
    pub fn stop(&self) {
        self.inner.stopped.set(true);
        if let Some(call) = self.inner.next.take() {
            call.cancel();
        }
        self.inner.ready.take();
        for task in self.inner.alive.take().into_values() {
            task.end(TaskEnding::CooperatorStopped, None);
        }
    }

    /// How many tasks have not ended.
    pub fn tasks(&self) -> usize {
        self.inner.alive.borrow().len()
    }
}

impl Inner {
    fn schedule(self: &Rc<Self>) {
        if self.next.borrow().is_some() || self.ready.borrow().is_empty() {
            return;
        }
        let this = Rc::clone(self);
        let slice = Box::new(move || this.slice());
        let call = self.clock.schedule_from(self.made_at, Duration::ZERO, slice);
        self.next.replace(Some(call));
    }

    /// A task has ended. After the last there is nothing to wake up for.
    fn forget(&self, id: u64) {
        let task = self.alive.borrow_mut().remove(&id);
        drop(task);
        if self.alive.borrow().is_empty() {
            let idle = (self.ready.take(), self.next.take());
            if let (_, Some(call)) = &idle {
                call.cancel();
            }
        }
    }

    fn slice(self: &Rc<Self>) {
        self.next.take();
        let until = self.clock.now().saturating_add(SLICE);
        for _ in 0..STEPS_PER_SLICE_MAX {
            let task = self.ready.borrow_mut().pop_front();
            let Some(task) = task else { break };
            task.take_step();
            if self.clock.now() >= until {
                break;
            }
        }
        self.schedule();
    }
}

impl Task {
    fn enqueue(self: &Rc<Self>) {
        let can_step = self.pauses.get() == 0
            && self.waits.borrow().is_none()
            && self.ending.get().is_none()
            && !self.queued.replace(true);
        if can_step {
            self.cooperator.ready.borrow_mut().push_back(Rc::clone(self));
            self.cooperator.schedule();
        }
    }

    fn take_step(self: &Rc<Self>) {
        self.queued.set(false);
        if self.pauses.get() > 0 {
            return;
        }
        let Some(mut step) = self.step.take() else { return };
        let mut last = false;
        let outcome = self.context.run(|| {
            maybe_deferred(|| {
                step().unwrap_or_else(|| {
                    last = true;
                    Deferred::succeed(())
                })
            })
        });
        if self.ending.get().is_some() {
            // Its own step stopped it.
            outcome.cancel();
            return outcome.detach();
        }
        self.step.replace(Some(step));
        if last {
            return self.end(TaskEnding::Done, None);
        }
        match outcome.try_take() {
            Ok(result) => self.go_on(result),
            Err(outcome) => {
                let this = Rc::clone(self);
                let canceller = outcome.canceller();
                self.waits.replace(Some(canceller));
                outcome.on_result(move |result| {
                    this.waits.take();
                    if this.ending.get().is_none() {
                        this.go_on(result);
                    }
                });
            }
        }
    }

    fn go_on(self: &Rc<Self>, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.enqueue(),
            Err(failure) => self.end(TaskEnding::Failed, Some(failure)),
        }
    }

    fn end(self: &Rc<Self>, ending: TaskEnding, failure: Option<Failure>) {
        self.ending.set(Some(ending));
        let step = self.step.take();
        drop(step);
        self.cooperator.forget(self.id);
        let waits = self.waits.take();
        if let Some(waits) = waits {
            waits.cancel();
        }
        self.failure.set(failure);
        for promise in self.waiters.take() {
            promise.fire(self.outcome(ending));
        }
    }

    fn outcome(&self, ending: TaskEnding) -> Result<(), Failure> {
        match ending {
            TaskEnding::Done => Ok(()),
            // The first to ask gets the failure itself.
            ending => Err(self.failure.take().unwrap_or_else(|| ending.into())),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(failure) = self.failure.take() {
            // Nobody asked how it went: an unhandled failure like any other.
            drop(Deferred::<()>::ready(Err(failure)));
        }
    }
}

/// Work that a [`Cooperator`] does.
#[derive(Clone)]
pub struct CooperativeTask {
    task: Rc<Task>,
}

impl CooperativeTask {
    /// Succeeds when the work is done. It fails with the failure of a step, or with the [`TaskEnding`];
    /// of several who ask, the first gets the step's failure, the others [`TaskEnding::Failed`].
    #[track_caller]
    pub fn when_done(&self) -> Deferred<()> {
        match self.task.ending.get() {
            Some(ending) => Deferred::ready(self.task.outcome(ending)),
            None => {
                let (promise, waiting) = deferred();
                self.task.waiters.borrow_mut().push(promise);
                waiting
            }
        }
    }

    /// Takes no more steps until [`resume`](Self::resume) was called as often as this.
    ///
    /// # Errors
    ///
    /// How the task ended, if it has.
    pub fn pause(&self) -> Result<(), TaskEnding> {
        self.alive()?;
        self.task.pauses.set(self.task.pauses.get() + 1);
        Ok(())
    }

    /// Takes back one [`pause`](Self::pause); without any, it does nothing.
    ///
    /// # Errors
    ///
    /// How the task ended, if it has.
    pub fn resume(&self) -> Result<(), TaskEnding> {
        self.alive()?;
        self.task.pauses.set(self.task.pauses.get().saturating_sub(1));
        self.task.enqueue();
        Ok(())
    }

    /// Ends the work; what its step waits for is cancelled.
    ///
    /// # Errors
    ///
    /// How the task ended, if it has.
    pub fn stop(&self) -> Result<(), TaskEnding> {
        self.alive()?;
        self.task.end(TaskEnding::Stopped, None);
        Ok(())
    }

    /// How the task ended, if it has.
    pub fn ending(&self) -> Option<TaskEnding> {
        self.task.ending.get()
    }

    fn alive(&self) -> Result<(), TaskEnding> {
        self.task.ending.get().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Cooperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cooperator").field("tasks", &self.tasks()).finish_non_exhaustive()
    }
}

impl fmt::Debug for CooperativeTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CooperativeTask")
            .field("ending", &self.ending())
            .field("pauses", &self.task.pauses.get())
            .finish_non_exhaustive()
    }
}
