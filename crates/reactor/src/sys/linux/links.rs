//! Tunnels, and Ethernet frames.

use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};

use libc::{c_short, ifreq, sockaddr_ll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::datagrams::last_error;

/// Opens a tunnel, whose packets come without a header of the system's; answers its name too.
pub(crate) fn open_tunnel(name: &str, is_tap: bool) -> Result<(OwnedFd, String), Errno> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tunnel = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    // SAFETY: all zeros is a request without a name.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    // Its last byte stays zero.
    if name.len() >= request.ifr_name.len() || name.bytes().any(|byte| byte == 0) {
        return Err(Errno::NAMETOOLONG);
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    let kind = if is_tap { libc::IFF_TAP } else { libc::IFF_TUN };
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI) as c_short;
    // SAFETY: the operation reads and writes one such request.
    unsafe {
        ioctl(&tunnel, Updater::<{ libc::TUNSETIFF as Opcode }, ifreq>::new(&mut request))?;
    }
    let name = request.ifr_name.iter().take_while(|byte| **byte != 0);
    let name: Vec<u8> = name.map(|byte| *byte as u8).collect();
    Ok((tunnel, String::from_utf8_lossy(&name).into_owned()))
}

/// Opens a socket for whole Ethernet frames of a kind over an interface.
pub(crate) fn open_frames(interface: &str, kind: u16) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    // Of no kind yet, so that none comes in from elsewhere before it is bound.
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    let index = name_to_index(&socket, interface)?;
    // SAFETY: all zeros is an address, of no family.
    let mut address: sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = kind.to_be();
    address.sll_ifindex = index as i32;
    let one: libc::c_int = 1;
    // SAFETY: the option's value is one `int`, which the system copies.
    let ignored = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const one).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if ignored < 0 {
        return Err(last_error());
    }
    // SAFETY: the address is as long as it is said to be, and the system copies it.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<sockaddr_ll>() as libc::socklen_t,
        )
    };
    if bound < 0 { Err(last_error()) } else { Ok(socket) }
}
