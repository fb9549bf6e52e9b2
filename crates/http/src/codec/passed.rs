//! Fields of an answer that somebody passes on, as they came.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::error::Excerpt;
use super::framing::Signs;
use super::syntax::{members, trimmed};

/// The lines of an answer's fields that go on to the next connection as they came: without those that are for one
/// connection alone (RFC 9110 7.6.1), and without Content-Length, which is told by itself.
#[derive(Debug, Default)]
pub(crate) struct PassedFields {
    lines: Vec<u8>,
    /// What Content-Length said.
    pub(crate) length: Option<u64>,
    pub(crate) has_date: bool,
    /// There is a Location or a Content-Location.
    pub(crate) has_place: bool,
    pub(crate) has_cookie: bool,
    /// The body, where all of it came with the head.
    pub(crate) body: Option<Bytes>,
}

/// Whether an option of Connection names no field that would go on otherwise.
fn goes_anyway(option: &[u8]) -> bool {
    let known: [&[u8]; 5] = [b"keep-alive", b"close", b"upgrade", b"te", b"proxy-connection"];
    known.iter().any(|known| option.eq_ignore_ascii_case(known))
}

impl PassedFields {
    /// None yet, with memory for so many bytes.
    pub(super) fn with_capacity(length: usize) -> Self {
        Self { lines: Vec::with_capacity(length), ..Self::default() }
    }

    /// Takes the next one; nothing where it has to be looked at by itself, and with it all the others. `signs`
    /// hear of those that concern them.
    #[inline]
    pub(super) fn take(
        &mut self,
        line: &[u8],
        name: &[u8],
        value: &[u8],
        signs: &mut Signs,
    ) -> Option<()> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        // By length, as most names are told apart by that alone.
        let is_own = match name.len() {
            2 => is(b"te"),
            4 => {
                self.has_date |= is(b"date");
                false
            }
            7 => is(b"upgrade"),
            8 => {
                self.has_place |= is(b"location");
                false
            }
            10 if is(b"connection") => {
                signs.note(name, value).ok()?;
                // What else it names goes with it.
                return members(value).all(goes_anyway).then_some(());
            }
            10 => {
                self.has_cookie |= is(b"set-cookie");
                is(b"keep-alive")
            }
            14 if is(b"content-length") => return signs.note(name, value).ok().map(|_| ()),
            16 => {
                self.has_place |= is(b"content-location");
                is(b"proxy-connection")
            }
            17 if is(b"transfer-encoding") => return signs.note(name, value).ok().map(|_| ()),
            18 => is(b"proxy-authenticate"),
            19 => is(b"proxy-authorization"),
            _ => false,
        };
        if is_own {
            return Some(());
        }
        self.lines.extend_from_slice(line);
        Some(())
    }

    /// Adds a field.
    pub(crate) fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            self.lines.extend_from_slice(part);
        }
    }

    /// Each with the end of its line.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Lays them among `headers`, as others know them.
    pub(crate) fn lay_among(&self, headers: &mut HeaderMap) {
        for line in self.lines.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            let field = memchr(b':', line).and_then(|colon| {
                let name = HeaderName::from_bytes(&line[..colon]).ok()?;
                Some((name, HeaderValue::from_bytes(trimmed(&line[colon + 1..])).ok()?))
            });
            match field {
                Some((name, value)) => _ = headers.append(name, value),
                None => debug_assert!(false, "it was read before: {:?}", Excerpt::of(line)),
            }
        }
        if let Some(length) = self.length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
    }
}
