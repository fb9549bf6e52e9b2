//! The way out of a server that takes its clients elsewhere.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::Seat;

use crate::Destinations;

/// Finds addresses and connects to them: what a server that takes its clients elsewhere needs of the
/// network. The server decides which addresses are connected to.
pub trait Dialer: 'static {
    /// The addresses of a host, each with `port`, the preferred first.
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>>;

    /// Connects `seat` to whichever of these addresses answers first, and to no other; a failure
    /// reaches it as its end.
    fn connect(&self, addresses: &[SocketAddr], seat: Box<dyn Seat>);
}

/// The rules do not let clients be taken to a host, or to this port of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAdmitted {
    /// The host, by name or address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rules admit no address of {:?} at port {}", self.host, self.port)
    }
}

impl Error for NotAdmitted {}

/// The addresses of a host that clients may be taken to: at least one.
///
/// The deferred fails with [`NotAdmitted`] if there is none, and as [`Dialer::resolve`] does.
pub fn locate(
    dialer: &(impl Dialer + ?Sized),
    rules: &Rc<Destinations>,
    host: &str,
    port: u16,
) -> Deferred<Vec<SocketAddr>> {
    let refused = NotAdmitted { host: host.to_owned(), port };
    if !rules.admits_port(port) {
        return Deferred::fail(refused);
    }
    let found = match host.parse::<IpAddr>() {
        Ok(address) => Deferred::succeed(vec![SocketAddr::new(address, port)]),
        Err(_) => dialer.resolve(host, port),
    };
    let rules = Rc::clone(rules);
    found.add_callback(move |mut addresses| {
        addresses.retain(|address| rules.admits(*address));
        if addresses.is_empty() { Err(refused) } else { Ok(addresses) }
    })
}
