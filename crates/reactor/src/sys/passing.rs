//! Descriptors that come beside the bytes of connections that accept them.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use ropewalk_protocol::Descriptor;
use rustix::fd::BorrowedFd;

use super::os;

/// How many bytes one receive takes at most.
const READ_SIZE: usize = 32 * 1024;

/// What all connections share that accept descriptors.
pub(super) struct Passing {
    /// How many descriptors one receive may bring, by key.
    at_once: BTreeMap<usize, usize>,
    /// Whose what was received last is.
    key: usize,
    arrived: VecDeque<Descriptor>,
    /// How many bytes came with them, until that is told.
    count: Option<usize>,
    /// Of its own: what lies here waits until the descriptors are told of.
    buffer: Box<[u8]>,
}

/// A part of what one receive brought.
pub(super) enum Came {
    Descriptor(Descriptor),
    /// So many bytes; none if the peer ended its stream.
    Bytes(usize),
}

impl Passing {
    pub(super) fn new() -> Self {
        Self {
            at_once: BTreeMap::new(),
            key: usize::MAX,
            arrived: VecDeque::new(),
            count: None,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
        }
    }

    /// Has receives of a connection bring so many descriptors at most.
    pub(super) fn accept(&mut self, key: usize, at_once: usize) {
        self.at_once.insert(key, at_once);
    }

    /// A connection is closed: what was not told of goes with it.
    pub(super) fn forget(&mut self, key: usize) {
        self.at_once.remove(&key);
        if self.key == key {
            self.arrived.clear();
            self.count = None;
        }
    }

    /// Whether something that a connection received is not told of yet.
    pub(super) fn is_telling(&self, key: usize) -> bool {
        self.key == key && self.count.is_some()
    }

    /// Receives once; [`next`](Self::next) has the pieces.
    pub(super) fn receive(&mut self, key: usize, socket: BorrowedFd<'_>) -> io::Result<()> {
        debug_assert!(self.count.is_none(), "everything was told of before");
        self.key = key;
        let at_once = self.at_once.get(&key).copied().unwrap_or(0);
        let received = os::receive_passed(socket, &mut self.buffer, at_once, &mut self.arrived);
        self.count = Some(received?);
        Ok(())
    }

    /// The next piece of what was received: descriptors, then bytes.
    pub(super) fn next(&mut self) -> Option<Came> {
        if let Some(descriptor) = self.arrived.pop_front() {
            return Some(Came::Descriptor(descriptor));
        }
        self.count.take().map(Came::Bytes)
    }

    /// The bytes that were received last.
    pub(super) fn bytes(&self, count: usize) -> &[u8] {
        &self.buffer[..count]
    }
}
