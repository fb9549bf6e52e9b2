//! Listening, and what happens when the descriptors run out.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_protocol::{Address, Disconnect, Port, Seat, SeatFactory, Transport};
use socket2::{Domain, Protocol, Type};

use crate::inner::{Entry, Inner, Listener, Purpose, Request, Sharing};
use crate::siblings::Bind;
use crate::sys::os::{self, SocketFile, listen_at, listen_at_name};
use crate::sys::{Closing, Driver, Socket as AnySocket};
use crate::tally::{self, Runs};
use crate::under_way::Kind;
use crate::{CannotListen, Reactor, TcpOptions};

/// How many of those who wait are accepted when listening stops.
const LAST_ACCEPTS_MAX: usize = 4096;
/// How long a listener without descriptors waits before it turns away who is waiting.
const STARVING_PATIENCE: Duration = Duration::from_secs(1);

/// How to listen on an Internet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpListenOptions {
    backlog: i32,
    v6_only: bool,
    reuse_port: bool,
    defer_accept: bool,
    tcp: TcpOptions,
}

impl Default for TcpListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            v6_only: true,
            reuse_port: false,
            defer_accept: false,
            tcp: TcpOptions::default(),
        }
    }
}

impl TcpListenOptions {
    /// How many connections may wait to be accepted; 1024 unless set, and never more than the
    /// system's own bound.
    pub fn backlog(self, backlog: u16) -> Self {
        Self { backlog: backlog.into(), ..self }
    }

    /// Whether an IPv6 listener leaves IPv4 to others; it does unless told otherwise.
    pub fn v6_only(self, v6_only: bool) -> Self {
        Self { v6_only, ..self }
    }

    /// Whether others that say so too may listen on the same address, in this process or another of
    /// the same user (`SO_REUSEPORT`): the system then deals the connections out. Not unless set.
    pub fn reuse_port(self, reuse_port: bool) -> Self {
        Self { reuse_port, ..self }
    }

    /// Whether a connection is only told of once its peer has sent something, which spares a wait
    /// where clients speak first, as they do in TLS and HTTP. One that says nothing is told of about a
    /// second after it was made. Linux alone can (`TCP_DEFER_ACCEPT`); elsewhere nothing changes. Not
    /// unless set.
    pub fn defer_accept(self, defer_accept: bool) -> Self {
        Self { defer_accept, ..self }
    }

    /// What is set on the connections that are accepted.
    pub fn tcp(self, tcp: TcpOptions) -> Self {
        Self { tcp, ..self }
    }
}

/// How to listen on a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixListenOptions {
    pub(crate) backlog: i32,
    pub(crate) mode: u32,
}

impl Default for UnixListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, mode: 0o600 }
    }
}

impl UnixListenOptions {
    /// How many connections may wait to be accepted; 1024 unless set.
    pub fn backlog(self, backlog: u16) -> Self {
        Self { backlog: backlog.into(), ..self }
    }

    /// The socket's permissions; only its owner may connect unless set.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }
}

/// A place where a reactor listens, or receives datagrams. Dropping it changes nothing.
pub struct ListeningPort {
    inner: Weak<Inner>,
    key: usize,
    id: u64,
    address: Address,
}

impl ListeningPort {
    pub(crate) fn new(inner: &Rc<Inner>, key: usize, id: u64, address: Address) -> Self {
        Self { inner: Rc::downgrade(inner), key, id, address }
    }
}

impl Port for ListeningPort {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn stop_listening(&self) -> Deferred<()> {
        let Some(inner) = self.inner.upgrade() else { return Deferred::succeed(()) };
        // Outside a turn nobody is busy, and the place is free when this returns.
        if let Ok(mut driver) = inner.driver.try_borrow_mut() {
            inner.stop_listener(&mut **driver, self.key, self.id);
            return Deferred::succeed(());
        }
        let (done, stopped) = deferred();
        inner.request(Request::StopListening { key: self.key, id: self.id, done });
        stopped
    }
}

