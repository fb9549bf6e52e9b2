use std::error::Error;
use std::fmt;

use crate::codec::{LINE_MAX, UNIQUE_ID_MAX};

/// Why bytes are no header of the PROXY protocol: one variant a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadHeader {
    /// The first bytes are those of neither version.
    Signature,
    /// A line of version 1 that does not end.
    LongLine,
    /// A line of version 1 names another protocol than `TCP4`, `TCP6` and `UNKNOWN`.
    Protocol,
    /// A line of version 1 is not made of two addresses and two ports.
    Line,
    /// An address in a line of version 1 is none of its protocol's.
    LineAddress,
    /// A port in a line of version 1 is none.
    LinePort,
    /// Behind the binary signature stands another version than 2.
    Version {
        /// The version.
        version: u8,
    },
    /// Neither `LOCAL` nor `PROXY`.
    Command {
        /// The command.
        command: u8,
    },
    /// A family of addresses and a kind of transport that do not exist, or not together.
    Family {
        /// Both in one byte, as they came.
        family: u8,
    },
    /// The header is longer than is allowed.
    Long {
        /// The bytes behind its first 16.
        length: usize,
        /// How many there may be.
        length_max: usize,
    },
    /// The header is shorter than its addresses.
    Short {
        /// The bytes behind its first 16.
        length: usize,
        /// How many the addresses take.
        wanted: usize,
    },
    /// A field goes on behind the end of what holds it.
    FieldLength {
        /// The field's type.
        kind: u8,
    },
    /// A field has a value that its type cannot have.
    FieldValue {
        /// The field's type.
        kind: u8,
    },
    /// A field is there twice.
    FieldTwice {
        /// The field's type.
        kind: u8,
    },
    /// The checksum is not that of the header.
    Checksum {
        /// What the header says.
        said: u32,
        /// What it is.
        found: u32,
    },
    /// The connection ended before its header did.
    Ended,
}

impl fmt::Display for BadHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Signature => f.write_str("the connection does not begin with a PROXY header"),
            Self::LongLine => write!(f, "the PROXY line has no end within {LINE_MAX} bytes"),
            Self::Protocol => f.write_str("the PROXY line names neither TCP4, TCP6 nor UNKNOWN"),
            Self::Line => f.write_str("the PROXY line is not made of two addresses and two ports"),
            Self::LineAddress => f.write_str("an address in the PROXY line is none of its family"),
            Self::LinePort => f.write_str("a port in the PROXY line is no number up to 65535"),
            Self::Version { version } => {
                write!(f, "the PROXY header is of version {version}; 1 and 2 are known")
            }
            Self::Command { command } => {
                write!(f, "the PROXY header has command {command}; 0 and 1 are known")
            }
            Self::Family { family } => {
                write!(f, "the PROXY header has addresses of unknown kind {family:#04x}")
            }
            Self::Long { length, length_max } => {
                write!(f, "the PROXY header has {length} bytes of data, allowed are {length_max}")
            }
            Self::Short { length, wanted } => {
                write!(f, "the PROXY header has {length} bytes of data, its addresses {wanted}")
            }
            Self::FieldLength { kind } => {
                write!(f, "field {kind:#04x} of the PROXY header is longer than what holds it")
            }
            Self::FieldValue { kind } => {
                write!(f, "field {kind:#04x} of the PROXY header has a value that it cannot have")
            }
            Self::FieldTwice { kind } => {
                write!(f, "field {kind:#04x} of the PROXY header is there twice")
            }
            Self::Checksum { said, found } => {
                write!(f, "the PROXY header's checksum says {said:08x}, but is {found:08x}")
            }
            Self::Ended => f.write_str("the connection ended before its PROXY header did"),
        }
    }
}

impl Error for BadHeader {}

/// Why a header cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CannotEncode {
    /// The fields have more bytes than a header has room for.
    LongFields {
        /// How many bytes all together would have behind the first 16.
        length: usize,
    },
    /// The proxy's name for the connection is too long.
    LongUniqueId {
        /// Its length in bytes.
        length: usize,
    },
}

impl fmt::Display for CannotEncode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LongFields { length } => {
                write!(f, "a PROXY header has room for 65535 bytes, not for {length}")
            }
            Self::LongUniqueId { length } => {
                write!(f, "a unique id has up to {UNIQUE_ID_MAX} bytes, not {length}")
            }
        }
    }
}

impl Error for CannotEncode {}
