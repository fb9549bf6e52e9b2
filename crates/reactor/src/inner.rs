//! The state of one reactor.

use rustix::fd::OwnedFd;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise};
use ropewalk_protocol::{
    Address, DatagramEvent, DatagramSeat, Disconnect, Event, FileOperation, FileOutcome, Resolver,
    Seat, SeatFactory,
};
use slab::Slab;

use crate::attempt::Attempt;
use crate::calls::Calls;
use crate::carrier::Carrier;
use crate::datagrams::Datagrams;
use crate::linger::Lingering;
use crate::platform::Platform;
use crate::pool::Pool;
use crate::process::Processes;
use crate::remote::{Alarm, Remote};
use crate::siblings::Siblings;
use crate::spin::Hope;
use crate::statistics::Ask;
use crate::sys::os::{Counter, SocketFile};
use crate::sys::{Closing, Driver, HostDescriptor, Role, Signals, Socket, Sockets};
use crate::tally::Tally;
use crate::tasks::Tasks;
use crate::under_way::Origins;
use crate::watch::{Foreign, WatchEnd};
use crate::wheel::{Expired, TimerKey, Wheel};
use crate::{DriverKind, ReactorError};

/// How often those who are told of their end may ask for more.
const ENDINGS_MAX: usize = 16;

/// Everything a reactor is made of. Each part is borrowed on its own and never across a call into a
/// protocol, so that whatever a protocol asks of its reactor finds the parts free.
pub(crate) struct Inner {
    pub(crate) carrier: Rc<Carrier>,
    pub(crate) sockets: Sockets,
    pub(crate) driver: RefCell<Box<dyn Driver>>,
    pub(crate) entries: RefCell<Slab<Entry>>,
    pub(crate) wheel: Rc<RefCell<Wheel<Due>>>,
    pub(crate) calls: Rc<Calls>,
    pub(crate) requests: RefCell<VecDeque<Request>>,
    /// Connections that have more to do than one turn allows.
    pub(crate) unfinished: RefCell<Vec<usize>>,
    /// Ports that were told of something in this turn.
    pub(crate) unsettled: RefCell<Vec<usize>>,
    /// Watches of what is ready in every turn.
    pub(crate) always_ready: RefCell<Vec<(usize, u64)>>,
    /// How long closed connections wait for their peers, and those that do, the oldest first.
    pub(crate) linger: Cell<Duration>,
    pub(crate) lingering: RefCell<BTreeMap<u64, usize>>,
    /// Listeners that wait for a free descriptor.
    pub(crate) starving: RefCell<Vec<usize>>,
    pub(crate) tasks: Tasks,
    pub(crate) processes: Processes,
    /// Where all this was asked for, in debug builds.
    pub(crate) origins: Rc<Origins>,
    pub(crate) remote: Arc<Remote>,
    pub(crate) pool: RefCell<Pool>,
    /// Those that serve the same places.
    pub(crate) siblings: RefCell<Option<Rc<dyn Siblings>>>,
    /// Who looks names up, once anybody has asked.
    pub(crate) resolver: RefCell<Option<Rc<dyn Resolver>>>,
    /// Who is told when a pool's job is done.
    pub(crate) jobs: RefCell<BTreeMap<u64, Box<dyn FnOnce()>>>,
    /// That those who work are soon done.
    hope: RefCell<Hope>,
    /// The driver has files read and written.
    pub(crate) does_files: bool,
    /// Who waits for operations on files that the driver does, or is to do.
    pub(crate) files: RefCell<BTreeMap<u64, Promise<FileOutcome>>>,
    pub(crate) state: Cell<State>,
    pub(crate) before_stop: RefCell<Vec<Trigger>>,
    last_id: Cell<u64>,
    /// While a run watches signals: how, and the keys of the descriptors that tell of them.
    pub(crate) signals: RefCell<Option<(Signals, Vec<usize>)>>,
    /// The signal that stops this run.
    pub(crate) signal: Cell<Option<i32>>,
    /// Room for what came due, used again each turn.
    pub(crate) expired: RefCell<Vec<Expired>>,
    /// Room for the connections that are held in a turn until they are looked after.
    pub(crate) held: RefCell<Vec<(usize, Box<dyn Seat>)>>,
    /// The driver's descriptor, for loops that host this one.
    pub(crate) poll_descriptor: Rc<HostDescriptor>,
    /// Somebody has asked for it.
    pub(crate) exposed: Cell<bool>,
    pub(crate) tally: Rc<Tally>,
    /// Who has numbers to tell.
    pub(crate) probes: RefCell<Vec<(u64, Ask)>>,
}

