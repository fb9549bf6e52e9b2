use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{Address, Clock, sleep};

use crate::error::LoginError;

/// How those are held up who fail to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DelayOptions {
    /// How long the first failure of a peer is kept back; each further one twice as long as the last; 500 ms.
    pub first: Duration,
    /// How long one is kept back at most; 8 seconds.
    pub max: Duration,
    /// After how long without a failure a peer's are forgotten; 10 minutes.
    pub forget_after: Duration,
    /// How many attempts of a peer may be under way or kept back at a time; 16.
    pub attempts_max: usize,
    /// How many peers are remembered; the ones whose last failure is longest ago make room; 4,096.
    pub peers_max: usize,
}

impl Default for DelayOptions {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            max: Duration::from_secs(8),
            forget_after: Duration::from_mins(10),
            attempts_max: 16,
            peers_max: 4096,
        }
    }
}

impl DelayOptions {
    /// The same with other delays: of the first failure, and of the worst.
    pub fn with_delays(self, first: Duration, max: Duration) -> Self {
        Self { first, max, ..self }
    }

    /// The same with another number of attempts at a time.
    pub fn with_attempts_max(self, attempts_max: usize) -> Self {
        Self { attempts_max, ..self }
    }

    /// The same with another number of peers.
    pub fn with_peers_max(self, peers_max: usize) -> Self {
        Self { peers_max, ..self }
    }

    /// The same with another memory.
    pub fn with_forget_after(self, forget_after: Duration) -> Self {
        Self { forget_after, ..self }
    }
}

/// Keeps back the news of failed logins, the longer the more often a peer has failed. Clones are the same.
///
/// A login that succeeds is never kept back, whatever others behind the same address did. An attempt counts until the
/// time for its answer has come, also where whoever made it has hung up; so a peer makes no more than
/// [`DelayOptions::attempts_max`] in the time of one delay, and further ones fail with
/// [`LoginError::TooManyAttempts`]. Peers are told apart by their Internet address, and those of IPv6 by its first 64
/// bits, which one customer commonly has.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_auth::{FailureDelay, InMemory, Portal, UsernamePassword, Users};
/// use ropewalk_protocol::Address;
/// use ropewalk_trial::Clock;
///
/// let clock = Clock::new();
/// let delay = FailureDelay::new(clock.clone());
/// let portal = Portal::new(Users).checker::<UsernamePassword>(InMemory::new());
/// let peer = Address::Memory("guesser".into());
/// let guess = delay.attempt(&peer, || portal.identify(UsernamePassword::new("alice", "hare")));
/// let guess = guess.try_take().expect_err("it has to wait");
/// clock.advance(Duration::from_millis(500));
/// assert!(guess.now_or_never().expect("it is told").is_err());
/// ```
#[derive(Clone)]
pub struct FailureDelay {
    inner: Rc<Inner>,
}

struct Inner {
    clock: Rc<dyn Clock>,
    options: DelayOptions,
    peers: RefCell<HashMap<Peer, Record>>,
}

/// Whom failures are counted against.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Peer {
    Ip(IpAddr),
    Other(Address),
}

#[derive(Default)]
struct Record {
    failures: u32,
    last: Duration,
    /// Attempts whose outcome is not known yet.
    running: usize,
    /// When the news of those that failed is told, the earliest first.
    kept_back: VecDeque<Duration>,
}

impl FailureDelay {
    /// Delays on this clock, as usual.
    pub fn new(clock: impl Clock + 'static) -> Self {
        Self::with_options(clock, DelayOptions::default())
    }

    /// Delays on this clock.
    pub fn with_options(clock: impl Clock + 'static, options: DelayOptions) -> Self {
        let inner = Inner { clock: Rc::new(clock), options, peers: RefCell::default() };
        Self { inner: Rc::new(inner) }
    }

