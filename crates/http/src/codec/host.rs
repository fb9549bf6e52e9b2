use bytes::Bytes;
use http::HeaderValue;

use super::error::{BadRequest, Excerpt};
use super::target::port_of;

/// The Host that came last and is a good one: those who ask a server mostly ask for the same, and
/// then it need neither be checked nor be copied.
#[derive(Debug, Default)]
pub(crate) struct LastHost(Option<HeaderValue>);

impl LastHost {
    /// What Host says, if it is a host and at most a port (RFC 9110 7.2).
    pub(super) fn value(&mut self, text: &[u8]) -> Result<HeaderValue, BadRequest> {
        match &self.0 {
            Some(last) if last == text => Ok(last.clone()),
            _ => {
                let bad = || BadRequest::BadHost(Excerpt::of(text));
                port_of(text).map_err(|_| bad())?;
                let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(text));
                Ok(self.0.insert(value.map_err(|_| bad())?).clone())
            }
        }
    }
}
