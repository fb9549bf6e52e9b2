//! How long things take, counted in classes.

use std::fmt;
use std::time::Duration;

/// Classes a doubling.
const STEPS: usize = 4;
const STEP_BITS: u32 = 2;
/// What durations are cut down to: 1,024 ns.
const UNIT_BITS: u32 = 10;
/// Up to two minutes; what takes longer is in the last class.
const CLASSES: usize = 104;

/// Durations, counted in classes that are each a fifth or so wider than the one before: from a
/// microsecond to two minutes. Recording one takes a few instructions and no memory.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_reactor::Histogram;
///
/// let mut waits = Histogram::default();
/// for ms in 1..=100 {
///     waits.record(Duration::from_millis(ms));
/// }
/// assert_eq!(waits.count(), 100);
/// let median = waits.quantile(0.5).unwrap();
/// assert!((40..=60).contains(&median.as_millis()), "{median:?}");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; CLASSES],
    count: u64,
    /// In nanoseconds.
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; CLASSES], count: 0, sum: 0, max: 0 }
    }
}

/// The class of so many nanoseconds.
fn class(nanoseconds: u64) -> usize {
    let units = nanoseconds >> UNIT_BITS;
    if units < STEPS as u64 {
        return units as usize;
    }
    let doubling = units.ilog2();
    let step = (units >> (doubling - STEP_BITS)) as usize & (STEPS - 1);
    ((doubling - STEP_BITS + 1) as usize * STEPS + step).min(CLASSES - 1)
}

/// Where a class ends, in nanoseconds: nothing in it is as long.
fn end(class: usize) -> u64 {
    let next = class as u64 + 1;
    let steps = STEPS as u64;
    let units = if next < steps { next } else { (steps + next % steps) << (next / steps - 1) };
    units << UNIT_BITS
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let seconds = took.as_secs().saturating_mul(1_000_000_000);
        self.record_nanoseconds(seconds.saturating_add(took.subsec_nanos().into()));
    }

    #[inline]
    pub(crate) fn record_nanoseconds(&mut self, nanoseconds: u64) {
        self.counts[class(nanoseconds)] += 1;
        self.count += 1;
        self.sum = self.sum.wrapping_add(nanoseconds);
        self.max = self.max.max(nanoseconds);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long they took together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The duration that this share of all does not exceed, 0.5 for the median, as exactly as the classes
    /// are; `None` where nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let wanted = (share.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (class, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                let begins = class.checked_sub(1).map_or(0, end);
                let middle = begins.midpoint(end(class));
                return Some(Duration::from_nanos(middle.min(self.max)));
            }
        }
        Some(self.max())
    }

    /// The classes in which there is anything: where each ends, and how many are in it.
    pub fn classes(&self) -> impl Iterator<Item = (Duration, u64)> {
        let classes = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        classes.map(|(class, count)| (Duration::from_nanos(end(class)), *count))
    }

    /// Adds all that another has counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// What was counted since this one was as `before`; its longest is that of all times.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (mine, theirs) in since.counts.iter_mut().zip(&before.counts) {
            *mine = mine.saturating_sub(*theirs);
        }
        since.count = self.count.saturating_sub(before.count);
        since.sum = self.sum.wrapping_sub(before.sum);
        since
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("sum", &self.sum())
            .field("max", &self.max())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CLASSES, Histogram, class, end};

    #[test]
    fn every_duration_is_in_the_class_that_ends_after_it_and_no_earlier_one() {
        for index in 0..CLASSES - 1 {
            assert_eq!(class(end(index)), index + 1, "{index}");
            assert_eq!(class(end(index) - 1), index, "{index}");
        }
        assert_eq!(class(0), 0);
        assert_eq!(class(u64::MAX), CLASSES - 1);
        assert!(end(CLASSES - 2) > 60_000_000_000, "a minute is told from more");
    }

    #[test]
    fn quantiles_are_within_a_class_of_the_truth() {
        let mut all = Histogram::default();
        assert_eq!(all.quantile(0.5), None);
        for ms in 1..=1000 {
            all.record(Duration::from_millis(ms));
        }
        for (share, wanted) in [(0.0, 1), (0.5, 500), (0.9, 900), (0.99, 990), (1.0, 1000)] {
            let told = all.quantile(share).unwrap().as_micros();
            assert!(told.abs_diff(wanted * 1000) * 8 <= wanted * 1000, "{share}: {told}");
        }
        assert_eq!(all.max(), Duration::from_secs(1));
        assert_eq!(all.sum(), Duration::from_millis(500_500));
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let mut all = Histogram::default();
        all.record(Duration::from_millis(3));
        let before = all.clone();
        all.record(Duration::from_secs(3));
        let since = all.since(&before);
        assert_eq!((since.count(), since.sum()), (1, Duration::from_secs(3)));
        let mut together = before;
        together.add(&since);
        assert_eq!(together, all);
    }
}
