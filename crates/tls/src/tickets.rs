//! Session tickets, and the change of their keys.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use rustls::pki_types::UnixTime;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

use crate::IdentityError;
use crate::identity::read_file;

/// How long a server gives out tickets under one key; they are good for as long again.
pub const TICKETS_ROTATED_EVERY: Duration = Duration::from_hours(6);

/// How many bytes at least the secret has that keys of tickets are made from.
pub const TICKET_SECRET_MIN: usize = 32;

/// How many sessions of TLS 1.2 are kept for clients who take no tickets.
const KEPT_MAX: usize = 1024;

/// How many nonces are drawn together.
const NONCES_DRAWN: usize = 64;

/// What keys are made for; never used for anything else.
const PURPOSE: &[u8] = b"ropewalk session tickets 1";

/// The keys under which servers give out session tickets (RFC 8446 4.6.1, RFC 5077).
///
/// A clone is the same keys, and may go to another thread. Servers that have the same keys resume each
/// other's sessions; each [`Identities`](crate::Identities) has its own unless it is
/// [given some](crate::Identities::with_tickets). To reactors in several threads give a clone each:
///
/// ```
/// use ropewalk_tls::{Identities, Identity, Policy, TicketKeys};
///
/// let keys = TicketKeys::new()?;
/// let identity = Identity::self_signed(["localhost"])?;
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         let (keys, identity) = (keys.clone(), identity.clone());
///         scope.spawn(move || {
///             let identities = Identities::with_tickets(Policy::new(), &keys);
///             identities.add(&identity)
///         });
///     }
/// });
/// # Ok::<(), ropewalk_tls::IdentityError>(())
/// ```
///
/// Several processes, or machines, share them [by a secret](Self::from_secret).
///
/// Clients who were asked for certificates come back only to the rules under which they came: to servers
/// that trust the same roots and pins, want the same names, and insist as much.
#[derive(Clone)]
pub struct TicketKeys {
    source: Arc<Source>,
    /// Of those who take no tickets.
    storage: Arc<dyn StoresServerSessions>,
}

/// Where the keys of each period come from.
enum Source {
    /// From random bytes, which are forgotten when their time is over.
    Random(RwLock<Secrets>),
    /// From what others have too, and the time.
    Given(Prk),
}

struct Secrets {
    current: Prk,
    previous: Option<Prk>,
    /// How many came before the current one.
    generation: u64,
    /// When the current one was made, in seconds since 1970.
    since: u64,
}

/// Tickets of one purpose under the current key, and a memory of the one before.
pub(crate) struct Tickets {
    source: Arc<Source>,
    scope: Vec<u8>,
    /// Made when they were last needed.
    keys: RwLock<Option<Arc<Pair>>>,
    nonces: Mutex<Nonces>,
}

/// Nonces that were drawn together, as each draw from the system's cryptography costs as much as a hundred
/// of them. Anybody may know them once they are used, and one that came twice would tell no more than that
/// what it sealed was the same.
struct Nonces {
    drawn: [[u8; NONCE_LEN]; NONCES_DRAWN],
    left: usize,
}

struct Pair {
    generation: u64,
    current: LessSafeKey,
    previous: Option<LessSafeKey>,
}

impl TicketKeys {
    /// Keys from random bytes, which leave this process never and change every six hours
    /// ([`TICKETS_ROTATED_EVERY`]).
    ///
    /// # Errors
    ///
    /// If the system has no random bytes.
    pub fn new() -> Result<Self, IdentityError> {
        let since = UnixTime::now().as_secs();
        let secrets = Secrets { current: random()?, previous: None, generation: 0, since };
        Ok(Self::from_source(Source::Random(RwLock::new(secrets))))
    }

    /// Keys from a secret: whoever has the same has the same keys at the same time, which change every
    /// six hours as well. Who learns the secret can read what was said on sessions that were resumed
    /// without another key exchange, before and after: keep it as private keys are kept, and change it.
    ///
    /// # Errors
    ///
    /// [`IdentityError::ShortSecret`] if it has less than [`TICKET_SECRET_MIN`] bytes.
    pub fn from_secret(secret: &[u8]) -> Result<Self, IdentityError> {
        if secret.len() < TICKET_SECRET_MIN {
            return Err(IdentityError::ShortSecret(secret.len()));
        }
        Ok(Self::from_source(Source::Given(extract(secret))))
    }

