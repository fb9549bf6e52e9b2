//! Linux's `io_uring`: operations are handed over, and the kernel tells when they are done.
//!
//! - A listener has one accept under way, a connection one receive, each for any number of results.
//!   Receives take their buffers from a [ring of buffers](buffers) when bytes come: an idle
//!   connection has none.
//! - A connection has at most one send under way, which reads from an outbox that the driver keeps
//!   meanwhile ([`Flight`]); what is written behind it waits in another, all of which the next send
//!   gathers. So there is never a second send that a link could order, and a bundle would have the bytes
//!   copied into buffers of the kernel's choice first.
//! - A connection that accepts descriptors is polled, and received from with `recvmsg`: an operation
//!   that is cancelled may have completed, and descriptors are nothing to be left in a buffer. Those that
//!   are sent are sent at once, for the same reason.
//! - A port for datagrams has one receive for any number of them, from a ring of buffers of its own
//!   kind. What it sends is sent at once, many with one call, and waits for room by a poll: the kernel
//!   has no operation for many.
//! - Files go by `sendfile`, tried at once and whenever the socket can take more: it copies nothing
//!   into this process, where a read would, and needs no pipe and no worker thread, as a splice does.
//! - Files that are read, written and synced [have their operations too](files); what they read into and
//!   write from stays here until the kernel is done with it.
//! - What is watched, and what is being connected, is polled for once and anew after each time: who
//!   reads only a part is told again, as with the other drivers.
//! - Closing cancels what is under way and has the descriptor closed behind that, in one go. A
//!   [`Slot`] stays until the last of its operations is done; its key is free at once.

mod buffers;
mod datagrams;
mod driver;
mod files;
mod flight;
mod input;
mod output;
mod ring;
mod slot;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::{opcode, types};
use ropewalk_protocol::Outbox;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use slab::Slab;

use crate::sys::passing::Passing;
use crate::sys::reserve::Reserve;
use crate::sys::{Refusal, Sockets};
use buffers::{Buffers, DATAGRAM_GROUP, GROUP, Piece};
use datagrams::Datagrams;
use files::Files;
use ring::{Done, Ring};
use slot::{Kind, Slot, Tag};

/// For a key that is not in use.
const NO_SLOT: u32 = u32::MAX;
/// How many used outboxes are kept.
const SPARE_MAX: usize = 64;
/// How much memory a kept outbox may hold on to, in bytes.
const SPARE_SIZE_MAX: usize = 64 * 1024;
/// How long a dropped driver waits, at most this often, for the kernel to give up what it cancelled.
const LAST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAITS_MAX: usize = 100;

pub(crate) struct IoUring {
    ring: Ring,
    /// Taken out only to be leaked.
    buffers: Option<Buffers>,
    /// From the first port for datagrams on; taken out only to be leaked.
    datagrams: Option<Box<Datagrams>>,
    /// From the first connection on that accepts descriptors.
    passing: Option<Box<Passing>>,
    files: Files,
    sockets: Sockets,
    slots: Slab<Slot>,
    /// The slot of each key, or [`NO_SLOT`].
    by_key: Vec<u32>,
    last_generation: u32,
    /// What is lent out.
    lent: Option<Piece>,
    /// Bytes that were received while nobody wanted them, lent out now.
    lent_late: Vec<u8>,
    /// Slots that will do something again with the next wait.
    to_arm: Vec<Tag>,
    /// Slots that were paused and have something that came meanwhile.
    resumed: Vec<Tag>,
    /// Accepted connections that wait for the next turn.
    postponed: Vec<Done>,
    /// A shared listener at which somebody knocks, and how many of them it may still accept.
    knocked: Option<(Tag, usize)>,
    turn: u32,
    /// How many operations under way are of descriptors that are closed.
    dying: usize,
    #[expect(clippy::vec_box, reason = "they are used in boxes")]
    spare: Vec<Box<Outbox>>,
    reserve: Reserve,
    /// What the kernel counts up whenever there is something to do, once somebody watches it. The ring's own
    /// descriptor would not do: work that is put off until we ask wakes nobody who watches that by `epoll`.
    bell: OwnedFd,
    /// Tells of the bell, and of what wakes the loop: the kernel does not count one up for the other.
    host: OwnedFd,
    /// Somebody else watches the descriptor.
    exposed: bool,
}

