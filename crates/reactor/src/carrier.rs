//! What connections see of the reactor: the time, a way to be looked at, used outboxes.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ropewalk_protocol::{
    Address, CannotConnect, Credentials, MulticastChange, MulticastError, MulticastSettings,
    Outbox, Transport,
};
use slab::Slab;

use crate::datagrams;
use crate::platform::Platform;
use crate::remote::Remote;
use crate::sys::Sockets;
use crate::sys::os::{credentials, passes_descriptors};
use crate::tally::Tally;

/// How many used outboxes are kept.
const SPARE_MAX: usize = 64;
/// How much memory a kept outbox may hold on to, in bytes: as much as writes of 16 KiB make it grow to, which
/// stop once there is more than the usual 64 KiB.
const SPARE_SIZE_MAX: usize = 128 * 1024;
/// How much all of them may hold on to.
const SPARES_SIZE_MAX: usize = 4 << 20;

/// How long a turn may have taken, in nanoseconds, for the loop to sleep by what the clock showed in it: timers come as
/// much later, and go by milliseconds.
const RECENT_MAX: u64 = 50_000;

pub(crate) struct Carrier {
    started: Instant,
    now: Cell<Duration>,
    in_turn: Cell<bool>,
    /// The clock was read in this turn, until the end of which the time stands still.
    stands: Cell<bool>,
    /// The last turn has read the clock, and was short.
    is_recent: Cell<bool>,
    woken: RefCell<Vec<usize>>,
    /// There may be more to do than what the driver and other threads tell of.
    is_stirred: Cell<bool>,
    #[expect(
        clippy::vec_box,
        reason = "connections hold the boxes; a bare outbox is large to move"
    )]
    spare: RefCell<Vec<Box<Outbox>>>,
    /// How much memory they hold on to, in bytes.
    spare_size: Cell<usize>,
    peers: RefCell<Vec<Peer>>,
    /// Those that are no IPv4 addresses.
    long_peers: RefCell<Slab<Address>>,
    sockets: Sockets,
    /// Why the connection of this key was never made, while its seat is told.
    cannot_connect: RefCell<Option<(usize, CannotConnect)>>,
    /// The connections that have just asked for descriptors, and for how many at once.
    accepting: RefCell<Vec<(usize, usize)>>,
    /// What is there instead of a system.
    platform: Option<Rc<dyn Platform>>,
    /// Wakes the loop that hosts this one, if there is such.
    host: OnceCell<Arc<Remote>>,
    tally: Rc<Tally>,
}

/// A peer's address in few bytes.
#[derive(Clone, Copy, Default)]
pub(crate) enum Peer {
    #[default]
    Unknown,
    V4(SocketAddrV4),
    /// The index of a longer one.
    Other(u32),
}

