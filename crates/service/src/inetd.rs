//! A super-server: programs that know nothing of networks, each with a socket as its input and output.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::process::{
    ChildDescriptor, Command, Grouping, LogLines, Process, ProcessEnd, ProcessProtocol, STDIN,
    STDOUT, Signal, Spawner, seat_process,
};
use ropewalk_protocol::{Clock, DelayedCall, Readable, Readiness, call_later};
use rustix::net::SocketAddrAny;

use crate::{Drained, Service};

/// How many connections one turn takes in.
const ACCEPTS_MAX: usize = 16;
/// How long nothing is accepted after the system refused to.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// In what time starts are counted.
const MINUTE: Duration = Duration::from_mins(1);

/// Who speaks at a socket for which a program is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// A program a connection, which it finds as its standard input and output.
    #[default]
    No,
    /// One program at a time, which finds the socket itself and serves whoever comes until it ends: what
    /// listens, or takes datagrams.
    Yes,
}

/// What a super-server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InetdLimits {
    /// How many programs may run at a time; who comes then waits to be accepted. 64 unless set.
    pub programs: usize,
    /// How many of them may serve one address; who comes then is turned away. 16 unless set.
    pub per_peer: usize,
    /// How many programs that are given the socket itself may be started in a minute; then the rest of that minute is
    /// waited for, as such a program may leave what it was started for. 256 unless set.
    pub starts_per_minute: u32,
    /// How long programs may take to stop once they are asked to; then they are killed. 5 s unless set.
    pub grace: Duration,
}

impl Default for InetdLimits {
    fn default() -> Self {
        let grace = Duration::from_secs(5);
        Self { programs: 64, per_peer: 16, starts_per_minute: 256, grace }
    }
}

impl InetdLimits {
    /// The same with so many programs at a time.
    pub fn programs(self, programs: usize) -> Self {
        Self { programs: programs.max(1), ..self }
    }

    /// The same with so many programs for one address.
    pub fn per_peer(self, per_peer: usize) -> Self {
        Self { per_peer: per_peer.max(1), ..self }
    }

    /// The same with so many starts in a minute.
    pub fn starts_per_minute(self, starts_per_minute: u32) -> Self {
        Self { starts_per_minute: starts_per_minute.max(1), ..self }
    }

    /// The same with another time to stop.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }
}

/// Starts a program for whoever comes to a socket.
///
/// A program that serves one connection finds who is there as `REMOTE_ADDR` and `REMOTE_PORT` in its environment, where
/// that is known. What it writes to its standard error is logged under the server's name.
///
/// A drain takes in who waits, then lets the programs end; what runs at the deadline is killed, and counted.
pub struct Inetd(Rc<Inner>);

type MakeSocket = dyn Fn() -> io::Result<OwnedFd>;

struct Inner {
    name: String,
    make: Box<MakeSocket>,
    readiness: Box<dyn Readiness>,
    spawner: Box<dyn Spawner>,
    clock: Box<dyn Clock>,
    command: Command,
    waiting: Waiting,
    limits: InetdLimits,
    socket: RefCell<Option<Arc<File>>>,
    watch: RefCell<Option<Readable>>,
    /// Nothing is accepted until then.
    pause: RefCell<Option<DelayedCall>>,
    running: RefCell<BTreeMap<u64, Running>>,
    last: Cell<u64>,
    started: Cell<u64>,
    turned_away: Cell<u64>,
    /// When the present minute began, and how many starts it has had.
    minute: Cell<(Duration, u32)>,
    is_stopping: Cell<bool>,
    gone: RefCell<Vec<Promise<()>>>,
}

struct Running {
    peer: Option<IpAddr>,
    process: Option<Process<Child>>,
}

