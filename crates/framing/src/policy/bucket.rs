//! Rates, and what is left of them.

use std::num::NonZeroU64;
use std::time::Duration;

/// So many bytes a second on average, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU64,
    burst: NonZeroU64,
}

impl Rate {
    /// So many bytes a second, and as many at once; `None` for zero, at which nothing would move.
    pub fn new(per_second: u64) -> Option<Self> {
        let per_second = NonZeroU64::new(per_second)?;
        Some(Self { per_second, burst: per_second })
    }

    /// The same with `burst` bytes at once, at least one.
    pub fn burst(self, burst: u64) -> Self {
        Self { burst: NonZeroU64::new(burst).unwrap_or(NonZeroU64::MIN), ..self }
    }

    /// How many bytes are worth waiting for: half of what may go at once.
    pub(crate) fn piece(self) -> u64 {
        self.burst.get().div_ceil(2)
    }
}

/// A bucket that fills at a [`Rate`] up to its burst, and from which bytes are taken.
///
/// It reads no clock and rounds nothing: what it gives in the long run is the rate, exactly.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_framing::policy::{Rate, TokenBucket};
///
/// let rate = Rate::new(100).expect("not zero").burst(1000);
/// let mut bucket = TokenBucket::new(rate);
/// bucket.take(Duration::ZERO, 1200);
/// assert_eq!(bucket.wait_for(Duration::ZERO, 0), Duration::from_secs(2));
/// assert_eq!(bucket.available(Duration::from_secs(3)), 100);
/// ```
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: Rate,
    /// In billionths of a byte; below zero is debt.
    level: i128,
    filled_at: Duration,
}

const WHOLE: i128 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        let level = i128::from(rate.burst.get()) * WHOLE;
        Self { rate, level, filled_at: Duration::ZERO }
    }

    /// Takes `count` bytes out, which may leave it in debt.
    pub fn take(&mut self, now: Duration, count: u64) {
        self.fill(now);
        self.level -= i128::from(count) * WHOLE;
    }

    /// How many bytes can be taken now.
    pub fn available(&mut self, now: Duration) -> u64 {
        self.fill(now);
        // Between zero and the burst.
        (self.level / WHOLE).max(0) as u64
    }

    /// How long it is until `count` bytes can be taken; for as many as it holds at most.
    pub fn wait_for(&mut self, now: Duration, count: u64) -> Duration {
        self.fill(now);
        let count = count.min(self.rate.burst.get());
        let missing = (i128::from(count) * WHOLE - self.level).max(0);
        let per_second = i128::from(self.rate.per_second.get());
        let nanoseconds = missing.div_euclid(per_second) + i128::from(missing % per_second != 0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The rate at which it fills.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        let nanoseconds = i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX);
        let more = nanoseconds.saturating_mul(self.rate.per_second.get().into());
        let full = i128::from(self.rate.burst.get()) * WHOLE;
        self.level = self.level.saturating_add(more).min(full);
    }
}
