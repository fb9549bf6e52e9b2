//! The simulation as a test sees it.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_reactor::Reactor;
use ropewalk_reactor::platform::{Driver, HostDescriptor, null_descriptor};

use super::driver::{HostDriver, HostPlatform};
use super::log::{Line, What};
use super::world::{Event, Job, NOBODY, World, nanos};
use super::{Link, Machine};

/// How long a result may take, in simulated time, unless said otherwise.
const PATIENCE_DEFAULT: Duration = Duration::from_hours(1);
/// How many of the last happenings a failing test is shown.
const LAST_SHOWN: usize = 30;
/// How many turns at one and the same moment are taken for a loop that never ends.
const TURNS_AT_ONCE_MAX: u64 = 10_000_000;

/// Hosts with real reactors on a simulated network, in simulated time.
///
/// Two hosts, a service, and somebody who asks it, over a slow line that loses a tenth of all packets:
///
/// ```
/// use std::net::SocketAddr;
/// use std::time::Duration;
/// use ropewalk_protocol::{Address, Conn, Protocol, seat_and_tell};
/// use ropewalk_trial::{Link, Simulation};
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///         conn.close();
///     }
/// }
///
/// struct Ask(Option<ropewalk_deferred::Promise<Vec<u8>>>);
/// impl Protocol for Ask {
///     fn connection_made(&mut self, conn: &Conn<Self>) {
///         conn.write(b"?");
///     }
///     fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
///         self.0.take().unwrap().succeed(data.to_vec());
///     }
/// }
///
/// let simulation = Simulation::new(7);
/// simulation.weather(&Link::default().latency(Duration::from_millis(80)).loss(0.1));
/// let (server, client) = (simulation.host("server"), simulation.host("client"));
/// let address = simulation.address("server", 7);
/// server.listen_tcp(address, Default::default(), Box::new(|_: &Address| Some(Echo)))?;
/// let (promise, answer) = ropewalk_deferred::deferred();
/// let seat = ropewalk_protocol::seat(Ask(Some(promise)));
/// client.connect_tcp(address, Default::default(), seat);
/// assert_eq!(simulation.run_until(answer)?, b"?");
/// assert!(simulation.now() > Duration::from_millis(320));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A host's reactor may also be run itself, with [`Reactor::run`] or [`Reactor::run_until`]: the whole
/// simulation goes on until it is that host's turn.
///
/// Where a test panics, the seed and the last happenings are printed.
#[derive(Clone)]
pub struct Simulation(Rc<Inner>);

pub(super) struct Inner {
    seed: u64,
    pub(super) world: Rc<RefCell<World>>,
    pub(super) descriptor: Rc<HostDescriptor>,
    /// Hosts that were woken by tasks or from other threads.
    pub(super) rung: Arc<Mutex<Vec<usize>>>,
    reactors: RefCell<Vec<Reactor>>,
    /// The host that somebody runs by himself, and whether its turn has come.
    front: Cell<Option<usize>>,
    front_is_due: Cell<bool>,
    /// A turn is under way.
    is_turning: Cell<bool>,
    patience: Cell<Duration>,
    turns_now: Cell<(u64, u64)>,
}

impl Simulation {
    /// An empty network in which all chance comes from `seed`.
    ///
    /// # Panics
    ///
    /// If this process cannot open a single file.
    pub fn new(seed: u64) -> Self {
        let null = null_descriptor().expect("a descriptor that stands for the loops");
        Self(Rc::new(Inner {
            seed,
            world: Rc::new(RefCell::new(World::new(seed))),
            descriptor: Rc::new(null),
            rung: Arc::default(),
            reactors: RefCell::default(),
            front: Cell::new(None),
            front_is_due: Cell::new(false),
            is_turning: Cell::new(false),
            patience: Cell::new(PATIENCE_DEFAULT),
            turns_now: Cell::new((0, 0)),
        }))
    }

    /// What all chance comes from.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The reactor of the host of that name, which is set up if there is none.
    ///
    /// It has an IPv4 and an IPv6 address and is its own `localhost`; other hosts find it by its name.
    pub fn host(&self, name: &str) -> Reactor {
        self.host_with(name, Machine::default())
    }

    /// The same, on a machine of another kind if it is set up here.
    pub fn host_with(&self, name: &str, machine: Machine) -> Reactor {
        self.host_over(name, machine, |driver| driver)
    }

