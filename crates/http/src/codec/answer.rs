//! Answers, as clients read them.

use std::error::Error;
use std::fmt;
use std::mem::{self, MaybeUninit};

use http::header::{HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version};
use httparse::Status;

use super::error::{BadRequest, Excerpt};
use super::fields::RawFields;
use super::framing::{BodyLength, Signs};
use super::head::{Copies, fault_in_field};
use super::limits::{FIELD_COUNT_MAX, Limits};
use super::lines::{Bounds, Lines, text_length};
use super::passed::PassedFields;
use super::syntax::{token_length, trimmed};

/// An answer without its body, and what it says about the body and the connection.
#[derive(Debug)]
pub struct AnswerHead {
    /// Status, version and fields.
    pub response: Response<()>,
    /// Where the body ends (RFC 9112 6.3).
    pub body: BodyLength,
    /// Whether the connection may go on after it (RFC 9112 9.3). Never where it ends the body.
    pub keep_alive: bool,
}

/// What an answer is an answer to: not all of them have the body that their fields tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerTo {
    /// HEAD, whose answers have no body.
    Head,
    /// CONNECT, whose successes have no body.
    Connect,
    /// Any other method.
    Other,
}

impl From<&Method> for AnswerTo {
    fn from(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// Finds the heads of answers in bytes that arrive in any pieces (RFC 9112 2 to 6).
///
/// It is as strict as [`HeadDecoder`](crate::HeadDecoder): what could be read in two ways is refused, but for what
/// [`unfolding`](Self::unfolding) says. A reason phrase may be missing together with the space before it.
///
/// ```
/// # use ropewalk_http::{AnswerDecoder, AnswerTo, BodyLength, Limits};
/// let mut decoder = AnswerDecoder::default();
/// let mut bytes = &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..];
///
/// let head = decoder.feed(&mut bytes, AnswerTo::Other, &Limits::default())?.expect("it is whole");
/// assert_eq!(head.response.status(), 200);
/// assert_eq!(head.body, BodyLength::Fixed(5));
/// assert_eq!(bytes, b"hello");
/// # Ok::<(), ropewalk_http::BadAnswer>(())
/// ```
#[derive(Debug, Default)]
pub struct AnswerDecoder {
    rest: Vec<u8>,
    /// Absent before the first byte of a head.
    lines: Option<Lines>,
    unfolds: bool,
}

impl AnswerDecoder {
    /// One for who reads answers and passes none on: a field that goes on in the next line is read as one line
    /// (RFC 9112 5.2). Others refuse it.
    ///
    /// ```
    /// # use ropewalk_http::{AnswerDecoder, AnswerTo, Limits};
    /// let mut bytes = &b"HTTP/1.1 200 OK\r\nServer: an\r\n  old one\r\n\r\n"[..];
    /// let head = AnswerDecoder::unfolding().feed(&mut bytes, AnswerTo::Other, &Limits::default())?;
    /// assert_eq!(head.expect("it is whole").response.headers()["server"], "an    old one");
    /// # Ok::<(), ropewalk_http::BadAnswer>(())
    /// ```
    pub fn unfolding() -> Self {
        Self { unfolds: true, ..Self::default() }
    }

    /// Takes bytes off the front of `data` up to the end of a head, or all of them and keeps them.
    ///
    /// Of the limits, `request_line_max` bounds the status line.
    ///
    /// # Errors
    ///
    /// If they are no head of an answer. Feed it nothing more then.
    pub fn feed(
        &mut self,
        data: &mut &[u8],
        to: AnswerTo,
        limits: &Limits,
    ) -> Result<Option<AnswerHead>, BadAnswer> {
        if self.lines.is_none()
            && let Some((head, length)) = read_in_place(data, to, limits)
        {
            *data = &data[length..];
            return Ok(Some(head));
        }
        self.go_on(data, limits, |head| read(head, to))
    }

    /// The same for what was not found whole where it lies; `read` is given the head once it is.
    fn go_on<T>(
        &mut self,
        data: &mut &[u8],
        limits: &Limits,
        read: impl FnOnce(&[u8]) -> Result<T, BadAnswer>,
    ) -> Result<Option<T>, BadAnswer> {
        // What is no HTTP at all is told by its first bytes, not by the length of its first line.
        let first = || self.rest.iter().chain(data.iter()).copied();
        if let Some(wrong) = first().zip(*b"HTTP/").position(|(byte, wanted)| byte != wanted) {
            let start: Vec<u8> = first().take(wrong + 1).collect();
            return Err(BadAnswer::BadStatusLine(Excerpt::of(&start)));
        }
        let lines = self.lines.get_or_insert(Lines::of_head());
        let Some(length) = lines.walk(data, &Bounds::of_head(limits))? else {
            self.rest.extend_from_slice(data);
            *data = &[];
            return Ok(None);
        };
        let (end, after) = data.split_at(length);
        *data = after;
        self.lines = None;
        if self.rest.is_empty() && !(self.unfolds && is_folded(end)) {
            return read(end).map(Some);
        }
        let mut whole = mem::take(&mut self.rest);
        whole.extend_from_slice(end);
        if self.unfolds {
            unfold(&mut whole);
        }
        read(&whole).map(Some)
    }

    /// The same for who passes the answer on: its fields come as lines where they can, and then there are none
    /// in the head.
    pub(crate) fn feed_passed(
        &mut self,
        data: &mut &[u8],
        to: AnswerTo,
        limits: &Limits,
    ) -> Result<Option<(AnswerHead, Option<PassedFields>)>, BadAnswer> {
        if self.lines.is_none()
            && let Some((head, fields, length)) = pass_in_place(data, to, limits)
        {
            *data = &data[length..];
            return Ok(Some((head, Some(fields))));
        }
        self.go_on(data, limits, |head| match pass_in_place(head, to, limits) {
            Some((head, fields, _)) => Ok((head, Some(fields))),
            None => Ok((read(head, to)?, None)),
        })
    }

    /// Whether it has bytes of a head that is not whole.
    pub fn has_begun(&self) -> bool {
        !self.rest.is_empty()
    }
}

/// The start of each line that goes on from the one before it.
fn folds(head: &[u8]) -> impl Iterator<Item = usize> + '_ {
    memchr::memchr_iter(b'\n', head)
        .filter(|&at| matches!(head.get(at + 1), Some(b' ' | b'\t')))
        .map(|at| at + 1)
}

fn is_folded(head: &[u8]) -> bool {
    folds(head).next().is_some()
}

/// Joins lines that go on from the ones before them; the first behind the status line goes on from none
/// (RFC 9112 2.2).
fn unfold(head: &mut [u8]) {
    let first = memchr::memchr(b'\n', head).map_or(0, |at| at + 1);
    let starts: Vec<usize> = folds(head).filter(|&start| start > first).collect();
    for start in starts {
        head[start - 2..=start].fill(b' ');
    }
}

/// Reads a head whose lines are whole.
fn read(head: &[u8], to: AnswerTo) -> Result<AnswerHead, BadAnswer> {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let version = check_status_line(line)?;
    let mut fields = [const { MaybeUninit::uninit() }; FIELD_COUNT_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let code = match parser.parse_response_with_uninit_headers(&mut parsed, head, &mut fields) {
        Ok(Status::Complete(_)) => parsed.code,
        Ok(Status::Partial) | Err(_) => return Err(fault_in(head)),
    };
    let status = code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| BadAnswer::BadStatus(Excerpt::of(line)))?;

    let each = parsed.headers.iter().map(|field| (field.name.as_bytes(), field.value));
    assemble(head, version, status, each, to)
}

/// How many fields are read where they lie at most.
const FIELDS_IN_PLACE_MAX: usize = 24;

/// What the head says at the front of `data` and how long it is, or nothing where the long way has to be taken: the head
/// is not whole, or something about it is wrong or seldom.
fn read_in_place(data: &[u8], to: AnswerTo, limits: &Limits) -> Option<(AnswerHead, usize)> {
    let (version, status, fields) = status_line(data, limits)?;
    let mut found = [(&b""[..], &b""[..]); FIELDS_IN_PLACE_MAX];
    let (mut rest, mut count) = (fields, 0);
    while !rest.starts_with(b"\r\n") {
        let (name, value, after) = field(rest)?;
        *found.get_mut(count)? = (name, value);
        (rest, count) = (after, count + 1);
    }
    if count > limits.field_count() || fields.len() - rest.len() > limits.header_block_max {
        return None;
    }
    let length = data.len() - rest.len() + b"\r\n".len();
    let each = found[..count].iter().copied();
    let head = assemble(&data[..length], version, status, each, to).ok()?;
    Some((head, length))
}

/// The same for who passes the answer on: its fields are lines and not in the head. Nothing where one of them is not
/// passed on as it is.
fn pass_in_place(
    data: &[u8],
    to: AnswerTo,
    limits: &Limits,
) -> Option<(AnswerHead, PassedFields, usize)> {
    let (version, status, fields) = status_line(data, limits)?;
    if status.is_informational() {
        return None;
    }
    let mut signs = Signs::default();
    // Heads that are longer than this are seldom; a line more is added behind them.
    let mut passed = PassedFields::with_capacity(fields.len().min(PASSED_MAX) + 64);
    let (mut rest, mut count) = (fields, 0);
    while !rest.starts_with(b"\r\n") {
        let (name, value, after) = field(rest)?;
        RawFields::check_name(name).ok()?;
        passed.take(&rest[..rest.len() - after.len()], name, value, &mut signs)?;
        (rest, count) = (after, count + 1);
    }
    if count > limits.field_count() || fields.len() - rest.len() > limits.header_block_max {
        return None;
    }
    passed.length = signs.length();
    let (body, keep_alive) = ending(&signs, version, status, to).ok()?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    let length = data.len() - rest.len() + b"\r\n".len();
    Some((AnswerHead { response, body, keep_alive }, passed, length))
}

/// For how many bytes of fields there is memory from the beginning.
const PASSED_MAX: usize = 1024;

/// What a status line says at the front of `data`, and what comes behind it.
fn status_line<'d>(data: &'d [u8], limits: &Limits) -> Option<(Version, StatusCode, &'d [u8])> {
    let (line, after) = data.split_at(text_length(data));
    if line.len() > limits.request_line_max {
        return None;
    }
    let version = check_status_line(line).ok()?;
    let status = StatusCode::from_bytes(line.get(9..12)?).ok()?;
    Some((version, status, after.strip_prefix(b"\r\n")?))
}