impl Carrier {
    pub(crate) fn new(sockets: Sockets, platform: Option<Rc<dyn Platform>>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "here is where time enters")]
        let started = Instant::now();
        Self {
            started,
            tally: Rc::new(Tally::new(started, platform.is_none())),
            now: Cell::new(Duration::ZERO),
            in_turn: Cell::new(false),
            stands: Cell::new(false),
            is_recent: Cell::new(false),
            woken: RefCell::default(),
            is_stirred: Cell::new(false),
            spare: RefCell::default(),
            spare_size: Cell::new(0),
            peers: RefCell::default(),
            long_peers: RefCell::default(),
            sockets,
            cannot_connect: RefCell::new(None),
            accepting: RefCell::default(),
            platform,
            host: OnceCell::new(),
        }
    }

    pub(crate) fn platform(&self) -> Option<&Rc<dyn Platform>> {
        self.platform.as_ref()
    }

    pub(crate) fn tally(&self) -> &Rc<Tally> {
        &self.tally
    }

    /// Something was asked for, in a turn or between two.
    pub(crate) fn touch(&self) {
        if let Some(platform) = &self.platform {
            return platform.touch();
        }
        // A host asks after each turn how long it may wait, and would not know that this has changed.
        if let (false, Some(remote)) = (self.in_turn.get(), self.host.get()) {
            remote.wake();
        }
    }

    /// Has a host told, by the descriptor that it watches, of what is asked for between two turns.
    pub(crate) fn expect_host(&self, remote: &Arc<Remote>) {
        self.host.get_or_init(|| Arc::clone(remote));
    }

    /// Reads the clock; in a turn, the time stands there until its end.
    pub(crate) fn refresh(&self) -> Duration {
        let now = self.read_clock();
        self.now.set(now);
        self.stands.set(self.in_turn.get());
        now
    }

    /// What the clock showed in the turn that has just ended, unless that is too long ago.
    pub(crate) fn last(&self) -> Option<Duration> {
        self.is_recent.get().then(|| self.now.get())
    }

    /// Reads the clock, which is the system's monotonic one.
    pub(crate) fn read_clock(&self) -> Duration {
        match &self.platform {
            None => self.started.elapsed(),
            Some(platform) => platform.now(),
        }
    }

    /// A turn begins. It may have nobody who asks what time it is.
    pub(crate) fn begin_turn(&self) {
        self.in_turn.set(true);
    }

    /// It has ended after so many nanoseconds.
    pub(crate) fn end_turn(&self, took: u64) {
        self.in_turn.set(false);
        self.is_recent.set(self.stands.replace(false) && took < RECENT_MAX);
    }

    /// The connections that were written to from outside since the last time.
    pub(crate) fn take_woken(&self, into: &mut Vec<usize>) {
        std::mem::swap(&mut *self.woken.borrow_mut(), into);
    }

    pub(crate) fn woken_count(&self) -> usize {
        self.woken.borrow().len()
    }

    pub(crate) fn is_any_woken(&self) -> bool {
        !self.woken.borrow().is_empty()
    }

    /// Whether there may be more to do than what the driver and other threads tell of: one look in place of one at
    /// each list of such things, for turns that have none.
    pub(crate) fn is_stirred(&self) -> bool {
        self.is_stirred.get()
    }

    pub(crate) fn set_stirred(&self, is_stirred: bool) {
        self.is_stirred.set(is_stirred);
    }

    /// Keeps an outbox for its next use.
    pub(crate) fn recycle(&self, mut outbox: Box<Outbox>) {
        let mut spare = self.spare.borrow_mut();
        let size = outbox.capacity();
        let together = self.spare_size.get() + size;
        if spare.len() < SPARE_MAX && size <= SPARE_SIZE_MAX && together <= SPARES_SIZE_MAX {
            self.spare_size.set(together);
            outbox.clear();
            spare.push(outbox);
        }
    }

    pub(crate) fn set_cannot_connect(&self, error: Option<(usize, CannotConnect)>) {
        self.cannot_connect.replace(error);
    }

    pub(crate) fn set_peer(&self, key: usize, peer: Address) {
        self.forget_peer(key);
        let mut peers = self.peers.borrow_mut();
        if peers.len() <= key {
            peers.resize(key + 1, Peer::Unknown);
        }
        peers[key] = match peer {
            Address::Ip(SocketAddr::V4(address)) => Peer::V4(address),
            other => Peer::Other(self.long_peers.borrow_mut().insert(other) as u32),
        };
    }

    /// Whether the peer of a connection is on the Internet, or at least speaks as if it were.
    pub(crate) fn is_internet(&self, key: usize) -> bool {
        match self.peers.borrow().get(key) {
            Some(Peer::V4(_)) => true,
            Some(Peer::Other(index)) => {
                let others = self.long_peers.borrow();
                matches!(others.get(*index as usize), Some(Address::Ip(_)))
            }
            Some(Peer::Unknown) | None => false,
        }
    }

    /// The connections that have asked for descriptors since the last time.
    pub(crate) fn take_accepting(&self) -> Vec<(usize, usize)> {
        self.accepting.take()
    }

    pub(crate) fn forget_peer(&self, key: usize) {
        let mut accepting = self.accepting.borrow_mut();
        if !accepting.is_empty() {
            accepting.retain(|(asking, _)| *asking != key);
        }
        if let Some(peer) = self.peers.borrow_mut().get_mut(key)
            && let Peer::Other(index) = std::mem::take(peer)
        {
            self.long_peers.borrow_mut().try_remove(index as usize);
        }
    }
}

