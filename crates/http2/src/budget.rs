//! How much of what costs a peer nothing is put up with.

use std::time::Duration;

/// So many at once, and so many a second after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many may come at once.
    pub burst: u32,
    /// How many more come to that each second.
    pub per_second: u32,
}

impl Allowance {
    /// `burst` at once, and `per_second` more each second.
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second }
    }
}

/// An allowance while it is used up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    spent: u32,
    /// When `spent` was last true.
    at: Duration,
}

impl Budget {
    /// Gives back as much as was taken with good reason.
    #[inline]
    pub(crate) fn earn(&mut self, count: u32) {
        self.spent = self.spent.saturating_sub(count);
    }

    /// Takes one; whether there was one to take.
    pub(crate) fn take(&mut self, allowance: Allowance, now: Duration) -> bool {
        if self.spent >= allowance.burst {
            let earned =
                now.saturating_sub(self.at).as_millis() * u128::from(allowance.per_second) / 1000;
            self.spent = self.spent.saturating_sub(u32::try_from(earned).unwrap_or(u32::MAX));
            if earned > 0 {
                self.at = now;
            }
        } else if self.spent == 0 {
            self.at = now;
        }
        if self.spent >= allowance.burst {
            return false;
        }
        self.spent += 1;
        true
    }
}
