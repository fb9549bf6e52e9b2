use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;

use crate::abstract_name::AbstractServer;
use crate::error::{EndpointError, Fault};
use crate::handed::{Descriptor, SystemdServer};
use crate::haproxy::HaproxyServer;
use crate::own::OwnPlace;
use crate::scheme::{Arguments, Scheme, Schemes};
use crate::serial::SerialLine;
use crate::standard_io::StandardIo;
use crate::tls_server::{TlsServer, with_tls};
use crate::value::{self, BACKLOG_DEFAULT, UNIX_MODE_DEFAULT, quote_path};
use crate::websocket::WebSocketServer;

/// Where to listen.
///
/// ```
/// # use std::net::Ipv4Addr;
/// # use ropewalk_endpoint::{ServerDescription, TcpServer};
/// let built = TcpServer::new(8080).with_interface(Ipv4Addr::LOCALHOST).with_backlog(64)?;
/// let built = ServerDescription::from(built);
/// assert_eq!(built.to_string(), "tcp:8080:interface=127.0.0.1:backlog=64");
/// assert_eq!("tcp:8080:backlog=64:interface=127.0.0.1".parse(), Ok(built));
/// # Ok::<(), ropewalk_endpoint::Fault>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerDescription {
    /// On a TCP port, IPv4.
    Tcp(TcpServer),
    /// On a TCP port, IPv6.
    Tcp6(Tcp6Server),
    /// On a Unix socket.
    Unix(UnixServer),
    /// On a Unix socket by an abstract name.
    Abstract(AbstractServer),
    /// On a descriptor that the process was started with.
    Descriptor(Descriptor),
    /// On a socket that a service manager has handed over.
    Systemd(SystemdServer),
    /// On the standard input and output, for one connection.
    StandardIo(StandardIo),
    /// On a serial line, for one connection.
    Serial(SerialLine),
    /// Where another crate knows.
    Own(OwnPlace),
    /// With TLS, over any of the others.
    Tls(TlsServer),
    /// On any of these, behind a proxy that says who its client is.
    Haproxy(Box<HaproxyServer>),
    /// On any of these, in WebSockets.
    WebSocket(Box<WebSocketServer>),
}

impl ServerDescription {
    /// The kinds of this crate: `tcp`, `tcp6`, `unix`, `abstract`, `fd`, `systemd`, `stdio`, `serial`, `tls`,
    /// `ssl`, `haproxy` and `websocket`.
    pub fn schemes() -> Schemes<Self> {
        let schemes = Schemes::new()
            .with(
                Scheme::new("tcp", "tcp:PORT[:interface=ADDRESS][:backlog=COUNT]", tcp)
                    .positional(&["port", "interface", "backlog"]),
            )
            .with(
                Scheme::new(
                    "tcp6",
                    "tcp6:PORT[:backlog=COUNT][:interface=ADDRESS][:dual=yes]",
                    tcp6,
                )
                .positional(&["port", "backlog", "interface"])
                .named(&["dual"]),
            )
            .with(
                Scheme::new("unix", "unix:PATH[:mode=OCTAL][:backlog=COUNT]", unix)
                    .positional(&["path", "mode", "backlog"])
                    .alias("address", "path"),
            )
            .with(AbstractServer::scheme())
            .with(Descriptor::scheme())
            .with(SystemdServer::scheme())
            .with(StandardIo::scheme())
            .with(SerialLine::scheme());
        with_tls(schemes).with(HaproxyServer::scheme()).with(WebSocketServer::scheme())
    }

    /// Has TLS offer these application protocols, where there is TLS and nothing was said of them, in
    /// place of what the factory that listens there [says](ropewalk_protocol::Factory::alpn).
    pub fn speaking(self, protocols: &[&str]) -> Self {
        match self {
            Self::Tls(server) => Self::Tls(server.speaking(protocols)),
            Self::Haproxy(server) => server.speaking(protocols).into(),
            other => other,
        }
    }

    /// Whether what is said there is encrypted.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Haproxy(server) => server.server().is_encrypted(),
            Self::WebSocket(server) => server.server().is_encrypted(),
            _ => false,
        }
    }
}

impl FromStr for ServerDescription {
    type Err = EndpointError;

