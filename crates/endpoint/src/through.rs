//! Places that are reached through a proxy.

use std::fmt;
use std::time::Duration;

use ropewalk_http::tunnel;
use ropewalk_protocol::ClientEndpoint;
use ropewalk_socks::{LOGIN_MAX, Login, Proxy, Target, Version};

use crate::ClientDescription;
use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme};
use crate::value::{self, Seconds, TIMEOUT_DEFAULT, quote_host};

/// What is spoken with a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// SOCKS 4, and 4a for names: `socks4`. A user name is said, and no password.
    Socks4,
    /// SOCKS 5: `socks5`.
    Socks5,
    /// HTTP/1.1's `CONNECT`: `http-connect`.
    HttpConnect,
}

impl ProxyKind {
    const ALL: [Self; 3] = [Self::Socks4, Self::Socks5, Self::HttpConnect];

    fn name(self) -> &'static str {
        match self {
            Self::Socks4 => "socks4",
            Self::Socks5 => "socks5",
            Self::HttpConnect => "http-connect",
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::Socks4 => "socks4:HOST:PORT[:user=NAME][:timeout=SECONDS]:PROXY",
            Self::Socks5 => "socks5:HOST:PORT[:user=NAME:password=WORD][:timeout=SECONDS]:PROXY",
            Self::HttpConnect => {
                "http-connect:HOST:PORT[:user=NAME:password=WORD][:timeout=SECONDS]:PROXY"
            }
        }
    }
}

/// A port of a host, reached through a proxy:
/// `socks5:HOST:PORT[:user=NAME:password=WORD][:timeout=SECONDS]:PROXY`, and likewise `socks4` and
/// `http-connect`.
///
/// The proxy is a client's description itself, so that proxies may stand behind proxies. It looks the
/// name up.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ThroughProxy {
    kind: ProxyKind,
    host: String,
    port: u16,
    login: Option<(String, String)>,
    timeout: Duration,
    proxy: ClientDescription,
}

impl ThroughProxy {
    /// Reaches `port` of `host` through `proxy`.
    ///
    /// # Errors
    ///
    /// [`Fault::Host`] or [`Fault::ClientPort`] if there can be no such host or port.
    pub fn new(
        kind: ProxyKind,
        host: &str,
        port: u16,
        proxy: ClientDescription,
    ) -> Result<Self, Fault> {
        let (host, port) = (checked_host(kind, host)?, value::check_client_port(port)?);
        Ok(Self { kind, host, port, login: None, timeout: TIMEOUT_DEFAULT, proxy })
    }

    /// Says this user name and password to the proxy.
    ///
    /// # Errors
    ///
    /// [`Fault::Login`] if they cannot be said to such a proxy.
    pub fn with_login(self, user: &str, password: &str) -> Result<Self, Fault> {
        let login = Some(checked_login(self.kind, user, password)?);
        Ok(Self { login, ..self })
    }

    /// Gives up on the proxy after this time; the connection to it has its own.
    ///
    /// # Errors
    ///
    /// [`Fault::Timeout`] if it is zero or above [`TIMEOUT_MAX`](crate::TIMEOUT_MAX).
    pub fn with_timeout(self, timeout: Duration) -> Result<Self, Fault> {
        Ok(Self { timeout: value::check_timeout(timeout)?, ..self })
    }

    /// What is spoken with the proxy.
    pub fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the proxy is.
    pub fn proxy(&self) -> &ClientDescription {
        &self.proxy
    }

    pub(crate) fn schemes() -> impl Iterator<Item = Scheme<ClientDescription>> {
        ProxyKind::ALL.into_iter().map(|kind| {
            let build = move |arguments: &Arguments, proxy| through(kind, arguments, proxy);
            let scheme = Scheme::wrapping(kind.name(), kind.form(), build)
                .positional(&["host", "port"])
                .named(&["user", "timeout"]);
            if kind == ProxyKind::Socks4 { scheme } else { scheme.named(&["password"]) }
        })
    }