pub(crate) type Trigger = Box<dyn FnOnce() -> Deferred<()>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Running,
    /// Asked to stop, waits for what is to happen before.
    Stopping,
    /// Leaves the loop after this turn.
    Stopped,
}

/// What a timer on the wheel is for: a [`Purpose`] in half its size, as each connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due(u32);

/// What is to be done when a timer comes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A connection wants to be looked at.
    Stream(usize),
    /// A call is to be made.
    Call(usize),
    /// A listener may try again.
    Listener(usize),
    /// A port for datagrams wants to be looked at.
    Datagrams(usize),
}

impl Due {
    const KINDS: u32 = 4;

    pub(crate) fn purpose(self) -> Purpose {
        let index = (self.0 / Self::KINDS) as usize;
        match self.0 % Self::KINDS {
            0 => Purpose::Stream(index),
            1 => Purpose::Call(index),
            2 => Purpose::Listener(index),
            _ => Purpose::Datagrams(index),
        }
    }
}

impl From<Purpose> for Due {
    fn from(purpose: Purpose) -> Self {
        let (kind, index) = match purpose {
            Purpose::Stream(key) => (0, key),
            Purpose::Call(index) => (1, index),
            Purpose::Listener(key) => (2, key),
            Purpose::Datagrams(key) => (3, key),
        };
        debug_assert!(index < (u32::MAX / Self::KINDS) as usize, "more than memory could hold");
        Self(index as u32 * Self::KINDS + kind)
    }
}

/// What protocols ask for while the driver is busy telling of something: done right after.
pub(crate) enum Request {
    Listen {
        key: usize,
        socket: Socket,
    },
    StopListening {
        key: usize,
        id: u64,
        done: Promise<()>,
    },
    TryNext {
        key: usize,
        id: u64,
    },
    OpenPort {
        key: usize,
        id: u64,
        socket: Socket,
        peer: Option<Address>,
    },
    RefusePort {
        seat: Box<dyn DatagramSeat>,
        why: Disconnect,
    },
    Adopt {
        key: usize,
        id: u64,
        socket: Socket,
        peer: Address,
    },
    Watch {
        key: usize,
        id: u64,
        own: OwnedFd,
        role: Role,
    },
    ChangeWatch {
        key: usize,
        id: u64,
    },
    EndWatch {
        key: usize,
        id: u64,
    },
    /// Somebody who looks on wants a connection gone.
    Cut {
        key: usize,
        since: u32,
    },
    StartProcess {
        id: u64,
    },
    File {
        id: u64,
        operation: FileOperation,
    },
}

/// What a key stands for.
pub(crate) enum Entry {
    Stream(Stream),
    /// In a box, so that it does not make the others larger.
    Listener(Box<Listener>),
    Datagrams(Box<Datagrams>),
    /// A descriptor of somebody else's.
    Foreign(Box<Foreign>),
    /// A closed connection that waits for its peer.
    Lingering(Box<Lingering>),
    /// A socket that races for the connection of another key.
    Runner {
        owner: usize,
    },
    /// A descriptor of the reactor's own.
    Watch(Watched),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    Waker,
    Signal(i32),
}

/// One connection. Kept small: this is what an idle one costs, beside its seat.
#[expect(clippy::struct_excessive_bools, reason = "the two directions end independently")]
pub(crate) struct Stream {
    /// Out while the protocol runs.
    pub(crate) seat: Option<Box<dyn Seat>>,
    pub(crate) timer: Option<TimerKey>,
    /// What it is counted under.
    pub(crate) source: u32,
    /// When it came, in milliseconds.
    pub(crate) since: u32,
    pub(crate) reading: bool,
    /// The peer has ended its stream.
    pub(crate) ended: bool,
    /// This side has ended its stream.
    pub(crate) write_ended: bool,
    /// Output stays with the driver.
    pub(crate) backlogged: bool,
    /// How it is being connected; absent once it is.
    pub(crate) attempt: Option<Box<Attempt>>,
    /// Bytes.
    pub(crate) received: u64,
    /// Bytes handed to the driver.
    pub(crate) sent: u64,
}

/// Who else has a listener's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody.
    Alone,
    /// Others, who stop when this one does.
    Together,
    /// Others, who go on accepting.
    Others,
}