/// Name and value of the field at the front of `data`, and what comes behind its line.
#[inline]
fn field(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, after) = data.split_at(token_length(data));
    let after = after.strip_prefix(b":")?;
    let (value, after) = after.split_at(text_length(after));
    let rest = after.strip_prefix(b"\r\n")?;
    (!name.is_empty()).then_some((name, trimmed(value), rest))
}

/// An answer of these parts, which lie in `head`.
fn assemble<'h>(
    head: &'h [u8],
    version: Version,
    status: StatusCode,
    fields: impl ExactSizeIterator<Item = (&'h [u8], &'h [u8])>,
    to: AnswerTo,
) -> Result<AnswerHead, BadAnswer> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = version;
    let copies = Copies::of_parts_of(head, fields.len());
    let mut signs = Signs::default();
    let headers = response.headers_mut();
    headers.reserve(fields.len());
    for (name, value) in fields {
        // Host and Expect mean nothing here.
        let known = match name.len() {
            7 | 10 | 14 | 17 => signs.note(name, value)?,
            _ => None,
        };
        let name = match known {
            Some(name) => name,
            None => HeaderName::from_bytes(name)
                .map_err(|_| BadRequest::BadHeaderName(Excerpt::of(name)))?,
        };
        let value = HeaderValue::from_maybe_shared(copies.of(value));
        headers.append(name, value.map_err(|_| fault_in(head))?);
    }

    let (body, keep_alive) = ending(&signs, version, status, to)?;
    Ok(AnswerHead { response, body, keep_alive })
}