    fn from_str(source: &str) -> Result<Self, EndpointError> {
        Self::schemes().read(source)
    }
}

impl fmt::Display for ServerDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(server) => server.fmt(f),
            Self::Tcp6(server) => server.fmt(f),
            Self::Unix(server) => server.fmt(f),
            Self::Abstract(server) => server.fmt(f),
            Self::Descriptor(server) => server.fmt(f),
            Self::Systemd(server) => server.fmt(f),
            Self::StandardIo(server) => server.fmt(f),
            Self::Serial(server) => server.fmt(f),
            Self::Own(server) => server.fmt(f),
            Self::Haproxy(server) => server.fmt(f),
            Self::WebSocket(server) => server.fmt(f),
            Self::Tls(server) => server.fmt(f),
        }
    }
}

/// A TCP port on IPv4: `tcp:PORT[:interface=ADDRESS][:backlog=COUNT]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpServer {
    port: u16,
    interface: Ipv4Addr,
    backlog: u16,
}

impl TcpServer {
    /// Listens on `port` of each interface; port 0 lets the system choose.
    pub fn new(port: u16) -> Self {
        Self { port, interface: Ipv4Addr::UNSPECIFIED, backlog: BACKLOG_DEFAULT }
    }

    /// Listens on this address alone.
    pub fn with_interface(self, interface: Ipv4Addr) -> Self {
        Self { interface, ..self }
    }

    /// Lets this many connections wait.
    ///
    /// # Errors
    ///
    /// [`Fault::Backlog`] if that is none.
    pub fn with_backlog(self, backlog: u16) -> Result<Self, Fault> {
        Ok(Self { backlog: value::check_backlog(backlog)?, ..self })
    }

    /// The port; 0 lets the system choose.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address; `0.0.0.0` is each.
    pub fn interface(&self) -> Ipv4Addr {
        self.interface
    }

    /// How many connections may wait.
    pub fn backlog(&self) -> u16 {
        self.backlog
    }
}

impl From<TcpServer> for ServerDescription {
    fn from(server: TcpServer) -> Self {
        Self::Tcp(server)
    }
}

impl fmt::Display for TcpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp:{}", self.port)?;
        if !self.interface.is_unspecified() {
            write!(f, ":interface={}", self.interface)?;
        }
        write_backlog(f, self.backlog)
    }
}

/// A TCP port on IPv6: `tcp6:PORT[:backlog=COUNT][:interface=ADDRESS][:dual=yes]`.
///
/// It takes IPv6 connections alone, on each system, so that `tcp:80` and `tcp6:80` can stand side
/// by side; with `dual=yes` it takes those over IPv4 too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tcp6Server {
    port: u16,
    binding: Binding,
    backlog: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Binding {
    Ipv6(Ipv6Addr),
    Both,
}

impl Tcp6Server {
    /// Listens on `port` of each interface; port 0 lets the system choose.
    pub fn new(port: u16) -> Self {
        let binding = Binding::Ipv6(Ipv6Addr::UNSPECIFIED);
        Self { port, binding, backlog: BACKLOG_DEFAULT }
    }

    /// Listens on this address alone, over IPv6 alone.
    pub fn with_interface(self, interface: Ipv6Addr) -> Self {
        Self { binding: Binding::Ipv6(interface), ..self }
    }

    /// Listens on each interface, over IPv4 too.
    pub fn dual(self) -> Self {
        Self { binding: Binding::Both, ..self }
    }

    /// Lets this many connections wait.
    ///
    /// # Errors
    ///
    /// [`Fault::Backlog`] if that is none.
    pub fn with_backlog(self, backlog: u16) -> Result<Self, Fault> {
        Ok(Self { backlog: value::check_backlog(backlog)?, ..self })
    }

    /// The port; 0 lets the system choose.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address; `::` is each.
    pub fn interface(&self) -> Ipv6Addr {
        match self.binding {
            Binding::Ipv6(interface) => interface,
            Binding::Both => Ipv6Addr::UNSPECIFIED,
        }
    }

    /// Whether connections over IPv4 are taken too.
    pub fn is_dual(&self) -> bool {
        self.binding == Binding::Both
    }

    /// How many connections may wait.
    pub fn backlog(&self) -> u16 {
        self.backlog
    }
}

