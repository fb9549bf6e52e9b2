//! Windows: sockets are told of by completion ports, through the `polling` crate.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::windows::fs::FileExt;
use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};
use std::path::Path;

use ropewalk_protocol::{Address, Credentials, Descriptor, Outbox};
use rustix::fd::{BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, acceptfrom, recv};
use signal_hook::SigId;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

pub(crate) use super::single::{
    Counter, DEFAULT_DRIVER, bind_to_interface, coalesce, defer_accept, is_always_ready,
    set_multicast_interface, source_membership,
};
pub(super) use super::single::{Receiver, Sender, may_segment, open, send_file, unacknowledged};
use crate::{Reactor, UnixListenOptions};

/// What a loop that hosts a reactor watches: a completion port.
pub type HostDescriptor = OwnedHandle;
/// The same, borrowed.
pub type BorrowedHost<'a> = BorrowedHandle<'a>;

/// How sockets are sent to.
pub(super) const SEND_FLAGS: SendFlags = SendFlags::empty();
/// How a socket is received from; none blocks.
pub(super) const AT_ONCE: RecvFlags = RecvFlags::empty();
/// The peer speaks another protocol.
pub(super) const PROTOCOL_ERROR: Errno = Errno::PROTONOSUPPORT;
/// There is no bound that all processes share.
pub(crate) const MACHINE_FULL: Errno = Errno::MFILE;
/// A file is not as it should be.
pub(super) const FILE_ERROR: Errno = Errno::INVAL;

/// Whether descriptors go over a socket beside its bytes: none does.
pub(crate) fn passes_descriptors(_: BorrowedFd<'_>) -> bool {
    false
}

/// What [`passes_descriptors`] is not true of is not asked for.
pub(super) fn send_passing(_: BorrowedFd<'_>, _: &Outbox) -> Result<(u64, u64), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// The same.
pub(super) fn receive_passed(
    _: BorrowedFd<'_>,
    _: &mut [u8],
    _: usize,
    _: &mut VecDeque<Descriptor>,
) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether an error means that the system is short of something for a moment, or that nothing is
/// there yet.
pub(super) fn is_passing(error: Errno) -> bool {
    matches!(error, Errno::WOULDBLOCK | Errno::NOBUFS)
}

/// Whether an error means that no socket or no memory is left.
pub(crate) fn is_scarce(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NOBUFS))
}

/// Whether an error tells a port for datagrams that nobody receives at its peer: it is told as a reset.
pub(super) fn is_refusal(error: Errno) -> bool {
    matches!(error, Errno::CONNREFUSED | Errno::CONNRESET)
}

/// Whether an error means that a connection is being made.
pub(crate) fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Whether an error means that there is no such interface; it is told as an address that is not here.
pub(crate) fn is_no_interface(_: Errno) -> bool {
    false
}

/// What a loop that hosts a reactor watches of the `polling` crate's poller.
pub(super) fn host_of(poller: &polling::Poller) -> BorrowedHost<'_> {
    poller.as_handle()
}

/// Lends a descriptor.
pub(crate) fn lend(descriptor: &HostDescriptor) -> BorrowedHost<'_> {
    descriptor.as_handle()
}

/// A descriptor that stands for a reactor's where nothing is to be watched.
pub(crate) fn null() -> io::Result<HostDescriptor> {
    Ok(OpenOptions::new().read(true).open("NUL")?.into())
}

/// Sockets do not run out before memory does.
pub(super) fn spare() -> Option<OwnedFd> {
    None
}

/// Has a socket not block.
pub(crate) fn make_ours(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::io::ioctl_fionbio(socket, true)
}

/// Numbers of descriptors are the C library's here, and sockets have none.
pub(crate) fn take_inherited(_: i32) -> Result<Option<OwnedFd>, Errno> {
    Err(Errno::OPNOTSUPP)
}

