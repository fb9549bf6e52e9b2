//! Looking for a moment before sleeping.

use std::hint::spin_loop;

/// How often is looked: about as long as it takes to be woken, so that two who wait for each other come to find out
/// that neither need sleep.
const LOOKS: u32 = 1200;
/// How much hope there is at most. Each spin that was worth while adds one.
const HOPE_MAX: u8 = 9;
/// How much of it a spin in vain takes.
const DISMAY: u8 = 3;
/// Without hope, one spin in so many sleeps finds out whether times have changed.
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
        Self::on(cores)
    }

    fn on(cores: usize) -> Self {
        if cores > 1 { Self { left: HOPE_MAX, passed: 0 } } else { Self { left: 0, passed: TRIES } }
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
        self.left =
            if came { HOPE_MAX.min(self.left + 1) } else { self.left.saturating_sub(DISMAY) };
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

#[cfg(test)]
mod tests {
    use super::{HOPE_MAX, Hope, TRIES, spin};

    #[test]
    fn hope_is_lost_in_vain_and_found_again() {
        let mut hope = Hope::on(2);
        let mut spins = 0;
        while hope.is_there() {
            hope.learn(false);
            spins += 1;
        }
        assert!(spins < 5, "{spins} in vain");
        // From now on one in so many, until one is worth while.
        let tried = (0..10 * u32::from(TRIES)).filter(|_| hope.is_there()).count();
        assert_eq!(tried, 10);
        hope.learn(true);
        assert!(hope.is_there() && hope.is_there());
        for _ in 0..100 {
            hope.learn(true);
        }
        assert_eq!(hope.left, HOPE_MAX);
    }

    #[test]
    fn a_single_processor_has_none() {
        let mut hope = Hope::on(1);
        assert!((0..1000).all(|_| !hope.is_there()));
    }

    #[test]
    fn a_spin_ends() {
        assert!(!spin(|| false));
        let mut left = 3;
        assert!(spin(|| {
            left -= 1;
            left == 0
        }));
    }
}