impl From<Tcp6Server> for ServerDescription {
    fn from(server: Tcp6Server) -> Self {
        Self::Tcp6(server)
    }
}

impl fmt::Display for Tcp6Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp6:{}", self.port)?;
        match self.binding {
            Binding::Ipv6(Ipv6Addr::UNSPECIFIED) => (),
            Binding::Ipv6(interface) => write!(f, ":interface=[{interface}]")?,
            Binding::Both => f.write_str(":dual=yes")?,
        }
        write_backlog(f, self.backlog)
    }
}

/// A Unix socket: `unix:PATH[:mode=OCTAL][:backlog=COUNT]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixServer {
    path: String,
    mode: u32,
    backlog: u16,
}

impl UnixServer {
    /// Listens on a socket at `path` that its owner alone can reach.
    ///
    /// # Errors
    ///
    /// If no socket can have such a path.
    pub fn new(path: &str) -> Result<Self, Fault> {
        let path = value::path(path)?;
        Ok(Self { path, mode: UNIX_MODE_DEFAULT, backlog: BACKLOG_DEFAULT })
    }

    /// Gives the socket these permissions.
    ///
    /// # Errors
    ///
    /// [`Fault::Mode`] if there are bits beyond `0o777`.
    pub fn with_mode(self, mode: u32) -> Result<Self, Fault> {
        Ok(Self { mode: value::check_mode(mode)?, ..self })
    }

    /// Lets this many connections wait.
    ///
    /// # Errors
    ///
    /// [`Fault::Backlog`] if that is none.
    pub fn with_backlog(self, backlog: u16) -> Result<Self, Fault> {
        Ok(Self { backlog: value::check_backlog(backlog)?, ..self })
    }

    /// Where the socket stands among the files.
    pub fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    /// The socket's permissions.
    pub fn mode(&self) -> u32 {
        self.mode
    }

    /// How many connections may wait.
    pub fn backlog(&self) -> u16 {
        self.backlog
    }
}

impl From<UnixServer> for ServerDescription {
    fn from(server: UnixServer) -> Self {
        Self::Unix(server)
    }
}

impl fmt::Display for UnixServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", quote_path(&self.path))?;
        if self.mode != UNIX_MODE_DEFAULT {
            write!(f, ":mode={:03o}", self.mode)?;
        }
        write_backlog(f, self.backlog)
    }
}

fn tcp(arguments: &Arguments) -> Result<ServerDescription, EndpointError> {
    let port = arguments.required("port", value::port)?;
    let interface = arguments.optional("interface", value::ipv4_interface)?;
    let backlog = arguments.optional("backlog", value::backlog)?.unwrap_or(BACKLOG_DEFAULT);
    let interface = interface.unwrap_or(Ipv4Addr::UNSPECIFIED);
    Ok(TcpServer { port, interface, backlog }.into())
}

fn tcp6(arguments: &Arguments) -> Result<ServerDescription, EndpointError> {
    let port = arguments.required("port", value::port)?;
    let interface = arguments.optional("interface", value::ipv6_interface)?;
    let backlog = arguments.optional("backlog", value::backlog)?.unwrap_or(BACKLOG_DEFAULT);
    let interface = interface.unwrap_or(Ipv6Addr::UNSPECIFIED);
    let binding = match arguments.optional("dual", value::flag)? {
        Some(true) if !interface.is_unspecified() => {
            return Err(arguments.fault("dual", Fault::DualInterface));
        }
        Some(true) => Binding::Both,
        Some(false) | None => Binding::Ipv6(interface),
    };
    Ok(Tcp6Server { port, binding, backlog }.into())
}

fn unix(arguments: &Arguments) -> Result<ServerDescription, EndpointError> {
    let path = arguments.required("path", value::path)?;
    let mode = arguments.optional("mode", value::mode)?.unwrap_or(UNIX_MODE_DEFAULT);
    let backlog = arguments.optional("backlog", value::backlog)?.unwrap_or(BACKLOG_DEFAULT);
    Ok(UnixServer { path, mode, backlog }.into())
}

pub(crate) fn write_backlog(f: &mut fmt::Formatter<'_>, backlog: u16) -> fmt::Result {
    if backlog == BACKLOG_DEFAULT { Ok(()) } else { write!(f, ":backlog={backlog}") }
}
