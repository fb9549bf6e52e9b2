//! A thread with tokio's runtime, for what cannot live elsewhere.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{Builder, JoinHandle};

use ropewalk_deferred::{Deferred, Failure, Panicked};
use ropewalk_reactor::Reactor;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tracing::dispatcher::{self, Dispatch};

/// Bounds of an [`Island`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IslandOptions {
    jobs_max: usize,
}

impl Default for IslandOptions {
    fn default() -> Self {
        Self { jobs_max: 1024 }
    }
}

impl IslandOptions {
    /// How many jobs there may be at a time, under way or waiting for their first poll; 1,024 unless set.
    #[must_use]
    pub fn jobs_max(mut self, jobs_max: usize) -> Self {
        self.jobs_max = jobs_max.min(Semaphore::MAX_PERMITS);
        self
    }
}

/// A thread that runs a current-thread runtime of tokio's, for crates that spawn tasks, use timers or open
/// sockets by it.
///
/// Futures are sent there and their results come home as deferreds. Cancelling a deferred drops its future
/// there; a future that panics, and an island that is no more, fail the deferred. The island ends with
/// the reactor's run, or when its last handle is dropped, which waits for the thread: a future that blocks
/// its thread holds that up, as a job of the thread pool does. Tasks that a job has spawned by itself
/// end there and then.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_foreign::{Island, IslandOptions};
/// use ropewalk_reactor::Reactor;
///
/// let reactor = Reactor::new()?;
/// let island = Island::new(&reactor, IslandOptions::default())?;
/// let slept = island.spawn(|| async {
///     tokio::time::sleep(Duration::from_millis(5)).await;
///     Ok::<_, std::io::Error>("rested")
/// });
/// assert_eq!(reactor.run_until(slept)?, "rested");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Island(Rc<Shore>);

/// This side of the water.
struct Shore {
    reactor: Reactor,
    /// Absent once the island has ended.
    sender: RefCell<Option<UnboundedSender<Job>>>,
    thread: RefCell<Option<JoinHandle<()>>>,
    places: Arc<Semaphore>,
    jobs_max: usize,
    /// Dropped with this, it ends the task that waits for the reactor's end.
    _keeper: oneshot::Sender<()>,
}

/// What crosses over: it starts a future.
type Job = Box<dyn FnOnce() + Send>;

/// Ends the island with the reactor, which drops its tasks then.
struct Ending(Weak<Shore>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(shore) = self.0.upgrade() {
            shore.sender.take();
        }
    }
}

impl Island {
    /// Starts the thread, for the use of `reactor`.
    ///
    /// # Errors
    ///
    /// If the system does not give a thread, or what a runtime needs.
    pub fn new(reactor: &Reactor, options: IslandOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, jobs) = unbounded_channel();
        let live = move || live(runtime, jobs);
        let thread = Builder::new().name("ropewalk-island".to_owned()).spawn(live)?;
        let (keeper, kept) = oneshot::channel();
        let shore = Rc::new(Shore {
            reactor: reactor.clone(),
            sender: RefCell::new(Some(sender)),
            thread: RefCell::new(Some(thread)),
            places: Arc::new(Semaphore::new(options.jobs_max)),
            jobs_max: options.jobs_max,
            _keeper: keeper,
        });
        let ending = Ending(Rc::downgrade(&shore));
        let keeping = reactor.spawn(async move {
            let _ending = ending;
            // It ends without a word, with the shore.
            let _ = kept.await;
            Ok::<(), Failure>(())
        });
        keeping.on_result(|_| ());
        Ok(Self(shore))
    }

    /// Has `make` called on the island, and polls there the future that it makes, which need not be
    /// `Send`. It is polled in the `tracing` span and under the subscriber of this call.
    ///
    /// The deferred fails with [`IslandRefused`] when there are too many jobs or the island has ended, with
    /// [`IslandGone`] when it ends meanwhile, and with [`Panicked`] when the future panics.
    #[track_caller]
    pub fn spawn<T, E, F>(&self, make: impl FnOnce() -> F + Send + 'static) -> Deferred<T>
    where
        T: Send + 'static,
        E: Into<Failure> + 'static,
        F: Future<Output = Result<T, E>> + 'static,
    {
        let shore = &*self.0;
        let Some(sender) = shore.sender.borrow().clone() else {
            return Deferred::fail(IslandRefused::Ended);
        };
        let Ok(place) = Arc::clone(&shore.places).try_acquire_owned() else {
            return Deferred::fail(IslandRefused::Full { jobs_max: shore.jobs_max });
        };
        let (tell, told) = oneshot::channel();
        let surroundings = Surroundings::current();
        let job = Box::new(move || drop(spawn_local(work(make, tell, place, surroundings))));
        if sender.send(job).is_err() {
            return Deferred::fail(IslandRefused::Ended);
        }
        shore.reactor.spawn(async move {
            match told.await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::new(IslandGone)),
            }
        })
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> usize {
        self.0.jobs_max - self.0.places.available_permits()
    }
}

