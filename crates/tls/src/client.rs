//! The client's side.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ropewalk_protocol::{ClientEndpoint, Layered, Seat};
use rustls::client::{Resumption, danger::ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, KeyLogFile};

use crate::layer::Common;
use crate::session;
use crate::{Identity, IdentityError, Limits, Tls, Trust, provider};

/// How many servers' sessions a client keeps to resume them, where nothing is said.
pub const SESSIONS_MAX: usize = 256;

/// A client's side of TLS: whom it trusts, and who it is. A clone is the same client, and resumes the
/// same sessions.
///
/// ```
/// use ropewalk_tls::{Identity, TlsClient, Trust};
///
/// let server = Identity::self_signed(["localhost"])?;
/// let client = TlsClient::new(&Trust::pinned([server.pin()]))?.alpn(["http/1.1"]);
/// let layer = client.layer("localhost")?;
/// # let _ = layer;
/// # Ok::<(), ropewalk_tls::IdentityError>(())
/// ```
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    common: Rc<Common>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl TlsClient {
    /// A client who trusts these, and does not say who it is.
    ///
    /// # Errors
    ///
    /// If what is trusted cannot be used.
    pub fn new(trust: &Trust) -> Result<Self, IdentityError> {
        let verifier: Arc<dyn ServerCertVerifier> = trust.server_verifier()?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| IdentityError::Other(error.to_string()))?
            .dangerous()
            // It does more than the library's own, which it asks first.
            .with_custom_certificate_verifier(Arc::clone(&verifier))
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let common = Common::new(Limits::default());
        Ok(Self { config: Arc::new(config), common, verifier })
    }

    /// Offers these application protocols (ALPN, RFC 7301), the first one rather than the others.
    pub fn alpn<B: AsRef<[u8]>>(self, protocols: impl IntoIterator<Item = B>) -> Self {
        let alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self.change(|config| config.alpn_protocols = alpn)
    }

    /// The application protocols that it offers, the best one first.
    pub fn offers(&self) -> impl Iterator<Item = &[u8]> {
        self.config.alpn_protocols.iter().map(Vec::as_slice)
    }

    /// Whether a server with this name or address could have shown these certificates, its own first,
    /// in DER form: they would have been believed.
    ///
    /// For connections that are shared by what runs at several names (RFC 9113 9.1.1).
    ///
    /// ```
    /// use ropewalk_tls::{Identity, TlsClient, Trust};
    ///
    /// let server = Identity::self_signed(["a.example", "b.example"])?;
    /// let client = TlsClient::new(&Trust::from_der(server.chain())?)?;
    /// let chain: Vec<_> = server.chain().map(<[u8]>::to_vec).collect();
    /// assert!(client.believes(&chain, "b.example"));
    /// assert!(!client.believes(&chain, "c.example"));
    /// # Ok::<(), ropewalk_tls::IdentityError>(())
    /// ```
    pub fn believes(&self, chain: &[Vec<u8>], name: &str) -> bool {
        let certificates: Vec<_> =
            chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let (Some((own, others)), Ok(server)) = (certificates.split_first(), Server::new(name))
        else {
            return false;
        };
        let Some(now) = self.config.time_provider.current_time() else { return false };
        self.verifier.verify_server_cert(own, others, &server.name, &[], now).is_ok()
    }

    /// Says that it is `identity`, to servers who ask.
    pub fn identity(self, identity: &Identity) -> Self {
        let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&identity.certified)));
        self.change(|config| config.client_auth_cert_resolver = resolver)
    }

    /// Does not resume sessions: each handshake is a whole one.
    pub fn without_resumption(self) -> Self {
        self.change(|config| config.resumption = Resumption::disabled())
    }

    /// Writes the keys of each connection to the file that `SSLKEYLOGFILE` names, if it is set; see
    /// [`Policy::log_keys`](crate::Policy::log_keys).
    pub fn log_keys(self) -> Self {
        self.change(|config| config.key_log = Arc::new(KeyLogFile::new()))
    }

    /// The same with other limits on the handshake.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { common: Common::new(limits), ..self }
    }

    /// What goes under the protocol of one connection, to the server with this name or address.
    ///
    /// # Errors
    ///
    /// [`IdentityError::BadName`] if no server can have it.
    pub fn layer(&self, name: &str) -> Result<Tls, IdentityError> {
        Ok(self.layer_to(&Server::new(name)?))
    }

    /// Puts TLS, to the server with this name or address, under a seat: for those who connect seats.
    ///
    /// # Errors
    ///
    /// [`IdentityError::BadName`] if no server can have it.
    pub fn seat(&self, name: &str, seat: Box<dyn Seat>) -> Result<Box<dyn Seat>, IdentityError> {
        Ok(Layered::seat(self.layer(name)?, seat))
    }

    /// Connects with TLS where `endpoint` does, to the server with this name or address.
    ///
    /// # Errors
    ///
    /// [`IdentityError::BadName`] if no server can have it.
    pub fn over<E: ClientEndpoint>(
        &self,
        endpoint: E,
        name: &str,
    ) -> Result<TlsClientEndpoint<E>, IdentityError> {
        Ok(TlsClientEndpoint { client: self.clone(), server: Server::new(name)?, endpoint })
    }

    fn change(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    fn layer_to(&self, server: &Server) -> Tls {
        let config = Arc::clone(&self.config);
        let session = session::client(config, server.name.clone(), server.shown.clone());
        Tls::client(&self.common, session)
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

/// The server that a client wants.
#[derive(Clone, Debug)]
struct Server {
    name: ServerName<'static>,
    /// The name as it goes over the wire; addresses do not.
    shown: Option<Rc<str>>,
}

impl Server {
    fn new(name: &str) -> Result<Self, IdentityError> {
        let bad = || IdentityError::BadName(name.to_owned());
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(Self { name: ServerName::from(address), shown: None });
        }
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let shown = Some(Rc::from(plain.as_str()));
        Ok(Self { name: ServerName::try_from(plain).map_err(|_| bad())?, shown })
    }
}

/// A place to connect to with TLS.
#[derive(Clone, Debug)]
pub struct TlsClientEndpoint<E> {
    client: TlsClient,
    server: Server,
    endpoint: E,
}

impl<E: ClientEndpoint> ClientEndpoint for TlsClientEndpoint<E> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.endpoint.connect_seat(Layered::seat(self.client.layer_to(&self.server), seat));
    }
}