    /// The same with a driver between the reactor and the simulated one, which may do what it likes
    /// with what passes: for tests of tests.
    pub fn host_over(
        &self,
        name: &str,
        machine: Machine,
        wrap: impl FnOnce(Box<dyn Driver>) -> Box<dyn Driver>,
    ) -> Reactor {
        if let Some(reactor) = self.reactor_of(name) {
            return reactor;
        }
        let host = self.0.world.borrow_mut().add_host(name, machine);
        let driver = wrap(Box::new(HostDriver::new(&self.0, host)));
        let platform = Rc::new(HostPlatform::new(&self.0, host));
        let reactor = Reactor::on_platform(driver, platform);
        self.0.reactors.borrow_mut().push(reactor.clone());
        reactor
    }

    fn reactor_of(&self, name: &str) -> Option<Reactor> {
        let host = self.0.world.borrow().host_named(name)?;
        self.0.reactors.borrow().get(host).cloned()
    }

    /// An address of a host; IPv4 unless it is asked for with [`address_v6`](Self::address_v6).
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn address(&self, host: &str, port: u16) -> SocketAddr {
        let index = self.index(host);
        (IpAddr::V4(self.0.world.borrow().hosts[index].v4), port).into()
    }

    /// An IPv6 address of a host.
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn address_v6(&self, host: &str, port: u16) -> SocketAddr {
        let index = self.index(host);
        (IpAddr::V6(self.0.world.borrow().hosts[index].v6), port).into()
    }

    #[track_caller]
    fn index(&self, host: &str) -> usize {
        let found = self.0.world.borrow().host_named(host);
        found.unwrap_or_else(|| panic!("there is no host called {host:?}"))
    }

    /// Puts `link` between any two hosts, now and later.
    pub fn weather(&self, link: &Link) {
        let mut world = self.0.world.borrow_mut();
        world.note(NOBODY as usize, What::Weather, 0, 0);
        world.set_weather(link);
    }

    /// Puts `link` between two hosts, both ways.
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn link(&self, one: &str, other: &str, link: Link) {
        self.link_from(one, other, link.clone());
        self.link_from(other, one, link);
    }

    /// Puts `link` on the way from one host to another; to itself is its loopback. What streams
    /// there are keep their windows.
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn link_from(&self, from: &str, to: &str, link: Link) {
        let (from, to) = (self.index(from), self.index(to));
        let mut world = self.0.world.borrow_mut();
        world.note(from, What::Weather, to as u64, 1);
        world.way(from, to).link = link;
    }

    /// Cuts the way between two hosts, or joins it again, both ways.
    ///
    /// What is sent while it is cut is sent again, with growing patience, as TCP does; datagrams are
    /// lost.
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn set_joined(&self, one: &str, other: &str, joined: bool) {
        self.set_joined_from(one, other, joined);
        self.set_joined_from(other, one, joined);
    }

    /// The same one way only.
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn set_joined_from(&self, from: &str, to: &str, joined: bool) {
        let (from, to) = (self.index(from), self.index(to));
        let mut world = self.0.world.borrow_mut();
        world.note(from, What::Weather, to as u64, 2 + u64::from(joined));
        world.way(from, to).up = joined;
    }

    /// Cuts the ways between two hosts.
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn partition(&self, one: &str, other: &str) {
        self.set_joined(one, other, false);
    }

    /// Joins what was [cut](Self::partition).
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn heal(&self, one: &str, other: &str) {
        self.set_joined(one, other, true);
    }

    /// Crashes a host: its protocols are told that the reactor stopped, its peers are told nothing,
    /// and find out when they say something. It can be used again at once.
    ///
    /// # Panics
    ///
    /// If there is no such host, or if it is called from within a turn.
    pub fn crash(&self, host: &str) {
        assert!(!self.0.is_turning.get(), "a host is crashed from outside of all turns");
        let index = self.index(host);
        let reactor = self.0.reactors.borrow()[index].clone();
        self.0.world.borrow_mut().hosts[index].crashing = true;
        end(&reactor);
        self.0.world.borrow_mut().hosts[index].crashing = false;
    }

