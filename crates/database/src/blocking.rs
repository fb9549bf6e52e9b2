//! Pools over drivers that block.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ropewalk_deferred::{Deferred, Failure, Panicked, deferred};
use ropewalk_protocol::{Clock, Threads, defer_to_threads};

use crate::slots::{Held, Lease, Slots, count};
use crate::{PoolMetrics, PoolOptions};

/// A database whose connections block: everything here is called in threads.
pub trait Driver: Send + Sync + 'static {
    /// A connection, which goes from thread to thread and is in one at a time.
    type Connection: Send + 'static;

    /// Opens a connection. Whoever uses it may be [stopped](Stop) from elsewhere.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened or reached.
    fn connect(&self, stop: &Arc<Stop>) -> Result<Self::Connection, Failure>;

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// If there can be none now.
    fn begin(&self, connection: &mut Self::Connection) -> Result<(), Failure>;

    /// Makes what the transaction did last.
    ///
    /// # Errors
    ///
    /// If it cannot: it is rolled back then.
    fn commit(&self, connection: &mut Self::Connection) -> Result<(), Failure>;

    /// Undoes what the transaction did, if there is one.
    ///
    /// # Errors
    ///
    /// If even that cannot be done: the connection is let go then.
    fn rollback(&self, connection: &mut Self::Connection) -> Result<(), Failure>;

    /// Whether the next one can use the connection: it works, and is in no transaction.
    fn is_usable(&self, connection: &mut Self::Connection) -> bool;

    /// How many connections there can be at most, if the database itself has a bound.
    fn connections_max(&self) -> Option<usize> {
        None
    }
}

