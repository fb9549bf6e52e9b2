//! UDP.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{SocketType, getsockname, sockopt};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ropewalk_protocol::{Address, DatagramEndpoint, DatagramSeat, Disconnect};
use socket2::{Domain, Protocol, Socket, Type};

use crate::sys::Socket as AnySocket;
use crate::sys::os::{self, coalesce, peer_address};
use crate::{CannotAdopt, CannotListen, ListeningPort, Reactor};

/// The longest datagram that is taken, unless said otherwise: longer ones do not exist over IP.
pub(super) const LENGTH_DEFAULT: usize = 65_535;

/// How to open a port for UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the system's")]
pub struct UdpOptions {
    pub(super) length: usize,
    bind: Option<SocketAddr>,
    reuse_address: bool,
    reuse_port: bool,
    broadcast: bool,
    v6_only: bool,
    coalesce: bool,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    interface: Option<String>,
    hops: Option<u8>,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            length: LENGTH_DEFAULT,
            bind: None,
            reuse_address: false,
            reuse_port: false,
            broadcast: false,
            v6_only: true,
            coalesce: true,
            receive_buffer: None,
            send_buffer: None,
            interface: None,
            hops: None,
        }
    }
}

impl UdpOptions {
    /// The longest datagram that is taken, in bytes, and never more than 65,535. Of longer ones the
    /// protocol is told [the beginning](ropewalk_protocol::DatagramProtocol::datagram_truncated).
    pub fn max_length(self, length: usize) -> Self {
        Self { length: length.min(LENGTH_DEFAULT), ..self }
    }

    /// The address to send from, for ports that are connected; the system's choice unless set.
    pub fn bind(self, address: SocketAddr) -> Self {
        Self { bind: Some(address), ..self }
    }

    /// Whether several ports may share the address (`SO_REUSEADDR`): each gets what is sent to groups
    /// and broadcast, and the last that was opened gets the rest. Not unless set.
    pub fn reuse_address(self, reuse: bool) -> Self {
        Self { reuse_address: reuse, ..self }
    }

    /// Whether several ports of one user may share the address, each with a part of the senders
    /// (`SO_REUSEPORT`): for one reactor a core. Not unless set.
    pub fn reuse_port(self, reuse: bool) -> Self {
        Self { reuse_port: reuse, ..self }
    }

    /// Whether broadcasts may be sent; not unless set.
    pub fn broadcast(self, broadcast: bool) -> Self {
        Self { broadcast, ..self }
    }

    /// Whether an IPv6 port leaves IPv4 to others; it does unless told otherwise. One that does not
    /// sees and takes the addresses of IPv4 as such.
    pub fn v6_only(self, v6_only: bool) -> Self {
        Self { v6_only, ..self }
    }

    /// Whether the system may put datagrams of one sender together on their way here (`UDP_GRO`),
    /// which are then taken apart again: much cheaper where a sender has many. It may unless told
    /// otherwise.
    pub fn coalesce(self, coalesce: bool) -> Self {
        Self { coalesce, ..self }
    }

    /// How many bytes the system keeps of what has come and was not received (`SO_RCVBUF`); it bounds
    /// what can be asked for.
    pub fn receive_buffer(self, bytes: usize) -> Self {
        Self { receive_buffer: Some(bytes), ..self }
    }

    /// How many bytes the system keeps of what is to be sent (`SO_SNDBUF`); it bounds what can be
    /// asked for.
    pub fn send_buffer(self, bytes: usize) -> Self {
        Self { send_buffer: Some(bytes), ..self }
    }

    /// The only interface to receive from and send to, by its name (`SO_BINDTODEVICE`).
    pub fn interface(self, name: impl Into<String>) -> Self {
        Self { interface: Some(name.into()), ..self }
    }

    /// How many hops what is sent to single hosts may go: TTL or hop limit; the system's own unless
    /// set.
    pub fn hops(self, hops: u8) -> Self {
        Self { hops: Some(hops), ..self }
    }

    /// Makes a socket that is bound to `address`.
    fn open(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = os::socket(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(self.v6_only)?;
        }
        if self.reuse_address {
            socket.set_reuse_address(true)?;
        }
        if self.reuse_port {
            os::share_port(&socket)?;
        }
        if self.broadcast {
            socket.set_broadcast(true)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(name) = &self.interface {
            os::bind_to_interface(&socket, name)?;
        }
        match self.hops {
            Some(hops) if address.is_ipv4() => socket.set_ttl_v4(hops.into())?,
            Some(hops) => socket.set_unicast_hops_v6(hops.into())?,
            None => (),
        }
        if self.coalesce {
            coalesce(socket.as_fd());
        }
        // A port that is connected from anywhere is bound by that.
        socket.bind(&address.into())?;
        Ok(socket)
    }
}

impl UdpOptions {
    /// A socket that is open at `address` so, for [`Reactor::adopt_udp`] here or in the process that takes this one's
    /// place.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn socket(&self, address: SocketAddr) -> io::Result<OwnedFd> {
        self.open(address).map(OwnedFd::from)
    }
}