/// Where the body ends, and whether the connection may go on behind it.
fn ending(
    signs: &Signs,
    version: Version,
    status: StatusCode,
    to: AnswerTo,
) -> Result<(BodyLength, bool), BadRequest> {
    // What contradicts itself is refused also where it does not count.
    let told = signs.length_of_answer(version)?;
    let has_none = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || to == AnswerTo::Head
        || (to == AnswerTo::Connect && status.is_success());
    let body = if has_none { BodyLength::None } else { told };
    Ok((body, signs.keep_alive(version) && body != BodyLength::UntilClose))
}

/// The version in a status line, if the line is one (RFC 9112 4).
fn check_status_line(line: &[u8]) -> Result<Version, BadAnswer> {
    let bad = || BadAnswer::BadStatusLine(Excerpt::of(line));
    let (version, rest) = line.split_at_checked(8).ok_or_else(bad)?;
    let known = match version {
        b"HTTP/1.1" => Version::HTTP_11,
        b"HTTP/1.0" => Version::HTTP_10,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(BadAnswer::UnsupportedVersion(Excerpt::of(version)));
        }
        _ => return Err(bad()),
    };
    match rest {
        [b' ', code @ ..] => match code {
            [b'1'..=b'9', b, c] | [b'1'..=b'9', b, c, b' ', ..]
                if b.is_ascii_digit() && c.is_ascii_digit() =>
            {
                Ok(known)
            }
            _ => Err(BadAnswer::BadStatus(Excerpt::of(code))),
        },
        _ => Err(bad()),
    }
}

