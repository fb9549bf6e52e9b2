//! What goes wrong, by whose fault.

use std::error::Error;
use std::fmt;

/// An answer that is none: the method failed, and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `faultCode`.
    pub code: i32,
    /// `faultString`.
    pub text: String,
}

impl Fault {
    /// There is no such method; the number that Twisted gives it.
    pub const NOT_FOUND: i32 = 8001;
    /// The method failed in a way that is nobody's business; the number that Twisted gives it.
    pub const FAILURE: i32 = 8002;

    /// A fault.
    pub fn new(code: i32, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}: {}", self.code, self.text)
    }
}

impl Error for Fault {}

/// Why bytes are no call or no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadMessage {
    /// It is no XML, or none in UTF-8; at about this byte.
    NotXml(u64),
    /// It declares a document type.
    DocumentType,
    /// It names an entity that XML itself does not have.
    UnknownEntity(String),
    /// Another element or its end was expected.
    Unexpected {
        /// What was expected.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// A value has this type, which there is not.
    UnknownType(String),
    /// What stands in a value is none of its type.
    BadValue {
        /// The type.
        of: &'static str,
        /// The beginning of what stands there.
        got: String,
    },
    /// A struct has this member twice.
    Twice(String),
    /// Arrays and structs lie too deep within one another.
    TooDeep {
        /// [`Limits::depth_max`](crate::Limits::depth_max).
        max: usize,
    },
    /// There are too many values.
    TooMany {
        /// [`Limits::values_max`](crate::Limits::values_max).
        max: usize,
    },
    /// It is too long.
    TooLong {
        /// [`Limits::bytes_max`](crate::Limits::bytes_max).
        max: usize,
    },
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotXml(at) => write!(f, "expected XML in UTF-8, got something else at byte {at}"),
            Self::DocumentType => write!(f, "expected no document type, got one"),
            Self::UnknownEntity(name) => write!(f, "expected an entity of XML, got &{name};"),
            Self::Unexpected { expected, got } => write!(f, "expected {expected}, got {got}"),
            Self::UnknownType(name) => write!(f, "expected a type of value, got {name:?}"),
            Self::BadValue { of, got } => write!(f, "expected a value of type {of}, got {got:?}"),
            Self::Twice(name) => write!(f, "expected the member {name:?} once, got it again"),
            Self::TooDeep { max } => {
                write!(f, "expected values at most {max} deep, got deeper ones")
            }
            Self::TooMany { max } => write!(f, "expected at most {max} values, got more"),
            Self::TooLong { max } => write!(f, "expected at most {max} bytes, got more"),
        }
    }
}

impl Error for BadMessage {}

/// A value that XML-RPC has no way to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unspeakable {
    /// A text with this control character, which XML does not take.
    Control(char),
    /// A double that is infinite or no number.
    NotFinite,
}

impl fmt::Display for Unspeakable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(c) => write!(f, "XML has no place for the character {c:?} in a text"),
            Self::NotFinite => write!(f, "XML-RPC has no doubles that are not finite"),
        }
    }
}

impl Error for Unspeakable {}

/// Why a call has no answer; a [`Fault`] is one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The call cannot be said.
    Unspeakable(Unspeakable),
    /// The server answered with this status of HTTP.
    Status(u16),
    /// What the server answered is no answer.
    BadAnswer(BadMessage),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unspeakable(_) => write!(f, "the call cannot be said"),
            Self::Status(status) => write!(f, "the server answered with the HTTP status {status}"),
            Self::BadAnswer(_) => write!(f, "the server's answer is none"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unspeakable(error) => Some(error),
            Self::BadAnswer(error) => Some(error),
            Self::Status(_) => None,
        }
    }
}