pub(crate) struct Listener {
    /// Tells this listener from others that used its key.
    pub(crate) id: u64,
    /// Out while it makes a protocol.
    pub(crate) factory: Option<Box<dyn SeatFactory>>,
    pub(crate) accepting: bool,
    /// Runs while it waits for a free descriptor.
    pub(crate) patience: Option<TimerKey>,
    /// Who else has the socket.
    pub(crate) sharing: Sharing,
    /// Whoever is accepted has sent something.
    pub(crate) deferring: bool,
    /// The file to remove when it stops.
    pub(crate) place: Option<SocketFile>,
    /// Where it listens.
    pub(crate) address: Address,
    /// The number of that place in the tally.
    pub(crate) counted_at: usize,
}

impl Inner {
    pub(crate) fn new(kind: DriverKind) -> Result<Self, ReactorError> {
        let system = |doing| move |error| ReactorError::System { doing, error };
        let sockets = Sockets::default();
        let mut driver = kind.open(&sockets)?;
        let doing = "making the descriptor that wakes the loop";
        let (counter, waker) = Counter::new().map_err(system(doing))?;
        let mut entries = Slab::new();
        let waker_key = entries.insert(Entry::Watch(Watched::Waker));
        driver.open(waker_key, waker.into(), Role::Watch).map_err(system(doing))?;
        let descriptor = driver.descriptor().try_clone_to_owned().map_err(system(doing))?;
        let mut inner =
            Self::of(driver, sockets, Alarm::Counter(counter), Rc::new(descriptor), None);
        inner.entries = RefCell::new(entries);
        Ok(inner)
    }

    /// A reactor on something that is no system.
    pub(crate) fn on_platform(driver: Box<dyn Driver>, platform: Rc<dyn Platform>) -> Self {
        let (alarm, descriptor) = (Alarm::Waker(platform.waker()), platform.descriptor());
        Self::of(driver, Sockets::default(), alarm, descriptor, Some(platform))
    }

    fn of(
        driver: Box<dyn Driver>,
        sockets: Sockets,
        alarm: Alarm,
        poll_descriptor: Rc<HostDescriptor>,
        platform: Option<Rc<dyn Platform>>,
    ) -> Self {
        let remote = Arc::new(Remote::new(alarm));
        let carrier = Rc::new(Carrier::new(sockets.clone(), platform));
        let tally = Rc::clone(carrier.tally());
        let wheel = Rc::new(RefCell::new(Wheel::new()));
        let origins = Rc::new(Origins::default());
        Self {
            calls: Rc::new(Calls::new(Rc::clone(&wheel), Rc::clone(&carrier))),
            origins,
            carrier,
            sockets,
            poll_descriptor,
            does_files: driver.does_files(),
            driver: RefCell::new(driver),
            entries: RefCell::default(),
            wheel,
            requests: RefCell::default(),
            unfinished: RefCell::default(),
            linger: Cell::new(Self::LINGER_DEFAULT),
            lingering: RefCell::default(),
            unsettled: RefCell::default(),
            always_ready: RefCell::default(),
            starving: RefCell::default(),
            tasks: Tasks::default(),
            processes: Processes::default(),
            siblings: RefCell::default(),
            resolver: RefCell::default(),
            pool: RefCell::new(Pool::new(Arc::clone(&remote))),
            remote,
            jobs: RefCell::default(),
            hope: RefCell::new(Hope::new()),
            files: RefCell::default(),
            state: Cell::new(State::Idle),
            before_stop: RefCell::default(),
            last_id: Cell::new(0),
            signals: RefCell::new(None),
            signal: Cell::new(None),
            expired: RefCell::default(),
            held: RefCell::default(),
            exposed: Cell::new(false),
            tally,
            probes: RefCell::default(),
        }
    }

    /// A number that nothing had before: keys are used again, and what is late must not hit another.
    pub(crate) fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    pub(crate) fn request(&self, request: Request) {
        self.requests.borrow_mut().push_back(request);
        self.carrier.set_stirred(true);
        self.carrier.touch();
    }

    /// Makes the driver's descriptor tell of everything; in the middle of a turn, after the turn.
    pub(crate) fn expose(&self) {
        if self.exposed.replace(true) {
            return;
        }
        self.carrier.expect_host(&self.remote);
        if let Ok(mut driver) = self.driver.try_borrow_mut() {
            expose(&mut **driver);
        }
    }

