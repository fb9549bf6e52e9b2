//! The descriptors that a driver holds, for whoever has a question about one.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use ropewalk_protocol::Address;
use rustix::net::{SocketAddrAny, SocketAddrUnix};

/// Descriptors by key, shared between a driver and the reactor above it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets(Rc<RefCell<Vec<Option<OwnedFd>>>>);

impl Sockets {
    pub(crate) fn insert(&self, key: usize, socket: OwnedFd) {
        let mut sockets = self.0.borrow_mut();
        if sockets.len() <= key {
            sockets.resize_with(key + 1, || None);
        }
        sockets[key] = Some(socket);
    }

    pub(crate) fn remove(&self, key: usize) -> Option<OwnedFd> {
        self.0.borrow_mut().get_mut(key)?.take()
    }

    /// Asks the descriptor of `key`, if there is one.
    pub(crate) fn with<T>(&self, key: usize, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let sockets = self.0.borrow();
        sockets.get(key)?.as_ref().map(|socket| ask(socket.as_fd()))
    }

    /// Looks at all of them, by key.
    pub(crate) fn with_all<T>(&self, look: impl FnOnce(&[Option<OwnedFd>]) -> T) -> T {
        look(&self.0.borrow())
    }

    /// The address of this end.
    pub(crate) fn local(&self, key: usize) -> Option<Address> {
        self.with(key, |socket| rustix::net::getsockname(socket).ok())?.map(address)
    }
}

/// The peer's address as `accept` tells it.
pub(crate) fn peer_address(peer: Option<SocketAddrAny>) -> Address {
    peer.map_or(Address::Unnamed, address)
}

fn address(any: SocketAddrAny) -> Address {
    if let Ok(ip) = std::net::SocketAddr::try_from(any.clone()) {
        return Address::Ip(ip);
    }
    let unix = SocketAddrUnix::try_from(any).ok();
    if let Some(name) = unix.as_ref().and_then(SocketAddrUnix::abstract_name) {
        return Address::Abstract(name.to_owned());
    }
    let path = unix.as_ref().and_then(SocketAddrUnix::path).filter(|path| !path.is_empty());
    match path {
        Some(path) => Address::Unix(PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes()))),
        None => Address::Unnamed,
    }
}
