use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

use ropewalk_tls::{IdentityError, TicketKeys};

use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme, Schemes};
use crate::value::{self, BACKLOG_DEFAULT, write_list};
use crate::{ServerDescription, Tcp6Server, TcpServer};

/// The port of a folder of certificates for which none is named.
const PORT_DEFAULT: u16 = 443;

/// The names of a server that vouches for itself, where nothing is said.
const SELF_SIGNED_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const FORM: &str = "tls:PORT[:self-signed][:cert=FILE[:key=FILE]][:certs=DIR][:client-ca=FILE]\
                    [:tickets=FILE][:interface=ADDRESS][:backlog=COUNT]";

const SSL_FORM: &str = "ssl:PORT:privateKey=FILE[:certKey=FILE][:extraCertChain=FILE]\
                        [:interface=ADDRESS][:backlog=COUNT]";

/// A place to listen with TLS:
/// `tls:PORT[:self-signed][:cert=FILE[:key=FILE]][:certs=DIR][:client-ca=FILE]…`.
///
/// It is put over any other place; of TCP ports the port is enough, others are given whole:
/// `tls:endpoint=unix\:/run/x:cert=a.pem`. Files of certificates and keys are followed while somebody
/// listens; those of roots are read once.
///
/// Clones resume each other's sessions, in other threads too. Several processes, or machines, do where
/// they are told the same `tickets=FILE`: at least 32 random bytes, to be kept as keys are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsServer {
    inner: Box<ServerDescription>,
    who: TlsIdentity,
    alpn: Vec<String>,
    client_roots: Option<String>,
    is_client_optional: bool,
    refuses_unknown: bool,
    tickets: Option<String>,
    keys: SharedKeys,
}

/// The keys of tickets that all clones of a description have: made when one is first listened with, and no
/// part of what is described.
#[derive(Clone, Default)]
struct SharedKeys(Arc<OnceLock<TicketKeys>>);

impl PartialEq for SharedKeys {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for SharedKeys {}

impl Hash for SharedKeys {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for SharedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKeys")
    }
}

/// Who a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsIdentity {
    /// Somebody for whom nobody vouches, made when listening begins: for development.
    SelfSigned {
        /// The names and addresses of the server.
        names: Vec<String>,
    },
    /// What is in these files.
    Files {
        /// The certificate, and those that vouch for it.
        cert: String,
        /// Its key; it may be the same file.
        key: String,
        /// More of those that vouch for it.
        chain: Option<String>,
    },
    /// What is in this folder, by name.
    Folder(String),
}

impl TlsIdentity {
    /// Somebody for whom nobody vouches, on this machine.
    pub fn self_signed() -> Self {
        Self::SelfSigned { names: SELF_SIGNED_NAMES.map(str::to_owned).to_vec() }
    }

    /// What is in these files.
    pub fn files(cert: &str, key: &str) -> Self {
        Self::Files { cert: cert.to_owned(), key: key.to_owned(), chain: None }
    }
}

impl TlsServer {
    /// Listens with TLS where `inner` does, as `who`.
    pub fn new(inner: impl Into<ServerDescription>, who: TlsIdentity) -> Self {
        Self {
            inner: Box::new(inner.into()),
            who,
            alpn: Vec::new(),
            client_roots: None,
            is_client_optional: false,
            refuses_unknown: false,
            tickets: None,
            keys: SharedKeys::default(),
        }
    }

    /// Speaks these application protocols, the first one rather than the others.
    ///
    /// # Errors
    ///
    /// [`Fault::Alpn`] if one is empty, longer than 255 bytes, or has a comma in it.
    pub fn with_alpn<S: Into<String>>(
        self,
        protocols: impl IntoIterator<Item = S>,
    ) -> Result<Self, Fault> {
        let alpn: Vec<String> = protocols.into_iter().map(Into::into).collect();
        Ok(Self { alpn: value::check_alpn(alpn)?, ..self })
    }

    /// Speaks these, where nothing was said of it.
    pub(crate) fn speaking(self, protocols: &[&str]) -> Self {
        if !self.alpn.is_empty() {
            return self;
        }
        let speaking = self.clone().with_alpn(protocols.iter().copied());
        // A factory that names what TLS cannot offer is served without a name.
        speaking.unwrap_or(self)
    }