impl Inetd {
    /// Runs `command` for who comes to the socket that `make` makes, each time the service is started: one that listens,
    /// or, for [`Waiting::Yes`], one that takes datagrams.
    pub fn new(
        name: impl Into<String>,
        make: impl Fn() -> io::Result<OwnedFd> + 'static,
        system: impl Readiness + Spawner + Clock + Clone + 'static,
        command: Command,
    ) -> Self {
        Self(Rc::new(Inner {
            name: name.into(),
            make: Box::new(make),
            readiness: Box::new(system.clone()),
            spawner: Box::new(system.clone()),
            clock: Box::new(system),
            command,
            waiting: Waiting::default(),
            limits: InetdLimits::default(),
            socket: RefCell::default(),
            watch: RefCell::default(),
            pause: RefCell::default(),
            running: RefCell::default(),
            last: Cell::new(0),
            started: Cell::new(0),
            turned_away: Cell::new(0),
            minute: Cell::default(),
            is_stopping: Cell::new(false),
            gone: RefCell::default(),
        }))
    }

    /// Says who speaks at the socket. For a service that was not started yet.
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        if let Some(inner) = Rc::get_mut(&mut self.0) {
            inner.waiting = waiting;
        }
        self
    }

    /// Allows so much. For a service that was not started yet.
    pub fn limits(mut self, limits: InetdLimits) -> Self {
        if let Some(inner) = Rc::get_mut(&mut self.0) {
            inner.limits = limits;
        }
        self
    }

    /// How many programs run.
    pub fn programs(&self) -> usize {
        self.0.running.borrow().len()
    }

    /// How many were started.
    pub fn started(&self) -> u64 {
        self.0.started.get()
    }

    /// How many connections were turned away, as their address had enough.
    pub fn turned_away(&self) -> u64 {
        self.0.turned_away.get()
    }
}

impl Service for Inetd {
    fn prepare(&self) -> Deferred<()> {
        if self.0.socket.borrow().is_some() {
            return Deferred::succeed(());
        }
        let made = (self.0.make)().and_then(|socket| {
            // Who waits for programs accepts nothing itself, and they expect to block.
            rustix::io::ioctl_fionbio(&socket, self.0.waiting == Waiting::No)?;
            Ok(socket)
        });
        match made {
            Ok(socket) => {
                self.0.socket.replace(Some(Arc::new(File::from(socket))));
                Deferred::succeed(())
            }
            Err(error) => Deferred::fail(error),
        }
    }

    fn start(&self) -> Deferred<()> {
        let prepared = self.prepare();
        let inner = Rc::clone(&self.0);
        prepared.add_callback(move |()| inner.watch())
    }

    fn drain(&self, deadline: Duration) -> Deferred<Drained> {
        self.0.leave();
        let found = self.programs();
        let cut = Rc::new(Cell::new(0));
        let (inner, counter) = (Rc::clone(&self.0), Rc::clone(&cut));
        let hurry = call_later(&*self.0.clock, deadline, move || {
            let count = inner.signal(Signal::Kill);
            counter.set(count);
            if count > 0 {
                let name = inner.name.as_str();
                tracing::warn!(
                    target: "ropewalk::service",
                    name, count, "programs were killed: they were not through by the deadline",
                );
            }
        });
        self.0.all_gone().map(move |()| {
            hurry.cancel();
            Drained::new(found, cut.get())
        })
    }

    fn stop(&self) -> Deferred<()> {
        self.0.leave();
        self.0.is_stopping.set(true);
        self.0.signal(Signal::Terminate);
        let inner = Rc::clone(&self.0);
        let hurry = call_later(&*self.0.clock, self.0.limits.grace, move || {
            inner.signal(Signal::Kill);
        });
        let inner = Rc::clone(&self.0);
        self.0.all_gone().map(move |()| {
            hurry.cancel();
            inner.is_stopping.set(false);
        })
    }
}

impl Inner {
    fn watch(self: Rc<Self>) -> Result<(), Failure> {
        if self.watch.borrow().is_some() {
            return Ok(());
        }
        let Some(socket) = self.socket.borrow().clone() else { return Ok(()) };
        let weak = Rc::downgrade(&self);
        let told = move |ready: Result<(), Failure>| {
            let Some(inner) = weak.upgrade() else { return };
            match ready {
                Ok(()) => inner.readable(),
                Err(failure) => {
                    let name = inner.name.as_str();
                    tracing::error!(
                        target: "ropewalk::service", name, "a socket is lost: {failure:?}",
                    );
                }
            }
        };
        let descriptor = OwnedFd::from(socket.try_clone()?).into();
        let watch = self.readiness.tell_readable(descriptor, Box::new(told))?;
        self.watch.replace(Some(watch));
        self.look_again();
        Ok(())
    }

