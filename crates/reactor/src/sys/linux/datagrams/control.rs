//! What is said beside a message.

use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{cmsghdr, msghdr};
use ropewalk_protocol::Address;
use rustix::io::Errno;

use super::Name;

/// How many bytes of control data are made room for, in words.
pub(in crate::sys) const CONTROL_SIZE: usize = 64;
/// Control data, aligned as the kernel wants it.
pub(super) type Control = [u64; CONTROL_SIZE / 8];

/// Asks the kernel to cut what is sent into datagrams of `size` bytes; answers how much of `control`
/// that takes.
pub(super) fn ask_for_segments(control: &mut Control, size: u16) -> usize {
    // SAFETY: `CMSG_LEN` and `CMSG_SPACE` only count.
    let (length, space) = unsafe {
        (libc::CMSG_LEN(size_of::<u16>() as u32), libc::CMSG_SPACE(size_of::<u16>() as u32))
    };
    let header =
        cmsghdr { cmsg_len: length as _, cmsg_level: libc::SOL_UDP, cmsg_type: libc::UDP_SEGMENT };
    let start = control.as_mut_ptr().cast::<cmsghdr>();
    // SAFETY: the control data is larger than one header and two bytes, and aligned for words; the
    // data of a message begins right behind its header, whose size is a whole number of words.
    unsafe {
        start.write(header);
        start.add(1).cast::<u16>().write(size);
    }
    space as usize
}

/// The size of the datagrams that the kernel has put together, if it says that it has.
pub(in crate::sys) fn segment_size(control: &[u8]) -> Option<usize> {
    // SAFETY: all zeros is a header without name, slices and control data.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_control = control.as_ptr().cast_mut().cast();
    message.msg_controllen = control.len() as _;
    // SAFETY: the macros look at the message's control data only, which is the slice, and answer
    // headers that lie in it whole, or null. Nothing is written. The data is read by bytes, as far as
    // the header says and the slice goes.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            let found = ptr::read_unaligned(header);
            let data = libc::CMSG_DATA(header);
            let end = control.as_ptr_range().end;
            let has_data = (end as usize).saturating_sub(data as usize) >= size_of::<i32>();
            if found.cmsg_level == libc::SOL_UDP && found.cmsg_type == libc::UDP_GRO && has_data {
                let size = ptr::read_unaligned(data.cast::<i32>());
                return usize::try_from(size).ok().filter(|&size| size > 0);
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    None
}

/// Sets an option of a socket that takes a plain structure.
pub(crate) fn set_option<T: Copy>(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &T,
) -> Result<(), Errno> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of the value, which is borrowed, and the descriptor is
    // open.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// Joins or leaves a group for one source, on an interface by its number or on any, which is 0, for
/// either family.
pub(crate) fn source_membership(
    socket: BorrowedFd<'_>,
    group: IpAddr,
    source: IpAddr,
    interface: u32,
    join: bool,
) -> Result<(), Errno> {
    let name = |ip: IpAddr| {
        let mut name = Name::empty();
        name.set(&Address::Ip(SocketAddr::new(ip, 0))).map(|()| name.storage)
    };
    let (gsr_group, gsr_source) = name(group).zip(name(source)).ok_or(Errno::INVAL)?;
    let request = libc::group_source_req { gsr_interface: interface, gsr_group, gsr_source };
    let level = if group.is_ipv4() { libc::IPPROTO_IP } else { libc::IPPROTO_IPV6 };
    let option = if join { libc::MCAST_JOIN_SOURCE_GROUP } else { libc::MCAST_LEAVE_SOURCE_GROUP };
    set_option(socket, level, option, &request)
}

/// What the C library says of the call that has just failed.
pub(in crate::sys) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