    /// The place on the far side of a proxy at `endpoint`.
    pub(crate) fn over(&self, endpoint: Box<dyn ClientEndpoint>) -> Box<dyn ClientEndpoint> {
        let version = match self.kind {
            ProxyKind::HttpConnect => {
                let mut proxy = tunnel::Proxy::new(endpoint).patience(self.timeout);
                if let Some((user, password)) = &self.login {
                    proxy = proxy.login(user, password);
                }
                let target = tunnel::Target::new(&self.host, self.port);
                return Box::new(proxy.to(target.expect("the host was checked")));
            }
            ProxyKind::Socks4 => Version::V4,
            ProxyKind::Socks5 => Version::V5,
        };
        let mut proxy = Proxy::new(endpoint).version(version).patience(self.timeout);
        if let Some((user, password)) = &self.login {
            let login = Login::new(user.as_str(), password.as_str());
            proxy = proxy.login(login.expect("the login was checked"));
        }
        Box::new(proxy.to(Target::new(&self.host, self.port).expect("the host was checked")))
    }
}

impl From<ThroughProxy> for ClientDescription {
    fn from(client: ThroughProxy) -> Self {
        Self::ThroughProxy(Box::new(client))
    }
}

impl fmt::Display for ThroughProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind.name(), quote_host(&self.host), self.port)?;
        if let Some((user, password)) = &self.login {
            write!(f, ":user={}", quote(user))?;
            if self.kind != ProxyKind::Socks4 {
                write!(f, ":password={}", quote(password))?;
            }
        }
        if self.timeout != TIMEOUT_DEFAULT {
            write!(f, ":timeout={}", Seconds(self.timeout))?;
        }
        write!(f, ":{}", self.proxy)
    }
}

/// Without the password: what is printed for debugging ends up in logs.
impl fmt::Debug for ThroughProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThroughProxy")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .field("timeout", &self.timeout)
            .field("proxy", &self.proxy)
            .finish()
    }
}

fn through(
    kind: ProxyKind,
    arguments: &Arguments,
    proxy: ClientDescription,
) -> Result<ClientDescription, EndpointError> {
    let host = arguments.required("host", |text| checked_host(kind, text))?;
    let port = arguments.required("port", value::client_port)?;
    let timeout = arguments.optional("timeout", value::timeout)?.unwrap_or(TIMEOUT_DEFAULT);
    let user = arguments.optional("user", |text| Ok(text.to_owned()))?;
    let password = match kind {
        ProxyKind::Socks4 => None,
        _ => arguments.optional("password", |text| Ok(text.to_owned()))?,
    };
    let login = match (user, password) {
        (None, None) => None,
        (None, Some(_)) => return Err(arguments.fault("password", Fault::PasswordWithoutUser)),
        (Some(user), password) => {
            let login = checked_login(kind, &user, &password.unwrap_or_default());
            Some(login.map_err(|fault| arguments.fault("user", fault))?)
        }
    };
    Ok(ThroughProxy { kind, host, port, login, timeout, proxy }.into())
}

/// A host that such a proxy can be told.
fn checked_host(kind: ProxyKind, text: &str) -> Result<String, Fault> {
    let host = value::host(text)?;
    let can_be_told = match kind {
        ProxyKind::HttpConnect => tunnel::Target::new(&host, 1).is_ok(),
        ProxyKind::Socks5 => Target::new(&host, 1).is_ok(),
        ProxyKind::Socks4 => match value::address(&host) {
            Some(address) if address.is_ipv6() => return Err(Fault::Ipv6ThroughSocks4),
            _ => Target::new(&host, 1).is_ok(),
        },
    };
    if can_be_told { Ok(host) } else { Err(Fault::Host) }
}

fn checked_login(kind: ProxyKind, user: &str, password: &str) -> Result<(String, String), Fault> {
    let is_short = user.len() <= LOGIN_MAX && password.len() <= LOGIN_MAX;
    let fits = match kind {
        ProxyKind::Socks4 => !user.contains('\0') && password.is_empty(),
        ProxyKind::Socks5 => true,
        ProxyKind::HttpConnect => !user.contains(':'),
    };
    if is_short && fits { Ok((user.to_owned(), password.to_owned())) } else { Err(Fault::Login) }
}
