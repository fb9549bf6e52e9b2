use http::{Method, Version};
use httparse::Header;

use super::fields::RawFields;
use super::head::{Manner, RawHead};
use super::host::LastHost;
use super::limits::Limits;
use super::target::{is_visible, target};

/// How many connections' heads are remembered; others share a place with one of them.
const PLACES: usize = 64;
/// The longest fields that are remembered, in bytes.
const KEPT_MAX: usize = 4096;

/// What the last heads said, by connection.
#[derive(Default)]
pub(crate) struct LastRequests(Vec<LastRequest>);

impl LastRequests {
    /// What the connection said that its owner knows by this number, or one that shares its place.
    #[inline]
    pub(crate) fn of(&mut self, number: u32) -> &mut LastRequest {
        let place = number as usize % PLACES;
        if place >= self.0.len() {
            self.0.resize_with(place + 1, LastRequest::default);
        }
        &mut self.0[place]
    }
}

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
        if lines.is_empty() || lines.len() > KEPT_MAX {
            return RawFields::from_lines(lines);
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
