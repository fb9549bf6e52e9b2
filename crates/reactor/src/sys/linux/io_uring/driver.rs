//! The driver's verbs.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd};
use std::time::Duration;

use io_uring::{opcode, types};
use ropewalk_protocol::{Address, DatagramQueue, FileOperation, Outbox};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::datagrams::Datagrams;
use super::input::Found;
use super::slot::{GENERATIONS, Kind, Slot, Tag};
use super::{IoUring, NO_SLOT};
use crate::sys::datagrams::Mishap;
use crate::sys::os::{may_segment, unsettled};
use crate::sys::passing::Passing;
use crate::sys::readiness::{end_stream, make_reset};
use crate::sys::{Closing, Completion, Driver, Role, Socket, Unsettled};

/// How often a closing connection throws away what its peer still sent.
const LAST_READS_MAX: usize = 64;
/// The key of what wakes the loop, the first that a reactor opens.
const WAKER: usize = 0;
/// How often it is asked whether what was closed is let go of.
const CLOSING_WAITS_MAX: usize = 8;

impl IoUring {
    /// Looks at completions until one of them means something.
    fn find(&mut self) -> Option<Found> {
        self.end_lending();
        loop {
            if let Some(tag) = self.resumed.pop() {
                if let Some(found) = self.give_late(tag) {
                    return Some(found);
                }
                continue;
            }
            let found = self.answer_a_knock();
            if found.is_some() {
                return found.map(Found::Other);
            }
            let done = self.ring.done.pop_front()?;
            let tag = Tag::from_u64(done.tag);
            if tag.kind == Kind::Accept && done.result.is_ok() && self.is_sated(tag) {
                self.postponed.push(done);
                continue;
            }
            if tag.kind == Kind::File {
                if let Some(told) = self.files.done(tag, done) {
                    return Some(Found::Other(told));
                }
                continue;
            }
            let Some(slot) = self.slot(tag) else {
                self.give_back(done);
                continue;
            };
            if slot.closed {
                self.bury(tag, done);
                continue;
            }
            if !done.is_more_to_come() {
                slot.operations -= 1;
            }
            let found = match tag.kind {
                Kind::Send | Kind::Room => self.sent(tag, done).map(Found::Other),
                _ => self.came(tag, done),
            };
            if found.is_some() {
                return found;
            }
        }
    }

    /// A completion for a slot that is closed.
    fn bury(&mut self, tag: Tag, done: super::ring::Done) {
        self.give_back(done);
        if let (Kind::Accept, Ok(number)) = (tag.kind, done.result) {
            drop(super::slot::accepted(number));
        }
        if !done.is_more_to_come() {
            self.slots[tag.slot as usize].operations -= 1;
            self.dying -= 1;
            self.release_slot(tag.slot);
        }
    }

    /// Starts again what ended with the last turn.
    fn arm_all(&mut self) {
        // Who came last, perhaps as no buffer was left, is served first.
        while let Some(tag) = self.to_arm.pop() {
            if self.slot(tag).is_some() {
                self.arm(tag.slot);
            }
        }
    }

    fn open_slot(
        &mut self,
        key: usize,
        socket: Socket,
        role: Role,
        is_shared: bool,
    ) -> io::Result<()> {
        let socket = socket.into_system()?;
        if role == Role::Watch && key == WAKER {
            epoll::add(&self.host, &socket, EventData::new_u64(1), EventFlags::IN)?;
        }
        if self.by_key.len() <= key {
            self.by_key.resize(key + 1, NO_SLOT);
        }
        if role == Role::Datagrams && self.datagrams.is_none() {
            // SAFETY: it is dropped with this driver only, whose `Drop` sees to it that no operation is
            // under way then, or else leaks it.
            self.datagrams = Some(Box::new(unsafe { Datagrams::new(&self.ring) }?));
        }
        self.last_generation = (self.last_generation + 1) % GENERATIONS;
        let mut slot = Slot::new(key, self.last_generation, role, socket.as_raw_fd());
        slot.shared = is_shared;
        slot.single = role == Role::Datagrams && !may_segment(socket.as_fd());
        self.sockets.insert(key, socket);
        let generation = slot.generation;
        let index = self.slots.insert(slot) as u32;
        self.by_key[key] = index;
        if role == Role::Stream {
            // When its protocol knows of it, and may have asked for descriptors.
            self.to_arm.push(Tag { slot: index, kind: Kind::Receive, generation });
        } else {
            self.arm(index);
        }
        self.flush_if_exposed();
        Ok(())
    }

    fn flush_if_exposed(&mut self) {
        if self.exposed {
            self.ring.hand_over();
        }
    }

    /// Whether the kernel still has operations of something that is closed.
    fn has_dying(&self) -> bool {
        let is_last_of_dying = |done: &&super::ring::Done| {
            let tag = Tag::from_u64(done.tag);
            let slot = self.slots.get(tag.slot as usize);
            !done.is_more_to_come()
                && slot.is_some_and(|slot| slot.closed && slot.generation == tag.generation)
        };
        self.dying > self.ring.done.iter().filter(is_last_of_dying).count()
    }

