//! What all Unixes share.

mod descriptors;
#[allow(unsafe_code, reason = "a number becomes the descriptor that it is")]
mod inherited;
#[allow(unsafe_code, reason = "the system is asked by number, with one plain value")]
mod modem;
mod places;
pub(super) mod spawning;
#[allow(unsafe_code, reason = "signal handlers look at what atomics point to")]
mod terminal;

use std::fs::File;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use ropewalk_protocol::Address;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SocketAddrAny, SocketAddrUnix, sendmsg};
use signal_hook::SigId;
use socket2::Socket;

use super::os;
use crate::Reactor;
pub(crate) use descriptors::{receive_passed, send_passing};
pub(crate) use inherited::take as take_inherited;
pub(crate) use modem::{ModemBits, modem_bits, set_break, set_modem_bits};
pub(crate) use places::{
    SocketFile, datagram_socket, listen_at, listen_at_name, receive_at, unix_address,
};
pub(crate) use spawning::{
    Failed, Plan, Step, c_string, close_on_exec_one_by_one, duplicate_number, is_exhausted,
    is_no_program, is_too_long, send_signal, signal_of, start_by_fork,
};

pub(crate) use terminal::{Raw, on_signal};

/// What a loop that hosts a reactor watches: a descriptor.
pub type HostDescriptor = OwnedFd;
/// The same, borrowed.
pub type BorrowedHost<'a> = BorrowedFd<'a>;

/// How a socket is received from that somebody may have made block.
pub(super) const AT_ONCE: RecvFlags = RecvFlags::DONTWAIT;
/// The peer speaks another protocol.
pub(super) const PROTOCOL_ERROR: Errno = Errno::PROTO;
/// This machine may open no more files.
pub(crate) const MACHINE_FULL: Errno = Errno::NFILE;

/// Whether an error means that the system is short of something for a moment, or that nothing is
/// there yet.
pub(super) fn is_passing(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM)
}

/// Whether an error means that no descriptor or no memory is left.
pub(crate) fn is_scarce(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Whether an error tells a port for datagrams that nobody receives at its peer.
pub(super) fn is_refusal(error: Errno) -> bool {
    error == Errno::CONNREFUSED
}

/// Whether an error means that a connection is being made.
pub(crate) fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error())
}

/// Whether an error means that there is no such interface.
pub(crate) fn is_no_interface(error: Errno) -> bool {
    matches!(error, Errno::NODEV | Errno::NXIO)
}

/// What a loop that hosts a reactor watches of the `polling` crate's poller.
pub(super) fn host_of(poller: &polling::Poller) -> BorrowedHost<'_> {
    poller.as_fd()
}

/// Lends a descriptor.
pub(crate) fn lend(descriptor: &HostDescriptor) -> BorrowedHost<'_> {
    descriptor.as_fd()
}

/// A descriptor that stands for a reactor's where nothing is to be watched.
pub(crate) fn null() -> io::Result<HostDescriptor> {
    Ok(File::open("/dev/null")?.into())
}

/// A descriptor to let go of when there is no other left.
pub(super) fn spare() -> Option<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Has a socket neither block, for whoever has it, nor outlive an `exec`.
pub(crate) fn make_ours(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    ioctl_fionbio(socket, true)?;
    fcntl_setfd(socket, FdFlags::CLOEXEC)
}

/// Lets a listener have an address whose former connections still fade.
pub(crate) fn reuse_to_listen(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Lets several sockets share a port, each with a part of what comes.
pub(crate) fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

/// Sends from several slices; answers how many bytes went.
pub(super) fn send_slices(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
    sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), os::SEND_FLAGS)
}

/// Takes what a signal has left in a socket.
pub(crate) fn drain(socket: BorrowedFd<'_>) {
    // There may be nothing, if another run has taken it.
    let _ = rustix::io::read(socket, &mut [0_u8; 64]);
}

/// Two sockets that are connected with each other and do not block.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (here, there) = UnixStream::pair()?;
    here.set_nonblocking(true)?;
    there.set_nonblocking(true)?;
    Ok((here.into(), there.into()))
}

/// Has a signal write to a socket; answers the registration and the other end.
pub(crate) fn tell_of_signal(signal: i32) -> io::Result<(SigId, OwnedFd)> {
    let (reader, writer) = pair()?;
    let id = signal_hook::low_level::pipe::register(signal, UnixStream::from(writer))?;
    Ok((id, reader))
}

/// Whether a signal is ignored at present, and whether it has no handler.
pub(super) fn disposition(signal: i32) -> (bool, bool) {
    let mut found = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed, as no new action is given, and `found` is what the call writes to; all
    // zeros is an action too.
    #[expect(unsafe_code, reason = "the system's answer is a plain structure")]
    let found = unsafe {
        if libc::sigaction(signal, std::ptr::null(), found.as_mut_ptr()) != 0 {
            return (false, true);
        }
        found.assume_init()
    };
    (found.sa_sigaction == libc::SIG_IGN, found.sa_sigaction == libc::SIG_DFL)
}

/// The peer's address as `accept` tells it.
pub(crate) fn peer_address(peer: Option<SocketAddrAny>) -> Address {
    peer.map_or(Address::Unnamed, address)
}

/// An address as the system tells it.
pub(super) fn address(any: SocketAddrAny) -> Address {
    if let Ok(ip) = std::net::SocketAddr::try_from(any.clone()) {
        return Address::Ip(ip);
    }
    let unix = SocketAddrUnix::try_from(any).ok();
    if let Some(name) = unix.as_ref().and_then(os::abstract_name) {
        return Address::Abstract(name);
    }
    let path = unix.as_ref().and_then(SocketAddrUnix::path).filter(|path| !path.is_empty());
    match path {
        Some(path) => Address::Unix(PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes()))),
        None => Address::Unnamed,
    }
}

/// The descriptor that is readable while a [`turn`](Reactor::turn) would have something to do beside what
/// its [next deadline](Reactor::next_deadline) is for, on every driver. It is the same for as long as the
/// reactor lives, and is not to be read from.
impl AsFd for Reactor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.host_descriptor().as_fd()
    }
}

/// Which file a descriptor's number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    number: RawFd,
    file: (libc::dev_t, libc::ino_t),
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
fn file_of(number: RawFd) -> io::Result<(libc::dev_t, libc::ino_t)> {
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