impl fmt::Debug for ListeningPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListeningPort").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Reactor {
    /// Listens on an Internet address; port 0 lets the system choose, and
    /// [`Port::address`] tells what it chose.
    ///
    /// # Errors
    ///
    /// If the system refuses: the address is in use, is not this machine's, or wants privilege.
    #[track_caller]
    pub fn listen_tcp(
        &self,
        address: SocketAddr,
        options: TcpListenOptions,
        factory: Box<dyn SeatFactory>,
    ) -> Result<ListeningPort, CannotListen> {
        let _asking = self.inner().origins.ask();
        let mut bind = |place: &Address, shared: bool| {
            let address = place.ip().unwrap_or(address);
            let socket =
                os::socket(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
            os::reuse_to_listen(&socket)?;
            if options.reuse_port || shared {
                os::share_port(&socket)?;
            }
            // Accepted sockets inherit these.
            options.tcp.apply(&socket)?;
            if address.is_ipv6() {
                socket.set_only_v6(options.v6_only)?;
            }
            socket.bind(&address.into())?;
            if options.defer_accept {
                os::defer_accept(&socket)?;
            }
            socket.listen(options.backlog)?;
            let bound = socket.local_addr()?.as_socket();
            Ok((OwnedFd::from(socket), Address::Ip(bound.unwrap_or(address))))
        };
        let place = Address::Ip(address);
        let bound = match self.inner().carrier.platform() {
            Some(platform) => platform.listen(&place, options.backlog),
            None => self.bind(&place, &mut bind),
        };
        bound
            .and_then(|(socket, bound)| {
                let deferring = options.defer_accept;
                self.start_listening(
                    socket,
                    bound,
                    Listens { deferring, ..Listens::default() },
                    factory,
                )
            })
            .map_err(|error| CannotListen { address: place, error })
    }

    /// Listens on a Unix socket at `path`; the path is removed when listening stops.
    ///
    /// A socket that an earlier process left behind is replaced; one that is in use is not. While
    /// that is found out, a file beside it, `PATH.lock`, is locked: of two that begin to listen at
    /// once, one is refused.
    ///
    /// # Errors
    ///
    /// If the path is taken by anything else, or the system refuses.
    #[track_caller]
    pub fn listen_unix(
        &self,
        path: &Path,
        options: UnixListenOptions,
        factory: Box<dyn SeatFactory>,
    ) -> Result<ListeningPort, CannotListen> {
        let _asking = self.inner().origins.ask();
        let address = Address::Unix(path.to_owned());
        let bound = match self.inner().carrier.platform() {
            Some(platform) => {
                platform.listen(&address, options.backlog).map(|(socket, _)| (socket, None))
            }
            None => {
                let mut file = None;
                let mut bind = |address: &Address, _: bool| {
                    let (socket, place) = listen_at(path, options)?;
                    file = Some(place);
                    Ok((OwnedFd::from(socket), address.clone()))
                };
                let bound = self.bind(&address, &mut bind);
                bound.map(|(socket, _)| (socket, file))
            }
        };
        bound
            .and_then(|(socket, place)| {
                self.start_listening(
                    socket,
                    address.clone(),
                    Listens { place, ..Listens::default() },
                    factory,
                )
            })
            .map_err(|error| CannotListen { address, error })
    }

    /// Listens on a Unix socket at a name in Linux's abstract namespace, which has no file and no
    /// permissions: whoever is in the same network namespace may connect.
    ///
    /// # Errors
    ///
    /// If the name is taken or too long, or the system refuses.
    #[track_caller]
    pub fn listen_abstract(
        &self,
        name: &[u8],
        options: UnixListenOptions,
        factory: Box<dyn SeatFactory>,
    ) -> Result<ListeningPort, CannotListen> {
        let _asking = self.inner().origins.ask();
        let address = Address::Abstract(name.to_owned());
        let bound = match self.inner().carrier.platform() {
            Some(platform) => platform.listen(&address, options.backlog).map(|bound| bound.0),
            None => {
                let mut bind = |address: &Address, _: bool| {
                    let socket = listen_at_name(name, options.backlog)?;
                    Ok((OwnedFd::from(socket), address.clone()))
                };
                self.bind(&address, &mut bind).map(|bound| bound.0)
            }
        };
        bound
            .and_then(|socket| {
                self.start_listening(socket, address.clone(), Listens::default(), factory)
            })
            .map_err(|error| CannotListen { address, error })
    }

    /// Makes the socket of a listener: by itself, or as its siblings say.
    fn bind(&self, place: &Address, bind: Bind<'_>) -> io::Result<(AnySocket, Address)> {
        let bound = match self.siblings() {
            Some(siblings) => siblings.listen(place, bind),
            None => bind(place, false),
        };
        bound.map(|(socket, address)| (socket.into(), address))
    }

    fn start_listening(
        &self,
        socket: AnySocket,
        address: Address,
        how: Listens,
        factory: Box<dyn SeatFactory>,
    ) -> io::Result<ListeningPort> {
        let (inner, id) = (self.inner(), self.inner().next_id());
        let Listens { place, shared, deferring } = how;
        let siblings = self.siblings();
        let sharing = match siblings {
            _ if shared => Sharing::Others,
            Some(siblings) if siblings.go_on() => Sharing::Others,
            Some(_) => Sharing::Together,
            None => Sharing::Alone,
        };
        let (factory, at) = (Some(factory), address.clone());
        let (accepting, patience) = (true, None);
        let counted_at = inner.tally.place(&at.to_string());
        let listener = Listener {
            id,
            factory,
            accepting,
            patience,
            sharing,
            deferring,
            place,
            address: at,
            counted_at,
        };
        let key = inner.entries.borrow_mut().insert(Entry::Listener(Box::new(listener)));
        inner.origins.note(Kind::Entry, key);
        inner.tell_load();
        if let Ok(mut driver) = inner.driver.try_borrow_mut() {
            if let Err(error) = inner.open_listener(&mut **driver, key, socket) {
                inner.end_listener(&mut **driver, key, id);
                return Err(error);
            }
        } else {
            inner.request(Request::Listen { key, socket });
        }
        Ok(ListeningPort::new(inner, key, id, address))
    }

    /// Listens with a socket that is open elsewhere too.
    pub(crate) fn listen_shared(
        &self,
        socket: AnySocket,
        address: Address,
        factory: Box<dyn SeatFactory>,
    ) -> io::Result<ListeningPort> {
        let how = Listens { shared: true, ..Listens::default() };
        self.start_listening(socket, address, how, factory)
    }
}

