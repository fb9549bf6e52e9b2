//! A hierarchical timing wheel.
//!
//! Six levels of sixty-four slots, a tick of one millisecond at the bottom: adding, cancelling and
//! moving cost the same however many timers there are. A timer sits on the level of the highest
//! digit (in base 64) in which its tick differs from the wheel's; when the wheel's hand reaches its
//! slot, it falls to a lower level, and from the lowest it is due.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::lowest::Lowest;

const LEVELS: usize = 6;
const SLOTS: usize = 64;
const SLOT_BITS: u32 = 6;
/// Those of the wheel, and the one below it.
const SLOTS_ALL: usize = LEVELS * SLOTS + 1;
/// How far ahead the wheel reaches, in ticks; what is due later is looked at again on the way.
const SPAN_MAX: u64 = 1 << (SLOT_BITS * LEVELS as u32);
const NONE: u32 = u32::MAX;
/// The slot below the wheel: what is due already and waits for the next turn.
const SOON: u16 = (LEVELS * SLOTS) as u16;
/// In place of a slot: the timer came due and has not been settled.
const EXPIRED: u16 = SOON + 1;
/// In place of a slot: no timer.
const UNUSED: u16 = SOON + 2;

/// A timer on the wheel: one more than its index, so that to have none takes no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(NonZeroU32);

impl TimerKey {
    fn of(index: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(index))
    }

    fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// A timer that came due; [`Wheel::settle`] tells whether it still is when its turn comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expired {
    due: u64,
    order: u64,
    index: u32,
}

impl Expired {
    /// When it was due.
    pub(crate) fn due(&self) -> Duration {
        Duration::from_nanos(self.due)
    }
}

/// Kept small: each connection has one.
#[derive(Debug)]
pub(crate) struct Timer<T> {
    /// In nanoseconds; what lies beyond their 584 years is at the end of them.
    due: u64,
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
    places: Lowest,
    heads: Box<[u32; SLOTS_ALL]>,
    tails: Box<[u32; SLOTS_ALL]>,
    /// A bit for each slot that holds anything.
    occupied: [u64; LEVELS],
    /// The tick up to which everything has come due.
    hand: u64,
    order: u64,
    count: usize,
    /// Room for the sorting of what came due, used again.
    scratch: Vec<Expired>,
}

impl<T: Copy> Wheel<T> {
    pub(crate) fn new() -> Self {
        Self {
            timers: Vec::new(),
            places: Lowest::default(),
            heads: Box::new([NONE; SLOTS_ALL]),
            tails: Box::new([NONE; SLOTS_ALL]),
            occupied: [0; LEVELS],
            hand: 0,
            order: 0,
            count: 0,
            scratch: Vec::new(),
        }
    }

    /// How many timers there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Puts `what` on the wheel at the time `now`; it comes due at the first
    /// [`advance`](Self::advance) past `due`, which is the very next one if `due` is not after `now`.
    pub(crate) fn add(&mut self, now: Duration, due: Duration, what: T) -> TimerKey {
        if self.count == 0 {
            // Who has no timers does not advance.
            self.hand = self.hand.max(now.as_millis() as u64);
        }
        self.order += 1;
        let order = self.order;
        let due = nanoseconds(due);
        let timer = Timer { due, order, what, slot: UNUSED, next: NONE, previous: NONE };
        let index = self.places.take();
        match self.timers.get_mut(index as usize) {
            Some(place) => *place = timer,
            None => self.timers.push(timer),
        }
        self.link(now, index);
        self.count += 1;
        TimerKey::of(index)
    }

    /// Takes a timer off the wheel, also one that came due and is not settled; `key` is not to be
    /// used again.
    pub(crate) fn remove(&mut self, key: TimerKey) {
        self.unlink(key.index());
        self.release(key.index());
    }

