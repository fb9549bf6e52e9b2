//! A program that runs several times on the same sockets.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, Rest, deferred, gather};
use ropewalk_protocol::process::{
    ChildDescriptor, Command, Process, ProcessEnd, ProcessProtocol, Signal, Spawner, seat_process,
};
use ropewalk_protocol::{Clock, DelayedCall};

use crate::Listeners;
use crate::worker::{LIFELINE, READY, SOCKETS, VARIABLE};

/// How workers are looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// How long one that died is waited for before it is started again; doubled each time. 100 ms unless
    /// set.
    pub wait_first: Duration,
    /// How long that becomes at most; 30 s unless set.
    pub wait_max: Duration,
    /// How long one has to live for its next death to be taken for the first; 10 s unless set.
    pub healthy_after: Duration,
    /// How long one may take until it is ready; 30 s unless set. Then it is killed.
    pub ready_within: Duration,
    /// How long one that is asked to stop may take; 30 s unless set. Then it is killed.
    pub grace: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            wait_first: Duration::from_millis(100),
            wait_max: Duration::from_secs(30),
            healthy_after: Duration::from_secs(10),
            ready_within: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }
}

/// Processes of one program that share their listening sockets.
///
/// The parent binds and keeps the sockets, so none is closed while a worker dies and comes back: connections wait.
/// What dies is started again, later each time. Clones are the same workers.
#[derive(Clone)]
pub struct Workers(Rc<Shared>);

struct Shared {
    spawner: Box<dyn Spawner>,
    clock: Box<dyn Clock>,
    command: RefCell<Command>,
    listeners: Listeners,
    options: WorkerOptions,
    places: Vec<Place>,
    is_stopping: Cell<bool>,
}

/// One of so many workers, whichever process it is.
#[derive(Default)]
struct Place {
    /// Who serves, or is on its way to.
    current: RefCell<Option<Rc<Life>>>,
    deaths: Cell<u32>,
    again: RefCell<Option<DelayedCall>>,
    restarts: Cell<u64>,
    is_ready: Cell<bool>,
}

/// One process from its start to its end.
#[derive(Default)]
struct Life {
    /// Once it runs.
    process: RefCell<Option<Process<Child>>>,
    /// It is to stop.
    is_stopping: Cell<bool>,
    is_over: Cell<bool>,
    /// Who waits for its end.
    ended: RefCell<Vec<Promise<()>>>,
}

/// What is known of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerState {
    /// The number of its process, if it runs.
    pub process: Option<u32>,
    /// Whether it has said that it is ready.
    pub is_ready: bool,
    /// How often it died and was started again.
    pub restarts: u64,
}

/// A worker that was to take another's place did not become ready; the other goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// Its number.
    pub worker: usize,
    /// How it ended; nothing if it was too slow.
    pub end: Option<ProcessEnd>,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} did not become ready", self.worker)?;
        match &self.end {
            Some(end) => write!(f, ": {end}"),
            None => f.write_str(" in time"),
        }
    }
}

impl Error for NotReady {}

impl Workers {
    /// Starts so many processes of `command`, at least one, with these sockets. A process finds them by
    /// [`Worker::from_environment`](crate::Worker::from_environment); its descriptors 0 to 2 are what `command` says.
    pub fn start(
        spawner: impl Spawner + 'static,
        clock: impl Clock + 'static,
        command: Command,
        listeners: Listeners,
        count: usize,
        options: WorkerOptions,
    ) -> Self {
        let workers = Self(Rc::new(Shared {
            spawner: Box::new(spawner),
            clock: Box::new(clock),
            command: RefCell::new(command),
            listeners,
            options,
            places: (0..count.max(1)).map(|_| Place::default()).collect(),
            is_stopping: Cell::new(false),
        }));
        for index in 0..workers.0.places.len() {
            workers.0.fill(index);
        }
        workers
    }

    /// What is known of each.
    pub fn states(&self) -> Vec<WorkerState> {
        self.0.places.iter().map(Place::state).collect()
    }

