//! Connections through an HTTP proxy (RFC 9110 9.3.6, `CONNECT`).
//!
//! [`Proxy`] is the client: it leads through any endpoint that leads to a proxy.
//!
//! ```
//! use ropewalk_deferred::Deferred;
//! use ropewalk_http::tunnel::{BadTarget, Proxy, Target};
//! use ropewalk_protocol::{ClientEndpoint, Conn, Protocol};
//!
//! fn through<P: Protocol>(
//!     proxy: impl ClientEndpoint + 'static,
//!     protocol: P,
//! ) -> Result<Deferred<Conn<P>>, BadTarget> {
//!     Ok(Proxy::new(proxy).connect(&Target::new("example.org", 443)?, protocol))
//! }
//! ```

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use ropewalk_deferred::Deferred;
use ropewalk_forward::{Handshake, Interrupted, PATIENCE, agree, connect_after};
use ropewalk_protocol::{Address, ClientEndpoint, Conn, Disconnect, Protocol, Seat};

/// How many bytes a proxy's answer may have, interim ones each by themselves.
pub const ANSWER_MAX: usize = 16 * 1024;
/// How many fields a proxy's answer may have.
pub const FIELDS_MAX: usize = 100;
/// How many interim answers (1xx) a proxy may give.
pub const INTERIM_MAX: usize = 8;
/// The longest name of a host, in bytes.
pub const HOST_MAX: usize = 255;

/// A host, by address or by name, and a port of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    host: String,
    port: u16,
}

/// There can be no such host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTarget;

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host is no address and no name of 1 to {HOST_MAX} letters, digits, . - _")
    }
}

impl Error for BadTarget {}

impl Target {
    /// A port of a host that is a name or an address.
    ///
    /// # Errors
    ///
    /// If there can be no such host.
    pub fn new(host: &str, port: u16) -> Result<Self, BadTarget> {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let is_name = (1..=HOST_MAX).contains(&host.len()) && host.chars().all(fits);
        if is_name || host.parse::<Ipv6Addr>().is_ok() {
            Ok(Self { host: host.to_owned(), port })
        } else {
            Err(BadTarget)
        }
    }

    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => write!(f, "[{address}]:{}", self.port),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl From<&Target> for Address {
    fn from(target: &Target) -> Self {
        match target.host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, target.port).into(),
            Err(_) => Self::Host(target.host.clone(), target.port),
        }
    }
}

/// An HTTP proxy that can be asked for connections.
#[derive(Clone)]
pub struct Proxy {
    endpoint: Rc<dyn ClientEndpoint>,
    /// The value of `Proxy-Authorization`.
    login: Option<String>,
    patience: Duration,
}

impl Proxy {
    /// A proxy at `endpoint`.
    pub fn new(endpoint: impl ClientEndpoint + 'static) -> Self {
        Self { endpoint: Rc::new(endpoint), login: None, patience: PATIENCE }
    }

    /// Says this user name and password with each request (RFC 7617). There is no `:` in such a name.
    pub fn login(self, user: &str, password: &str) -> Self {
        let login = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        Self { login, ..self }
    }

    /// How long the proxy may take, the connection to the target included;
    /// [`PATIENCE`], 30 seconds, unless set.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Connects `protocol` to `target`. Names are looked up by the proxy.
    ///
    /// The deferred fails with a [`TunnelError`].
    #[track_caller]
    pub fn connect<P: Protocol>(&self, target: &Target, protocol: P) -> Deferred<Conn<P>> {
        connect_after(&*self.endpoint, self.asking(target), self.patience, protocol)
    }

    /// The place to connect to that `target` is through this proxy.
    pub fn to(&self, target: Target) -> Through {
        Through { proxy: self.clone(), target }
    }

    fn asking(&self, target: &Target) -> Asking {
        let login = self.login.clone();
        Asking { target: target.clone(), login, answer: Vec::new(), interim: 0 }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// A target through a proxy: a place to connect to.
///
/// What keeps a connection from being made is logged, and the protocol told the nearest
/// [`Disconnect`]; [`Proxy::connect`] gives the error itself.
#[derive(Clone, Debug)]
pub struct Through {
    proxy: Proxy,
    target: Target,
}

impl ClientEndpoint for Through {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let asking = self.proxy.asking(&self.target);
        self.proxy.endpoint.connect_seat(agree(asking, self.proxy.patience, seat));
    }
}

/// Why a proxy made no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelError {
    /// It answers with a status that is no success.
    Refused(StatusCode),
    /// Its answer is no HTTP/1.
    BadAnswer,
    /// Its answer is too long or has too many fields.
    LongAnswer,
    /// It gave one interim answer after the other.
    Interim,
    /// The connection to the proxy came to an end first, or was never made.
    Interrupted(Interrupted),
}

