//! Whether the client already has what it asks for, or asks for something that is gone
//! (RFC 9110, 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    GetAll, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE,
};

/// How old a change must be before a file's time stands for its content.
///
/// File systems count time in steps, the coarsest in use in steps of two seconds. Within one step
/// a file can change twice and look the same.
const SETTLED: Duration = Duration::from_secs(2);

/// The first second that no HTTP date can tell: the year 10000.
const DATE_END: u64 = 253_402_300_800;

/// What tells one state of a file from another (RFC 9110, 8.8).
#[derive(Clone, Debug)]
pub(crate) struct Validators {
    /// The entity tag, with its quotes and without the mark of weakness; empty where there is none.
    tag: String,
    /// In whole seconds since 1970, if it can be told in a date.
    modified: Option<u64>,
    /// The file was changed so recently that neither is to be relied on for single bytes.
    weak: bool,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Proceed,
    /// The client has it: 304.
    NotModified,
    /// The client wants something else: 412.
    Failed,
}

impl Validators {
    /// For a file with this tag, `modified` then, seen `now`.
    pub(super) fn new(tag: String, modified: Option<SystemTime>, now: SystemTime) -> Self {
        let age = modified.and_then(|modified| now.duration_since(modified).ok());
        let weak = age.is_none_or(|age| age < SETTLED);
        // RFC 9110, 8.8.2.1: a date in the future is replaced by that of the answer.
        let modified = modified.map(|modified| modified.min(now));
        let seconds = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = seconds.map(|age| age.as_secs()).filter(|seconds| *seconds < DATE_END);
        Self { tag, modified, weak }
    }

    /// As somebody says who knows, with or without a tag.
    pub(crate) fn of(tag: Option<String>, modified: Option<SystemTime>, weak: bool) -> Self {
        let seconds = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = seconds.map(|age| age.as_secs()).filter(|seconds| *seconds < DATE_END);
        Self { tag: tag.unwrap_or_default(), modified, weak }
    }

    /// The value of the `ETag` field, if there is a tag.
    pub(crate) fn told_tag(&self) -> Option<String> {
        (!self.tag.is_empty()).then(|| self.etag())
    }

    /// The value of the `ETag` field.
    pub(super) fn etag(&self) -> String {
        if self.weak { format!("W/{}", self.tag) } else { self.tag.clone() }
    }

    /// The value of the `Last-Modified` field.
    pub(crate) fn last_modified(&self) -> Option<String> {
        let seconds = Duration::from_secs(self.modified?);
        Some(httpdate::fmt_http_date(UNIX_EPOCH + seconds))
    }

    /// Whether a range of what the client has a part of is a range of this (RFC 9110, 13.1.5).
    pub(crate) fn allow_range(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(IF_RANGE).iter();
        match (values.next(), values.next()) {
            (None, _) => true,
            (Some(_), Some(_)) => false,
            (Some(value), None) => !self.weak && self.is_exactly(value),
        }
    }

    fn is_exactly(&self, value: &HeaderValue) -> bool {
        match seconds(value) {
            Some(date) => self.modified == Some(date),
            None => value.as_bytes() == self.tag.as_bytes(),
        }
    }

    /// RFC 9110, 8.8.3.2, strong comparison.
    fn is_strongly(&self, tag: &Tag<'_>) -> bool {
        !self.weak && !tag.weak && tag.opaque == self.tag.as_bytes()
    }

    /// RFC 9110, 8.8.3.2, weak comparison.
    fn is_weakly(&self, tag: &Tag<'_>) -> bool {
        tag.opaque == self.tag.as_bytes()
    }
}

/// Evaluates the preconditions for GET and HEAD in the order of RFC 9110, 13.2.2.
///
/// What exists but has no validators, such as a listing, matches `*` only.
pub(super) fn judge(headers: &HeaderMap, validators: Option<&Validators>) -> Verdict {
    judge_as(headers, validators, true, true)
}

/// The same for what may not exist at all, and for methods that change something: for those, a client that
/// has it already is told that its precondition failed (RFC 9110 13.1.2), and dates of what it has do not count
/// (13.1.3).
pub(crate) fn judge_as(
    headers: &HeaderMap,
    validators: Option<&Validators>,
    exists: bool,
    reads: bool,
) -> Verdict {
    let modified = validators.and_then(|validators| validators.modified);
    let matches = |tags: &Tags<'_>, compare: fn(&Validators, &Tag<'_>) -> bool| match tags {
        Tags::Any => exists,
        Tags::These(tags) => {
            validators.is_some_and(|validators| tags.iter().any(|tag| compare(validators, tag)))
        }
    };
    if let Some(tags) = Tags::parse(&headers.get_all(IF_MATCH)) {
        if !matches(&tags, Validators::is_strongly) {
            return Verdict::Failed;
        }
    } else if let (Some(date), Some(modified)) = (date(headers, &IF_UNMODIFIED_SINCE), modified)
        && modified > date
    {
        return Verdict::Failed;
    }
    if let Some(tags) = Tags::parse(&headers.get_all(IF_NONE_MATCH)) {
        if matches(&tags, Validators::is_weakly) {
            return if reads { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if !reads {
        return Verdict::Proceed;
    } else if let (Some(date), Some(modified)) = (date(headers, &IF_MODIFIED_SINCE), modified)
        && modified <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// The date in the field `name`, unless the field is absent, repeated or malformed.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let mut values = headers.get_all(name).iter();
    let date = seconds(values.next()?)?;
    values.next().is_none().then_some(date)
}

fn seconds(value: &HeaderValue) -> Option<u64> {
    let date = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|age| age.as_secs())
}

enum Tags<'a> {
    Any,
    These(Vec<Tag<'a>>),
}

struct Tag<'a> {
    weak: bool,
    /// With its quotes.
    opaque: &'a [u8],
}

impl<'a> Tags<'a> {
    /// The tags of all lines of a field, as far as they are well-formed; `None` without the field.
    fn parse(values: &GetAll<'a, HeaderValue>) -> Option<Self> {
        let mut lines = values.iter().map(HeaderValue::as_bytes).peekable();
        lines.peek()?;
        let mut tags = Vec::new();
        for line in lines {
            if line.trim_ascii() == b"*" {
                return Some(Self::Any);
            }
            let mut rest = line;
            while let Some((tag, tail)) = Tag::take(rest) {
                tags.push(tag);
                rest = tail;
            }
        }
        Some(Self::These(tags))
    }
}

impl<'a> Tag<'a> {
    /// The first tag of a list and what comes after it.
    fn take(list: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let start = list.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let list = &list[start..];
        let (weak, list) = list.strip_prefix(b"W/").map_or((false, list), |tail| (true, tail));
        let text = list.strip_prefix(b"\"")?;
        let end = text.iter().position(|byte| *byte == b'"')? + 2;
        let (opaque, tail) = list.split_at(end);
        let is_list = matches!(tail.trim_ascii_start().first(), None | Some(b','));
        is_list.then_some((Self { weak, opaque }, tail))
    }
}