    /// Calls `call` after `delay`, in no host's turn: to change the weather, say.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&Self) + 'static) {
        let mut world = self.0.world.borrow_mut();
        let (id, at) = (world.next_serial(), world.now.saturating_add(nanos(delay)));
        world.jobs.insert(id, (NOBODY as usize, Job::Call(Box::new(call))));
        world.schedule(at, Event::Job { id });
    }

    /// How long the simulation has been going on, in its own time.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.world.borrow().now)
    }

    /// How long a result may take, in simulated time; one hour unless set.
    pub fn patience(&self, patience: Duration) {
        self.0.patience.set(patience);
    }

    /// Goes on until `deferred` has its result.
    ///
    /// # Errors
    ///
    /// The deferred's own failure; [`Standstill`] if nothing will happen any more, or if it takes
    /// longer than [`patience`](Self::patience) allows.
    pub fn run_until<T: 'static>(&self, deferred: Deferred<T>) -> Result<T, Failure> {
        let until = self.0.world.borrow().now.saturating_add(nanos(self.0.patience.get()));
        let mut waiting = deferred;
        loop {
            match waiting.try_take() {
                Ok(result) => return result,
                Err(still) => waiting = still,
            }
            if !self.0.step(until) {
                return Err(Failure::new(self.0.standstill()));
            }
        }
    }

    /// Goes on until `condition` holds; false if it does not within [`patience`](Self::patience), or
    /// nothing will happen any more.
    #[must_use]
    pub fn until(&self, condition: impl Fn() -> bool) -> bool {
        let until = self.0.world.borrow().now.saturating_add(nanos(self.0.patience.get()));
        while !condition() {
            if !self.0.step(until) {
                return false;
            }
        }
        true
    }

    /// Goes on for `time`.
    pub fn run_for(&self, time: Duration) {
        let until = self.0.world.borrow().now.saturating_add(nanos(time));
        while self.0.step(until) {}
        let mut world = self.0.world.borrow_mut();
        world.now = world.now.max(until);
    }

    /// What happened so far, in one number: the same for each run of the same test with the same seed.
    pub fn hash(&self) -> u64 {
        self.0.world.borrow().log.hash()
    }

    /// How many things happened so far.
    pub fn happenings(&self) -> u64 {
        self.0.world.borrow().log.count()
    }

    /// The last of what happened, a line each.
    pub fn log(&self) -> Vec<String> {
        self.0.lines(usize::MAX)
    }

    /// The hosts by name, in the order in which they were set up.
    pub fn reactors(&self) -> Vec<(String, Reactor)> {
        let world = self.0.world.borrow();
        let names = world.hosts.iter().map(|host| host.name.clone());
        names.zip(self.0.reactors.borrow().iter().cloned()).collect()
    }

    /// How many sockets a host has open.
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn descriptors(&self, host: &str) -> usize {
        let index = self.index(host);
        self.0.world.borrow().hosts[index].descriptors
    }

    /// What goes on still, each with its host and the place where it was asked for, and how many sockets
    /// a host has open: empty when everything has been let go.
    pub fn left_over(&self) -> Vec<String> {
        self.0.left_over()
    }
}

impl Inner {
    /// One thing happens, if one does before `until`.
    fn step(self: &Rc<Self>, until: u64) -> bool {
        self.attend();
        let Some(event) = self.world.borrow_mut().pop(until) else { return false };
        match event {
            Event::Turn { host } => {
                if self.front.get() == Some(host) {
                    self.front_is_due.set(true);
                } else {
                    self.turn(host);
                }
            }
            Event::Arrival { end } => self.world.borrow_mut().arrive(end),
            Event::Room { end, bytes } => self.world.borrow_mut().give_room(end, bytes),
            Event::Packet { id } => self.world.borrow_mut().receive_packet(id),
            Event::Job { id } => self.do_job(id),
        }
        true
    }

    fn turn(&self, host: usize) {
        let reactor = self.reactors.borrow()[host].clone();
        self.watch_the_time();
        let outer = self.is_turning.replace(true);
        let turned = reactor.turn(Duration::ZERO);
        self.is_turning.set(outer);
        if let Err(error) = turned {
            // A test that runs one host from within another's turn does not get far.
            tracing::error!(target: "ropewalk::trial", "a simulated host had no turn: {error}");
        }
        self.attend_to(host);
    }

    fn watch_the_time(&self) {
        let now = self.world.borrow().now;
        let (then, count) = self.turns_now.get();
        let count = if then == now { count + 1 } else { 0 };
        assert!(count < TURNS_AT_ONCE_MAX, "the simulated time does not go on");
        self.turns_now.set((now, count));
    }

    fn do_job(self: &Rc<Self>, id: u64) {
        let job = self.world.borrow_mut().jobs.remove(&id);
        match job {
            Some((host, Job::Work(work, done))) => {
                self.world.borrow_mut().note(host, What::Worked, id, 0);
                // What it leads to is for the reactor to catch.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                done();
                self.attend_to(host);
            }
            Some((_, Job::Call(call))) => {
                self.world.borrow_mut().note(NOBODY as usize, What::Called, id, 0);
                call(&Simulation(Rc::clone(self)));
            }
            None => (),
        }
    }

