//! Why a proxy answers by itself.

use std::error::Error;
use std::fmt;

use http::StatusCode;
use ropewalk_deferred::Failure;
use ropewalk_protocol::Disconnect;

use super::VIA_HOPS_MAX;
use crate::{AgentError, BadAnswer, Wait};

/// Why a proxy answered by itself; it lies among such an answer's
/// [extensions](http::Response::extensions). The client sees the status and nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    // The client asks for what is not done here.
    /// The path is not below the one that is passed on.
    NotHere,
    /// The path has segments that lead out of where it begins (`..`), in whatever disguise.
    DotSegments,
    /// CONNECT and TRACE are not passed on here.
    Method(String),
    /// The request has gone through more proxies than [`VIA_HOPS_MAX`], or its Via is none.
    Loop,
    /// What is asked for is no place that a proxy can go to: this is its name.
    BadTarget(String),
    /// The rules do not allow this host or port.
    Forbidden(String),
    /// The request's body broke off.
    BodyFailed,

    // The upstream, which is named, failed.
    /// There is no connection to it.
    Unreachable(String),
    /// It, or connecting to it, took too long.
    TimedOut(String, Wait),
    /// As many requests wait for it as may.
    Busy(String),
    /// Its connection ended before its answer began.
    Lost(String, Disconnect),
    /// Its answer is none.
    BadAnswer(String, BadAnswer),
    /// It changed to a protocol that was not asked for, or gave interim answers without end.
    BadSwitch(String),
}

impl ProxyError {
    /// What a failure of a request to `upstream` means.
    pub(super) fn of(failure: &Failure, upstream: &str) -> Self {
        let upstream = upstream.to_owned();
        match failure.check::<AgentError>() {
            Some(AgentError::TimedOut(wait)) => Self::TimedOut(upstream, *wait),
            Some(AgentError::Busy { .. }) => Self::Busy(upstream),
            Some(AgentError::Lost(why)) => Self::Lost(upstream, *why),
            Some(AgentError::Silent(_)) => Self::Lost(upstream, Disconnect::TimedOut),
            Some(AgentError::Stream(_) | AgentError::Connection(_) | AgentError::GoneAway(_)) => {
                Self::Lost(upstream, Disconnect::Reset)
            }
            Some(AgentError::BadAnswer(bad)) => Self::BadAnswer(upstream, *bad),
            Some(AgentError::Upgraded | AgentError::Interim { .. }) => Self::BadSwitch(upstream),
            Some(AgentError::BodyFailed | AgentError::BadBody(_)) => Self::BodyFailed,
            _ => Self::Unreachable(upstream),
        }
    }

    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotHere => StatusCode::NOT_FOUND,
            Self::DotSegments | Self::BadTarget(_) | Self::BodyFailed => StatusCode::BAD_REQUEST,
            Self::Method(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut(..) => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(_) | Self::Lost(..) | Self::BadAnswer(..) | Self::BadSwitch(_) => {
                StatusCode::BAD_GATEWAY
            }
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere => write!(f, "the path is not one that is passed on"),
            Self::DotSegments => write!(f, "the path has segments that lead upwards"),
            Self::Method(method) => write!(f, "{method} is not passed on"),
            Self::Loop => {
                write!(f, "the request has gone through more than {VIA_HOPS_MAX} proxies")
            }
            Self::BadTarget(target) => write!(f, "{target:?} is no place for a proxy to go to"),
            Self::Forbidden(target) => write!(f, "the rules do not allow {target}"),
            Self::BodyFailed => write!(f, "the request's body broke off"),
            Self::Unreachable(upstream) => write!(f, "no connection to {upstream}"),
            Self::TimedOut(upstream, wait) => write!(f, "{upstream}: {wait}"),
            Self::Busy(upstream) => write!(f, "too many requests wait for {upstream}"),
            Self::Lost(upstream, _) => {
                write!(f, "{upstream} ended the connection before its answer")
            }
            Self::BadAnswer(upstream, _) => write!(f, "the answer of {upstream} broke a rule"),
            Self::BadSwitch(upstream) => {
                write!(f, "{upstream} changed to a protocol that was not asked for")
            }
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lost(_, why) => Some(why),
            Self::BadAnswer(_, bad) => Some(bad),
            _ => None,
        }
    }
}
