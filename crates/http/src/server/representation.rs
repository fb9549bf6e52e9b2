//! Resources of one's own that can be had in parts, and that have not always changed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED, RANGE,
};
use http::{Method, StatusCode};
use ropewalk_deferred::Deferred;
use ropewalk_protocol::FileSlice;

use super::body::{Body, BodyPiece, BodyStream};
use super::reply::{IntoReply, Reply, Response, plain};
use super::request::Request;
use crate::files::{Validators, Verdict, Wanted, judge_as, parse_ranges};

/// Content that a resource has at hand, with what tells one state of it from another (RFC 9110 8.8).
///
/// [`answer`](Self::answer) does the rest: preconditions in the order of RFC 9110 13.2.2 (304, 412), ranges
/// with `If-Range`, one (206) or several (`multipart/byteranges`), and 416.
///
/// ```
/// use http::HeaderValue;
/// use ropewalk_http::{Representation, Request, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let site = Site::new(|request: Request| {
///     let poem = Representation::bytes("tyger tyger, burning bright").etag("1794")?;
///     Ok::<_, ropewalk_http::BadTag>(poem.answer(&request))
/// });
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=6-10\r\n\r\n");
/// let answer = String::from_utf8(client.take_sent()).unwrap();
/// assert!(answer.starts_with("HTTP/1.1 206 ") && answer.ends_with("\r\n\r\ntyger"));
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"1794\"\r\n\r\n");
/// assert!(client.take_sent().starts_with(b"HTTP/1.1 304 "));
/// ```
pub struct Representation {
    length: u64,
    source: Source,
    content_type: Option<HeaderValue>,
    tag: Option<String>,
    is_weak: bool,
    modified: Option<SystemTime>,
}

enum Source {
    Bytes(Bytes),
    File(FileSlice),
    Parts(Box<dyn FnMut(Range<u64>) -> BodyStream>),
}

/// Text that cannot be an entity tag (RFC 9110 8.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTag {
    got: String,
}

impl fmt::Display for BadTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an entity tag: expected printable ASCII without quotes or spaces, got {:?}",
            self.got
        )
    }
}

impl std::error::Error for BadTag {}

impl Representation {
    /// Content in memory.
    pub fn bytes(content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self::of(content.len() as u64, Source::Bytes(content))
    }

    /// Content in a file, or a part of one.
    pub fn file(slice: FileSlice) -> Self {
        Self::of(slice.len, Source::File(slice))
    }

    /// `length` bytes of which `parts` gives any: it is asked for ranges, one after another, and gives all
    /// bytes of each. The pieces of one that gives more or fewer cut the connection.
    pub fn seekable(length: u64, parts: impl FnMut(Range<u64>) -> BodyStream + 'static) -> Self {
        Self::of(length, Source::Parts(Box::new(parts)))
    }

    fn of(length: u64, source: Source) -> Self {
        Self { length, source, content_type: None, tag: None, is_weak: false, modified: None }
    }

    /// What kind of content it is; nothing is said unless this is.
    pub fn content_type(self, content_type: HeaderValue) -> Self {
        Self { content_type: Some(content_type), ..self }
    }