    /// The same with the secret that is in a file, all of its bytes. It blocks.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is longer than [`PEM_MAX`](crate::PEM_MAX), or as for
    /// [`from_secret`](Self::from_secret).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        Self::from_secret(&read_file(path.as_ref())?)
    }

    fn from_source(source: Source) -> Self {
        Self { source: Arc::new(source), storage: ServerSessionMemoryCache::new(KEPT_MAX) }
    }

    /// Gives out tickets under new keys from now on, as happens by itself each time that
    /// [`TICKETS_ROTATED_EVERY`] has passed. Those under the keys before are still taken; older ones
    /// lead to whole handshakes.
    ///
    /// # Errors
    ///
    /// If the system has no random bytes; [`IdentityError::SharedSecret`] if the keys come from a secret,
    /// which others go on using.
    pub fn rotate(&self) -> Result<(), IdentityError> {
        match &*self.source {
            Source::Random(secrets) => {
                let current = random()?;
                let mut secrets = secrets.write().unwrap_or_else(PoisonError::into_inner);
                secrets.change(current, UnixTime::now().as_secs());
                Ok(())
            }
            Source::Given(_) => Err(IdentityError::SharedSecret),
        }
    }

    /// Tickets that are good only where they were given out for the same.
    pub(crate) fn tickets(&self, scope: &[u8]) -> Arc<Tickets> {
        let (source, scope) = (Arc::clone(&self.source), scope.to_vec());
        let nonces = Mutex::new(Nonces { drawn: [[0; NONCE_LEN]; NONCES_DRAWN], left: 0 });
        Arc::new(Tickets { source, scope, keys: RwLock::new(None), nonces })
    }

    pub(crate) fn storage(&self) -> Arc<dyn StoresServerSessions> {
        Arc::clone(&self.storage)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_shared = matches!(*self.source, Source::Given(_));
        f.debug_struct("TicketKeys").field("from_secret", &is_shared).finish_non_exhaustive()
    }
}

impl Source {
    /// Which keys are the current ones at this time in seconds since 1970: after a change, if its time
    /// has come.
    fn generation_at(&self, now: u64) -> u64 {
        let secrets = match self {
            Self::Given(_) => return now / TICKETS_ROTATED_EVERY.as_secs(),
            Self::Random(secrets) => secrets,
        };
        let read = || secrets.read().unwrap_or_else(PoisonError::into_inner);
        if read().periods(now) > 0 {
            let mut secrets = secrets.write().unwrap_or_else(PoisonError::into_inner);
            // Another thread may have been here meanwhile. Where nobody came for so long, even the current
            // one is too old to be the previous.
            for _ in 0..secrets.periods(now).min(2) {
                match random() {
                    Ok(current) => secrets.change(current, now),
                    Err(error) => {
                        tracing::error!(target: "ropewalk::tls", "the key of tickets stays: {error}");
                    }
                }
            }
        }
        read().generation
    }

    fn pair(&self, scope: &[u8], generation: u64) -> Option<Pair> {
        match self {
            Self::Given(secret) => {
                let key = |generation| derive(secret, scope, generation);
                let previous = generation.checked_sub(1).and_then(key);
                Some(Pair { generation, current: key(generation)?, previous })
            }
            Self::Random(secrets) => {
                let secrets = secrets.read().unwrap_or_else(PoisonError::into_inner);
                let key = |secret: &Prk| derive(secret, scope, 0);
                let previous = secrets.previous.as_ref().and_then(key);
                let (generation, current) = (secrets.generation, key(&secrets.current)?);
                Some(Pair { generation, current, previous })
            }
        }
    }
}

impl Secrets {
    /// How many changes are due.
    fn periods(&self, now: u64) -> u64 {
        now.saturating_sub(self.since) / TICKETS_ROTATED_EVERY.as_secs()
    }

    fn change(&mut self, current: Prk, now: u64) {
        self.previous = Some(std::mem::replace(&mut self.current, current));
        self.generation += 1;
        self.since = now;
    }
}

fn extract(secret: &[u8]) -> Prk {
    Salt::new(HKDF_SHA256, PURPOSE).extract(secret)
}

fn random() -> Result<Prk, IdentityError> {
    let mut secret = [0; TICKET_SECRET_MIN];
    aws_lc_rs::rand::fill(&mut secret)
        .map_err(|_| IdentityError::Other("the system has no random bytes".to_owned()))?;
    Ok(extract(&secret))
}

fn derive(secret: &Prk, scope: &[u8], generation: u64) -> Option<LessSafeKey> {
    let generation = generation.to_be_bytes();
    let info = [PURPOSE, &generation, scope];
    let material = secret.expand(&info, &AES_256_GCM_SIV).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(material)))
}

impl Nonces {
    /// One that nobody had yet; none if the system has no random bytes.
    fn next(&mut self) -> Option<[u8; NONCE_LEN]> {
        if self.left == 0 {
            aws_lc_rs::rand::fill(self.drawn.as_flattened_mut()).ok()?;
            self.left = NONCES_DRAWN;
        }
        self.left -= 1;
        Some(self.drawn[self.left])
    }
}

