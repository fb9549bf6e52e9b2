//! Connecting to one of several addresses, whichever answers first (RFC 8305).
//!
//! The rules of the race, kept without a socket or a clock:
//!
//! - families take turns, beginning with that of the first address (section 4);
//! - the next attempt starts [`ATTEMPT_DELAY`] after the one before, or at once when one fails
//!   (section 5);
//! - the first connection wins, and whoever runs the race then ends all other attempts;
//! - the race is lost when every attempt has failed, for the reason that came first.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::{Address, Disconnect, ResolveError};

/// How long an attempt has before the next one starts beside it, unless said otherwise (RFC 8305
/// section 8: 250 ms).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The shortest delay that can be asked for (RFC 8305 section 8: never below 10 ms).
pub const ATTEMPT_DELAY_MIN: Duration = Duration::from_millis(10);
/// The longest (RFC 8305 section 8: 2 s).
pub const ATTEMPT_DELAY_MAX: Duration = Duration::from_secs(2);
/// How many addresses of one name are tried; those behind them are passed over.
pub const RACERS_MAX: usize = 64;

/// A race between the addresses of one host, as pure state: told the time and what became of each
/// attempt, it says which to start and when to ask again.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::{ATTEMPT_DELAY, Disconnect, Race};
///
/// let addresses = ["[2001:db8::1]:80", "192.0.2.1:80"].map(|text| text.parse().unwrap());
/// let mut race = Race::new(addresses);
/// let start = Duration::ZERO;
/// assert_eq!(race.next(start), Some(addresses[0]));
/// assert_eq!(race.next(start), None);
/// assert_eq!(race.next_at(), Some(ATTEMPT_DELAY));
/// race.fail(start, addresses[0], Disconnect::NetworkUnreachable);
/// assert_eq!(race.next(start), Some(addresses[1]));
/// ```
#[derive(Clone, Debug)]
pub struct Race {
    waiting: VecDeque<SocketAddr>,
    running: Vec<SocketAddr>,
    failed: Vec<FailedAttempt>,
    /// When the next attempt starts.
    next_at: Duration,
    delay: Duration,
}

/// An attempt to connect that led to no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The address that was tried.
    pub address: Address,
    /// What came of it.
    pub why: Disconnect,
}

impl FailedAttempt {
    /// An attempt at `address` that failed for this reason.
    pub fn new(address: Address, why: Disconnect) -> Self {
        Self { address, why }
    }
}

impl fmt::Display for FailedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.why)
    }
}

impl Race {
    /// A race between `addresses`, the preferred first; one that is there twice runs once.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            waiting: interleave(addresses),
            running: Vec::new(),
            failed: Vec::new(),
            next_at: Duration::ZERO,
            delay: ATTEMPT_DELAY,
        }
    }

    /// Lets attempts start this far apart, where that is between [`ATTEMPT_DELAY_MIN`] and
    /// [`ATTEMPT_DELAY_MAX`], or else as near to it as is allowed.
    #[must_use]
    pub fn with_delay(self, delay: Duration) -> Self {
        Self { delay: delay.clamp(ATTEMPT_DELAY_MIN, ATTEMPT_DELAY_MAX), ..self }
    }

    /// The address to try now, if it is time for one. It is running from then on.
    pub fn next(&mut self, now: Duration) -> Option<SocketAddr> {
        if now < self.next_at {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.running.push(address);
        self.next_at = now.saturating_add(self.delay);
        Some(address)
    }

    /// When [`next`](Self::next) is to be asked again, if nothing fails before.
    pub fn next_at(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(self.next_at)
    }

    /// An attempt has failed; the next may start at once.
    pub fn fail(&mut self, now: Duration, address: SocketAddr, why: Disconnect) {
        let Some(index) = self.running.iter().position(|running| *running == address) else {
            return;
        };
        self.running.remove(index);
        self.failed.push(FailedAttempt::new(address.into(), why));
        self.next_at = self.next_at.min(now);
    }

    /// The addresses that are being tried.
    pub fn running(&self) -> &[SocketAddr] {
        &self.running
    }

    /// Whether nothing is left that could win.
    pub fn is_lost(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// What has failed, in the order in which it did.
    pub fn failed(&self) -> &[FailedAttempt] {
        &self.failed
    }

    /// Gives the race up: every attempt that has not failed yet has timed out.
    pub fn time_out(&mut self) {
        self.waiting.clear();
        for address in self.running.drain(..) {
            self.failed.push(FailedAttempt::new(address.into(), Disconnect::TimedOut));
        }
    }
}

/// Lets the families take turns, each address in its place among those of its family.
fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut families = [VecDeque::new(), VecDeque::new()];
    let mut first = None;
    let mut count = 0;
    for address in addresses {
        let family = &mut families[usize::from(address.is_ipv6())];
        if count == RACERS_MAX || family.contains(&address) {
            continue;
        }
        first.get_or_insert(address.is_ipv6());
        family.push_back(address);
        count += 1;
    }
    let mut mixed = VecDeque::with_capacity(count);
    let mut turn = usize::from(first.unwrap_or(false));
    while mixed.len() < count {
        mixed.extend(families[turn].pop_front());
        turn = 1 - turn;
    }
    mixed
}

/// Why there is no connection, with all that was tried: what the deferred of
/// [`connect`](crate::connect) fails with.
///
/// Its source is the reason that came first, which the protocol is told too: a failure can be
/// [checked](ropewalk_deferred::Failure::check) for a [`Disconnect`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CannotConnect {
    /// Why.
    pub why: Disconnect,
    /// Each address that was tried, and what came of it.
    pub attempts: Vec<FailedAttempt>,
    /// Why no address was found, where that is what was wrong.
    pub unresolved: Option<ResolveError>,
}

impl CannotConnect {
    /// No connection, for this reason, after these attempts.
    pub fn new(why: Disconnect, attempts: Vec<FailedAttempt>) -> Self {
        Self { why, attempts, unresolved: None }
    }

    /// No connection, as there is no address to connect to.
    pub fn unresolved(error: ResolveError) -> Self {
        Self { why: Disconnect::UnknownHost, attempts: Vec::new(), unresolved: Some(error) }
    }
}

impl fmt::Display for CannotConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection was made")?;
        if let Some(error) = &self.unresolved {
            return write!(f, " ({error})");
        }
        for (index, attempt) in self.attempts.iter().enumerate() {
            write!(f, "{}{attempt}", if index == 0 { " (" } else { "; " })?;
        }
        if self.attempts.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl Error for CannotConnect {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.why)
    }
}