    /// Starts a new process in the place of each, one after the other: the old one is asked to stop once
    /// the new one is ready, so there is always somebody who accepts. `command` is what runs from now on.
    ///
    /// # Errors
    ///
    /// The deferred fails with [`NotReady`] if a new one dies or takes too long: the old one goes on, and
    /// so do those after it.
    pub fn reload(&self, command: Command) -> Deferred<()> {
        let before = self.0.command.replace(command);
        let (promise, reloaded) = deferred();
        self.0.replace(0, before, promise);
        reloaded
    }

    /// Asks all to stop (SIGTERM), kills who takes longer than the grace, and starts none again. The
    /// deferred tells when all have ended.
    pub fn stop(&self) -> Deferred<()> {
        self.0.is_stopping.set(true);
        let stopped = self.0.places.iter().map(|place| {
            if let Some(again) = place.again.take() {
                again.cancel();
            }
            place.is_ready.set(false);
            place.current.take().map_or_else(|| Deferred::succeed(()), |life| self.0.end(&life))
        });
        gather(stopped.collect::<Vec<_>>(), Rest::Leave).map(drop)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("states", &self.states()).finish_non_exhaustive()
    }
}

impl Place {
    fn state(&self) -> WorkerState {
        let current = self.current.borrow();
        WorkerState {
            process: current.as_ref().and_then(|life| life.process.borrow().as_ref()?.id()),
            is_ready: self.is_ready.get(),
            restarts: self.restarts.get(),
        }
    }
}

type Told = Box<dyn FnOnce(Result<(), Option<ProcessEnd>>)>;

/// One process, as its parent sees it.
struct Child {
    workers: Weak<Shared>,
    index: usize,
    started: Duration,
    life: Rc<Life>,
    /// Who waits for it to be ready.
    told: Option<Told>,
}

impl Child {
    fn settle(&mut self, outcome: Result<(), Option<ProcessEnd>>) {
        if let Some(told) = self.told.take() {
            told(outcome);
        }
    }
}

impl ProcessProtocol for Child {
    fn started(&mut self, process: &Process<Self>) {
        let Some(workers) = self.workers.upgrade() else { return process.abort() };
        self.started = workers.clock.now();
        self.life.process.replace(Some(process.clone()));
        if self.life.is_stopping.get() {
            workers.ask_to_stop(process);
        }
        process.call_later(workers.options.ready_within, |this, process| {
            if this.told.is_some() {
                let index = this.index;
                tracing::error!(
                    target: "ropewalk::shards",
                    worker = index, "a worker is killed: it was not ready in time",
                );
                this.settle(Err(None));
                // It has not exited: this is called only while it lives.
                let _ = process.kill();
            }
        });
    }

    fn output_received(&mut self, _: &Process<Self>, descriptor: u32, _: &[u8]) {
        if descriptor == READY {
            self.settle(Ok(()));
        }
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        self.settle(Err(Some(end.clone())));
        if let Some(workers) = self.workers.upgrade() {
            let lived = workers.clock.now().saturating_sub(self.started);
            workers.ended(self.index, &self.life, end, lived);
        }
        self.life.process.take();
        self.life.is_over.set(true);
        for promise in self.life.ended.take() {
            promise.succeed(());
        }
    }
}

impl Shared {
    /// Starts a process for this place; `told` hears when it is ready, or ends before it is.
    fn spawn(self: &Rc<Self>, index: usize, told: Told) -> Rc<Life> {
        let sockets = &self.listeners.sockets;
        let variable = format!("{}:{index}:{}", std::process::id(), sockets.len());
        let mut command = self.command.borrow().clone().env(VARIABLE, variable);
        command = command.descriptor(LIFELINE, ChildDescriptor::Input);
        command = command.descriptor(READY, ChildDescriptor::Output);
        for (number, socket) in (SOCKETS..).zip(sockets) {
            command = command.descriptor(number, ChildDescriptor::Given(socket.clone()));
        }
        let (workers, life) = (Rc::downgrade(self), Rc::<Life>::default());
        let (started, told) = (self.clock.now(), Some(told));
        let child = Child { workers, index, started, life: Rc::clone(&life), told };
        self.spawner.spawn_seat(&command, seat_process(child));
        life
    }

