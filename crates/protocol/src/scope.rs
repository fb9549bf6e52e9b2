//! Tasks that have an owner.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{self, Poll};

use ropewalk_deferred::{
    Cancelled, Canceller, Deferred, Failure, Promise, Shared, deferred, from_future,
};

/// Runs tasks on this thread: a reactor, or a test's executor.
pub trait Spawn {
    /// Polls `future` to its end, from the loop's next turn on.
    ///
    /// It is polled as it is; a [`scope`]'s tasks, and whatever else comes from
    /// [`from_future`], bring the context along in which they were started.
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()>>>);
}

impl<S: Spawn + ?Sized> Spawn for Rc<S> {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()>>>) {
        (**self).spawn(future);
    }
}

/// Runs `body` as the owner of a [`Scope`] of tasks, and ends when body and tasks have all ended.
///
/// When the body returns, the tasks that it left are cancelled, and waited for. So no task outlives
/// its scope. When the scope itself is cancelled, body and tasks are; they too are waited for, unless
/// it is cancelled once more. A task's failure that nobody awaits ends the scope with that failure.
///
/// A scope inside another's task is given the outer one as its `spawner`: then its tasks are the
/// outer one's too, which waits for them even where the inner one was dropped in the middle.
///
/// ```
/// use ropewalk_deferred::Failure;
/// use ropewalk_protocol::scope;
/// use ropewalk_trial::Executor;
///
/// let executor = Executor::new();
/// let sum = scope(executor.clone(), async |scope| {
///     let left = scope.spawn(async { Ok::<_, Failure>(1) });
///     let right = scope.spawn(async { Ok::<_, Failure>(2) });
///     Ok::<_, Failure>(left.await? + right.await?)
/// });
/// executor.run();
/// assert_eq!(sum.now_or_never().unwrap().unwrap(), 3);
/// ```
#[track_caller]
pub fn scope<T, E, F>(
    spawner: impl Spawn + 'static,
    body: impl FnOnce(Scope) -> F + 'static,
) -> Deferred<T>
where
    T: 'static,
    E: Into<Failure> + 'static,
    F: Future<Output = Result<T, E>> + 'static,
{
    let (ended_promise, ended) = deferred();
    let (leave, leaving) = deferred();
    let inner = Rc::new(Inner {
        spawner: Rc::new(spawner),
        tasks: RefCell::default(),
        last_id: Cell::new(0),
        ended: Cell::new(Some(ended_promise)),
        leave: Cell::new(Some(leave)),
        leaving: leaving.shared(),
        failure: Cell::new(None),
        body: RefCell::new(None),
    });
    let scope = Scope { inner: Rc::clone(&inner) };
    let (result, _) = inner.start(async move { body(scope).await }, Kind::Droppable);
    inner.body.replace(Some(result.canceller()));
    result.add_both(move |result| {
        inner.leave();
        ended.add_both(move |_| inner.conclude(result))
    })
}

/// Where tasks are spawned that end with the [`scope`] they belong to. Clones are the same.
#[derive(Clone)]
pub struct Scope {
    inner: Rc<Inner>,
}

struct Inner {
    spawner: Rc<dyn Spawn>,
    tasks: RefCell<BTreeMap<u64, Member>>,
    last_id: Cell<u64>,
    /// Fired when the last task has ended and none can come.
    ended: Cell<Option<Promise<()>>>,
    /// Fired when the body is over. Present until then.
    leave: Cell<Option<Promise<()>>>,
    leaving: Shared<()>,
    /// The first failure that nobody awaited.
    failure: Cell<Option<Failure>>,
    body: RefCell<Option<Canceller>>,
}

struct Member {
    kind: Kind,
    canceller: Canceller,
    /// Its end by cancelling is no failure.
    cancelled: Rc<Cell<bool>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Droppable,
    MustFinish,
}

impl Scope {
    /// Starts a task, which is cancelled when the scope is left.
    ///
    /// Cancelling drops the future at the point where it waits.
    #[track_caller]
    pub fn spawn<T, E>(&self, future: impl Future<Output = Result<T, E>> + 'static) -> Task<T>
    where
        T: 'static,
        E: Into<Failure> + 'static,
    {
        self.start(future, Kind::Droppable)
    }

    /// Starts a task that is not cancelled when the scope is left: it is waited for.
    ///
    /// For what must not stop half-way. It learns from [`leaving`](Self::leaving) that it should
    /// come to its end.
    #[track_caller]
    pub fn spawn_must_finish<T, E>(
        &self,
        future: impl Future<Output = Result<T, E>> + 'static,
    ) -> Task<T>
    where
        T: 'static,
        E: Into<Failure> + 'static,
    {
        self.start(future, Kind::MustFinish)
    }

    #[track_caller]
    fn start<T, E>(
        &self,
        future: impl Future<Output = Result<T, E>> + 'static,
        kind: Kind,
    ) -> Task<T>
    where
        T: 'static,
        E: Into<Failure> + 'static,
    {
        let (result, cancelled) = self.inner.start(future, kind);
        if kind == Kind::Droppable && self.inner.is_leaving() {
            cancelled.set(true);
            result.cancel();
        }
        Task { result: Some(result), scope: Rc::downgrade(&self.inner), cancelled }
    }

    /// Succeeds when the scope is being left.
    #[track_caller]
    pub fn leaving(&self) -> Deferred<()> {
        self.inner.leaving.wait()
    }

    /// Whether the scope is being left: what is spawned now is cancelled before it begins.
    pub fn is_leaving(&self) -> bool {
        self.inner.is_leaving()
    }

    /// How many tasks have not ended, the body included.
    pub fn tasks(&self) -> usize {
        self.inner.tasks.borrow().len()
    }
}

/// Whoever spawns here does the cancelling; the scope waits for the end.
impl Spawn for Scope {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()>>>) {
        let future = async move {
            future.await;
            Ok::<_, Failure>(())
        };
        self.spawn_must_finish(future).hand_over();
    }
}

