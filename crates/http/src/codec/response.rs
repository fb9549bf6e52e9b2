use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, StatusCode, Version};

use super::chunked::is_forbidden;
use super::date::Date;
use super::error::BadBody;
use super::head::Head;
use super::passed::PassedFields;
use super::status;
use super::syntax::members;

/// What to send to a client that waits for a word before its body (RFC 9110 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Where encoded bytes go: a `Vec<u8>`, or any closure.
pub trait Out {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<F: FnMut(&[u8])> Out for F {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self(bytes);
    }
}

/// What a request has to say about the form of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of its own")]
pub struct Asked {
    is_old: bool,
    kind: Kind,
    keep_alive: bool,
    wants_upgrade: bool,
    takes_trailers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Head,
    Connect,
    Other,
}

impl Asked {
    /// What this request says.
    pub fn by(head: &Head) -> Self {
        Self::by_request(head.request.method(), head.request.version(), head.keep_alive)
    }

    pub(crate) fn by_request(method: &Method, version: Version, keep_alive: bool) -> Self {
        let kind = match *method {
            Method::HEAD => Kind::Head,
            Method::CONNECT => Kind::Connect,
            _ => Kind::Other,
        };
        Self {
            is_old: version == Version::HTTP_10,
            kind,
            keep_alive,
            wants_upgrade: false,
            takes_trailers: false,
        }
    }

    /// For an answer to what could not be read: the connection closes after it.
    pub const fn unread() -> Self {
        Self {
            is_old: false,
            kind: Kind::Other,
            keep_alive: false,
            wants_upgrade: false,
            takes_trailers: false,
        }
    }

    /// The same, of a client that would go on in another protocol.
    pub(crate) const fn and_upgrade(self) -> Self {
        Self { wants_upgrade: true, ..self }
    }

    /// The same, of a client that takes fields behind a body (RFC 9110 10.1.4).
    pub(crate) const fn and_trailers(self) -> Self {
        Self { takes_trailers: true, ..self }
    }

    pub(crate) const fn takes_trailers(self) -> bool {
        self.takes_trailers
    }

    /// Whether the client would go on in another protocol.
    pub(crate) const fn wants_upgrade(self) -> bool {
        self.wants_upgrade
    }

    pub(crate) const fn is_connect(self) -> bool {
        matches!(self.kind, Kind::Connect)
    }

    /// How the body of an answer follows, and what Content-Length says.
    pub(crate) fn framing(
        self,
        status: StatusCode,
        length: Option<u64>,
        own: Option<u64>,
    ) -> (SentAs, Option<u64>) {
        framing(self, status, length.map_or(BodySize::Unknown, BodySize::Known), own)
    }

    /// The same, but the connection closes after the answer.
    #[must_use]
    pub const fn and_close(self) -> Self {
        Self { keep_alive: false, ..self }
    }
}

/// How much body an answerer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodySize {
    /// As many bytes.
    Known(u64),
    /// As many bytes as the answer's own Content-Length says, or nobody knows yet.
    Unknown,
}

/// How a response is told from what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// How its body is sent.
    pub body: SentAs,
    /// Whether the connection may go on after it.
    pub keep_alive: bool,
}

/// How a body is sent (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentAs {
    /// Not at all: the method or the status has no body.
    Nothing,
    /// As so many bytes.
    Fixed(u64),
    /// In chunks.
    Chunked,
    /// As bytes up to the end of the connection.
    UntilClose,
}

