use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::abstract_name::AbstractClient;
use crate::error::{EndpointError, Fault};
use crate::exec::ExecClient;
use crate::handed::Descriptor;
use crate::haproxy::HaproxyClient;
use crate::own::OwnPlace;
use crate::scheme::{Arguments, Scheme, Schemes};
use crate::serial::SerialLine;
use crate::standard_io::StandardIo;
use crate::through::ThroughProxy;
use crate::tls_client::{TlsClient, with_tls};
use crate::value::{self, Seconds, TIMEOUT_DEFAULT, quote_host, quote_path};
use crate::websocket::WebSocketClient;

/// Where to connect.
///
/// ```
/// # use std::time::Duration;
/// # use ropewalk_endpoint::{ClientDescription, TcpClient};
/// let built = TcpClient::new("example.com", 80)?.with_timeout(Duration::from_millis(2500))?;
/// let built = ClientDescription::from(built);
/// assert_eq!(built.to_string(), "tcp:example.com:80:timeout=2.5");
/// assert_eq!("tcp:example.com:80:timeout=2.5".parse(), Ok(built));
/// # Ok::<(), ropewalk_endpoint::Fault>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientDescription {
    /// To a TCP port, over IPv4 or IPv6.
    Tcp(TcpClient),
    /// To a TCP port, over IPv6 alone.
    Tcp6(Tcp6Client),
    /// To a Unix socket.
    Unix(UnixClient),
    /// To a Unix socket by an abstract name.
    Abstract(AbstractClient),
    /// On a descriptor that the process was started with, which is connected.
    Descriptor(Descriptor),
    /// On the standard input and output.
    StandardIo(StandardIo),
    /// Over a serial line.
    Serial(SerialLine),
    /// To a program, by its standard input and output.
    Exec(ExecClient),
    /// To where another crate knows.
    Own(OwnPlace),
    /// With TLS, over any of the others.
    Tls(TlsClient),
    /// To any of these, saying who this side is before all else.
    Haproxy(Box<HaproxyClient>),
    /// To a port of a host, through a proxy that is reached by any of these.
    ThroughProxy(Box<ThroughProxy>),
    /// To any of these, in a WebSocket.
    WebSocket(Box<WebSocketClient>),
}

impl ClientDescription {
    /// The kinds of this crate: `tcp`, `tcp6`, `unix`, `abstract`, `fd`, `stdio`, `serial`, `exec`, `tls`, `ssl`,
    /// `haproxy`, `socks4`, `socks5`, `http-connect`, `ws`, `wss` and `websocket`.
    pub fn schemes() -> Schemes<Self> {
        let schemes = Schemes::new()
            .with(
                Scheme::new("tcp", "tcp:HOST:PORT[:timeout=SECONDS][:bind=ADDRESS]", tcp)
                    .positional(&["host", "port"])
                    .named(&["timeout", "bind"])
                    .alias("bindAddress", "bind"),
            )
            .with(
                Scheme::new("tcp6", "tcp6:HOST:PORT[:timeout=SECONDS][:bind=ADDRESS]", tcp6)
                    .positional(&["host", "port"])
                    .named(&["timeout", "bind"])
                    .alias("bindAddress", "bind"),
            )
            .with(
                Scheme::new("unix", "unix:PATH[:timeout=SECONDS]", unix)
                    .positional(&["path"])
                    .named(&["timeout"])
                    .alias("address", "path"),
            )
            .with(AbstractClient::scheme())
            .with(Descriptor::scheme())
            .with(StandardIo::scheme())
            .with(SerialLine::scheme())
            .with(ExecClient::scheme());
        let schemes = with_tls(schemes).with(HaproxyClient::scheme());
        let schemes = ThroughProxy::schemes().fold(schemes, Schemes::with);
        WebSocketClient::schemes().into_iter().fold(schemes, Schemes::with)
    }
}

impl FromStr for ClientDescription {
    type Err = EndpointError;

    fn from_str(source: &str) -> Result<Self, EndpointError> {
        Self::schemes().read(source)
    }
}