impl Inner {
    #[track_caller]
    fn start<T, E>(
        self: &Rc<Self>,
        future: impl Future<Output = Result<T, E>> + 'static,
        kind: Kind,
    ) -> (Deferred<T>, Rc<Cell<bool>>)
    where
        T: 'static,
        E: Into<Failure> + 'static,
    {
        let (result, driver) = from_future(future);
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let cancelled = Rc::new(Cell::new(false));
        let member =
            Member { kind, canceller: result.canceller(), cancelled: Rc::clone(&cancelled) };
        self.tasks.borrow_mut().insert(id, member);
        let over = Over { scope: Rc::downgrade(self), id };
        self.spawner.spawn(Box::pin(async move {
            let _over = over;
            driver.await;
        }));
        (result, cancelled)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.is_ready()
    }

    fn leave(&self) {
        if let Some(leave) = self.leave.take() {
            leave.succeed(());
        }
        let droppable: Vec<_> = self
            .tasks
            .borrow()
            .values()
            .filter(|member| member.kind == Kind::Droppable)
            .map(|member| (member.canceller.clone(), Rc::clone(&member.cancelled)))
            .collect();
        for (canceller, cancelled) in droppable {
            cancelled.set(true);
            canceller.cancel();
        }
        self.end_if_empty();
    }

    fn end_if_empty(&self) {
        if self.is_leaving()
            && self.tasks.borrow().is_empty()
            && let Some(ended) = self.ended.take()
        {
            ended.succeed(());
        }
    }

    /// A task failed that nobody awaits: the scope is told, and ends.
    fn fail(&self, failure: Failure) {
        match self.failure.take() {
            Some(first) => {
                self.failure.set(Some(first));
                log_unhandled(failure);
            }
            None => self.failure.set(Some(failure)),
        }
        let body = self.body.borrow().clone();
        if let Some(body) = body {
            body.cancel();
        }
    }

    fn conclude<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        match (result, self.failure.take()) {
            (result, None) => result,
            (Err(own), Some(failure)) if !own.error().is::<Cancelled>() => {
                log_unhandled(failure);
                Err(own)
            }
            (_, Some(failure)) => Err(failure),
        }
    }
}

fn log_unhandled(failure: Failure) {
    drop(Deferred::<()>::ready(Err(failure)));
}

/// Tells the scope, when dropped, that a task's future is gone.
struct Over {
    scope: Weak<Inner>,
    id: u64,
}

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(scope) = self.scope.upgrade() {
            let member = scope.tasks.borrow_mut().remove(&self.id);
            drop(member);
            scope.end_if_empty();
        }
    }
}

/// A task of a [`Scope`]: await it for its result.
///
/// Dropping it neither stops the task nor forgets it: its failure is then the scope's, as if
/// [`hand_over`](Self::hand_over) had said so.
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// # use ropewalk_deferred::Failure;
/// fn body(scope: &ropewalk_protocol::Scope) {
///     scope.spawn(async { Ok::<_, Failure>(()) });
/// }
/// ```
#[must_use = "await the task, or `hand_over` its failure to the scope"]
pub struct Task<T: 'static> {
    /// Empty once it was awaited to its end or handed over.
    result: Option<Deferred<T>>,
    scope: Weak<Inner>,
    cancelled: Rc<Cell<bool>>,
}

impl<T> Task<T> {
    /// Leaves the task to its scope: if it fails, the scope does.
    pub fn hand_over(self) {}

    /// Cancels the task, which is no failure of the scope. Awaiting it gives [`Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.set(true);
        if let Some(result) = &self.result {
            result.cancel();
        }
    }

    /// The result as a deferred, which is then its owner's to handle.
    pub fn into_deferred(mut self) -> Deferred<T> {
        // It is only empty while it is dropped, or after a poll that ended it.
        self.result.take().unwrap_or_else(|| Deferred::fail(Cancelled))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let Some(result) = &mut self.result else { return Poll::Pending };
        let polled = Pin::new(result).poll(cx);
        if polled.is_ready() {
            self.result = None;
        }
        polled
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else { return };
        let (scope, cancelled) = (Weak::clone(&self.scope), Rc::clone(&self.cancelled));
        result.on_result(move |result| {
            let Err(failure) = result else { return };
            if cancelled.get() && failure.error().is::<Cancelled>() {
                return;
            }
            match scope.upgrade() {
                Some(scope) => scope.fail(failure),
                None => log_unhandled(failure),
            }
        });
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("tasks", &self.tasks())
            .field("leaving", &self.is_leaving())
            .finish()
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("cancelled", &self.cancelled.get()).finish_non_exhaustive()
    }
}
