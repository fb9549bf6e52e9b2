use std::fmt;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::Header;
use memchr::{memchr, memchr_iter};

use super::error::{BadRequest, Excerpt};
use super::head::Copies;
use super::syntax::trimmed;

/// The longest name that a map of fields takes.
const NAME_LENGTH_MAX: usize = u16::MAX as usize;

/// A request's fields as they came, with nothing wrong in them: most resources look at few of them or
/// at none, and a map costs more than all the rest of a request.
#[derive(Clone, Default)]
pub(crate) struct RawFields {
    /// Absent where there are none.
    lines: Option<Rc<Vec<u8>>>,
}

impl RawFields {
    /// The lines of `fields`, which the parser has found in `head`, a whole one.
    pub(super) fn lines_of<'h>(head: &'h [u8], fields: &[Header<'_>]) -> &'h [u8] {
        let Some(first) = fields.first() else { return &[] };
        let start = first.name.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
        head.get(start..head.len() - b"\r\n".len()).unwrap_or_default()
    }

    pub(super) fn from_lines(lines: &[u8]) -> Self {
        Self { lines: (!lines.is_empty()).then(|| Rc::new(lines.to_vec())) }
    }

    /// Each with the end of its line.
    pub(super) fn lines(&self) -> &[u8] {
        self.lines.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Holds these lines from here on, in the memory of those before if nobody else has them.
    pub(super) fn replace(&mut self, lines: &[u8]) {
        let shared = self.lines.get_or_insert_default();
        match Rc::get_mut(shared) {
            Some(own) => {
                own.clear();
                own.extend_from_slice(lines);
            }
            None => *shared = Rc::new(lines.to_vec()),
        }
    }

    /// Whether a map can have such a name. The parser has seen to all else.
    pub(super) fn check_name(name: &[u8]) -> Result<(), BadRequest> {
        if name.len() > NAME_LENGTH_MAX {
            return Err(BadRequest::BadHeaderName(Excerpt::of(name)));
        }
        Ok(())
    }

    /// Whether some make it a request for less than the whole, or for nothing unless it has changed.
    pub(crate) fn is_conditional(&self) -> bool {
        let is_such = |line: &[u8]| match line.first().map(u8::to_ascii_lowercase) {
            Some(b'i') => line.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"if-")),
            Some(b'r') => line.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"range:")),
            _ => false,
        };
        self.each().any(is_such)
    }

    /// The value of the first of this name.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        let (lines, name) = (self.lines(), name.as_bytes());
        let mut starts = std::iter::once(0).chain(memchr_iter(b'\n', lines).map(|end| end + 1));
        let has_name = |start: &usize| {
            let colon = start + name.len();
            // Few lines have one there, and most are passed by for that.
            lines.get(colon) == Some(&b':') && lines[*start..colon].eq_ignore_ascii_case(name)
        };
        let value = &lines[starts.find(has_name)? + name.len() + 1..];
        let end = memchr(b'\n', value).unwrap_or(value.len());
        let value = &value[..end];
        Some(trimmed(value.strip_suffix(b"\r").unwrap_or(value)))
    }

    /// How many bytes the lines are.
    pub(crate) fn length(&self) -> usize {
        self.lines().len()
    }

    /// Each line with its end.
    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.lines();
        std::iter::from_fn(move || {
            let end = memchr(b'\n', left)?;
            let (line, rest) = left.split_at(end + 1);
            left = rest;
            Some(line)
        })
    }

    pub(crate) fn to_map(&self) -> HeaderMap {
        let count = memchr_iter(b'\n', self.lines()).count();
        let copies = Copies::of_parts_of(self.lines(), count);
        let mut map = HeaderMap::with_capacity(count);
        for line in self.each() {
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            let field = memchr(b':', line).and_then(|colon| {
                let name = HeaderName::from_bytes(&line[..colon]).ok()?;
                let value = copies.of(trimmed(&line[colon + 1..]));
                Some((name, HeaderValue::from_maybe_shared(value).ok()?))
            });
            match field {
                Some((name, value)) => _ = map.append(name, value),
                None => debug_assert!(false, "the parser took {:?}", Excerpt::of(line)),
            }
        }
        map
    }
}

impl fmt::Debug for RawFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_map().fmt(f)
    }
}