impl fmt::Display for ClientDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(client) => client.fmt(f),
            Self::Tcp6(client) => client.fmt(f),
            Self::Unix(client) => client.fmt(f),
            Self::Abstract(client) => client.fmt(f),
            Self::Descriptor(client) => client.fmt(f),
            Self::StandardIo(client) => client.fmt(f),
            Self::Serial(client) => client.fmt(f),
            Self::Exec(client) => client.fmt(f),
            Self::Own(client) => client.fmt(f),
            Self::Haproxy(client) => client.fmt(f),
            Self::ThroughProxy(client) => client.fmt(f),
            Self::WebSocket(client) => client.fmt(f),
            Self::Tls(client) => client.fmt(f),
        }
    }
}

/// A TCP port of a host: `tcp:HOST:PORT[:timeout=SECONDS][:bind=ADDRESS]`.
///
/// The host is a name, an IPv4 address or an IPv6 address; a name stands for all its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpClient {
    host: String,
    port: u16,
    timeout: Duration,
    bind: Option<IpAddr>,
}

impl TcpClient {
    /// Connects to `port` of `host`.
    ///
    /// # Errors
    ///
    /// [`Fault::Host`] or [`Fault::ClientPort`] if there can be no such host or port.
    pub fn new(host: &str, port: u16) -> Result<Self, Fault> {
        let (host, port) = (value::host(host)?, value::check_client_port(port)?);
        Ok(Self { host, port, timeout: TIMEOUT_DEFAULT, bind: None })
    }

    /// Gives up after this time.
    ///
    /// # Errors
    ///
    /// [`Fault::Timeout`] if it is zero or above [`TIMEOUT_MAX`](crate::TIMEOUT_MAX).
    pub fn with_timeout(self, timeout: Duration) -> Result<Self, Fault> {
        Ok(Self { timeout: value::check_timeout(timeout)?, ..self })
    }

    /// Connects from this address.
    ///
    /// # Errors
    ///
    /// [`Fault::BindFamily`] if the host is an address of the other family.
    pub fn with_bind(self, address: IpAddr) -> Result<Self, Fault> {
        let is_other = |host: IpAddr| host.is_ipv4() != address.is_ipv4();
        if value::address(&self.host).is_some_and(is_other) {
            return Err(Fault::BindFamily);
        }
        Ok(Self { bind: Some(address), ..self })
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How long the connection may take to come about.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The address to connect from; if none, the system chooses.
    pub fn bind(&self) -> Option<IpAddr> {
        self.bind
    }
}

impl From<TcpClient> for ClientDescription {
    fn from(client: TcpClient) -> Self {
        Self::Tcp(client)
    }
}

impl fmt::Display for TcpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp:{}:{}", quote_host(&self.host), self.port)?;
        write_timeout(f, self.timeout)?;
        write_bind(f, self.bind)
    }
}

/// A TCP port of a host, over IPv6: `tcp6:HOST:PORT[:timeout=SECONDS][:bind=ADDRESS]`.
///
/// The host is an IPv6 address or a name, which stands for its IPv6 addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tcp6Client {
    host: String,
    port: u16,
    timeout: Duration,
    bind: Option<Ipv6Addr>,
}

impl Tcp6Client {
    /// Connects to `port` of `host`.
    ///
    /// # Errors
    ///
    /// [`Fault::Host`], [`Fault::Ipv4Host`] or [`Fault::ClientPort`] if there can be no such host
    /// or port.
    pub fn new(host: &str, port: u16) -> Result<Self, Fault> {
        let (host, port) = (ipv6_host(host)?, value::check_client_port(port)?);
        Ok(Self { host, port, timeout: TIMEOUT_DEFAULT, bind: None })
    }

    /// Gives up after this time.
    ///
    /// # Errors
    ///
    /// [`Fault::Timeout`] if it is zero or above [`TIMEOUT_MAX`](crate::TIMEOUT_MAX).
    pub fn with_timeout(self, timeout: Duration) -> Result<Self, Fault> {
        Ok(Self { timeout: value::check_timeout(timeout)?, ..self })
    }