/// What a listener is besides its socket.
#[derive(Default)]
struct Listens {
    /// The file to remove when it stops.
    place: Option<SocketFile>,
    /// The socket is open elsewhere too.
    shared: bool,
    /// Whoever is accepted has sent something.
    deferring: bool,
}

impl Inner {
    /// Gives a listener's socket to the driver.
    pub(crate) fn open_listener(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        socket: AnySocket,
    ) -> io::Result<()> {
        let is_shared = self.with_listener(key, |listener| listener.sharing != Sharing::Alone);
        driver.open_listener(key, socket, is_shared == Some(true))?;
        if self.siblings.borrow().as_ref().is_some_and(|siblings| !siblings.accepts()) {
            driver.set_reading(key, false)?;
        }
        Ok(())
    }

    /// Ends a listener in order: who has been let in by the system already is not turned away.
    pub(crate) fn stop_listener(&self, driver: &mut dyn Driver, key: usize, id: u64) {
        let sharing = |listener: &mut Listener| (listener.id == id).then_some(listener.sharing);
        if let Some(sharing) = self.with_listener(key, sharing).flatten() {
            for (socket, peer) in driver.stop_accepting(key) {
                self.accepted(driver, key, socket, peer);
            }
            if sharing != Sharing::Others {
                self.accept_the_rest(driver, key);
            }
        }
        self.end_listener(driver, key, id);
    }

