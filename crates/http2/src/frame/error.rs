//! What can be wrong with a frame by itself.

use std::error::Error;
use std::fmt;

use super::{ErrorCode, Setting, StreamId};

/// A frame that breaks a rule: which, and what ends because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrame {
    /// What the peer is told.
    pub code: ErrorCode,
    /// The stream that ends; `None` where the connection has to (RFC 9113 5.4).
    pub stream: Option<StreamId>,
    /// Which rule.
    pub fault: FrameFault,
}

impl BadFrame {
    pub(super) fn connection(code: ErrorCode, fault: FrameFault) -> Self {
        Self { code, stream: None, fault }
    }

    pub(super) fn stream(stream: StreamId, code: ErrorCode, fault: FrameFault) -> Self {
        Self { code, stream: Some(stream), fault }
    }
}

/// The rule that a frame breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameFault {
    /// The client did not begin with the preface.
    NoPreface,
    /// Something came before `SETTINGS`, which have to come first (RFC 9113 3.4).
    NotSettings {
        /// The type that came.
        kind: u8,
    },
    /// The payload is longer than allowed.
    TooLong {
        /// What came, in octets.
        len: u32,
        /// What is allowed.
        max: u32,
    },
    /// The payload does not have the length that its type has.
    WrongLength {
        /// The frame's type.
        kind: u8,
        /// Its length, in octets.
        len: u32,
    },
    /// A frame of streams on the connection itself.
    OnConnection {
        /// The frame's type.
        kind: u8,
    },
    /// A frame of the connection on a stream.
    OnStream {
        /// The frame's type.
        kind: u8,
    },
    /// There is as much padding as payload, or more.
    Padding,
    /// A setting has a value that it cannot have.
    BadSetting {
        /// Which.
        setting: Setting,
        /// The value that came.
        value: u32,
    },
    /// A window would grow by nothing.
    EmptyIncrement,
    /// A field block goes on that had not begun.
    StrayContinuation,
    /// A field block was broken into by something else (RFC 9113 4.3).
    Interrupted {
        /// The type that came.
        kind: u8,
    },
    /// A field block is longer than this end keeps.
    BlockTooLong {
        /// How many octets it keeps.
        max: usize,
    },
    /// A field block comes in more pieces than any honest one.
    TooManyContinuations {
        /// How many are allowed.
        max: usize,
    },
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPreface => f.write_str("the client did not begin with HTTP/2's preface"),
            Self::NotSettings { kind } => {
                write!(f, "the first frame is of type {kind:#x}, and SETTINGS had to come")
            }
            Self::TooLong { len, max } => {
                write!(f, "a frame of {len} octets came, and {max} are allowed")
            }
            Self::WrongLength { kind, len } => {
                write!(f, "a frame of type {kind:#x} cannot have {len} octets")
            }
            Self::OnConnection { kind } => {
                write!(f, "a frame of type {kind:#x} came on stream 0, and belongs to a stream")
            }
            Self::OnStream { kind } => {
                write!(f, "a frame of type {kind:#x} came on a stream, and belongs to stream 0")
            }
            Self::Padding => f.write_str("a frame has no room for its padding"),
            Self::BadSetting { setting, value } => write!(f, "{setting:?} cannot be {value}"),
            Self::EmptyIncrement => f.write_str("a WINDOW_UPDATE adds nothing"),
            Self::StrayContinuation => f.write_str("a CONTINUATION continues nothing"),
            Self::Interrupted { kind } => {
                write!(f, "a frame of type {kind:#x} came within a field block")
            }
            Self::BlockTooLong { max } => write!(f, "a field block is longer than {max} octets"),
            Self::TooManyContinuations { max } => {
                write!(f, "a field block comes in more than {max} pieces")
            }
        }
    }
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stream {
            Some(stream) => write!(f, "stream {stream} ends with {}: {}", self.code, self.fault),
            None => write!(f, "{}: {}", self.code, self.fault),
        }
    }
}

impl Error for BadFrame {}
