//! A hierarchical timing wheel.
//!
//! Six levels of sixty-four slots, a tick of one millisecond at the bottom: adding, cancelling and
//! moving cost the same however many timers there are. A timer sits on the level of the highest
//! digit (in base 64) in which its tick differs from the wheel's; when the wheel's hand reaches its
//! slot, it falls to a lower level, and from the lowest it is due.

use std::time::Duration;

const LEVELS: usize = 6;
const SLOTS: usize = 64;
const SLOT_BITS: u32 = 6;
/// How far ahead the wheel reaches, in ticks; what is due later is looked at again on the way.
const SPAN_MAX: u64 = 1 << (SLOT_BITS * LEVELS as u32);
/// The slot, on no level, of what was due when it was added.
const OVERDUE: usize = LEVELS * SLOTS;
const NONE: u32 = u32::MAX;

/// A timer on the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

/// What came due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expired<T> {
    due: Duration,
    order: u64,
    /// What was put on the wheel.
    pub(crate) what: T,
}

#[derive(Debug)]
struct Timer<T> {
    due: Duration,
    /// Among equals the earlier comes first.
    order: u64,
    what: T,
    slot: u16,
    next: u32,
    previous: u32,
}

/// Timers, each carrying a small value.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    timers: Vec<Timer<T>>,
    /// The first of the unused places in `timers`, linked by `next`.
    unused: u32,
    heads: Box<[u32; LEVELS * SLOTS + 1]>,
    tails: Box<[u32; LEVELS * SLOTS + 1]>,
    /// A bit for each slot that holds anything.
    occupied: [u64; LEVELS],
    /// The tick up to which everything has come due.
    hand: u64,
    /// The same, to the nanosecond: what is added for a time before this is overdue.
    now: Duration,
    order: u64,
    count: usize,
}

