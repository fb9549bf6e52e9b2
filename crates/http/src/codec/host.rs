use super::error::{BadRequest, Excerpt};
use super::target::port_of;

/// The longest host that is remembered: no name in the DNS is longer (RFC 1035 2.3.4).
const KEPT_MAX: usize = 255;

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
            if text.len() <= KEPT_MAX {
                self.0.extend_from_slice(text);
            }
        }
        Ok(())
    }
}