impl Reactor {
    /// Receives datagrams at an Internet address; port 0 lets the system choose, and
    /// [`Port::address`](ropewalk_protocol::Port::address) tells what it chose. The protocol is told
    /// in the next turn that it has started.
    ///
    /// # Errors
    ///
    /// If the system refuses: the address is in use, is not this machine's, or wants privilege. The
    /// protocol is told so as well.
    pub fn listen_udp(
        &self,
        address: SocketAddr,
        options: &UdpOptions,
        seat: Box<dyn DatagramSeat>,
    ) -> Result<ListeningPort, CannotListen> {
        let place = Address::Ip(address);
        let opened = match self.inner().carrier.platform() {
            Some(platform) => platform.datagrams(&place, None),
            None => options.open(address).and_then(|socket| named(socket, address)),
        };
        match opened {
            Ok((socket, bound)) => {
                Ok(self.open_port(socket, bound, None, options.length, None, seat))
            }
            Err(error) => {
                self.refuse_port(seat, Disconnect::from(&error));
                Err(CannotListen { address: place, error })
            }
        }
    }

    /// Receives datagrams with a socket that somebody else has opened at an Internet address: the process whose place
    /// this one takes. Of the options only how long datagrams may be counts.
    ///
    /// It is made not to block, which holds for everybody who has it. Whoever reads first has what comes.
    ///
    /// # Errors
    ///
    /// If it is no such socket. The protocol is told so as well.
    pub fn adopt_udp(
        &self,
        descriptor: OwnedFd,
        options: &UdpOptions,
        seat: Box<dyn DatagramSeat>,
    ) -> Result<ListeningPort, CannotAdopt> {
        match datagrams_at(descriptor.as_fd()) {
            Ok(bound) => {
                let length = options.length;
                Ok(self.open_port(descriptor.into(), Address::Ip(bound), None, length, None, seat))
            }
            Err(error) => {
                self.refuse_port(seat, Disconnect::Failed(io::ErrorKind::InvalidInput));
                Err(error)
            }
        }
    }

    /// Exchanges datagrams with one peer: others are not heard, and the protocol is told when nobody
    /// receives there. A failure reaches the seat as its end.
    pub fn connect_udp(&self, peer: SocketAddr, options: &UdpOptions, seat: Box<dyn DatagramSeat>) {
        let anywhere = match peer {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let from = options.bind.unwrap_or(anywhere);
        let target = Address::Ip(peer);
        let opened = match self.inner().carrier.platform() {
            Some(platform) => platform.datagrams(&Address::Ip(from), Some(&target)),
            None => options.open(from).and_then(|socket| {
                socket.connect(&peer.into())?;
                named(socket, from)
            }),
        };
        match opened {
            Ok((socket, bound)) => {
                self.open_port(socket, bound, Some(target), options.length, None, seat);
            }
            Err(error) => self.refuse_port(seat, Disconnect::from(&error)),
        }
    }
}

/// Where a socket that somebody else has opened takes datagrams, which is made not to block.
fn datagrams_at(socket: BorrowedFd<'_>) -> Result<SocketAddr, CannotAdopt> {
    if sockopt::socket_type(socket)? != SocketType::DGRAM {
        return Err(CannotAdopt::NotDatagrams);
    }
    let bound = peer_address(Some(getsockname(socket)?));
    os::make_ours(socket)?;
    bound.ip().ok_or(CannotAdopt::UnknownFamily)
}

fn named(socket: Socket, address: SocketAddr) -> io::Result<(AnySocket, Address)> {
    let bound = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((OwnedFd::from(socket).into(), Address::Ip(bound)))
}

/// A place for UDP on a reactor: one port, or with port 0 any that is free.
#[derive(Clone)]
pub struct UdpEndpoint {
    reactor: Reactor,
    address: SocketAddr,
    options: UdpOptions,
}

impl UdpEndpoint {
    /// The place at `address`.
    pub fn new(reactor: &Reactor, address: SocketAddr, options: UdpOptions) -> Self {
        Self { reactor: reactor.clone(), address, options }
    }
}

impl DatagramEndpoint for UdpEndpoint {
    fn open_seat(&self, peer: Option<&Address>, seat: Box<dyn DatagramSeat>) {
        match peer.map(Address::ip) {
            None => {
                // The seat is told of the failure too.
                let _ = self.reactor.listen_udp(self.address, &self.options, seat);
            }
            Some(Some(peer)) => {
                let options = self.options.clone().bind(self.address);
                self.reactor.connect_udp(peer, &options, seat);
            }
            Some(None) => {
                let why = Disconnect::Failed(io::ErrorKind::InvalidInput);
                self.reactor.refuse_port(seat, why);
            }
        }
    }
}

impl fmt::Debug for UdpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpEndpoint").field("address", &self.address).finish_non_exhaustive()
    }
}