impl IoUring {
    pub(crate) fn new(sockets: Sockets) -> Result<Self, Refusal> {
        if getrlimit(Resource::Memlock).current == Some(0) {
            let why = "no memory may be locked (RLIMIT_MEMLOCK is 0)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why).into());
        }
        let ring = Ring::new()?;
        // SAFETY: the buffers are dropped with this driver only, whose `Drop` sees to it that no
        // operation is under way then, or else leaks them.
        let buffers = unsafe { Buffers::new(&ring) }?;
        let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        let bell = bell.map_err(io::Error::from)?;
        let host = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let watched = epoll::add(&host, &bell, EventData::new_u64(0), EventFlags::IN);
        watched.map_err(io::Error::from)?;
        let mut driver = Self {
            ring,
            buffers: Some(buffers),
            datagrams: None,
            passing: None,
            files: Files::default(),
            sockets,
            slots: Slab::new(),
            by_key: Vec::new(),
            last_generation: 0,
            lent: None,
            lent_late: Vec::new(),
            to_arm: Vec::new(),
            resumed: Vec::new(),
            postponed: Vec::new(),
            knocked: None,
            turn: 0,
            dying: 0,
            spare: Vec::new(),
            reserve: Reserve::new(),
            bell,
            host,
            exposed: false,
        };
        driver.try_receiving()?;
        Ok(driver)
    }

    /// Finds out whether one receive may have many results, which no probe tells.
    fn try_receiving(&mut self) -> Result<(), Refusal> {
        let (here, there) = std::os::unix::net::UnixStream::pair()?;
        rustix::io::write(&there, b"x").map_err(io::Error::from)?;
        let entry = opcode::RecvMulti::new(types::Fd(here.as_raw_fd()), GROUP).build();
        // SAFETY: the entry points to no memory; the buffers are the ring's. The socket is open
        // until after the wait below, which hands the entry over.
        unsafe { self.ring.start(entry, Tag::trial().to_u64()) };
        let mut works = false;
        for _ in 0..LAST_WAITS_MAX {
            self.ring.wait(Some(LAST_WAIT))?;
            while let Some(done) = self.ring.done.pop_front() {
                works |= done.result == Ok(1) && done.is_more_to_come();
                self.give_back(done);
            }
            if works || self.ring.in_flight() == 0 {
                break;
            }
        }
        // The stream's end ends the receive.
        drop(there);
        for _ in 0..LAST_WAITS_MAX {
            if self.ring.in_flight() == 0 {
                break;
            }
            self.ring.wait(Some(LAST_WAIT))?;
        }
        while let Some(done) = self.ring.done.pop_front() {
            self.give_back(done);
        }
        if works { Ok(()) } else { Err(Refusal::Lacks("receives with many results")) }
    }

    /// Gives the buffer of a completion back that nobody wants to see.
    fn give_back(&mut self, done: Done) {
        let kind = Tag::from_u64(done.tag).kind;
        if let (Some(piece), Some(buffers)) = (self.take(done), self.buffers_for(kind)) {
            buffers.give_back(piece);
        }
    }

    /// The buffers that an operation of this kind fills.
    fn buffers_for(&mut self, kind: Kind) -> Option<&mut Buffers> {
        match kind {
            Kind::Datagram => self.datagrams.as_mut().map(|datagrams| &mut datagrams.buffers),
            _ => self.buffers.as_mut(),
        }
    }

    /// Takes what a completion says that the kernel has filled.
    fn take(&mut self, done: Done) -> Option<Piece> {
        let count = done.result.unwrap_or(0) as usize;
        let buffers = self.buffers_for(Tag::from_u64(done.tag).kind)?;
        buffers.take(done.buffer()?, count, done.is_buffer_full())
    }

    /// Ends the lending of what was received.
    fn end_lending(&mut self) {
        if let (Some(piece), Some(buffers)) = (self.lent.take(), &mut self.buffers) {
            buffers.give_back(piece);
        }
        if let Some(datagrams) = &mut self.datagrams {
            datagrams.end_lending();
        }
    }

