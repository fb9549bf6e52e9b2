//! Datagrams out, with `sendmmsg`.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{iovec, mmsghdr};
use ropewalk_protocol::{Address, DatagramQueue, SendError};
use rustix::io::Errno;

use super::Name;
use super::control::{CONTROL_SIZE, Control, ask_for_segments, last_error};
use crate::sys::datagrams::{Mishap, send_error};

/// How many messages one call sends at most.
const MESSAGES_MAX: usize = 64;
/// How many calls one port may spend on its output in one turn.
const CALLS_MAX: usize = 8;
/// How many datagrams the kernel is given as one at most, and how many bytes.
const SEGMENTS_MAX: usize = 64;
const RUN_BYTES_MAX: usize = 64_000;
/// From how many datagrams on that is worth it.
const SEGMENTS_MIN: usize = 2;

/// Room for a batch of messages.
pub(in crate::sys) struct Sender {
    names: Vec<Name>,
    controls: Vec<Control>,
    slices: Vec<iovec>,
    headers: Vec<mmsghdr>,
    /// How many datagrams each message is.
    runs: Vec<usize>,
}

/// How a batch went.
enum Step {
    /// So many datagrams have gone.
    Sent(usize),
    /// The first of so many datagrams could not go.
    Failed(usize, Errno),
    /// The first address is none that the kernel knows.
    NoName,
}

impl Sender {
    pub(in crate::sys) fn new() -> Self {
        // SAFETY: all zeros is a header without name, slices and control data.
        let header: mmsghdr = unsafe { std::mem::zeroed() };
        let slice = iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            names: vec![Name::empty(); MESSAGES_MAX],
            controls: vec![[0; CONTROL_SIZE / 8]; MESSAGES_MAX],
            slices: vec![slice; MESSAGES_MAX],
            headers: vec![header; MESSAGES_MAX],
            runs: Vec::with_capacity(MESSAGES_MAX),
        }
    }

    /// Sends what the socket takes off the front of `queue`; answers whether it takes no more for
    /// now. `segmenting` is whether the kernel may be given several datagrams as one, and becomes
    /// false if it turns out that it may not.
    pub(in crate::sys) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        queue: &mut DatagramQueue,
        segmenting: &mut bool,
        mishaps: &mut Vec<Mishap>,
    ) -> Result<bool, Errno> {
        let mut has_reported = false;
        for _ in 0..CALLS_MAX {
            if queue.is_empty() {
                return Ok(false);
            }
            let (run, error) = match self.step(socket, queue, *segmenting) {
                Step::Sent(count) => {
                    queue.advance(count);
                    has_reported = false;
                    continue;
                }
                Step::NoName => {
                    give_up(queue, SendError::WrongAddress, mishaps);
                    continue;
                }
                Step::Failed(run, error) => (run, error),
            };
            let is_local = queue.front().is_some_and(|front| is_local(front.to));
            match error {
                Errno::INTR => (),
                // Nobody tells when the receiver's queue has room again.
                Errno::AGAIN if is_local => give_up(queue, SendError::PeerFull, mishaps),
                Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM => return Ok(true),
                Errno::BADF | Errno::NOTSOCK | Errno::FAULT => return Err(error),
                // The device or the way cannot do it.
                _ if run > 1 => *segmenting = false,
                // A report on what was sent before, in the place of this, which is tried again.
                Errno::CONNREFUSED if !is_local && !has_reported => {
                    has_reported = true;
                    mishaps.push(Mishap::Refused);
                }
                error => give_up(queue, send_error(error), mishaps),
            }
        }
        Ok(!queue.is_empty())
    }

    /// Makes one call.
    fn step(&mut self, socket: BorrowedFd<'_>, queue: &DatagramQueue, segmenting: bool) -> Step {
        if self.fill(queue, segmenting) == 0 {
            return Step::NoName;
        }
        let count = self.runs.len();
        // SAFETY: the headers point to names, slices and control data of this value and to the bytes
        // of the queue, all of them borrowed until after the call, in which the kernel only reads.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as u32,
                libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            )
        };
        match usize::try_from(sent) {
            Ok(sent) => Step::Sent(self.runs[..sent.min(count)].iter().sum()),
            Err(_) => Step::Failed(self.runs[0], last_error()),
        }
    }

    /// Makes messages of the front of the queue; answers how many, which is none if the first has no
    /// address that can be said.
    fn fill(&mut self, queue: &DatagramQueue, segmenting: bool) -> usize {
        self.runs.clear();
        let bytes = queue.bytes();
        let mut offset = 0;
        let mut waiting = queue.iter().peekable();
        while let Some(first) = waiting.next() {
            let index = self.runs.len();
            if index == MESSAGES_MAX {
                break;
            }
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = ptr::null_mut();
            header.msg_namelen = 0;
            if let Some(to) = first.to {
                let name = &mut self.names[index];
                if name.set(to).is_none() {
                    break;
                }
                header.msg_name = (&raw mut name.storage).cast();
                header.msg_namelen = name.len;
            }
            let size = first.data.len();
            let (mut run, mut len, mut is_even) = (1, size, segmenting && size > 0);
            while is_even
                && run < SEGMENTS_MAX
                && let Some(next) = waiting.next_if(|next| {
                    next.to == first.to
                        && (1..=size).contains(&next.data.len())
                        && len + next.data.len() <= RUN_BYTES_MAX
                })
            {
                run += 1;
                len += next.data.len();
                // Only the last may be shorter.
                is_even = next.data.len() == size;
            }
            header.msg_control = ptr::null_mut();
            header.msg_controllen = 0;
            if run >= SEGMENTS_MIN {
                let control = &mut self.controls[index];
                header.msg_controllen = ask_for_segments(control, size as u16) as _;
                header.msg_control = control.as_mut_ptr().cast();
            }
            let slice = &mut self.slices[index];
            slice.iov_base = bytes[offset..].as_ptr().cast_mut().cast();
            slice.iov_len = len;
            header.msg_iov = slice;
            header.msg_iovlen = 1;
            offset += len;
            self.runs.push(run);
        }
        self.runs.len()
    }
}

/// Whether datagrams go to a process on this machine, by its name.
fn is_local(to: Option<&Address>) -> bool {
    to.is_some_and(|to| to.ip().is_none())
}

/// Drops the first datagram, which cannot be sent.
fn give_up(queue: &mut DatagramQueue, why: SendError, mishaps: &mut Vec<Mishap>) {
    let to = queue.front().and_then(|front| front.to.cloned());
    mishaps.push(Mishap::Unsent { to, why });
    queue.advance(1);
}
