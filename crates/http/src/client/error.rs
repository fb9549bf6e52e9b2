use std::error::Error;
use std::fmt;
use std::time::Duration;

use ropewalk_http2::frame::ErrorCode;
use ropewalk_http2::{Fatal, ResetBy};
use ropewalk_protocol::Disconnect;

use crate::{BadAnswer, BadBody};

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentError {
    // The caller erred.
    /// This is no URL, or one without a host.
    BadUrl(String),
    /// The scheme is neither `http` nor `https`.
    UnknownScheme(String),
    /// A method or a field of the request cannot be sent; this is its name.
    BadRequest(String),
    /// The request's body does not have the length that was told.
    BadBody(BadBody),
    /// The request's body broke off; the failure was logged.
    BodyFailed,

    // A bound was reached.
    /// As many requests wait for a connection as may.
    Busy {
        /// [`PoolBounds::waiting_max`](crate::PoolBounds::waiting_max).
        max: usize,
    },
    /// Something took too long.
    TimedOut(Wait),

    // The link failed.
    /// The connection ended before the answer began, or within its head.
    Lost(Disconnect),
    /// An `https` request was about to go out on a connection that is not encrypted.
    NotEncrypted,

    /// An HTTP/2 server left the request alone, and said so: with `REFUSED_STREAM`, or by going away
    /// (RFC 9113 8.7).
    Unprocessed,
    /// An HTTP/2 server went away for this reason, before it had answered.
    GoneAway(ErrorCode),
    /// An HTTP/2 server has said nothing for so long, not even to a ping.
    Silent(Duration),
    /// The request's stream of HTTP/2 ended early.
    Stream(ResetBy),

    // The server broke a rule.
    /// It broke a rule of HTTP/2 connections, and was told so.
    Connection(Fatal),
    /// Its answer is none.
    BadAnswer(BadAnswer),
    /// It gives interim answers (1xx) without end.
    Interim {
        /// How many there may be.
        max: usize,
    },
    /// It changes to a protocol that nobody asked for (RFC 9110 15.2.2).
    Upgraded,

    // It leads where this client does not follow.
    /// One redirect too many.
    TooManyRedirects {
        /// [`Redirects::max`](crate::Redirects::max).
        max: usize,
    },
    /// Its redirect leads nowhere: this is no URL to go to.
    BadRedirect(String),
    /// Its redirect leads from `https` to `http`, where everybody could read along.
    Downgrade(String),
    /// [`Redirects::allow`](crate::Redirects::allow) said no to this URL.
    RedirectRefused(String),
    /// The body would have to be sent once more, and it is a stream that is used up.
    BodyUsedUp,
    /// The body has no length, and the server is known to speak HTTP/1.0, which knows no chunks
    /// (RFC 9112 6.1): collect it first.
    NeedsLength,
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// [`ClientPatience::total`](crate::ClientPatience::total).
    Total(Duration),
    /// [`ClientPatience::slot`](crate::ClientPatience::slot).
    Slot(Duration),
    /// [`ClientPatience::connect`](crate::ClientPatience::connect).
    Connect(Duration),
    /// [`ClientPatience::head`](crate::ClientPatience::head).
    Head(Duration),
    /// [`ClientPatience::idle`](crate::ClientPatience::idle).
    Idle(Duration),
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl(got) => write!(f, "expected a URL with a host, got {got:?}"),
            Self::UnknownScheme(got) => write!(f, "expected http or https, got {got:?}"),
            Self::BadRequest(name) => write!(f, "{name:?} cannot be sent in a request"),
            Self::BadBody(_) => write!(f, "the request's body has another length than was told"),
            Self::BodyFailed => write!(f, "the request's body broke off"),
            Self::Busy { max } => write!(f, "{max} requests wait for a connection already"),
            Self::TimedOut(wait) => wait.fmt(f),
            Self::Lost(_) => write!(f, "the connection ended before the answer's head did"),
            Self::Unprocessed => write!(f, "the server did not see to the request"),
            Self::GoneAway(code) => write!(f, "the server went away with {code}"),
            Self::Silent(time) => write!(f, "the server has been silent for {time:?}"),
            Self::Stream(why) => why.fmt(f),
            Self::Connection(_) => write!(f, "the server broke a rule of the connection"),
            Self::NotEncrypted => write!(f, "the connection for an https request is not encrypted"),
            Self::BadAnswer(_) => write!(f, "the server's answer broke a rule"),
            Self::Interim { max } => write!(f, "the server gave more than {max} interim answers"),
            Self::Upgraded => write!(f, "the server changed to a protocol that nobody asked for"),
            Self::TooManyRedirects { max } => write!(f, "there were more than {max} redirects"),
            Self::BadRedirect(got) => write!(f, "the server redirects to {got:?}, which is no URL"),
            Self::Downgrade(to) => write!(f, "the server redirects from https to {to:?}"),
            Self::RedirectRefused(to) => write!(f, "the redirect to {to:?} is not allowed"),
            Self::NeedsLength => {
                write!(f, "the server speaks HTTP/1.0, and needs to be told the body's length")
            }
            Self::BodyUsedUp => {
                write!(f, "the request's body is a stream and cannot be sent again")
            }
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(time) => write!(f, "the request took longer than {time:?}"),
            Self::Slot(time) => write!(f, "no connection was free for {time:?}"),
            Self::Connect(time) => write!(f, "connecting took longer than {time:?}"),
            Self::Head(time) => write!(f, "the answer did not begin within {time:?}"),
            Self::Idle(time) => write!(f, "nothing moved for {time:?}"),
        }
    }
}

impl Error for AgentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::BadBody(bad) => Some(bad),
            Self::Lost(why) => Some(why),
            Self::BadAnswer(bad) => Some(bad),
            Self::Connection(fatal) => Some(fatal),
            _ => None,
        }
    }
}
