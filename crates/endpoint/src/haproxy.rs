//! The PROXY protocol in front of any other endpoint.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Network, Port, SeatFactory, ServerEndpoint};
use ropewalk_proxy::{Acceptance, HEADER_PATIENCE, Version};

use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme};
use crate::value::{self, Seconds};
use crate::{ClientDescription, ServerDescription};

/// A server behind a proxy that speaks the PROXY protocol:
/// `haproxy[:trust=NETWORKS][:timeout=SECONDS]:SERVER`.
///
/// The proxy says who its client is, in either version of the protocol. It is believed if it is in one
/// of the networks, which unless told otherwise is this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HaproxyServer {
    server: ServerDescription,
    /// This machine, if nothing is said.
    trusted: Option<Vec<Network>>,
    timeout: Duration,
}

impl HaproxyServer {
    /// Behind proxies on this machine.
    pub fn new(server: ServerDescription) -> Self {
        Self { server, trusted: None, timeout: HEADER_PATIENCE }
    }

    /// Behind proxies in these networks, and those that come over a Unix socket.
    pub fn trusting(self, networks: Vec<Network>) -> Self {
        Self { trusted: Some(networks), ..self }
    }

    /// Gives each proxy this time to say who its client is.
    ///
    /// # Errors
    ///
    /// [`Fault::Timeout`] if it is zero or above [`TIMEOUT_MAX`](crate::TIMEOUT_MAX).
    pub fn with_timeout(self, timeout: Duration) -> Result<Self, Fault> {
        Ok(Self { timeout: value::check_timeout(timeout)?, ..self })
    }

    /// Has TLS inside offer these application protocols, if nothing was said of them.
    pub(crate) fn speaking(self, protocols: &[&str]) -> Self {
        Self { server: self.server.speaking(protocols), ..self }
    }

    /// Where it listens.
    pub fn server(&self) -> &ServerDescription {
        &self.server
    }

    /// Which proxies are believed, and how long they may take.
    pub fn acceptance(&self) -> Acceptance {
        let mut acceptance = Acceptance { patience: self.timeout, ..Acceptance::default() };
        if let Some(trusted) = &self.trusted {
            acceptance.trusted.clone_from(trusted);
        }
        acceptance
    }

    pub(crate) fn scheme() -> Scheme<ServerDescription> {
        let form = "haproxy[:trust=NETWORKS][:timeout=SECONDS]:SERVER";
        Scheme::wrapping("haproxy", form, server).named(&["trust", "timeout"])
    }
}

impl From<HaproxyServer> for ServerDescription {
    fn from(server: HaproxyServer) -> Self {
        Self::Haproxy(Box::new(server))
    }
}

impl fmt::Display for HaproxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("haproxy")?;
        if let Some(trusted) = &self.trusted {
            let networks: Vec<_> = trusted.iter().map(ToString::to_string).collect();
            write!(f, ":trust={}", quote(&networks.join(",")))?;
        }
        if self.timeout != HEADER_PATIENCE {
            write!(f, ":timeout={}", Seconds(self.timeout))?;
        }
        write!(f, ":{}", self.server)
    }
}

/// A client that says who it is before all else: `haproxy[:version=1|2]:CLIENT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HaproxyClient {
    client: ClientDescription,
    version: Version,
}

impl HaproxyClient {
    /// Says so in this version of the PROXY protocol.
    pub fn new(client: ClientDescription, version: Version) -> Self {
        Self { client, version }
    }

    /// Where it connects to.
    pub fn client(&self) -> &ClientDescription {
        &self.client
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn scheme() -> Scheme<ClientDescription> {
        Scheme::wrapping("haproxy", "haproxy[:version=1|2]:CLIENT", client).named(&["version"])
    }
}

impl From<HaproxyClient> for ClientDescription {
    fn from(client: HaproxyClient) -> Self {
        Self::Haproxy(Box::new(client))
    }
}

impl fmt::Display for HaproxyClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            Version::V1 => ":version=1",
            Version::V2 => "",
            Version::V2Checked => ":version=2c",
        };
        write!(f, "haproxy{version}:{}", self.client)
    }
}

/// A server behind proxies, on a reactor.
pub(crate) struct HaproxyServerEndpoint {
    pub(crate) inner: Box<dyn ServerEndpoint>,
    pub(crate) acceptance: Acceptance,
}

impl ServerEndpoint for HaproxyServerEndpoint {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        self.inner.listen_seats(Box::new(self.acceptance.clone().wrap(factory)))
    }
}

fn server(
    arguments: &Arguments,
    server: ServerDescription,
) -> Result<ServerDescription, EndpointError> {
    let trusted = arguments.optional("trust", networks)?;
    let timeout = arguments.optional("timeout", value::timeout)?.unwrap_or(HEADER_PATIENCE);
    Ok(HaproxyServer { server, trusted, timeout }.into())
}

fn client(
    arguments: &Arguments,
    client: ClientDescription,
) -> Result<ClientDescription, EndpointError> {
    let version = arguments.optional("version", version)?.unwrap_or_default();
    Ok(HaproxyClient { client, version }.into())
}

/// Networks with commas between them.
fn networks(text: &str) -> Result<Vec<Network>, Fault> {
    text.split(',').map(|text| Network::from_str(text).map_err(Fault::Network)).collect()
}

fn version(text: &str) -> Result<Version, Fault> {
    match text {
        "1" | "v1" => Ok(Version::V1),
        "2" | "v2" => Ok(Version::V2),
        "2c" => Ok(Version::V2Checked),
        _ => Err(Fault::ProxyVersion),
    }
}
