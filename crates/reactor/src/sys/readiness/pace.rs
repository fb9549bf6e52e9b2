//! How fast listeners accept.

use super::ACCEPTS_PER_TURN_MAX;

/// How many connections a listener may accept in a turn: one, so that who comes alone costs no call to
/// find that nobody else is there, and twice as many with each turn once turn after turn brings some.
#[derive(Default)]
pub(super) struct Pace {
    /// How many turns behind one another brought as many as they might.
    full_turns: u32,
    /// How many were accepted in this turn.
    accepted: usize,
}

impl Pace {
    /// So many turns are needed to tell a crowd from one client after the other.
    const PATIENCE: u32 = 3;

    fn accepts(&self) -> usize {
        let doublings = self.full_turns.saturating_sub(Self::PATIENCE);
        (1_usize << doublings.min(usize::BITS - 1)).min(ACCEPTS_PER_TURN_MAX)
    }

    pub(super) fn accepted(&mut self) {
        self.accepted += 1;
    }

    /// A turn begins; answers how many a listener may accept in it.
    pub(super) fn turn(&mut self) -> usize {
        if self.accepted == 0 {
            self.full_turns = 0;
            return 1;
        }
        let is_full = self.accepted >= self.accepts();
        self.full_turns = if is_full { self.full_turns.saturating_add(1) } else { 0 };
        self.accepted = 0;
        self.accepts()
    }
}
