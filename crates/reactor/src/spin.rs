//! Looking for a moment before sleeping.

use std::hint::spin_loop;

/// How often is looked: for some microseconds, less than it takes to sleep and be woken.
const LOOKS: u32 = 400;
/// How many vain spins in a row there are at most.
const HOPE_MAX: u8 = 4;
/// After those, one spin in so many sleeps finds out whether times have changed.
const TRIES: u8 = 64;

/// Whether it is worth while to spin: it is where what is waited for tends to come at once, and where others do
/// not want the processor.
#[derive(Debug)]
pub(crate) struct Hope {
    left: u8,
    passed: u8,
}

impl Hope {
    /// None where a single processor does one thing at a time.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            left: if cores > 1 { HOPE_MAX } else { 0 },
            passed: if cores > 1 { 0 } else { TRIES },
        }
    }

    /// Whether to spin now.
    pub(crate) fn is_there(&mut self) -> bool {
        if self.left > 0 {
            return true;
        }
        // A single processor stays beyond the count.
        if self.passed >= TRIES {
            return false;
        }
        self.passed = (self.passed + 1) % TRIES;
        self.passed == 0
    }

    /// Learns from a spin.
    pub(crate) fn learn(&mut self, came: bool) {
        self.left = if came { HOPE_MAX.min(self.left + 1) } else { self.left.saturating_sub(1) };
    }
}

/// Looks for a while; whether it came.
pub(crate) fn spin(mut has_come: impl FnMut() -> bool) -> bool {
    for _ in 0..LOOKS {
        if has_come() {
            return true;
        }
        spin_loop();
    }
    false
}