    /// Makes the descriptor readable for what was fetched already, if somebody watches it.
    fn tell_of_the_fetched(&mut self) {
        let busy = [self.postponed.len(), self.resumed.len(), self.ring.done.len()];
        if self.exposed && busy != [0; 3] {
            self.ring.ring_the_bell(Tag::silent().to_u64());
            self.ring.hand_over();
        }
    }

    /// What has rung meanwhile was fetched with the rest, unless it came after that.
    fn mute(&mut self) {
        if self.exposed
            && rustix::io::read(&self.bell, &mut [0_u8; 8]).is_ok()
            && self.ring.has_more()
        {
            // It counts to far beyond what there is to tell.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }

    /// Hands over what was put off, and has the kernel close what is closed.
    fn carry_out(&mut self) {
        self.end_lending();
        self.arm_all();
        let mut is_wanted = self.ring.is_anything_queued() || self.has_dying();
        for _ in 0..CLOSING_WAITS_MAX {
            if !is_wanted {
                return;
            }
            if let Err(error) = self.ring.wait(Some(Duration::ZERO)) {
                tracing::error!(target: "ropewalk::reactor", "operations are put off: {error}");
                return;
            }
            // A descriptor lives as long as the operations on it, cancelled or not.
            is_wanted = self.has_dying();
        }
    }

    /// Has the kernel let go of an address.
    fn finish_closing(&mut self, tag: Tag) {
        for _ in 0..CLOSING_WAITS_MAX {
            let is_last =
                |done: &super::ring::Done| done.tag == tag.to_u64() && !done.is_more_to_come();
            if self.ring.done.iter().any(is_last) || self.slot(tag).is_none() {
                return;
            }
            if self.ring.wait(Some(Duration::ZERO)).is_err() {
                return;
            }
        }
    }
}

impl Driver for IoUring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }

    fn expose(&mut self) -> io::Result<()> {
        if !self.exposed {
            self.ring.submitter().register_eventfd(self.bell.as_raw_fd())?;
            self.exposed = true;
            // What is done already rang for nobody.
            if self.ring.has_more() {
                rustix::io::write(&self.bell, &1_u64.to_ne_bytes())?;
            }
        }
        self.flush();
        Ok(())
    }

    fn flush(&mut self) {
        self.carry_out();
        self.tell_of_the_fetched();
    }

    fn open(&mut self, key: usize, socket: Socket, role: Role) -> io::Result<()> {
        self.open_slot(key, socket, role, false)
    }

    fn open_listener(&mut self, key: usize, socket: Socket, is_shared: bool) -> io::Result<()> {
        self.open_slot(key, socket, Role::Listener, is_shared)
    }

    fn set_reading(&mut self, key: usize, reading: bool) -> io::Result<()> {
        let index = self.slot_of(key).ok_or(Errno::BADF)?;
        let slot = &mut self.slots[index as usize];
        if slot.reading != reading {
            slot.reading = reading;
            if reading && slot.late.is_some() {
                let generation = slot.generation;
                self.resumed.push(Tag { slot: index, kind: Kind::Receive, generation });
            }
            self.change_input(index);
        }
        Ok(())
    }

    fn send(&mut self, key: usize, out: &mut Option<Box<Outbox>>) -> io::Result<u64> {
        let index = self.slot_of(key).ok_or(Errno::BADF)?;
        if out.is_none() {
            return Ok(0);
        }
        let slot = &mut self.slots[index as usize];
        if slot.flight.is_some() {
            if let Some(output) = out {
                slot.pending.get_or_insert_default().append(output);
            }
            return Ok(slot.left());
        }
        // One that was used before takes the place of the one that is kept here.
        let used = self.spare.pop().unwrap_or_default();
        if let Some(output) = out.replace(used) {
            self.launch(index, output)?;
        }
        Ok(self.slots[index as usize].left())
    }

    fn accept_descriptors(&mut self, key: usize, at_once: usize) -> io::Result<()> {
        let index = self.slot_of(key).ok_or(Errno::BADF)?;
        let slot = &mut self.slots[index as usize];
        if !matches!(slot.role, Role::Stream | Role::Passing) {
            return Err(Errno::BADF.into());
        }
        slot.role = Role::Passing;
        self.passing.get_or_insert_with(|| Box::new(Passing::new())).accept(key, at_once);
        if self.slots[index as usize].input.is_some() {
            self.change_input(index);
        }
        Ok(())
    }

    fn send_datagrams(
        &mut self,
        key: usize,
        queue: &mut DatagramQueue,
        mishaps: &mut Vec<Mishap>,
    ) -> io::Result<bool> {
        let index = self.slot_of(key).ok_or(Errno::BADF)?;
        let full = self.send_now(index, queue, mishaps)?;
        self.flush_if_exposed();
        Ok(full)
    }

    fn stop_accepting(&mut self, key: usize) -> Vec<(Socket, Address)> {
        let taken = self.slot_of(key).map(|index| self.end_accepting(index)).unwrap_or_default();
        // What was fetched with it rings for nobody.
        self.tell_of_the_fetched();
        taken
    }