/// What is wrong with a head whose status line is in order but which is none.
#[cold]
fn fault_in(head: &[u8]) -> BadAnswer {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines =
        text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let in_fields = lines.find_map(fault_in_field);
    in_fields.map_or(BadAnswer::BadStatusLine(Excerpt::of(first)), BadAnswer::Message)
}

/// Why an answer is refused; the connection cannot be used after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadAnswer {
    /// It does not begin as an answer in HTTP/1 does (RFC 9112 4).
    BadStatusLine(Excerpt),
    /// A version other than 1.0 and 1.1 (RFC 9110 2.5).
    UnsupportedVersion(Excerpt),
    /// The status is not a number of three digits (RFC 9112 4).
    BadStatus(Excerpt),
    /// The status line is too long.
    StatusLineTooLong {
        /// [`Limits::request_line_max`](crate::Limits::request_line_max).
        max: usize,
    },
    /// A rule is broken that requests and answers share: about lines, fields and where the body ends.
    Message(BadRequest),
}

impl From<BadRequest> for BadAnswer {
    fn from(bad: BadRequest) -> Self {
        match bad {
            BadRequest::RequestLineTooLong { max } => Self::StatusLineTooLong { max },
            bad => Self::Message(bad),
        }
    }
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadStatusLine(got) => write!(f, "expected an HTTP/1 status line, got {got}"),
            Self::UnsupportedVersion(got) => write!(f, "expected HTTP/1.0 or 1.1, got {got}"),
            Self::BadStatus(got) => write!(f, "expected a status of three digits, got {got}"),
            Self::StatusLineTooLong { max } => {
                write!(f, "expected a status line of {max} bytes, got more")
            }
            Self::Message(bad) => bad.fmt(f),
        }
    }
}

impl Error for BadAnswer {}
