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
        let current = key()?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.change(current, UnixTime::now().as_secs());
        Ok(())
    }

    /// The current key and the one before, at this time in seconds since 1970: after a change, if its
    /// time has come.
    fn keys_at(&self, now: u64) -> (Arc<dyn ProducesTickets>, Option<Arc<dyn ProducesTickets>>) {
        let mut periods = self.keys.read().unwrap_or_else(PoisonError::into_inner).periods(now);
        if periods > 0 {
            let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
            // Another thread may have been here meanwhile.
            periods = keys.periods(now);
            // Where nobody came for so long, even the current one is too old to be the previous.
            for _ in 0..periods.min(2) {
                match key() {
                    Ok(current) => keys.change(current, now),
                    Err(error) => {
                        tracing::error!(target: "ropewalk::tls", "the key of tickets stays: {error}");
                    }
                }
            }
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&keys.current), keys.previous.clone())
    }

    fn encrypt_at(&self, now: u64, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys_at(now).0.encrypt(plain)
    }

    fn decrypt_at(&self, now: u64, cipher: &[u8]) -> Option<Vec<u8>> {
        let (current, previous) = self.keys_at(now);
        current.decrypt(cipher).or_else(|| previous?.decrypt(cipher))
    }
}

impl Keys {
    /// How many changes are due.
    fn periods(&self, now: u64) -> u64 {
        now.saturating_sub(self.since) / TICKETS_ROTATED_EVERY.as_secs()
    }

    fn change(&mut self, current: Arc<dyn ProducesTickets>, now: u64) {
        self.previous = Some(std::mem::replace(&mut self.current, current));
        self.since = now;
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
    use std::sync::Barrier;
    use std::thread;

    use rustls::pki_types::UnixTime;

    use super::{TICKETS_ROTATED_EVERY, Tickets};

    const PERIOD: u64 = TICKETS_ROTATED_EVERY.as_secs();

    #[test]
    fn a_ticket_is_good_for_one_change_of_keys_and_not_for_two() {
        let tickets = Tickets::new().unwrap();
        let start = UnixTime::now().as_secs();
        let first = tickets.encrypt_at(start, b"first").unwrap();
        assert_eq!(tickets.decrypt_at(start + PERIOD / 2, &first).unwrap(), b"first");
        let second = tickets.encrypt_at(start + PERIOD, b"second").unwrap();
        assert_eq!(tickets.decrypt_at(start + PERIOD, &first).unwrap(), b"first");
        assert_eq!(tickets.decrypt_at(start + 2 * PERIOD, &first), None);
        assert_eq!(tickets.decrypt_at(start + 2 * PERIOD, &second).unwrap(), b"second");
    }

    #[test]
    fn a_ticket_is_too_old_where_nobody_came_for_two_periods() {
        let tickets = Tickets::new().unwrap();
        let start = UnixTime::now().as_secs();
        let ticket = tickets.encrypt_at(start, b"old").unwrap();
        assert_eq!(tickets.decrypt_at(start + 2 * PERIOD, &ticket), None);
    }

    #[test]
    fn threads_that_find_a_change_due_make_one() {
        let tickets = Tickets::new().unwrap();
        let start = UnixTime::now().as_secs();
        let ticket = tickets.encrypt_at(start, b"kept").unwrap();
        let together = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    let kept = tickets.decrypt_at(start + PERIOD, &ticket);
                    assert_eq!(kept.as_deref(), Some(&b"kept"[..]));
                });
            }
        });
    }
}