/// Writes a status line and fields, and says how the body has to follow (RFC 9112 4 to 6).
///
/// The codec sees to Content-Length, Transfer-Encoding, Connection and Date: of `headers` it takes
/// Date if it is there, the word `close` in Connection, and Content-Length where `size` is unknown
/// or the answer is to HEAD or 304. With 101 the answerer's Connection stands, and an informational
/// status has just `headers`.
///
/// ```
/// # use http::{HeaderMap, StatusCode};
/// # use ropewalk_http::{Asked, BodySize, Date, encode_head};
/// let mut out = Vec::new();
/// let (none, size) = (HeaderMap::new(), BodySize::Known(0));
/// encode_head(&mut out, Asked::unread(), StatusCode::BAD_REQUEST, &none, size, &Date::at(0));
/// assert_eq!(
///     out,
///     b"HTTP/1.1 400 Bad Request\r\n\
///       date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
///       content-length: 0\r\n\
///       connection: close\r\n\
///       \r\n"
/// );
/// ```
pub fn encode_head(
    out: &mut impl Out,
    asked: Asked,
    status: StatusCode,
    headers: &HeaderMap,
    size: BodySize,
    date: &Date,
) -> Framing {
    ResponseHead { status, headers: Some(headers), passed: None, content_type: None, size }
        .encode(out, asked, date)
}

/// What [`encode_head`] is told, and one thing more.
pub(crate) struct ResponseHead<'r> {
    pub(crate) status: StatusCode,
    /// Absent where there are none.
    pub(crate) headers: Option<&'r HeaderMap>,
    /// Those that came from another server, where they are passed on.
    pub(crate) passed: Option<&'r PassedFields>,
    /// Stands where `headers` name no type.
    pub(crate) content_type: Option<&'static HeaderValue>,
    pub(crate) size: BodySize,
}

/// The head that was encoded last, of those without fields of their own: most are like the one before
/// them, or begin like it.
#[derive(Default)]
pub(crate) struct LastHead {
    bytes: Vec<u8>,
    /// Up to where the bytes depend on status, type and date alone; 0 where there are none.
    opening: usize,
    status: StatusCode,
    content_type: Option<&'static HeaderValue>,
    /// What the rest of it was made for, and what it said.
    ending: Option<(Asked, BodySize, Framing)>,
}

impl LastHead {
    /// The date is another one now.
    pub(crate) fn forget(&mut self) {
        self.opening = 0;
    }

    fn begins_like(&self, head: &ResponseHead<'_>) -> bool {
        let place = std::ptr::from_ref::<HeaderValue>;
        self.opening > 0
            && self.status == head.status
            && self.content_type.map(place) == head.content_type.map(place)
    }

    fn begin(&mut self, head: &ResponseHead<'_>, date: &Date) {
        self.bytes.clear();
        head.put_opening(&mut self.bytes, date);
        self.opening = self.bytes.len();
        (self.status, self.content_type) = (head.status, head.content_type);
        self.ending = None;
    }

    fn end(&mut self, head: &ResponseHead<'_>, asked: Asked) -> Framing {
        self.bytes.truncate(self.opening);
        let framing = head.put_ending(&mut self.bytes, asked, &Own::default());
        self.ending = Some((asked, head.size, framing));
        framing
    }
}

impl ResponseHead<'_> {
    pub(crate) fn encode(&self, out: &mut impl Out, asked: Asked, date: &Date) -> Framing {
        let own = self.put_opening(out, date);
        if self.status.is_informational() {
            out.put(b"\r\n");
            return Framing { body: SentAs::Nothing, keep_alive: asked.keep_alive };
        }
        self.put_ending(out, asked, &own)
    }

    /// The same, by way of the head before it, which had the same date.
    pub(crate) fn encode_after(
        &self,
        last: &mut LastHead,
        out: &mut Vec<u8>,
        asked: Asked,
        date: &Date,
    ) -> Framing {
        let has_own = self.passed.is_some() || self.headers.is_some_and(|own| !own.is_empty());
        if has_own || self.status.is_informational() {
            return self.encode(out, asked, date);
        }
        if !last.begins_like(self) {
            last.begin(self, date);
        }
        let framing = match last.ending {
            Some((same, size, framing)) if same == asked && size == self.size => framing,
            _ => last.end(self, asked),
        };
        out.extend_from_slice(&last.bytes);
        framing
    }

    fn put_opening(&self, out: &mut impl Out, date: &Date) -> Own {
        put_status(out, self.status);
        let mut own = put_fields(out, self.status, self.headers);
        if let Some(passed) = self.passed {
            out.put(passed.lines());
            own.has_date |= passed.has_date;
            own.length = own.length.or(passed.length);
        }
        if self.status.is_informational() {
            return own;
        }
        if let Some(content_type) = self.content_type.filter(|_| !own.has_type) {
            out.put(b"content-type: ");
            out.put(content_type.as_bytes());
            out.put(b"\r\n");
        }
        if !own.has_date {
            out.put(date.as_line());
        }
        own
    }

    fn put_ending(&self, out: &mut impl Out, asked: Asked, own: &Own) -> Framing {
        let (body, length) = framing(asked, self.status, self.size, own.length);
        if let Some(length) = length {
            put_length(out, length);
        }
        if body == SentAs::Chunked {
            out.put(b"transfer-encoding: chunked\r\n");
        }
        let keep_alive = asked.keep_alive && !own.says_close && body != SentAs::UntilClose;
        match (keep_alive, asked.is_old) {
            (true, false) => (),
            (true, true) => out.put(b"connection: keep-alive\r\n"),
            (false, _) => out.put(b"connection: close\r\n"),
        }
        out.put(b"\r\n");
        Framing { body, keep_alive }
    }
}

