//! What can go wrong, by whose fault it is.

use std::error::Error;
use std::fmt;
use std::io;

use ropewalk_protocol::{CannotPass, Disconnect};

use crate::codec::{BadBox, KEY_MAX, VALUE_MAX};

/// Why bytes are not a value of the type that is wanted, or a value has no form on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadValue {
    /// There is none, and it is not optional.
    Missing,
    /// It has this many bytes, which is more than [`VALUE_MAX`].
    TooLong {
        /// The length in bytes.
        length: usize,
    },
    /// It is no whole number.
    NotInteger,
    /// It is a whole number that the type cannot hold.
    OutOfRange,
    /// It is no number.
    NotFloat,
    /// It is neither `True` nor `False`.
    NotBoolean,
    /// It is no decimal number.
    NotDecimal,
    /// It is no date and time, or one that does not exist.
    NotDateTime,
    /// It is not UTF-8.
    NotText,
    /// A list ends in the middle of an element.
    CutShort,
    /// A row of a list is no box.
    BadBox(BadBox),
    /// A row of a list has a field that is not right.
    Row(Box<BadField>),
    /// It is an open file that cannot be passed over this connection.
    CannotPass(CannotPass),
    /// It is an open file of which the system makes no copy to pass.
    CannotCopy(io::ErrorKind),
    /// It stands for an open file, and none of this number came, or it was claimed already.
    NotPassed {
        /// How many were sent before it.
        ordinal: u64,
    },
    /// What a type outside this crate has to say.
    Other(String),
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it is missing",
            Self::TooLong { length } => {
                return write!(f, "it has {length} bytes, where {VALUE_MAX} are allowed");
            }
            Self::NotInteger => "it is not a whole number",
            Self::OutOfRange => "it is a whole number out of range",
            Self::NotFloat => "it is not a number",
            Self::NotBoolean => "it is neither `True` nor `False`",
            Self::NotDecimal => "it is not a decimal number",
            Self::NotDateTime => "it is not a date and time",
            Self::NotText => "it is not UTF-8",
            Self::CutShort => "it ends within an element",
            Self::BadBox(_) => "a row is not a box",
            Self::Row(_) => "a row is not right",
            Self::CannotPass(_) => "it is an open file, which cannot be passed",
            Self::CannotCopy(kind) => return write!(f, "it is an open file, and no copy: {kind}"),
            Self::NotPassed { ordinal } => {
                return write!(f, "no open file of number {ordinal} came with it");
            }
            Self::Other(why) => why,
        })
    }
}

impl Error for BadValue {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::BadBox(bad) => Some(bad),
            Self::Row(bad) => Some(bad),
            Self::CannotPass(why) => Some(why),
            _ => None,
        }
    }
}

/// A field that cannot be sent, or was received and is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField {
    key: String,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    Value(BadValue),
    KeyLength(usize),
    SameKey,
}

impl BadField {
    /// A fault in the value of `key`.
    pub fn new(key: &str, fault: BadValue) -> Self {
        Self { key: key.to_owned(), fault: Fault::Value(fault) }
    }

    pub(crate) fn key_length(key: &[u8]) -> Self {
        let shown = &key[..key.len().min(KEY_MAX)];
        Self { key: shown.escape_ascii().to_string(), fault: Fault::KeyLength(key.len()) }
    }

    pub(crate) fn value_length(key: &[u8], length: usize) -> Self {
        Self::new(&key.escape_ascii().to_string(), BadValue::TooLong { length })
    }

    pub(crate) fn twice(key: &[u8]) -> Self {
        Self { key: key.escape_ascii().to_string(), fault: Fault::SameKey }
    }

    /// The key of the field; a key that is too long itself only as far as one may go.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong with the value, if the key is not to blame.
    pub fn value_fault(&self) -> Option<&BadValue> {
        match &self.fault {
            Fault::Value(fault) => Some(fault),
            Fault::KeyLength(_) | Fault::SameKey => None,
        }
    }

