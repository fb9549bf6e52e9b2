use http::Version;

use super::fields::RawFields;
use super::head::Manner;
use super::host::LastHost;

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
/// then nothing but the first line is new.
#[derive(Default)]
pub(crate) struct LastRequest {
    pub(super) host: LastHost,
    fields: RawFields,
    /// Present where `fields` came with HTTP/1.1.
    manner: Option<Manner>,
}

impl LastRequest {
    /// Keeps what the lines of a good head's fields said; answers the fields. All requests that say the
    /// same share them.
    pub(super) fn keep(&mut self, lines: &[u8], version: Version, manner: Manner) -> RawFields {
        if lines.is_empty() || lines.len() > KEPT_MAX {
            return RawFields::from_lines(lines);
        }
        self.fields.replace(lines);
        self.manner = (version == Version::HTTP_11).then_some(manner);
        self.fields.clone()
    }

    /// What the fields say that lie at the front of `data`, and what comes after the empty line behind
    /// them, if they are the ones that came last.
    #[inline]
    pub(super) fn alike<'d>(
        &self,
        version: Version,
        data: &'d [u8],
    ) -> Option<(RawFields, Manner, &'d [u8])> {
        let manner = self.manner.filter(|_| version == Version::HTTP_11)?;
        // They were found to be within their limits, and end with the end of a line.
        let after = data.strip_prefix(self.fields.lines())?.strip_prefix(b"\r\n")?;
        Some((self.fields.clone(), manner, after))
    }
}
