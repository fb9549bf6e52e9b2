//! The answer that carries a file, or parts of it.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::ops::Range;
use std::time::UNIX_EPOCH;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    LAST_MODIFIED, RANGE,
};
use http::{Method, StatusCode};

use super::answer::{Answer, Ask, Body, Part};
use super::conditional::{Validators, Verdict, judge, judge_as};
use super::open::{Found, Miss};
use super::range::{Wanted, parse};
use super::{page, sys};

/// How many bytes of files an answer carries in memory; with more it carries the open file.
pub const SMALL_MAX: u64 = 64 * 1024;

/// How often a small file is read again because it changed meanwhile.
const ATTEMPTS: usize = 3;

/// Answers with the file that was `found`, or the parts of it that are asked for.
pub(super) fn answer(
    ask: &Ask<'_>,
    mut found: Found,
    mime: &HeaderValue,
    seed: &RandomState,
) -> Result<Answer, Miss> {
    for _ in 0..ATTEMPTS {
        let plan = Plan::new(ask, &found, mime, seed);
        let Some((head, parts)) = plan.select() else { return Ok(plan.refuse()) };
        if ask.method == Method::HEAD {
            return Ok(head.with(Body::Empty));
        }
        let bytes: u64 = parts.iter().map(in_file).sum();
        if bytes > SMALL_MAX {
            return Ok(head.with(hand_over(found, parts)?));
        }
        let body = load(&found, &parts);
        let before = plan.state;
        found.metadata = found.file.metadata().map_err(|_| Miss::Broken)?;
        // A file that was written to while it was read has not the tag that was promised.
        if let Some(body) = body.filter(|_| state(&found) == before) {
            return Ok(head.with(Body::Bytes(body)));
        }
    }
    // It never rests, like a log that is being written: the length it has now is sent, or less and
    // the connection is aborted, as with all large files.
    let plan = Plan::new(ask, &found, mime, seed);
    match plan.select() {
        Some((head, parts)) => Ok(head.with(hand_over(found, parts)?)),
        None => Ok(plan.refuse()),
    }
}

/// The answer to preconditions that a listing, which has no validators, does not meet.
pub(super) fn refuse_listing(ask: &Ask<'_>) -> Option<Answer> {
    match judge(ask.headers, None) {
        Verdict::Proceed => None,
        Verdict::Failed => Some(page::error(StatusCode::PRECONDITION_FAILED)),
        Verdict::NotModified => {
            let headers = HeaderMap::new();
            Some(Answer { status: StatusCode::NOT_MODIFIED, headers, body: Body::Empty })
        }
    }
}

/// What the preconditions come to of a request that would put another file in the place of this one.
pub(super) fn judge_for_change(ask: &Ask<'_>, found: Option<&Found>) -> Verdict {
    let validators = found.map(|found| {
        let tag = format!("\"{:x}-{:016x}\"", found.metadata.len(), state(found));
        Validators::new(tag, found.metadata.modified().ok(), ask.now)
    });
    judge_as(ask.headers, validators.as_ref(), found.is_some(), false)
}

/// What is to be answered, decided from one look at the file.
struct Plan<'a> {
    ask: &'a Ask<'a>,
    mime: &'a HeaderValue,
    seed: &'a RandomState,
    length: u64,
    state: u64,
    validators: Validators,
    verdict: Verdict,
    wanted: Wanted,
}

/// An answer without its body.
struct Head(StatusCode, HeaderMap);

impl Head {
    fn with(self, body: Body) -> Answer {
        Answer { status: self.0, headers: self.1, body }
    }
}

impl<'a> Plan<'a> {
    fn new(ask: &'a Ask<'a>, found: &Found, mime: &'a HeaderValue, seed: &'a RandomState) -> Self {
        let length = found.metadata.len();
        let state = state(found);
        let tag = format!("\"{length:x}-{state:016x}\"");
        let validators = Validators::new(tag, found.metadata.modified().ok(), ask.now);
        let verdict = judge(ask.headers, Some(&validators));
        let mut ranges = ask.headers.get_all(RANGE).iter();
        let wanted = match (ranges.next(), ranges.next()) {
            // RFC 9110, 14.2: ranges are defined for GET alone.
            (Some(range), None)
                if ask.method == Method::GET && validators.allow_range(ask.headers) =>
            {
                parse(range.as_bytes(), length)
            }
            _ => Wanted::Whole,
        };
        Self { ask, mime, seed, length, state, validators, verdict, wanted }
    }

