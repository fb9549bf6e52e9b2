//! The server's side.

use std::fmt;
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, Factory, Layered, Port, SeatFactory, ServerEndpoint};

use crate::layer::Common;
use crate::session::{self, Session};
use crate::{Identities, Limits, Reason, Tls};

/// A server's side of TLS: who it is, and what a handshake may cost. A clone is the same server.
///
/// ```
/// use ropewalk_protocol::{Address, Conn, Protocol};
/// use ropewalk_tls::{Identities, Identity, Policy, TlsServer};
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
///
/// let identities = Identities::new(Policy::new())?;
/// identities.add(&Identity::self_signed(["localhost"])?)?;
/// let factory = TlsServer::new(&identities).wrap(|_: &Address| Some(Echo));
/// # let _ = factory;
/// # Ok::<(), ropewalk_tls::IdentityError>(())
/// ```
#[derive(Clone)]
pub struct TlsServer {
    identities: Identities,
    common: Rc<Common>,
}

impl TlsServer {
    /// A server who is one of these, depending on whom the client asks for.
    pub fn new(identities: &Identities) -> Self {
        Self::with_limits(identities, Limits::default())
    }

    /// The same with other limits on the handshake.
    pub fn with_limits(identities: &Identities, limits: Limits) -> Self {
        Self { identities: identities.clone(), common: Common::new(limits) }
    }

    /// Who it can be.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// What goes under the protocol of one connection.
    pub fn layer(&self) -> Tls {
        Tls::server(&self.common, Answerer(self.identities.clone()))
    }

    /// Puts TLS under each protocol that `factory` makes.
    pub fn wrap<F: SeatFactory>(&self, factory: F) -> TlsFactory<F> {
        TlsFactory { server: self.clone(), factory }
    }

    /// Listens with TLS where `endpoint` does.
    pub fn over<E: ServerEndpoint>(&self, endpoint: E) -> TlsServerEndpoint<E> {
        TlsServerEndpoint { server: self.clone(), endpoint }
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("identities", &self.identities).finish_non_exhaustive()
    }
}

/// Who answers a client, once it is known whom that one asks for.
pub(crate) struct Answerer(Identities);

impl Answerer {
    pub(crate) fn session(&self, name: Option<String>) -> Result<Box<dyn Session>, Reason> {
        session::server(self.0.find(name.as_deref())?, name)
    }
}

/// A factory whose protocols stand on TLS; a [`Factory`] itself.
pub struct TlsFactory<F> {
    server: TlsServer,
    factory: F,
}

impl<F: SeatFactory> Factory for TlsFactory<F> {
    type Protocol = Layered<Tls>;

    fn build(&mut self, peer: &Address) -> Option<Self::Protocol> {
        Some(Layered::new(self.server.layer(), self.factory.seat(peer)?))
    }
}

impl<F> fmt::Debug for TlsFactory<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsFactory").field(&self.server).finish()
    }
}

/// A place to listen with TLS.
#[derive(Clone, Debug)]
pub struct TlsServerEndpoint<E> {
    server: TlsServer,
    endpoint: E,
}

impl<E: ServerEndpoint> ServerEndpoint for TlsServerEndpoint<E> {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        self.endpoint.listen_seats(Box::new(self.server.wrap(Boxed(factory))))
    }
}

/// A boxed factory as one that can be wrapped.
struct Boxed(Box<dyn SeatFactory>);

impl SeatFactory for Boxed {
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn ropewalk_protocol::Seat>> {
        self.0.seat(peer)
    }
}