/// How the body is sent, and what Content-Length says.
fn framing(
    asked: Asked,
    status: StatusCode,
    size: BodySize,
    own: Option<u64>,
) -> (SentAs, Option<u64>) {
    let known = match size {
        BodySize::Known(length) => Some(length),
        BodySize::Unknown => own,
    };
    match (status, asked.kind) {
        // RFC 9110 8.6: a tunnel has no length, nor has what has no content.
        (StatusCode::NO_CONTENT, _) => (SentAs::Nothing, None),
        (_, Kind::Connect) if status.is_success() => (SentAs::Nothing, None),
        (StatusCode::NOT_MODIFIED, _) => (SentAs::Nothing, own),
        // RFC 9110 15.3.6: this one is always empty, and has to say so.
        (StatusCode::RESET_CONTENT, Kind::Head | Kind::Other | Kind::Connect) => {
            (SentAs::Nothing, Some(0))
        }
        // The length of what GET would get, if somebody took the trouble to find out.
        (_, Kind::Head) => (SentAs::Nothing, own.or(known.filter(|length| *length > 0))),
        _ => match known {
            Some(length) => (SentAs::Fixed(length), known),
            None if asked.is_old => (SentAs::UntilClose, None),
            None => (SentAs::Chunked, None),
        },
    }
}

fn put_status(out: &mut impl Out, status: StatusCode) {
    if let Some(line) = status::line(status) {
        return out.put(line);
    }
    out.put(b"HTTP/1.1 ");
    out.put(status.as_str().as_bytes());
    // RFC 9112 4: the space stays when there is no reason.
    out.put(b" \r\n");
}

/// What an answerer's own fields say about the form of its answer.
#[derive(Default)]
struct Own {
    length: Option<u64>,
    has_date: bool,
    has_type: bool,
    says_close: bool,
}

fn put_fields(out: &mut impl Out, status: StatusCode, headers: Option<&HeaderMap>) -> Own {
    let mut own = Own::default();
    for (name, value) in headers.into_iter().flatten() {
        if name == CONTENT_LENGTH {
            own.length = value.to_str().ok().and_then(|digits| digits.parse().ok());
            continue;
        }
        if name == TRANSFER_ENCODING {
            continue;
        }
        if name == CONNECTION && status != StatusCode::SWITCHING_PROTOCOLS {
            let is_close = |option: &[u8]| option.eq_ignore_ascii_case(b"close");
            own.says_close |= members(value.as_bytes()).any(is_close);
            continue;
        }
        own.has_date |= name == DATE;
        own.has_type |= name == CONTENT_TYPE;
        put_field(out, name.as_str(), value.as_bytes());
    }
    own
}

fn put_field(out: &mut impl Out, name: &str, value: &[u8]) {
    out.put(name.as_bytes());
    out.put(b": ");
    out.put(value);
    out.put(b"\r\n");
}

