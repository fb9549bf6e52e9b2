//! From names to addresses.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ropewalk_deferred::Deferred;

/// How many names a [`HostTable`] holds; what follows in its text is not read.
pub const HOST_NAMES_MAX: usize = 65_536;
/// How many addresses one name of a [`HostTable`] stands for; others are passed over.
pub const HOST_ADDRESSES_MAX: usize = 64;

/// Finds out which addresses a host has.
///
/// Whoever connects to a name asks one: the system's, a table, a DNS client, or a test's own.
/// Cancelling the deferred gives the question up.
pub trait Resolver {
    /// The addresses of `host`, each with `port`, the preferred first.
    ///
    /// The deferred fails with a [`ResolveError`].
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>>;
}

impl<R: Resolver + ?Sized> Resolver for Rc<R> {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        (**self).resolve(host, port)
    }
}

/// Why a host's addresses are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResolveError {
    /// There is no such host, or it has no address.
    NoAddress {
        /// The host's name.
        host: String,
    },
    /// Nobody could tell; a later question may have its answer.
    Failed {
        /// The host's name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// As many questions wait for their answers as are allowed to.
    Busy {
        /// The host's name.
        host: String,
    },
}

impl ResolveError {
    /// The name that was asked for.
    pub fn host(&self) -> &str {
        match self {
            Self::NoAddress { host } | Self::Failed { host, .. } | Self::Busy { host } => host,
        }
    }

    /// Whether the same question may well be answered a little later.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::NoAddress { .. })
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress { host } => write!(f, "the host {host:?} has no address"),
            Self::Failed { host, reason } => {
                write!(f, "the addresses of {host:?} could not be found: {reason}")
            }
            Self::Busy { host } => {
                write!(f, "too many names are being looked up to ask for {host:?}")
            }
        }
    }
}

impl Error for ResolveError {}

/// A table of hosts, as `/etc/hosts` is one: a [`Resolver`] that knows its answers.
///
/// Each line has an address and then names for it; a `#` begins a comment. Names are compared without
/// regard to case, and a dot at their end does not count. A line that is none of this is passed over.
///
/// ```
/// use ropewalk_protocol::{HostTable, Resolver};
///
/// let table = HostTable::parse("127.0.0.1 localhost\n::1 localhost ip6-localhost # both\n");
/// let found = table.resolve("LocalHost", 80).now_or_never().unwrap().unwrap();
/// assert_eq!(found, ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
/// assert!(table.addresses("elsewhere").is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostTable {
    names: HashMap<String, Vec<IpAddr>>,
}

impl HostTable {
    /// A table without hosts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the text of such a table; at most [`HOST_NAMES_MAX`] names of it.
    pub fn parse(text: &str) -> Self {
        let mut table = Self::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse) else { continue };
            for name in words {
                table.add(name, address);
            }
        }
        table
    }

    /// Adds an address of a host, behind those that it has; false if the table or the host has as
    /// many as it may.
    pub fn add(&mut self, name: &str, address: IpAddr) -> bool {
        let name = normal(name);
        if self.names.len() >= HOST_NAMES_MAX && !self.names.contains_key(&name) {
            return false;
        }
        let addresses = self.names.entry(name).or_default();
        if addresses.contains(&address) {
            return true;
        }
        if addresses.len() >= HOST_ADDRESSES_MAX {
            return false;
        }
        addresses.push(address);
        true
    }

    /// The addresses of a host, in the order in which they were added.
    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        self.names.get(&normal(name)).map_or(&[], Vec::as_slice)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Resolver for HostTable {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        match self.addresses(host) {
            [] => Deferred::fail(ResolveError::NoAddress { host: host.to_owned() }),
            found => {
                let with_port = |address: &IpAddr| SocketAddr::new(*address, port);
                Deferred::succeed(found.iter().map(with_port).collect())
            }
        }
    }
}

/// Asks one resolver, and another for those hosts that the first knows no address of.
#[derive(Clone, Debug)]
pub struct ResolverChain<A, B> {
    first: A,
    then: Rc<B>,
}

impl<A: Resolver, B: Resolver + 'static> ResolverChain<A, B> {
    /// Asks `first`, and `then` where that one has no answer.
    pub fn new(first: A, then: B) -> Self {
        Self { first, then: Rc::new(then) }
    }
}

impl<A: Resolver, B: Resolver + 'static> Resolver for ResolverChain<A, B> {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        let (then, host_then) = (Rc::clone(&self.then), host.to_owned());
        self.first.resolve(host, port).add_errback(move |failure| {
            match failure.check::<ResolveError>() {
                Some(ResolveError::NoAddress { .. }) => then.resolve(&host_then, port),
                _ => Deferred::fail(failure),
            }
        })
    }
}

/// The form in which names are compared.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
