//! Connecting.

use rustix::fd::OwnedFd;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{
    ATTEMPT_DELAY, Address, CannotConnect, Disconnect, Event, ResolveError, Resolver, Seat,
    Transport,
};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::attempt::{Attempt, Runner, Step};
use crate::inner::{Entry, Inner, Purpose, Request, Stream};
use crate::sys::os::{self, unix_address};
use crate::sys::{Closing, Driver, Role};
use crate::under_way::Kind;
use crate::{Reactor, SystemResolver, TcpOptions};

/// How long connecting may take, unless said otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    timeout: Duration,
    bind: Option<SocketAddr>,
    v6_only: bool,
    delay: Duration,
    tcp: TcpOptions,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: TIMEOUT_DEFAULT,
            bind: None,
            v6_only: false,
            delay: ATTEMPT_DELAY,
            tcp: TcpOptions::default(),
        }
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

    /// How long an address of a name has before the next one is tried beside it;
    /// [`ATTEMPT_DELAY`] unless set, and within the bounds of
    /// [`Race::with_delay`](ropewalk_protocol::Race::with_delay).
    pub fn attempt_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// What else is set on TCP connections.
    pub fn tcp(self, tcp: TcpOptions) -> Self {
        Self { tcp, ..self }
    }

    pub(crate) fn delay(self) -> Duration {
        self.delay
    }

    /// Whether an address that was found for a name is of use.
    fn admits(self, address: &SocketAddr) -> bool {
        let bound = self.bind.is_none_or(|bind| bind.is_ipv6() == address.is_ipv6());
        bound && (address.is_ipv6() || !self.v6_only)
    }
}

impl Reactor {
    /// Connects to an Internet address; a failure reaches the seat as its end.
    #[track_caller]
    pub fn connect_tcp(&self, address: SocketAddr, options: ConnectOptions, seat: Box<dyn Seat>) {
        self.begin(options, seat, |attempt| attempt.set_race(vec![address]));
    }

    /// Connects to whichever of these addresses answers first (RFC 8305), and to no other; a failure
    /// reaches the seat as its end. Those that the options rule out are passed over.
    pub fn connect_addresses(
        &self,
        addresses: &[SocketAddr],
        options: ConnectOptions,
        seat: Box<dyn Seat>,
    ) {
        let host = addresses.first().map(ToString::to_string).unwrap_or_default();
        let found = Ok(addresses.to_vec());
        self.begin(options, seat, |attempt| found_for(attempt, &host, found));
    }

    /// Connects to a host by name: to whichever of its addresses answers first (RFC 8305).
    ///
    /// Addresses that the options rule out are passed over, as are those that an address to connect
    /// from cannot reach: a name that has no other ends in [`Disconnect::UnknownHost`]. Where no
    /// address can be connected to, the seat is told the reason of the first that failed, and
    /// [`Conn::cannot_connect`](ropewalk_protocol::Conn::cannot_connect) names them all.
    ///
    /// The name is looked up by the reactor's [resolver](Self::set_resolver); a host that is an
    /// address needs no look-up.
    #[track_caller]
    pub fn connect_name(
        &self,
        host: &str,
        port: u16,
        options: ConnectOptions,
        seat: Box<dyn Seat>,
    ) {
        if let Ok(address) = host.parse::<IpAddr>() {
            let address = SocketAddr::new(address, port);
            let found = Ok(vec![address]);
            return self.begin(options, seat, |attempt| found_for(attempt, host, found));
        }
        let (key, id) = self.take_in(options, seat);
        let (weak, name) = (Rc::downgrade(self.inner()), host.to_owned());
        let canceller = self.resolve(host, port).on_result(move |found| {
            let Some(inner) = weak.upgrade() else { return };
            let known = inner.with_attempt(key, id, |attempt| {
                attempt.is_resolving().then(|| found_for(attempt, &name, found)).is_some()
            });
            if known == Some(true) {
                inner.request(Request::TryNext { key, id });
            }
        });
        self.inner().with_attempt(key, id, |attempt| attempt.set_question(canceller));
    }

