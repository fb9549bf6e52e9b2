//! The event loop as its users see it.

use rustix::fd::OwnedFd;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, from_future};
use ropewalk_protocol::{
    Clock, DelayedCall, EventLoop, Spawn, Threads, Transport, defer_to_threads,
};

use crate::inner::{Entry, Inner, State, Trigger, Watched};
use crate::platform::Platform;
use crate::pool::ThreadPoolOptions;
use crate::sys::{Closing, Driver, HostDescriptor, Role, Signals};
use crate::under_way::Kind;
use crate::{DriverKind, ReactorError, ReactorHandle};

/// An event loop: a value, and a cheap handle to it.
///
/// Clones are the same reactor. It lives on one thread; [`handle`](Self::handle) gives something
/// that other threads can hold. There may be any number of reactors, in one thread or several.
///
/// A protocol may keep a clone. As everything that the reactor carries then keeps it alive in turn,
/// it is [`stop`](Self::stop) that takes it apart.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::call_later;
/// use ropewalk_reactor::Reactor;
///
/// let reactor = Reactor::new()?;
/// let stopper = reactor.clone();
/// call_later(&reactor, Duration::from_millis(5), move || stopper.stop());
/// reactor.run()?;
/// # Ok::<(), ropewalk_reactor::ReactorError>(())
/// ```
#[derive(Clone)]
pub struct Reactor(pub(crate) Rc<Inner>);

/// Why [`Reactor::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to by [`Reactor::stop`].
    Stopped,
    /// By the signal of this number.
    Signal(i32),
}

impl Reactor {
    /// A reactor on the driver that measures best.
    ///
    /// # Errors
    ///
    /// If the system does not give the descriptors that the loop needs.
    pub fn new() -> Result<Self, ReactorError> {
        Self::with_driver(DriverKind::default())
    }

    /// A reactor on a driver of one's own choice.
    ///
    /// Where [`DriverKind::IoUring`] is asked for and cannot be had, a warning is logged and the
    /// default takes its place: [`driver`](Self::driver) tells which one it is.
    ///
    /// # Errors
    ///
    /// If the system does not give the descriptors that the loop needs.
    pub fn with_driver(kind: DriverKind) -> Result<Self, ReactorError> {
        Ok(Self(Rc::new(Inner::new(kind)?)))
    }

    /// A reactor on something that is no system, such as a simulated network.
    ///
    /// It takes no signals, and [`driver`](Self::driver) names what is below.
    pub fn on_platform(driver: Box<dyn Driver>, platform: Rc<dyn Platform>) -> Self {
        Self(Rc::new(Inner::on_platform(driver, platform)))
    }

    pub(crate) fn of(inner: Rc<Inner>) -> Self {
        Self(inner)
    }

    pub(crate) fn inner(&self) -> &Rc<Inner> {
        &self.0
    }

    /// What a loop that hosts this one watches, told of everything.
    pub(crate) fn host_descriptor(&self) -> &HostDescriptor {
        self.0.expose();
        &self.0.poll_descriptor
    }

