//! How a server treats those who ask for one of its names.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, StoresServerSessions};
use rustls::sign::SingleCertAndKey;

use crate::tickets::Tickets;
use crate::{Identity, IdentityError, TicketKeys, Trust, provider};

/// How a server treats those who ask for one of its names: which application protocols it speaks with
/// them, and whether they have to say who they are.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    alpn: Vec<Vec<u8>>,
    clients: Option<Clients>,
    key_log: bool,
}

#[derive(Clone, Debug)]
struct Clients {
    trust: Trust,
    names: Vec<String>,
    is_optional: bool,
}

/// Where sessions are kept for clients who come again.
#[derive(Clone)]
pub(crate) struct Sessions {
    tickets: Arc<Tickets>,
    storage: Arc<dyn StoresServerSessions>,
}

impl Sessions {
    /// Of clients who are asked for no certificate.
    pub(crate) fn of_anybody(keys: &TicketKeys) -> Self {
        Self { tickets: keys.tickets(b"anybody"), storage: keys.storage() }
    }
}

impl Policy {
    /// Speaks whatever it is, with anybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks these application protocols (ALPN, RFC 7301), the first one rather than the others. A
    /// client who offers some and none of these is refused; one who offers none is not.
    pub fn alpn<B: AsRef<[u8]>>(self, protocols: impl IntoIterator<Item = B>) -> Self {
        let alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        Self { alpn, ..self }
    }

    /// Asks clients for a certificate that `trust` accepts; one who has none may come all the same.
    pub fn ask_clients(self, trust: Trust) -> Self {
        Self { clients: Some(Clients { trust, names: Vec::new(), is_optional: true }), ..self }
    }

    /// Lets in only clients with a certificate that `trust` accepts.
    pub fn require_clients(self, trust: Trust) -> Self {
        Self { clients: Some(Clients { trust, names: Vec::new(), is_optional: false }), ..self }
    }

    /// Of clients with a certificate, lets in only those with one of these names in it: a host name,
    /// an address, a mail address or a URI. Call it after the others.
    pub fn clients_named<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        if let Some(clients) = &mut self.clients {
            clients.names = names.into_iter().map(Into::into).collect();
        }
        self
    }

    /// Writes the keys of each connection to the file that `SSLKEYLOGFILE` names, if it is set, for
    /// programs that look into captured traffic. Whoever can read that file can read all that was
    /// said.
    pub fn log_keys(self) -> Self {
        Self { key_log: true, ..self }
    }

    /// The sessions of clients who are asked for certificates, if they are: what they showed is not looked
    /// at again when they come back, so nobody comes back to other rules than those he came under.
    pub(crate) fn sessions(&self, keys: &TicketKeys) -> Option<Sessions> {
        let Clients { trust, names, is_optional } = self.clients.as_ref()?;
        let mut rules = Context::new(&SHA256);
        rules.update(&[u8::from(*is_optional)]);
        trust.tell_apart(&mut rules);
        for name in names {
            rules.update(&(name.len() as u64).to_be_bytes());
            rules.update(name.as_bytes());
        }
        let scope = [b"clients ", rules.finish().as_ref()].concat();
        let storage = Arc::new(NoServerSessionStorage {});
        Some(Sessions { tickets: keys.tickets(&scope), storage })
    }

    /// The configuration for one identity with these sessions.
    pub(crate) fn config(
        &self,
        identity: &Identity,
        sessions: &Sessions,
    ) -> Result<Arc<ServerConfig>, IdentityError> {
        let other = |error: rustls::Error| IdentityError::Other(error.to_string());
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(other)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let verifier =
                    clients.trust.client_verifier(&clients.names, clients.is_optional)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let resolver = SingleCertAndKey::from(Arc::clone(&identity.certified));
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols.clone_from(&self.alpn);
        // All that is spoken is strong; which of it is this side's to say, as scanners want it.
        config.ignore_client_order = true;
        config.ticketer = Arc::<Tickets>::clone(&sessions.tickets);
        config.session_storage = Arc::clone(&sessions.storage);
        if self.key_log {
            config.key_log = Arc::new(rustls::KeyLogFile::new());
        }
        Ok(Arc::new(config))
    }
}