    /// Connects to a Unix socket. One whose queue is full is waited for.
    #[track_caller]
    pub fn connect_unix(&self, path: &Path, options: ConnectOptions, seat: Box<dyn Seat>) {
        self.begin(options, seat, |attempt| attempt.set_path(Address::Unix(path.to_owned())));
    }

    /// Connects to a Unix socket by its name in Linux's abstract namespace, without the zero byte
    /// before it.
    #[track_caller]
    pub fn connect_abstract(&self, name: &[u8], options: ConnectOptions, seat: Box<dyn Seat>) {
        self.begin(options, seat, |attempt| attempt.set_path(Address::Abstract(name.to_owned())));
    }

    /// Has names looked up by `resolver` from now on, in place of the system's.
    pub fn set_resolver(&self, resolver: impl Resolver + 'static) {
        self.inner().resolver.replace(Some(Rc::new(resolver)));
    }

    /// Takes an attempt in that knows where it is to go.
    #[track_caller]
    fn begin(&self, options: ConnectOptions, seat: Box<dyn Seat>, plan: impl FnOnce(&mut Attempt)) {
        let (key, id) = self.take_in(options, seat);
        self.inner().with_attempt(key, id, plan);
        self.inner().request(Request::TryNext { key, id });
    }

    #[track_caller]
    pub(crate) fn take_in(&self, options: ConnectOptions, mut seat: Box<dyn Seat>) -> (usize, u64) {
        let inner = self.inner();
        let id = inner.next_id();
        let now = inner.carrier.now();
        let due = now.saturating_add(options.timeout);
        let mut entries = inner.entries.borrow_mut();
        let place = entries.vacant_entry();
        let key = place.key();
        seat.attach(Rc::clone(&inner.carrier) as Rc<dyn Transport>, key);
        let timer = inner.wheel.borrow_mut().add(now, due, Purpose::Stream(key).into());
        let source = inner.tally.opened(0, &*seat);
        place.insert(Entry::Stream(Stream::connecting(
            source,
            now,
            seat,
            timer,
            Attempt::new(id, options, due),
        )));
        inner.origins.note(Kind::Entry, key);
        inner.carrier.touch();
        (key, id)
    }
}

impl Resolver for Reactor {
    /// Asks the resolver that was [set](Reactor::set_resolver), or else the system's.
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        let inner = self.inner();
        let resolver = inner.resolver.borrow().clone();
        match (resolver, inner.carrier.platform()) {
            (Some(resolver), _) => resolver.resolve(host, port),
            (None, Some(platform)) => platform.resolve(host, port),
            (None, None) => {
                let system: Rc<dyn Resolver> = Rc::new(SystemResolver::new(self));
                inner.resolver.replace(Some(Rc::clone(&system)));
                system.resolve(host, port)
            }
        }
    }
}

/// Gives an attempt the addresses that were found, or none.
fn found_for(attempt: &mut Attempt, host: &str, found: Result<Vec<SocketAddr>, Failure>) {
    let options = attempt.options;
    let unknown = || ResolveError::NoAddress { host: host.to_owned() };
    let error = match found {
        Ok(mut addresses) => {
            addresses.retain(|address| options.admits(address));
            if !addresses.is_empty() {
                return attempt.set_race(addresses);
            }
            unknown()
        }
        Err(failure) => failure.check::<ResolveError>().cloned().unwrap_or_else(|| {
            ResolveError::Failed { host: host.to_owned(), reason: failure.to_string() }
        }),
    };
    attempt.set_nowhere(CannotConnect::unresolved(error));
}