impl Transport for Carrier {
    fn now(&self) -> Duration {
        if self.stands.get() { self.now.get() } else { self.refresh() }
    }

    fn wake(&self, key: usize) {
        self.woken.borrow_mut().push(key);
        self.is_stirred.set(true);
        self.touch();
    }

    fn local(&self, key: usize) -> Address {
        match &self.platform {
            None => self.sockets.local(key).unwrap_or(Address::Unnamed),
            Some(platform) => platform.local(key),
        }
    }

    fn peer(&self, key: usize) -> Address {
        match self.peers.borrow().get(key) {
            Some(Peer::V4(address)) => Address::Ip((*address).into()),
            Some(Peer::Other(index)) => {
                let others = self.long_peers.borrow();
                others.get(*index as usize).cloned().unwrap_or(Address::Unnamed)
            }
            Some(Peer::Unknown) | None => Address::Unnamed,
        }
    }

    fn credentials(&self, key: usize) -> Option<Credentials> {
        self.sockets.with(key, credentials).flatten()
    }

    fn passes_descriptors(&self, key: usize) -> bool {
        match &self.platform {
            None if self.is_internet(key) => false,
            None => self.sockets.with(key, passes_descriptors).unwrap_or(false),
            Some(platform) => platform.passes_descriptors(key),
        }
    }

    fn accept_descriptors(&self, key: usize, at_once: usize) {
        self.accepting.borrow_mut().push((key, at_once));
    }

    fn change_multicast(&self, key: usize, change: &MulticastChange) -> Result<(), MulticastError> {
        if let Some(platform) = &self.platform {
            return platform.change_multicast(key, change);
        }
        let changed = self.sockets.with(key, |socket| datagrams::change(socket, change));
        changed.unwrap_or(Err(MulticastError::Unsupported))
    }

    fn multicast_settings(&self, key: usize) -> Result<MulticastSettings, MulticastError> {
        if let Some(platform) = &self.platform {
            return platform.multicast_settings(key);
        }
        self.sockets.with(key, datagrams::settings).unwrap_or(Err(MulticastError::Unsupported))
    }

    fn cannot_connect(&self, key: usize) -> Option<CannotConnect> {
        let error = self.cannot_connect.borrow();
        error.as_ref().filter(|error| error.0 == key).map(|error| error.1.clone())
    }

    fn count(&self, what: &'static str) {
        self.tally.count(what);
    }

    fn lend_outbox(&self) -> Box<Outbox> {
        let Some(outbox) = self.spare.borrow_mut().pop() else { return Box::default() };
        self.spare_size.set(self.spare_size.get() - outbox.capacity());
        outbox
    }

    fn share(&self, bytes: &[u8]) -> Option<Bytes> {
        self.sockets.lent().share(bytes)
    }

    fn take_back_outbox(&self, outbox: Box<Outbox>) {
        self.recycle(outbox);
    }
}

#[cfg(test)]
mod tests {
    use ropewalk_protocol::Outbox;

    use super::{Carrier, SPARE_SIZE_MAX, SPARES_SIZE_MAX, Transport as _};
    use crate::sys::Sockets;

    fn used(size: usize) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.write(&vec![0; size]);
        outbox.advance(size as u64);
        assert!(outbox.is_empty() && outbox.capacity() >= size);
        outbox
    }

    #[test]
    fn used_outboxes_are_lent_again_as_far_as_memory_is_kept_for_them() {
        let carrier = Carrier::new(Sockets::default(), None);
        carrier.take_back_outbox(Box::new(used(2 * SPARE_SIZE_MAX)));
        assert_eq!(carrier.lend_outbox().capacity(), 0, "it was too large");
        let kept = SPARES_SIZE_MAX / SPARE_SIZE_MAX;
        for _ in 0..2 {
            for _ in 0..=kept {
                carrier.take_back_outbox(Box::new(used(SPARE_SIZE_MAX)));
            }
            for _ in 0..kept {
                assert!(carrier.lend_outbox().capacity() >= SPARE_SIZE_MAX);
            }
            assert_eq!(carrier.lend_outbox().capacity(), 0, "one was too many");
        }
    }
}
