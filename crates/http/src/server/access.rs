//! What is told of each request that was answered.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Uri, Version};
use ropewalk_protocol::Address;

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
    /// What was answered.
    pub status: StatusCode,
    /// How many bytes of body went out.
    pub sent: u64,
    /// How long it took from the request's head to the answer's end.
    pub took: Duration,
}
