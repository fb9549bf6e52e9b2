use std::error::Error;
use std::fmt;
use std::io;

use ropewalk_forward::Interrupted;
use ropewalk_protocol::Disconnect;

use crate::codec::{LOGIN_MAX, NAME_MAX, USER_MAX};

/// Why bytes are no message of SOCKS, or a message cannot be written: one variant a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadMessage {
    /// The first byte is that of no version, or of another than was agreed on.
    Version {
        /// The byte.
        version: u8,
    },
    /// A login is of another version than 1.
    LoginVersion {
        /// The version.
        version: u8,
    },
    /// No such command, or not in this version.
    Command {
        /// The command.
        command: u8,
    },
    /// No such kind of address.
    AddressType {
        /// The kind.
        kind: u8,
    },
    /// An address that version 4 does not have: of IPv6, or `0.0.0.1` to `0.0.0.255`.
    AddressFamily,
    /// The name of a host is empty, too long, or no graphic ASCII.
    Name,
    /// The user of version 4 is too long, or has a zero in it.
    LongUser,
    /// A user name or a password is too long.
    LongLogin,
    /// A datagram is one of several parts.
    Fragment {
        /// Its number, or the last one's and 128.
        fragment: u8,
    },
    /// A datagram is shorter than what must stand in front.
    ShortDatagram,
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Version { version } => {
                write!(f, "this is no SOCKS: it begins with {version}, not 4 or 5")
            }
            Self::LoginVersion { version } => {
                write!(f, "the login is of version {version}, not 1")
            }
            Self::Command { command } => write!(f, "there is no command {command} here"),
            Self::AddressType { kind } => write!(f, "there is no kind of address {kind}"),
            Self::AddressFamily => f.write_str("version 4 has no such addresses"),
            Self::Name => {
                write!(f, "the host's name is not made of 1 to {NAME_MAX} graphic characters")
            }
            Self::LongUser => write!(f, "the user is longer than {USER_MAX} bytes, or has zeros"),
            Self::LongLogin => {
                write!(f, "the user name or the password is longer than {LOGIN_MAX} bytes")
            }
            Self::Fragment { fragment } => write!(f, "the datagram is part {fragment} of another"),
            Self::ShortDatagram => f.write_str("the datagram is too short for where it is to go"),
        }
    }
}

impl Error for BadMessage {}

/// Why a server does not do what it is asked for (RFC 1928, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It cannot, and does not say why. All that version 4 says.
    Failed,
    /// Its rules do not allow it.
    NotAllowed,
    /// No way leads to the network.
    NetworkUnreachable,
    /// No way leads to the host.
    HostUnreachable,
    /// Nobody listens there.
    ConnectionRefused,
    /// It took too long.
    TooLate,
    /// It does not know the command.
    Command,
    /// It does not know the kind of address.
    AddressType,
    /// It cannot ask the client's own machine who the user is (version 4).
    NoIdent,
    /// The client's own machine says that the user is another (version 4).
    WrongIdent,
    /// Something else, by number.
    Other(u8),
}

impl Refusal {
    /// What to say of a connection that was not made.
    pub fn of(why: Disconnect) -> Self {
        match why {
            Disconnect::Refused => Self::ConnectionRefused,
            Disconnect::Unreachable | Disconnect::UnknownHost => Self::HostUnreachable,
            Disconnect::NetworkUnreachable => Self::NetworkUnreachable,
            Disconnect::TimedOut => Self::TooLate,
            _ => Self::Failed,
        }
    }

    /// What a protocol is told that did not get its connection because of this.
    pub fn disconnect(self) -> Disconnect {
        match self {
            Self::ConnectionRefused => Disconnect::Refused,
            Self::HostUnreachable => Disconnect::Unreachable,
            Self::NetworkUnreachable => Disconnect::NetworkUnreachable,
            Self::TooLate => Disconnect::TimedOut,
            Self::NotAllowed => Disconnect::Failed(io::ErrorKind::PermissionDenied),
            Self::Command | Self::AddressType => Disconnect::Failed(io::ErrorKind::Unsupported),
            Self::Failed | Self::NoIdent | Self::WrongIdent | Self::Other(_) => {
                Disconnect::Failed(io::ErrorKind::Other)
            }
        }
    }

