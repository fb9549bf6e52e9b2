//! Output that the kernel reads from.

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::ptr;

use io_uring::{opcode, squeue, types};
use libc::{iovec, msghdr};
use ropewalk_protocol::Outbox;
use rustix::net::SendFlags;

use crate::sys::readiness::SLICES_MAX;

/// An outbox out of which one operation sends. Nobody touches it until that is done.
pub(super) struct Flight {
    out: Box<Outbox>,
    /// What a send of several slices consists of.
    gather: Option<Box<Gather>>,
}

struct Gather {
    header: msghdr,
    slices: [iovec; SLICES_MAX],
}

impl Flight {
    pub(super) fn new(out: Box<Outbox>) -> Self {
        Self { out, gather: None }
    }

    pub(super) fn len(&self) -> u64 {
        self.out.len()
    }

    /// The operation that sends from the front of the outbox, where bytes are. It points into this
    /// flight, also when that is moved, until [`land`](Self::land).
    pub(super) fn entry(&mut self, socket: RawFd) -> squeue::Entry {
        let flags = SendFlags::NOSIGNAL.bits();
        let socket = types::Fd(socket);
        if self.out.is_one_slice() {
            let front = self.out.front();
            let count = front.len().min(i32::MAX as usize) as u32;
            return opcode::Send::new(socket, front.as_ptr(), count).flags(flags as i32).build();
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.out.gather(&mut slices);
        let gather = self.gather.get_or_insert_with(|| Box::new(Gather::empty()));
        for (place, slice) in gather.slices.iter_mut().zip(&slices[..count]) {
            place.iov_base = slice.as_ptr().cast_mut().cast();
            place.iov_len = slice.len();
        }
        gather.header.msg_iov = gather.slices.as_mut_ptr();
        gather.header.msg_iovlen = count as _;
        opcode::SendMsg::new(socket, &raw const gather.header).flags(flags).build()
    }

    /// The operation is done: gives the outbox free.
    #[expect(clippy::unnecessary_box_returns, reason = "the box is used again")]
    pub(super) fn land(self) -> Box<Outbox> {
        self.out
    }
}

impl Gather {
    fn empty() -> Self {
        let slice = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        // SAFETY: all zeros is a header without name, slices and control data.
        let header = unsafe { std::mem::zeroed() };
        Self { header, slices: [slice; SLICES_MAX] }
    }
}