    /// Has `login` try, for this peer. Whether it fails with [`LoginError::Unauthorized`] is told when its time has
    /// come; all else at once.
    pub fn attempt<T: 'static>(
        &self,
        peer: &Address,
        login: impl FnOnce() -> Deferred<T>,
    ) -> Deferred<T> {
        let peer = Peer::of(peer);
        if let Err(retry_after) = self.inner.begin(&peer) {
            return Deferred::fail(LoginError::TooManyAttempts { retry_after });
        }
        let running = Running { inner: Rc::clone(&self.inner), peer };
        login().add_both(move |result| match result {
            Err(failure) if is_wrong(&failure) => {
                let wait = running.inner.fail(&running.peer);
                let clock = Rc::clone(&running.inner.clock);
                drop(running);
                sleep(&clock, wait).add_callback(move |()| Err::<T, _>(failure))
            }
            other => Deferred::ready(other),
        })
    }

    /// How many peers are remembered.
    pub fn peers(&self) -> usize {
        self.inner.peers.borrow().len()
    }
}

fn is_wrong(failure: &Failure) -> bool {
    matches!(failure.check(), Some(LoginError::Unauthorized))
}

/// An attempt whose outcome is not known yet.
struct Running {
    inner: Rc<Inner>,
    peer: Peer,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut peers = self.inner.peers.borrow_mut();
        if let Some(record) = peers.get_mut(&self.peer) {
            record.running = record.running.saturating_sub(1);
            if record.running == 0 && record.failures == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

impl Inner {
    /// Counts an attempt in, or tells how long the peer has to wait.
    fn begin(&self, peer: &Peer) -> Result<(), Duration> {
        let now = self.clock.now();
        let mut peers = self.peers.borrow_mut();
        if !peers.contains_key(peer) {
            self.make_room(&mut peers, now);
        }
        let record = peers.entry(peer.clone()).or_default();
        record.forget(now, self.options.forget_after);
        if record.running + record.kept_back.len() >= self.options.attempts_max {
            let next = record
                .kept_back
                .front()
                .map_or(self.options.first, |until| until.saturating_sub(now));
            return Err(next.max(Duration::from_millis(1)));
        }
        record.running += 1;
        Ok(())
    }

    /// Counts a failure; how long the news of it is kept back.
    fn fail(&self, peer: &Peer) -> Duration {
        let now = self.clock.now();
        let mut peers = self.peers.borrow_mut();
        let record = peers.entry(peer.clone()).or_default();
        let doublings = record.failures.min(31);
        record.failures = record.failures.saturating_add(1);
        record.last = now;
        let wait = self.options.first.saturating_mul(1 << doublings).min(self.options.max);
        let at = record.kept_back.partition_point(|until| *until <= now + wait);
        record.kept_back.insert(at, now + wait);
        wait
    }

    /// Sees to it that one more peer fits.
    fn make_room(&self, peers: &mut HashMap<Peer, Record>, now: Duration) {
        if peers.len() < self.options.peers_max {
            return;
        }
        peers.retain(|_, record| {
            record.forget(now, self.options.forget_after);
            record.running > 0 || record.failures > 0
        });
        while peers.len() >= self.options.peers_max.max(1) {
            let oldest = peers.iter().min_by_key(|(_, record)| record.last);
            let Some(oldest) = oldest.map(|(peer, _)| peer.clone()) else { return };
            peers.remove(&oldest);
        }
    }
}

impl Record {
    fn forget(&mut self, now: Duration, forget_after: Duration) {
        while self.kept_back.front().is_some_and(|until| *until <= now) {
            self.kept_back.pop_front();
        }
        if self.kept_back.is_empty() && now.saturating_sub(self.last) >= forget_after {
            self.failures = 0;
        }
    }
}

impl Peer {
    fn of(address: &Address) -> Self {
        match address {
            Address::Ip(address) => Self::Ip(match address.ip().to_canonical() {
                IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
                v4 @ IpAddr::V4(_) => v4,
            }),
            other => Self::Other(other.clone()),
        }
    }
}

impl fmt::Debug for FailureDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailureDelay").field("peers", &self.peers()).finish_non_exhaustive()
    }
}
