//! What is known of a descriptor beside what is asked of the kernel for it.

/// How many bytes one receive takes at most. Twice as much at once costs a stream of bytes that is sent back nearly
/// twice the time, half as much costs small connections more calls.
pub(super) const READ_SIZE: usize = 32 * 1024;
/// The same for a stream that whoever it is for swallows: each receive tells the peer of room, which costs more than
/// what a larger piece does to the caches.
pub(super) const STREAM_READ_SIZE: usize = 256 * 1024;
/// How often it has to have filled the usual room for that. Those who keep what comes have their peers wait before.
const FILLS_MIN: u8 = 3;

/// In a byte, as each connection has one.
#[derive(Clone, Copy, Default)]
pub(super) struct Habits(u8);

impl Habits {
    /// It is open elsewhere too.
    pub(super) const SHARED: u8 = 1;
    /// A receive that takes less than it could has taken all there was: the kernel need not look
    /// again before more comes.
    pub(super) const DRAINS: u8 = 2;
    /// From this bit on it is counted how often, at least, it has filled the usual room since it was answered, made to
    /// wait, or passed on.
    const FILL: u8 = 4;
    const FILLS_MAX: u8 = u8::MAX / Self::FILL;

    /// That is so for the streams that a listener accepts.
    pub(super) const STREAMS_DRAIN: u8 = 4;

    pub(super) fn has(self, habit: u8) -> bool {
        self.0 & habit != 0
    }

    pub(super) fn set(&mut self, habit: u8, has: bool) {
        self.0 = if has { self.0 | habit } else { self.0 & !habit };
    }

    /// Whether the next receive may take as much as is received at once at all.
    pub(super) fn is_given_much(self) -> bool {
        self.0 / Self::FILL >= FILLS_MIN
    }

    /// How many bytes the next receive may take.
    pub(super) fn read_size(self) -> usize {
        if self.is_given_much() { STREAM_READ_SIZE } else { READ_SIZE }
    }

    /// A receive took so many; whether it might have taken no more.
    pub(super) fn took(&mut self, count: usize) -> bool {
        let is_filled = count >= self.read_size();
        if count >= READ_SIZE && self.0 / Self::FILL < Self::FILLS_MAX {
            self.0 += Self::FILL;
        }
        is_filled
    }

    /// Whoever it is for does more with what comes than to take it in.
    pub(super) fn does_not_swallow(&mut self) {
        self.0 %= Self::FILL;
    }
}

#[cfg(test)]
mod tests {
    use super::{Habits, READ_SIZE, STREAM_READ_SIZE};

    #[test]
    fn who_swallows_much_is_given_more_at_once() {
        let mut habits = Habits::default();
        habits.set(Habits::DRAINS, true);
        for _ in 0..3 {
            assert!(!habits.took(READ_SIZE - 1));
            assert_eq!(habits.read_size(), READ_SIZE);
            assert!(habits.took(READ_SIZE));
        }
        assert_eq!(habits.read_size(), STREAM_READ_SIZE);
        for _ in 0..1000 {
            assert!(!habits.took(READ_SIZE));
        }
        assert!(habits.took(STREAM_READ_SIZE));
        assert!(habits.has(Habits::DRAINS) && !habits.has(Habits::SHARED));
        habits.does_not_swallow();
        assert_eq!(habits.read_size(), READ_SIZE);
        assert!(habits.has(Habits::DRAINS) && !habits.has(Habits::SHARED));
    }
}
