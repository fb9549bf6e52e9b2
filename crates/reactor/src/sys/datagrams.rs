//! What is the same about datagrams on every system.

use ropewalk_protocol::{Address, SendError};
use rustix::io::Errno;

use super::os;

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
            _ if os::is_refusal(error) => Some(Self::Refused),
            Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::HOSTDOWN | Errno::NETDOWN => {
                Some(Self::Unsent { to: None, why: SendError::Unreachable })
            }
            Errno::MSGSIZE => Some(Self::Unsent { to: None, why: SendError::TooLong }),
            os::PROTOCOL_ERROR | Errno::NOPROTOOPT | Errno::ACCESS | Errno::CONNRESET => {
                Some(Self::Unsent { to: None, why: send_error(error) })
            }
            _ => None,
        }
    }
}

/// Why a datagram was not sent.
pub(crate) fn send_error(error: Errno) -> SendError {
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

/// A message: one datagram, or several of one sender put together.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) start: usize,
    pub(super) len: usize,
    /// How long each of its datagrams is, but perhaps the last.
    pub(super) segment: usize,
    pub(super) from: Address,
    pub(super) truncated: bool,
}