    fn end_stream(&mut self, key: usize) -> io::Result<()> {
        self.sockets.with(key, end_stream).unwrap_or(Ok(()))
    }

    fn unsettled(&mut self, key: usize) -> Unsettled {
        let mut found = self.sockets.with(key, unsettled).unwrap_or_default();
        let slot = self.slot_of(key).and_then(|index| self.slots.get(index as usize));
        // What the kernel has received already for nobody.
        found.is_unread |= slot.is_some_and(|slot| slot.late.is_some());
        found
    }

    fn close(&mut self, key: usize, how: Closing) {
        let Some(index) = self.take_slot(key) else { return };
        let slot = &mut self.slots[index as usize];
        let (role, generation, input) = (slot.role, slot.generation, slot.input);
        slot.closed = true;
        slot.pending = None;
        // Descriptors among it are closed with the connection.
        slot.late = None;
        self.dying += slot.operations as usize;
        if let Some(passing) = self.passing.as_mut().filter(|_| role == Role::Passing) {
            passing.forget(key);
        }
        let cancelled = [slot.input.filter(|_| !slot.cancelled), slot.sending];
        for kind in cancelled.into_iter().flatten() {
            self.cancel(Tag { slot: index, kind, generation });
        }
        if let Some(socket) = self.sockets.remove(key) {
            match how {
                Closing::InOrder if matches!(role, Role::Stream | Role::Passing) => {
                    read_the_rest(socket.as_fd());
                }
                Closing::InOrder | Closing::Done => (),
                Closing::Reset => make_reset(&socket),
            }
            // Behind all that was started on it: no other may have its number before.
            let entry = opcode::Close::new(types::Fd(socket.into_raw_fd())).build();
            self.ring.start_silent(entry, Tag::silent().to_u64());
        }
        self.release_slot(index);
        if matches!(role, Role::Listener | Role::Datagrams) {
            match input {
                Some(kind) => self.finish_closing(Tag { slot: index, kind, generation }),
                None => self.ring.hand_over(),
            }
            self.tell_of_the_fetched();
        }
        self.flush_if_exposed();
    }

    fn release(&mut self, key: usize) -> Option<Socket> {
        let index = self.take_slot(key)?;
        let slot = &mut self.slots[index as usize];
        slot.closed = true;
        self.dying += slot.operations as usize;
        let (input, generation) = (slot.input.filter(|_| !slot.cancelled), slot.generation);
        if let Some(kind) = input {
            self.cancel(Tag { slot: index, kind, generation });
        }
        self.release_slot(index);
        self.sockets.remove(key).map(Socket::from)
    }

    fn shed(&mut self, key: usize) -> usize {
        self.reserve.shed(&self.sockets, key)
    }

    fn does_files(&self) -> bool {
        self.ring.does_files()
    }

    fn start_file(&mut self, id: u64, operation: FileOperation) -> Result<(), FileOperation> {
        if !self.ring.does_files() {
            return Err(operation);
        }
        self.files.start(&mut self.ring, id, operation)?;
        self.flush_if_exposed();
        Ok(())
    }

    fn operations(&self) -> usize {
        let taken = self.buffers.as_ref().map_or(0, super::Buffers::taken)
            + self.datagrams.as_ref().map_or(0, |datagrams| datagrams.buffers.taken());
        self.ring.in_flight() + usize::from(taken)
    }

    fn outputs(&self) -> usize {
        self.slots.iter().filter(|(_, slot)| !slot.closed && slot.left() > 0).count()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.end_lending();
        self.turn = self.turn.wrapping_add(1);
        self.arm_all();
        if self.exposed {
            // Before the kernel is asked: what comes after that counts anew. There may be nothing.
            let _ = rustix::io::read(&self.bell, &mut [0_u8; 8]);
        }
        let busy = [self.postponed.len(), self.resumed.len(), self.ring.done.len()];
        let timeout = if busy == [0; 3] { timeout } else { Some(Duration::ZERO) };
        let waited = self.ring.wait(timeout);
        self.mute();
        for done in self.postponed.drain(..).rev() {
            self.ring.done.push_front(done);
        }
        self.reserve.renew();
        waited
    }

    fn next(&mut self) -> Option<Completion<'_>> {
        match self.find()? {
            Found::Received(key, piece) => {
                self.lent = Some(piece);
                let data = self.buffers.as_ref()?.bytes(piece);
                Some(Completion::Received { key, data })
            }
            Found::Datagram(key, piece) => Some(self.datagrams.as_mut()?.lend(key, piece)),
            Found::Late(key) => Some(Completion::Received { key, data: &self.lent_late }),
            Found::Other(completion) => Some(completion),
        }
    }
}

/// Throws away what came and nobody read: TCP would answer it with a reset, and the peer might lose
/// what was sent to it before.
fn read_the_rest(socket: BorrowedFd<'_>) {
    let mut scratch = [0; 16 * 1024];
    for _ in 0..LAST_READS_MAX {
        match recv(socket, &mut scratch, RecvFlags::DONTWAIT) {
            Ok((count, _)) if count > 0 => (),
            _ => return,
        }
    }
}