    fn slot_of(&self, key: usize) -> Option<u32> {
        self.by_key.get(key).copied().filter(|slot| *slot != NO_SLOT)
    }

    /// The slot of a key, which is free from now on.
    fn take_slot(&mut self, key: usize) -> Option<u32> {
        let slot = self.by_key.get_mut(key)?;
        Some(std::mem::replace(slot, NO_SLOT)).filter(|slot| *slot != NO_SLOT)
    }

    /// The slot that a tag means, if it is still the same.
    fn slot(&mut self, tag: Tag) -> Option<&mut Slot> {
        self.slots.get_mut(tag.slot as usize).filter(|slot| slot.generation == tag.generation)
    }

    /// Starts an operation of a slot.
    ///
    /// # Safety
    ///
    /// As for [`Ring::start`].
    unsafe fn start(&mut self, index: u32, kind: Kind, entry: io_uring::squeue::Entry) {
        let slot = &mut self.slots[index as usize];
        slot.operations += 1;
        let tag = Tag { slot: index, kind, generation: slot.generation };
        // SAFETY: handed on to our caller.
        unsafe { self.ring.start(entry, tag.to_u64()) };
    }

    fn cancel(&mut self, tag: Tag) {
        let entry = opcode::AsyncCancel::new(tag.to_u64()).build();
        self.ring.start_silent(entry, Tag::silent().to_u64());
    }

    /// Frees a closed slot of which no operation is under way.
    fn release_slot(&mut self, index: u32) {
        let slot = &self.slots[index as usize];
        if slot.closed && slot.operations == 0 {
            let slot = self.slots.remove(index as usize);
            if let Some(flight) = slot.flight {
                self.keep(flight.land());
            }
        }
    }

    /// Keeps an outbox for its next use.
    fn keep(&mut self, mut out: Box<Outbox>) {
        if self.spare.len() < SPARE_MAX && out.capacity() <= SPARE_SIZE_MAX {
            out.clear();
            self.spare.push(out);
        }
    }

    /// Looks at the completions, and closes what nobody will take any more.
    fn clear(&mut self) {
        let postponed = std::mem::take(&mut self.postponed);
        let done = std::mem::take(&mut self.ring.done);
        for done in done.into_iter().chain(postponed) {
            self.give_back(done);
            if let (Kind::Accept, Ok(number)) = (Tag::from_u64(done.tag).kind, done.result) {
                drop(slot::accepted(number));
            }
        }
    }
}

impl Drop for IoUring {
    fn drop(&mut self) {
        self.end_lending();
        for _ in 0..LAST_WAITS_MAX {
            self.ring.hand_over();
            self.clear();
            if self.ring.in_flight() == 0 {
                break;
            }
            let all = types::CancelBuilder::any();
            self.ring.start_silent(opcode::AsyncCancel2::new(all).build(), Tag::silent().to_u64());
            if let Err(error) = self.ring.wait(Some(LAST_WAIT)) {
                tracing::error!(target: "ropewalk::reactor", "a ring does not end: {error}");
                break;
            }
        }
        self.clear();
        if self.ring.in_flight() > 0 {
            tracing::error!(
                target: "ropewalk::reactor",
                count = self.ring.in_flight(),
                "operations do not end; what the kernel may still use is given up",
            );
            // The memory that they use must stay, whoever has it.
            std::mem::forget(self.buffers.take());
            std::mem::forget(self.datagrams.take());
            std::mem::forget(std::mem::take(&mut self.files));
            for slot in self.slots.drain() {
                std::mem::forget(slot.flight);
            }
        } else {
            // A ring that cannot forget them lets go of them when it is closed, below.
            let _ = self.ring.submitter().unregister_buf_ring(GROUP);
            if self.datagrams.is_some() {
                let _ = self.ring.submitter().unregister_buf_ring(DATAGRAM_GROUP);
            }
        }
    }
}

/// Whether the kernel was only short of something for a moment.
fn is_passing(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM)
}
