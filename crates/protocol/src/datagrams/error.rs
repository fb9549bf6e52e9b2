//! Why a datagram was not sent.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a datagram was not sent, or will not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// More waits to be sent than the port's queue may hold.
    QueueFull,
    /// The receiver, a process on this machine, takes none at the moment: its own queue is full.
    PeerFull,
    /// It is longer than a datagram may be on this way.
    TooLong,
    /// There is no peer to send to: the port is not connected.
    NotConnected,
    /// The port is not open yet, is closing, or is closed.
    Closed,
    /// The address is none that this kind of port can send to.
    WrongAddress,
    /// The system does not let this process send there: broadcasts want leave first, and a packet
    /// filter may say no.
    NotPermitted,
    /// Nobody receives there.
    Refused,
    /// No way leads there.
    Unreachable,
    /// Anything else that the system said.
    Failed(io::ErrorKind),
}

impl SendError {
    /// Whether the same datagram may well be sent a little later.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::QueueFull | Self::PeerFull | Self::Refused | Self::Unreachable)
    }
}

impl From<&io::Error> for SendError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            io::ErrorKind::NotConnected => Self::NotConnected,
            kind => Self::Failed(kind),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "too many datagrams wait to be sent",
            Self::PeerFull => "the receiver's queue is full",
            Self::TooLong => "the datagram is too long",
            Self::NotConnected => "the port is not connected to a peer",
            Self::Closed => "the port is not open",
            Self::WrongAddress => "this port cannot send to such an address",
            Self::NotPermitted => "the system does not permit it",
            Self::Refused => "nobody receives there",
            Self::Unreachable => "no way leads there",
            Self::Failed(kind) => return write!(f, "the system refused: {kind}"),
        })
    }
}

impl Error for SendError {}