fn put_length(out: &mut impl Out, length: u64) {
    const NAME: &[u8; 16] = b"content-length: ";
    let mut line = *b"content-length: 00000000000000000000\r\n";
    let mut start = line.len() - b"\r\n".len();
    let mut left = length;
    loop {
        start -= 1;
        line[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    // All in one piece: the name moves up to the digits.
    let line = &mut line[start - NAME.len()..];
    line[..NAME.len()].copy_from_slice(NAME);
    out.put(line);
}

/// The line before a chunk (RFC 9112 7.1).
fn put_chunk_line(out: &mut impl Out, length: u64) {
    let mut line = *b"0000000000000000\r\n";
    let mut start = 16;
    let mut left = length;
    while left > 0 {
        start -= 1;
        line[start] = b"0123456789abcdef"[(left & 15) as usize];
        left >>= 4;
    }
    out.put(&line[start..]);
}

/// Writes a response's body as its head said.
///
/// ```
/// # use ropewalk_http::{BodyWriter, SentAs};
/// let mut out = Vec::new();
/// let mut body = BodyWriter::new(SentAs::Chunked);
/// body.write(&mut out, b"hello")?;
/// body.finish(&mut out)?;
/// assert_eq!(out, b"5\r\nhello\r\n0\r\n\r\n");
/// # Ok::<(), ropewalk_http::BadBody>(())
/// ```
#[derive(Debug)]
pub struct BodyWriter {
    left: SentAs,
}

impl BodyWriter {
    /// A writer for one body.
    pub const fn new(sent_as: SentAs) -> Self {
        Self { left: sent_as }
    }

    /// Writes the next piece. Where there is no body to be sent, as for HEAD, nothing is written.
    ///
    /// # Errors
    ///
    /// If the piece goes beyond the length that the head told; nothing of it is written.
    pub fn write(&mut self, out: &mut impl Out, piece: &[u8]) -> Result<(), BadBody> {
        if self.begin(out, piece.len() as u64)? {
            out.put(piece);
            self.end(out);
        }
        Ok(())
    }

    /// Writes what comes before a piece that goes out by another way, such as a file's, and says
    /// whether that piece is to be sent at all. [`end`](Self::end) has to follow it.
    ///
    /// # Errors
    ///
    /// If the piece goes beyond the length that the head told.
    pub fn begin(&mut self, out: &mut impl Out, length: u64) -> Result<bool, BadBody> {
        match &mut self.left {
            SentAs::Nothing => return Ok(false),
            SentAs::Fixed(left) if length > *left => {
                return Err(BadBody::TooLong { over: length - *left });
            }
            SentAs::Fixed(left) => *left -= length,
            // An empty chunk would be the last one.
            SentAs::Chunked if length > 0 => put_chunk_line(out, length),
            SentAs::Chunked | SentAs::UntilClose => (),
        }
        Ok(length > 0)
    }

    /// Writes what comes after such a piece.
    pub fn end(&mut self, out: &mut impl Out) {
        if self.left == SentAs::Chunked {
            out.put(b"\r\n");
        }
    }

    /// Writes the end of the body.
    ///
    /// # Errors
    ///
    /// If the head told a greater length: nothing but closing the connection will tell the client.
    pub fn finish(self, out: &mut impl Out) -> Result<(), BadBody> {
        self.finish_with(out, &HeaderMap::new())
    }

    /// Writes the end of the body, and fields after it where there is a place for them: behind
    /// chunks (RFC 9112 7.1.2). Fields that may not stand there are left out (RFC 9110 6.5.1).
    ///
    /// # Errors
    ///
    /// As for [`finish`](Self::finish).
    pub fn finish_with(self, out: &mut impl Out, trailers: &HeaderMap) -> Result<(), BadBody> {
        match self.left {
            SentAs::Fixed(under @ 1..) => return Err(BadBody::TooShort { under }),
            SentAs::Nothing | SentAs::Fixed(0) | SentAs::UntilClose => (),
            SentAs::Chunked => {
                out.put(b"0\r\n");
                for (name, value) in trailers.iter().filter(|(name, _)| !is_forbidden(name)) {
                    put_field(out, name.as_str(), value.as_bytes());
                }
                out.put(b"\r\n");
            }
        }
        Ok(())
    }
}
