use std::mem;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use httparse::Status;

use super::body::{Piece, take};
use super::error::{BadRequest, Excerpt};
use super::head::fault_in_field;
use super::limits::{FIELD_COUNT_MAX, Limits};
use super::lines::{Bounds, Lines, are_paired};
use super::syntax::{is_blank, is_tchar};

/// As many hexadecimal digits as 64 bits have.
const DIGITS_MAX: u8 = 16;

/// Takes the chunks out of a body (RFC 9112 7.1).
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    max: Option<u64>,
    /// Bytes of all chunks so far, this one counted whole.
    total: u64,
}

#[derive(Debug)]
enum State {
    /// In the line before a chunk, of which `length` bytes came.
    Line { place: Place, size: u64, length: u32 },
    /// In a chunk.
    Data { left: u64 },
    /// Behind a chunk, before the line end.
    DataCr,
    /// Behind a chunk, in the line end.
    DataLf,
    /// Behind the last chunk.
    Trailers { lines: Lines, rest: Vec<u8> },
}

/// Where in the line before a chunk (RFC 9112 7.1.1).
#[derive(Clone, Copy, Debug)]
enum Place {
    Size {
        digits: u8,
    },
    /// White space before a semicolon.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// White space between a name and what follows it.
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    /// After a backslash in a quoted value.
    Escaped,
    AfterQuoted,
    LineFeed,
}

impl Chunks {
    pub(super) fn new(max: Option<u64>) -> Self {
        Self { state: State::line(), max, total: 0 }
    }

    pub(super) fn feed<'d>(
        &mut self,
        data: &mut &'d [u8],
        limits: &Limits,
    ) -> Result<Option<Piece<'d>>, BadRequest> {
        loop {
            match &mut self.state {
                State::Data { left: 0 } => self.state = State::DataCr,
                State::Data { left } => return Ok(take(data, left).map(Piece::Data)),
                State::Trailers { lines, rest } => {
                    let trailers = feed_trailers(lines, rest, data, limits)?;
                    return Ok(trailers.map(Piece::End));
                }
                State::Line { .. } | State::DataCr | State::DataLf => {
                    let [byte, after @ ..] = *data else { return Ok(None) };
                    *data = after;
                    self.step(*byte, limits)?;
                }
            }
        }
    }

    /// One byte between chunks.
    fn step(&mut self, byte: u8, limits: &Limits) -> Result<(), BadRequest> {
        match &mut self.state {
            State::DataCr if byte == b'\r' => self.state = State::DataLf,
            State::DataCr => return Err(BadRequest::MissingChunkEnd(byte)),
            State::DataLf if byte == b'\n' => self.state = State::line(),
            State::DataLf => return Err(BadRequest::BareCr),
            State::Line { place: Place::LineFeed, size, .. } => {
                if byte != b'\n' {
                    return Err(BadRequest::BareCr);
                }
                let size = *size;
                self.begin(size)?;
            }
            State::Line { place, size, length } => {
                *place = place.after(byte, size)?;
                *length += 1;
                // The carriage return is not counted.
                let is_end = matches!(place, Place::LineFeed);
                if !is_end && *length as usize > limits.chunk_line_max {
                    return Err(BadRequest::ChunkLineTooLong { max: limits.chunk_line_max });
                }
            }
            State::Data { .. } | State::Trailers { .. } => (),
        }
        Ok(())
    }

    /// The line before a chunk is over.
    fn begin(&mut self, size: u64) -> Result<(), BadRequest> {
        self.total = self.total.saturating_add(size);
        if let Some(max) = self.max
            && self.total > max
        {
            return Err(BadRequest::BodyTooLong { max });
        }
        self.state = if size > 0 {
            State::Data { left: size }
        } else {
            State::Trailers { lines: Lines::of_trailers(), rest: Vec::new() }
        };
        Ok(())
    }
}

impl State {
    const fn line() -> Self {
        Self::Line { place: Place::Size { digits: 0 }, size: 0, length: 0 }
    }
}