impl<T: Copy> Wheel<T> {
    pub(crate) fn new() -> Self {
        Self {
            timers: Vec::new(),
            unused: NONE,
            heads: Box::new([NONE; LEVELS * SLOTS + 1]),
            tails: Box::new([NONE; LEVELS * SLOTS + 1]),
            occupied: [0; LEVELS],
            hand: 0,
            now: Duration::ZERO,
            order: 0,
            count: 0,
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.count
    }

    /// Puts `what` on the wheel; it comes due at the first [`advance`](Self::advance) past `due`.
    pub(crate) fn add(&mut self, due: Duration, what: T) -> TimerKey {
        self.order += 1;
        let timer = Timer { due, order: self.order, what, slot: 0, next: NONE, previous: NONE };
        let index = if self.unused == NONE {
            self.timers.push(timer);
            self.timers.len() as u32 - 1
        } else {
            let index = self.unused;
            self.unused = self.timers[index as usize].next;
            self.timers[index as usize] = timer;
            index
        };
        self.link(index);
        self.count += 1;
        TimerKey(index)
    }

    /// Takes a timer off the wheel; `key` is not to be used again.
    pub(crate) fn remove(&mut self, key: TimerKey) {
        self.unlink(key.0);
        self.release(key.0);
    }

    /// Moves a timer to another time, behind all that are due then.
    pub(crate) fn reset(&mut self, key: TimerKey, due: Duration) {
        self.unlink(key.0);
        self.order += 1;
        let timer = &mut self.timers[key.0 as usize];
        timer.due = due;
        timer.order = self.order;
        self.link(key.0);
    }

    /// When a timer comes due.
    pub(crate) fn due(&self, key: TimerKey) -> Duration {
        self.timers[key.0 as usize].due
    }

    /// When [`advance`](Self::advance) should be called next: no later than the first timer is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        if self.heads[OVERDUE] != NONE {
            return Some(Duration::ZERO);
        }
        let level = (0..LEVELS).find(|&level| self.occupied[level] != 0)?;
        let digit = digit_of(self.hand, level);
        let ahead = self.occupied[level].rotate_right(digit).trailing_zeros();
        let width = SLOT_BITS * level as u32;
        let base = (self.hand >> width) << width;
        Some(Duration::from_millis(base.saturating_add(u64::from(ahead) << width)))
    }

    /// Moves the hand to `now`; adds to `expired` what has come due, in order.
    pub(crate) fn advance(&mut self, now: Duration, expired: &mut Vec<Expired<T>>) {
        let target = now.as_millis() as u64;
        let first = expired.len();
        self.empty(OVERDUE, expired);
        let due_by = |wheel: &Self| {
            wheel.next_due().map(|due| due.as_millis() as u64).filter(|tick| *tick <= target)
        };
        while let Some(next) = due_by(self) {
            self.hand = self.hand.max(next);
            self.fall(expired);
        }
        self.hand = self.hand.max(target);
        self.now = self.now.max(now);
        if expired.len() - first > 1 {
            expired[first..].sort_unstable_by_key(|timer| (timer.due, timer.order));
        }
    }

    /// Empties each slot that the hand points at, from the top down.
    fn fall(&mut self, expired: &mut Vec<Expired<T>>) {
        for level in (0..LEVELS).rev() {
            let digit = digit_of(self.hand, level);
            let slot = level * SLOTS + digit as usize;
            self.occupied[level] &= !(1 << digit);
            self.empty(slot, expired);
        }
    }

    /// Takes everything out of a slot: what is due is so, the rest goes where it belongs now.
    fn empty(&mut self, slot: usize, expired: &mut Vec<Expired<T>>) {
        let mut index = std::mem::replace(&mut self.heads[slot], NONE);
        self.tails[slot] = NONE;
        while index != NONE {
            let timer = &self.timers[index as usize];
            let (next, due, order, what) = (timer.next, timer.due, timer.order, timer.what);
            if slot == OVERDUE || ticks(due) <= self.hand {
                expired.push(Expired { due, order, what });
                self.release(index);
            } else {
                self.link(index);
            }
            index = next;
        }
    }

    fn link(&mut self, index: u32) {
        let due = self.timers[index as usize].due;
        let slot = if due <= self.now { OVERDUE } else { self.slot_for(ticks(due)) };
        let tail = self.tails[slot];
        let timer = &mut self.timers[index as usize];
        timer.slot = slot as u16;
        timer.previous = tail;
        timer.next = NONE;
        if tail == NONE {
            self.heads[slot] = index;
        } else {
            self.timers[tail as usize].next = index;
        }
        self.tails[slot] = index;
        if slot != OVERDUE {
            self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
        }
    }

    fn slot_for(&self, tick: u64) -> usize {
        // What is too far away goes as far as the wheel does, and is looked at again there.
        let tick = tick.clamp(self.hand + 1, self.hand + SPAN_MAX - 1);
        let differing = (tick ^ self.hand).ilog2();
        let level = ((differing / SLOT_BITS) as usize).min(LEVELS - 1);
        level * SLOTS + digit_of(tick, level) as usize
    }

    fn unlink(&mut self, index: u32) {
        let timer = &self.timers[index as usize];
        let (slot, next, previous) = (timer.slot as usize, timer.next, timer.previous);
        match previous {
            NONE => self.heads[slot] = next,
            previous => self.timers[previous as usize].next = next,
        }
        match next {
            NONE => self.tails[slot] = previous,
            next => self.timers[next as usize].previous = previous,
        }
        if slot != OVERDUE && self.heads[slot] == NONE {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
    }

    fn release(&mut self, index: u32) {
        self.timers[index as usize].next = self.unused;
        self.unused = index;
        self.count -= 1;
    }
}

/// The digit of a tick on one level.
fn digit_of(tick: u64, level: usize) -> u32 {
    (tick >> (SLOT_BITS * level as u32)) as u32 % SLOTS as u32
}