/// Tells a connection that what it does is not wanted any more.
#[derive(Default)]
pub struct Stop {
    is_wanted: AtomicBool,
    how: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Stop {
    /// Whether the work is to end: for drivers that can ask now and then.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    /// Has `how` called, on the loop's thread, when the work is to end; it must not block. The first one
    /// counts.
    pub fn when_wanted(&self, how: impl Fn() + Send + Sync + 'static) {
        let _ = self.how.set(Box::new(how));
    }

    fn reset(&self) {
        self.is_wanted.store(false, Ordering::Release);
    }

    fn stop(&self) {
        self.is_wanted.store(true, Ordering::Release);
        if let Some(how) = self.how.get() {
            how();
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("is_wanted", &self.is_wanted()).finish_non_exhaustive()
    }
}

/// A connection and how it is stopped.
struct Wired<C> {
    connection: C,
    stop: Arc<Stop>,
}

/// Connections to one database, each used by one call at a time, in threads.
///
/// A call takes a connection that is free, opens one where there may be more, or waits for its turn. Clones
/// are the same pool. When the last one is gone, and the last call over, the connections are closed.
///
/// | what comes of a call | its connection |
/// |---|---|
/// | it succeeds or fails | goes back, unless it is broken: then the next call opens another |
/// | it panics | the same, once rolled back; the deferred fails with [`Panicked`] |
/// | it is cancelled while it waits | was never taken |
/// | it is cancelled in a thread | is told to [stop](Stop), and goes back once it has |
pub struct Pool<D: Driver> {
    inner: Rc<Inner<D>>,
}

impl<D: Driver> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

struct Inner<D: Driver> {
    driver: Arc<D>,
    threads: Rc<dyn Threads>,
    slots: Slots<Wired<D::Connection>>,
}

/// What came of the work in a thread.
struct Done<C, T> {
    /// The connection, if it can be used again, and whether it was opened for this.
    connection: Option<Wired<C>>,
    opening: Opening,
    result: Result<T, Failure>,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    NotNeeded,
    Opened,
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    NoTransaction,
    Committed,
    RolledBack,
}

impl<D: Driver> Pool<D> {
    /// A pool whose work is done in the threads of `host`, by its clock: a reactor.
    pub fn new<H: Clock + Threads + Clone + 'static>(
        host: &H,
        driver: D,
        mut options: PoolOptions,
    ) -> Self {
        if let Some(max) = driver.connections_max() {
            options.connections_max = options.connections_max.min(max);
            options.connections_kept = max;
            options.age_max = std::time::Duration::MAX;
        }
        let threads: Rc<dyn Threads> = Rc::new(host.clone());
        let closers = Rc::clone(&threads);
        // Closing may write and wait as anything else does.
        let discard = move |wired: Wired<D::Connection>| {
            let closing = closers.submit(Box::new(move || drop(wired)), Box::new(|| ()));
            if let Err(refused) = closing {
                tracing::warn!(target: "ropewalk::database", "closed on the loop's thread: {refused}");
            }
        };
        let slots = Slots::new(options, Rc::new(host.clone()), |_| true, discard);
        Self { inner: Rc::new(Inner { driver: Arc::new(driver), threads, slots }) }
    }

    /// Does `work` with a connection, in a thread, outside of any transaction: a transaction that it leaves
    /// open is rolled back.
    ///
    /// The deferred fails with what the work fails with, with [`Panicked`] if it panics, with a
    /// [`PoolError`](crate::PoolError) if it gets no connection, and with the driver's own error if none can
    /// be opened. Cancelling it stops the work, where the driver can do that.
    #[track_caller]
    pub fn run_with_connection<T, E>(
        &self,
        work: impl FnOnce(&mut D::Connection) -> Result<T, E> + Send + 'static,
    ) -> Deferred<T>
    where
        T: Send + 'static,
        E: Into<Failure>,
    {
        self.run(false, work)
    }

    /// Does `work` as one transaction, in a thread: committed if it succeeds, rolled back if it fails,
    /// panics, or was cancelled before the commit.
    ///
    /// The deferred fails as that of [`run_with_connection`](Self::run_with_connection).
    #[track_caller]
    pub fn run_interaction<T, E>(
        &self,
        work: impl FnOnce(&mut D::Connection) -> Result<T, E> + Send + 'static,
    ) -> Deferred<T>
    where
        T: Send + 'static,
        E: Into<Failure>,
    {
        self.run(true, work)
    }

    #[track_caller]
    fn run<T, E>(
        &self,
        is_transaction: bool,
        work: impl FnOnce(&mut D::Connection) -> Result<T, E> + Send + 'static,
    ) -> Deferred<T>
    where
        T: Send + 'static,
        E: Into<Failure>,
    {
        match self.inner.slots.try_acquire() {
            Ok(Some(lease)) => Inner::start(&self.inner, lease, is_transaction, work),
            Err(error) => Deferred::fail(error),
            Ok(None) => {
                let inner = Rc::clone(&self.inner);
                let acquired = self.inner.slots.acquire();
                acquired
                    .add_callback(move |lease| Inner::start(&inner, lease, is_transaction, work))
            }
        }
    }

    /// Takes no more calls, fails those that wait, and closes each connection once its call is over; then
    /// the deferred tells so.
    #[track_caller]
    pub fn close(&self) -> Deferred<()> {
        self.inner.slots.close()
    }

    /// What has been done so far.
    pub fn metrics(&self) -> PoolMetrics {
        self.inner.slots.metrics()
    }
}

impl<D: Driver> Inner<D> {
    fn start<T, E>(
        this: &Rc<Self>,
        mut lease: Lease<Wired<D::Connection>>,
        is_transaction: bool,
        work: impl FnOnce(&mut D::Connection) -> Result<T, E> + Send + 'static,
    ) -> Deferred<T>
    where
        T: Send + 'static,
        E: Into<Failure>,
    {
        let (held, opened) = match lease.take() {
            Some(Held { connection, opened }) => (Some(connection), opened),
            None => (None, this.slots.now()),
        };
        let stop = held.as_ref().map_or_else(Arc::default, |wired| Arc::clone(&wired.stop));
        stop.reset();
        let (promise, answer) = deferred();
        let (stopper, inner) = (Arc::clone(&stop), Rc::clone(this));
        promise.on_cancel(move || {
            count(&inner.slots.counts().cancelled);
            stopper.stop();
        });
        let driver = Arc::clone(&this.driver);
        let job = move || Ok::<_, Failure>(driver.perform(held, stop, is_transaction, work));
        let inner = Rc::clone(this);
        defer_to_threads(&*this.threads, job).on_result(move |done| match done {
            Ok(done) => {
                inner.note(&done);
                if let Some(connection) = done.connection {
                    lease.put_back(Held { connection, opened });
                }
                promise.fire(done.result);
            }
            Err(refused) => {
                count(&inner.slots.counts().failed);
                promise.fail(refused);
            }
        });
        answer
    }