impl Place {
    /// Where the line is after one more byte; `size` grows with each digit.
    fn after(self, byte: u8, size: &mut u64) -> Result<Self, BadRequest> {
        if byte == b'\n' {
            return Err(BadRequest::BareLf);
        }
        let next = match (self, byte) {
            (Self::Size { digits: 0 }, _) if !byte.is_ascii_hexdigit() => {
                return Err(BadRequest::MissingChunkSize(byte));
            }
            (Self::Size { digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == DIGITS_MAX {
                    return Err(BadRequest::HugeChunkSize);
                }
                *size = *size << 4 | u64::from(value_of(byte));
                Self::Size { digits: digits + 1 }
            }
            (Self::Size { .. } | Self::Name | Self::Value | Self::AfterQuoted, b'\r') => {
                Self::LineFeed
            }
            (
                Self::Size { .. }
                | Self::BeforeSemicolon
                | Self::Name
                | Self::AfterName
                | Self::Value
                | Self::AfterQuoted,
                b';',
            ) => Self::BeforeName,
            (Self::Size { .. } | Self::Value | Self::AfterQuoted | Self::BeforeSemicolon, _)
                if is_blank(byte) =>
            {
                Self::BeforeSemicolon
            }
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::Name | Self::AfterName, _) if is_blank(byte) => Self::AfterName,
            (Self::BeforeName | Self::BeforeValue, _) if is_blank(byte) => self,
            (Self::BeforeName | Self::Name, _) if is_tchar(byte) => Self::Name,
            (Self::BeforeValue | Self::Value, _) if is_tchar(byte) => Self::Value,
            (Self::Quoted, b'"') => Self::AfterQuoted,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::BeforeValue, b'"')
            | (Self::Quoted | Self::Escaped, b'\t' | b' '..=b'~' | 0x80..) => Self::Quoted,
            (Self::Size { .. } | Self::BeforeSemicolon, _) => {
                return Err(BadRequest::BadChunkSize(byte));
            }
            _ => return Err(BadRequest::BadChunkExtension(byte)),
        };
        Ok(next)
    }
}

const fn value_of(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Takes trailer fields off `data`; answers them once the empty line after them came.
fn feed_trailers(
    lines: &mut Lines,
    rest: &mut Vec<u8>,
    data: &mut &[u8],
    limits: &Limits,
) -> Result<Option<HeaderMap>, BadRequest> {
    let Some(length) = lines.walk(data, &Bounds::of_trailers(limits))? else {
        rest.extend_from_slice(data);
        *data = &[];
        return Ok(None);
    };
    let (end, after) = data.split_at(length);
    *data = after;
    if rest.is_empty() {
        return read_trailers(end).map(Some);
    }
    rest.extend_from_slice(end);
    read_trailers(&mem::take(rest)).map(Some)
}

fn read_trailers(block: &[u8]) -> Result<HeaderMap, BadRequest> {
    debug_assert!(are_paired(block), "the lines were walked over");
    if block == b"\r\n" {
        return Ok(HeaderMap::new());
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
    let Ok(Status::Complete((_, fields))) = httparse::parse_headers(block, &mut fields) else {
        return Err(fault_in(block));
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| fault_in(block))?;
        if is_forbidden(&name) {
            return Err(BadRequest::ForbiddenTrailer(Excerpt::of(name.as_str().as_bytes())));
        }
        let value = HeaderValue::from_bytes(field.value).map_err(|_| fault_in(block))?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

#[cold]
fn fault_in(block: &[u8]) -> BadRequest {
    let text = block.strip_suffix(b"\r\n\r\n").unwrap_or(block);
    text.split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .find_map(fault_in_field)
        .unwrap_or(BadRequest::BadHeaderName(Excerpt::of(text)))
}

/// Whether a field is needed before the body: for framing, routing, access or reading of it
/// (RFC 9110 6.5.1).
pub(super) fn is_forbidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "cache-control"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "expect"
            | "host"
            | "if-match"
            | "if-modified-since"
            | "if-none-match"
            | "if-range"
            | "if-unmodified-since"
            | "keep-alive"
            | "max-forwards"
            | "proxy-authorization"
            | "proxy-connection"
            | "range"
            | "set-cookie"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}