    /// Whether it is the key that is too long, or empty.
    pub fn is_key_length(&self) -> bool {
        matches!(self.fault, Fault::KeyLength(_))
    }
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.fault {
            Fault::Value(_) => write!(f, "the value of `{key}` is not right"),
            Fault::KeyLength(length) => {
                write!(f, "the key `{key}` has {length} bytes, where 1 to {KEY_MAX} are allowed")
            }
            Fault::SameKey => write!(f, "the key `{key}` stands in one box twice"),
        }
    }
}

impl Error for BadField {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.value_fault().map(|fault| fault as _)
    }
}

/// Why a call has no answer, if it is not one of the errors that its command declares.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    // The caller erred.
    /// An argument cannot be sent; nothing was.
    BadArgument(BadField),
    /// As many calls as [`Limits::calls_max`](crate::Limits) wait already; nothing was sent.
    TooMany,
    /// The connection was handed to another protocol, or is about to be; nothing was sent.
    Switched,
    /// The connection is encrypted, or is about to be: it is not encrypted twice. Nothing was sent.
    OnlyOneTls,

    // The peer did.
    /// It does not know the command.
    Unhandled {
        /// What it says about that.
        description: String,
    },
    /// It failed in a way that the command does not declare, and is closing the connection.
    Unknown {
        /// What it says about that: not much.
        description: String,
    },
    /// It says something that the command does not declare.
    Undeclared(RemoteError),
    /// Its answer is not what the command declares.
    BadAnswer(BadField),
    /// It broke the protocol, and the connection was closed for that.
    BadBox(BadBox),
    /// It refused to encrypt, and the connection was closed for that: what waited for the encryption
    /// does not go out in the clear.
    NotEncrypted,

    // The link did.
    /// No answer came in the time that the caller gave it.
    TimedOut,
    /// The connection ended first, or was never made.
    Lost(Disconnect),
}

impl CallError {
    /// Whether the same call may well succeed a little later, on a connection of its own if need be.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::TooMany | Self::TimedOut => true,
            Self::Lost(why) => why.is_temporary() || *why == Disconnect::Closed,
            _ => false,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadArgument(_) => "an argument cannot be sent",
            Self::OnlyOneTls => "the connection is encrypted already, or is about to be",
            Self::NotEncrypted => "the peer refused to encrypt",
            Self::TooMany => "too many calls wait for an answer",
            Self::Switched => "the connection belongs to another protocol",
            Self::Unhandled { description } => {
                return write!(f, "the peer does not know the command: {description}");
            }
            Self::Unknown { description } => return write!(f, "the peer failed: {description}"),
            Self::Undeclared(_) => "the peer answered with an undeclared error",
            Self::BadAnswer(_) => "the answer is not what the command declares",
            Self::BadBox(_) => "the peer broke the protocol",
            Self::TimedOut => "no answer came in time",
            Self::Lost(_) => "the connection was lost before the answer came",
        })
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::BadArgument(bad) | Self::BadAnswer(bad) => Some(bad),
            Self::Undeclared(error) => Some(error),
            Self::BadBox(bad) => Some(bad),
            Self::Lost(why) => Some(why),
            _ => None,
        }
    }
}

/// An error as it goes over the wire, declared by no command.
///
/// A responder that fails with one sends it as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteError {
    /// What programs look at.
    pub code: String,
    /// What people read.
    pub description: String,
    /// Whether the responder closes the connection after sending it. Callers are not told.
    pub is_fatal: bool,
}

impl RemoteError {
    /// An error that leaves the connection open.
    pub fn new(code: impl Into<String>, description: impl Into<String>) -> Self {
        Self { code: code.into(), description: description.into(), is_fatal: false }
    }

    /// The same, closing the connection.
    pub fn fatal(self) -> Self {
        Self { is_fatal: true, ..self }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.description)
    }
}

impl Error for RemoteError {}