impl TunnelError {
    /// What a protocol is told that did not get its connection because of this.
    pub fn disconnect(self) -> Disconnect {
        match self {
            Self::Refused(StatusCode::GATEWAY_TIMEOUT) => Disconnect::TimedOut,
            Self::Refused(StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE) => {
                Disconnect::Unreachable
            }
            Self::Refused(_) => Disconnect::Failed(io::ErrorKind::PermissionDenied),
            Self::BadAnswer | Self::LongAnswer | Self::Interim => {
                Disconnect::Failed(io::ErrorKind::InvalidData)
            }
            Self::Interrupted(interrupted) => interrupted.disconnect(),
        }
    }
}

impl From<Interrupted> for TunnelError {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                f.write_str("the HTTP proxy wants another user name and password (407)")
            }
            Self::Refused(status) => write!(f, "the HTTP proxy refused: {status}"),
            Self::BadAnswer => f.write_str("the HTTP proxy's answer is no HTTP/1"),
            Self::LongAnswer => write!(
                f,
                "the HTTP proxy's answer has more than {ANSWER_MAX} bytes or {FIELDS_MAX} fields"
            ),
            Self::Interim => {
                write!(f, "the HTTP proxy gave more than {INTERIM_MAX} interim answers")
            }
            Self::Interrupted(_) => f.write_str("the HTTP proxy gave no answer"),
        }
    }
}

impl Error for TunnelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Interrupted(interrupted) => Some(interrupted),
            _ => None,
        }
    }
}

/// Asks a proxy for a connection.
struct Asking {
    target: Target,
    login: Option<String>,
    /// What came of an answer that is not finished.
    answer: Vec<u8>,
    /// How many interim answers there were.
    interim: usize,
}

impl Asking {
    /// Takes one head off the front of `data`, or all of it; its status once it is there whole.
    fn head(&mut self, data: &mut &[u8]) -> Result<Option<StatusCode>, TunnelError> {
        let before = self.answer.len();
        let more = data.len().min(ANSWER_MAX - before);
        self.answer.extend_from_slice(&data[..more]);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut answer = httparse::Response::new(&mut fields);
        let length = match answer.parse(&self.answer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => {
                *data = &data[more..];
                return if data.is_empty() { Ok(None) } else { Err(TunnelError::LongAnswer) };
            }
            Err(httparse::Error::TooManyHeaders) => return Err(TunnelError::LongAnswer),
            Err(_) => return Err(TunnelError::BadAnswer),
        };
        let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
        // Without its last bytes the head was not whole, so some of `data` belong to it.
        *data = &data[length.saturating_sub(before)..];
        self.answer.clear();
        status.map(Some).ok_or(TunnelError::BadAnswer)
    }
}

impl Handshake for Asking {
    type Error = TunnelError;

    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), TunnelError> {
        let target = &self.target;
        write!(out, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").expect("a Vec takes all");
        if let Some(login) = &self.login {
            write!(out, "Proxy-Authorization: {login}\r\n").expect("a Vec takes all");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn feed(&mut self, data: &mut &[u8], _: &mut Vec<u8>) -> Result<bool, TunnelError> {
        while !data.is_empty() {
            match self.head(data)? {
                None => return Ok(false),
                // A success has no body, whatever its fields say.
                Some(status) if status.is_success() => return Ok(true),
                Some(status) if status.is_informational() => {
                    self.interim += 1;
                    if self.interim > INTERIM_MAX {
                        return Err(TunnelError::Interim);
                    }
                }
                Some(status) => return Err(TunnelError::Refused(status)),
            }
        }
        Ok(false)
    }

    fn peer(&self) -> Option<Address> {
        Some(Address::from(&self.target))
    }

    fn disconnect(error: &TunnelError) -> Disconnect {
        error.disconnect()
    }
}
