use std::fmt;

use crate::client::{write_bind, write_timeout};
use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme, Schemes};
use crate::value::{self, quote_host, write_list};
use crate::{ClientDescription, TcpClient};

const FORM: &str = "tls:HOST:PORT[:trust=PATH][:pin=SHA256][:cert=FILE[:key=FILE]][:name=HOST]\
                    [:alpn=LIST][:timeout=SECONDS][:bind=ADDRESS]";

const SSL_FORM: &str = "ssl:HOST:PORT[:caCertsDir=PATH][:certKey=FILE:privateKey=FILE]\
                        [:hostname=HOST][:timeout=SECONDS][:bindAddress=ADDRESS]";

/// A place to connect to with TLS: `tls:HOST:PORT[:trust=PATH][:pin=SHA256]…`.
///
/// The server has to show a certificate for its host, or for another name if one is given, that the
/// roots of this machine vouch for, or those in a file or folder. It is put over any other place with
/// `endpoint=`: `tls:example.com:endpoint=unix\:/run/x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsClient {
    inner: Box<ClientDescription>,
    name: String,
    trust: Option<String>,
    pins: Vec<String>,
    identity: Option<(String, String)>,
    alpn: Vec<String>,
}

impl TlsClient {
    /// Connects with TLS where `inner` does, to the server with this name or address.
    ///
    /// # Errors
    ///
    /// [`Fault::Host`] if there can be no such host.
    pub fn new(inner: impl Into<ClientDescription>, name: &str) -> Result<Self, Fault> {
        Ok(Self {
            inner: Box::new(inner.into()),
            name: value::host(name)?,
            trust: None,
            pins: Vec::new(),
            identity: None,
            alpn: Vec::new(),
        })
    }

    /// Trusts the roots in this file, or in the files of this folder, in place of the machine's.
    ///
    /// # Errors
    ///
    /// If no file can have such a path.
    pub fn with_trust(self, path: &str) -> Result<Self, Fault> {
        Ok(Self { trust: Some(value::file(path)?), ..self })
    }

    /// Trusts only keys with one of these SHA-256, in hexadecimal digits: whoever vouches for them,
    /// if no roots are given.
    ///
    /// # Errors
    ///
    /// [`Fault::Pin`] if one is none.
    pub fn with_pins<S: Into<String>>(
        self,
        pins: impl IntoIterator<Item = S>,
    ) -> Result<Self, Fault> {
        let pins = pins.into_iter().map(|pin| value::check_pin(&pin.into()));
        Ok(Self { pins: pins.collect::<Result<_, _>>()?, ..self })
    }

    /// Says who it is, to servers who ask.
    ///
    /// # Errors
    ///
    /// If no file can have such a path.
    pub fn with_identity(self, cert: &str, key: &str) -> Result<Self, Fault> {
        Ok(Self { identity: Some((value::file(cert)?, value::file(key)?)), ..self })
    }

    /// Offers these application protocols, the first one rather than the others.
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

    /// Where it connects.
    pub fn inner(&self) -> &ClientDescription {
        &self.inner
    }

    /// The name or the address that the server has to have.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file or folder of roots; those of the machine, if none.
    pub fn trust(&self) -> Option<&str> {
        self.trust.as_deref()
    }

    /// The SHA-256 of the keys that alone are trusted, if there are any.
    pub fn pins(&self) -> &[String] {
        &self.pins
    }

    /// The files with this side's certificate and key.
    pub fn identity(&self) -> Option<(&str, &str)> {
        self.identity.as_ref().map(|(cert, key)| (&cert[..], &key[..]))
    }

    /// The application protocols that it offers.
    pub fn alpn(&self) -> &[String] {
        &self.alpn
    }
}

impl From<TlsClient> for ClientDescription {
    fn from(client: TlsClient) -> Self {
        Self::Tls(client)
    }
}

