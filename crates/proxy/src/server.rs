//! Connections that a proxy passes on.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Above, Address, Below, Conn, Disconnect, Factory, Layer, Layered, Network, Protocol, ProxyInfo,
    SeatFactory,
};

use crate::codec::{Decoder, Ends, Header, LENGTH_MAX};
use crate::error::BadHeader;

/// How long a proxy may take to say its header, unless set.
pub const HEADER_PATIENCE: Duration = Duration::from_secs(5);

/// Which proxies are believed, and how much they may say: plain values.
///
/// ```
/// use ropewalk_protocol::{Address, Conn, Factory, Protocol};
/// use ropewalk_proxy::Acceptance;
///
/// struct WhoAmI;
/// impl Protocol for WhoAmI {
///     fn connection_made(&mut self, conn: &Conn<Self>) {
///         // Where the client is, though the connection is the proxy's.
///         conn.write(format!("{}\r\n", conn.peer()).as_bytes());
///         conn.close();
///     }
///     fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
/// }
///
/// fn behind_proxies() -> impl Factory {
///     let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
///     Acceptance { trusted, ..Acceptance::default() }.wrap(|_: &Address| Some(WhoAmI))
/// }
/// # let _ = behind_proxies();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The networks that proxies are in; this machine alone. Others are turned away: who could say
    /// a header could say any.
    pub trusted: Vec<Network>,
    /// Whether those are trusted who come over a Unix socket or through memory; they are.
    pub trusts_local: bool,
    /// How long the header may take; [`HEADER_PATIENCE`], 5 seconds.
    pub patience: Duration,
    /// How many bytes may follow the first 16 of a binary header; [`LENGTH_MAX`], 4 KiB.
    pub length_max: usize,
}

impl Default for Acceptance {
    fn default() -> Self {
        let loopback = Network::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);
        let trusted = loopback.into_iter().chain([Network::of(Ipv6Addr::LOCALHOST.into())]);
        Self {
            trusted: trusted.collect(),
            trusts_local: true,
            patience: HEADER_PATIENCE,
            length_max: LENGTH_MAX,
        }
    }
}

impl Acceptance {
    /// Has `factory` serve connections that begin with a header, from trusted proxies alone.
    ///
    /// It is asked once the header has come, and sees the address that the proxy gave, so that
    /// limits by address count clients and not proxies.
    pub fn wrap<F: SeatFactory>(self, factory: F) -> Accepting<F> {
        Accepting { acceptance: self, factory: Rc::new(RefCell::new(factory)) }
    }
}

/// A factory whose connections begin with a header of a trusted proxy; a [`Factory`] itself.
pub struct Accepting<F> {
    acceptance: Acceptance,
    factory: Rc<RefCell<F>>,
}

impl<F: SeatFactory> Factory for Accepting<F> {
    type Protocol = Awaiting<F>;

    fn build(&mut self, peer: &Address) -> Option<Awaiting<F>> {
        let Acceptance { trusted, trusts_local, patience, length_max } = &self.acceptance;
        if !Network::any_contains(trusted, peer, *trusts_local) {
            tracing::warn!(target: "ropewalk::proxy", %peer, "turned away: no trusted proxy");
            return None;
        }
        Some(Awaiting {
            decoder: Decoder::default().length_max(*length_max),
            patience: *patience,
            factory: Rc::clone(&self.factory),
        })
    }

    fn alpn(&self) -> &'static [&'static str] {
        self.factory.borrow().alpn()
    }
}

impl<F> fmt::Debug for Accepting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accepting").field(&self.acceptance).finish()
    }
}

/// A connection whose header has yet to come. It then gives way to what the factory makes.
pub struct Awaiting<F> {
    decoder: Decoder,
    patience: Duration,
    factory: Rc<RefCell<F>>,
}

impl<F: SeatFactory> Awaiting<F> {
    fn hand_over(&self, conn: &Conn<Self>, header: Header, rest: &[u8]) {
        let proxy = conn.peer();
        let client = header.ends.as_ref().map_or(&proxy, |ends| &ends.source);
        let seat = self.factory.borrow_mut().seat(client);
        let Some(seat) = seat else { return conn.close() };
        let info = Rc::new(ProxyInfo { proxy, fields: header.fields });
        conn.switch_protocol(Layered::new(Passed { ends: header.ends, info }, seat), rest);
    }
}

impl<F: SeatFactory> Protocol for Awaiting<F> {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.call_later(self.patience, |_, conn| {
            tracing::info!(target: "ropewalk::proxy", proxy = %conn.peer(), "no header in time");
            conn.abort_with(Disconnect::TimedOut);
        });
    }

    fn data_received(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        match self.decoder.feed(&mut data) {
            Ok(None) => (),
            Ok(Some(header)) => self.hand_over(conn, header, data),
            Err(bad) => refuse(conn, bad),
        }
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        refuse(conn, BadHeader::Ended);
    }
}

impl<F> fmt::Debug for Awaiting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Awaiting").finish_non_exhaustive()
    }
}

fn refuse<F: SeatFactory>(conn: &Conn<Awaiting<F>>, bad: BadHeader) {
    tracing::info!(target: "ropewalk::proxy", proxy = %conn.peer(), "turned away: {bad}");
    conn.abort_with(Disconnect::Failed(io::ErrorKind::InvalidData));
}

/// A connection of which a proxy said whose it is.
struct Passed {
    ends: Option<Ends>,
    info: Rc<ProxyInfo>,
}

impl Layer for Passed {
    fn connection_made(&mut self, _: &Below<Self>, above: &mut Above<Self>) {
        if let Some(ends) = self.ends.take() {
            above.set_peer(ends.source);
            above.set_local(ends.destination);
        }
        above.set_proxy(Rc::clone(&self.info));
        above.made();
    }
}