    /// The name of the driver below.
    pub fn driver(&self) -> &'static str {
        self.0.driver.try_borrow().map_or("busy", |driver| driver.name())
    }

    /// Runs until [`stop`](Self::stop), SIGINT or SIGTERM; a second signal does not wait for what is
    /// to happen before the stop.
    ///
    /// When it returns, every connection has been told of its end, every listener, call and task is
    /// gone, and the reactor can be used and run again.
    ///
    /// # Errors
    ///
    /// If it runs already, or the system refuses to wait for events.
    pub fn run(&self) -> Result<Exit, ReactorError> {
        self.run_with(true)
    }

    /// Runs as [`run`](Self::run) does, and leaves signals to others.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn run_without_signals(&self) -> Result<Exit, ReactorError> {
        self.run_with(false)
    }

    fn run_with(&self, signals: bool) -> Result<Exit, ReactorError> {
        if self.0.state.get() == State::Running || self.0.driver.try_borrow_mut().is_err() {
            return Err(ReactorError::AlreadyRunning);
        }
        if signals && self.0.carrier.platform().is_none() {
            self.watch_signals()?;
        }
        // A stop that was asked for before the loop runs holds.
        if self.0.state.get() == State::Idle {
            self.0.state.set(State::Running);
        }
        let mut now = None;
        let looped = loop {
            if self.0.state.get() == State::Stopped {
                break Ok(());
            }
            if let Err(error) = self.turn_within(None, now) {
                break Err(error);
            }
            now = self.0.carrier.last();
        };
        let signal = self.0.signal.take();
        self.unwatch_signals();
        let mut driver = self.0.driver.borrow_mut();
        self.0.end_everything(&mut **driver);
        driver.flush();
        drop(driver);
        self.0.before_stop.take();
        self.0.state.set(State::Idle);
        looped.map(|()| signal.map_or(Exit::Stopped, Exit::Signal))
    }

    /// Runs until `deferred` has its result, and leaves everything else as it is.
    ///
    /// # Errors
    ///
    /// The deferred's own failure, or the loop's.
    pub fn run_until<T: 'static>(&self, deferred: Deferred<T>) -> Result<T, Failure> {
        let mut waiting = deferred;
        loop {
            match waiting.try_take() {
                Ok(result) => {
                    self.0.flush();
                    return result;
                }
                Err(still) => waiting = still,
            }
            self.turn_within(None, None)?;
        }
    }

    /// Stops the loop: makes the calls that were registered with
    /// [`before_stop`](Self::before_stop), waits for them, then ends everything. Stopping a reactor
    /// that does not run makes its next run return at once.
    pub fn stop(&self) {
        match self.0.state.get() {
            State::Stopping | State::Stopped => return,
            State::Idle | State::Running => self.0.state.set(State::Stopping),
        }
        let triggers = self.0.before_stop.take();
        let waiting: Vec<Deferred<()>> = triggers.into_iter().map(pull).collect();
        let left = Rc::new(std::cell::Cell::new(waiting.len() + 1));
        let inner = Rc::downgrade(&self.0);
        let one_less = Rc::new(move || {
            left.set(left.get() - 1);
            if left.get() == 0
                && let Some(inner) = inner.upgrade()
            {
                inner.stopped();
            }
        });
        for deferred in waiting {
            let one_less = Rc::clone(&one_less);
            deferred.on_result(move |result| {
                if let Err(failure) = result {
                    tracing::error!(target: "ropewalk::reactor", "before the stop: {failure:?}");
                }
                one_less();
            });
        }
        one_less();
    }

    /// Stops the loop without waiting for anything.
    pub fn stop_now(&self) {
        self.0.stopped();
    }

    /// Whether a stop was asked for, and all is done that was to happen before it: the next
    /// [`run`](Self::run) ends everything and returns at once. For loops that host this one, which ask
    /// after each turn.
    pub fn is_stopped(&self) -> bool {
        self.0.state.get() == State::Stopped
    }

    /// Registers what is to happen before the loop stops; the stop waits for the deferred.
    pub fn before_stop(&self, trigger: impl FnOnce() -> Deferred<()> + 'static) {
        self.0.before_stop.borrow_mut().push(Box::new(trigger));
    }

    /// Whether [`run`](Self::run) is under way.
    pub fn is_running(&self) -> bool {
        matches!(self.0.state.get(), State::Running | State::Stopping)
    }

    /// Waits at most `timeout` for something to happen, does it, and returns: for loops that host
    /// this one.
    ///
    /// Such a host watches the reactor's descriptor (`as_fd`, on Unix) for input, keeps one timer, and calls
    /// this with no time-out whenever the descriptor is readable or the timer is due. After that it asks
    /// [`is_stopped`](Self::is_stopped) and, for its timer, [`next_deadline`](Self::next_deadline). The
    /// descriptor stays readable until there is nothing left to do; a host that is told of changes alone, as
    /// with edge-triggered `epoll`, turns until it is not. It also becomes readable when something is
    /// asked for between two turns, so that the host need not know of that. The room `foreign` has hosts.
    ///
    /// # Errors
    ///
    /// If a turn is under way already, or the system refuses. A host's own loop that runs inside a callback
    /// comes upon the first: it should not watch the descriptor meanwhile.
    pub fn turn(&self, timeout: Duration) -> Result<(), ReactorError> {
        let turned = self.turn_within(Some(timeout), None);
        self.0.flush();
        turned
    }

    /// How long from now a host may wait before it must call [`turn`](Self::turn), if nothing happens on
    /// the descriptor; `None` is for ever, and zero means that there is more to do than one turn may.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.0.patience(None)
    }

    /// Something that other threads can reach this reactor by.
    pub fn handle(&self) -> ReactorHandle {
        ReactorHandle::new(Arc::clone(&self.0.remote))
    }

    /// Gives the thread pool other bounds. Jobs that wait already stay, and threads that are too many
    /// go once they have done the job that they are at.
    pub fn set_thread_pool(&self, options: ThreadPoolOptions) {
        self.0.pool.borrow().set_options(options);
    }

    /// Does blocking `work` in the thread pool, in the `tracing` span and under the subscriber of this
    /// call; the deferred brings its result back here. A panic in it is a failure
    /// ([`Panicked`](ropewalk_deferred::Panicked)), and so is a pool that takes no more
    /// ([`PoolRefused`](crate::PoolRefused)).
    ///
    /// Threads come as jobs need them and go when there are none; [`set_thread_pool`](Self::set_thread_pool)
    /// has the bounds.
    #[track_caller]
    pub fn defer_to_thread<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Deferred<T>
    where
        T: Send + 'static,
        E: Into<Failure>,
    {
        defer_to_threads(self, work)
    }

    /// Runs `future` as a task on this thread; the deferred brings its result, and cancelling it
    /// drops the future.
    #[track_caller]
    pub fn spawn<T, E, F>(&self, future: F) -> Deferred<T>
    where
        T: 'static,
        E: Into<Failure> + 'static,
        F: Future<Output = Result<T, E>> + 'static,
    {
        let (deferred, driver) = from_future(future);
        let name = std::any::type_name::<F>();
        self.0.tasks.spawn(Box::pin(driver), name, Location::caller(), &self.0.remote);
        deferred
    }

    /// What the clock shows, read anew. [`Clock::now`] is coarser and costs nothing: during a turn it stands
    /// where the turn began. Both count from the reactor's making and never run backwards, whoever sets
    /// the time of day.
    pub fn precise_now(&self) -> Duration {
        self.0.carrier.read_clock()
    }

    /// How many operations the kernel holds for this reactor: with a driver that waits for readiness
    /// none, otherwise about one for each thing that is waited for.
    pub fn operations(&self) -> usize {
        self.0.driver.try_borrow().map_or(0, |driver| driver.operations())
    }

    /// What the reactor has under way.
    pub fn census(&self) -> Census {
        let entries = self.0.entries.borrow();
        let count = |wanted: fn(&Entry) -> bool| entries.iter().filter(|e| wanted(e.1)).count();
        let own = count(|entry| matches!(entry, Entry::Watch(_)));
        Census {
            connections: count(|entry| matches!(entry, Entry::Stream(_))),
            listeners: count(|entry| matches!(entry, Entry::Listener(_))),
            lingering: self.0.lingering.borrow().len(),
            ports: count(|entry| matches!(entry, Entry::Datagrams(_))),
            watches: count(|entry| matches!(entry, Entry::Foreign(_))),
            calls: self.0.calls.len(),
            tasks: self.0.tasks.len(),
            processes: self.0.processes.len(),
            threads: self.0.pool.borrow().threads(),
            timers: self.0.wheel.borrow().len(),
            descriptors: self.0.sockets.count().saturating_sub(own),
            outputs: self.0.driver.try_borrow().map_or(0, |driver| driver.outputs()),
        }
    }

    fn watch_signals(&self) -> Result<(), ReactorError> {
        let inner = &*self.0;
        let refused = |error| ReactorError::System { doing: "watching for signals", error };
        let (signals, descriptors) = Signals::register().map_err(refused)?;
        let mut driver = inner.driver.borrow_mut();
        let mut keys = Vec::new();
        let mut watch = |(signal, descriptor): (i32, OwnedFd)| {
            let watched = Entry::Watch(Watched::Signal(signal));
            let key = inner.entries.borrow_mut().insert(watched);
            keys.push(key);
            driver.open(key, descriptor.into(), Role::Watch)
        };
        let outcome = descriptors.into_iter().try_for_each(&mut watch);
        drop(driver);
        inner.signals.replace(Some((signals, keys)));
        outcome.map_err(|error| {
            self.unwatch_signals();
            refused(error)
        })
    }

    fn unwatch_signals(&self) {
        let Some((_signals, keys)) = self.0.signals.take() else { return };
        let mut driver = self.0.driver.borrow_mut();
        for key in keys {
            driver.close(key, Closing::InOrder);
            self.0.take_entry(key);
        }
    }
}

