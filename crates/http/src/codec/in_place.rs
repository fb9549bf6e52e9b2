//! Heads that lie whole where they came to, and in which nothing is wrong.

use http::{Method, Version};

use super::alike::LastRequest;
use super::error::BadRequest;
use super::fields::RawFields;
use super::framing::Signs;
use super::head::{Manner, RawHead, uri};
use super::limits::Limits;
use super::lines::text_length;
use super::syntax::{token_length, trimmed};
use super::target::visible_length;

/// What the head says at the front of `data`, or `None` where the [long way](super::HeadDecoder) has to
/// be taken: the head is not whole, or something about it is wrong or seldom.
pub(crate) fn read_in_place(
    data: &mut &[u8],
    limits: &Limits,
    last: &mut LastRequest,
) -> Option<(RawHead, Manner)> {
    let (line, rest) = RequestLine::read(data)?;
    if line.length > limits.request_line_max {
        return None;
    }
    let (fields, manner, after) = match last.alike(line.version, rest) {
        Some(alike) => alike,
        None => {
            let (length, signs) = fields(rest, limits, last)?;
            let manner = signs.manner(line.version).ok()?;
            let (lines, after) = rest.split_at(length);
            (last.keep(lines, line.version, manner), manner, &after[b"\r\n".len()..])
        }
    };
    let uri = uri(&line.method, line.target).ok()?;
    *data = after;
    Some((RawHead { method: line.method, uri, version: line.version, fields }, manner))
}

/// A request line whose words are in order, but for the target's own grammar.
struct RequestLine<'d> {
    length: usize,
    method: Method,
    target: &'d [u8],
    version: Version,
}

impl<'d> RequestLine<'d> {
    /// The line, and what comes after its end.
    #[inline]
    fn read(data: &'d [u8]) -> Option<(Self, &'d [u8])> {
        // Most are this one, and telling the others apart takes longer.
        let (method, rest) = if let Some(rest) = data.strip_prefix(b"GET ") {
            (Method::GET, rest)
        } else {
            let (method, rest) = data.split_at(token_length(data));
            (Method::from_bytes(method).ok()?, rest.strip_prefix(b" ")?)
        };
        let (target, rest) = rest.split_at(visible_length(rest));
        let (version, rest) = match rest.strip_prefix(b" HTTP/1.1\r\n") {
            Some(rest) => (Version::HTTP_11, rest),
            None => (Version::HTTP_10, rest.strip_prefix(b" HTTP/1.0\r\n")?),
        };
        if target.is_empty() {
            return None;
        }
        let length = data.len() - rest.len() - b"\r\n".len();
        Some((Self { length, method, target, version }, rest))
    }
}

/// How long the fields are up to the empty line behind them, and what they say.
fn fields(data: &[u8], limits: &Limits, last: &mut LastRequest) -> Option<(usize, Signs)> {
    let mut signs = Signs::default();
    let (mut rest, mut count) = (data, 0);
    while !rest.starts_with(b"\r\n") {
        let (name, after) = rest.split_at(token_length(rest));
        let after = after.strip_prefix(b":")?;
        let (value, after) = after.split_at(text_length(after));
        rest = after.strip_prefix(b"\r\n")?;
        count += 1;
        if name.is_empty() {
            return None;
        }
        RawFields::check_name(name).ok()?;
        if Signs::may_have(name) {
            note(&mut signs, last, name, trimmed(value)).ok()?;
        }
    }
    let length = data.len() - rest.len();
    let fits = count <= limits.field_count() && length <= limits.header_block_max;
    fits.then_some((length, signs))
}

/// Looks at one field, which is one by the grammar that all fields share.
pub(super) fn note(
    signs: &mut Signs,
    last: &mut LastRequest,
    name: &[u8],
    value: &[u8],
) -> Result<(), BadRequest> {
    let had_host = signs.has_host();
    signs.note(name, value)?;
    if signs.has_host() && !had_host { last.host.check(value) } else { Ok(()) }
}
