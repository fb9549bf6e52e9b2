//! Connections that are over for their protocols, and not yet for their peers.
//!
//! TCP answers what comes after a close with a reset, which throws away what the peer has not got yet:
//! closed in the middle of an upload, a connection would lose the answer that explains why. So where
//! something may still come, and something may still be lost, only the stream out is ended at first;
//! what comes is thrown away until the peer ends its own, or time is up. A protocol hears of its end at
//! once, and everything that it held is free by then but this one descriptor.

use std::time::Duration;

use ropewalk_protocol::Transport;

use crate::Reactor;
use crate::inner::{Due, Entry, Inner, Purpose, Stream};
use crate::sys::{Closing, Driver};
use crate::wheel::TimerKey;

/// How long a closed connection waits for its peer, as long as nothing moves.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(2);
/// How often it waits anew while the peer still takes what was written.
const WAITS_MAX: u32 = 15;
/// How many connections linger at once; the oldest makes way for the next.
const LINGERING_MAX: usize = 1024;

/// A closed connection whose peer may still send, or still has to receive.
pub(crate) struct Lingering {
    /// Tells the older from the younger.
    id: u64,
    timer: TimerKey,
    /// How many bytes the peer had not got at the last look.
    left: u64,
    waits: u32,
}

impl Reactor {
    /// How long a connection that was closed in order may go on taking, and throwing away, what its
    /// peer still sends, so that the peer gets all that was written before; 2 seconds unless set. The
    /// wait begins anew while the peer goes on receiving, up to 15 times.
    ///
    /// It takes a connection, whose peer has not ended its stream, with bytes that nobody has read or
    /// that the peer has not acknowledged: others are closed at once, as all are with a time of zero.
    /// At most 1,024 connections linger, and out of descriptors none does.
    pub fn set_linger(&self, patience: Duration) {
        self.inner().linger.set(patience);
    }
}

impl Inner {
    pub(crate) const LINGER_DEFAULT: Duration = PATIENCE_DEFAULT;

    /// Leaves a connection that is closed in order to its peer, if that is of use: ends its stream out,
    /// and takes its place in the table. `None` if it is to be closed at once.
    pub(crate) fn linger(&self, driver: &mut dyn Driver, key: usize) -> Option<Stream> {
        let patience = self.linger.get();
        if patience.is_zero() || !self.carrier.is_internet(key) {
            return None;
        }
        let (write_ended, reading) = self.with_stream(key, |stream| {
            let is_up = !stream.ended && stream.attempt.is_none();
            is_up.then_some((stream.write_ended, stream.reading))
        })??;
        let unsettled = driver.unsettled(key);
        if !unsettled.is_unread && unsettled.unacknowledged == 0 {
            return None;
        }
        if !write_ended {
            driver.end_stream(key).ok()?;
        }
        if !reading {
            driver.set_reading(key, true).ok()?;
        }
        while self.lingering.borrow().len() >= LINGERING_MAX {
            self.end_oldest_lingering(driver);
        }
        let id = self.next_id();
        let now = self.carrier.now();
        let timer = self.wheel.borrow_mut().add(now, now + patience, Purpose::Stream(key).into());
        let (left, waits) = (unsettled.unacknowledged, 0);
        let lingering = Entry::Lingering(Box::new(Lingering { id, timer, left, waits }));
        self.lingering.borrow_mut().insert(id, key);
        match std::mem::replace(self.entries.borrow_mut().get_mut(key)?, lingering) {
            Entry::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    fn with_lingering<T>(&self, key: usize, look: impl FnOnce(&mut Lingering) -> T) -> Option<T> {
        match self.entries.borrow_mut().get_mut(key) {
            Some(Entry::Lingering(lingering)) => Some(look(lingering)),
            _ => None,
        }
    }

    /// Whether this key is that of a connection that only lingers.
    pub(crate) fn is_lingering(&self, key: usize) -> bool {
        self.with_lingering(key, |_| ()).is_some()
    }

    /// Closes a connection that lingered.
    pub(crate) fn end_lingering(&self, driver: &mut dyn Driver, key: usize) {
        let Some((id, timer)) = self.with_lingering(key, |found| (found.id, found.timer)) else {
            return;
        };
        self.wheel.borrow_mut().remove(timer);
        self.lingering.borrow_mut().remove(&id);
        drop(self.take_entry(key));
        driver.close(key, Closing::InOrder);
        self.feed_the_starving(driver);
    }

    /// Closes the connection that has lingered longest; false if there is none.
    fn end_oldest_lingering(&self, driver: &mut dyn Driver) -> bool {
        let oldest = self.lingering.borrow().first_key_value().map(|(_, key)| *key);
        oldest.map(|key| self.end_lingering(driver, key)).is_some()
    }

    /// Gives the descriptors of all that linger free; false if there were none.
    pub(crate) fn end_all_lingering(&self, driver: &mut dyn Driver) -> bool {
        let mut any = false;
        while self.end_oldest_lingering(driver) {
            any = true;
        }
        any
    }

    /// A lingering connection has waited; one whose peer still receives waits on.
    pub(crate) fn linger_due(&self, driver: &mut dyn Driver, key: usize) {
        let left = driver.unsettled(key).unacknowledged;
        let (now, patience) = (self.carrier.now(), self.linger.get());
        let waits_on = self.with_lingering(key, |lingering| {
            let moves = left > 0 && left < lingering.left && lingering.waits < WAITS_MAX;
            lingering.left = left;
            lingering.waits += 1;
            // The timer that came due is gone, whatever comes now.
            let due = Due::from(Purpose::Stream(key));
            lingering.timer = self.wheel.borrow_mut().add(now, now + patience, due);
            moves
        });
        if waits_on == Some(false) {
            self.end_lingering(driver, key);
        }
    }
}
