//! What is known of a descriptor beside what is asked of the kernel for it.

/// In a byte, as each connection has one.
#[derive(Clone, Copy, Default)]
pub(super) struct Habits(u8);

impl Habits {
    /// It is open elsewhere too.
    pub(super) const SHARED: u8 = 1;
    /// A receive that takes less than it could has taken all there was: the kernel need not look
    /// again before more comes.
    pub(super) const DRAINS: u8 = 2;

    /// That is so for the streams that a listener accepts.
    pub(super) const STREAMS_DRAIN: u8 = 4;

    pub(super) fn has(self, habit: u8) -> bool {
        self.0 & habit != 0
    }

    pub(super) fn set(&mut self, habit: u8, has: bool) {
        self.0 = if has { self.0 | habit } else { self.0 & !habit };
    }
}
