//! What can be wrong with what a peer sends.

use std::fmt;

use super::close::CloseCode;

/// Why what came is no WebSocket conversation (RFC 6455 5, 7, 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadFrame {
    /// A bit that no extension has been agreed on for is set.
    ReservedBits,
    /// There is no such frame.
    OpCode {
        /// The number that stood for it.
        number: u8,
    },
    /// A control frame is not whole.
    FragmentedControl,
    /// A control frame is longer than [`CONTROL_MAX`](crate::CONTROL_MAX).
    LongControl,
    /// The length is not written in the shortest way, or has its highest bit set.
    Length,
    /// A client's frame has no mask.
    Unmasked,
    /// A server's frame has one.
    Masked,
    /// A continuation of nothing.
    NothingToContinue,
    /// A new message in the middle of another.
    Unfinished,
    /// A text, or the reason of a close, is not in UTF-8.
    Text,
    /// A compressed message cannot be expanded.
    Compression,
    /// A close frame has one byte, or a code that may not be sent.
    CloseCode,
    /// A message is longer than allowed, once expanded.
    MessageTooLong {
        /// How many bytes it may have.
        max: usize,
    },
    /// A message comes in too many frames.
    TooManyFrames {
        /// How many there may be.
        max: u32,
    },
}

impl BadFrame {
    /// The code to close with.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Text | Self::Compression => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooLong { .. } => CloseCode::TOO_BIG,
            Self::TooManyFrames { .. } => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedBits => "a reserved bit is set",
            Self::OpCode { number } => return write!(f, "there is no opcode {number}"),
            Self::FragmentedControl => "a control frame is fragmented",
            Self::LongControl => "a control frame is longer than 125 bytes",
            Self::Length => "a length is not written in its shortest form",
            Self::Unmasked => "a client's frame is not masked",
            Self::Masked => "a server's frame is masked",
            Self::NothingToContinue => "a continuation continues nothing",
            Self::Unfinished => "a message begins in the middle of another",
            Self::Text => "a text is not in UTF-8",
            Self::Compression => "a compressed message cannot be expanded",
            Self::CloseCode => "a close has a code that may not be sent",
            Self::MessageTooLong { max } => {
                return write!(f, "a message is longer than {max} bytes");
            }
            Self::TooManyFrames { max } => {
                return write!(f, "a message comes in more than {max} frames");
            }
        })
    }
}

impl std::error::Error for BadFrame {}
