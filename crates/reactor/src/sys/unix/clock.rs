//! The system's monotonic clock.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Counts from when it was made. `Instant` does as well, at twice the price; the loop asks twice a turn.
pub(crate) struct Stopwatch {
    start: Timespec,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { start: clock_gettime(ClockId::Monotonic) }
    }

    #[inline]
    pub(crate) fn elapsed(&self) -> Duration {
        let now = clock_gettime(ClockId::Monotonic);
        let mut seconds = now.tv_sec - self.start.tv_sec;
        let mut nanoseconds = now.tv_nsec - self.start.tv_nsec;
        if nanoseconds < 0 {
            seconds -= 1;
            nanoseconds += 1_000_000_000;
        }
        // The clock never runs backwards.
        Duration::new(seconds.max(0).cast_unsigned(), nanoseconds as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Stopwatch;

    #[test]
    fn it_shows_what_the_standard_clock_shows() {
        #[expect(clippy::disallowed_methods, reason = "it is what is compared with")]
        let now = Instant::now;
        let before = now();
        let watch = Stopwatch::start();
        let after = now();
        let mut last = Duration::ZERO;
        for _ in 0..1000 {
            let least = after.elapsed();
            let shown = watch.elapsed();
            assert!(shown >= least && shown <= before.elapsed() && shown >= last);
            last = shown;
        }
        let earlier =
            Stopwatch { start: rustix::time::Timespec { tv_nsec: 999_999_999, ..watch.start } };
        let difference = Duration::from_nanos(999_999_999 - watch.start.tv_nsec as u64);
        if let Some(least) = watch.elapsed().checked_sub(difference) {
            assert!(earlier.elapsed() >= least, "a second is borrowed from");
        }
    }
}