    /// Connects from this address.
    pub fn with_bind(self, address: Ipv6Addr) -> Self {
        Self { bind: Some(address), ..self }
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How long the connection may take to come about.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The address to connect from; if none, the system chooses.
    pub fn bind(&self) -> Option<Ipv6Addr> {
        self.bind
    }
}

impl From<Tcp6Client> for ClientDescription {
    fn from(client: Tcp6Client) -> Self {
        Self::Tcp6(client)
    }
}

impl fmt::Display for Tcp6Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp6:{}:{}", quote_host(&self.host), self.port)?;
        write_timeout(f, self.timeout)?;
        write_bind(f, self.bind.map(IpAddr::V6))
    }
}

/// A Unix socket: `unix:PATH[:timeout=SECONDS]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixClient {
    path: String,
    timeout: Duration,
}

impl UnixClient {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    ///
    /// If no socket can have such a path.
    pub fn new(path: &str) -> Result<Self, Fault> {
        Ok(Self { path: value::path(path)?, timeout: TIMEOUT_DEFAULT })
    }

    /// Gives up after this time.
    ///
    /// # Errors
    ///
    /// [`Fault::Timeout`] if it is zero or above [`TIMEOUT_MAX`](crate::TIMEOUT_MAX).
    pub fn with_timeout(self, timeout: Duration) -> Result<Self, Fault> {
        Ok(Self { timeout: value::check_timeout(timeout)?, ..self })
    }

    /// Where the socket stands among the files.
    pub fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    /// How long the connection may take to come about.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl From<UnixClient> for ClientDescription {
    fn from(client: UnixClient) -> Self {
        Self::Unix(client)
    }
}

impl fmt::Display for UnixClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", quote_path(&self.path))?;
        write_timeout(f, self.timeout)
    }
}

fn tcp(arguments: &Arguments) -> Result<ClientDescription, EndpointError> {
    let host = arguments.required("host", value::host)?;
    let port = arguments.required("port", value::client_port)?;
    let timeout = arguments.optional("timeout", value::timeout)?.unwrap_or(TIMEOUT_DEFAULT);
    let client = TcpClient { host, port, timeout, bind: None };
    let Some(bind) = arguments.optional("bind", value::bind)? else { return Ok(client.into()) };
    let bound = client.with_bind(bind).map_err(|fault| arguments.fault("bind", fault))?;
    Ok(bound.into())
}

fn tcp6(arguments: &Arguments) -> Result<ClientDescription, EndpointError> {
    let host = arguments.required("host", ipv6_host)?;
    let port = arguments.required("port", value::client_port)?;
    let timeout = arguments.optional("timeout", value::timeout)?.unwrap_or(TIMEOUT_DEFAULT);
    let bind = arguments.optional("bind", |text| match value::bind(text)? {
        IpAddr::V6(address) => Ok(address),
        IpAddr::V4(_) => Err(Fault::BindFamily),
    })?;
    Ok(Tcp6Client { host, port, timeout, bind }.into())
}

fn unix(arguments: &Arguments) -> Result<ClientDescription, EndpointError> {
    let path = arguments.required("path", value::path)?;
    let timeout = arguments.optional("timeout", value::timeout)?.unwrap_or(TIMEOUT_DEFAULT);
    Ok(UnixClient { path, timeout }.into())
}

fn ipv6_host(text: &str) -> Result<String, Fault> {
    let host = value::host(text)?;
    if value::address(&host).is_some_and(|address| address.is_ipv4()) {
        return Err(Fault::Ipv4Host);
    }
    Ok(host)
}

pub(crate) fn write_timeout(f: &mut fmt::Formatter<'_>, timeout: Duration) -> fmt::Result {
    if timeout == TIMEOUT_DEFAULT { Ok(()) } else { write!(f, ":timeout={}", Seconds(timeout)) }
}

pub(crate) fn write_bind(f: &mut fmt::Formatter<'_>, bind: Option<IpAddr>) -> fmt::Result {
    let Some(address) = bind else { return Ok(()) };
    write!(f, ":bind={}", quote_host(&address.to_string()))
}
