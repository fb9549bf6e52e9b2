use std::collections::HashMap;
use std::fmt;

use http::StatusCode;
use http::header::HOST;

use crate::{IntoReply, Reply, Request, Resource};

/// Resources by the host that is asked for (RFC 9110 7.2): several names at one address.
///
/// Names are compared without regard to case, to the port, and to a dot at their end. Of a name and a
/// pattern that both fit, the name is taken; of two patterns the longer. A request for a host that is not
/// here is answered with 421.
///
/// ```
/// use ropewalk_http::{Request, Site, middleware::Hosts};
/// use ropewalk_trial::{Clock, Memory};
///
/// let hosts = Hosts::new()
///     .host("example.com", |_: Request| "home")?
///     .host("*.example.com", |_: Request| "somebody's")?;
/// let mut client = Memory::seat(Site::new(hosts).server(), &Clock::new());
/// client.push(b"GET / HTTP/1.1\r\nHost: Example.com:8080\r\n\r\n");
/// assert!(client.take_sent().ends_with(b"home"));
/// client.push(b"GET / HTTP/1.1\r\nHost: bo.example.com\r\n\r\n");
/// assert!(client.take_sent().ends_with(b"somebody's"));
/// # Ok::<(), ropewalk_http::middleware::BadHostPattern>(())
/// ```
#[derive(Default)]
pub struct Hosts {
    names: HashMap<String, Box<dyn Resource>>,
    /// By what follows the star and its dot.
    below: HashMap<String, Box<dyn Resource>>,
    other: Option<Box<dyn Resource>>,
}

/// Something that is neither a host's name nor a star, a dot and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadHostPattern(String);

impl fmt::Display for BadHostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(pattern) = self;
        write!(f, "{pattern:?} is no host: expected a name such as example.com, an address, or ")?;
        f.write_str("*.example.com, without a port")
    }
}

impl std::error::Error for BadHostPattern {}

impl Hosts {
    /// No host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers for the host `pattern`: a name, an address (of IPv6 in brackets), or `*.` and a name for all
    /// names that end so, however many labels come before.
    ///
    /// # Errors
    ///
    /// [`BadHostPattern`] if it is none of these.
    pub fn host(mut self, pattern: &str, resource: impl Resource) -> Result<Self, BadHostPattern> {
        let bad = || BadHostPattern(pattern.to_owned());
        let (table, name) = match pattern.strip_prefix("*.") {
            Some(name) => (&mut self.below, name),
            None => (&mut self.names, pattern),
        };
        let name = plain(name).filter(|name| !name.contains('*')).ok_or_else(bad)?;
        table.insert(name, Box::new(resource));
        Ok(self)
    }

    /// Answers for all other hosts, and for requests of HTTP/1.0 that name none.
    pub fn otherwise(mut self, resource: impl Resource) -> Self {
        self.other = Some(Box::new(resource));
        self
    }

    fn choose(&mut self, host: &str) -> Option<&mut Box<dyn Resource>> {
        if self.names.contains_key(host) {
            return self.names.get_mut(host);
        }
        let mut rest = host;
        while let Some((_, below)) = rest.split_once('.') {
            if self.below.contains_key(below) {
                return self.below.get_mut(below);
            }
            rest = below;
        }
        self.other.as_mut()
    }
}

/// A host in the form in which hosts are compared; `None` if it has a port or is none.
fn plain(host: &str) -> Option<String> {
    let authority: http::uri::Authority = host.parse().ok()?;
    let is_bare = authority.port().is_none() && authority.host() == host;
    is_bare.then(|| comparable(host)).filter(|host| !host.is_empty())
}

fn comparable(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Which host a request is for: a target in absolute form goes before the field (RFC 9112 3.2.2).
fn host_of(request: &Request) -> Option<String> {
    if let Some(host) = request.uri().host() {
        return Some(comparable(host));
    }
    let field = request.headers().get(HOST)?.to_str().ok()?;
    let authority: http::uri::Authority = field.parse().ok()?;
    Some(comparable(authority.host()))
}

impl Resource for Hosts {
    fn render(&mut self, request: Request) -> Reply {
        let host = host_of(&request).unwrap_or_default();
        match self.choose(&host) {
            Some(resource) => resource.render(request),
            None => StatusCode::MISDIRECTED_REQUEST.into_reply(),
        }
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = self.below.keys().map(|name| format!("*.{name}"));
        f.debug_set().entries(self.names.keys().cloned().chain(below)).finish()
    }
}
