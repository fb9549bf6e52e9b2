//! The way out of a SOCKS server or an HTTP proxy, over a reactor.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_forward::Dialer;
use ropewalk_protocol::{DatagramEndpoint, Port, Resolver, Seat, SeatFactory, ServerEndpoint};
use ropewalk_reactor::{ConnectOptions, Reactor, TcpListenOptions, UdpEndpoint, UdpOptions};
use ropewalk_socks::Outlet;

/// The way out of a SOCKS server or an HTTP proxy: this machine's own network, through a reactor.
///
/// ```
/// use ropewalk_endpoint::{ReactorOutlet, server_from_string};
/// use ropewalk_protocol::listen;
/// use ropewalk_reactor::Reactor;
/// use ropewalk_socks::Service;
///
/// let reactor = Reactor::new()?;
/// let place = server_from_string(&reactor, "tcp:0:interface=127.0.0.1")?;
/// let service = Service::new(ReactorOutlet::new(&reactor));
/// let port = reactor.run_until(listen(&*place, service))?;
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
#[derive(Clone)]
pub struct ReactorOutlet {
    reactor: Reactor,
    options: ConnectOptions,
}

impl ReactorOutlet {
    /// Out over `reactor`.
    pub fn new(reactor: &Reactor) -> Self {
        Self { reactor: reactor.clone(), options: ConnectOptions::default() }
    }

    /// How to connect.
    pub fn options(self, options: ConnectOptions) -> Self {
        Self { options, ..self }
    }
}

impl Dialer for ReactorOutlet {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        self.reactor.resolve(host, port)
    }

    fn connect(&self, addresses: &[SocketAddr], seat: Box<dyn Seat>) {
        self.reactor.connect_addresses(addresses, self.options, seat);
    }
}

impl Outlet for ReactorOutlet {
    fn bind(&self, peer: IpAddr) -> Box<dyn ServerEndpoint> {
        let (reactor, address) = (self.reactor.clone(), towards(peer));
        Box::new(AnyPort { reactor, address })
    }

    fn datagrams(&self, local: IpAddr) -> Box<dyn DatagramEndpoint> {
        let address = SocketAddr::new(local, 0);
        Box::new(UdpEndpoint::new(&self.reactor, address, UdpOptions::default()))
    }
}

impl fmt::Debug for ReactorOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorOutlet").finish_non_exhaustive()
    }
}

/// Any free port of an address.
struct AnyPort {
    reactor: Reactor,
    address: IpAddr,
}

impl ServerEndpoint for AnyPort {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let address = SocketAddr::new(self.address, 0);
        match self.reactor.listen_tcp(address, TcpListenOptions::default(), factory) {
            Ok(port) => Deferred::succeed(Box::new(port)),
            Err(error) => Deferred::fail(Failure::from(error)),
        }
    }
}

/// This machine's address on the way to `peer`: the one that its routes would send from. Nothing is
/// sent to find out.
fn towards(peer: IpAddr) -> IpAddr {
    let any: IpAddr = match peer {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let routed = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((peer, 9))?;
        socket.local_addr()
    };
    // Without a route, whoever comes by any may come.
    routed().map_or(any, |address| address.ip())
}
