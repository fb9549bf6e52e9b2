//! What comes in: connections, bytes, failures.

use io_uring::squeue::Flags;
use io_uring::{opcode, types};
use ropewalk_protocol::Address;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{SocketFlags, getpeername, sockopt};

use super::buffers::{GROUP, Piece};
use super::ring::Done;
use super::slot::{Kind, Late, Tag, accepted};
use super::{IoUring, LAST_WAIT, LAST_WAITS_MAX, is_passing};
use crate::sys::os::{accept, peer_address};
use crate::sys::passing::Came;
use crate::sys::readiness::ACCEPTS_PER_TURN_MAX;
use crate::sys::{Completion, Role, Socket};

/// How many bytes a connection may have in one turn, and go on as it likes.
const SHARE: u32 = 64 * 1024;
/// How many bytes a greedy connection's receive must bring for it to stay one.
const CALM: usize = 16 * 1024;

/// What was found, before anything is lent out.
pub(super) enum Found {
    /// Bytes in a buffer.
    Received(usize, Piece),
    /// A message in a buffer.
    Datagram(usize, Piece),
    /// What came while nobody wanted it.
    Late(usize),
    Other(Completion<'static>),
}

impl IoUring {
    /// Starts what a slot is to do for what comes in, unless it does something already.
    pub(super) fn arm(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.closed || slot.input.is_some() {
            return;
        }
        let socket = types::Fd(slot.socket);
        let once = |flags: PollFlags| opcode::PollAdd::new(socket, u32::from(flags.bits())).build();
        let (kind, entry) = match slot.role {
            Role::Connecting => (Kind::Connect, once(PollFlags::OUT)),
            Role::Stream if slot.reading && !slot.ended && slot.greedy => {
                let receive = opcode::Recv::new(socket, std::ptr::null_mut(), SHARE);
                let receive = receive.buf_group(GROUP).build();
                (Kind::Receive, receive.flags(Flags::BUFFER_SELECT))
            }
            Role::Passing if slot.reading && !slot.ended => (Kind::Passing, once(PollFlags::IN)),
            Role::Stream if slot.reading && !slot.ended => {
                (Kind::Receive, opcode::RecvMulti::new(socket, GROUP).build())
            }
            // Tells of the peer's end as well, and more than once: the failure may come after.
            Role::Stream | Role::Passing => {
                (Kind::Alarm, opcode::PollAdd::new(socket, 0).multi(true).build())
            }
            _ if !slot.reading => return,
            // An accept waits by itself: of all who do only one is woken, and who cannot accept then has nobody else
            // woken. Who waits to read leaves the others to be woken too.
            Role::Listener if slot.shared => (Kind::Knock, once(PollFlags::IN)),
            Role::Listener => {
                let flags = (SocketFlags::NONBLOCK | SocketFlags::CLOEXEC).bits();
                let accept = opcode::AcceptMulti::new(socket).flags(flags as i32);
                (Kind::Accept, accept.build())
            }
            Role::Watch => (Kind::Watch, once(PollFlags::IN)),
            Role::Datagrams => {
                let Some(datagrams) = &self.datagrams else { return };
                (Kind::Datagram, datagrams.entry(socket))
            }
            Role::WatchOutput => (Kind::Watch, once(PollFlags::OUT)),
        };
        slot.input = Some(kind);
        slot.cancelled = false;
        // SAFETY: none of these entries points to memory, but for the header of all ports; that and
        // the buffers into which is received live until no operation is under way. The slot's descriptor is closed only by an entry
        // that is handed over after this one.
        unsafe { self.start(index, kind, entry) };
    }

    /// Has a slot do what it is to do from now on.
    pub(super) fn change_input(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let Some(kind) = slot.input else { return self.arm(index) };
        let right = match kind {
            Kind::Alarm => !slot.reading || slot.ended,
            Kind::Connect => true,
            Kind::Receive if slot.greedy || slot.role == Role::Passing => false,
            _ => slot.reading,
        };
        // A cancelled one starts anew when its end is told.
        if !right && !slot.cancelled {
            slot.cancelled = true;
            let generation = slot.generation;
            self.cancel(Tag { slot: index, kind, generation });
        }
    }

