//! Which parts of a file are asked for (RFC 9110, 14).

use std::ops::Range;

/// How many ranges one request may ask for.
///
/// RFC 9110, 14.2 lets a server ignore requests that cost more than they are worth; one with more
/// ranges than this gets the whole file, with status 200.
pub const RANGES_MAX: usize = 16;

/// What a `Range` field asks for, of a file of some length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: the field is of another unit, malformed, or asks for too much.
    Whole,
    /// These parts: not empty, within the file, none touching another, in the order asked for.
    Parts(Vec<Range<u64>>),
    /// Nothing that there is.
    Unsatisfiable,
}

/// Reads the value of a `Range` field.
pub(crate) fn parse(value: &[u8], length: u64) -> Wanted {
    let Some(specs) = specs(value) else { return Wanted::Whole };
    if length == 0 && specs.iter().any(|spec| matches!(spec, Spec::Last(1..))) {
        // The last bytes of an empty file are a satisfiable range, which no Content-Range can tell.
        return Wanted::Whole;
    }
    let parts: Vec<_> = specs.iter().filter_map(|spec| spec.within(length)).collect();
    if parts.is_empty() { Wanted::Unsatisfiable } else { Wanted::Parts(coalesce(parts)) }
}

enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Spec {
    fn within(&self, length: u64) -> Option<Range<u64>> {
        let part = match *self {
            Self::From(first) => first..length,
            Self::Between(first, last) => first..length.min(last.saturating_add(1)),
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        (!part.is_empty()).then_some(part)
    }
}

/// The ranges of a field that is well-formed and not too long.
fn specs(value: &[u8]) -> Option<Vec<Spec>> {
    let (unit, set) = str::from_utf8(value).ok()?.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let items = set.split(',').map(|item| item.trim_matches([' ', '\t']));
    let items = items.filter(|item| !item.is_empty()).take(RANGES_MAX + 1);
    let specs = items.map(spec).collect::<Option<Vec<_>>>()?;
    (!specs.is_empty() && specs.len() <= RANGES_MAX).then_some(specs)
}

fn spec(item: &str) -> Option<Spec> {
    match item.split_once('-')? {
        ("", count) => Some(Spec::Last(number(count)?)),
        (first, "") => Some(Spec::From(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::Between(first, last))
        }
    }
}

/// A number; one too large to hold lies behind the end of every file, as does the largest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Makes one of parts that overlap or touch, so no byte is sent twice.
fn coalesce(parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut placed: Vec<(usize, Range<u64>)> = parts.into_iter().enumerate().collect();
    placed.sort_by_key(|(_, part)| part.start);
    let mut merged: Vec<(usize, Range<u64>)> = Vec::with_capacity(placed.len());
    for (place, part) in placed {
        match merged.last_mut() {
            Some((earliest, before)) if part.start <= before.end => {
                *earliest = place.min(*earliest);
                before.end = part.end.max(before.end);
            }
            _ => merged.push((place, part)),
        }
    }
    // RFC 9110, 15.3.7.2: parts are best sent in the order in which they were asked for.
    merged.sort_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, part)| part).collect()
}
