//! Why a program answered nothing.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use ropewalk_protocol::process::{ExitStatus, SpawnError, SpawnFault};

use crate::BadResponse;

/// Why a request was not answered by its program. The client hears the [status](Self::status) alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CgiError {
    /// As many programs run as may.
    Busy {
        /// How many.
        programs_max: usize,
    },
    /// It was not started.
    NotStarted(SpawnError),
    /// What it wrote is no answer.
    BadResponse(BadResponse),
    /// It ended, or closed its output, before it had answered.
    Ended(Option<ExitStatus>),
    /// It neither read nor wrote for so long.
    Silent(Duration),
    /// It ran for so long.
    Endless(Duration),
    /// It sent the site from one place to another too often.
    TooManyRedirects,
    /// There is no program at that path, or none that may be run: 404, or 403.
    NotHere(StatusCode),
}

impl CgiError {
    /// What a client is answered.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotStarted(error) if error.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotStarted(SpawnError { fault: SpawnFault::TooLong, .. }) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::NotStarted(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadResponse(_) | Self::Ended(_) | Self::TooManyRedirects => {
                StatusCode::BAD_GATEWAY
            }
            Self::Silent(_) | Self::Endless(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::NotHere(status) => *status,
        }
    }
}

impl fmt::Display for CgiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { programs_max } => {
                write!(f, "{programs_max} programs run already, and no more may")
            }
            Self::NotStarted(_) => f.write_str("the program was not started"),
            Self::BadResponse(_) => f.write_str("what the program wrote is no answer"),
            Self::Ended(Some(status)) => write!(f, "the program {status} before it had answered"),
            Self::Ended(None) => {
                f.write_str("the program closed its output before it had answered")
            }
            Self::Silent(time) => write!(f, "the program neither read nor wrote for {time:?}"),
            Self::Endless(time) => write!(f, "the program ran for {time:?}"),
            Self::TooManyRedirects => {
                f.write_str("programs sent the site to one another too often")
            }
            Self::NotHere(StatusCode::FORBIDDEN) => {
                f.write_str("what is there may not be run; see its mode (chmod +x)")
            }
            Self::NotHere(_) => f.write_str("there is no program at that path"),
        }
    }
}

impl Error for CgiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotStarted(error) => Some(error),
            Self::BadResponse(error) => Some(error),
            _ => None,
        }
    }
}