/// A listener has an address to itself unless it says otherwise, and fading connections do not count.
pub(crate) fn reuse_to_listen(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// No two sockets share a port fairly here.
pub(crate) fn share_port(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A socket that does not block.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Accepts a connection, which then does not block.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    let (socket, peer) = acceptfrom(listener)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok((socket, peer))
}

/// Whether a socket is of the Internet, and whether it listens.
pub(crate) fn family_and_listening(socket: BorrowedFd<'_>) -> Result<(bool, bool), Errno> {
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
    let listens = rustix::net::sockopt::socket_acceptconn(socket)?;
    let socket = SockRef::from(&socket);
    let family = socket.local_addr().map_err(errno)?.domain();
    let known = [Domain::IPV4, Domain::IPV6].contains(&family);
    Ok((known, listens))
}

/// Sends from several slices; answers how many bytes went.
pub(super) fn send_slices(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let sent = SockRef::from(&socket).send_vectored(slices);
    sent.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// Takes what a signal has left in a socket.
pub(crate) fn drain(socket: BorrowedFd<'_>) {
    // There may be nothing, if another run has taken it.
    let _ = recv(socket, &mut [0_u8; 64], AT_ONCE);
}

/// Two sockets that are connected with each other and do not block.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let here = TcpStream::connect(listener.local_addr()?)?;
    let (there, peer) = listener.accept()?;
    // Somebody else may have been quicker.
    if peer != here.local_addr()? {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    for end in [&here, &there] {
        end.set_nonblocking(true)?;
        end.set_nodelay(true)?;
    }
    Ok((here.into(), there.into()))
}

/// Has a signal write to a socket; answers the registration and the other end.
pub(super) fn tell_of_signal(signal: i32) -> io::Result<(SigId, OwnedFd)> {
    let (reader, writer) = pair()?;
    let tell = move || {
        // One byte that waits already says as much.
        let _ = rustix::net::send(&writer, &[1], SEND_FLAGS);
    };
    // SAFETY: what is called may do only what a handler may: it makes one system call, on a socket
    // that lives as long as the registration, and neither allocates nor locks.
    #[expect(unsafe_code, reason = "a handler is bound to rules that no type tells")]
    let id = unsafe { signal_hook::low_level::register(signal, tell) }?;
    Ok((id, reader))
}

/// Has a signal do what it does by default, if `is_default` says so.
pub(super) fn on_signal(
    signal: i32,
    is_default: impl Fn() -> bool + Send + Sync + 'static,
) -> io::Result<()> {
    let action = move || {
        if is_default() {
            // What cannot be done so is not done otherwise either.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    // SAFETY: it looks at atomics, and ends the process.
    #[expect(unsafe_code, reason = "what a handler does is for its author to judge")]
    unsafe { signal_hook::low_level::register(signal, action) }.map(drop)
}

/// Whether a signal is ignored at present, and whether it has no handler: nobody can be asked here.
pub(super) fn disposition(_: i32) -> (bool, bool) {
    (false, true)
}

/// The peer's address as `accept` tells it.
pub(crate) fn peer_address(peer: Option<SocketAddrAny>) -> Address {
    peer.map_or(Address::Unnamed, address)
}

/// An address as the system tells it.
pub(super) fn address(any: SocketAddrAny) -> Address {
    std::net::SocketAddr::try_from(any).map_or(Address::Unnamed, Address::Ip)
}

/// Names are Unix's.
pub(super) fn send_to_name(_: BorrowedFd<'_>, _: &[u8], _: &Address) -> Result<usize, Errno> {
    Err(Errno::AFNOSUPPORT)
}

/// Reads a part of a file.
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(bytes, offset)
}

/// Credentials are Unix's.
pub(crate) fn credentials(_: BorrowedFd<'_>) -> Option<Credentials> {
    None
}

/// Which socket a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(RawFd);

impl Fingerprint {
    pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        use std::os::windows::io::AsRawSocket;
        SockRef::from(&socket).r#type()?;
        Ok(Self(socket.as_raw_socket()))
    }

    /// Whether the number may stand for the same socket as before: closing one ends its watch anyway.
    pub(crate) fn is_still_open(self) -> bool {
        true
    }
}

/// A Unix socket's place among the files, of which there is none here.
pub(crate) enum SocketFile {}

impl SocketFile {
    pub(crate) fn hand_on(self) {
        match self {}
    }
}

/// There are no Unix sockets here.
pub(crate) fn unix_address(_: &Address) -> io::Result<SockAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There are no Unix sockets here.
pub(crate) fn listen_at(_: &Path, _: UnixListenOptions) -> io::Result<(Socket, SocketFile)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There are no Unix sockets here.
pub(crate) fn listen_at_name(_: &[u8], _: i32) -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There are no Unix sockets here.
pub(crate) fn receive_at(_: &Path, _: u32) -> io::Result<(Socket, SocketFile)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// There are no Unix sockets here.
pub(crate) fn datagram_socket() -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The port that tells when a [`turn`](Reactor::turn) would have something to do.
impl AsHandle for Reactor {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.host_descriptor().as_handle()
    }
}
