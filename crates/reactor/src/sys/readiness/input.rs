//! Where streams are received into, and what of that is shared instead of copied.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use ropewalk_protocol::Outbox;

use crate::sys::sockets::Lent;

/// How many bytes one receive takes at most. Twice as much at once costs a stream of bytes nearly twice
/// the time, half as much costs small connections more calls.
pub(super) const READ_SIZE: usize = 32 * 1024;
/// How many more buffers there may be, for what is on its way out without having been copied; where all
/// are, what is written is copied.
const OTHERS_MAX: usize = 3;

/// The buffer that all streams are received into, one after the other.
pub(super) struct Input {
    /// Empty while it is lent.
    buffer: BytesMut,
    lent: Option<Bytes>,
    /// Those of which something was still in use when the next receive came.
    others: Vec<Bytes>,
    slot: Rc<Lent>,
}

impl Input {
    pub(super) fn new(slot: Rc<Lent>) -> Self {
        let buffer = BytesMut::zeroed(READ_SIZE);
        slot.set_place(&buffer);
        Self { buffer, lent: None, others: Vec::new(), slot }
    }

    /// Room for the next receive, which overwrites what the last one brought.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.lent.is_some() {
            self.take_back();
        }
        &mut self.buffer
    }

    /// What a receive brought. Much of it is lent, so that it can be written without a copy, where
    /// that was of use lately.
    #[inline]
    pub(super) fn received(&mut self, count: usize) -> &[u8] {
        if count >= Outbox::SHARED_MIN && self.slot.is_wanted() {
            self.lend();
        }
        let all = self.lent.as_deref().unwrap_or(&self.buffer);
        &all[..count]
    }

    #[inline(never)]
    fn lend(&mut self) {
        let is_spare = self.others.len() < OTHERS_MAX || self.others.iter().any(Bytes::is_unique);
        if self.lent.is_none() && is_spare {
            let lent = std::mem::take(&mut self.buffer).freeze();
            self.slot.lend(lent.clone());
            self.lent = Some(lent);
        }
    }

    #[inline(never)]
    fn take_back(&mut self) {
        self.slot.take_back();
        let Some(lent) = self.lent.take() else { return };
        self.buffer = lent.try_into_mut().unwrap_or_else(|held| self.replace(held));
    }

    /// Another buffer in place of one that is still in use.
    fn replace(&mut self, held: Bytes) -> BytesMut {
        let free = self.others.iter().position(Bytes::is_unique);
        let free = free.and_then(|index| self.others.swap_remove(index).try_into_mut().ok());
        self.others.push(held);
        let buffer = free.unwrap_or_else(|| BytesMut::zeroed(READ_SIZE));
        self.slot.set_place(&buffer);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use bytes::Bytes;
    use ropewalk_protocol::Outbox;

    use super::{Input, Lent, OTHERS_MAX};

    /// Receives as many bytes, and has them shared.
    fn share(input: &mut Input, slot: &Lent, count: usize, byte: u8) -> Option<Bytes> {
        input.room()[..count].fill(byte);
        let received = input.received(count);
        assert!(received.len() == count && received.iter().all(|is| *is == byte));
        slot.share(received)
    }

    #[test]
    fn what_is_shared_stays_as_it_is_and_more_than_so_much_is_not() {
        let slot = Rc::new(Lent::default());
        let mut input = Input::new(Rc::clone(&slot));
        let most = Outbox::SHARED_MIN;
        // Nobody had wanted it before.
        assert_eq!(share(&mut input, &slot, most, 0), None);
        assert_eq!(slot.share(&vec![0; most]), None, "these are others");
        for round in 0..3 {
            let mut kept = Vec::new();
            while let Some(shared) = share(&mut input, &slot, most + kept.len(), kept.len() as u8) {
                kept.push(shared);
                assert!(kept.len() <= OTHERS_MAX, "in round {round}");
            }
            assert_eq!(kept.len(), OTHERS_MAX, "in round {round}");
            for (index, shared) in kept.iter().enumerate() {
                assert_eq!(shared[..], vec![index as u8; most + index]);
            }
        }
    }

    #[test]
    fn nothing_is_lent_to_those_who_do_not_write_it() {
        let slot = Rc::new(Lent::default());
        let mut input = Input::new(Rc::clone(&slot));
        let most = Outbox::SHARED_MIN;
        assert_eq!(share(&mut input, &slot, most, 1), None);
        assert!(share(&mut input, &slot, most, 2).is_some());
        for _ in 0..100 {
            input.room();
            input.received(most);
        }
        assert!(input.lent.is_none());
    }
}
