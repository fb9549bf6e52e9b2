//! Programs that are kept running.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::process::{
    Command, LogLines, Process, ProcessEnd, ProcessProtocol, STDOUT, Signal, Spawner, seat_process,
};
use ropewalk_protocol::{Clock, DelayedCall, call_later};

use crate::{Backoff, Service};

/// How a process is looked after.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Supervision {
    /// How long to wait before one that ended is started again.
    pub backoff: Backoff,
    /// How long it has to run for its next end to be taken for the first; 1 s unless set.
    pub healthy_after: Duration,
    /// How long it may take to stop once it is asked to; 5 s unless set. Then it is killed.
    pub grace: Duration,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            healthy_after: Duration::from_secs(1),
            grace: Duration::from_secs(5),
        }
    }
}

impl Supervision {
    /// The same with these waits.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// The same with another time to be healthy after.
    pub fn healthy_after(self, healthy_after: Duration) -> Self {
        Self { healthy_after, ..self }
    }

    /// The same with another time to stop.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }
}

/// A program that is started, started again whenever it ends, and stopped with everything else.
///
/// What it writes to its standard output and error is logged, line by line, under its name. A start fails
/// if it cannot be started at all; later it is tried again.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::process::{Command, ExitStatus};
/// use ropewalk_service::{ProcessService, Service};
/// use ropewalk_trial::{Clock, FakeProcesses};
///
/// let clock = Clock::new();
/// let programs = FakeProcesses::new(&clock);
/// let command = Command::new("worker");
/// let worker = ProcessService::new("worker", programs.clone(), clock.clone(), command);
/// let started = worker.start();
/// clock.advance(Duration::ZERO);
/// started.now_or_never().unwrap()?;
/// programs.take_next().unwrap().exit(ExitStatus::Exited(1));
/// clock.advance(Duration::from_secs(1));
/// assert!(programs.take_next().is_some(), "it is there again");
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
pub struct ProcessService(Rc<Inner>);

struct Inner {
    name: String,
    spawner: Box<dyn Spawner>,
    clock: Box<dyn Clock>,
    command: Command,
    supervision: RefCell<Supervision>,
    state: RefCell<Phase>,
    /// Tells one process from those before it.
    life: Cell<u64>,
    failures: Cell<u32>,
    restarts: Cell<u64>,
}

enum Phase {
    Stopped,
    /// It was asked for and does not run yet; who waits for it.
    Starting(Option<Promise<()>>),
    Running(Process<Child>),
    Waiting(DelayedCall),
    /// It is asked to stop; who waits for its end.
    Stopping(Vec<Promise<()>>),
}

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessState {
    /// It is not to run.
    Stopped,
    /// It is being started.
    Starting,
    /// It runs, under this number.
    Running(u32),
    /// It ended, and is started again after a while.
    Waiting,
    /// It is asked to stop.
    Stopping,
}

impl ProcessService {
    /// Keeps `command` running; `name` is what its output is logged under.
    pub fn new(
        name: impl Into<String>,
        spawner: impl Spawner + 'static,
        clock: impl Clock + 'static,
        command: Command,
    ) -> Self {
        Self(Rc::new(Inner {
            name: name.into(),
            spawner: Box::new(spawner),
            clock: Box::new(clock),
            command,
            supervision: RefCell::default(),
            state: RefCell::new(Phase::Stopped),
            life: Cell::new(0),
            failures: Cell::new(0),
            restarts: Cell::new(0),
        }))
    }

    /// Looks after it so.
    pub fn supervision(self, supervision: Supervision) -> Self {
        self.0.supervision.replace(supervision);
        self
    }

    /// How far it is.
    pub fn state(&self) -> ProcessState {
        match &*self.0.state.borrow() {
            Phase::Stopped => ProcessState::Stopped,
            Phase::Starting(_) => ProcessState::Starting,
            Phase::Running(process) => {
                process.id().map_or(ProcessState::Starting, ProcessState::Running)
            }
            Phase::Waiting(_) => ProcessState::Waiting,
            Phase::Stopping(_) => ProcessState::Stopping,
        }
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u64 {
        self.0.restarts.get()
    }
}

impl Service for ProcessService {
    fn start(&self) -> Deferred<()> {
        match self.state() {
            ProcessState::Stopped => (),
            ProcessState::Stopping => return Deferred::fail(StillStopping),
            _ => return Deferred::succeed(()),
        }
        self.0.failures.set(0);
        let (promise, started) = deferred();
        self.0.spawn(Some(promise));
        started
    }

