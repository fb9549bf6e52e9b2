//! Connecting.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{Address, Disconnect, Event, Seat, Transport, defer_to_threads};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr};

use crate::Reactor;
use crate::inner::{Entry, Inner, Purpose, Request, Stream};
use crate::listener::stream_socket;
use crate::sys::{Closing, Driver, Role};

/// How long connecting may take, unless said otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    timeout: Duration,
    bind: Option<SocketAddr>,
    v6_only: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { timeout: TIMEOUT_DEFAULT, bind: None, v6_only: false }
    }
}

impl ConnectOptions {
    /// How long everything may take, the look-up of a name included; 30 seconds unless set.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The address to connect from; the system's choice unless set.
    pub fn bind(self, address: SocketAddr) -> Self {
        Self { bind: Some(address), ..self }
    }

    /// Whether a name stands for its IPv6 addresses alone; it stands for all of them unless set.
    pub fn v6_only(self, v6_only: bool) -> Self {
        Self { v6_only, ..self }
    }

    /// Whether an address that was found for a name is of use.
    fn admits(self, address: &SocketAddr) -> bool {
        let bound = self.bind.is_none_or(|bind| bind.is_ipv6() == address.is_ipv6());
        bound && (address.is_ipv6() || !self.v6_only)
    }
}

/// One attempt to connect, over one or several addresses in turn.
pub(crate) struct Attempt {
    targets: VecDeque<Target>,
    /// The one that is being tried.
    current: Option<Target>,
    bind: Option<SocketAddr>,
    /// Tells this attempt from others that used its key.
    id: u64,
    /// The names are still being looked up.
    resolving: bool,
    /// What the first address said: it is the one that was meant.
    first_failure: Option<Disconnect>,
}

#[derive(Clone)]
enum Target {
    Ip(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    fn address(&self) -> Address {
        match self {
            Self::Ip(address) => Address::Ip(*address),
            Self::Unix(path) => Address::Unix(path.clone()),
        }
    }
}

impl Reactor {
    /// Connects to an Internet address; a failure reaches the seat as its end.
    pub fn connect_tcp(&self, address: SocketAddr, options: ConnectOptions, seat: Box<dyn Seat>) {
        let key = self.begin(options, seat, false);
        self.inner().set_targets(key.0, key.1, Ok([Target::Ip(address)].into()));
    }

    /// Connects to a host by name, trying each of its addresses in turn.
    ///
    /// Those that the options rule out are passed over, as are those that an address to connect from
    /// cannot reach: a name that has no other ends in [`Disconnect::UnknownHost`].
    ///
    /// The name is looked up in the thread pool, by the system's own resolver.
    pub fn connect_name(
        &self,
        host: &str,
        port: u16,
        options: ConnectOptions,
        seat: Box<dyn Seat>,
    ) {
        let (key, id) = self.begin(options, seat, true);
        let name = (host.to_owned(), port);
        let found = match self.inner().carrier.platform() {
            Some(platform) => platform.resolve(host, port),
            None => defer_to_threads(self, move || {
                name.to_socket_addrs().map(Iterator::collect::<Vec<_>>).map_err(Failure::from)
            }),
        };
        let inner = Rc::downgrade(self.inner());
        found.on_result(move |found| {
            let Some(inner) = inner.upgrade() else { return };
            let mut addresses = found.unwrap_or_default();
            addresses.retain(|address| options.admits(address));
            let targets = if addresses.is_empty() {
                Err(Disconnect::UnknownHost)
            } else {
                Ok(addresses.into_iter().map(Target::Ip).collect())
            };
            inner.set_targets(key, id, targets);
        });
    }

    /// Connects to a Unix socket.
    pub fn connect_unix(&self, path: &Path, options: ConnectOptions, seat: Box<dyn Seat>) {
        let (key, id) = self.begin(options, seat, false);
        self.inner().set_targets(key, id, Ok([Target::Unix(path.to_owned())].into()));
    }

    fn begin(
        &self,
        options: ConnectOptions,
        mut seat: Box<dyn Seat>,
        resolving: bool,
    ) -> (usize, u64) {
        let inner = self.inner();
        let id = inner.next_id();
        let attempt = Attempt {
            targets: VecDeque::new(),
            current: None,
            bind: options.bind,
            id,
            resolving,
            first_failure: None,
        };
        let mut entries = inner.entries.borrow_mut();
        let place = entries.vacant_entry();
        let key = place.key();
        seat.attach(Rc::clone(&inner.carrier) as Rc<dyn Transport>, key);
        let now = inner.carrier.now();
        let due = now.saturating_add(options.timeout);
        let timer = inner.wheel.borrow_mut().add(now, due, Purpose::Stream(key).into());
        place.insert(Entry::Stream(Stream::connecting(seat, timer, attempt)));
        inner.carrier.touch();
        (key, id)
    }
}

impl Inner {
    /// The addresses of an attempt are known.
    fn set_targets(&self, key: usize, id: u64, targets: Result<VecDeque<Target>, Disconnect>) {
        let current = self.with_stream(key, |stream| {
            let Some(attempt) = stream.attempt.as_mut().filter(|attempt| attempt.id == id) else {
                return false;
            };
            attempt.resolving = false;
            match targets {
                Ok(targets) => attempt.targets = targets,
                Err(why) => attempt.first_failure = Some(why),
            }
            true
        });
        if current == Some(true) {
            self.request(Request::TryNext { key, id });
        }
    }

