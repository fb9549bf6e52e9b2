//! Messages to bytes and back.

mod datagram;
mod decoder;
mod target;
mod v4;
mod v5;

pub use datagram::Datagram;
pub use decoder::{Decoder, MESSAGE_MAX, Message, Reader, Stop};
pub use target::{HostName, NAME_MAX, Target};
pub use v4::{Reply4, Request4, USER_MAX};
pub use v5::{
    Choice5, Greeting5, LOGIN_MAX, Login, LoginReply5, METHOD_LOGIN, METHOD_NONE, Reply5, Request5,
};

use crate::error::BadMessage;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// SOCKS 4, and 4a for targets that are names: IPv4 only, and no password.
    V4,
    /// SOCKS 5 (RFC 1928).
    #[default]
    V5,
}

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// A connection to the target.
    Connect,
    /// To be connected to by the target.
    Bind,
    /// Datagrams to be relayed; version 5 only.
    Associate,
}

impl Command {
    fn from_byte(byte: u8) -> Result<Self, BadMessage> {
        match byte {
            1 => Ok(Self::Connect),
            2 => Ok(Self::Bind),
            3 => Ok(Self::Associate),
            command => Err(BadMessage::Command { command }),
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::Connect => 1,
            Self::Bind => 2,
            Self::Associate => 3,
        }
    }
}

/// What a client says first: it shows which version it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A whole request.
    V4(Request4),
    /// The methods that it can identify itself by.
    V5(Greeting5),
}

impl Message for Opening {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        match reader.peek()? {
            v4::VERSION => Request4::read(reader).map(Self::V4),
            v5::VERSION => Greeting5::read(reader).map(Self::V5),
            version => Err(BadMessage::Version { version }.into()),
        }
    }
}