    /// Moves a timer to another time, behind all that are due then; one that came due and is not
    /// settled waits again.
    pub(crate) fn reset(&mut self, key: TimerKey, now: Duration, due: Duration) {
        let index = key.index();
        self.unlink(index);
        self.order += 1;
        let timer = &mut self.timers[index as usize];
        timer.due = nanoseconds(due);
        timer.order = self.order;
        self.link(now, index);
    }

    /// When a timer comes due.
    pub(crate) fn due(&self, key: TimerKey) -> Duration {
        Duration::from_nanos(self.timers[key.index() as usize].due)
    }

    /// Whether a timer comes due later than `due`.
    pub(crate) fn is_after(&self, key: TimerKey, due: Duration) -> bool {
        nanoseconds(due) < self.timers[key.index() as usize].due
    }

    /// When [`advance`](Self::advance) should be called next: no later than the first timer is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        if self.heads[SOON as usize] != NONE {
            return Some(Duration::ZERO);
        }
        self.next_tick().map(Duration::from_millis)
    }

    fn next_tick(&self) -> Option<u64> {
        let level = (0..LEVELS).find(|&level| self.occupied[level] != 0)?;
        let digit = digit_of(self.hand, level);
        let ahead = self.occupied[level].rotate_right(digit).trailing_zeros();
        let width = SLOT_BITS * level as u32;
        let base = (self.hand >> width) << width;
        Some(base.saturating_add(u64::from(ahead) << width))
    }

    /// Moves the hand to `now`; adds to `expired` what has come due, in order. Each of them is then
    /// to be settled.
    pub(crate) fn advance(&mut self, now: Duration, expired: &mut Vec<Expired>) {
        let target = now.as_millis() as u64;
        let first = expired.len();
        self.empty(SOON as usize, |wheel, index| wheel.expire(index, expired));
        while let Some(next) = self.next_tick().filter(|tick| *tick <= target) {
            self.hand = self.hand.max(next);
            let start = expired.len();
            self.fall(expired);
            sort(&mut expired[start..], &mut self.scratch);
        }
        self.hand = self.hand.max(target);
        // Tick by tick they are in order; what was due already may belong anywhere.
        sort(&mut expired[first..], &mut self.scratch);
    }

    /// Takes off the wheel what came due; `None` if it was removed or moved meanwhile.
    pub(crate) fn settle(&mut self, expired: Expired) -> Option<T> {
        let timer = &self.timers[expired.index as usize];
        if timer.slot != EXPIRED || timer.order != expired.order {
            return None;
        }
        let what = timer.what;
        self.release(expired.index);
        Some(what)
    }

    /// Empties each slot that the hand points at, from the top down.
    fn fall(&mut self, expired: &mut Vec<Expired>) {
        for level in (0..LEVELS).rev() {
            let digit = digit_of(self.hand, level);
            self.occupied[level] &= !(1 << digit);
            self.empty(level * SLOTS + digit as usize, |wheel, index| {
                if ticks(wheel.timers[index as usize].due) <= wheel.hand {
                    wheel.expire(index, expired);
                } else {
                    wheel.link_ahead(index);
                }
            });
        }
    }

    /// Takes all timers out of a slot and hands each on.
    fn empty(&mut self, slot: usize, mut hand_on: impl FnMut(&mut Self, u32)) {
        let mut index = std::mem::replace(&mut self.heads[slot], NONE);
        self.tails[slot] = NONE;
        while index != NONE {
            let next = self.timers[index as usize].next;
            hand_on(self, index);
            index = next;
        }
    }

    fn expire(&mut self, index: u32, expired: &mut Vec<Expired>) {
        let timer = &mut self.timers[index as usize];
        timer.slot = EXPIRED;
        expired.push(Expired { due: timer.due, order: timer.order, index });
    }

    fn link(&mut self, now: Duration, index: u32) {
        if self.timers[index as usize].due <= nanoseconds(now) {
            self.append(index, SOON as usize);
        } else {
            self.link_ahead(index);
        }
    }

    fn link_ahead(&mut self, index: u32) {
        let due = ticks(self.timers[index as usize].due);
        // What the hand has passed goes to the next tick; what is too far as far as the wheel goes.
        let due = due.clamp(self.hand + 1, self.hand + SPAN_MAX - 1);
        let differing = (due ^ self.hand).ilog2();
        let level = ((differing / SLOT_BITS) as usize).min(LEVELS - 1);
        let digit = digit_of(due, level);
        self.append(index, level * SLOTS + digit as usize);
        self.occupied[level] |= 1 << digit;
    }

    fn append(&mut self, index: u32, slot: usize) {
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
    }

    /// Takes a timer out of its slot, if it is in one.
    fn unlink(&mut self, index: u32) {
        let timer = &self.timers[index as usize];
        debug_assert_ne!(timer.slot, UNUSED, "a timer's key is used once too often");
        if timer.slot > SOON {
            return;
        }
        let (slot, next, previous) = (timer.slot as usize, timer.next, timer.previous);
        match previous {
            NONE => self.heads[slot] = next,
            previous => self.timers[previous as usize].next = next,
        }
        match next {
            NONE => self.tails[slot] = previous,
            next => self.timers[next as usize].previous = previous,
        }
        if self.heads[slot] == NONE && slot < SOON as usize {
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        }
    }

    fn release(&mut self, index: u32) {
        self.timers[index as usize].slot = UNUSED;
        self.places.give_back(index);
        self.count -= 1;
    }
}