impl fmt::Display for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.inner {
            ClientDescription::Tcp(tcp) => {
                write!(f, "tls:{}:{}", quote_host(tcp.host()), tcp.port())?;
                write_timeout(f, tcp.timeout())?;
                write_bind(f, tcp.bind())?;
                if tcp.host() != self.name {
                    write!(f, ":name={}", quote_host(&self.name))?;
                }
            }
            other => {
                let (name, inner) = (quote_host(&self.name), quote(&other.to_string()));
                write!(f, "tls:{name}:endpoint={inner}")?;
            }
        }
        if let Some(trust) = &self.trust {
            write!(f, ":trust={}", quote(trust))?;
        }
        if !self.pins.is_empty() {
            write_list(f, "pin", &self.pins)?;
        }
        if let Some((cert, key)) = &self.identity {
            write!(f, ":cert={}:key={}", quote(cert), quote(key))?;
        }
        if !self.alpn.is_empty() {
            write_list(f, "alpn", &self.alpn)?;
        }
        Ok(())
    }
}

/// The kinds that are TLS over others.
pub(crate) fn with_tls(schemes: Schemes<ClientDescription>) -> Schemes<ClientDescription> {
    const NAMED: &[&str] =
        &["timeout", "bind", "trust", "pin", "cert", "key", "name", "alpn", "endpoint"];
    schemes
        .with(
            Scheme::containing("tls", FORM, tls)
                .positional(&["host", "port"])
                .named(NAMED)
                .alias("bindAddress", "bind")
                .alias("trustRoots", "trust")
                .alias("certificate", "cert")
                .alias("privateKey", "key"),
        )
        .with(
            Scheme::containing("ssl", SSL_FORM, tls)
                .positional(&["host", "port"])
                .named(NAMED)
                .alias("bindAddress", "bind")
                .alias("caCertsDir", "trust")
                .alias("certKey", "cert")
                .alias("privateKey", "key")
                .alias("hostname", "name"),
        )
}

fn tls(
    arguments: &Arguments,
    schemes: &Schemes<ClientDescription>,
) -> Result<ClientDescription, EndpointError> {
    let host = arguments.required("host", value::host)?;
    let inner = match arguments.endpoint("endpoint", schemes)? {
        None => {
            let port = arguments.required("port", value::client_port)?;
            let tcp =
                TcpClient::new(&host, port).map_err(|fault| arguments.fault("host", fault))?;
            let timeout = arguments.optional("timeout", value::timeout)?;
            let tcp = timeout.map_or(Ok(tcp.clone()), |timeout| tcp.with_timeout(timeout));
            let tcp = tcp.map_err(|fault| arguments.fault("timeout", fault))?;
            match arguments.optional("bind", value::bind)? {
                None => tcp.into(),
                Some(bind) => {
                    tcp.with_bind(bind).map_err(|fault| arguments.fault("bind", fault))?.into()
                }
            }
        }
        Some(inner) => {
            // Twisted wants a port there, and has no use for it.
            arguments.optional("port", value::client_port)?;
            for name in ["timeout", "bind"] {
                arguments.optional(name, |_| Err::<(), _>(Fault::NotWith { name: "endpoint" }))?;
            }
            inner
        }
    };
    let name = arguments.optional("name", value::host)?.unwrap_or(host);
    let cert = arguments.optional("cert", value::file)?;
    let key = arguments.optional("key", value::file)?;
    let identity = match (cert, key) {
        (Some(cert), key) => {
            let key = key.unwrap_or_else(|| cert.clone());
            Some((cert, key))
        }
        (None, Some(_)) => return Err(arguments.fault("key", Fault::NotWithout { name: "cert" })),
        (None, None) => None,
    };
    let client = TlsClient {
        inner: Box::new(inner),
        name,
        trust: arguments.optional("trust", value::file)?,
        pins: arguments.optional("pin", value::pins)?.unwrap_or_default(),
        identity,
        alpn: arguments.optional("alpn", value::alpn)?.unwrap_or_default(),
    };
    Ok(client.into())
}
