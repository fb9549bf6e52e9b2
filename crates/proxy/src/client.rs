//! Connections on which this side says whose they are.

use std::fmt;

use ropewalk_protocol::{Above, Address, Below, ClientEndpoint, Layer, Layered, Seat};

use crate::codec::{Header, Version};

/// A place to connect to where the connection begins with a header that says who this side is.
///
/// ```
/// use ropewalk_protocol::ClientEndpoint;
/// use ropewalk_proxy::{Announcing, Version};
///
/// fn announced(place: impl ClientEndpoint) -> impl ClientEndpoint {
///     Announcing::new(place, Version::V2)
/// }
/// ```
pub struct Announcing<E> {
    endpoint: E,
    version: Version,
}

impl<E: ClientEndpoint> Announcing<E> {
    /// Connects to `endpoint` and says this connection's own two ends.
    pub fn new(endpoint: E, version: Version) -> Self {
        Self { endpoint, version }
    }
}

impl<E: ClientEndpoint> ClientEndpoint for Announcing<E> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.endpoint
            .connect_seat(Layered::seat(Announced { header: None, version: self.version }, seat));
    }
}

impl<E> fmt::Debug for Announcing<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcing").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Has a connection that is yet to be made begin with a header that says that another is passed on,
/// from `source`, where it came to `destination`.
pub fn announce(
    source: &Address,
    destination: &Address,
    version: Version,
    seat: Box<dyn Seat>,
) -> Box<dyn Seat> {
    let header = Some(Box::new(Header::new(source, destination)));
    Layered::seat(Announced { header, version }, seat)
}

struct Announced {
    /// What to say of another's connection; else this one's own ends are said.
    header: Option<Box<Header>>,
    version: Version,
}

impl Layer for Announced {
    fn connection_made(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let own = || Box::new(Header::new(&below.local(), &below.peer()));
        let header = self.header.take().unwrap_or_else(own);
        let mut bytes = Vec::new();
        header.encode(self.version, &mut bytes).expect("a header without fields has room");
        below.write(&bytes);
        above.made();
    }
}
