//! The notes that a port takes: what its protocol wished, until the driver reads them.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Canceller, Promise};

use super::{DATAGRAM_OVERHEAD, DatagramPort, DatagramQueue, SendError};
use crate::calls::{Agenda, Calls};
use crate::flags::Flags;
use crate::{Address, Transport};

/// How much may wait to be sent at one port unless it is told otherwise: bytes, and
/// [`DATAGRAM_OVERHEAD`] for each datagram.
pub const SEND_QUEUE_MAX: usize = 1024 * 1024;
/// How much is kept of what comes in the moment in which reading is paused, counted in the same way;
/// the rest is dropped, as the system drops what nobody fetches.
pub const DATAGRAMS_HELD_MAX: usize = 4 * 1024 * 1024;
/// How much memory an empty queue may keep.
const SPARE_SIZE_MAX: usize = 64 * 1024;

type Turn<P> = Box<dyn FnOnce(&mut P, &DatagramPort<P>)>;

/// A datagram that came while reading was paused.
pub(super) struct Held {
    pub(super) data: Vec<u8>,
    pub(super) from: Address,
    pub(super) truncated: bool,
}

pub(super) struct Page<P: 'static> {
    carrier: OnceCell<(Rc<dyn Transport>, usize)>,
    queue: Cell<Option<Box<DatagramQueue>>>,
    queue_max: Cell<usize>,
    /// The size of the queue when the driver took it.
    taken: Cell<usize>,
    calls: RefCell<Calls<Turn<P>>>,
    waits: RefCell<Vec<(u32, Canceller)>>,
    held: RefCell<VecDeque<Held>>,
    held_size: Cell<usize>,
    /// Whoever waits for the port to be open.
    told: Cell<Option<Promise<DatagramPort<P>>>>,
    last_id: Cell<u32>,
    flags: Cell<Flags>,
}

impl<P> Page<P> {
    pub(super) fn new() -> Self {
        Self {
            carrier: OnceCell::new(),
            queue: Cell::new(None),
            queue_max: Cell::new(SEND_QUEUE_MAX),
            taken: Cell::new(0),
            calls: RefCell::new(Calls::new()),
            waits: RefCell::default(),
            held: RefCell::default(),
            held_size: Cell::new(0),
            told: Cell::new(None),
            last_id: Cell::new(0),
            flags: Cell::new(Flags::default()),
        }
    }

    pub(super) fn attach(&self, transport: Rc<dyn Transport>, key: usize) {
        // A seat is attached once; a second carrier would be the driver's fault and is not believed.
        let _ = self.carrier.set((transport, key));
    }

    /// The carrier as long as it knows this port by its key: another may have it afterwards.
    pub(super) fn open(&self) -> Option<(&Rc<dyn Transport>, usize)> {
        let is_open = self.is(Flags::MADE) && !self.is(Flags::OVER);
        self.carrier.get().filter(|_| is_open).map(|(transport, key)| (transport, *key))
    }

    /// Whether datagrams may be handed to the protocol.
    pub(super) fn may_read(&self) -> bool {
        !self.is_ending() && !self.is(Flags::READ_PAUSED)
    }

    pub(super) fn send(
        &self,
        to: Option<&Address>,
        add: impl FnOnce(&mut DatagramQueue, usize) -> bool,
    ) -> Result<(), SendError> {
        if !self.is(Flags::MADE) || self.is_ending() {
            return Err(SendError::Closed);
        }
        if to.is_none() && !self.is(Flags::CONNECTED) {
            return Err(SendError::NotConnected);
        }
        let mut queue = self.queue.take().unwrap_or_default();
        let waiting = queue.size();
        let room = self.queue_max.get().saturating_sub(waiting);
        let added = add(&mut queue, room);
        // What an encoder itself has sent goes behind.
        if let Some(meanwhile) = self.queue.take() {
            queue.append(&meanwhile);
        }
        self.queue.set(Some(queue));
        if !added {
            if waiting == 0 {
                return Err(SendError::TooLong);
            }
            self.set(Flags::OVER_HIGH);
            return Err(SendError::QueueFull);
        }
        self.wake();
        Ok(())
    }