/// The first tick at which a moment has passed.
fn ticks(due: Duration) -> u64 {
    due.as_nanos().div_ceil(1_000_000).min(u64::MAX.into()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn advance(wheel: &mut Wheel<u32>, to: u64) -> Vec<u32> {
        let mut expired = Vec::new();
        wheel.advance(ms(to), &mut expired);
        expired.iter().map(|timer| timer.what).collect()
    }

    #[test]
    fn timers_come_due_in_order_and_never_early() {
        let mut wheel = Wheel::new();
        for (what, due) in [(1, 5), (2, 3), (3, 5), (4, 100), (5, 70_000), (6, 5_000_000)] {
            wheel.add(ms(due), what);
        }
        assert_eq!(advance(&mut wheel, 2), []);
        assert_eq!(advance(&mut wheel, 5), [2, 1, 3]);
        assert_eq!(advance(&mut wheel, 99), []);
        assert_eq!(advance(&mut wheel, 69_999), [4]);
        assert_eq!(advance(&mut wheel, 70_000), [5]);
        assert_eq!(advance(&mut wheel, 10_000_000), [6]);
        assert_eq!(wheel.len(), 0);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn parts_of_a_tick_keep_their_order() {
        let mut wheel = Wheel::new();
        wheel.add(Duration::from_micros(1_500), 1);
        wheel.add(Duration::from_micros(1_200), 2);
        assert_eq!(advance(&mut wheel, 1), []);
        assert_eq!(advance(&mut wheel, 2), [2, 1]);
    }

    #[test]
    fn timers_are_moved_and_removed() {
        let mut wheel = Wheel::new();
        let first = wheel.add(ms(10), 1);
        let second = wheel.add(ms(4000), 2);
        wheel.reset(first, ms(8000));
        wheel.reset(second, ms(20));
        assert_eq!(wheel.due(first), ms(8000));
        assert_eq!(advance(&mut wheel, 4000), [2]);
        wheel.remove(first);
        assert_eq!(advance(&mut wheel, 10_000), []);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn what_is_due_already_does_not_wait_for_a_tick() {
        let mut wheel = Wheel::new();
        assert_eq!(advance(&mut wheel, 1000), []);
        wheel.add(ms(3), 1);
        let dropped = wheel.add(ms(1000), 2);
        wheel.add(ms(2), 3);
        wheel.remove(dropped);
        assert_eq!(wheel.next_due(), Some(Duration::ZERO));
        assert_eq!(advance(&mut wheel, 1000), [3, 1]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn the_wheel_reaches_beyond_its_span() {
        let mut wheel = Wheel::new();
        wheel.add(ms(SPAN_MAX * 3), 1);
        wheel.add(Duration::MAX, 2);
        assert_eq!(advance(&mut wheel, SPAN_MAX * 3 - 1), []);
        assert_eq!(advance(&mut wheel, SPAN_MAX * 3), [1]);
        assert_eq!(wheel.len(), 1);
    }

    /// Random adds, moves, removals and advances against a sorted list.
    #[test]
    fn the_wheel_agrees_with_a_sorted_list() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..50 {
            let mut wheel = Wheel::new();
            let mut model: Vec<(Duration, u64, u32, TimerKey)> = Vec::new();
            let (mut now, mut order) = (0, 0);
            for what in 0..400 {
                let far = 1 << random(24);
                let due = Duration::from_micros((now * 1000).max(1) + random(far * 1000));
                order += 1;
                match random(4) {
                    0 if !model.is_empty() => {
                        let index = random(model.len() as u64) as usize;
                        wheel.reset(model[index].3, due);
                        model[index].0 = due;
                        model[index].1 = order;
                    }
                    1 if !model.is_empty() => {
                        let index = random(model.len() as u64) as usize;
                        wheel.remove(model.swap_remove(index).3);
                    }
                    2 => {
                        let far = 1 << random(20);
                        now += random(far);
                        let mut due: Vec<_> =
                            model.iter().filter(|timer| ticks(timer.0) <= now).copied().collect();
                        due.sort_unstable_by_key(|timer| (timer.0, timer.1));
                        model.retain(|timer| ticks(timer.0) > now);
                        let expected: Vec<u32> = due.iter().map(|timer| timer.2).collect();
                        assert_eq!(advance(&mut wheel, now), expected);
                    }
                    _ => {
                        let key = wheel.add(due.max(ms(now + 1)), what);
                        model.push((due.max(ms(now + 1)), order, what, key));
                    }
                }
                assert_eq!(wheel.len(), model.len());
                let first = model.iter().map(|timer| ticks(timer.0)).min();
                let next = wheel.next_due().map(|due| due.as_millis() as u64);
                assert!(next.is_none() == first.is_none() && next <= first, "{next:?} {first:?}");
            }
        }
    }
}
