//! Datagrams in and out of sockets, many with one call.
//!
//! What the kernel does to save itself work is undone or asked for here: it may deliver several
//! datagrams of one sender as one (GRO), and take several for one receiver as one (GSO).

mod control;
mod name;
mod receive;
mod send;

use std::os::fd::BorrowedFd;

use ropewalk_protocol::{Address, SendError};
use rustix::io::Errno;
use rustix::net::AddressFamily;

pub(super) use control::{CONTROL_SIZE, segment_size};
pub(crate) use control::{SourceMembership, source_membership};
pub(super) use name::{Name, address_of};
pub(super) use receive::{Message, Receiver};
pub(super) use send::Sender;

/// The longest datagram that is received whole, in bytes: there is no longer one over IP.
pub(super) const LENGTH_MAX: usize = 65_535;

/// What went wrong with datagrams, which concerns their port and does not end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Nobody receives at the peer that the port is connected to.
    Refused,
    /// A datagram was not sent and is given up, or one that was did not arrive.
    Unsent {
        /// Where it was to go, if not to the peer.
        to: Option<Address>,
        /// Why it did not.
        why: SendError,
    },
}

impl Mishap {
    /// What an error means that a socket tells of by itself, if its port can go on.
    pub(super) fn reported(error: Errno) -> Option<Self> {
        match error {
            Errno::CONNREFUSED => Some(Self::Refused),
            Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN => {
                Some(Self::Unsent { to: None, why: SendError::Unreachable })
            }
            Errno::MSGSIZE => Some(Self::Unsent { to: None, why: SendError::TooLong }),
            Errno::PROTO | Errno::NOPROTOOPT | Errno::ACCESS | Errno::CONNRESET => {
                Some(Self::Unsent { to: None, why: send_error(error) })
            }
            _ => None,
        }
    }
}

/// Why a datagram was not sent.
pub(super) fn send_error(error: Errno) -> SendError {
    match error {
        Errno::MSGSIZE => SendError::TooLong,
        Errno::DESTADDRREQ | Errno::NOTCONN => SendError::NotConnected,
        Errno::AFNOSUPPORT | Errno::INVAL | Errno::ISCONN | Errno::PROTOTYPE => {
            SendError::WrongAddress
        }
        Errno::HOSTDOWN | Errno::NETDOWN => SendError::Unreachable,
        other => SendError::from(&std::io::Error::from(other)),
    }
}

/// Whether the kernel may be given several datagrams as one at this socket. Others than UDP's do not
/// refuse that: they send the one.
pub(super) fn may_segment(socket: BorrowedFd<'_>) -> bool {
    let family = rustix::net::sockopt::socket_domain(socket);
    matches!(family, Ok(AddressFamily::INET | AddressFamily::INET6))
}

/// Lets the kernel deliver datagrams of one sender together, if it can.
pub(crate) fn coalesce(socket: BorrowedFd<'_>) {
    // Where it cannot, each comes alone.
    let _ = control::set_option(socket, libc::SOL_UDP, libc::UDP_GRO, &1_i32);
}