impl Inner {
    pub(crate) fn with_attempt<T>(
        &self,
        key: usize,
        id: u64,
        look: impl FnOnce(&mut Attempt) -> T,
    ) -> Option<T> {
        self.with_stream(key, |stream| {
            let attempt = stream.attempt.as_mut().filter(|attempt| attempt.id == id)?;
            Some(look(attempt))
        })
        .flatten()
    }

    /// Takes an attempt as far as it goes now.
    pub(crate) fn try_next(&self, driver: &mut dyn Driver, key: usize, id: u64) {
        loop {
            let now = self.carrier.now();
            let step = |attempt: &mut Attempt| (attempt.step(now), attempt.options);
            match self.with_attempt(key, id, step) {
                None => return,
                Some((Step::Start(address), options)) => {
                    let started = self.start(driver, key, id, &address, options);
                    match started {
                        Ok(false) => (),
                        Ok(true) => return,
                        Err(error) => {
                            self.with_attempt(key, id, |a| a.fail(now, &address, &error));
                        }
                    }
                }
                Some((Step::Wait(until), _)) => return self.look_again(key, until),
                Some((Step::GiveUp(error), _)) => return self.give_up(driver, key, error),
            }
        }
    }

    /// Starts to connect to an address; true if that has made the connection.
    fn start(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        id: u64,
        address: &Address,
        options: ConnectOptions,
    ) -> io::Result<bool> {
        let (socket, is_connected) = match self.carrier.platform() {
            Some(platform) => (platform.connect(address, options.bind)?, false),
            None => connect(address, options).map(|(socket, is)| (socket.into(), is))?,
        };
        if is_connected {
            self.won(driver, key, address.clone(), |driver| driver.open(key, socket, Role::Stream));
            return Ok(true);
        }
        // The first has the connection's own key; it rarely has company.
        let is_first = self.with_attempt(key, id, |a| a.running.iter().all(|r| r.key != key));
        let runner = if is_first == Some(true) {
            key
        } else {
            self.entries.borrow_mut().insert(Entry::Runner { owner: key })
        };
        if let Err(error) = driver.open(runner, socket, Role::Connecting) {
            self.end_runner(driver, key, runner);
            return Err(error);
        }
        let address = address.clone();
        self.with_attempt(key, id, |a| a.running.push(Runner { key: runner, address }));
        Ok(false)
    }

    /// A socket is connected, or will not be.
    pub(crate) fn connected(&self, driver: &mut dyn Driver, runner: usize, result: io::Result<()>) {
        let owner = match self.entries.borrow().get(runner) {
            Some(Entry::Stream(_)) => runner,
            Some(Entry::Runner { owner }) => *owner,
            _ => return,
        };
        let take = |stream: &mut Stream| {
            let attempt = stream.attempt.as_mut()?;
            Some((attempt.id, attempt.take_runner(runner)?.address))
        };
        let Some((id, address)) = self.with_stream(owner, take).flatten() else { return };
        match result {
            Ok(()) if runner == owner => self.won(driver, owner, address, |_| Ok(())),
            Ok(()) => self.won(driver, owner, address, |driver| {
                self.entries.borrow_mut().try_remove(runner);
                let socket = driver.release(runner).ok_or(Errno::BADF)?;
                driver.open(owner, socket, Role::Stream)
            }),
            Err(error) => {
                self.end_runner(driver, owner, runner);
                let now = self.carrier.now();
                self.with_attempt(owner, id, |attempt| attempt.fail(now, &address, &error));
                self.try_next(driver, owner, id);
            }
        }
    }

    /// An attempt has its connection, which `take` puts under the connection's own key.
    pub(crate) fn won(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        address: Address,
        take: impl FnOnce(&mut dyn Driver) -> io::Result<()>,
    ) {
        let taken = self.with_stream(key, |stream| (stream.attempt.take(), stream.timer.take()));
        let Some((Some(attempt), timer)) = taken else { return };
        if let Some(timer) = timer {
            self.wheel.borrow_mut().remove(timer);
        }
        self.end_runners(driver, key, &attempt);
        drop(attempt);
        if let Err(error) = take(driver) {
            return self.lose(driver, key, Disconnect::from(&error));
        }
        self.with_stream(key, |stream| stream.reading = true);
        let Some(mut seat) = self.take_seat(key) else { return };
        self.carrier.set_peer(key, address);
        seat.handle(Event::Made);
        self.settle(driver, key, seat);
    }

