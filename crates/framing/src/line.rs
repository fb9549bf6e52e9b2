//! Lines.

use std::fmt;
use std::rc::Rc;

use memchr::{memchr, memchr2, memmem};

use crate::Decoder;
use crate::decoder::Rest;

/// The longest line that a decoder takes unless told otherwise, without its end, in bytes.
pub const LINE_MAX: usize = 16_384;

/// What ends a line.
///
/// ```
/// use ropewalk_framing::Ending;
/// let mut out = Vec::new();
/// Ending::CrLf.encode(b"250 fine", &mut out)?;
/// assert_eq!(out, b"250 fine\r\n");
/// assert!(Ending::CrLf.encode(b"250 fine\r\n550 forged", &mut out).is_err());
/// # Ok::<(), ropewalk_framing::BadLine>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// CR LF, strictly: either of them alone is refused.
    CrLf,
    /// LF, and a CR before it belongs to it: for reading from whoever sends the one or the other.
    /// Writes CR LF.
    Tolerant,
    /// LF; a CR is a byte like others.
    Lf,
    /// This sequence.
    Sequence(Delimiter),
}

/// A sequence of bytes between lines; it has at least one. Clones share it.
#[derive(Clone, Debug)]
pub struct Delimiter(Rc<memmem::Finder<'static>>);

impl Delimiter {
    /// These bytes, or `None` if there are none.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(Rc::new(memmem::Finder::new(bytes).into_owned())))
    }

    /// The sequence.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.needle()
    }
}

impl PartialEq for Delimiter {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Delimiter {}

impl Ending {
    /// Appends `line` and its end to `out`.
    ///
    /// # Errors
    ///
    /// If `line` holds what would end it; nothing is appended then.
    pub fn encode(&self, line: &[u8], out: &mut Vec<u8>) -> Result<(), BadLine> {
        let found = match self {
            Self::CrLf | Self::Tolerant => memchr2(b'\r', b'\n', line),
            Self::Lf => memchr(b'\n', line),
            Self::Sequence(delimiter) => {
                // A delimiter may begin in the line and end in itself.
                let with_end = [line, delimiter.as_bytes()].concat();
                delimiter.0.find(&with_end).filter(|at| *at < line.len())
            }
        };
        if found.is_some() {
            return Err(BadLine::EndInside);
        }
        out.extend_from_slice(line);
        out.extend_from_slice(match self {
            Self::CrLf | Self::Tolerant => b"\r\n",
            Self::Lf => b"\n",
            Self::Sequence(delimiter) => delimiter.as_bytes(),
        });
        Ok(())
    }
}

/// Why bytes are no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadLine {
    /// The peer sends a line longer than this many bytes.
    TooLong {
        /// The longest line that is taken.
        max: usize,
    },
    /// The peer sent an LF without a CR before it.
    BareLineFeed,
    /// The peer sent a CR without an LF after it.
    BareCarriageReturn,
    /// The caller's line holds the sequence that ends lines.
    EndInside,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "a line is longer than {max} bytes"),
            Self::BareLineFeed => f.write_str("a line feed has no carriage return before it"),
            Self::BareCarriageReturn => f.write_str("a carriage return has no line feed after it"),
            Self::EndInside => f.write_str("a line holds what ends lines"),
        }
    }
}

impl std::error::Error for BadLine {}

/// Bytes to lines, without their ends.
///
/// After an error it can be fed on: the line that is wrong is dropped up to its end.
///
/// ```
/// use ropewalk_framing::{Decoder, Ending, LineDecoder};
///
/// let mut lines = LineDecoder::new(Ending::CrLf);
/// let mut data = &b"HELO there\r\nQU"[..];
/// assert_eq!(lines.feed(&mut data)?, Some(&b"HELO there"[..]));
/// assert_eq!(lines.feed(&mut data)?, None);
/// let mut data = &b"IT\r\n"[..];
/// assert_eq!(lines.feed(&mut data)?, Some(&b"QUIT"[..]));
/// # Ok::<(), ropewalk_framing::BadLine>(())
/// ```
#[derive(Clone, Debug)]
pub struct LineDecoder {
    ending: Ending,
    line_max: usize,
    rest: Rest,
    /// What comes up to the next end belongs to a line that is wrong.
    is_skipping: bool,
}

/// What was found at the front of some bytes.
enum Found {
    /// A line so long, and its end so long.
    Line(usize, usize),
    /// No end, though nothing is wrong so far.
    Nothing,
    Bad(BadLine),
}

impl LineDecoder {
    /// Lines that end so and are at most [`LINE_MAX`] bytes long.
    pub fn new(ending: Ending) -> Self {
        Self { ending, line_max: LINE_MAX, rest: Rest::default(), is_skipping: false }
    }

    /// The same with lines of at most `line_max` bytes, their ends not counted.
    pub fn line_max(self, line_max: usize) -> Self {
        Self { line_max, ..self }
    }

