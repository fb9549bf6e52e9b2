use super::error::{BadRequest, Excerpt};
use super::target::port_of;

/// The Host that came last and is a good one: those who ask a server mostly ask for the same, and
/// then it need not be checked.
#[derive(Debug, Default)]
pub(super) struct LastHost(Vec<u8>);

impl LastHost {
    /// Whether what Host says is a host and at most a port (RFC 9110 7.2).
    pub(super) fn check(&mut self, text: &[u8]) -> Result<(), BadRequest> {
        if text.is_empty() || self.0 != text {
            port_of(text).map_err(|_| BadRequest::BadHost(Excerpt::of(text)))?;
            self.0.clear();
            self.0.extend_from_slice(text);
        }
        Ok(())
    }
}
