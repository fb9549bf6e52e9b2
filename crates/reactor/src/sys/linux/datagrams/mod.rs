//! Datagrams in and out of sockets, many with one call.
//!
//! What the kernel does to save itself work is undone or asked for here: it may deliver several
//! datagrams of one sender as one (GRO), and take several for one receiver as one (GSO).

mod control;
mod name;
mod receive;
mod send;

use rustix::fd::BorrowedFd;
use rustix::net::AddressFamily;

pub(crate) use control::source_membership;
pub(in crate::sys) use control::{CONTROL_SIZE, last_error, segment_size};
pub(in crate::sys) use name::{Name, address_of};
pub(in crate::sys) use receive::Receiver;
pub(in crate::sys) use send::Sender;

/// Whether the kernel may be given several datagrams as one at this socket. Others than UDP's do not
/// refuse that: they send the one.
pub(in crate::sys) fn may_segment(socket: BorrowedFd<'_>) -> bool {
    let family = rustix::net::sockopt::socket_domain(socket);
    matches!(family, Ok(AddressFamily::INET | AddressFamily::INET6))
}

/// Lets the kernel deliver datagrams of one sender together, if it can.
pub(crate) fn coalesce(socket: BorrowedFd<'_>) {
    // Where it cannot, each comes alone.
    let _ = control::set_option(socket, libc::SOL_UDP, libc::UDP_GRO, &1_i32);
}
