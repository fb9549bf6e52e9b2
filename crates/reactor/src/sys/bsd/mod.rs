//! The Unixes that are not Linux: macOS and the BSDs.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use ropewalk_protocol::{Address, Credentials};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, acceptfrom, sendto};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

pub(crate) use super::single::{
    Counter, DEFAULT_DRIVER, bind_to_interface, coalesce, defer_accept, is_always_ready,
    set_multicast_interface, source_membership,
};
pub(super) use super::single::{Receiver, Sender, may_segment, open, send_file, unacknowledged};
pub(crate) use super::unix::*;
pub(crate) use super::unix::{
    close_on_exec_one_by_one as close_on_exec_from, start_by_fork as start,
};

/// A file is not as it should be.
pub(super) const FILE_ERROR: Errno = Errno::IO;

/// How sockets are sent to: that a peer which is gone is no signal is set on each, or on the process.
pub(super) const SEND_FLAGS: SendFlags = SendFlags::empty();

/// How descriptors are received: not every system lets none outlive an `exec` by itself.
pub(super) const PASSED_FLAGS: RecvFlags = RecvFlags::empty();

/// Whether descriptors go over a socket beside its bytes.
pub(crate) fn passes_descriptors(socket: BorrowedFd<'_>) -> bool {
    let local = SockRef::from(&socket).local_addr();
    local.is_ok_and(|address| address.domain() == Domain::UNIX)
}

/// A socket that neither blocks nor outlives an `exec`.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Accepts a connection, which then neither blocks nor outlives an `exec`.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    use std::os::fd::AsFd;
    let (socket, peer) = acceptfrom(listener)?;
    make_ours(socket.as_fd())?;
    Ok((socket, peer))
}

/// Whether a socket is of the Internet or of Unix, and whether it listens: who has no peer is taken to,
/// as not every system tells.
pub(crate) fn family_and_listening(socket: BorrowedFd<'_>) -> Result<(bool, bool), Errno> {
    let socket = SockRef::from(&socket);
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    let family = socket.local_addr().map_err(errno)?.domain();
    let known = [Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&family);
    Ok((known, socket.peer_addr().is_err()))
}

/// No socket is anything but a file here.
pub(super) fn abstract_name(_: &SocketAddrUnix) -> Option<Vec<u8>> {
    None
}

/// Sends a datagram to a path.
pub(super) fn send_to_name(
    socket: BorrowedFd<'_>,
    data: &[u8],
    to: &Address,
) -> Result<usize, Errno> {
    let Address::Unix(path) = to else { return Err(Errno::AFNOSUPPORT) };
    sendto(socket, data, SEND_FLAGS, &SocketAddrUnix::new(path.as_path())?)
}

/// Reads a part of a file.
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.read_at(bytes, offset)
}

/// Who is at the other end of a Unix socket, if the system vouches for it; it does not tell the process.
pub(crate) fn credentials(socket: BorrowedFd<'_>) -> Option<Credentials> {
    let (mut user, mut group) = (u32::MAX, u32::MAX);
    // SAFETY: the descriptor is borrowed and thus open, and the call writes to the two numbers only.
    #[expect(unsafe_code, reason = "the system's answer goes to plain numbers")]
    let result = unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut user, &raw mut group) };
    (result == 0).then_some(Credentials { process: None, user, group })
}

/// No descriptor tells of a child's end here: a signal does.
pub(crate) fn exit_descriptor(_: u32) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A pipe, neither of whose ends outlives an `exec`.
pub(crate) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (reader, writer) = rustix::pipe::pipe()?;
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::CLOEXEC)?;
    Ok((reader, writer))
}

/// Whether [`environment`] knows this process's variables.
pub(crate) const HAS_ENVIRONMENT: bool = false;

/// This process's variables are copied here.
pub(crate) fn environment() -> *const *mut libc::c_char {
    std::ptr::null()
}