    /// There is nothing to wait for any more before the loop stops.
    pub(crate) fn stopped(&self) {
        self.state.set(State::Stopped);
        self.carrier.touch();
    }

    /// Has the driver carry out what it put off, unless a turn is under way.
    pub(crate) fn flush(&self) {
        if let Ok(mut driver) = self.driver.try_borrow_mut() {
            driver.flush();
        }
    }

    /// Where the pool's threads are at work and tend to be done at once, looks for that before the loop sleeps;
    /// whether anything came.
    pub(crate) fn look_for_jobs(
        &self,
        driver: &mut dyn Driver,
        patience: Option<Duration>,
    ) -> bool {
        let sleeps = patience != Some(Duration::ZERO) && !self.jobs.borrow().is_empty();
        if !sleeps || !self.hope.borrow_mut().is_there() {
            return false;
        }
        driver.flush();
        let came = self.remote.look();
        self.hope.borrow_mut().learn(came);
        came
    }

    /// How long the loop may sleep; `None` is for ever. `now` is what the clock has just shown, if that is known.
    pub(crate) fn patience(&self, now: Option<Duration>) -> Option<Duration> {
        if (self.carrier.is_stirred() && self.has_more_to_do()) || self.remote.is_waiting() {
            return Some(Duration::ZERO);
        }
        let due = self.wheel.borrow().next_due()?;
        Some(due.saturating_sub(now.unwrap_or_else(|| self.carrier.refresh())))
    }

    /// Whether anything waits that this thread has asked for.
    #[inline(never)]
    fn has_more_to_do(&self) -> bool {
        let has_more = !self.unfinished.borrow().is_empty()
            || !self.requests.borrow().is_empty()
            || !self.always_ready.borrow().is_empty()
            || self.carrier.is_any_woken();
        self.carrier.set_stirred(has_more);
        has_more
    }

    /// Carries out what was asked for meanwhile; what that leads to has its turn later.
    #[inline]
    pub(crate) fn carry_out(self: &Rc<Self>, driver: &mut dyn Driver) {
        if self.is_asked() {
            self.carry_out_requests(driver);
        }
    }

    /// Whether something was asked for that is still to be carried out.
    pub(crate) fn is_asked(&self) -> bool {
        self.carrier.is_stirred() && !self.requests.borrow().is_empty()
    }

    #[inline(never)]
    fn carry_out_requests(self: &Rc<Self>, driver: &mut dyn Driver) {
        let count = self.requests.borrow().len();
        for _ in 0..count {
            let Some(request) = self.requests.borrow_mut().pop_front() else { return };
            match request {
                Request::Listen { key, socket } => {
                    let Some(id) = self.with_listener(key, |listener| listener.id) else {
                        continue;
                    };
                    if let Err(error) = self.open_listener(driver, key, socket) {
                        tracing::error!(
                            target: "ropewalk::reactor",
                            "a listener was given up, as it cannot be watched: {error}",
                        );
                        self.end_listener(driver, key, id);
                    }
                }
                Request::StopListening { key, id, done } => {
                    self.stop_listener(driver, key, id);
                    done.succeed(());
                }
                Request::TryNext { key, id } => self.try_next(driver, key, id),
                Request::OpenPort { key, id, socket, peer } => {
                    self.start_port(driver, key, id, socket, peer);
                }
                Request::RefusePort { mut seat, why } => seat.handle(DatagramEvent::Stopped(why)),
                Request::Adopt { key, id, socket, peer } => {
                    self.take_over(driver, key, id, socket, peer);
                }
                Request::Watch { key, id, own, role } => {
                    self.start_watch(driver, key, id, own, role);
                }
                Request::ChangeWatch { key, id } => self.change_watch(driver, key, id),
                Request::EndWatch { key, id } => self.end_watch(driver, key, id),
                Request::Cut { key, since } => {
                    if self.with_stream(key, |stream| stream.since) == Some(since) {
                        self.lose(driver, key, Disconnect::Aborted);
                    }
                }
                Request::StartProcess { id } => self.start_process(driver, id),
                Request::File { id, operation } => self.start_file(driver, id, operation),
            }
        }
    }

