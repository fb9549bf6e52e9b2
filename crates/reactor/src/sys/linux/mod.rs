//! Linux: the drivers that only it has, and its own ways to say what every system can.

#[allow(unsafe_code, reason = "the system's answer is a plain structure")]
mod credentials;
#[allow(unsafe_code, reason = "messages are described to the kernel by pointers")]
pub(super) mod datagrams;
mod epoll;
#[allow(unsafe_code, reason = "the kernel reads and writes memory while we go on")]
mod io_uring;
#[allow(unsafe_code, reason = "interfaces are named to the kernel by plain structures")]
mod links;
mod poll;
mod scan;
mod select;
#[allow(unsafe_code, reason = "what a child is to do is described to the system by pointers")]
mod spawning;

use std::io;
use std::time::Duration;

use ropewalk_protocol::Outbox;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags,
    acceptfrom_with, sockopt,
};
use rustix::time::Timespec;
use socket2::{Domain, Protocol, Socket, Type};

use super::readiness::Token;
use super::{Driver, Refusal, Sockets, Unsettled, over};
use crate::DriverKind;
pub(crate) use credentials::credentials;
pub(super) use datagrams::{Receiver, Sender, may_segment};
pub(crate) use datagrams::{coalesce, source_membership};
use epoll::Epoll;
use io_uring::IoUring;
pub(crate) use links::{open_frames, open_tunnel};
use poll::Poll;
use scan::Scanner;
use select::Select;
pub(crate) use spawning::{
    HAS_ENVIRONMENT, close_on_exec_from, environment, exit_descriptor, pipe, start,
};

pub(crate) use super::unix::*;

/// What measures best.
pub(crate) const DEFAULT_DRIVER: DriverKind = DriverKind::Epoll;
/// How sockets are sent to: a peer that is gone is an error, and no signal.
pub(super) const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
/// A file is not as it should be.
pub(super) const FILE_ERROR: Errno = Errno::IO;

/// How descriptors are received: none outlives an `exec`.
pub(super) const PASSED_FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// Whether descriptors go over a socket beside its bytes.
pub(crate) fn passes_descriptors(socket: BorrowedFd<'_>) -> bool {
    sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX)
}

/// How many bytes of a file one call sends, so that no connection holds the turn up for long.
const FILE_STEP: u64 = 1 << 20;

/// Opens one of the drivers that are here alone.
pub(super) fn open(kind: DriverKind, sockets: Sockets) -> Result<Box<dyn Driver>, Refusal> {
    match kind {
        DriverKind::Poll => Ok(over(Scanner::new(Poll, sockets.clone())?, sockets)),
        DriverKind::Select => Ok(over(Scanner::new(Select::default(), sockets.clone())?, sockets)),
        DriverKind::IoUring => Ok(Box::new(IoUring::new(sockets)?)),
        _ => Ok(over(Epoll::new()?, sockets)),
    }
}

/// A time to wait, in the whole milliseconds in which the wheel counts: never wakes early.
fn timespec(timeout: Duration) -> Timespec {
    let millis = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i64;
    Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
}

/// What ends a loop's sleep: an `eventfd`, which counts.
pub(crate) struct Counter(OwnedFd);

impl Counter {
    /// A counter, and the descriptor that is readable while it is not zero.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let watched = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok((Self(watched.try_clone()?), watched))
    }

    /// Makes the descriptor readable.
    pub(crate) fn ring(&self) {
        // A full counter wakes as well as one more would.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes it readable no more.
    pub(crate) fn quiet(&self) {
        // There may have been nothing to take back.
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

/// A socket that neither blocks nor outlives an `exec`.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    Socket::new_raw(domain, kind.nonblocking().cloexec(), protocol)
}

/// Accepts a connection, which then neither blocks nor outlives an `exec`.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

/// Has a listener tell of connections once their peers have sent something, or a second has passed.
pub(crate) fn defer_accept(listener: &Socket) -> io::Result<()> {
    let seconds: libc::c_int = 1;
    // SAFETY: the descriptor is borrowed and thus open, and the option reads one `int`, whose address and
    // size are given.
    #[expect(unsafe_code, reason = "no library knows the option")]
    let answer = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a socket is of the Internet or of Unix, and whether it listens.
pub(crate) fn family_and_listening(socket: BorrowedFd<'_>) -> Result<(bool, bool), Errno> {
    let family = sockopt::socket_domain(socket)?;
    let known = [AddressFamily::INET, AddressFamily::INET6, AddressFamily::UNIX].contains(&family);
    Ok((known, sockopt::socket_acceptconn(socket)?))
}

/// What is on its way on a TCP socket, as far as the system tells.
pub(super) fn unsettled(socket: BorrowedFd<'_>) -> Unsettled {
    let is_unread = rustix::io::ioctl_fionread(socket).is_ok_and(|count| count > 0);
    Unsettled { is_unread, unacknowledged: unacknowledged(socket) }
}

/// How many bytes the peer has not acknowledged, on a TCP socket.
pub(super) fn unacknowledged(socket: BorrowedFd<'_>) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed and thus open, and the request writes one `int`, for which
    // there is room.
    #[expect(unsafe_code, reason = "the request is known by its number only")]
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if answer == 0 { u64::try_from(count).unwrap_or(0) } else { 0 }
}

/// Sends from the file at the front of `out`, whose bytes need not come by here; answers how many bytes
/// went and how many were asked for.
pub(super) fn send_file(socket: BorrowedFd<'_>, out: &Outbox) -> Result<(u64, u64), Errno> {
    let Some(slice) = out.front_file() else { return Ok((0, 0)) };
    let mut offset = slice.offset;
    let asked = slice.len.min(FILE_STEP);
    match rustix::fs::sendfile(socket, &slice.file, Some(&mut offset), asked as usize)? {
        // The file is shorter than the peer was promised.
        0 => Err(Errno::IO),
        sent => Ok((sent as u64, asked)),
    }
}

/// Has what goes out to IPv4's groups leave by an interface, by its number.
pub(crate) fn set_multicast_interface(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let any = std::net::Ipv4Addr::UNSPECIFIED;
    Ok(sockopt::set_ip_multicast_if_with_ifindex(socket, &any, &any, index)?)
}

/// Ties a socket to an interface, by its name.
pub(crate) fn bind_to_interface(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

/// Whether what was asked for means nothing for a descriptor, as it is always ready.
pub(crate) fn is_always_ready(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::PERM.raw_os_error())
}

/// The name of a socket that is no file.
pub(super) fn abstract_name(unix: &SocketAddrUnix) -> Option<Vec<u8>> {
    unix.abstract_name().filter(|name| !name.is_empty()).map(<[u8]>::to_vec)
}

impl Token {
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.key)
    }

    pub(crate) fn from_u64(bits: u64) -> Self {
        Self { key: bits as u32, generation: (bits >> 32) as u32 }
    }
}
