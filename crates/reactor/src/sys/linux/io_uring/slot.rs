//! What is known of one descriptor, and which operation is whose.

use std::collections::VecDeque;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use ropewalk_protocol::{Descriptor, Outbox};

use super::flight::Flight;
use crate::sys::Role;

/// Kept small: each connection has one. A descriptor, from its opening until the last operation on it is done.
#[expect(clippy::struct_excessive_bools, reason = "the two directions end independently")]
pub(super) struct Slot {
    pub(super) key: u32,
    pub(super) generation: u32,
    pub(super) socket: RawFd,
    pub(super) role: Role,
    /// What comes in is wanted.
    pub(super) reading: bool,
    /// The operation under way that takes what comes in, or waits for it.
    pub(super) input: Option<Kind>,
    /// That operation has been cancelled.
    pub(super) cancelled: bool,
    /// Nothing more comes in.
    pub(super) ended: bool,
    /// What came in while it was not wanted.
    pub(super) late: Option<Box<Late>>,
    /// What is being sent. Not to be touched while `sending` is an operation that reads from it.
    pub(super) flight: Option<Flight>,
    pub(super) sending: Option<Kind>,
    /// What is to be sent after that.
    pub(super) pending: Option<Box<Outbox>>,
    /// How many operations are under way.
    pub(super) operations: u16,
    /// The kernel takes no datagrams together for this port.
    pub(super) single: bool,
    /// Others accept from this listener too.
    pub(super) shared: bool,
    /// The descriptor is closed, and the key another's.
    pub(super) closed: bool,
    /// The turn in which something last came in, and how much: bytes, or a listener's connections.
    pub(super) came: (u32, u32),
    /// It took more than its share, and has one receive a turn until it is content with less.
    pub(super) greedy: bool,
}

/// Descriptors, the bytes that they came with, and perhaps the stream's end after them.
#[derive(Default)]
pub(super) struct Late {
    pub(super) descriptors: VecDeque<Descriptor>,
    pub(super) bytes: Vec<u8>,
    pub(super) end: bool,
}

impl Slot {
    pub(super) fn new(key: usize, generation: u32, role: Role, socket: RawFd) -> Self {
        Self {
            key: key as u32,
            generation,
            socket,
            role,
            reading: role != Role::Connecting,
            input: None,
            cancelled: false,
            ended: false,
            late: None,
            flight: None,
            sending: None,
            pending: None,
            operations: 0,
            single: false,
            shared: false,
            closed: false,
            came: (0, 0),
            greedy: false,
        }
    }

    pub(super) fn key(&self) -> usize {
        self.key as usize
    }

    /// Counts what came in; answers how much that is in this turn.
    pub(super) fn count(&mut self, turn: u32, more: u32) -> u32 {
        if self.came.0 != turn {
            self.came = (turn, 0);
        }
        self.came.1 = self.came.1.saturating_add(more);
        self.came.1
    }

    /// How many bytes have not gone yet.
    pub(super) fn left(&self) -> u64 {
        let pending = self.pending.as_ref().map_or(0, |out| out.len());
        self.flight.as_ref().map_or(0, Flight::len) + pending
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Accept,
    Receive,
    /// Waits for something to read, which is received with the descriptors that come with it.
    Passing,
    /// Waits for something to read.
    Watch,
    /// Waits for a connection that cannot be accepted for lack of descriptors, or that others may accept.
    Knock,
    /// Waits for a connection to be made.
    Connect,
    /// Waits for the failure of a connection from which nobody reads.
    Alarm,
    Send,
    /// Waits until more can be sent.
    Room,
    /// Receives datagrams.
    Datagram,
    /// Reads, writes or syncs a file.
    File,
    /// Finds out what the kernel can do.
    Trial,
    /// Is not waited for.
    Silent,
}

const KINDS: [Kind; 13] = [
    Kind::Accept,
    Kind::Receive,
    Kind::Passing,
    Kind::Watch,
    Kind::Knock,
    Kind::Connect,
    Kind::Alarm,
    Kind::Send,
    Kind::Room,
    Kind::Datagram,
    Kind::File,
    Kind::Trial,
    Kind::Silent,
];

/// Names an operation: what it does, and for which use of which slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) slot: u32,
    pub(super) kind: Kind,
    /// 24 bits of it. A slot is used again only when all its operations are done, so that none can
    /// meet another's; this makes sure.
    pub(super) generation: u32,
}

/// The generations there are, before the first comes again.
pub(super) const GENERATIONS: u32 = 1 << 24;

impl Tag {
    pub(super) fn trial() -> Self {
        Self { slot: u32::MAX, kind: Kind::Trial, generation: 0 }
    }

    /// The operation on a file that has this place.
    pub(super) fn file(place: usize) -> Self {
        Self { slot: place as u32, kind: Kind::File, generation: 0 }
    }

    pub(super) fn silent() -> Self {
        Self { slot: u32::MAX, kind: Kind::Silent, generation: 0 }
    }

    pub(super) fn to_u64(self) -> u64 {
        u64::from(self.generation) << 40 | (self.kind as u64) << 32 | u64::from(self.slot)
    }

    pub(super) fn from_u64(bits: u64) -> Self {
        let kind = KINDS.get((bits >> 32) as usize & 0xff).copied().unwrap_or(Kind::Silent);
        Self { slot: bits as u32, kind, generation: (bits >> 40) as u32 }
    }

    /// Whether the operation is counted as under way.
    pub(super) fn is_counted(self) -> bool {
        self.kind != Kind::Silent
    }
}

/// The descriptor that an accept told of.
pub(super) fn accepted(number: u32) -> OwnedFd {
    // SAFETY: the kernel made this descriptor for the accept that told of it, and each completion is
    // looked at once, so nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(number as RawFd) }
}

#[cfg(test)]
mod tests {
    use super::Slot;

    #[test]
    fn an_idle_connection_takes_little_room_in_the_driver() {
        assert!(size_of::<Option<Slot>>() <= 64, "{} bytes", size_of::<Option<Slot>>());
    }
}
