use std::error::Error;
use std::fmt;

use ropewalk_protocol::Disconnect;

/// Why a client has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// The server says more than this many bytes.
    Long {
        /// The most that is kept.
        max: usize,
    },
    /// The server said too little before it closed.
    Short {
        /// How many bytes came.
        came: usize,
        /// How many were to come.
        wanted: usize,
    },
    /// The server said something else than what it was to say back.
    Garbled {
        /// The first byte that differs, counted from 0.
        at: usize,
    },
    /// The whole answer took too long.
    Late,
    /// The connection was never made, or broke before the answer was whole.
    Lost(Disconnect),
}

impl AskError {
    /// Whether the same question may well be answered a little later.
    pub fn is_temporary(self) -> bool {
        match self {
            Self::Late => true,
            Self::Lost(why) => why.is_temporary(),
            Self::Long { .. } | Self::Short { .. } | Self::Garbled { .. } => false,
        }
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long { max } => write!(f, "the answer is longer than {max} bytes"),
            Self::Short { came, wanted } => {
                write!(f, "the answer ended after {came} bytes of {wanted}")
            }
            Self::Garbled { at } => write!(f, "what came back differs from byte {at} on"),
            Self::Late => f.write_str("the answer took too long"),
            Self::Lost(_) => f.write_str("there was no answer"),
        }
    }
}

impl Error for AskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lost(why) => Some(why),
            _ => None,
        }
    }
}
