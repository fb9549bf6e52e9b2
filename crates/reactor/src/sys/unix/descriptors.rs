//! Descriptors beside bytes.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use ropewalk_protocol::{DESCRIPTORS_AT_ONCE_MAX, Descriptor, DescriptorsLost, Outbox};
use rustix::cmsg_space;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, recvmsg, sendmsg,
};

use super::os;
use crate::sys::readiness::SLICES_MAX;

/// Room for what one message can say of descriptors.
type Control = [MaybeUninit<u8>; cmsg_space!(ScmRights(DESCRIPTORS_AT_ONCE_MAX))];

/// Sends the descriptors at the front of `out` together with what is behind them; answers how many bytes
/// went and how many were asked for. All of the descriptors went if any byte did.
pub(crate) fn send_passing(socket: BorrowedFd<'_>, out: &Outbox) -> Result<(u64, u64), Errno> {
    let descriptors: Vec<_> = out.front_descriptors().map(AsFd::as_fd).collect();
    let mut space: Control = [MaybeUninit::uninit(); _];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::MSGSIZE);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = out.gather_passed(&mut slices);
    // Of a file the first byte goes with them, and the rest its own way.
    let first = match count {
        0 => out.first_byte().map_err(|error| errno(&error))?,
        _ => None,
    };
    if let Some(first) = &first {
        slices[0] = IoSlice::new(std::slice::from_ref(first));
        count = 1;
    }
    let asked = slices[..count].iter().map(|slice| slice.len() as u64).sum();
    let sent = sendmsg(socket, &slices[..count], &mut control, os::SEND_FLAGS)?;
    Ok((sent as u64, asked))
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(os::FILE_ERROR)
}

/// Receives into `buffer`, and adds the descriptors that came to `arrived`; answers how many bytes those
/// were.
///
/// # Errors
///
/// What the system says, or [`DescriptorsLost`] if more than `at_once` came or some are lost; the others
/// are closed then.
pub(crate) fn receive_passed(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    at_once: usize,
    arrived: &mut VecDeque<Descriptor>,
) -> io::Result<usize> {
    let mut space: Control = [MaybeUninit::uninit(); _];
    // Room for a few more, as systems align it: they are counted below.
    let room = cmsg_space!(ScmRights(at_once)).min(space.len());
    let mut control = RecvAncillaryBuffer::new(&mut space[..room]);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = recvmsg(socket, &mut slices, &mut control, os::PASSED_FLAGS)?;
    let mut count = 0;
    for message in control.drain() {
        let RecvAncillaryMessage::ScmRights(descriptors) = message else { continue };
        for descriptor in descriptors {
            if os::PASSED_FLAGS.is_empty() {
                fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
            }
            count += 1;
            arrived.push_back(descriptor.into());
        }
    }
    if count > at_once || received.flags.contains(ReturnFlags::CTRUNC) {
        arrived.clear();
        return Err(DescriptorsLost.into());
    }
    Ok(received.bytes)
}
