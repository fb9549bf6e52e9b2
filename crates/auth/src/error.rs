use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginError {
    /// The credentials are wrong, or those of nobody; which of the two is not told.
    Unauthorized,
    /// No checker looks at credentials of this kind.
    Unhandled {
        /// The kind that was shown.
        shown: &'static str,
    },
    /// The peer has failed too often and too recently.
    TooManyAttempts {
        /// How long it has to wait before it may try again.
        retry_after: Duration,
    },
    /// Too many others are being looked at.
    Busy,
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized => f.write_str("the credentials are not right"),
            Self::Unhandled { shown } => {
                write!(f, "nobody here takes credentials of the kind {shown}")
            }
            Self::TooManyAttempts { retry_after } => {
                write!(f, "too many attempts failed; the next may come in {retry_after:?}")
            }
            Self::Busy => f.write_str("too many others are being looked at"),
        }
    }
}

impl Error for LoginError {}
