//! Ports for datagrams.

use std::io;

use io_uring::types::RecvMsgOut;
use io_uring::{opcode, squeue, types};
use libc::msghdr;
use ropewalk_protocol::DatagramQueue;
use rustix::io::Errno;

use super::buffers::{Buffers, DATAGRAM_GROUP, Piece};
use super::input::Found;
use super::ring::{Done, Ring};
use super::slot::Tag;
use super::{IoUring, is_passing};
use crate::sys::Completion;
use crate::sys::datagrams::Mishap;
use crate::sys::linux::datagrams::{CONTROL_SIZE, Sender, address_of, segment_size};
use crate::sys::readiness::misfortune;

/// What all ports share.
pub(super) struct Datagrams {
    pub(super) buffers: Buffers,
    /// What the kernel is to say of each message: it is read when a receive is started.
    header: msghdr,
    sender: Sender,
    /// What is lent out.
    lent: Option<Piece>,
}

impl Datagrams {
    /// Makes the buffers and tells the kernel of them.
    ///
    /// # Safety
    ///
    /// It must not be dropped while an operation of `ring` may still fill one of its buffers.
    pub(super) unsafe fn new(ring: &Ring) -> io::Result<Self> {
        // SAFETY: handed on to our caller.
        let buffers = unsafe { Buffers::for_datagrams(ring) }?;
        // SAFETY: all zeros is a header without name, slices and control data.
        let mut header: msghdr = unsafe { std::mem::zeroed() };
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        header.msg_controllen = CONTROL_SIZE as _;
        Ok(Self { buffers, header, sender: Sender::new(), lent: None })
    }

    /// The operation that receives. It points to this value's header.
    pub(super) fn entry(&self, socket: types::Fd) -> squeue::Entry {
        opcode::RecvMsgMulti::new(socket, &raw const self.header, DATAGRAM_GROUP).build()
    }

    pub(super) fn end_lending(&mut self) {
        if let Some(piece) = self.lent.take() {
            self.buffers.give_back(piece);
        }
    }

    /// Lends a message out.
    pub(super) fn lend(&mut self, key: usize, piece: Piece) -> Completion<'_> {
        self.lent = Some(piece);
        let bytes = self.buffers.bytes(piece);
        let Ok(message) = RecvMsgOut::parse(bytes, &self.header) else {
            return misfortune(key, Errno::IO);
        };
        // It is what comes last.
        let data = &bytes[bytes.len() - message.payload_data().len()..];
        Completion::Datagram {
            key,
            data,
            segment: segment_size(message.control_data()).unwrap_or(data.len()),
            from: address_of(message.name_data()),
            truncated: message.is_payload_truncated(),
        }
    }
}

impl IoUring {
    /// A receive has a message, or has ended.
    pub(super) fn datagram(&mut self, tag: Tag, done: Done, last: bool) -> Option<Found> {
        if last {
            self.to_arm.push(tag);
        }
        let key = self.slots[tag.slot as usize].key();
        match done.result {
            Ok(_) => Some(Found::Datagram(key, self.take(done)?)),
            // All buffers are taken, or memory is short: they come back before the next wait.
            Err(error) if is_passing(error) || error == Errno::CANCELED => None,
            Err(error) => Some(Found::Other(misfortune(key, error))),
        }
    }

    pub(super) fn send_now(
        &mut self,
        index: u32,
        queue: &mut DatagramQueue,
        mishaps: &mut Vec<Mishap>,
    ) -> io::Result<bool> {
        let slot = &mut self.slots[index as usize];
        let Some(datagrams) = &mut self.datagrams else { return Err(Errno::BADF.into()) };
        let mut segmenting = !slot.single;
        let sent = self.sockets.with(slot.key(), |socket| {
            datagrams.sender.send(socket, queue, &mut segmenting, mishaps)
        });
        slot.single = !segmenting;
        let is_waiting = slot.sending.is_some();
        let full = sent.unwrap_or(Err(Errno::BADF))?;
        if full && !is_waiting {
            self.wait_for_room(index);
        }
        Ok(full)
    }
}
