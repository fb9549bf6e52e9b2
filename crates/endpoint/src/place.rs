//! Descriptions on a reactor: places that listen and connect.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{ClientEndpoint, Port, Seat, SeatFactory, ServerEndpoint};
use ropewalk_proxy::Announcing;
use ropewalk_reactor::{
    CannotListen, ConnectOptions, ListeningPort, Reactor, TcpListenOptions, UnixListenOptions,
};

use crate::handed_place::HandedEndpoint;
use crate::haproxy::HaproxyServerEndpoint;
use crate::{
    AbstractClient, AbstractServer, ClientDescription, EndpointError, Kinds, ServerDescription,
    Tcp6Client, Tcp6Server, TcpClient, TcpServer, TlsClientEndpoint, TlsServerEndpoint, UnixClient,
    UnixServer,
};

/// The place to listen that a string describes; nothing listens before
/// [`listen`](ropewalk_protocol::listen) is called with it.
///
/// Where listening fails, the deferred carries a [`CannotListen`].
///
/// ```
/// use ropewalk_endpoint::server_from_string;
/// use ropewalk_protocol::{Address, Conn, Protocol, listen};
/// use ropewalk_reactor::Reactor;
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
///
/// let reactor = Reactor::new()?;
/// let place = server_from_string(&reactor, "tcp:0:interface=127.0.0.1")?;
/// let port = reactor.run_until(listen(&*place, |_: &Address| Some(Echo)))?;
/// assert_ne!(port.address().ip().unwrap().port(), 0);
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
///
/// # Errors
///
/// If the string is no place to listen, with what to write instead where that shows.
pub fn server_from_string(
    reactor: &Reactor,
    string: &str,
) -> Result<Box<dyn ServerEndpoint>, EndpointError> {
    Ok(string.parse::<ServerDescription>()?.on(reactor))
}

/// The place to connect to that a string describes; nothing connects before
/// [`connect`](ropewalk_protocol::connect) is called with it.
///
/// # Errors
///
/// If the string is no place to connect to, with what to write instead where that shows.
pub fn client_from_string(
    reactor: &Reactor,
    string: &str,
) -> Result<Box<dyn ClientEndpoint>, EndpointError> {
    Ok(string.parse::<ClientDescription>()?.on(reactor))
}

impl ServerDescription {
    /// The place that this describes, on `reactor`.
    pub fn on(&self, reactor: &Reactor) -> Box<dyn ServerEndpoint> {
        self.on_with(reactor, &Kinds::new())
    }

    /// The place that this describes, on `reactor`, where other crates' kinds are known too.
    pub fn on_with(&self, reactor: &Reactor, kinds: &Kinds) -> Box<dyn ServerEndpoint> {
        match self.clone() {
            Self::Tcp(server) => Box::new(TcpServerEndpoint::new(reactor, server)),
            Self::Tcp6(server) => Box::new(Tcp6ServerEndpoint::new(reactor, server)),
            Self::Unix(server) => Box::new(UnixServerEndpoint::new(reactor, server)),
            Self::Abstract(server) => Box::new(AbstractServerEndpoint::new(reactor, server)),
            Self::Descriptor(server) => Box::new(HandedEndpoint::new(reactor, server).among(kinds)),
            Self::Systemd(server) => Box::new(HandedEndpoint::new(reactor, server).among(kinds)),
            Self::StandardIo(server) => Box::new(HandedEndpoint::new(reactor, server)),
            Self::Serial(server) => Box::new(HandedEndpoint::new(reactor, server)),
            Self::Own(server) => kinds.make_server(reactor, server),
            Self::Haproxy(server) => Box::new(HaproxyServerEndpoint {
                inner: server.server().on_for_clients_who_begin(reactor, kinds),
                acceptance: server.acceptance(),
            }),
            Self::WebSocket(server) => {
                let inner = server.server().clone().speaking(&["http/1.1"]);
                server.over(inner.on_with(reactor, kinds))
            }
            Self::Tls(server) => {
                let inner = server.inner().on_for_clients_who_begin(reactor, kinds);
                Box::new(TlsServerEndpoint::over(reactor, server, inner))
            }
        }
    }