    /// Finds out when those who were asked for something want a turn.
    fn attend(&self) {
        let rung = std::mem::take(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner));
        let mut world = self.world.borrow_mut();
        for host in rung {
            world.touch(host);
        }
        let touched = std::mem::take(&mut world.touched);
        drop(world);
        for host in touched {
            self.attend_to(host);
        }
    }

    fn attend_to(&self, host: usize) {
        let reactors = self.reactors.borrow();
        let Some(reactor) = reactors.get(host) else { return };
        self.world.borrow_mut().hosts[host].touched = false;
        let deadline = reactor.next_deadline();
        let mut world = self.world.borrow_mut();
        world.touched.retain(|other| *other != host);
        if let Some(deadline) = deadline {
            let at = world.now.saturating_add(world.hosts[host].machine.world_time(deadline));
            world.turn_by(host, at);
        }
    }

    /// A driver waits. In a turn that the simulation gave there is nothing to wait for; else somebody
    /// runs this host by himself, and the others go on meanwhile.
    pub(super) fn wait(self: &Rc<Self>, host: usize, timeout: Option<Duration>) -> io::Result<()> {
        if self.is_turning.get() || self.front.get().is_some() {
            return Ok(());
        }
        if let Some(timeout) = timeout {
            let mut world = self.world.borrow_mut();
            let at = world.now.saturating_add(world.hosts[host].machine.world_time(timeout));
            world.turn_by(host, at);
        }
        self.front.set(Some(host));
        self.front_is_due.set(false);
        self.watch_the_time();
        // Also when something panics meanwhile.
        let _front = Front(self);
        while !self.front_is_due.get() {
            if !self.step(u64::MAX) {
                return Err(io::Error::other(self.standstill()));
            }
        }
        Ok(())
    }

    fn standstill(&self) -> Standstill {
        let now = Duration::from_nanos(self.world.borrow().now);
        Standstill { seed: self.seed, now, left: self.left_over() }
    }

    fn left_over(&self) -> Vec<String> {
        let reactors = self.reactors.borrow().clone();
        // A reactor that is asked what it has under way asks the world for addresses.
        let host = |index: usize| {
            let mut world = self.world.borrow_mut();
            (world.hosts[index].name.clone(), world.sockets(index))
        };
        let mut left = Vec::new();
        for (index, reactor) in reactors.iter().enumerate() {
            let (name, sockets) = host(index);
            left.extend(reactor.under_way().iter().map(|thing| format!("{name}: {thing}")));
            left.extend(sockets.iter().map(|socket| format!("{name}: {socket}")));
        }
        left
    }

    fn lines(&self, count: usize) -> Vec<String> {
        let world = self.world.borrow();
        let kept = world.log.kept();
        let mut lines: Vec<String> = kept
            .rev()
            .take(count)
            .map(|happening| {
                let host = world.hosts.get(happening.host as usize);
                Line(happening, host.map_or("-", |host| host.name.as_str())).to_string()
            })
            .collect();
        lines.reverse();
        lines
    }
}

/// Somebody runs a host by himself.
struct Front<'a>(&'a Inner);

impl Drop for Front<'_> {
    fn drop(&mut self) {
        self.0.front.set(None);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed of the simulation is {}; the last that happened:", self.seed);
            for line in self.lines(LAST_SHOWN) {
                eprintln!("{line}");
            }
        }
        let jobs = std::mem::take(&mut self.world.borrow_mut().jobs);
        drop(jobs);
        for reactor in self.reactors.take() {
            end(&reactor);
        }
    }
}

/// Ends all that a reactor has under way.
fn end(reactor: &Reactor) {
    reactor.stop_now();
    if let Err(error) = reactor.run_without_signals() {
        tracing::error!(target: "ropewalk::trial", "a simulated host does not end: {error}");
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seed", &self.0.seed)
            .field("now", &self.now())
            .field("happenings", &self.happenings())
            .finish_non_exhaustive()
    }
}

/// Nothing will happen any more, or nothing that was waited for in all the time allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standstill {
    seed: u64,
    now: Duration,
    left: Vec<String>,
}

impl Standstill {
    /// What was still under way, a line each, with its host and where it was asked for.
    pub fn left(&self) -> &[String] {
        &self.left
    }
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what was waited for does not come (seed {}, after {:?}", self.seed, self.now)?;
        for line in &self.left {
            write!(f, "; {line}")?;
        }
        f.write_str(")")
    }
}

impl Error for Standstill {}