    /// Has an attempt looked at again at that time.
    fn look_again(&self, key: usize, at: Duration) {
        let now = self.carrier.now();
        self.with_stream(key, |stream| {
            let mut wheel = self.wheel.borrow_mut();
            match stream.timer {
                Some(timer) if wheel.due(timer) != at => wheel.reset(timer, now, at),
                Some(_) => (),
                None => stream.timer = Some(wheel.add(now, at, Purpose::Stream(key).into())),
            }
        });
    }

    /// An attempt's timer came due.
    pub(crate) fn attempt_due(&self, driver: &mut dyn Driver, key: usize) {
        let now = self.carrier.now();
        let due = self.with_stream(key, |stream| {
            let attempt = stream.attempt.as_mut()?;
            let is_late = now >= attempt.deadline;
            Some((attempt.id, is_late.then(|| attempt.time_out())))
        });
        match due.flatten() {
            Some((_, Some(error))) => self.give_up(driver, key, error),
            Some((id, None)) => self.try_next(driver, key, id),
            None => (),
        }
    }

    /// Ends an attempt that came to nothing.
    fn give_up(&self, driver: &mut dyn Driver, key: usize, error: CannotConnect) {
        tracing::debug!(target: "ropewalk::reactor", "{error}");
        let why = error.why;
        self.carrier.set_cannot_connect(Some((key, error)));
        self.lose(driver, key, why);
        self.carrier.set_cannot_connect(None);
    }

    /// Ends the sockets of an attempt.
    pub(crate) fn end_runners(&self, driver: &mut dyn Driver, owner: usize, attempt: &Attempt) {
        for runner in &attempt.running {
            self.end_runner(driver, owner, runner.key);
        }
    }

    fn end_runner(&self, driver: &mut dyn Driver, owner: usize, runner: usize) {
        driver.close(runner, Closing::InOrder);
        if runner != owner {
            self.entries.borrow_mut().try_remove(runner);
        }
    }
}

impl Stream {
    fn connecting(
        source: u32,
        now: Duration,
        seat: Box<dyn Seat>,
        timer: crate::wheel::TimerKey,
        attempt: Attempt,
    ) -> Self {
        Self {
            seat: Some(seat),
            timer: Some(timer),
            source,
            since: now.as_millis() as u32,
            received: 0,
            sent: 0,
            reading: false,
            ended: false,
            write_ended: false,
            backlogged: false,
            attempt: Some(Box::new(attempt)),
        }
    }
}

/// Makes a socket and starts to connect it; true if it is connected already.
fn connect(address: &Address, options: ConnectOptions) -> io::Result<(OwnedFd, bool)> {
    let (socket, address) = match address {
        Address::Ip(address) => {
            let domain = Domain::for_address(*address);
            let socket = os::socket(domain, Type::STREAM, Some(Protocol::TCP))?;
            options.tcp.apply(&socket)?;
            if let Some(bind) = options.bind {
                // Several attempts may go out from one port.
                socket.set_reuse_address(bind.port() != 0)?;
                socket.bind(&bind.into())?;
            }
            (socket, SockAddr::from(*address))
        }
        other => (os::socket(Domain::UNIX, Type::STREAM, None)?, unix_address(other)?),
    };
    let is_connected = match socket.connect(&address) {
        Ok(()) => true,
        Err(error) if os::is_under_way(&error) => false,
        Err(error) => return Err(error),
    };
    Ok((socket.into(), is_connected))
}