    /// Watches or does not, as it may start programs or may not.
    fn look_again(&self) {
        let running = self.running.borrow().len();
        let may_start = match self.waiting {
            Waiting::No => running < self.limits.programs,
            Waiting::Yes => running == 0,
        };
        if let Some(watch) = &*self.watch.borrow() {
            if may_start && self.pause.borrow().is_none() {
                watch.resume();
            } else {
                watch.pause();
            }
        }
    }

    fn readable(self: &Rc<Self>) {
        let Some(socket) = self.socket.borrow().clone() else { return };
        if self.pause.borrow().is_some() {
            return;
        }
        match self.waiting {
            Waiting::No => {
                self.accept(&socket, ACCEPTS_MAX);
            }
            Waiting::Yes if self.running.borrow().is_empty() => {
                let now = self.clock.now();
                let (since, starts) = self.minute.get();
                let is_over = now.saturating_sub(since) >= MINUTE;
                let (since, starts) = if is_over { (now, 0) } else { (since, starts) };
                if starts >= self.limits.starts_per_minute {
                    let name = self.name.as_str();
                    tracing::error!(
                        target: "ropewalk::service",
                        name, starts, "a program is started too often: it rests until the minute is over",
                    );
                    return self.rest((since + MINUTE).saturating_sub(now));
                }
                self.minute.set((since, starts + 1));
                self.run(self.command.clone(), socket, None);
            }
            Waiting::Yes => (),
        }
        self.look_again();
    }