    /// Lets in only clients with a certificate that one of the roots in this file vouches for.
    ///
    /// # Errors
    ///
    /// If no file can have such a path.
    pub fn with_client_roots(self, path: &str) -> Result<Self, Fault> {
        let client_roots = Some(value::file(path)?);
        Ok(Self { client_roots, is_client_optional: false, ..self })
    }

    /// Lets in clients without a certificate, too.
    pub fn with_optional_clients(self) -> Self {
        Self { is_client_optional: true, ..self }
    }

    /// Refuses clients who ask for a name that the server has not.
    pub fn refusing_unknown(self) -> Self {
        Self { refuses_unknown: true, ..self }
    }

    /// Makes the keys of session tickets from what is in this file, as
    /// [`TicketKeys::from_file`] does: servers with the same file resume each other's sessions.
    ///
    /// # Errors
    ///
    /// If no file can have such a path.
    pub fn with_tickets(self, path: &str) -> Result<Self, Fault> {
        Ok(Self { tickets: Some(value::file(path)?), keys: SharedKeys::default(), ..self })
    }

    /// Where it listens.
    pub fn inner(&self) -> &ServerDescription {
        &self.inner
    }

    /// Who it is.
    pub fn identity(&self) -> &TlsIdentity {
        &self.who
    }

    /// The application protocols that it speaks; whatever they are, if none.
    pub fn alpn(&self) -> &[String] {
        &self.alpn
    }

    /// The file of roots that vouch for clients.
    pub fn client_roots(&self) -> Option<&str> {
        self.client_roots.as_deref()
    }

    /// Whether clients may come without a certificate.
    pub fn has_optional_clients(&self) -> bool {
        self.is_client_optional
    }

    /// Whether clients are refused who ask for a name that it has not.
    pub fn refuses_unknown(&self) -> bool {
        self.refuses_unknown
    }

    /// The file that the keys of tickets are made from; random bytes, if none.
    pub fn tickets(&self) -> Option<&str> {
        self.tickets.as_deref()
    }

    /// The keys of tickets, which all clones have; it blocks where there is a file to read.
    pub(crate) fn ticket_keys(&self) -> Result<TicketKeys, IdentityError> {
        if let Some(keys) = self.keys.0.get() {
            return Ok(keys.clone());
        }
        let keys = match &self.tickets {
            Some(path) => TicketKeys::from_file(path)?,
            None => TicketKeys::new()?,
        };
        // Another thread may have been here meanwhile: the first one's are everybody's.
        Ok(self.keys.0.get_or_init(|| keys).clone())
    }
}

impl From<TlsServer> for ServerDescription {
    fn from(server: TlsServer) -> Self {
        Self::Tls(server)
    }
}

impl fmt::Display for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_inner(f, &self.inner)?;
        match &self.who {
            TlsIdentity::SelfSigned { names } => {
                f.write_str(":self-signed=yes")?;
                if !names.iter().eq(SELF_SIGNED_NAMES.iter()) {
                    write_list(f, "names", names)?;
                }
            }
            TlsIdentity::Files { cert, key, chain } => {
                write!(f, ":cert={}:key={}", quote(cert), quote(key))?;
                if let Some(chain) = chain {
                    write!(f, ":chain={}", quote(chain))?;
                }
            }
            TlsIdentity::Folder(folder) => write!(f, ":certs={}", quote(folder))?,
        }
        if !self.alpn.is_empty() {
            write_list(f, "alpn", &self.alpn)?;
        }
        if let Some(roots) = &self.client_roots {
            write!(f, ":client-ca={}", quote(roots))?;
        }
        if self.is_client_optional {
            f.write_str(":clients=optional")?;
        }
        if self.refuses_unknown {
            f.write_str(":unknown=refuse")?;
        }
        if let Some(tickets) = &self.tickets {
            write!(f, ":tickets={}", quote(tickets))?;
        }
        Ok(())
    }
}

