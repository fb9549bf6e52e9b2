//! What goes out.

use std::io;

use io_uring::{opcode, types};
use ropewalk_protocol::Outbox;
use rustix::event::PollFlags;
use rustix::io::Errno;

use super::flight::Flight;
use super::ring::Done;
use super::slot::{Kind, Tag};
use super::{IoUring, is_passing};
use crate::sys::os::{send_file, send_passing};
use crate::sys::readiness::SENDS_PER_TURN_MAX;
use crate::sys::{Completion, Role};

impl IoUring {
    /// Sends `out`, of which nothing else of the slot is on its way; what can be sent at once is.
    pub(super) fn launch(&mut self, index: u32, mut out: Box<Outbox>) -> io::Result<()> {
        let key = self.slots[index as usize].key();
        let mut steps = 0;
        while (out.front_file().is_some() || out.has_front_descriptors())
            && steps < SENDS_PER_TURN_MAX
        {
            steps += 1;
            let passes = out.has_front_descriptors();
            let send = if passes { send_passing } else { send_file };
            let step = self.sockets.with(key, |socket| send(socket, &out));
            match step.unwrap_or(Err(Errno::BADF)) {
                Ok((sent, asked)) => {
                    out.advance(sent);
                    if sent < asked {
                        break;
                    }
                }
                Err(error) if is_passing(error) && error != Errno::INTR => break,
                Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
        if out.is_empty() {
            self.keep(out);
            return Ok(());
        }
        if out.front_file().is_some() || out.has_front_descriptors() {
            self.slots[index as usize].flight = Some(Flight::new(out));
            self.wait_for_room(index);
            return Ok(());
        }
        let slot = &mut self.slots[index as usize];
        let flight = slot.flight.insert(Flight::new(out));
        let entry = flight.entry(slot.socket);
        slot.sending = Some(Kind::Send);
        // SAFETY: the entry points into the flight, which the slot keeps and nobody touches until
        // `sent` has this operation's completion: the outbox is borrowed by nobody, output that is
        // added goes to `pending`, and a closed slot stays until all its operations are done. A
        // driver that is dropped waits for that, or leaks the flight. The slot's descriptor is
        // closed only by an entry that is handed over after this one.
        unsafe { self.start(index, Kind::Send, entry) };
        Ok(())
    }

    /// Waits until the socket takes more of the flight that has landed there.
    pub(super) fn wait_for_room(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.sending = Some(Kind::Room);
        let flags = u32::from(PollFlags::OUT.bits());
        let entry = opcode::PollAdd::new(types::Fd(slot.socket), flags).build();
        // SAFETY: the entry points to no memory, and the slot's descriptor is closed only by an
        // entry that is handed over after this one.
        unsafe { self.start(index, Kind::Room, entry) };
    }

    /// A send is done, or there is room for the next.
    pub(super) fn sent(&mut self, tag: Tag, done: Done) -> Option<Completion<'static>> {
        let slot = &mut self.slots[tag.slot as usize];
        slot.sending = None;
        if slot.closed {
            return None;
        }
        let key = slot.key();
        if slot.role == Role::Datagrams {
            return Some(Completion::Writable { key });
        }
        let mut out = slot.flight.take()?.land();
        match done.result {
            Ok(0) if tag.kind == Kind::Send => {
                return Some(Completion::Failed { key, error: Errno::PIPE.into() });
            }
            Ok(count) if tag.kind == Kind::Send => out.advance(u64::from(count)),
            Ok(_) => (),
            Err(error) if is_passing(error) => {
                slot.flight = Some(Flight::new(out));
                self.wait_for_room(tag.slot);
                return None;
            }
            Err(error) => return Some(Completion::Failed { key, error: error.into() }),
        }
        let next = if out.is_empty() {
            let next = slot.pending.take();
            self.keep(out);
            next
        } else {
            Some(out)
        };
        if let Some(next) = next
            && let Err(error) = self.launch(tag.slot, next)
        {
            return Some(Completion::Failed { key, error });
        }
        // A file may have gone at once, and what waits behind it is next.
        let slot = &mut self.slots[tag.slot as usize];
        if slot.flight.is_none()
            && let Some(next) = slot.pending.take()
            && let Err(error) = self.launch(tag.slot, next)
        {
            return Some(Completion::Failed { key, error });
        }
        Some(Completion::Sent { key, left: self.slots[tag.slot as usize].left() })
    }
}