    pub(super) fn queue_size(&self) -> usize {
        let queue = self.queue.take();
        let size = queue.as_ref().map_or(0, |queue| queue.size());
        self.queue.set(queue);
        size
    }

    pub(super) fn set_queue_max(&self, max: usize) {
        self.queue_max.set(max);
        self.note_room(self.queue_size());
    }

    pub(super) fn take_queue(&self) -> Option<Box<DatagramQueue>> {
        let queue = self.queue.take()?;
        if queue.is_empty() {
            self.queue.set(Some(queue));
            return None;
        }
        self.taken.set(queue.size());
        Some(queue)
    }

    /// Takes back what the driver could not send yet, or the queue for its next use.
    pub(super) fn give_back(&self, queue: Box<DatagramQueue>) {
        if queue.size() < self.taken.get() {
            self.note_room(queue.size());
        }
        if !queue.is_empty() || queue.capacity() <= SPARE_SIZE_MAX {
            self.queue.set(Some(queue));
        }
    }

    fn note_room(&self, size: usize) {
        if self.is(Flags::OVER_HIGH) && size <= self.queue_max.get() / 2 {
            self.clear(Flags::OVER_HIGH);
            self.set(Flags::ROOM_AGAIN);
        }
    }

    /// Keeps a datagram until reading goes on, if there is room for it.
    pub(super) fn hold(&self, data: &[u8], from: &Address, truncated: bool) {
        let size = self.held_size.get() + data.len() + DATAGRAM_OVERHEAD;
        if size <= DATAGRAMS_HELD_MAX {
            self.held_size.set(size);
            let held = Held { data: data.to_vec(), from: from.clone(), truncated };
            self.held.borrow_mut().push_back(held);
        }
    }

    pub(super) fn has_held(&self) -> bool {
        self.held_size.get() > 0
    }

    pub(super) fn take_held(&self) -> Option<Held> {
        let held = self.held.borrow_mut().pop_front()?;
        self.held_size.set(self.held_size.get() - held.data.len() - DATAGRAM_OVERHEAD);
        Some(held)
    }

    pub(super) fn tell(&self, promise: Promise<DatagramPort<P>>) {
        self.told.set(Some(promise));
    }

    pub(super) fn take_told(&self) -> Option<Promise<DatagramPort<P>>> {
        self.told.take()
    }

    pub(super) fn next_call(&self) -> Option<Duration> {
        self.calls.borrow().next_due()
    }

    /// Drops all that was to happen: timers, results on their way, output.
    pub(super) fn end(&self) {
        self.set(Flags::OVER);
        drop(self.calls.replace(Calls::new()));
        for (_, canceller) in self.waits.take() {
            canceller.cancel();
        }
        drop(self.queue.take());
        drop(self.held.take());
        self.held_size.set(0);
    }
}

impl<P: 'static> Agenda for Page<P> {
    type Turn = Turn<P>;

    fn noted(&self) -> &Cell<Flags> {
        &self.flags
    }

    fn last_id(&self) -> &Cell<u32> {
        &self.last_id
    }

    fn now(&self) -> Duration {
        self.carrier.get().map_or(Duration::ZERO, |(transport, _)| transport.now())
    }

    fn wake_carrier(&self) -> bool {
        self.carrier.get().map(|(transport, key)| transport.wake(*key)).is_some()
    }

    fn with_calls<T>(&self, look: impl FnOnce(&mut Calls<Turn<P>>) -> T) -> T {
        look(&mut self.calls.borrow_mut())
    }

    fn add_wait(&self, id: u32, canceller: Canceller) {
        self.waits.borrow_mut().push((id, canceller));
    }

    fn forget_wait(&self, id: u32) {
        self.waits.borrow_mut().retain(|(waiting, _)| *waiting != id);
    }
}