    /// Takes in at most so many that wait; answers whether more may.
    fn accept(self: &Rc<Self>, socket: &Arc<File>, count: usize) -> bool {
        for _ in 0..count {
            if self.running.borrow().len() >= self.limits.programs {
                return false;
            }
            match accept_from(socket) {
                Ok((connection, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    self.connected(connection, peer);
                }
                Err(rustix::io::Errno::AGAIN) => return false,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => (),
                Err(error) => {
                    let name = self.name.as_str();
                    tracing::error!(
                        target: "ropewalk::service", name, "nobody is accepted for a while: {error}",
                    );
                    self.rest(ACCEPT_PAUSE);
                    return false;
                }
            }
        }
        true
    }

    fn connected(self: &Rc<Self>, connection: OwnedFd, peer: Option<SocketAddr>) {
        let ip = peer.map(|peer| peer.ip());
        if ip.is_some() {
            let running = self.running.borrow();
            let served = running.values().filter(|running| running.peer == ip).count();
            if served >= self.limits.per_peer {
                self.turned_away.set(self.turned_away.get() + 1);
                tracing::warn!(
                    target: "ropewalk::service",
                    name = self.name.as_str(), ?peer, "turned away: {served} programs serve that address",
                );
                return;
            }
        }
        let command = match peer {
            Some(peer) => {
                let command = self.command.clone().env("REMOTE_ADDR", peer.ip().to_string());
                command.env("REMOTE_PORT", peer.port().to_string())
            }
            None => self.command.clone(),
        };
        self.run(command, Arc::new(File::from(connection)), ip);
    }

    fn run(self: &Rc<Self>, command: Command, socket: Arc<File>, peer: Option<IpAddr>) {
        let id = self.last.get() + 1;
        self.last.set(id);
        self.running.borrow_mut().insert(id, Running { peer, process: None });
        // What it starts is ended with it.
        let command = command
            .process_group(Grouping::Own)
            .descriptor(STDIN, ChildDescriptor::Given(Arc::clone(&socket)))
            .descriptor(STDOUT, ChildDescriptor::Given(socket));
        let child = Child { server: Rc::downgrade(self), id, err: LogLines::default() };
        self.spawner.spawn_seat(&command, seat_process(child));
    }

    /// Starts nothing for a while.
    fn rest(self: &Rc<Self>, wait: Duration) {
        let weak = Rc::downgrade(self);
        let again = call_later(&*self.clock, wait, move || {
            if let Some(inner) = weak.upgrade() {
                inner.pause.take();
                inner.look_again();
            }
        });
        self.pause.replace(Some(again));
        self.look_again();
    }

    /// Takes in who waits, then gives the socket up.
    fn leave(self: &Rc<Self>) {
        self.watch.take();
        if let Some(pause) = self.pause.take() {
            pause.cancel();
        }
        let Some(socket) = self.socket.take() else { return };
        if self.waiting == Waiting::No {
            while self.accept(&socket, ACCEPTS_MAX) {}
            if let Some(pause) = self.pause.take() {
                pause.cancel();
            }
        }
    }

    /// Sends this to every program; answers to how many.
    fn signal(&self, signal: Signal) -> usize {
        let running = self.running.borrow();
        let processes: Vec<_> = running.values().filter_map(|one| one.process.clone()).collect();
        drop(running);
        processes.iter().filter(|process| process.signal_group(signal).is_ok()).count()
    }

    fn all_gone(&self) -> Deferred<()> {
        if self.running.borrow().is_empty() {
            return Deferred::succeed(());
        }
        let (promise, gone) = deferred();
        self.gone.borrow_mut().push(promise);
        gone
    }

    fn ended(&self, id: u64, end: &ProcessEnd) {
        self.running.borrow_mut().remove(&id);
        let name = self.name.as_str();
        match end {
            ProcessEnd::NotStarted(why) => {
                tracing::error!(target: "ropewalk::service", name, "no program was started: {why}");
            }
            end => tracing::debug!(target: "ropewalk::service", name, "a program ended: {end}"),
        }
        self.look_again();
        if self.running.borrow().is_empty() {
            for promise in self.gone.take() {
                promise.succeed(());
            }
        }
    }
}

/// A program, as the server sees it.
struct Child {
    server: Weak<Inner>,
    id: u64,
    err: LogLines,
}

impl ProcessProtocol for Child {
    fn started(&mut self, process: &Process<Self>) {
        let Some(server) = self.server.upgrade() else { return process.abort() };
        server.started.set(server.started.get() + 1);
        if let Some(running) = server.running.borrow_mut().get_mut(&self.id) {
            running.process = Some(process.clone());
        }
        if server.is_stopping.get() {
            // Who has exited meanwhile needs no signal.
            let _ = process.signal_group(Signal::Terminate);
        }
    }

    fn output_received(&mut self, process: &Process<Self>, _: u32, data: &[u8]) {
        let Some(server) = self.server.upgrade() else { return };
        let (name, id) = (server.name.as_str(), process.id());
        self.err.feed(data, |line| {
            tracing::warn!(target: "ropewalk::service", name, process = id, "{line}");
        });
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        let Some(server) = self.server.upgrade() else { return };
        let name = server.name.as_str();
        self.err.flush(|line| tracing::warn!(target: "ropewalk::service", name, "{line}"));
        server.ended(self.id, end);
    }
}

impl fmt::Debug for Inetd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inetd")
            .field("name", &self.0.name)
            .field("programs", &self.programs())
            .field("started", &self.started())
            .finish_non_exhaustive()
    }
}

/// Accepts one who waits; programs inherit what they are told of alone.
#[cfg(target_os = "linux")]
fn accept_from(socket: &File) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    rustix::net::acceptfrom_with(socket, rustix::net::SocketFlags::CLOEXEC)
}

/// The same where that cannot be said with the call, and where a connection does not block if its listener does not.
#[cfg(not(target_os = "linux"))]
fn accept_from(socket: &File) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (connection, peer) = rustix::net::acceptfrom(socket)?;
    rustix::io::fcntl_setfd(&connection, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&connection, false)?;
    Ok((connection, peer))
}