/// A TCP port as its parts, anything else whole.
fn write_inner(f: &mut fmt::Formatter<'_>, inner: &ServerDescription) -> fmt::Result {
    let (port, interface, backlog) = match inner {
        ServerDescription::Tcp(tcp) => (tcp.port(), IpAddr::V4(tcp.interface()), tcp.backlog()),
        ServerDescription::Tcp6(tcp) if tcp.is_dual() || !tcp.interface().is_unspecified() => {
            (tcp.port(), IpAddr::V6(tcp.interface()), tcp.backlog())
        }
        other => return write!(f, "tls:endpoint={}", quote(&other.to_string())),
    };
    write!(f, "tls:{port}")?;
    if interface != IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        write!(f, ":interface={}", value::quote_host(&interface.to_string()))?;
    }
    if backlog != BACKLOG_DEFAULT {
        write!(f, ":backlog={backlog}")?;
    }
    Ok(())
}

/// The kinds that are TLS over others.
pub(crate) fn with_tls(schemes: Schemes<ServerDescription>) -> Schemes<ServerDescription> {
    schemes
        .with(
            Scheme::containing("tls", FORM, tls)
                .positional(&["first", "second"])
                .named(&[
                    "port",
                    "interface",
                    "backlog",
                    "endpoint",
                    "self-signed",
                    "names",
                    "cert",
                    "key",
                    "chain",
                    "certs",
                    "client-ca",
                    "clients",
                    "alpn",
                    "unknown",
                    "tickets",
                ])
                .alias("path", "certs"),
        )
        .with(
            Scheme::new("ssl", SSL_FORM, ssl)
                .positional(&["port", "privateKey", "certKey", "sslmethod", "interface", "backlog"])
                .named(&["extraCertChain", "dhParameters"]),
        )
}

fn tls(
    arguments: &Arguments,
    schemes: &Schemes<ServerDescription>,
) -> Result<ServerDescription, EndpointError> {
    let first = arguments.optional("first", first)?;
    let folder = match &first {
        Some(First::Folder(folder)) => Some(folder.clone()),
        _ => None,
    };
    let second = arguments.optional("second", |text| Ok(text.to_owned()))?;
    let is_self_signed = match second.as_deref() {
        Some("self-signed") => true,
        Some(_) if folder.is_none() => return Err(arguments.fault("second", Fault::SelfSigned)),
        _ => arguments.optional("self-signed", value::flag)?.unwrap_or(false),
    };
    let port = match (&first, &second) {
        (Some(First::Port(port)), _) => Some(*port),
        (Some(First::Folder(_)), Some(_)) if !is_self_signed => {
            arguments.optional("second", value::port)?
        }
        _ => None,
    };
    let named = arguments.optional("port", value::port)?;
    if port.is_some() && named.is_some() {
        return Err(arguments.fault("port", Fault::DuplicateArgument { name: "port" }));
    }
    let certs = arguments.optional("certs", value::file)?;
    if folder.is_some() && certs.is_some() {
        return Err(arguments.fault("certs", Fault::DuplicateArgument { name: "certs" }));
    }
    let is_twisted = folder.is_some();
    let who = who(arguments, is_self_signed, folder.or(certs))?;
    let inner = inner(arguments, schemes, port.or(named), is_twisted)?;
    let mut server = TlsServer::new(inner, who);
    if let Some(alpn) = arguments.optional("alpn", value::alpn)? {
        server.alpn = alpn;
    }
    server.client_roots = arguments.optional("client-ca", value::file)?;
    server.tickets = arguments.optional("tickets", value::file)?;
    server.is_client_optional = arguments
        .optional("clients", |text| value::word(text, "required", "optional"))?
        == Some(true);
    server.refuses_unknown =
        arguments.optional("unknown", |text| value::word(text, "default", "refuse"))? == Some(true);
    Ok(server.into())
}

/// What stands first: a port, or a folder as Twisted has it.
enum First {
    Port(u16),
    Folder(String),
}

fn first(text: &str) -> Result<First, Fault> {
    // Anything can be the name of a folder; one that looks like a host was hardly meant so.
    if text.contains('/') {
        return Ok(First::Folder(value::file(text)?));
    }
    value::port(text).map(First::Port)
}