/// Counts of what a reactor has under way; see [`Reactor::census`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// Connections, those being made included.
    pub connections: usize,
    /// Connections that are over for their protocols, and whose descriptors wait for their peers: see
    /// [`Reactor::set_linger`].
    pub lingering: usize,
    /// Places where it listens.
    pub listeners: usize,
    /// Ports for datagrams.
    pub ports: usize,
    /// Descriptors of others that are watched.
    pub watches: usize,
    /// Calls to be made later.
    pub calls: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Processes that were started and are not over.
    pub processes: usize,
    /// Threads in the pool.
    pub threads: usize,
    /// Times that something waits for: calls, the calls of connections, attempts to connect.
    pub timers: usize,
    /// Descriptors of connections and listeners; not those that the loop itself needs.
    pub descriptors: usize,
    /// Connections with output that the kernel has not taken yet; none during a turn.
    pub outputs: usize,
}

impl Clock for Reactor {
    fn now(&self) -> Duration {
        self.0.carrier.now()
    }

    fn schedule_from(
        &self,
        made_at: &'static Location<'static>,
        delay: Duration,
        call: Box<dyn FnOnce()>,
    ) -> DelayedCall {
        self.0.calls.schedule(made_at, delay, call)
    }
}

impl Threads for Reactor {
    #[track_caller]
    fn submit(
        &self,
        work: Box<dyn FnOnce() + Send>,
        finished: Box<dyn FnOnce()>,
    ) -> Result<(), Failure> {
        let id = self.0.next_id();
        self.0.jobs.borrow_mut().insert(id, finished);
        self.0.origins.note(Kind::Job, id as usize);
        if let Some(platform) = self.0.carrier.platform() {
            let remote = Arc::clone(&self.0.remote);
            platform.submit(work, Box::new(move || remote.finished(id)));
            return Ok(());
        }
        self.0.pool.borrow_mut().submit(id, work).map_err(|refused| {
            let finished = self.0.jobs.borrow_mut().remove(&id);
            self.0.origins.forget(Kind::Job, id as usize);
            drop(finished);
            refused.into()
        })
    }
}

impl EventLoop for Reactor {
    fn run(&self) -> Result<(), Failure> {
        Self::run(self)?;
        Ok(())
    }

    fn stop(&self) {
        Self::stop(self);
    }

    fn is_stopping(&self) -> bool {
        matches!(self.0.state.get(), State::Stopping | State::Stopped)
    }
}

impl Spawn for Reactor {
    #[track_caller]
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()>>>) {
        self.0.tasks.spawn(future, "without a name", Location::caller(), &self.0.remote);
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("driver", &self.driver())
            .field("census", &self.census())
            .finish_non_exhaustive()
    }
}

/// Makes a call that may panic without taking the loop along; false if it did.
pub(crate) fn guard(what: &'static str, call: impl FnOnce()) -> bool {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    if let Err(payload) = &outcome {
        let panicked = ropewalk_deferred::Panicked::from_payload(&**payload);
        tracing::error!(target: "ropewalk::reactor", "{what} {panicked}");
    }
    outcome.is_ok()
}

/// Calls what is to happen before a stop; one that panics is not waited for.
fn pull(trigger: Trigger) -> Deferred<()> {
    let mut waiting = Deferred::succeed(());
    guard("what was to happen before the stop", || waiting = trigger());
    waiting
}