impl Tickets {
    /// The current key and the one before, at this time in seconds since 1970.
    fn keys_at(&self, now: u64) -> Option<Arc<Pair>> {
        let generation = self.source.generation_at(now);
        let held = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        if held.as_ref().is_some_and(|held| held.generation == generation) {
            return held;
        }
        let made = Arc::new(self.source.pair(&self.scope, generation)?);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        *keys = Some(Arc::clone(&made));
        Some(made)
    }

    /// A nonce, and behind it what was sealed with it.
    fn encrypt_at(&self, now: u64, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys_at(now)?;
        let nonce = self.nonces.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        let mut ticket = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM_SIV.tag_len());
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = &mut ticket[NONCE_LEN..];
        let tag = keys.current.seal_in_place_separate_tag(nonce, Aad::empty(), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt_at(&self, now: u64, cipher: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys_at(now)?;
        let (nonce, sealed) = cipher.split_first_chunk::<NONCE_LEN>()?;
        let open = |key: &LessSafeKey| {
            let mut plain = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let length = key.open_in_place(nonce, Aad::empty(), &mut plain).ok()?.len();
            plain.truncate(length);
            Some(plain)
        };
        open(&keys.current).or_else(|| open(keys.previous.as_ref()?))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // Twelve hours fit.
        u32::try_from(2 * TICKETS_ROTATED_EVERY.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.encrypt_at(UnixTime::now().as_secs(), plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.decrypt_at(UnixTime::now().as_secs(), cipher)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread;

    use rustls::pki_types::UnixTime;

    use super::{TICKETS_ROTATED_EVERY, TicketKeys, Tickets};
    use crate::IdentityError;

    const PERIOD: u64 = TICKETS_ROTATED_EVERY.as_secs();

    fn random() -> Arc<Tickets> {
        TicketKeys::new().unwrap().tickets(b"")
    }

    #[test]
    fn a_ticket_is_good_for_one_change_of_keys_and_not_for_two() {
        let start = UnixTime::now().as_secs();
        let given = TicketKeys::from_secret(&[7; 32]).unwrap().tickets(b"");
        // Those of a secret change when all others of it do.
        for (tickets, start) in [(random(), start), (given, start / PERIOD * PERIOD)] {
            let first = tickets.encrypt_at(start, b"first").unwrap();
            assert_eq!(tickets.decrypt_at(start + PERIOD / 2, &first).unwrap(), b"first");
            let second = tickets.encrypt_at(start + PERIOD, b"second").unwrap();
            assert_eq!(tickets.decrypt_at(start + PERIOD, &first).unwrap(), b"first");
            assert_eq!(tickets.decrypt_at(start + 2 * PERIOD, &first), None);
            assert_eq!(tickets.decrypt_at(start + 2 * PERIOD, &second).unwrap(), b"second");
        }
    }

    #[test]
    fn a_ticket_is_too_old_where_nobody_came_for_two_periods() {
        let tickets = random();
        let start = UnixTime::now().as_secs();
        let ticket = tickets.encrypt_at(start, b"old").unwrap();
        assert_eq!(tickets.decrypt_at(start + 2 * PERIOD, &ticket), None);
    }

    #[test]
    fn threads_that_find_a_change_due_make_one() {
        let keys = TicketKeys::new().unwrap();
        let start = UnixTime::now().as_secs();
        let ticket = keys.tickets(b"").encrypt_at(start, b"kept").unwrap();
        let together = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let tickets = keys.tickets(b"");
                    together.wait();
                    let kept = tickets.decrypt_at(start + PERIOD, &ticket);
                    assert_eq!(kept.as_deref(), Some(&b"kept"[..]));
                });
            }
        });
    }

    #[test]
    fn who_has_the_same_secret_takes_the_same_tickets_and_nobody_else_does() {
        let of = |byte| TicketKeys::from_secret(&[byte; 32]).unwrap();
        let start = 5 * PERIOD;
        let ticket = of(1).tickets(b"these").encrypt_at(start, b"sealed").unwrap();
        assert_eq!(of(1).tickets(b"these").decrypt_at(start, &ticket).unwrap(), b"sealed");
        assert_eq!(of(1).tickets(b"those").decrypt_at(start, &ticket), None);
        assert_eq!(of(2).tickets(b"these").decrypt_at(start, &ticket), None);
        assert_eq!(random().decrypt_at(start, &ticket), None);
        let again = of(1).tickets(b"these").encrypt_at(start, b"sealed").unwrap();
        assert_ne!(ticket, again, "nobody sees that they hold the same");
        for at in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[at] ^= 1;
            assert_eq!(of(1).tickets(b"these").decrypt_at(start, &forged), None, "byte {at}");
            assert_eq!(of(1).tickets(b"these").decrypt_at(start, &ticket[..at]), None);
        }
        assert!(matches!(of(1).rotate(), Err(IdentityError::SharedSecret)));
        let short = TicketKeys::from_secret(&[1; 31]);
        assert!(matches!(short, Err(IdentityError::ShortSecret(31))));
    }
}