fn who(
    arguments: &Arguments,
    is_self_signed: bool,
    folder: Option<String>,
) -> Result<TlsIdentity, EndpointError> {
    let cert = arguments.optional("cert", value::file)?;
    let key = arguments.optional("key", value::file)?;
    let chain = arguments.optional("chain", value::file)?;
    let names = arguments.optional("names", value::names)?;
    if names.is_some() && !is_self_signed {
        return Err(arguments.fault("names", Fault::NotWithout { name: "self-signed" }));
    }
    for (name, is_there) in [("key", key.is_some()), ("chain", chain.is_some())] {
        if is_there && cert.is_none() {
            return Err(arguments.fault(name, Fault::NotWithout { name: "cert" }));
        }
    }
    match (is_self_signed, cert, folder) {
        (true, None, None) => Ok(match names {
            Some(names) => TlsIdentity::SelfSigned { names },
            None => TlsIdentity::self_signed(),
        }),
        (false, Some(cert), None) => {
            let key = key.unwrap_or_else(|| cert.clone());
            Ok(TlsIdentity::Files { cert, key, chain })
        }
        (false, None, Some(folder)) => Ok(TlsIdentity::Folder(folder)),
        (false, None, None) => Err(arguments.fault("cert", Fault::NoIdentity)),
        _ => Err(arguments.fault("cert", Fault::TwoIdentities)),
    }
}

/// What TLS stands on: a place given whole, or a TCP port by its parts.
fn inner(
    arguments: &Arguments,
    schemes: &Schemes<ServerDescription>,
    port: Option<u16>,
    is_twisted: bool,
) -> Result<ServerDescription, EndpointError> {
    let interface = arguments.optional("interface", value::bind)?;
    let backlog = arguments.optional("backlog", value::backlog)?;
    if let Some(inner) = arguments.endpoint("endpoint", schemes)? {
        for (name, is_there) in [
            ("port", port.is_some()),
            ("interface", interface.is_some()),
            ("backlog", backlog.is_some()),
        ] {
            if is_there {
                return Err(arguments.fault(name, Fault::NotWith { name: "endpoint" }));
            }
        }
        return Ok(inner);
    }
    let port = match port {
        Some(port) => port,
        None if is_twisted => PORT_DEFAULT,
        None => arguments.required("port", value::port)?,
    };
    let interface = interface.unwrap_or(if is_twisted {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    });
    tcp(port, interface, backlog).map_err(|fault| arguments.fault("backlog", fault))
}

fn tcp(port: u16, interface: IpAddr, backlog: Option<u16>) -> Result<ServerDescription, Fault> {
    let backlog = backlog.unwrap_or(BACKLOG_DEFAULT);
    Ok(match interface {
        IpAddr::V4(interface) => {
            TcpServer::new(port).with_interface(interface).with_backlog(backlog)?.into()
        }
        // Everywhere is IPv4 as well, as it is in Twisted.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            Tcp6Server::new(port).dual().with_backlog(backlog)?.into()
        }
        IpAddr::V6(interface) => {
            Tcp6Server::new(port).with_interface(interface).with_backlog(backlog)?.into()
        }
    })
}

/// As Twisted writes it.
fn ssl(arguments: &Arguments) -> Result<ServerDescription, EndpointError> {
    let port = arguments.required("port", value::port)?;
    let key = arguments.optional("privateKey", value::file)?;
    let key = key.unwrap_or_else(|| "server.pem".to_owned());
    let cert = arguments.optional("certKey", value::file)?.unwrap_or_else(|| key.clone());
    let chain = arguments.optional("extraCertChain", value::file)?;
    arguments.optional("sslmethod", |text| match text {
        "TLS_METHOD" | "TLS_SERVER_METHOD" | "TLSv1_2_METHOD" | "SSLv23_METHOD" => Ok(()),
        _ => Err(Fault::SslMethod),
    })?;
    arguments.optional("dhParameters", |_| Err::<(), _>(Fault::DhParameters))?;
    let interface = arguments.optional("interface", value::bind)?;
    let interface = interface.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let backlog = arguments.optional("backlog", value::backlog)?;
    let inner = tcp(port, interface, backlog).map_err(|fault| arguments.fault("backlog", fault))?;
    Ok(TlsServer::new(inner, TlsIdentity::Files { cert, key, chain }).into())
}