    /// A strong tag, without quotes: another for every change of a single byte.
    ///
    /// # Errors
    ///
    /// [`BadTag`] if it has anything in it but printable ASCII, or a quote.
    pub fn etag(self, tag: &str) -> Result<Self, BadTag> {
        if tag.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e)) {
            Ok(Self { tag: Some(format!("\"{tag}\"")), ..self })
        } else {
            Err(BadTag { got: tag.to_owned() })
        }
    }

    /// A weak tag: the same for all that means the same. With it, nobody gets a range of what was not the
    /// same to the byte.
    ///
    /// # Errors
    ///
    /// As for [`etag`](Self::etag).
    pub fn weak_etag(self, tag: &str) -> Result<Self, BadTag> {
        Ok(Self { is_weak: true, ..self.etag(tag)? })
    }

    /// When it changed last, as far as that can be told in seconds.
    pub fn modified(self, modified: SystemTime) -> Self {
        Self { modified: Some(modified), ..self }
    }

    fn validators(&self) -> Validators {
        Validators::of(self.tag.clone(), self.modified, self.is_weak)
    }

    /// The answer, 412, to a request that would change this (PUT, PATCH, DELETE) and whose `If-Match`,
    /// `If-None-Match` or `If-Unmodified-Since` does not hold; `None` where it may go on.
    pub fn refuse_change(&self, request: &Request) -> Option<Response> {
        let verdict = judge_as(request.headers(), Some(&self.validators()), true, false);
        (verdict != Verdict::Proceed).then(|| plain(StatusCode::PRECONDITION_FAILED))
    }

    /// What `request` gets: GET and HEAD are answered, and other methods as GET is, without ranges.
    pub fn answer(self, request: &Request) -> Reply {
        let validators = self.validators();
        let headers = request.headers();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match judge_as(headers, Some(&validators), true, reads) {
            Verdict::Proceed => (),
            Verdict::Failed => return plain(StatusCode::PRECONDITION_FAILED).into_reply(),
            Verdict::NotModified => {
                let mut response = Response::default();
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                tell(&validators, response.headers_mut());
                return response.into_reply();
            }
        }
        let mut ranges = headers.get_all(RANGE).iter();
        let wanted = match (ranges.next(), ranges.next()) {
            (Some(range), None)
                if request.method() == Method::GET && validators.allow_range(headers) =>
            {
                parse_ranges(range.as_bytes(), self.length)
            }
            _ => Wanted::Whole,
        };
        let mut response = match wanted {
            Wanted::Whole => {
                let whole = 0..self.length;
                self.respond(StatusCode::OK, None, vec![Part::Range(whole)])
            }
            Wanted::Unsatisfiable => {
                let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE);
                put(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{}", self.length));
                return response.into_reply();
            }
            Wanted::Parts(ranges) => match ranges.as_slice() {
                [range] => {
                    let place = self.place(range);
                    let parts = vec![Part::Range(range.clone())];
                    let mut response = self.respond(StatusCode::PARTIAL_CONTENT, None, parts);
                    put(response.headers_mut(), CONTENT_RANGE, &place);
                    response
                }
                ranges => {
                    // Nobody who made the content could know it beforehand.
                    let half = |half: u8| RandomState::new().hash_one((half, ranges));
                    let boundary = format!("{:016x}{:016x}", half(0), half(1));
                    let parts = self.multipart(ranges, &boundary);
                    let kind = format!("multipart/byteranges; boundary={boundary}");
                    self.respond(StatusCode::PARTIAL_CONTENT, Some(&kind), parts)
                }
            },
        };
        tell(&validators, response.headers_mut());
        response.into_reply()
    }

    /// RFC 9110 14.6.
    fn multipart(&self, ranges: &[Range<u64>], boundary: &str) -> Vec<Part> {
        let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
        let mut open = "--";
        for range in ranges {
            let mut head = format!("{open}{boundary}\r\n").into_bytes();
            if let Some(kind) = &self.content_type {
                head.extend([b"Content-Type: ", kind.as_bytes(), b"\r\n"].concat());
            }
            head.extend(format!("Content-Range: {}\r\n\r\n", self.place(range)).into_bytes());
            parts.extend([Part::Bytes(head.into()), Part::Range(range.clone())]);
            open = "\r\n--";
        }
        parts.push(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()));
        parts
    }

    fn place(&self, range: &Range<u64>) -> String {
        format!("bytes {}-{}/{}", range.start, range.end - 1, self.length)
    }

    fn respond(self, status: StatusCode, kind: Option<&str>, parts: Vec<Part>) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        match kind {
            Some(kind) => put(headers, CONTENT_TYPE, kind),
            None => {
                if let Some(kind) = &self.content_type {
                    headers.insert(CONTENT_TYPE, kind.clone());
                }
            }
        }
        *response.body_mut() = self.body(parts);
        response
    }

    fn body(self, parts: Vec<Part>) -> Body {
        if let (Source::Bytes(bytes), [Part::Range(range)]) = (&self.source, parts.as_slice()) {
            return bytes.slice(range.start as usize..range.end as usize).into();
        }
        let length = parts.iter().map(Part::length).sum();
        let state = Rc::new(RefCell::new(Parts {
            parts: parts.into(),
            source: self.source,
            current: None,
        }));
        Body::stream_of(length, BodyStream::new(move || next_of(&state)))
    }
}

/// The parts that are still to be sent.
struct Parts {
    parts: VecDeque<Part>,
    source: Source,
    /// The pieces of the part in hand.
    current: Option<BodyStream>,
}

fn next_of(state: &Rc<RefCell<Parts>>) -> Deferred<Option<BodyPiece>> {
    loop {
        let Some(piece) = state.borrow_mut().step() else { continue };
        // The end of a part is not that of the whole.
        match piece.try_take() {
            Ok(Ok(None)) if state.borrow_mut().current.take().is_some() => (),
            Ok(piece) => return Deferred::ready(piece),
            Err(later) => {
                let state = Rc::clone(state);
                return later.add_callback(move |piece| {
                    if piece.is_none() && state.borrow_mut().current.take().is_some() {
                        return next_of(&state);
                    }
                    Deferred::succeed(piece)
                });
            }
        }
    }
}

impl Parts {
    /// The next piece; `None` where a part has only begun.
    fn step(&mut self) -> Option<Deferred<Option<BodyPiece>>> {
        if let Some(stream) = &mut self.current {
            return Some(stream.next());
        }
        let range = match self.parts.pop_front() {
            None => return Some(Deferred::succeed(None)),
            Some(Part::Bytes(bytes)) => return Some(Deferred::succeed(Some(bytes.into()))),
            Some(Part::Range(range)) => range,
        };
        let piece = match &mut self.source {
            Source::Bytes(bytes) => bytes.slice(range.start as usize..range.end as usize).into(),
            Source::File(slice) => {
                let offset = slice.offset + range.start;
                let len = range.end - range.start;
                BodyPiece::File(FileSlice { offset, len, ..slice.clone() })
            }
            Source::Parts(make) => {
                self.current = Some(make(range));
                return None;
            }
        };
        Some(Deferred::succeed(Some(piece)))
    }
}

enum Part {
    Bytes(Bytes),
    Range(Range<u64>),
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Range(range) => range.end - range.start,
        }
    }
}

fn tell(validators: &Validators, headers: &mut HeaderMap) {
    if let Some(tag) = validators.told_tag() {
        put(headers, ETAG, &tag);
    }
    if let Some(date) = validators.last_modified() {
        put(headers, LAST_MODIFIED, &date);
    }
}

fn put(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    // All values made here are plain ASCII.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

impl fmt::Debug for Representation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Representation")
            .field("length", &self.length)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}
