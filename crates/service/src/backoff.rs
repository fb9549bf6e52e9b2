//! How long to wait before something is tried again.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Waits that become longer, and of which each is anything between nothing and its bound ("full jitter"):
/// so those who were cut off together do not come back together.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_service::Backoff;
///
/// let backoff = Backoff::default().chance(|| 1.0);
/// let waits: Vec<_> = (0..4).map(|failures| backoff.wait(failures)).collect();
/// assert_eq!(waits, [1, 2, 4, 8].map(Duration::from_secs));
/// assert_eq!(backoff.wait(1_000), Duration::from_mins(1));
/// ```
#[derive(Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    factor: f64,
    chance: Rc<dyn Fn() -> f64>,
}

impl Default for Backoff {
    /// At most 1 s the first time, twice as long each time, and at most 60 s.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_mins(1),
            factor: 2.0,
            chance: Rc::new(chance),
        }
    }
}

impl Backoff {
    /// The bound of the first wait.
    pub fn first(self, first: Duration) -> Self {
        Self { first, ..self }
    }

    /// What no bound exceeds.
    pub fn max(self, max: Duration) -> Self {
        Self { max, ..self }
    }

    /// By what the bound grows each time; at least 1.
    pub fn factor(self, factor: f64) -> Self {
        Self { factor: factor.max(1.0), ..self }
    }

    /// What part of the bound each wait is, from 0 to 1; by chance unless set.
    pub fn chance(self, chance: impl Fn() -> f64 + 'static) -> Self {
        Self { chance: Rc::new(chance), ..self }
    }

    /// How long to wait after so many failures before the present one.
    pub fn wait(&self, failures: u32) -> Duration {
        let growth = self.factor.powi(failures.min(1_024).cast_signed());
        let bound = (self.first.as_secs_f64() * growth).min(self.max.as_secs_f64());
        Duration::from_secs_f64(bound * (self.chance)().clamp(0.0, 1.0))
    }
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("first", &self.first)
            .field("max", &self.max)
            .field("factor", &self.factor)
            .finish_non_exhaustive()
    }
}

/// A number from 0 to 1, by chance; in the middle, if the system has none to give.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}