    fn note<T>(&self, done: &Done<D::Connection, T>) {
        let counts = self.slots.counts();
        match done.opening {
            Opening::NotNeeded => (),
            Opening::Opened => count(&counts.opened),
            Opening::Failed => count(&counts.open_failures),
        }
        match done.ending {
            Ending::NoTransaction => (),
            Ending::Committed => count(&counts.committed),
            Ending::RolledBack => count(&counts.rolled_back),
        }
        if done.result.is_err() {
            count(&counts.failed);
        }
    }
}

/// What is done in a thread.
trait Perform: Driver {
    fn perform<T, E: Into<Failure>>(
        &self,
        held: Option<Wired<Self::Connection>>,
        stop: Arc<Stop>,
        is_transaction: bool,
        work: impl FnOnce(&mut Self::Connection) -> Result<T, E>,
    ) -> Done<Self::Connection, T> {
        let (mut wired, opening) = match held {
            Some(wired) => (wired, Opening::NotNeeded),
            None => match guarded(|| self.connect(&stop)) {
                Ok(connection) => (Wired { connection, stop }, Opening::Opened),
                Err(failure) => {
                    let (result, ending) = (Err(failure), Ending::NoTransaction);
                    return Done { connection: None, opening: Opening::Failed, result, ending };
                }
            },
        };
        let (result, ending) = self.within(&mut wired, is_transaction, work);
        let connection = self.is_usable(&mut wired.connection).then_some(wired);
        Done { connection, opening, result, ending }
    }

    fn within<T, E: Into<Failure>>(
        &self,
        wired: &mut Wired<Self::Connection>,
        is_transaction: bool,
        work: impl FnOnce(&mut Self::Connection) -> Result<T, E>,
    ) -> (Result<T, Failure>, Ending) {
        let Wired { connection, stop } = wired;
        if stop.is_wanted() {
            return (Err(Failure::new(ropewalk_deferred::Cancelled)), Ending::NoTransaction);
        }
        if !is_transaction {
            let result = guarded(|| work(connection));
            // A transaction of its own making that was left open is nobody's.
            if !self.is_usable(connection) {
                self.undo(connection);
            }
            return (result, Ending::NoTransaction);
        }
        if let Err(failure) = self.begin(connection) {
            return (Err(failure), Ending::NoTransaction);
        }
        let result = guarded(|| work(connection)).and_then(|value| {
            if stop.is_wanted() {
                return Err(Failure::new(ropewalk_deferred::Cancelled));
            }
            self.commit(connection).map(|()| value)
        });
        if result.is_ok() {
            return (result, Ending::Committed);
        }
        self.undo(connection);
        (result, Ending::RolledBack)
    }

    fn undo(&self, connection: &mut Self::Connection) {
        if let Err(failure) = self.rollback(connection) {
            tracing::warn!(target: "ropewalk::database", "cannot roll back: {failure:?}");
        }
    }
}

impl<D: Driver> Perform for D {}

/// Panics are failures: the connection survives them.
fn guarded<T, E: Into<Failure>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Into::into),
        Err(payload) => Err(Failure::new(Panicked::from_payload(&*payload))),
    }
}

impl<D: Driver> fmt::Debug for Pool<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}
