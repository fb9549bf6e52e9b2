//! Datagrams in, with `recvmmsg`.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{iovec, mmsghdr};
use rustix::io::Errno;

use super::control::{CONTROL_SIZE, Control, last_error};
use super::{Name, segment_size};
use crate::sys::datagrams::{LENGTH_MAX, Message};

/// How many messages one call receives at most.
const MESSAGES_MAX: usize = 32;
/// How far apart the messages lie: were it a power of two, the beginnings of all would compete for
/// the same lines of the processor's cache.
const STRIDE: usize = LENGTH_MAX + 1 + 192;

/// Room for a batch of messages, and the batch.
///
/// The memory is the system's until something is received into it, so what is resident is little more
/// than the longest datagrams that came.
pub(in crate::sys) struct Receiver {
    memory: Vec<u8>,
    names: Vec<Name>,
    controls: Vec<Control>,
    slices: Vec<iovec>,
    headers: Vec<mmsghdr>,
    /// Of the last batch, how many messages there are and how many have been looked at.
    count: usize,
    next: usize,
}

impl Receiver {
    pub(in crate::sys) fn new() -> Self {
        let slice = iovec { iov_base: ptr::null_mut(), iov_len: LENGTH_MAX + 1 };
        // SAFETY: all zeros is a header without name, slices and control data.
        let header: mmsghdr = unsafe { std::mem::zeroed() };
        let mut this = Self {
            memory: vec![0; MESSAGES_MAX * STRIDE],
            names: vec![Name::empty(); MESSAGES_MAX],
            controls: vec![[0; CONTROL_SIZE / 8]; MESSAGES_MAX],
            slices: vec![slice; MESSAGES_MAX],
            headers: vec![header; MESSAGES_MAX],
            count: MESSAGES_MAX,
            next: MESSAGES_MAX,
        };
        let memory = this.memory.as_mut_ptr();
        let (names, controls) = (this.names.as_mut_ptr(), this.controls.as_mut_ptr());
        let slices = this.slices.as_mut_ptr();
        for (index, header) in this.headers.iter_mut().enumerate() {
            // SAFETY: each vector has `MESSAGES_MAX` elements, the memory so many strides.
            unsafe {
                (*slices.add(index)).iov_base = memory.add(index * STRIDE).cast();
                header.msg_hdr.msg_name = (&raw mut (*names.add(index)).storage).cast();
                header.msg_hdr.msg_control = controls.add(index).cast();
                header.msg_hdr.msg_iov = slices.add(index);
            }
            header.msg_hdr.msg_iovlen = 1;
        }
        this
    }

    /// Receives what has come at a socket, up to a batch.
    pub(in crate::sys) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        for header in &mut self.headers[..self.count] {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = CONTROL_SIZE as _;
            header.msg_hdr.msg_flags = 0;
        }
        (self.count, self.next) = (0, 0);
        // SAFETY: the headers point to names, slices, control data and memory of the sizes that they
        // say, which are this value's and borrowed by nobody during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                MESSAGES_MAX as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        self.count = usize::try_from(count).map_err(|_| last_error())?;
        Ok(())
    }

    /// The next message of the batch.
    pub(in crate::sys) fn next(&mut self) -> Option<Message> {
        if self.next >= self.count {
            return None;
        }
        let index = self.next;
        self.next += 1;
        let header = &self.headers[index];
        let len = (header.msg_len as usize).min(LENGTH_MAX + 1);
        let name = &mut self.names[index];
        name.len = header.msg_hdr.msg_namelen;
        let control_len = header.msg_hdr.msg_controllen.min(CONTROL_SIZE);
        let segment = if control_len == 0 {
            None
        } else {
            let control = self.controls[index].as_ptr().cast::<u8>();
            // SAFETY: the control data is `CONTROL_SIZE` bytes, all initialised.
            segment_size(unsafe { std::slice::from_raw_parts(control, control_len) })
        };
        Some(Message {
            start: index * STRIDE,
            len,
            segment: segment.unwrap_or(len),
            from: name.address(),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        })
    }

    /// Forgets what is left of the batch.
    pub(in crate::sys) fn clear(&mut self) {
        self.next = self.count;
    }

    /// The bytes of a message of the present batch.
    pub(in crate::sys) fn bytes(&self, message: &Message) -> &[u8] {
        &self.memory[message.start..message.start + message.len]
    }
}
