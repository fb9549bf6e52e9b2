//! Why a connection ended.

use std::fmt;
use std::io;

use crate::{DescriptorsLost, TlsFault};

/// Why a connection ended, or was never made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Disconnect {
    /// Cleanly: one side closed, and all that was written was handed over.
    Closed,
    /// This side gave up on it with [`Conn::abort`](crate::Conn::abort).
    Aborted,
    /// The peer gave up on it.
    Reset,
    /// No connection: nobody listens there.
    Refused,
    /// No connection: no way leads to that host (`EHOSTUNREACH`).
    Unreachable,
    /// No connection: no way leads to its network, such as IPv6 where there is none (`ENETUNREACH`).
    NetworkUnreachable,
    /// No connection within the time given, or a connection that the network gave up on.
    TimedOut,
    /// No connection: the name has no address.
    UnknownHost,
    /// The protocol panicked; the panic was logged.
    Panicked,
    /// Another protocol took the connection over.
    Switched,
    /// More output piled up than [`Marks::max`](crate::Marks) allows.
    Overflowed,
    /// The reactor stopped.
    Stopped,
    /// TLS broke off; [`Conn::cause`](crate::Conn::cause) says what was expected.
    Tls(TlsFault),
    /// More descriptors came at once than [were accepted](crate::Conn::accept_descriptors), or than this
    /// process may open.
    DescriptorsLost,
    /// Anything else that the system said.
    Failed(io::ErrorKind),
}

impl Disconnect {
    /// Whether the same attempt may well succeed a little later.
    pub fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::Reset
                | Self::Refused
                | Self::Unreachable
                | Self::NetworkUnreachable
                | Self::TimedOut
                | Self::UnknownHost
        )
    }
}

impl From<&io::Error> for Disconnect {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::HostUnreachable => Self::Unreachable,
            io::ErrorKind::NetworkUnreachable => Self::NetworkUnreachable,
            kind => match error.get_ref() {
                Some(source) if source.is::<DescriptorsLost>() => Self::DescriptorsLost,
                _ => Self::Failed(kind),
            },
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection was closed",
            Self::Aborted => "the connection was aborted on this side",
            Self::Reset => "the peer reset the connection",
            Self::Refused => "the connection was refused",
            Self::Unreachable => "the peer cannot be reached",
            Self::NetworkUnreachable => "the peer's network cannot be reached",
            Self::TimedOut => "the connection timed out",
            Self::UnknownHost => "the host name has no address",
            Self::Panicked => "the protocol panicked",
            Self::Switched => "another protocol took the connection over",
            Self::Overflowed => "too much output was waiting to be sent",
            Self::Stopped => "the reactor stopped",
            Self::DescriptorsLost => return DescriptorsLost.fmt(f),
            Self::Tls(fault) => return write!(f, "TLS broke off: {fault}"),
            Self::Failed(kind) => return write!(f, "the connection failed: {kind}"),
        })
    }
}

impl std::error::Error for Disconnect {}