    pub(crate) fn from_code5(code: u8) -> Self {
        match code {
            1 => Self::Failed,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TooLate,
            7 => Self::Command,
            8 => Self::AddressType,
            code => Self::Other(code),
        }
    }

    pub(crate) fn code5(self) -> u8 {
        match self {
            Self::Failed | Self::NoIdent | Self::WrongIdent => 1,
            Self::NotAllowed => 2,
            Self::NetworkUnreachable => 3,
            Self::HostUnreachable => 4,
            Self::ConnectionRefused => 5,
            Self::TooLate => 6,
            Self::Command => 7,
            Self::AddressType => 8,
            // Zero would be a success.
            Self::Other(code) => code.max(1),
        }
    }

    pub(crate) fn from_code4(code: u8) -> Self {
        match code {
            91 => Self::Failed,
            92 => Self::NoIdent,
            93 => Self::WrongIdent,
            code => Self::Other(code),
        }
    }

    pub(crate) fn code4(self) -> u8 {
        match self {
            Self::NoIdent => 92,
            Self::WrongIdent => 93,
            // 90 would be a success.
            Self::Other(code) if code != 90 => code,
            _ => 91,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "the proxy cannot do that",
            Self::NotAllowed => "the proxy's rules do not allow it",
            Self::NetworkUnreachable => "the proxy cannot reach the network",
            Self::HostUnreachable => "the proxy cannot reach the host",
            Self::ConnectionRefused => "nobody listens there, says the proxy",
            Self::TooLate => "it took too long, says the proxy",
            Self::Command => "the proxy does not know the command",
            Self::AddressType => "the proxy does not know the kind of address",
            Self::NoIdent => "the proxy cannot find out who the user is",
            Self::WrongIdent => "the proxy believes the user to be another",
            Self::Other(code) => return write!(f, "the proxy refuses with code {code}"),
        })
    }
}

impl Error for Refusal {}

/// Why a client did not get what it asked a proxy for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy refuses.
    Refused(Refusal),
    /// The proxy wants the client to identify itself in a way that it cannot or may not.
    NoMethod,
    /// The proxy does not accept the user name and the password.
    LoginRefused,
    /// The proxy chose a method that was not offered.
    WrongMethod {
        /// The method.
        method: u8,
    },
    /// What the proxy says is no answer.
    BadReply(BadMessage),
    /// The proxy grants datagrams, and does not say where they are to be sent.
    NoRelay,
    /// There can be no such request in the version that is spoken.
    BadRequest(BadMessage),
    /// The connection to the proxy came to an end first, or was never made.
    Interrupted(Interrupted),
}

impl ProxyError {
    /// What a protocol is told that did not get its connection because of this.
    pub fn disconnect(self) -> Disconnect {
        match self {
            Self::Refused(refusal) => refusal.disconnect(),
            Self::NoMethod | Self::LoginRefused => {
                Disconnect::Failed(io::ErrorKind::PermissionDenied)
            }
            Self::WrongMethod { .. } | Self::BadReply(_) | Self::NoRelay => {
                Disconnect::Failed(io::ErrorKind::InvalidData)
            }
            Self::BadRequest(_) => Disconnect::Failed(io::ErrorKind::InvalidInput),
            Self::Interrupted(interrupted) => interrupted.disconnect(),
        }
    }
}

impl From<Interrupted> for ProxyError {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(_) => "the SOCKS proxy refused the request",
            Self::NoMethod => "the SOCKS proxy wants another way of logging in",
            Self::LoginRefused => "the SOCKS proxy refused the user name and password",
            Self::WrongMethod { method } => {
                return write!(f, "the SOCKS proxy chose method {method}, which was not offered");
            }
            Self::BadReply(_) => "the SOCKS proxy gave no proper answer",
            Self::NoRelay => "the SOCKS proxy does not say where datagrams are to be sent",
            Self::BadRequest(_) => "a SOCKS proxy cannot be asked for this",
            Self::Interrupted(_) => "the SOCKS proxy gave no answer",
        })
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::BadReply(bad) | Self::BadRequest(bad) => Some(bad),
            Self::Interrupted(interrupted) => Some(interrupted),
            Self::NoMethod | Self::LoginRefused | Self::WrongMethod { .. } | Self::NoRelay => None,
        }
    }
}