/// Puts what came due in order. Slots hold a few runs that are in order already: those are merged. The
/// standard sort does that too, but asks for its room each time, for which malloc looks through all that
/// was freed; among many, that pays by putting memory in order.
fn sort(expired: &mut [Expired], scratch: &mut Vec<Expired>) {
    const MERGED_MAX: usize = 8 * 1024;
    const MERGES_MAX: usize = 4;
    let key = |timer: &Expired| (timer.due, timer.order);
    let end_of_run = |expired: &[Expired], start: usize| {
        let pairs = expired[start..].windows(2);
        let last = pairs.into_iter().position(|pair| key(&pair[0]) > key(&pair[1]));
        last.map_or(expired.len(), |last| start + last + 1)
    };
    let mut sorted = end_of_run(expired, 0);
    let mut merges = 0;
    while sorted < expired.len() {
        if expired.len() > MERGED_MAX || merges == MERGES_MAX {
            return expired.sort_by_key(key);
        }
        let end = end_of_run(expired, sorted);
        merge(&mut expired[..end], sorted, scratch, key);
        sorted = end;
        merges += 1;
    }
}

/// Merges the runs before and behind `middle`.
fn merge<K: Ord>(
    runs: &mut [Expired],
    middle: usize,
    scratch: &mut Vec<Expired>,
    key: impl Fn(&Expired) -> K,
) {
    scratch.clear();
    scratch.extend_from_slice(&runs[..middle]);
    let (mut place, mut right) = (0, middle);
    for left in scratch.iter() {
        while right < runs.len() && key(&runs[right]) < key(left) {
            runs[place] = runs[right];
            (place, right) = (place + 1, right + 1);
        }
        runs[place] = *left;
        place += 1;
    }
}

