use std::mem::{self, MaybeUninit};
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri, Version};
use httparse::{Header, Status};

use super::alike::LastRequest;
use super::error::{BadRequest, Excerpt};
use super::fields::RawFields;
use super::framing::{BodyLength, Signs};
use super::in_place::{note, read_in_place};
use super::limits::{FIELD_COUNT_MAX, Limits};
use super::lines::{Bounds, Lines};
use super::syntax::{is_blank, is_token};
use super::target::target;

/// A request without its body, and what it says about the body and the connection.
#[derive(Debug)]
pub struct Head {
    /// Method, target, version and fields.
    ///
    /// The target is a path, or a whole URI if the client sent one; it is `*` only for OPTIONS, and
    /// a host and a port for CONNECT and only for it (RFC 9112 3.2).
    pub request: Request<()>,
    /// Where the body ends.
    pub body: BodyLength,
    /// Whether the connection may go on after the answer (RFC 9112 9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue`, or a final status, before it sends the body
    /// (RFC 9110 10.1.1). Never set when there is no body.
    pub expects_continue: bool,
    /// Whether the client would go on in a protocol that its Upgrade names (RFC 9110 7.8).
    pub wants_upgrade: bool,
}

/// What a head says beside its request, as in [`Head`].
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of its own")]
pub(crate) struct Manner {
    pub(crate) body: BodyLength,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) wants_upgrade: bool,
    pub(crate) takes_trailers: bool,
}

/// What a head says of its request. What is seldom asked for is not made before it is.
#[derive(Debug)]
pub(crate) struct RawHead {
    pub(crate) method: Method,
    /// Absent where it is `/`.
    pub(crate) uri: Option<Box<Uri>>,
    pub(crate) version: Version,
    pub(crate) fields: RawFields,
}

static ROOT: LazyLock<Uri> = LazyLock::new(Uri::default);

impl RawHead {
    pub(crate) fn uri(&self) -> &Uri {
        self.uri.as_deref().unwrap_or_else(|| &ROOT)
    }

    pub(crate) fn uri_mut(&mut self) -> &mut Uri {
        self.uri.get_or_insert_default()
    }

    /// What others know as a request's head, with `headers` where they are made already.
    pub(crate) fn into_parts(self, headers: Option<HeaderMap>) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.headers = headers.unwrap_or_else(|| self.fields.to_map());
        parts.method = self.method;
        parts.uri = self.uri.map(|uri| *uri).unwrap_or_default();
        parts.version = self.version;
        parts
    }
}

impl Head {
    fn of(head: RawHead, manner: &Manner) -> Self {
        Self {
            request: Request::from_parts(head.into_parts(None), ()),
            body: manner.body,
            keep_alive: manner.keep_alive,
            expects_continue: manner.expects_continue,
            wants_upgrade: manner.wants_upgrade,
        }
    }

    /// The host that is asked, and its port if that was said: the target's, else Host's
    /// (RFC 9112 3.2.2).
    pub fn authority(&self) -> Option<&str> {
        if let Some(authority) = self.request.uri().authority() {
            return Some(authority.as_str());
        }
        self.request.headers().get(HOST)?.to_str().ok()
    }
}

/// Finds request heads in bytes that arrive in any pieces (RFC 9112 2 to 6).
///
/// A head that lies whole in one piece is read where it lies. Only the rest of an unfinished one
/// is kept, and no byte of it is looked at twice before it is whole.
///
/// ```
/// # use ropewalk_http::{HeadDecoder, Limits};
/// let mut decoder = HeadDecoder::default();
/// let mut bytes = &b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\nGET /b HT"[..];
///
/// let head = decoder.feed(&mut bytes, &Limits::default())?.expect("one is whole");
/// assert_eq!(head.request.uri(), "/a");
/// assert_eq!(bytes, b"GET /b HT");
///
/// assert!(decoder.feed(&mut bytes, &Limits::default())?.is_none());
/// assert!(bytes.is_empty() && decoder.has_begun());
/// # Ok::<(), ropewalk_http::BadRequest>(())
/// ```
#[derive(Debug, Default)]
pub struct HeadDecoder {
    rest: Vec<u8>,
    /// Absent before the first byte of a head.
    lines: Option<Lines>,
}

impl HeadDecoder {
    /// Takes bytes off the front of `data` up to the end of a head, or all of them and keeps them.
    ///
    /// # Errors
    ///
    /// If they are no head of a request that this server takes. Feed it nothing more then.
    pub fn feed(&mut self, data: &mut &[u8], limits: &Limits) -> Result<Option<Head>, BadRequest> {
        let mut last = LastRequest::default();
        if self.lines.is_none()
            && let Some((head, manner)) = read_in_place(data, limits, &mut last)
        {
            return Ok(Some(Head::of(head, &manner)));
        }
        let read = self.go_on(data, limits, &mut last)?;
        Ok(read.map(|(head, manner)| Head::of(head, &manner)))
    }

    /// The same for what [`read_in_place`] has not found to be a whole head.
    pub(crate) fn go_on(
        &mut self,
        data: &mut &[u8],
        limits: &Limits,
        last: &mut LastRequest,
    ) -> Result<Option<(RawHead, Manner)>, BadRequest> {
        let lines = self.lines.get_or_insert(Lines::of_head());
        let Some(length) = lines.walk(data, &Bounds::of_head(limits))? else {
            self.keep(data);
            *data = &[];
            return Ok(None);
        };
        let (end, after) = data.split_at(length);
        *data = after;
        self.lines = None;
        if self.rest.is_empty() {
            return read_whole(end, last).map(Some);
        }
        let mut whole = mem::take(&mut self.rest);
        whole.extend_from_slice(end);
        read_whole(&whole, last).map(Some)
    }