    /// Ends everything that goes on: connections, listeners, calls, tasks.
    ///
    /// Whoever is told may ask for more, which is ended too; who never stops asking is not told of
    /// the last that he asked for.
    pub(crate) fn end_everything(&self, driver: &mut dyn Driver) {
        for _ in 0..ENDINGS_MAX {
            let requests = self.requests.take();
            let keys = self.keys_to_end();
            if keys.is_empty() && requests.is_empty() && self.is_without_work() {
                break;
            }
            for request in requests {
                match request {
                    Request::StopListening { key, id, done } => {
                        self.end_listener(driver, key, id);
                        done.succeed(());
                    }
                    Request::RefusePort { mut seat, why } => {
                        seat.handle(DatagramEvent::Stopped(why));
                    }
                    // Whoever these are about is ended below.
                    _ => (),
                }
            }
            self.processes.end_all(true);
            for key in keys {
                self.end_entry(driver, key, true);
            }
            self.tasks.clear();
            self.calls.clear();
            drop(self.jobs.take());
            drop(self.files.take());
        }
        let left = self.keys_to_end();
        if !left.is_empty() {
            tracing::error!(
                target: "ropewalk::reactor",
                count = left.len(),
                "connections were asked for again and again while everything was ended",
            );
        }
        self.processes.end_all(false);
        for key in left {
            self.end_entry(driver, key, false);
        }
        self.unfinished.borrow_mut().clear();
        self.starving.borrow_mut().clear();
        self.carrier.take_woken(&mut Vec::new());
    }

    fn is_without_work(&self) -> bool {
        self.tasks.len() == 0
            && self.processes.len() == 0
            && self.calls.len() == 0
            && self.jobs.borrow().is_empty()
            && self.files.borrow().is_empty()
    }

    fn keys_to_end(&self) -> Vec<usize> {
        let entries = self.entries.borrow();
        let ends = |entry: &Entry| !matches!(entry, Entry::Runner { .. } | Entry::Watch(_));
        entries.iter().filter(|(_, entry)| ends(entry)).map(|(key, _)| key).collect()
    }

    fn end_entry(&self, driver: &mut dyn Driver, key: usize, tell: bool) {
        if let Some(id) = self.with_listener(key, |listener| listener.id) {
            return self.end_listener(driver, key, id);
        }
        if self.is_lingering(key) {
            return self.end_lingering(driver, key);
        }
        if let Some(id) = self.with_port(key, |port| port.id) {
            self.stop_port(driver, key, id, Disconnect::Stopped);
            return;
        }
        if let Some(id) = self.watch_of(key) {
            if tell {
                return self.lose_watch(driver, key, id, WatchEnd::Stopped);
            }
            return self.end_watch(driver, key, id);
        }
        let Some(Entry::Stream(mut stream)) = self.take_entry(key) else { return };
        // A peer that got only a part is not to take it for the whole.
        let how = if stream.backlogged { Closing::Reset } else { Closing::InOrder };
        driver.close(key, how);
        self.forget(driver, key, &mut stream);
        self.tally.ended(Disconnect::Stopped);
        if let Some(mut seat) = stream.seat.filter(|_| tell) {
            seat.handle(Event::Lost(Disconnect::Stopped));
        }
    }

    pub(crate) fn take_entry(&self, key: usize) -> Option<Entry> {
        self.entries.borrow_mut().try_remove(key)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.remote.close();
        let mut driver = self.driver.borrow_mut();
        self.end_everything(&mut **driver);
    }
}

/// Makes a driver's descriptor tell of everything that was asked for.
pub(crate) fn expose(driver: &mut dyn Driver) {
    if let Err(error) = driver.expose() {
        tracing::error!(
            target: "ropewalk::reactor",
            "the loop's descriptor does not tell of everything: {error}",
        );
    }
}

#[cfg(test)]
mod tests {
    use rustix::fd::OwnedFd;

    use super::{Due, Entry};
    use crate::carrier::Peer;
    use crate::sys::ReadinessEntry;
    use crate::wheel::Timer;

    /// What a place in a slab takes.
    #[expect(dead_code, reason = "it is only measured")]
    enum Place<T> {
        Vacant(usize),
        Occupied(T),
    }

    /// Of the 400 bytes that an idle connection may take at all; its seat takes the rest.
    #[test]
    fn an_idle_connection_takes_little_room_in_the_reactor() {
        let parts = [
            ("entry", size_of::<Place<Entry>>()),
            ("timer", size_of::<Timer<Due>>()),
            ("peer", size_of::<Peer>()),
            ("descriptor", size_of::<Option<OwnedFd>>()),
            ("driver", size_of::<ReadinessEntry>()),
        ];
        let sum: usize = parts.iter().map(|part| part.1).sum();
        assert!(sum <= 116, "{sum} bytes: {parts:?}");
    }
}
