//! Numbers that are given out and come back, always the lowest that is free.
//!
//! What is kept under such numbers stays together, and what is put down one after the other lies one
//! behind the other, however the numbers came back: memory is gone through in its order, which many
//! timers at once would otherwise pay for with a cache miss each.

const BITS: usize = u64::BITS as usize;

/// Which numbers are free; a bit for each, and above that one for each word that has any.
#[derive(Debug, Default)]
pub(crate) struct Lowest {
    /// The numbers themselves first; the last level is one word.
    levels: Vec<Vec<u64>>,
    /// How many numbers there are, given out or free.
    len: u32,
    /// The word of the first level before which nothing is free: what is lowest is mostly there.
    here: usize,
}

impl Lowest {
    /// The lowest number that is free, or one more than there were.
    pub(crate) fn take(&mut self) -> u32 {
        let here = self.levels.first_mut().and_then(|level| level.get_mut(self.here));
        if let Some(word) = here
            && *word != 0
        {
            let number = self.here * BITS + word.trailing_zeros() as usize;
            *word &= *word - 1;
            if *word == 0 {
                self.nothing_left_in(self.here);
            }
            return number as u32;
        }
        let Some(top) = self.levels.last().and_then(|level| level.first()).filter(|top| **top != 0)
        else {
            return self.grow();
        };
        let mut index = top.trailing_zeros() as usize;
        for level in self.levels.iter().rev().skip(1) {
            index = index * BITS + level[index].trailing_zeros() as usize;
        }
        self.here = index / BITS;
        let word = &mut self.levels[0][self.here];
        *word &= *word - 1;
        if *word == 0 {
            self.nothing_left_in(self.here);
        }
        index as u32
    }

    /// A word of the first level has become empty.
    fn nothing_left_in(&mut self, mut place: usize) {
        for level in self.levels.iter_mut().skip(1) {
            let word = &mut level[place / BITS];
            *word &= !(1 << (place % BITS));
            if *word != 0 {
                break;
            }
            place /= BITS;
        }
    }

    /// Gives a number back, which must have been given out.
    pub(crate) fn give_back(&mut self, number: u32) {
        let mut place = number as usize;
        self.here = self.here.min(place / BITS);
        for level in &mut self.levels {
            let word = &mut level[place / BITS];
            let had_any = *word != 0;
            *word |= 1 << (place % BITS);
            if had_any {
                break;
            }
            place /= BITS;
        }
    }

    /// All numbers are given out: one more.
    fn grow(&mut self) -> u32 {
        let number = self.len;
        self.len += 1;
        let mut words = self.len as usize;
        for level in 0.. {
            words = words.div_ceil(BITS);
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].resize(words, 0);
            if words == 1 {
                break;
            }
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Lowest;

    /// Random takes and returns against a set.
    #[test]
    fn the_lowest_is_given_out() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut lowest = Lowest::default();
        let (mut free, mut taken) = (BTreeSet::new(), Vec::new());
        let mut len = 0;
        for phase in 0..60 {
            for _ in 0..random(6000) {
                if (phase + random(3)) % 3 == 0 && !taken.is_empty() {
                    let number = taken.swap_remove(random(taken.len() as u64) as usize);
                    lowest.give_back(number);
                    free.insert(number);
                } else {
                    let expected = free.pop_first().unwrap_or_else(|| {
                        len += 1;
                        len - 1
                    });
                    assert_eq!(lowest.take(), expected);
                    taken.push(expected);
                }
            }
        }
        assert!(len > 64 * 64, "all levels were used: {len}");
    }
}
