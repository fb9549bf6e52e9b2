//! A client, and the places that it reaches.

mod association;
mod handshake;

use std::cell::Cell;
use std::fmt;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_forward::{PATIENCE, agree, connect_after};
use ropewalk_protocol::{Address, ClientEndpoint, Conn, Protocol, Seat};

use crate::codec::{Command, Login, Target, Version};
use crate::error::ProxyError;
use crate::server::BIND_PATIENCE;
pub use association::Association;
use association::{Control, relay_at};
use handshake::Asking;

/// A proxy that can be asked for connections.
///
/// ```
/// use ropewalk_protocol::{ClientEndpoint, Conn, Protocol};
/// use ropewalk_deferred::Deferred;
/// use ropewalk_socks::{BadMessage, Proxy, Target};
///
/// fn fetch<P: Protocol>(
///     proxy: impl ClientEndpoint + 'static,
///     protocol: P,
/// ) -> Result<Deferred<Conn<P>>, BadMessage> {
///     let target = Target::new("example.org", 80)?;
///     Ok(Proxy::new(proxy).connect(&target, protocol))
/// }
/// ```
#[derive(Clone)]
pub struct Proxy {
    endpoint: Rc<dyn ClientEndpoint>,
    version: Version,
    login: Option<Login>,
    patience: Duration,
}

impl Proxy {
    /// A proxy at `endpoint` that speaks version 5.
    pub fn new(endpoint: impl ClientEndpoint + 'static) -> Self {
        let endpoint = Rc::new(endpoint);
        Self { endpoint, version: Version::V5, login: None, patience: PATIENCE }
    }

    /// Speaks this version.
    pub fn version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// Says this user name and password if the proxy wants them. Version 4 has no password, and the
    /// name is sent alone.
    pub fn login(self, login: Login) -> Self {
        Self { login: Some(login), ..self }
    }

    /// How long the proxy may take, the connection to the target included;
    /// [`PATIENCE`], 30 seconds, unless set.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Connects `protocol` to `target`. Names are looked up by the proxy.
    ///
    /// The deferred fails with a [`ProxyError`](crate::ProxyError).
    #[track_caller]
    pub fn connect<P: Protocol>(&self, target: &Target, protocol: P) -> Deferred<Conn<P>> {
        connect_after(
            &*self.endpoint,
            self.asking(Command::Connect, target),
            self.patience,
            protocol,
        )
    }

    /// The place to connect to that `target` is through this proxy.
    pub fn to(&self, target: Target) -> Through {
        Through { proxy: self.clone(), target }
    }

    /// Has `peer` connect to `protocol`, at an address of the proxy's.
    ///
    /// The deferred gives that address, to be told to the peer by other means, or fails with a
    /// [`ProxyError`](crate::ProxyError). The peer's port does not matter to most proxies.
    #[track_caller]
    pub fn bind<P: Protocol>(&self, peer: &Target, protocol: P) -> Deferred<Bound<P>> {
        let (promise, bound) = deferred();
        let asking = self.asking(Command::Bind, peer).telling(promise);
        let patience = self.patience + BIND_PATIENCE;
        let connected = connect_after(&*self.endpoint, asking, patience, protocol);
        Bound::of(bound, connected)
    }

    /// Has the proxy pass datagrams on, to wherever each says.
    ///
    /// The deferred fails with a [`ProxyError`](crate::ProxyError).
    #[track_caller]
    pub fn associate(&self) -> Deferred<Association> {
        // From where the datagrams will come is not known yet, and need not be.
        let anywhere = Target::Ip((Ipv4Addr::UNSPECIFIED, 0).into());
        let (promise, told) = deferred();
        let asking = self.asking(Command::Associate, &anywhere).telling(promise);
        let made = connect_after(&*self.endpoint, asking, self.patience, Control);
        made.add_callback(move |conn| {
            // It was said before the connection was made.
            let told = told.now_or_never().and_then(Result::ok);
            match told.and_then(|told| relay_at(&told, &conn.peer())) {
                Some(relay) => Ok(Association::new(conn, relay)),
                None => {
                    conn.close();
                    Err(ProxyError::NoRelay)
                }
            }
        })
    }

    fn asking(&self, command: Command, target: &Target) -> Asking {
        Asking::new(self.version, command, target.clone(), self.login.clone())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("version", &self.version)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

/// A target through a proxy: a place to connect to.
///
/// What keeps a connection from being made is logged, and the protocol told the nearest
/// [`Disconnect`](ropewalk_protocol::Disconnect); [`Proxy::connect`] gives the error itself.
#[derive(Clone, Debug)]
pub struct Through {
    proxy: Proxy,
    target: Target,
}

impl ClientEndpoint for Through {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let asking = self.proxy.asking(Command::Connect, &self.target);
        self.proxy.endpoint.connect_seat(agree(asking, self.proxy.patience, seat));
    }
}

/// A place at a proxy where one connection may come in.
pub struct Bound<P: 'static> {
    /// Where the peer is to connect.
    pub address: Address,
    /// The connection, once the peer has made it.
    pub connected: Deferred<Conn<P>>,
}

impl<P: 'static> Bound<P> {
    /// A place, once its address is known, and then the connection; if that is not to be, the first of
    /// the two that has not come yet fails.
    fn of(address: Deferred<Address>, connected: Deferred<Conn<P>>) -> Deferred<Self> {
        let (promise, bound) = deferred();
        let (arrival, arrived) = deferred();
        let (canceller, other) = (connected.canceller(), connected.canceller());
        promise.on_cancel(move || canceller.cancel());
        arrival.on_cancel(move || other.cancel());
        let waiting = Rc::new(Cell::new(Some((promise, arrived))));
        let known = Rc::clone(&waiting);
        address.on_result(move |address| {
            if let (Ok(address), Some((promise, connected))) = (address, known.take()) {
                promise.succeed(Self { address, connected });
            }
        });
        connected.on_result(move |connected| match (connected, waiting.take()) {
            (Err(failure), Some((promise, _))) => promise.fail(failure),
            (Err(failure), None) => arrival.fail(failure),
            (Ok(conn), _) => arrival.succeed(conn),
        });
        bound
    }
}

impl<P: 'static> fmt::Debug for Bound<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("address", &self.address).finish_non_exhaustive()
    }
}
