//! The descriptors that a driver holds, for whoever has a question about one.

use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

use super::Unsettled;
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

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().iter().flatten().count()
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
    let name = unix.as_ref().and_then(SocketAddrUnix::abstract_name);
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        return Address::Abstract(name.to_owned());
    }
    let path = unix.as_ref().and_then(SocketAddrUnix::path).filter(|path| !path.is_empty());
    match path {
        Some(path) => Address::Unix(PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes()))),
        None => Address::Unnamed,
    }
}

/// What is on its way on a TCP socket, as far as the system tells.
pub(crate) fn unsettled(socket: BorrowedFd<'_>) -> Unsettled {
    let is_unread = rustix::io::ioctl_fionread(socket).is_ok_and(|count| count > 0);
    Unsettled { is_unread, unacknowledged: unacknowledged(socket) }
}

fn unacknowledged(socket: BorrowedFd<'_>) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed and thus open, and the request writes one `int`, for which
    // there is room.
    #[expect(unsafe_code, reason = "the request is known by its number only")]
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if answer == 0 { u64::try_from(count).unwrap_or(0) } else { 0 }
}

/// Which file a descriptor's number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    number: RawFd,
    file: (u64, u64),
}

impl Fingerprint {
    pub(crate) fn of(descriptor: BorrowedFd<'_>) -> io::Result<Self> {
        let number = descriptor.as_raw_fd();
        Ok(Self { number, file: file_of(number)? })
    }

    /// Whether the number stands for the same file as before; another of the files that have no place
    /// of their own, as event counters have not, cannot be told from it.
    pub(crate) fn is_still_open(self) -> bool {
        file_of(self.number).is_ok_and(|file| file == self.file)
    }
}

/// Device and number of what a descriptor's number stands for, which may be nothing.
fn file_of(number: RawFd) -> io::Result<(u64, u64)> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the call writes to `found`, which is as large as it must be, and only looks the number
    // up: whatever it stands for stays as it is, and if it stands for nothing the call says so.
    #[expect(unsafe_code, reason = "a number may be no descriptor, so nothing can be borrowed")]
    let found = unsafe {
        if libc::fstat(number, found.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        found.assume_init()
    };
    Ok((found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_descriptors_are_told_as_such() {
        let none = RawFd::MAX;
        assert_eq!(file_of(none).unwrap_err().raw_os_error(), Some(libc::EBADF));
        let gone = Fingerprint { number: none, file: (0, 0) };
        assert!(!gone.is_still_open());
        let (here, there) = std::io::pipe().unwrap();
        let of_here = Fingerprint::of(here.as_fd()).unwrap();
        assert!(of_here.is_still_open());
        let elsewhere = Fingerprint { number: there.as_raw_fd(), ..of_here };
        // Both ends of a pipe are one file.
        assert!(elsewhere.is_still_open());
        let (other, _end) = std::io::pipe().unwrap();
        let another = Fingerprint { number: other.as_raw_fd(), ..of_here };
        assert!(!another.is_still_open());
    }
}