    /// A completion of what comes in.
    pub(super) fn came(&mut self, tag: Tag, done: Done) -> Option<Found> {
        let last = !done.is_more_to_come();
        let slot = &mut self.slots[tag.slot as usize];
        let was_cancelled = slot.cancelled && done.result == Err(Errno::CANCELED);
        if last {
            slot.input = None;
            slot.cancelled = false;
        }
        if slot.closed {
            return None;
        }
        if was_cancelled {
            self.arm(tag.slot);
            return None;
        }
        let found = match tag.kind {
            Kind::Receive => return self.received(tag, done, last),
            Kind::Passing => return self.has_passed(tag, done),
            Kind::Datagram => return self.datagram(tag, done, last),
            Kind::Accept => self.accepted(tag, done),
            Kind::Connect => Some(self.connected(tag, done)),
            Kind::Watch => {
                let key = slot.key();
                match done.result {
                    Ok(_) => Some(Completion::Ready { key }).filter(|_| slot.reading),
                    Err(error) if is_passing(error) || error == Errno::CANCELED => None,
                    Err(error) => {
                        return Some(Found::Other(Completion::Failed { key, error: error.into() }));
                    }
                }
            }
            Kind::Alarm if done.result.is_ok() => return self.alarmed(tag, done),
            Kind::Knock if slot.shared => {
                self.knocked = Some((tag, ACCEPTS_PER_TURN_MAX));
                None
            }
            _ => None,
        };
        if last {
            self.to_arm.push(tag);
        }
        found.map(Found::Other)
    }

    fn received(&mut self, tag: Tag, done: Done, last: bool) -> Option<Found> {
        let slot = self.slots.get_mut(tag.slot as usize)?;
        let key = slot.key();
        match done.result {
            Ok(0) => {
                slot.ended = true;
                self.to_arm.push(tag);
                let wanted = slot.reading && slot.late.is_none();
                if !wanted {
                    slot.late.get_or_insert_default().end = true;
                }
                self.give_back(done);
                wanted.then_some(Found::Other(Completion::Ended { key }))
            }
            Ok(count) => {
                if last {
                    self.to_arm.push(tag);
                }
                let piece = self.buffers.as_mut()?.take(
                    done.buffer()?,
                    count as usize,
                    done.is_buffer_full(),
                )?;
                self.keep_to_its_share(tag, done, count as usize);
                let slot = self.slots.get_mut(tag.slot as usize)?;
                if slot.reading && slot.late.is_none() {
                    return Some(Found::Received(key, piece));
                }
                let late = slot.late.get_or_insert_default();
                let buffers = self.buffers.as_mut()?;
                late.bytes.extend_from_slice(buffers.bytes(piece));
                buffers.give_back(piece);
                None
            }
            // All buffers are taken, or memory is short: they come back before the next wait.
            Err(error) if is_passing(error) || error == Errno::CANCELED => {
                self.to_arm.push(tag);
                None
            }
            Err(error) => Some(Found::Other(Completion::Failed { key, error: error.into() })),
        }
    }

    /// A connection that accepts descriptors has something to receive.
    fn has_passed(&mut self, tag: Tag, done: Done) -> Option<Found> {
        let slot = self.slots.get_mut(tag.slot as usize)?;
        let key = slot.key();
        self.to_arm.push(tag);
        match done.result {
            Ok(_) if slot.reading && slot.late.is_none() => (),
            Err(error) if !is_passing(error) && error != Errno::CANCELED => {
                return Some(Found::Other(Completion::Failed { key, error: error.into() }));
            }
            // What is left is told again.
            Ok(_) | Err(_) => return None,
        }
        let passing = self.passing.as_mut()?;
        if let Err(error) = self.sockets.with(key, |socket| passing.receive(key, socket))? {
            let passes = Errno::from_io_error(&error).is_some_and(is_passing);
            return (!passes).then_some(Found::Other(Completion::Failed { key, error }));
        }
        let mut late = Box::<Late>::default();
        while let Some(piece) = passing.next() {
            match piece {
                Came::Descriptor(descriptor) => late.descriptors.push_back(descriptor),
                Came::Bytes(0) => (slot.ended, late.end) = (true, true),
                Came::Bytes(count) => late.bytes.extend_from_slice(passing.bytes(count)),
            }
        }
        slot.late = Some(late);
        self.resumed.push(tag);
        None
    }