    /// Whether it has bytes of a head that is not whole; an empty line before one is none.
    pub fn has_begun(&self) -> bool {
        !self.rest.is_empty()
    }

    fn keep(&mut self, data: &[u8]) {
        self.rest.extend_from_slice(data);
        // What follows may be long in coming; `lines` remembers the empty line.
        if self.rest == b"\r\n" {
            self.rest = Vec::new();
        }
    }
}

type Fields<'f> = [MaybeUninit<Header<'f>>; FIELD_COUNT_MAX];

/// The long way: `head` ends where it should, and its lines are whole and not too many.
fn read_whole(head: &[u8], last: &mut LastRequest) -> Result<(RawHead, Manner), BadRequest> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let mut fields: Fields<'_> = [const { MaybeUninit::uninit() }; FIELD_COUNT_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut fields) {
        Ok(Status::Complete(_)) => assemble(&parsed, head, last),
        Ok(Status::Partial) | Err(_) => Err(fault_in(head)),
    }
}

fn assemble(
    parsed: &httparse::Request<'_, '_>,
    head: &[u8],
    last: &mut LastRequest,
) -> Result<(RawHead, Manner), BadRequest> {
    let (Some(method), Some(path), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(fault_in(head));
    };
    let version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| BadRequest::BadMethod(Excerpt::of(method.as_bytes())))?;
    let uri = uri(&method, path.as_bytes())?;
    let mut signs = Signs::default();
    for field in parsed.headers.iter() {
        RawFields::check_name(field.name.as_bytes())?;
        note(&mut signs, last, field.name.as_bytes(), field.value)?;
    }
    let manner = signs.manner(version)?;
    let fields = last.keep(RawFields::lines_of(head, parsed.headers), version, manner);
    Ok((RawHead { method, uri, version, fields }, manner))
}

/// A target, which is absent where it is `/`.
#[inline]
pub(super) fn uri(method: &Method, text: &[u8]) -> Result<Option<Box<Uri>>, BadRequest> {
    if text == b"/" && *method != Method::CONNECT {
        return Ok(None);
    }
    target(method, text).map(|uri| Some(Box::new(uri)))
}

/// As many values as cost less when each is copied than when all count the owners of one copy.
const COPIED_APART_MAX: usize = 6;

/// Copies of parts of a head.
pub(super) struct Copies<'h> {
    head: &'h [u8],
    shared: Option<Bytes>,
}

impl<'h> Copies<'h> {
    pub(super) fn of_parts_of(head: &'h [u8], count: usize) -> Self {
        Self { head, shared: (count > COPIED_APART_MAX).then(|| Bytes::copy_from_slice(head)) }
    }

    pub(super) fn of(&self, part: &[u8]) -> Bytes {
        let start = part.as_ptr().addr().wrapping_sub(self.head.as_ptr().addr());
        let end = start.wrapping_add(part.len());
        match &self.shared {
            Some(shared) if start <= end && end <= shared.len() => shared.slice(start..end),
            _ => Bytes::copy_from_slice(part),
        }
    }
}

/// What is wrong with a head whose lines are in order but which is none.
#[cold]
fn fault_in(head: &[u8]) -> BadRequest {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines =
        text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let in_fields = || lines.find_map(fault_in_field);
    fault_in_request_line(first)
        .or_else(in_fields)
        .unwrap_or(BadRequest::BadRequestLine(Excerpt::of(first)))
}

fn fault_in_request_line(line: &[u8]) -> Option<BadRequest> {
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return Some(BadRequest::BadRequestLine(Excerpt::of(line)));
    };
    if !is_token(method) {
        return Some(BadRequest::BadMethod(Excerpt::of(method)));
    }
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" if target.is_empty() => {
            Some(BadRequest::BadRequestLine(Excerpt::of(line)))
        }
        b"HTTP/1.0" | b"HTTP/1.1" if !target.iter().all(u8::is_ascii_graphic) => {
            Some(BadRequest::BadTarget(Excerpt::of(target)))
        }
        b"HTTP/1.0" | b"HTTP/1.1" => None,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Some(BadRequest::UnsupportedVersion(Excerpt::of(version)))
        }
        _ => Some(BadRequest::BadVersion(Excerpt::of(version))),
    }
}

/// What is wrong with the line of a header or trailer field.
pub(super) fn fault_in_field(line: &[u8]) -> Option<BadRequest> {
    if line.first().copied().is_some_and(is_blank) {
        return Some(BadRequest::ObsFold);
    }
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return Some(BadRequest::MissingColon(Excerpt::of(line)));
    };
    let name = &line[..colon];
    let shown = Excerpt::of(name);
    match name {
        [] => Some(BadRequest::EmptyHeaderName),
        [before @ .., last] if is_blank(*last) && is_token(before.trim_ascii_end()) => {
            Some(BadRequest::SpaceBeforeColon(shown))
        }
        _ if !is_token(name) => Some(BadRequest::BadHeaderName(shown)),
        _ => None,
    }
}