    /// The same under what clients have to begin: where the system can, a connection is only told of
    /// with its first bytes.
    fn on_for_clients_who_begin(
        &self,
        reactor: &Reactor,
        kinds: &Kinds,
    ) -> Box<dyn ServerEndpoint> {
        let listening = match self {
            Self::Tcp(server) => TcpServerEndpoint::new(reactor, server.clone()).listening(),
            Self::Tcp6(server) => Tcp6ServerEndpoint::new(reactor, server.clone()).listening(),
            _ => return self.on_with(reactor, kinds),
        };
        Box::new(listening.deferred())
    }
}

/// A TCP port to listen on, with how it is listened on.
struct Listening {
    reactor: Reactor,
    place: ServerDescription,
    address: SocketAddr,
    options: TcpListenOptions,
}

impl Listening {
    fn deferred(self) -> Self {
        Self { options: self.options.defer_accept(true), ..self }
    }
}

impl ServerEndpoint for Listening {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        told(&self.place, self.reactor.listen_tcp(self.address, self.options, factory))
    }
}

impl ClientDescription {
    /// The place that this describes, on `reactor`.
    pub fn on(&self, reactor: &Reactor) -> Box<dyn ClientEndpoint> {
        self.on_with(reactor, &Kinds::new())
    }

    /// The place that this describes, on `reactor`, where other crates' kinds are known too.
    pub fn on_with(&self, reactor: &Reactor, kinds: &Kinds) -> Box<dyn ClientEndpoint> {
        match self.clone() {
            Self::Tcp(client) => Box::new(TcpClientEndpoint::new(reactor, client)),
            Self::Tcp6(client) => Box::new(Tcp6ClientEndpoint::new(reactor, client)),
            Self::Unix(client) => Box::new(UnixClientEndpoint::new(reactor, client)),
            Self::Abstract(client) => Box::new(AbstractClientEndpoint::new(reactor, client)),
            Self::Descriptor(client) => Box::new(HandedEndpoint::new(reactor, client)),
            Self::StandardIo(client) => Box::new(HandedEndpoint::new(reactor, client)),
            Self::Serial(client) => Box::new(HandedEndpoint::new(reactor, client)),
            Self::Exec(client) => client.on(reactor),
            Self::Own(client) => kinds.make_client(reactor, client),
            Self::Haproxy(client) => {
                let inner = client.client().on_with(reactor, kinds);
                Box::new(Announcing::new(inner, client.version()))
            }
            Self::ThroughProxy(client) => client.over(client.proxy().on_with(reactor, kinds)),
            Self::WebSocket(client) => client.over(client.client().on_with(reactor, kinds)),
            Self::Tls(client) => {
                let inner = client.inner().on_with(reactor, kinds);
                Box::new(TlsClientEndpoint::over(reactor, client, inner))
            }
        }
    }
}

/// A description that has a reactor to be carried out on.
macro_rules! place {
    ($(#[$doc:meta])* $name:ident, $description:ty) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            reactor: Reactor,
            description: $description,
        }

        impl $name {
            /// The place that `description` describes, on `reactor`.
            pub fn new(reactor: &Reactor, description: $description) -> Self {
                Self { reactor: reactor.clone(), description }
            }

            /// What describes it.
            pub fn description(&self) -> &$description {
                &self.description
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.description).finish()
            }
        }
    };
}

place!(
    /// A TCP port on IPv4 to listen on.
    TcpServerEndpoint,
    TcpServer
);
place!(
    /// A TCP port on IPv6, and IPv4 if it is described so, to listen on.
    Tcp6ServerEndpoint,
    Tcp6Server
);
place!(
    /// A Unix socket to listen on.
    UnixServerEndpoint,
    UnixServer
);
place!(
    /// A Unix socket by an abstract name to listen on.
    AbstractServerEndpoint,
    AbstractServer
);
place!(
    /// A TCP port of a host to connect to.
    TcpClientEndpoint,
    TcpClient
);
place!(
    /// A TCP port of a host to connect to over IPv6.
    Tcp6ClientEndpoint,
    Tcp6Client
);
place!(
    /// A Unix socket to connect to.
    UnixClientEndpoint,
    UnixClient
);