/// The digit of a tick on one level.
fn digit_of(tick: u64, level: usize) -> u32 {
    (tick >> (SLOT_BITS * level as u32)) as u32 % SLOTS as u32
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The first tick at which a moment has passed.
fn ticks(due: u64) -> u64 {
    due.div_ceil(1_000_000)
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
        expired.into_iter().filter_map(|timer| wheel.settle(timer)).collect()
    }

    #[test]
    fn timers_come_due_in_order_and_never_early() {
        let mut wheel = Wheel::new();
        for (what, due) in [(1, 5), (2, 3), (3, 5), (4, 100), (5, 70_000), (6, 5_000_000)] {
            wheel.add(Duration::ZERO, ms(due), what);
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
        wheel.add(Duration::ZERO, Duration::from_micros(1_500), 1);
        wheel.add(Duration::ZERO, Duration::from_micros(1_200), 2);
        assert_eq!(advance(&mut wheel, 1), []);
        assert_eq!(advance(&mut wheel, 2), [2, 1]);
    }

    #[test]
    fn timers_are_moved_and_removed() {
        let mut wheel = Wheel::new();
        let first = wheel.add(Duration::ZERO, ms(10), 1);
        let second = wheel.add(Duration::ZERO, ms(4000), 2);
        wheel.reset(first, Duration::ZERO, ms(8000));
        wheel.reset(second, Duration::ZERO, ms(20));
        assert_eq!(wheel.due(first), ms(8000));
        assert_eq!(advance(&mut wheel, 4000), [2]);
        wheel.remove(first);
        assert_eq!(advance(&mut wheel, 10_000), []);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn what_is_due_already_comes_with_the_next_advance() {
        let mut wheel = Wheel::new();
        assert_eq!(advance(&mut wheel, 1000), []);
        wheel.add(ms(1000), ms(1000), 2);
        wheel.add(ms(1000), ms(3), 1);
        let removed = wheel.add(ms(1000), ms(3), 3);
        let moved = wheel.add(ms(1000), ms(1000), 4);
        wheel.remove(removed);
        wheel.reset(moved, ms(1000), ms(1001));
        assert_eq!(wheel.next_due(), Some(Duration::ZERO));
        assert_eq!(advance(&mut wheel, 1000), [1, 2]);
        assert_eq!(wheel.next_due(), Some(ms(1001)));
        wheel.reset(moved, ms(1000), ms(1000));
        assert_eq!(advance(&mut wheel, 1000), [4]);
        assert_eq!(wheel.len(), 0);
    }

    /// What comes due first may cancel or move what comes due with it, and use its place.
    #[test]
    fn timers_that_came_due_can_still_be_moved_and_removed() {
        let mut wheel = Wheel::new();
        let keys = [1, 2, 3, 4].map(|what| wheel.add(Duration::ZERO, ms(5), what));
        let mut expired = Vec::new();
        wheel.advance(ms(5), &mut expired);
        let mut turns = expired.into_iter();
        assert_eq!(wheel.settle(turns.next().unwrap()), Some(1));
        wheel.remove(keys[1]);
        wheel.add(ms(5), ms(5), 5);
        wheel.reset(keys[2], ms(5), ms(9));
        let rest: Vec<u32> = turns.filter_map(|turn| wheel.settle(turn)).collect();
        assert_eq!(rest, [4]);
        assert_eq!(wheel.len(), 2);
        assert_eq!(advance(&mut wheel, 5), [5]);
        assert_eq!(advance(&mut wheel, 8), []);
        assert_eq!(advance(&mut wheel, 9), [3]);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn the_wheel_reaches_beyond_its_span() {
        let mut wheel = Wheel::new();
        wheel.add(Duration::ZERO, ms(SPAN_MAX * 3), 1);
        wheel.add(Duration::ZERO, Duration::MAX, 2);
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
                        wheel.reset(model[index].3, Duration::ZERO, due);
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
                        let mut due: Vec<_> = model
                            .iter()
                            .filter(|timer| ticks(nanoseconds(timer.0)) <= now)
                            .copied()
                            .collect();
                        due.sort_unstable_by_key(|timer| (timer.0, timer.1));
                        model.retain(|timer| ticks(nanoseconds(timer.0)) > now);
                        let expected: Vec<u32> = due.iter().map(|timer| timer.2).collect();
                        assert_eq!(advance(&mut wheel, now), expected);
                    }
                    _ => {
                        let key = wheel.add(Duration::ZERO, due.max(ms(now + 1)), what);
                        model.push((due.max(ms(now + 1)), order, what, key));
                    }
                }
                assert_eq!(wheel.len(), model.len());
                let first = model.iter().map(|timer| ticks(nanoseconds(timer.0))).min();
                let next = wheel.next_due().map(|due| due.as_millis() as u64);
                assert!(next.is_none() == first.is_none() && next <= first, "{next:?} {first:?}");
            }
        }
    }
}