    /// Tries the next address of an attempt, or gives it up.
    pub(crate) fn try_next(&self, driver: &mut dyn Driver, key: usize, id: u64) {
        loop {
            let next = self.with_stream(key, |stream| {
                let attempt = stream.attempt.as_mut().filter(|attempt| attempt.id == id)?;
                attempt.current = attempt.targets.pop_front();
                Some((attempt.current.clone(), attempt.bind, attempt.first_failure))
            });
            let Some(Some((target, bind, failure))) = next else { return };
            let Some(target) = target else {
                return self.lose(driver, key, failure.unwrap_or(Disconnect::UnknownHost));
            };
            let started = match self.carrier.platform() {
                Some(platform) => {
                    platform.connect(&target.address(), bind).map(|socket| (socket, false))
                }
                None => start(&target, bind).map(|(socket, connected)| (socket.into(), connected)),
            };
            let outcome = started.and_then(|(socket, connected)| {
                let role = if connected { Role::Stream } else { Role::Connecting };
                driver.open(key, socket, role).map(|()| connected)
            });
            match outcome {
                Ok(true) => return self.made(driver, key),
                Ok(false) => return,
                Err(error) => self.note_failure(driver, key, &error),
            }
        }
    }

    /// An attempt has its connection, or its address was no good.
    pub(crate) fn connected(&self, driver: &mut dyn Driver, key: usize, result: &io::Result<()>) {
        match result {
            Ok(()) => self.made(driver, key),
            Err(error) => {
                self.note_failure(driver, key, error);
                let attempt = |stream: &mut Stream| stream.attempt.as_ref().map(|a| a.id);
                if let Some(id) = self.with_stream(key, attempt).flatten() {
                    self.try_next(driver, key, id);
                }
            }
        }
    }

    fn made(&self, driver: &mut dyn Driver, key: usize) {
        let taken = self.with_stream(key, |stream| {
            stream.reading = true;
            (stream.attempt.take(), stream.timer.take(), stream.seat.take())
        });
        let Some((attempt, timer, Some(mut seat))) = taken else { return };
        if let Some(timer) = timer {
            self.wheel.borrow_mut().remove(timer);
        }
        if let Some(target) = attempt.and_then(|attempt| attempt.current) {
            self.carrier.set_peer(key, target.address());
        }
        seat.handle(Event::Made);
        self.settle(driver, key, seat);
    }

    fn note_failure(&self, driver: &mut dyn Driver, key: usize, error: &io::Error) {
        driver.close(key, Closing::InOrder);
        self.with_stream(key, |stream| {
            if let Some(attempt) = &mut stream.attempt {
                attempt.first_failure.get_or_insert(Disconnect::from(error));
            }
        });
    }

    pub(crate) fn attempt_timed_out(&self, driver: &mut dyn Driver, key: usize) {
        self.lose(driver, key, Disconnect::TimedOut);
    }
}

impl Stream {
    fn connecting(seat: Box<dyn Seat>, timer: crate::wheel::TimerKey, attempt: Attempt) -> Self {
        Self {
            seat: Some(seat),
            timer: Some(timer),
            reading: false,
            ended: false,
            write_ended: false,
            backlogged: false,
            attempt: Some(Box::new(attempt)),
        }
    }
}

/// Makes a socket and starts to connect it; true if it is connected already.
fn start(target: &Target, bind: Option<SocketAddr>) -> io::Result<(OwnedFd, bool)> {
    let (socket, address) = match target {
        Target::Ip(address) => {
            let domain = Domain::for_address(*address);
            let socket = stream_socket(domain, Some(Protocol::TCP))?;
            socket.set_tcp_nodelay(true)?;
            if let Some(bind) = bind {
                socket.bind(&bind.into())?;
            }
            (socket, SockAddr::from(*address))
        }
        Target::Unix(path) => (stream_socket(Domain::UNIX, None)?, SockAddr::unix(path)?),
    };
    let connected = match socket.connect(&address) {
        Ok(()) => true,
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => false,
        Err(error) => return Err(error),
    };
    Ok((socket.into(), connected))
}