    /// Starts a process for a place that has none.
    fn fill(self: &Rc<Self>, index: usize) {
        let workers = Rc::downgrade(self);
        let told = move |outcome: Result<(), Option<ProcessEnd>>| {
            if let (Some(workers), Ok(())) = (workers.upgrade(), outcome) {
                workers.places[index].is_ready.set(true);
            }
        };
        let life = self.spawn(index, Box::new(told));
        self.places[index].current.replace(Some(life));
    }

    /// A process has ended: if it was the one of its place, there is to be another.
    fn ended(self: &Rc<Self>, index: usize, life: &Rc<Life>, end: &ProcessEnd, lived: Duration) {
        let place = &self.places[index];
        let is_current = place.current.borrow().as_ref().is_some_and(|now| Rc::ptr_eq(now, life));
        if !is_current || self.is_stopping.get() {
            return;
        }
        place.current.take();
        place.is_ready.set(false);
        let deaths = if lived >= self.options.healthy_after { 0 } else { place.deaths.get() };
        place.deaths.set(deaths.saturating_add(1));
        let wait = self.options.wait_first.saturating_mul(1 << deaths.min(16));
        let wait = wait.min(self.options.wait_max);
        tracing::error!(
            target: "ropewalk::shards",
            worker = index, ?wait, "a worker ended and is started again after a while: {end}",
        );
        let workers = Rc::downgrade(self);
        let again = move || {
            let Some(workers) = workers.upgrade() else { return };
            let place = &workers.places[index];
            place.again.take();
            place.restarts.set(place.restarts.get() + 1);
            workers.fill(index);
        };
        place.again.replace(Some(self.clock.schedule(wait, Box::new(again))));
    }

    /// Starts the successor of this place's process, and goes on with the next place once it is ready.
    fn replace(self: &Rc<Self>, index: usize, before: Command, promise: Promise<()>) {
        if index == self.places.len() || self.is_stopping.get() {
            return promise.succeed(());
        }
        let workers = Rc::downgrade(self);
        let successor: Rc<RefCell<Option<Rc<Life>>>> = Rc::default();
        let of = Rc::clone(&successor);
        let told = move |outcome: Result<(), Option<ProcessEnd>>| {
            let Some(workers) = workers.upgrade() else { return };
            let Some(life) = of.take() else { return };
            if let Err(end) = outcome {
                workers.command.replace(before);
                return promise.fail(NotReady { worker: index, end });
            }
            workers.succeed(index, life);
            workers.replace(index + 1, before, promise);
        };
        let life = self.spawn(index, Box::new(told));
        successor.replace(Some(life));
    }

    /// This process takes the place over; the one that had it is asked to stop.
    fn succeed(self: &Rc<Self>, index: usize, life: Rc<Life>) {
        let place = &self.places[index];
        if let Some(again) = place.again.take() {
            again.cancel();
        }
        if self.is_stopping.get() {
            self.end(&life).on_result(drop);
            return;
        }
        place.deaths.set(0);
        place.is_ready.set(true);
        if let Some(old) = place.current.replace(Some(life)) {
            self.end(&old).on_result(drop);
        }
    }

    /// Asks a process to stop, and kills it after the grace.
    fn end(&self, life: &Life) -> Deferred<()> {
        if life.is_over.get() {
            return Deferred::succeed(());
        }
        let (promise, ended) = deferred();
        life.ended.borrow_mut().push(promise);
        if !life.is_stopping.replace(true)
            && let Some(process) = &*life.process.borrow()
        {
            self.ask_to_stop(process);
        }
        ended
    }

    fn ask_to_stop(&self, process: &Process<Child>) {
        // Who has exited meanwhile needs no signal.
        let _ = process.signal(Signal::Terminate);
        process.call_later(self.options.grace, |this, process| {
            let worker = this.index;
            if process.kill().is_ok() {
                tracing::error!(
                    target: "ropewalk::shards",
                    worker, "a worker is killed: it did not stop in time",
                );
            }
        });
    }
}
