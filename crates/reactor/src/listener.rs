//! Listening, and what happens when the descriptors run out.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_protocol::{Address, Disconnect, Port, SeatFactory, Transport};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::inner::{Due, Entry, Inner, Listener, Request};
use crate::sys::{Closing, Driver, Role, Socket as AnySocket};
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
            inner.end_listener(&mut **driver, self.key, self.id);
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
        let bound = match self.inner().carrier.platform() {
            Some(platform) => platform.listen(&Address::Ip(address), options.backlog),
            None => {
                bind().map(|(socket, bound)| (OwnedFd::from(socket).into(), Address::Ip(bound)))
            }
        };
        bound
            .and_then(|(socket, bound)| self.start_listening(socket, bound, None, factory))
            .map_err(|error| CannotListen { address: Address::Ip(address), error })
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
            let place = SocketFile::new(path)?;
            std::fs::set_permissions(path, permissions)?;
            socket.listen(options.backlog)?;
            Ok((socket, place))
        };
        let address = Address::Unix(path.to_owned());
        let bound = match self.inner().carrier.platform() {
            Some(platform) => {
                platform.listen(&address, options.backlog).map(|(socket, _)| (socket, None))
            }
            None => bind().map(|(socket, place)| (OwnedFd::from(socket).into(), Some(place))),
        };
        bound
            .and_then(|(socket, place)| {
                self.start_listening(socket, address.clone(), place, factory)
            })
            .map_err(|error| CannotListen { address, error })
    }

    fn start_listening(
        &self,
        socket: AnySocket,
        address: Address,
        place: Option<SocketFile>,
        factory: Box<dyn SeatFactory>,
    ) -> io::Result<ListeningPort> {
        let inner = self.inner();
        let id = inner.next_id();
        let factory = Some(factory);
        let listener = Listener { id, factory, accepting: true, patience: None, place };
        let key = inner.entries.borrow_mut().insert(Entry::Listener(listener));
        if let Ok(mut driver) = inner.driver.try_borrow_mut() {
            if let Err(error) = driver.open(key, socket, Role::Listener) {
                inner.end_listener(&mut **driver, key, id);
                return Err(error);
            }
        } else {
            inner.request(Request::Listen { key, socket });
        }
        Ok(ListeningPort::new(inner, key, id, address))
    }
}

/// A Unix socket's place among the files, which is left when this is dropped.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and number: somebody else's socket may stand in its place by then.
    file: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: Self::file_at(path)? })
    }

    fn file_at(path: &Path) -> io::Result<(u64, u64)> {
        std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if Self::file_at(&self.path).is_ok_and(|file| file == self.file) {
            // Somebody may be quicker, and nobody is left to be told.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Inner {
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
        // While the socket still answers, nobody takes its file for one that was left behind.
        drop(listener.place);
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