    /// Has a connection receive as much as it likes for as long as that is no more than its share of
    /// a turn. The kernel would give all buffers to the first that has bytes for them.
    fn keep_to_its_share(&mut self, tag: Tag, done: Done, count: usize) {
        let is_shared = self.buffers.as_ref().is_some_and(super::Buffers::are_shared);
        let (turn, slot) = (self.turn, &mut self.slots[tag.slot as usize]);
        let in_all = slot.count(turn, count as u32);
        if slot.greedy {
            // A receive from before says nothing, and neither does a buffer that is full.
            slot.greedy = done.is_more_to_come() || done.is_buffer_full() || count >= CALM;
        } else if is_shared && in_all > SHARE {
            slot.greedy = true;
            self.change_input(tag.slot);
        }
    }

    /// Gives out what came while nobody wanted it.
    pub(super) fn give_late(&mut self, tag: Tag) -> Option<Found> {
        let slot = self.slot(tag)?;
        if slot.closed || !slot.reading {
            return None;
        }
        let key = slot.key();
        let Late { descriptors, bytes, end } = &mut **slot.late.as_mut()?;
        if let Some(descriptor) = descriptors.pop_front() {
            // What is left has its own turn, in which it may be unwanted.
            self.resumed.push(tag);
            return Some(Found::Other(Completion::Passed { key, descriptor }));
        }
        if bytes.is_empty() {
            let ended = *end;
            slot.late = None;
            return ended.then_some(Found::Other(Completion::Ended { key }));
        }
        let (bytes, end) = (std::mem::take(bytes), *end);
        if end {
            // The end has its own turn, in which it may be unwanted again.
            self.resumed.push(tag);
        } else {
            slot.late = None;
        }
        self.lent_late = bytes;
        Some(Found::Late(key))
    }

    fn accepted(&mut self, tag: Tag, done: Done) -> Option<Completion<'static>> {
        let slot = &mut self.slots[tag.slot as usize];
        let key = slot.key();
        match done.result {
            Ok(number) => {
                let socket = accepted(number);
                // The kernel writes no address for an accept with many results.
                let peer = peer_address(getpeername(&socket).ok().flatten());
                Some(Completion::Accepted { key, socket: socket.into(), peer })
            }
            Err(Errno::CONNABORTED | Errno::CANCELED | Errno::AGAIN | Errno::INTR) => None,
            Err(error @ (Errno::MFILE | Errno::NFILE)) if self.knocks(tag.slot) => {
                Some(Completion::AcceptFailed { key, error: error.into() })
            }
            // Nobody is there, but the kernel wants the descriptor first.
            Err(Errno::MFILE | Errno::NFILE) => {
                self.wait_for_a_knock(tag.slot);
                None
            }
            Err(error) => Some(Completion::AcceptFailed { key, error: error.into() }),
        }
    }

