use std::error::Error;
use std::fmt;

use ropewalk_protocol::Disconnect;

use crate::{KEY_MAX, LINE_MAX};

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// It cannot be written: nothing was sent.
    Bad(BadRequest),
    /// Too many calls wait for their answers, or too much output for the peer: nothing was sent.
    TooMany,
    /// The server does not know the command (`ERROR`).
    UnknownCommand,
    /// The server says that the call is wrong (`CLIENT_ERROR`), and how.
    Client(String),
    /// The server cannot do it (`SERVER_ERROR`), and why.
    Server(String),
    /// What the server said is no answer, and the connection ended.
    BadReply(BadReply),
    /// The server said nothing for too long, and the connection ended.
    Late,
    /// The connection was never made, or ended before the answer came.
    Lost(Disconnect),
}

impl CallError {
    /// Whether the same call may well be answered a little later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::TooMany | Self::Server(_) | Self::Late => true,
            Self::Lost(why) => why.is_temporary(),
            Self::Bad(_) | Self::UnknownCommand | Self::Client(_) | Self::BadReply(_) => false,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bad(_) => "the call cannot be sent",
            Self::TooMany => "too many calls wait for their answers",
            Self::UnknownCommand => "the server does not know the command",
            Self::Client(why) => return write!(f, "the server does not accept the call: {why}"),
            Self::Server(why) => return write!(f, "the server cannot do it: {why}"),
            Self::BadReply(_) => "the server does not speak the protocol",
            Self::Late => "the server did not answer in time",
            Self::Lost(_) => "there is no connection to the server",
        })
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Bad(bad) => Some(bad),
            Self::BadReply(bad) => Some(bad),
            Self::Lost(why) => Some(why),
            _ => None,
        }
    }
}

/// Why a call cannot be written: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRequest {
    /// A key is empty.
    EmptyKey,
    /// A key is longer than [`KEY_MAX`].
    LongKey {
        /// Its length in bytes.
        length: usize,
    },
    /// A key, or the name of a group of statistics, holds white space or a control character.
    KeyByte {
        /// The byte.
        byte: u8,
    },
    /// There are more keys than one call may have.
    ManyKeys {
        /// How many.
        count: usize,
    },
    /// A value is longer than the limit.
    LongValue {
        /// Its length in bytes.
        length: usize,
    },
    /// An expiry after more than 30 days, which the server would take for a date.
    FarExpiry,
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyKey => f.write_str("a key is empty"),
            Self::LongKey { length } => {
                write!(f, "a key has {length} bytes, where {KEY_MAX} are allowed")
            }
            Self::KeyByte { byte } => write!(f, "a key cannot hold the byte {byte:#04x}"),
            Self::ManyKeys { count } => write!(f, "one call cannot have {count} keys"),
            Self::LongValue { length } => write!(f, "a value of {length} bytes is too long"),
            Self::FarExpiry => f.write_str("an expiry after more than 30 days has to be a date"),
        }
    }
}

impl Error for BadRequest {}

/// What is wrong with an answer: the server's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadReply {
    /// A line is longer than [`LINE_MAX`] or ends in less than CR LF.
    Line,
    /// A line is none that a server says.
    Unknown,
    /// A value does not end where its length says.
    Unended,
    /// A value is longer than the limit.
    LongValue {
        /// Its length in bytes, as announced.
        length: u64,
    },
    /// All values of an answer, or its statistics, are more than the limit.
    LongAnswer,
    /// The line does not fit the call that is to be answered.
    OutOfPlace,
    /// A value has a key that was not asked for, or was answered already.
    OtherKey,
    /// There is no call to be answered.
    Unasked,
}

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => return write!(f, "a line is not one of up to {LINE_MAX} bytes"),
            Self::Unknown => "a line is none that a server says",
            Self::Unended => "a value does not end where its length says",
            Self::LongValue { length } => {
                return write!(f, "a value of {length} bytes is too long");
            }
            Self::LongAnswer => "an answer is too long",
            Self::OutOfPlace => "an answer does not fit its call",
            Self::OtherKey => "a value was not asked for",
            Self::Unasked => "nothing was asked that could be answered",
        })
    }
}

impl Error for BadReply {}
