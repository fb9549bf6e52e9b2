//! Who is at the other end, beyond where.

use std::fmt;
use std::rc::Rc;

use crate::{Address, TlsInfo};

/// Who is at the other end of a connection: all that this end knows, in one value.
///
/// It comes from [`Conn::identity`](crate::Conn::identity), and is printed as a log wants it.
///
/// ```
/// use ropewalk_protocol::{Conn, Protocol};
///
/// /// Tells callers who they are.
/// struct WhoAmI;
///
/// impl Protocol for WhoAmI {
///     fn connection_made(&mut self, conn: &Conn<Self>) {
///         conn.write(format!("{}\r\n", conn.identity()).as_bytes());
///         conn.close();
///     }
///
///     fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Where it is: as a trusted proxy said, if one stands between, else as the transport sees it.
    pub address: Address,
    /// What a trusted proxy in between said of it, and who that proxy is.
    pub proxy: Option<Rc<ProxyInfo>>,
    /// The process that connected, on a Unix socket.
    pub credentials: Option<Credentials>,
    /// What was agreed on and which certificates were shown, on an encrypted connection.
    pub tls: Option<TlsInfo>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if let Some(credentials) = &self.credentials {
            write!(f, " ({credentials})")?;
        }
        if let Some(tls) = &self.tls {
            write!(f, " over {}", tls.protocol)?;
        }
        match &self.proxy {
            Some(info) => write!(f, " through {}", info.proxy),
            None => Ok(()),
        }
    }
}

/// A process as the system knows it: who connected over a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The process, where the system tells; it may be gone, and its number another's.
    pub process: Option<u32>,
    /// The user that the process ran as when it connected.
    pub user: u32,
    /// The user's group.
    pub group: u32,
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}, group {}", self.user, self.group)?;
        match self.process {
            Some(process) => write!(f, ", process {process}"),
            None => Ok(()),
        }
    }
}

/// What a proxy said of a connection that it passes on, as in the PROXY protocol.
///
/// Where the connection came from is the peer's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyInfo {
    /// The proxy's own address.
    pub proxy: Address,
    /// What it said.
    pub fields: ProxyFields,
}

/// What a proxy may say of a connection besides where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyFields {
    /// The name of the host that the client asked for.
    pub authority: Option<String>,
    /// The application protocol that was agreed on with the client (ALPN).
    pub alpn: Option<Vec<u8>>,
    /// The proxy's own name for the connection.
    pub unique_id: Option<Vec<u8>>,
    /// How the client's connection was encrypted, up to the proxy.
    pub tls: Option<ProxyTls>,
    /// What else was said: a type and a value each.
    pub other: Vec<(u8, Vec<u8>)>,
}

/// How a client's connection to a proxy is encrypted, by the proxy's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyTls {
    /// The protocol's name and version, such as `TLSv1.3`.
    pub protocol: Option<String>,
    /// The cipher suite's name.
    pub cipher: Option<String>,
    /// The common name in the client's certificate.
    pub common_name: Option<String>,
    /// How the proxy's certificate is signed.
    pub signature_algorithm: Option<String>,
    /// The kind of the proxy's key.
    pub key_algorithm: Option<String>,
    /// Whether the client showed a certificate on this connection.
    pub has_certificate: bool,
    /// Whether it showed one earlier in this session, perhaps on another connection.
    pub had_certificate: bool,
    /// Whether the certificate was verified.
    pub is_verified: bool,
}
