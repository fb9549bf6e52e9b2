use bytes::Bytes;
use http::HeaderValue;

use super::error::{BadRequest, Excerpt};
use super::target::port_of;

/// The Host that came last and is a good one: those who ask a server mostly ask for the same, and
/// then it need neither be checked nor be copied.
#[derive(Debug)]
pub(crate) struct LastHost(HeaderValue);

impl Default for LastHost {
    fn default() -> Self {
        Self(HeaderValue::from_static(""))
    }
}

impl LastHost {
    /// What Host says, if it is a host and at most a port (RFC 9110 7.2).
    pub(super) fn value(&mut self, text: &[u8]) -> Result<&HeaderValue, BadRequest> {
        if text.is_empty() || self.0 != text {
            let bad = || BadRequest::BadHost(Excerpt::of(text));
            port_of(text).map_err(|_| bad())?;
            let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(text));
            self.0 = value.map_err(|_| bad())?;
        }
        Ok(&self.0)
    }
}
