use http::{Method, Version};
use httparse::Header;

use super::fields::RawFields;
use super::head::{Manner, RawHead};
use super::host::LastHost;
use super::limits::Limits;
use super::target::{is_visible, target};

/// What the head before said: those who ask a server mostly ask in the same words as the last time, and
/// then nothing but the target is new.
#[derive(Default)]
pub(crate) struct LastRequest {
    pub(super) host: LastHost,
    fields: RawFields,
    /// Present where `fields` came with HTTP/1.1.
    manner: Option<Manner>,
}

impl LastRequest {
    /// Keeps what a good head said; answers its fields. All requests that say the same share them.
    pub(super) fn keep(
        &mut self,
        head: &[u8],
        fields: &[Header<'_>],
        version: Version,
        manner: Manner,
    ) -> RawFields {
        let lines = RawFields::lines_of(head, fields);
        if lines.is_empty() {
            return RawFields::default();
        }
        self.fields.replace(lines);
        self.manner = (version == Version::HTTP_11).then_some(manner);
        self.fields.clone()
    }

    /// What the head says that lies at the front of `data`, if it is a GET that differs from the one
    /// before in nothing but a good target. Whatever else it is, `None`.
    #[inline]
    pub(super) fn read_alike(
        &self,
        data: &mut &[u8],
        limits: &Limits,
    ) -> Option<(RawHead, Manner)> {
        let manner = self.manner?;
        let rest = data.strip_prefix(b"GET ")?;
        let length = rest.iter().position(|&byte| !is_visible(byte))?;
        let (path, rest) = rest.split_at(length);
        let rest = rest.strip_prefix(b" HTTP/1.1\r\n")?;
        // The fields were found to be within their limits, and end with the end of a line.
        let after = rest.strip_prefix(self.fields.lines())?.strip_prefix(b"\r\n")?;
        if "GET  HTTP/1.1".len() + length > limits.request_line_max {
            return None;
        }
        let uri = match path {
            b"/" => None,
            path => Some(Box::new(target(&Method::GET, path).ok()?)),
        };
        let fields = self.fields.clone();
        *data = after;
        Some((RawHead { method: Method::GET, uri, version: Version::HTTP_11, fields }, manner))
    }
}