    fn accept_the_rest(&self, driver: &mut dyn Driver, key: usize) {
        for _ in 0..LAST_ACCEPTS_MAX {
            match self.sockets.with(key, os::accept) {
                Some(Ok((socket, peer))) => {
                    self.accepted(driver, key, socket.into(), os::peer_address(peer));
                }
                Some(Err(Errno::INTR | Errno::CONNABORTED)) => (),
                // Nobody waits; or there is nothing to accept with, and no time to wait for it.
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Ends a listener, if it is still the one that was meant.
    pub(crate) fn end_listener(&self, driver: &mut dyn Driver, key: usize, id: u64) {
        if self.stop_port(driver, key, id, Disconnect::Closed) {
            return;
        }
        if self.with_listener(key, |listener| listener.id) != Some(id) {
            return;
        }
        let Some(Entry::Listener(listener)) = self.take_entry(key) else { return };
        if let Some(timer) = listener.patience {
            self.wheel.borrow_mut().remove(timer);
        }
        self.starving.borrow_mut().retain(|other| *other != key);
        // Who merely holds sockets for others has their files too.
        let siblings = self.siblings.borrow().clone();
        let others_go_on = siblings.is_some_and(|others| others.go_on() && others.accepts());
        match listener.place {
            Some(place) if others_go_on => place.hand_on(),
            // While the socket still answers, nobody takes its file for one that was left behind.
            place => drop(place),
        }
        driver.close(key, Closing::InOrder);
        drop(listener.factory);
    }

    /// A listener has a connection: makes its protocol, or turns it away.
    pub(crate) fn accepted(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        socket: AnySocket,
        peer: Address,
    ) {
        let Some(socket) = self.deal(key, socket) else { return };
        if let Some(seat) = self.seat_for(key, &peer) {
            let has_sent = self.with_listener(key, |listener| listener.deferring);
            self.adopt(driver, key, socket, peer, seat, has_sent == Some(true));
        }
    }

    /// What a listener has for a peer; nothing, if it turns it away.
    pub(crate) fn seat_for(&self, key: usize, peer: &Address) -> Option<Box<dyn Seat>> {
        let factory = self.with_listener(key, |listener| listener.factory.take()).flatten();
        let mut factory = factory?;
        self.tally.runs(Runs::Factory);
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| factory.seat(peer)));
        self.with_listener(key, |listener| listener.factory = Some(factory));
        let made = made.unwrap_or_else(|_| {
            tracing::error!(
                target: "ropewalk::reactor",
                %peer,
                "a factory panicked; the connection was turned away",
            );
            None
        });
        if made.is_none() {
            tally::count(&self.tally.turned_away);
        }
        made
    }

    /// A listener could not accept: it pauses until there is something to accept with.
    pub(crate) fn accept_failed(&self, driver: &mut dyn Driver, key: usize, error: &io::Error) {
        tally::count(&self.tally.accept_errors);
        if !os::is_scarce(error) {
            tracing::warn!(target: "ropewalk::reactor", "a connection was not accepted: {error}");
            return;
        }
        if self.end_all_lingering(driver) {
            return;
        }
        let paused =
            self.with_listener(key, |listener| std::mem::replace(&mut listener.accepting, false));
        if paused == Some(true) {
            tally::count(&self.tally.accept_pauses);
            tracing::warn!(
                target: "ropewalk::reactor",
                "accepting pauses until a connection ends: {error}",
            );
            // A listener that cannot be paused is tried again with the next turn.
            let _ = driver.set_reading(key, false);
            self.starving.borrow_mut().push(key);
            let now = self.carrier.now();
            let due = now + STARVING_PATIENCE;
            let timer = self.wheel.borrow_mut().add(now, due, Purpose::Listener(key).into());
            self.with_listener(key, |listener| listener.patience = Some(timer));
        }
    }

    /// A descriptor is free again: paused listeners go on.
    pub(crate) fn feed_the_starving(&self, driver: &mut dyn Driver) {
        if self.starving.borrow().is_empty() {
            return;
        }
        for key in std::mem::take(&mut *self.starving.borrow_mut()) {
            let patience = self.with_listener(key, |listener| listener.patience.take()).flatten();
            if let Some(timer) = patience {
                self.wheel.borrow_mut().remove(timer);
            }
            self.accept_again(driver, key);
        }
    }

    /// A listener has starved long enough: who waits is turned away, rather than left hanging.
    pub(crate) fn starved(&self, driver: &mut dyn Driver, key: usize) {
        self.with_listener(key, |listener| listener.patience = None);
        self.starving.borrow_mut().retain(|other| *other != key);
        let count = driver.shed(key);
        if count > 0 {
            let turned_away = &self.tally.turned_away;
            turned_away.set(turned_away.get() + count as u64);
            tracing::warn!(
                target: "ropewalk::reactor",
                count,
                "connections were turned away: no descriptor is free",
            );
        }
        self.accept_again(driver, key);
    }

    fn accept_again(&self, driver: &mut dyn Driver, key: usize) {
        let was_paused =
            self.with_listener(key, |listener| !std::mem::replace(&mut listener.accepting, true));
        if was_paused == Some(true)
            && let Err(error) = driver.set_reading(key, true)
        {
            tracing::error!(target: "ropewalk::reactor", "cannot accept any more: {error}");
        }
    }

    pub(crate) fn with_listener<T>(
        &self,
        key: usize,
        look: impl FnOnce(&mut Listener) -> T,
    ) -> Option<T> {
        match self.entries.borrow_mut().get_mut(key) {
            Some(Entry::Listener(listener)) => Some(look(listener)),
            _ => None,
        }
    }
}
