//! Session tickets, and the change of their keys.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;

use crate::IdentityError;

/// How long a server gives out tickets under one key; they are good for as long again.
pub const TICKETS_ROTATED_EVERY: Duration = Duration::from_hours(6);

/// Tickets under the current key, and a memory of the one before.
pub(crate) struct Tickets {
    keys: RwLock<Keys>,
}

struct Keys {
    current: Arc<dyn ProducesTickets>,
    previous: Option<Arc<dyn ProducesTickets>>,
    /// When the current one was made, in seconds since 1970.
    since: u64,
}

impl Tickets {
    pub(crate) fn new() -> Result<Arc<Self>, IdentityError> {
        // The library's own keys change too, as often; asked for the time first, ours are never later.
        let since = UnixTime::now().as_secs();
        let keys = Keys { current: key()?, previous: None, since };
        Ok(Arc::new(Self { keys: RwLock::new(keys) }))
    }

    /// Makes a new key; the one before the current is forgotten.
    pub(crate) fn rotate(&self) -> Result<(), IdentityError> {
        let since = UnixTime::now().as_secs();
        let current = key()?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.previous = Some(std::mem::replace(&mut keys.current, current));
        keys.since = since;
        Ok(())
    }

    /// The current key and the one before, after a change if its time has come.
    fn keys(&self) -> (Arc<dyn ProducesTickets>, Option<Arc<dyn ProducesTickets>>) {
        let now = UnixTime::now().as_secs();
        let read = || self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let periods = now.saturating_sub(read().since) / TICKETS_ROTATED_EVERY.as_secs();
        // Where nobody came for so long, even the current one is too old to be the previous.
        for _ in 0..periods.min(2) {
            if let Err(error) = self.rotate() {
                tracing::error!(target: "ropewalk::tls", "the key of tickets stays: {error}");
            }
        }
        let keys = read();
        (Arc::clone(&keys.current), keys.previous.clone())
    }
}

/// The library's tickets, under a new key.
fn key() -> Result<Arc<dyn ProducesTickets>, IdentityError> {
    rustls::crypto::aws_lc_rs::Ticketer::new()
        .map_err(|error| IdentityError::Other(error.to_string()))
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
        self.keys().0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (current, previous) = self.keys();
        current.decrypt(cipher).or_else(|| previous?.decrypt(cipher))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}