impl fmt::Debug for Island {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Island").field("jobs", &self.jobs()).finish_non_exhaustive()
    }
}

impl Drop for Shore {
    fn drop(&mut self) {
        self.sender.take();
        if let Some(thread) = self.thread.take() {
            // What could panic in it is caught job by job; a job's own tasks are tokio's to catch.
            let _ = thread.join();
        }
    }
}

/// The thread's life.
fn live(runtime: Runtime, mut jobs: UnboundedReceiver<Job>) {
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        while let Some(job) = jobs.recv().await {
            job();
        }
    }));
    // Futures let go of sockets and timers while there is a runtime to let go of them in.
    let inside = runtime.enter();
    drop(local);
    drop(inside);
    // Threads that tokio has for blocking work may be at it for long, and nobody waits for their result.
    runtime.shutdown_background();
}

/// One job: goes on until it has its result, or nobody wants it.
async fn work<T, E, F>(
    make: impl FnOnce() -> F,
    mut tell: oneshot::Sender<Result<T, Failure>>,
    place: OwnedSemaphorePermit,
    surroundings: Surroundings,
) where
    E: Into<Failure>,
    F: Future<Output = Result<T, E>>,
{
    let made = surroundings.catch(make).map(Box::pin);
    let outcome = match made {
        Err(panicked) => Some(Err(panicked)),
        Ok(mut future) => {
            poll_fn(|cx| {
                if tell.poll_closed(cx).is_ready() {
                    return Poll::Ready(None);
                }
                poll(future.as_mut(), cx, &surroundings).map(Some)
            })
            .await
        }
    };
    drop(place);
    if let Some(outcome) = outcome {
        // Nobody wants it any more.
        let _ = tell.send(outcome);
    }
}

fn poll<T, E, F>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
    surroundings: &Surroundings,
) -> Poll<Result<T, Failure>>
where
    E: Into<Failure>,
    F: Future<Output = Result<T, E>>,
{
    match surroundings.catch(|| future.poll(cx)) {
        Ok(polled) => polled.map_err(Into::into),
        Err(panicked) => Poll::Ready(Err(panicked)),
    }
}

/// What goes along: who is told of what is logged, and in which span.
struct Surroundings {
    subscriber: Dispatch,
    span: tracing::Span,
}

impl Surroundings {
    fn current() -> Self {
        Self {
            subscriber: dispatcher::get_default(Dispatch::clone),
            span: tracing::Span::current(),
        }
    }

    /// Makes the call in them; a panic is a failure.
    fn catch<T>(&self, call: impl FnOnce() -> T) -> Result<T, Failure> {
        let inside = || dispatcher::with_default(&self.subscriber, || self.span.in_scope(call));
        catch_unwind(AssertUnwindSafe(inside))
            .map_err(|payload| Failure::new(Panicked::from_payload(&*payload)))
    }
}

/// Why an [`Island`] does not take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IslandRefused {
    /// It has as many as it may.
    Full {
        /// How many that are.
        jobs_max: usize,
    },
    /// Its reactor's run has ended, and it with it.
    Ended,
}

impl fmt::Display for IslandRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { jobs_max } => write!(f, "the island has {jobs_max} jobs already"),
            Self::Ended => f.write_str("the island has ended"),
        }
    }
}

impl Error for IslandRefused {}

/// An [`Island`] ended before a job had its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IslandGone;

impl fmt::Display for IslandGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the island ended before the job had its result")
    }
}

impl Error for IslandGone {}
