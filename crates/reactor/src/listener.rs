//! Listening, and what happens when the descriptors run out.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, Port, SeatFactory, Transport};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::inner::{Due, Entry, Inner, Listener, Request};
use crate::sys::{Driver, Role};
use crate::{CannotListen, Reactor};

/// How long a listener without descriptors waits before it turns away who is waiting.
const STARVING_PATIENCE: Duration = Duration::from_secs(1);

/// How to listen on an Internet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpListenOptions {
    backlog: i32,
    v6_only: bool,
}

impl Default for TcpListenOptions {
    fn default() -> Self {
        Self { backlog: 1024, v6_only: true }
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
}

/// How to listen on a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixListenOptions {
    backlog: i32,
    mode: u32,
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

/// A place where a reactor listens. Dropping it changes nothing.
pub struct ListeningPort {
    inner: Weak<Inner>,
    key: usize,
    address: Address,
    stopped: Cell<bool>,
}

impl Port for ListeningPort {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn stop_listening(&self) -> Deferred<()> {
        if let Some(inner) = self.inner.upgrade().filter(|_| !self.stopped.replace(true)) {
            inner.request(Request::Close { key: self.key });
            // Outside a turn nobody is busy, and the place should be free when this returns.
            if let Ok(mut driver) = inner.driver.try_borrow_mut() {
                inner.carry_out(&mut **driver);
            }
        }
        Deferred::succeed(())
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
    pub fn listen_tcp(
        &self,
        address: SocketAddr,
        options: TcpListenOptions,
        factory: Box<dyn SeatFactory>,
    ) -> Result<ListeningPort, CannotListen> {
        let bind = || {
            let socket = stream_socket(Domain::for_address(address), Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            // Accepted sockets inherit this.
            socket.set_tcp_nodelay(true)?;
            if address.is_ipv6() {
                socket.set_only_v6(options.v6_only)?;
            }
            socket.bind(&address.into())?;
            socket.listen(options.backlog)?;
            let bound = socket.local_addr()?.as_socket();
            Ok((socket, bound.unwrap_or(address)))
        };
        match bind() {
            Ok((socket, bound)) => {
                Ok(self.start_listening(socket.into(), Address::Ip(bound), None, factory))
            }
            Err(error) => Err(CannotListen { address: Address::Ip(address), error }),
        }
    }

    /// Listens on a Unix socket at `path`; the path is removed when listening stops.
    ///
    /// A socket that an earlier process left behind is replaced; one that is in use is not.
    ///
    /// # Errors
    ///
    /// If the path is taken by anything else, or the system refuses.
    pub fn listen_unix(
        &self,
        path: &Path,
        options: UnixListenOptions,
        factory: Box<dyn SeatFactory>,
    ) -> Result<ListeningPort, CannotListen> {
        let bind = || {
            let address = SockAddr::unix(path)?;
            remove_stale_socket(path, &address)?;
            let socket = stream_socket(Domain::UNIX, None)?;
            socket.bind(&address)?;
            let permissions = std::fs::Permissions::from_mode(options.mode);
            let ready = std::fs::set_permissions(path, permissions)
                .and_then(|()| socket.listen(options.backlog));
            if let Err(error) = ready {
                std::fs::remove_file(path)?;
                return Err(error);
            }
            Ok(socket)
        };
        let address = Address::Unix(path.to_owned());
        match bind() {
            Ok(socket) => {
                let path = Some(path.to_owned());
                Ok(self.start_listening(socket.into(), address, path, factory))
            }
            Err(error) => Err(CannotListen { address, error }),
        }
    }

    fn start_listening(
        &self,
        socket: OwnedFd,
        address: Address,
        path: Option<PathBuf>,
        factory: Box<dyn SeatFactory>,
    ) -> ListeningPort {
        let inner = self.inner();
        let listener = Listener { factory: Some(factory), accepting: true, patience: None, path };
        let key = inner.entries.borrow_mut().insert(Entry::Listener(listener));
        inner.request(Request::Open { key, socket, role: Role::Listener });
        let inner = Rc::downgrade(inner);
        ListeningPort { inner, key, address, stopped: Cell::new(false) }
    }
}

impl Inner {
    /// A listener has a connection: makes its protocol, or turns it away.
    pub(crate) fn accepted(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        socket: OwnedFd,
        peer: Address,
    ) {
        let factory = self.with_listener(key, |listener| listener.factory.take()).flatten();
        let Some(mut factory) = factory else { return };
        let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| factory.seat(&peer)));
        self.with_listener(key, |listener| listener.factory = Some(factory));
        match made {
            Ok(Some(seat)) => self.adopt(driver, socket, peer, seat),
            Ok(None) => (),
            Err(_) => tracing::error!(
                target: "ropewalk::reactor",
                %peer,
                "a factory panicked; the connection was turned away",
            ),
        }
    }

    /// A listener could not accept: it pauses until there is something to accept with.
    pub(crate) fn accept_failed(&self, driver: &mut dyn Driver, key: usize, error: &io::Error) {
        let scarce = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        let scarce = scarce.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
        if !scarce {
            tracing::warn!(target: "ropewalk::reactor", "a connection was not accepted: {error}");
            return;
        }
        let paused =
            self.with_listener(key, |listener| std::mem::replace(&mut listener.accepting, false));
        if paused == Some(true) {
            tracing::warn!(
                target: "ropewalk::reactor",
                "accepting pauses until a connection ends: {error}",
            );
            // A listener that cannot be paused is tried again with the next turn.
            let _ = driver.set_reading(key, false);
            self.starving.borrow_mut().push(key);
            let now = self.carrier.now();
            let due = now + STARVING_PATIENCE;
            let timer = self.wheel.borrow_mut().add(now, due, Due::Listener(key as u32));
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

    fn with_listener<T>(&self, key: usize, look: impl FnOnce(&mut Listener) -> T) -> Option<T> {
        match self.entries.borrow_mut().get_mut(key) {
            Some(Entry::Listener(listener)) => Some(look(listener)),
            _ => None,
        }
    }
}

/// A stream socket that neither blocks nor outlives an `exec`.
pub(crate) fn stream_socket(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM.nonblocking().cloexec(), protocol)
}

/// Removes a socket at `path` that nobody answers at.
fn remove_stale_socket(path: &Path, address: &SockAddr) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => (),
        // Binding will say what is wrong with anything else.
        _ => return Ok(()),
    }
    let probe = stream_socket(Domain::UNIX, None)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Ok(()),
    }
}