    /// The head and the parts of an answer that carries content.
    fn select(&self) -> Option<(Head, Vec<Part>)> {
        if self.verdict != Verdict::Proceed {
            return None;
        }
        let mut headers = page::safe_headers();
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_TYPE, self.mime.clone());
        self.tell_validators(&mut headers);
        let (status, parts) = match &self.wanted {
            Wanted::Unsatisfiable => return None,
            Wanted::Whole => (StatusCode::OK, vec![part(&(0..self.length))]),
            Wanted::Parts(ranges) => match ranges.as_slice() {
                [range] => {
                    insert(&mut headers, CONTENT_RANGE, self.content_range(range));
                    (StatusCode::PARTIAL_CONTENT, vec![part(range)])
                }
                ranges => {
                    let boundary = self.boundary(ranges);
                    let mime = format!("multipart/byteranges; boundary={boundary}");
                    insert(&mut headers, CONTENT_TYPE, mime);
                    (StatusCode::PARTIAL_CONTENT, self.multipart(ranges, &boundary))
                }
            },
        };
        let length: u64 = parts.iter().map(Part::length).sum();
        headers.insert(CONTENT_LENGTH, length.into());
        Some((Head(status, headers), parts))
    }

    /// The answer when there is no content to be sent.
    fn refuse(&self) -> Answer {
        match self.verdict {
            Verdict::Failed => page::error(StatusCode::PRECONDITION_FAILED),
            Verdict::NotModified => {
                let mut headers = HeaderMap::new();
                insert(&mut headers, ETAG, self.validators.etag());
                Answer { status: StatusCode::NOT_MODIFIED, headers, body: Body::Empty }
            }
            Verdict::Proceed => {
                let mut answer = page::error(StatusCode::RANGE_NOT_SATISFIABLE);
                let length = format!("bytes */{}", self.length);
                insert(&mut answer.headers, CONTENT_RANGE, length);
                answer
            }
        }
    }

    fn tell_validators(&self, headers: &mut HeaderMap) {
        insert(headers, ETAG, self.validators.etag());
        if let Some(date) = self.validators.last_modified() {
            insert(headers, LAST_MODIFIED, date);
        }
    }

    fn content_range(&self, range: &Range<u64>) -> String {
        format!("bytes {}-{}/{}", range.start, range.end - 1, self.length)
    }

    /// RFC 9110, 14.6.
    fn multipart(&self, ranges: &[Range<u64>], boundary: &str) -> Vec<Part> {
        let mut parts = Vec::with_capacity(2 * ranges.len() + 1);
        let mut open = "--";
        for range in ranges {
            let mut head = BytesMut::new();
            head.put_slice(format!("{open}{boundary}\r\nContent-Type: ").as_bytes());
            head.put_slice(self.mime.as_bytes());
            let place = self.content_range(range);
            head.put_slice(format!("\r\nContent-Range: {place}\r\n\r\n").as_bytes());
            parts.extend([Part::Bytes(head.freeze()), part(range)]);
            open = "\r\n--";
        }
        parts.push(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()));
        parts
    }

    /// What nobody who writes a file could know beforehand, and so not write into it.
    fn boundary(&self, ranges: &[Range<u64>]) -> String {
        let half = |half: u8| self.seed.hash_one((half, self.state, self.ask.path, ranges));
        format!("{:016x}{:016x}", half(0), half(1))
    }
}

/// A number that is another one after each change to the file.
fn state(found: &Found) -> u64 {
    let mut hasher = DefaultHasher::new();
    found.metadata.len().hash(&mut hasher);
    // Times before 1970 are as good as others here.
    let modified = found.metadata.modified().ok();
    modified
        .map(|time| time.duration_since(UNIX_EPOCH).map_err(|error| error.duration()))
        .hash(&mut hasher);
    sys::identity(found).hash(&mut hasher);
    hasher.finish()
}

fn part(range: &Range<u64>) -> Part {
    Part::File { offset: range.start, length: range.end - range.start }
}

fn in_file(part: &Part) -> u64 {
    match part {
        Part::Bytes(_) => 0,
        Part::File { length, .. } => *length,
    }
}

/// The parts in memory, unless the file is now too short for them.
fn load(found: &Found, parts: &[Part]) -> Option<Bytes> {
    let length: u64 = parts.iter().map(Part::length).sum();
    let mut body = BytesMut::with_capacity(length as usize);
    for part in parts {
        match part {
            Part::Bytes(bytes) => body.put_slice(bytes),
            Part::File { offset, length } => {
                let start = body.len();
                body.resize(start + *length as usize, 0);
                sys::read_at(&found.file, &mut body[start..], *offset).ok()?;
            }
        }
    }
    Some(body.freeze())
}

fn hand_over(found: Found, parts: Vec<Part>) -> Result<Body, Miss> {
    sys::settle(&found.file).map_err(|_| Miss::Broken)?;
    Ok(Body::File { file: found.file, parts })
}

fn insert(headers: &mut HeaderMap, name: http::HeaderName, value: String) {
    // All values made here are plain ASCII.
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
