//! What is told of each request that was answered.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri, Version};
use ropewalk_protocol::Address;

use super::request::Request;

/// One answered request, for a log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Access {
    /// Who asked.
    pub peer: Address,
    /// How; absent when the request could not be read.
    pub method: Option<Method>,
    /// For what; absent when the request could not be read.
    pub uri: Option<Uri>,
    /// In which version.
    pub version: Version,
    /// The request's fields; empty when the request could not be read.
    pub headers: HeaderMap,
    /// What was answered; 499 where the connection ended before that.
    pub status: StatusCode,
    /// How many bytes of body were sent, whether they arrived or not.
    pub sent: u64,
    /// How long it took from the request's head to the answer's end.
    pub took: Duration,
}

impl Access {
    /// To a request, of which the answer is still to come.
    pub(super) fn to(request: &Request, peer: Address) -> Self {
        Self {
            method: Some(request.method().clone()),
            uri: Some(request.uri().clone()),
            version: request.version(),
            headers: request.headers().clone(),
            ..Self::to_nothing(peer)
        }
    }

    /// To what was no request.
    pub(super) fn to_nothing(peer: Address) -> Self {
        Self {
            peer,
            method: None,
            uri: None,
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            status: StatusCode::BAD_REQUEST,
            sent: 0,
            took: Duration::ZERO,
        }
    }

    /// What is told in the end; there is no status where the client did not wait for one.
    pub(super) fn finished(self, status: Option<StatusCode>, sent: u64, took: Duration) -> Self {
        Self { status: status.unwrap_or_else(unanswered), sent, took, ..self }
    }
}

/// What the log is told where the client did not wait for its answer: nginx's number for it.
fn unanswered() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or_default()
}