    /// Accepts one of those who knock at a listener that is shared, if others have not.
    pub(super) fn answer_a_knock(&mut self) -> Option<Completion<'static>> {
        let (tag, left) = self.knocked.take()?;
        let left = left.checked_sub(1)?;
        let key = self.slot(tag).filter(|slot| slot.reading && !slot.closed)?.key();
        match self.sockets.with(key, accept)? {
            Ok((socket, peer)) => {
                self.knocked = Some((tag, left));
                let peer = peer_address(peer);
                Some(Completion::Accepted { key, socket: socket.into(), peer })
            }
            Err(Errno::WOULDBLOCK | Errno::INTR | Errno::CONNABORTED) => None,
            Err(error) => Some(Completion::AcceptFailed { key, error: error.into() }),
        }
    }

    /// Whether a connection waits at a listener.
    fn knocks(&self, index: u32) -> bool {
        let asked = self.sockets.with(self.slots[index as usize].key(), |listener| {
            let mut asked = [PollFd::from_borrowed_fd(listener, PollFlags::IN)];
            poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
        });
        asked != Some(Ok(0))
    }

    fn wait_for_a_knock(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.input = Some(Kind::Knock);
        let flags = u32::from(PollFlags::IN.bits());
        let entry = opcode::PollAdd::new(types::Fd(slot.socket), flags).build();
        // SAFETY: the entry points to no memory, and the slot's descriptor is closed only by an
        // entry that is handed over after this one.
        unsafe { self.start(index, Kind::Knock, entry) };
    }

    /// Whether a listener has accepted enough in this turn.
    pub(super) fn is_sated(&mut self, tag: Tag) -> bool {
        let turn = self.turn;
        let Some(slot) = self.slot(tag) else { return false };
        slot.count(turn, 1) as usize > ACCEPTS_PER_TURN_MAX
    }

    /// Takes a listener's accept back from the kernel, and with it whom that has let in.
    pub(super) fn end_accepting(&mut self, index: u32) -> Vec<(Socket, Address)> {
        let slot = &mut self.slots[index as usize];
        let (key, generation, role) = (slot.key(), slot.generation, slot.role);
        let was_accepting = role == Role::Listener && std::mem::take(&mut slot.reading);
        let tag = Tag { slot: index, kind: Kind::Accept, generation };
        if slot.input == Some(Kind::Accept) {
            if !std::mem::replace(&mut slot.cancelled, true) {
                self.cancel(tag);
            }
            self.await_last_accept(tag);
        }
        let mut taken = Vec::new();
        let slot = &mut self.slots[index as usize];
        let mut leave = |done: &Done| {
            if done.tag != tag.to_u64() {
                return true;
            }
            if let Ok(number) = done.result {
                taken.push(accepted(number));
            }
            if !done.is_more_to_come() {
                slot.operations -= 1;
                (slot.input, slot.cancelled) = (None, false);
            }
            false
        };
        self.postponed.retain(&mut leave);
        self.ring.done.retain(&mut leave);
        // Whoever else waits at this socket was perhaps not woken for them, as this one was.
        let more = std::iter::from_fn(|| self.sockets.with(key, accept)?.ok());
        let more = more.take(if was_accepting { ACCEPTS_PER_TURN_MAX } else { 0 });
        taken.extend(more.map(|(socket, _)| socket));
        let with_peer = |socket: OwnedFd| {
            let peer = peer_address(getpeername(&socket).ok().flatten());
            (socket.into(), peer)
        };
        taken.into_iter().map(with_peer).collect()
    }

    /// Waits until a cancelled accept has told for the last time.
    fn await_last_accept(&mut self, tag: Tag) {
        let is_last = |done: &Done| done.tag == tag.to_u64() && !done.is_more_to_come();
        for _ in 0..LAST_WAITS_MAX {
            if self.ring.done.iter().chain(&self.postponed).any(is_last) {
                return;
            }
            if let Err(error) = self.ring.wait(Some(LAST_WAIT)) {
                tracing::error!(target: "ropewalk::reactor", "an accept does not end: {error}");
                return;
            }
        }
    }

    fn connected(&mut self, tag: Tag, done: Done) -> Completion<'static> {
        let slot = &mut self.slots[tag.slot as usize];
        let key = slot.key();
        let outcome = match done.result {
            Ok(_) => self.sockets.with(key, |socket| sockopt::socket_error(socket)),
            Err(error) => Some(Err(error)),
        };
        let result = outcome.unwrap_or(Err(Errno::BADF)).and_then(|outcome| outcome);
        if result.is_ok() {
            slot.role = Role::Stream;
            slot.reading = true;
        }
        Completion::Connected { key, result: result.map_err(Into::into) }
    }

    /// Something has happened to a connection from which nobody reads.
    fn alarmed(&mut self, tag: Tag, done: Done) -> Option<Found> {
        let slot = &mut self.slots[tag.slot as usize];
        let key = slot.key();
        if !done.is_more_to_come() {
            self.to_arm.push(tag);
        }
        let failed = PollFlags::from_bits_retain(done.result.unwrap_or(0) as u16)
            .intersects(PollFlags::ERR | PollFlags::NVAL);
        if !failed {
            // What was received before the end waits in the kernel until somebody reads.
            return None;
        }
        let error = match self.sockets.with(key, |socket| sockopt::socket_error(socket))? {
            Ok(Err(error)) | Err(error) => error,
            Ok(Ok(())) => Errno::CONNRESET,
        };
        Some(Found::Other(Completion::Failed { key, error: error.into() }))
    }
}