    fn stop(&self) -> Deferred<()> {
        let inner = &self.0;
        let (promise, stopped) = deferred();
        match inner.state.replace(Phase::Stopped) {
            Phase::Stopped => promise.succeed(()),
            Phase::Waiting(again) => {
                again.cancel();
                promise.succeed(());
            }
            Phase::Starting(_) => {
                inner.state.replace(Phase::Stopping(vec![promise]));
            }
            Phase::Running(process) => {
                inner.state.replace(Phase::Stopping(vec![promise]));
                inner.ask_to_stop(&process);
            }
            Phase::Stopping(mut promises) => {
                promises.push(promise);
                inner.state.replace(Phase::Stopping(promises));
            }
        }
        stopped
    }
}

/// A process is asked to start while it is still being stopped.
#[derive(Debug)]
struct StillStopping;

impl fmt::Display for StillStopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process is still being stopped")
    }
}

impl std::error::Error for StillStopping {}

impl Inner {
    fn spawn(self: &Rc<Self>, promise: Option<Promise<()>>) {
        self.life.set(self.life.get() + 1);
        self.state.replace(Phase::Starting(promise));
        let child = Child {
            service: Rc::downgrade(self),
            life: self.life.get(),
            started: self.clock.now(),
            out: LogLines::default(),
            err: LogLines::default(),
        };
        self.spawner.spawn_seat(&self.command, seat_process(child));
    }

    fn started(&self, process: &Process<Child>) {
        match self.state.replace(Phase::Running(process.clone())) {
            Phase::Starting(promise) => {
                if let Some(promise) = promise {
                    promise.succeed(());
                }
            }
            stopping => {
                // It was asked to stop before it ran.
                self.state.replace(stopping);
                self.ask_to_stop(process);
            }
        }
    }

    fn ask_to_stop(&self, process: &Process<Child>) {
        // Who has exited meanwhile needs no signal.
        let _ = process.signal(Signal::Terminate);
        let (name, grace) = (self.name.clone(), self.supervision.borrow().grace);
        process.call_later(grace, move |_, process| {
            if process.kill().is_ok() {
                tracing::error!(
                    target: "ropewalk::service",
                    name, "a process is killed: it did not stop in time",
                );
            }
        });
    }

    fn ended(self: &Rc<Self>, end: &ProcessEnd, lived: Duration) {
        let name = self.name.as_str();
        match self.state.replace(Phase::Stopped) {
            Phase::Stopping(promises) => {
                for promise in promises {
                    promise.succeed(());
                }
                return;
            }
            Phase::Starting(Some(promise)) => return promise.fail(end.clone()),
            _ => (),
        }
        let supervision = self.supervision.borrow();
        if lived >= supervision.healthy_after {
            self.failures.set(0);
        }
        let failures = self.failures.get();
        self.failures.set(failures.saturating_add(1));
        let wait = supervision.backoff.wait(failures);
        tracing::error!(
            target: "ropewalk::service",
            name, ?wait, "a process ended and is started again after a while: {end}",
        );
        let service = Rc::downgrade(self);
        let again = call_later(&*self.clock, wait, move || {
            if let Some(service) = service.upgrade() {
                service.restarts.set(service.restarts.get() + 1);
                service.spawn(None);
            }
        });
        self.state.replace(Phase::Waiting(again));
    }
}

/// One process, as its supervisor sees it.
struct Child {
    service: Weak<Inner>,
    life: u64,
    started: Duration,
    out: LogLines,
    err: LogLines,
}

impl Child {
    fn service(&self) -> Option<Rc<Inner>> {
        self.service.upgrade().filter(|service| service.life.get() == self.life)
    }
}

impl ProcessProtocol for Child {
    fn started(&mut self, process: &Process<Self>) {
        match self.service() {
            Some(service) => {
                self.started = service.clock.now();
                service.started(process);
            }
            // Nobody looks after it any more.
            None => process.abort(),
        }
    }

    fn output_received(&mut self, process: &Process<Self>, descriptor: u32, data: &[u8]) {
        let Some(service) = self.service() else { return };
        let (name, id) = (service.name.as_str(), process.id());
        if descriptor == STDOUT {
            self.out.feed(data, |line| {
                tracing::info!(target: "ropewalk::service", name, process = id, "{line}");
            });
        } else {
            self.err.feed(data, |line| {
                tracing::warn!(target: "ropewalk::service", name, process = id, "{line}");
            });
        }
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        let Some(service) = self.service() else { return };
        let name = service.name.as_str();
        self.out.flush(|line| tracing::info!(target: "ropewalk::service", name, "{line}"));
        self.err.flush(|line| tracing::warn!(target: "ropewalk::service", name, "{line}"));
        service.ended(end, service.clock.now().saturating_sub(self.started));
    }
}

impl fmt::Debug for ProcessService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessService")
            .field("name", &self.0.name)
            .field("state", &self.state())
            .field("restarts", &self.restarts())
            .finish_non_exhaustive()
    }
}
