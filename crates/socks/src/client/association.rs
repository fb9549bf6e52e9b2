//! Datagrams through a proxy.

use std::fmt;
use std::net::SocketAddr;

use ropewalk_protocol::{Address, Conn, Protocol};

/// A proxy's promise to pass datagrams on (RFC 1928, section 7), for as long as this is kept.
///
/// Open a port that is connected to [`relay`](Self::relay), and send
/// [`Datagram`](crate::Datagram)s there; what comes from there are datagrams as well, each with where it
/// is from.
///
/// ```
/// use ropewalk_deferred::Deferred;
/// use ropewalk_protocol::{
///     Address, ClientEndpoint, DatagramEndpoint, DatagramPort, DatagramProtocol, connect_datagrams,
/// };
/// use ropewalk_socks::{Datagram, Proxy, Target};
///
/// struct Ask(Target);
///
/// impl DatagramProtocol for Ask {
///     fn started(&mut self, port: &DatagramPort<Self>) {
///         let question = Datagram { target: self.0.clone(), data: b"anybody there?" };
///         let _ = port.send_with(None, |out| question.encode(out));
///     }
///
///     fn datagram_received(&mut self, _: &DatagramPort<Self>, data: &[u8], _: &Address) {
///         if let Ok(answer) = Datagram::read(data) {
///             println!("{}: {}", answer.target, answer.data.escape_ascii());
///         }
///     }
/// }
///
/// fn ask(
///     proxy: impl ClientEndpoint + 'static,
///     place: impl DatagramEndpoint + 'static,
///     target: Target,
/// ) {
///     Proxy::new(proxy).associate().on_result(move |association| {
///         let Ok(association) = association else { return };
///         let port = connect_datagrams(&place, &Address::Ip(association.relay()), Ask(target));
///         port.on_result(move |_| drop(association));
///     });
/// }
/// ```
#[must_use = "the proxy passes nothing on once this is dropped"]
pub struct Association {
    conn: Conn<Control>,
    relay: SocketAddr,
}

impl Association {
    pub(super) fn new(conn: Conn<Control>, relay: SocketAddr) -> Self {
        Self { conn, relay }
    }

    /// Where datagrams are sent to, and come from.
    pub fn relay(&self) -> SocketAddr {
        self.relay
    }

    /// Whether the proxy has ended it.
    pub fn is_over(&self) -> bool {
        self.conn.is_over()
    }
}

impl Drop for Association {
    fn drop(&mut self) {
        self.conn.close();
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Association").field("relay", &self.relay).finish_non_exhaustive()
    }
}

/// The connection that keeps an association alive: nothing is said on it.
pub(super) struct Control;

impl Protocol for Control {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}

/// The relay's address, where a proxy that says none means its own.
pub(super) fn relay_at(told: &Address, proxy: &Address) -> Option<SocketAddr> {
    let mut relay = told.ip()?;
    if relay.ip().is_unspecified() {
        relay.set_ip(proxy.ip()?.ip());
    }
    Some(relay)
}