    /// Looks for the first line in `bytes`, of which the first `known` hold no end.
    fn find(&self, bytes: &[u8], known: usize) -> Found {
        let max = self.line_max;
        match &self.ending {
            Ending::CrLf => {
                // The last known byte may be a CR that waits for its LF.
                let from = known.saturating_sub(1);
                let end = memchr2(b'\r', b'\n', &bytes[from..]).map(|at| from + at);
                match end {
                    None if bytes.len() <= max => Found::Nothing,
                    Some(at) if at <= max => match (bytes[at], bytes.get(at + 1)) {
                        (b'\n', _) => Found::Bad(BadLine::BareLineFeed),
                        (_, Some(b'\n')) => Found::Line(at, 2),
                        (_, None) => Found::Nothing,
                        _ => Found::Bad(BadLine::BareCarriageReturn),
                    },
                    _ => Found::Bad(BadLine::TooLong { max }),
                }
            }
            Ending::Tolerant => match memchr(b'\n', &bytes[known..]).map(|at| known + at) {
                Some(at) => {
                    let end = if at > 0 && bytes[at - 1] == b'\r' { 2 } else { 1 };
                    self.bounded(at + 1 - end, end)
                }
                None if bytes.len() <= max => Found::Nothing,
                None if bytes.len() == max + 1 && bytes.last() == Some(&b'\r') => Found::Nothing,
                None => Found::Bad(BadLine::TooLong { max }),
            },
            Ending::Lf => match memchr(b'\n', &bytes[known..]).map(|at| known + at) {
                Some(at) => self.bounded(at, 1),
                None if bytes.len() <= max => Found::Nothing,
                None => Found::Bad(BadLine::TooLong { max }),
            },
            Ending::Sequence(delimiter) => {
                let size = delimiter.as_bytes().len();
                let from = known.saturating_sub(size - 1);
                match delimiter.0.find(&bytes[from..]).map(|at| from + at) {
                    Some(at) => self.bounded(at, size),
                    None if bytes.len() < max.saturating_add(size) => Found::Nothing,
                    None => Found::Bad(BadLine::TooLong { max }),
                }
            }
        }
    }

    fn bounded(&self, line: usize, end: usize) -> Found {
        if line > self.line_max {
            Found::Bad(BadLine::TooLong { max: self.line_max })
        } else {
            Found::Line(line, end)
        }
    }

    /// How many bytes at the front of `bytes` belong to a line that is wrong, and whether its end is
    /// among them. What may be the beginning of that end is not counted.
    fn skip(&self, bytes: &[u8]) -> (usize, bool) {
        let end = match &self.ending {
            Ending::CrLf => memmem::find(bytes, b"\r\n").map(|at| at + 2),
            Ending::Tolerant | Ending::Lf => memchr(b'\n', bytes).map(|at| at + 1),
            Ending::Sequence(delimiter) => {
                delimiter.0.find(bytes).map(|at| at + delimiter.as_bytes().len())
            }
        };
        let kept = match &self.ending {
            Ending::CrLf => 1,
            Ending::Tolerant | Ending::Lf => 0,
            Ending::Sequence(delimiter) => delimiter.as_bytes().len() - 1,
        };
        end.map_or((bytes.len().saturating_sub(kept), false), |end| (end, true))
    }

    /// Drops what belongs to a line that is wrong.
    fn skip_on(&mut self, data: &mut &[u8]) {
        let mut bytes = self.rest.take();
        let before = bytes.len();
        bytes.extend_from_slice(data);
        let (skipped, is_done) = self.skip(&bytes);
        self.is_skipping = !is_done;
        if is_done {
            // No end lies in what was kept, so this one ends in `data`.
            *data = &data[skipped - before..];
        } else {
            *data = &[];
            *self.rest.bytes() = bytes.split_off(skipped);
        }
    }

    /// The longest that a rest can be while nothing is wrong with it.
    fn rest_max(&self) -> usize {
        let end = match &self.ending {
            Ending::CrLf | Ending::Tolerant => 2,
            Ending::Lf => 1,
            Ending::Sequence(delimiter) => delimiter.as_bytes().len(),
        };
        self.line_max.saturating_add(end)
    }

    /// Goes on with a line whose beginning is kept.
    fn feed_rest<'f>(&'f mut self, data: &mut &[u8]) -> Result<Option<&'f [u8]>, BadLine> {
        let known = self.rest.bytes().len();
        let mut room = self.rest_max().saturating_sub(known).min(data.len());
        if !matches!(self.ending, Ending::Sequence(_)) {
            // All others end in LF: what comes after the first is not this line's.
            room = memchr(b'\n', &data[..room]).map_or(room, |at| at + 1);
        }
        let mut bytes = self.rest.take();
        bytes.extend_from_slice(&data[..room]);
        let found = self.find(&bytes, known);
        match found {
            Found::Line(line, end) => {
                *data = &data[line + end - known..];
                bytes.truncate(line);
                *self.rest.bytes() = bytes;
                Ok(Some(self.rest.lend()))
            }
            Found::Nothing => {
                *data = &data[room..];
                *self.rest.bytes() = bytes;
                Ok(None)
            }
            Found::Bad(bad) => {
                bytes.truncate(known);
                *self.rest.bytes() = bytes;
                self.is_skipping = true;
                Err(bad)
            }
        }
    }
}

impl Decoder for LineDecoder {
    type Error = BadLine;

    fn feed<'f, 'd: 'f>(&'f mut self, data: &mut &'d [u8]) -> Result<Option<&'f [u8]>, BadLine> {
        if self.is_skipping {
            self.skip_on(data);
            if self.is_skipping {
                return Ok(None);
            }
        }
        if !self.rest.is_empty() {
            return self.feed_rest(data);
        }
        match self.find(data, 0) {
            Found::Line(line, end) => {
                let (found, after) = data.split_at(line + end);
                *data = after;
                Ok(Some(&found[..line]))
            }
            Found::Nothing => {
                self.rest.bytes().extend_from_slice(data);
                *data = &[];
                Ok(None)
            }
            Found::Bad(bad) => {
                self.is_skipping = true;
                Err(bad)
            }
        }
    }

    fn take_rest(&mut self) -> Vec<u8> {
        self.rest.take()
    }
}