place!(
    /// A Unix socket by an abstract name to connect to.
    AbstractClientEndpoint,
    AbstractClient
);

impl ServerEndpoint for TcpServerEndpoint {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        self.listening().listen_seats(factory)
    }
}

impl TcpServerEndpoint {
    fn listening(&self) -> Listening {
        let place = &self.description;
        Listening {
            reactor: self.reactor.clone(),
            place: place.clone().into(),
            address: SocketAddr::from((place.interface(), place.port())),
            options: TcpListenOptions::default().backlog(place.backlog()),
        }
    }
}

impl ServerEndpoint for Tcp6ServerEndpoint {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        self.listening().listen_seats(factory)
    }
}

impl Tcp6ServerEndpoint {
    fn listening(&self) -> Listening {
        let place = &self.description;
        let options =
            TcpListenOptions::default().backlog(place.backlog()).v6_only(!place.is_dual());
        Listening {
            reactor: self.reactor.clone(),
            place: place.clone().into(),
            address: SocketAddr::from((place.interface(), place.port())),
            options,
        }
    }
}

impl ServerEndpoint for UnixServerEndpoint {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let place = &self.description;
        let options = UnixListenOptions::default().backlog(place.backlog()).mode(place.mode());
        told(place, self.reactor.listen_unix(place.path(), options, factory))
    }
}

impl ClientEndpoint for TcpClientEndpoint {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let place = &self.description;
        let options = connect_options(place.timeout(), place.bind());
        connect_host(&self.reactor, place.host(), place.port(), options, seat);
    }
}

impl ClientEndpoint for Tcp6ClientEndpoint {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let place = &self.description;
        let options = connect_options(place.timeout(), place.bind().map(IpAddr::V6)).v6_only(true);
        connect_host(&self.reactor, place.host(), place.port(), options, seat);
    }
}

impl ClientEndpoint for UnixClientEndpoint {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let place = &self.description;
        let options = connect_options(place.timeout(), None);
        self.reactor.connect_unix(place.path(), options, seat);
    }
}

impl ServerEndpoint for AbstractServerEndpoint {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let place = &self.description;
        let options = UnixListenOptions::default().backlog(place.backlog());
        told(place, self.reactor.listen_abstract(place.name().as_bytes(), options, factory))
    }
}

impl ClientEndpoint for AbstractClientEndpoint {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let place = &self.description;
        let options = connect_options(place.timeout(), None);
        self.reactor.connect_abstract(place.name().as_bytes(), options, seat);
    }
}

/// A port as whoever listens is told of it; a failure says at which endpoint.
fn told(
    place: &impl fmt::Display,
    outcome: Result<ListeningPort, CannotListen>,
) -> Deferred<Box<dyn Port>> {
    match outcome {
        Ok(port) => Deferred::succeed(Box::new(port)),
        Err(error) => {
            let context: Cow<'static, str> = format!("no server at endpoint \"{place}\"").into();
            Deferred::fail(Failure::from(error).context(context))
        }
    }
}

fn connect_options(timeout: Duration, bind: Option<IpAddr>) -> ConnectOptions {
    let options = ConnectOptions::default().timeout(timeout);
    bind.map_or(options, |address| options.bind(SocketAddr::new(address, 0)))
}

/// Connects to a host; one that is an address needs no look-up and no thread.
fn connect_host(
    reactor: &Reactor,
    host: &str,
    port: u16,
    options: ConnectOptions,
    seat: Box<dyn Seat>,
) {
    match host.parse::<IpAddr>() {
        Ok(address) => reactor.connect_tcp(SocketAddr::new(address, port), options, seat),
        Err(_) => reactor.connect_name(host, port, options, seat),
    }
}
