//! All that a server can be, by name.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::policy::Sessions;
use crate::{Identity, IdentityError, Policy, Reason, TicketKeys};

/// All that a server can be, by the name that a client asks for (SNI, RFC 6066 3).
///
/// A clone is the same store: listeners share it, and what changes here changes for the next
/// connection of each. Names are looked for as they are, then with their first label as `*`. Who asks
/// for a name that is not here, or for none, gets the default, which is the first identity that came,
/// unless the store [refuses](Self::refuse_unknown) them.
///
/// ```
/// use ropewalk_tls::{Identities, Identity, Policy, TlsServer};
///
/// let identities = Identities::new(Policy::new().alpn(["http/1.1"]))?;
/// identities.add(&Identity::self_signed(["example.com", "*.example.com"])?)?;
/// let server = TlsServer::new(&identities);
/// # let _ = server;
/// # Ok::<(), ropewalk_tls::IdentityError>(())
/// ```
#[derive(Clone)]
pub struct Identities {
    store: Rc<RefCell<Store>>,
}

struct Store {
    policy: Policy,
    keys: TicketKeys,
    /// Of clients who are asked for no certificate.
    sessions: Sessions,
    /// Of those whom the store's own policy asks for one.
    asked: Option<Sessions>,
    sources: Vec<(Source, Vec<Entry>)>,
    last_source: usize,
    /// What each name leads to; made anew from `sources` when they change.
    index: HashMap<String, Arc<ServerConfig>>,
    default: Option<Arc<ServerConfig>>,
    refuses: bool,
}

/// Who put entries here and may replace them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(usize);

/// One identity under its names.
#[derive(Clone)]
pub(crate) struct Entry {
    names: Vec<String>,
    /// Where the certificate ends, in seconds since 1970.
    ends: u64,
    config: Arc<ServerConfig>,
}

impl Identities {
    /// A store without anybody, where clients are treated so unless something else is said.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes for the keys of tickets.
    pub fn new(policy: Policy) -> Result<Self, IdentityError> {
        Ok(Self::with_tickets(policy, &TicketKeys::new()?))
    }

    /// The same with keys of tickets that others have as well: what was begun with one of them is resumed
    /// with this one.
    pub fn with_tickets(policy: Policy, keys: &TicketKeys) -> Self {
        let asked = policy.sessions(keys);
        let store = Store {
            policy,
            keys: keys.clone(),
            sessions: Sessions::of_anybody(keys),
            asked,
            sources: Vec::new(),
            last_source: 0,
            index: HashMap::new(),
            default: None,
            refuses: false,
        };
        Self { store: Rc::new(RefCell::new(store)) }
    }

    /// Adds an identity under the names of its certificate.
    ///
    /// # Errors
    ///
    /// If the policy asks for what cannot be had.
    pub fn add(&self, identity: &Identity) -> Result<Source, IdentityError> {
        self.put(None, vec![(identity.clone(), None, None)])
    }

    /// Adds several, each under the names of its certificate, to be [replaced](Self::replace)
    /// together.
    ///
    /// # Errors
    ///
    /// If the policy asks for what cannot be had, or there is none.
    pub fn add_all(&self, identities: &[Identity]) -> Result<Source, IdentityError> {
        if identities.is_empty() {
            return Err(IdentityError::Nothing);
        }
        let all = identities.iter().map(|identity| (identity.clone(), None, None)).collect();
        self.put(None, all)
    }

