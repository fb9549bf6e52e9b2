//! Who sleeps while others are hard at work.

/// So many turns of the busiest make a verdict: at full work it makes them in a moment.
const PERIOD: u64 = 1024;
/// Who makes less than one turn in so many of the busiest's sleeps.
const SLEEPS: u64 = 16;
/// How many connections go to sleepers by one verdict: once they are awake there is another.
const GIFTS: u32 = 4;

/// What one shard makes of how often each has turned. Who has many connections is not busy if they say nothing,
/// and who is busy may have few.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// How often each had turned at the last verdict.
    seen: Vec<u64>,
    asleep: Vec<bool>,
    left: u32,
}

impl Pulse {
    /// No verdict yet, on so many.
    pub(crate) fn of(count: usize) -> Self {
        Self { seen: vec![0; count], asleep: vec![false; count], left: 0 }
    }

    /// Looks at how often each has turned by now.
    pub(crate) fn look(&mut self, turns: impl Iterator<Item = u64> + Clone) {
        let since = turns.clone().zip(&self.seen).map(|(now, then)| now.wrapping_sub(*then));
        let most = since.clone().max().unwrap_or_default();
        if most < PERIOD {
            return;
        }
        for (asleep, turned) in self.asleep.iter_mut().zip(since) {
            *asleep = turned < most / SLEEPS;
        }
        self.seen.clear();
        self.seen.extend(turns);
        self.left = if self.asleep.contains(&true) { GIFTS } else { 0 };
    }

    /// Whether the next connection is for somebody who sleeps.
    pub(crate) fn has_sleepers(&self) -> bool {
        self.left > 0
    }

    /// Whether this one sleeps.
    pub(crate) fn sleeps(&self, index: usize) -> bool {
        self.asleep[index]
    }

    /// A connection has gone to somebody who sleeps.
    pub(crate) fn given(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{GIFTS, PERIOD, Pulse};

    fn after(turns: [u64; 3]) -> Pulse {
        let mut pulse = Pulse::of(3);
        pulse.look(turns.into_iter());
        pulse
    }

    #[test]
    fn nobody_sleeps_where_nobody_works() {
        for turns in [[0; 3], [PERIOD - 1, 0, 0], [PERIOD, PERIOD, PERIOD], [PERIOD, 64, 1000]] {
            assert!(!after(turns).has_sleepers(), "{turns:?}");
        }
    }

    #[test]
    fn who_turns_next_to_never_beside_others_who_work_sleeps() {
        let mut pulse = after([10 * PERIOD, PERIOD, 10]);
        assert_eq!([0, 1, 2].map(|index| pulse.sleeps(index)), [false, false, true]);
        for _ in 0..GIFTS {
            assert!(pulse.has_sleepers());
            pulse.given();
        }
        assert!(!pulse.has_sleepers(), "they may be awake by now");
        pulse.look([11 * PERIOD, PERIOD, 11].into_iter());
        assert!(pulse.has_sleepers() && pulse.sleeps(1) && pulse.sleeps(2));
        pulse.look([12 * PERIOD, 2 * PERIOD, PERIOD].into_iter());
        assert!(!pulse.has_sleepers(), "all have worked");
    }
}