    /// Adds an identity under one name, which may begin with `*.`, and treats clients who ask for it
    /// so.
    ///
    /// # Errors
    ///
    /// If no server can have such a name, or the policy asks for what cannot be had.
    pub fn add_under(
        &self,
        name: &str,
        identity: &Identity,
        policy: Policy,
    ) -> Result<Source, IdentityError> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let plain = name.strip_prefix("*.").unwrap_or(&name);
        if rustls::pki_types::DnsName::try_from(plain).is_err() {
            return Err(IdentityError::BadName(name));
        }
        self.put(None, vec![(identity.clone(), Some(name), Some(policy))])
    }

    /// Replaces all that `source` added by other identities, under the names of their certificates.
    /// Connections that are up stay as they are. Where one of them cannot be used, all stays.
    ///
    /// # Errors
    ///
    /// If the policy asks for what cannot be had, or there is no identity at all.
    pub fn replace(&self, source: Source, with: &[Identity]) -> Result<(), IdentityError> {
        if with.is_empty() {
            return Err(IdentityError::Nothing);
        }
        // One whose source is gone stays away.
        if !self.store.borrow().sources.iter().any(|(other, _)| *other == source) {
            return Err(IdentityError::Nothing);
        }
        let with = with.iter().map(|identity| (identity.clone(), None, None)).collect();
        self.put(Some(source), with).map(|_| ())
    }

    /// Takes out all that `source` added.
    pub fn remove(&self, source: Source) {
        let mut store = self.store.borrow_mut();
        store.sources.retain(|(other, _)| *other != source);
        store.reindex();
    }

    /// Refuses clients who ask for a name that is not here, or for none.
    pub fn refuse_unknown(self) -> Self {
        self.store.borrow_mut().refuses = true;
        self
    }

    /// Gives out session tickets under new keys from now on, as happens by itself each time that
    /// [`TICKETS_ROTATED_EVERY`](crate::TICKETS_ROTATED_EVERY) has passed. Those under the keys before
    /// are still resumed; older ones lead to whole handshakes.
    ///
    /// # Errors
    ///
    /// As for [`TicketKeys::rotate`].
    pub fn rotate_tickets(&self) -> Result<(), IdentityError> {
        self.store.borrow().keys.rotate()
    }

    /// How many names lead to somebody.
    pub fn len(&self) -> usize {
        self.store.borrow().index.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.store.borrow().default.is_none()
    }

    /// When each certificate ends, in seconds since 1970, with the names that it is here under.
    pub fn ends(&self) -> Vec<(Vec<String>, u64)> {
        let store = self.store.borrow();
        let entries = store.sources.iter().flat_map(|(_, entries)| entries);
        entries.map(|entry| (entry.names.clone(), entry.ends)).collect()
    }

    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<ServerConfig>, Reason> {
        let store = self.store.borrow();
        let found = name
            .and_then(|name| store.find(name))
            .or_else(|| if store.refuses { None } else { store.default.as_ref() });
        found.cloned().ok_or_else(|| Reason::UnknownName(name.map(ToOwned::to_owned)))
    }

    /// Puts identities in the place of those that `source` has, or at the end.
    fn put(
        &self,
        source: Option<Source>,
        identities: Vec<(Identity, Option<String>, Option<Policy>)>,
    ) -> Result<Source, IdentityError> {
        let mut store = self.store.borrow_mut();
        let mut entries = Vec::with_capacity(identities.len());
        for (identity, name, policy) in identities {
            let asked = match &policy {
                Some(policy) => policy.sessions(&store.keys),
                None => store.asked.clone(),
            };
            let policy = policy.as_ref().unwrap_or(&store.policy);
            let config = policy.config(&identity, asked.as_ref().unwrap_or(&store.sessions))?;
            let names = name.map_or_else(|| identity.names().to_vec(), |name| vec![name]);
            entries.push(Entry { names, ends: identity.not_after().as_secs(), config });
        }
        let place =
            source.and_then(|source| store.sources.iter_mut().find(|(other, _)| *other == source));
        let source = match place {
            Some((source, old)) => {
                *old = entries;
                *source
            }
            None => {
                store.last_source += 1;
                let source = Source(store.last_source);
                store.sources.push((source, entries));
                source
            }
        };
        store.reindex();
        Ok(source)
    }
}

impl Store {
    fn find(&self, name: &str) -> Option<&Arc<ServerConfig>> {
        let name = name.trim_end_matches('.');
        self.index.get(name).or_else(|| {
            let (_, rest) = name.split_once('.')?;
            self.index.get(&format!("*.{rest}"))
        })
    }

    fn reindex(&mut self) {
        let entries = || self.sources.iter().flat_map(|(_, entries)| entries);
        self.default = entries().next().map(|entry| Arc::clone(&entry.config));
        let mut index = HashMap::new();
        for entry in entries() {
            for name in &entry.names {
                // Who came first keeps a name, as he keeps being the default.
                index.entry(name.clone()).or_insert_with(|| Arc::clone(&entry.config));
            }
        }
        self.index = index;
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.store.borrow();
        let mut names: Vec<_> = store.index.keys().collect();
        names.sort();
        f.debug_struct("Identities")
            .field("names", &names)
            .field("refuses", &store.refuses)
            .finish_non_exhaustive()
    }
}
