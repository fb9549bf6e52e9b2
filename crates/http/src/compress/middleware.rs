use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, ETAG, HeaderMap, HeaderValue, SET_COOKIE, VARY,
};
use http::{Method, StatusCode};
use ropewalk_protocol::Threads;

use super::coder::{Coder, encode};
use super::stream::{Place, coded};
use super::{Coding, negotiate};
use crate::server::BodyKind;
use crate::{Body, BodyStream, IntoReply as _, Reply, Request, Resource, Response};

/// How many answers are compressed at the same time at most; others go out as they are.
pub const COMPRESSIONS_MAX: usize = 256;
/// Bodies of up to so many bytes are compressed at once.
const AT_ONCE_MAX: usize = 16 * 1024;
/// Below so many bytes nothing is gained: they fit into one packet as they are.
const LEAST: u64 = 1024;

/// Compresses what a resource answers, where the client takes that and it is worth it.
///
/// By default `zstd`, `br` and `gzip` are offered, in this order. Compressed are bodies of at least 1 KiB
/// whose type says that they are text, or else packed loosely: `text/*`, JSON, XML, scripts, SVG,
/// WebAssembly, fonts that are not packed. Left as they are: ranges (206), what is coded already, what says
/// `Cache-Control: no-transform`, and **what may hold a secret**: an answer with `Set-Cookie`, or to a request
/// with `Authorization` or `Cookie`, unless it says `Cache-Control: public`. The length of a compressed
/// page tells how much of what an attacker chose in it is like the secret beside it (BREACH);
/// [`even_secrets`](Self::even_secrets) says that there is nothing to fear.
///
/// A compressed answer has a weak `ETag`, as its bytes are not those that were tagged (RFC 9110 8.8.1), no
/// `Accept-Ranges`, and no length unless it is short; every answer that might have been compressed says
/// `Vary: Accept-Encoding`. A client that takes neither a coding nor the plain thing gets 406.
///
/// Streams are compressed 16 KiB at a time, as the client takes them; what comes of a stream of unknown
/// length, such as [events](crate::events), reaches the client piece by piece. With [`threads`](Self::threads)
/// the work of streams is done there. An encoder takes some 300 KiB (gzip) to 2 MiB (brotli), and there are
/// [`COMPRESSIONS_MAX`] of them at most.
///
/// ```
/// use ropewalk_http::compress::Compress;
/// use ropewalk_http::{Request, Resource, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let page = |_: Request| "all work and no play ".repeat(100);
/// let site = Site::new(page.wrap(Compress::new().into_middleware()));
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
/// let answer = client.take_sent();
/// assert!(answer.windows(22).any(|text| text == b"content-encoding: gzip"));
/// assert!(answer.len() < 300);
/// ```
#[derive(Clone)]
pub struct Compress {
    offers: Vec<Coding>,
    least: u64,
    even_secrets: bool,
    threads: Option<Rc<dyn Threads>>,
    max: usize,
    count: Rc<Cell<usize>>,
}

impl Default for Compress {
    fn default() -> Self {
        Self::new()
    }
}

impl Compress {
    /// All codings there are.
    pub fn new() -> Self {
        Self {
            offers: vec![Coding::Zstd, Coding::Brotli, Coding::Gzip],
            least: LEAST,
            even_secrets: false,
            threads: None,
            max: COMPRESSIONS_MAX,
            count: Rc::default(),
        }
    }

    /// Offers these codings alone, the first where a client likes several as well.
    pub fn codings(self, offers: impl IntoIterator<Item = Coding>) -> Self {
        Self { offers: offers.into_iter().collect(), ..self }
    }

    /// Leaves bodies of fewer bytes as they are; 1 KiB unless set.
    pub fn least(self, bytes: u64) -> Self {
        Self { least: bytes, ..self }
    }

    /// Compresses also what may hold a secret. That is safe where nothing in an answer is chosen by who asks,
    /// as with files.
    pub fn even_secrets(self) -> Self {
        Self { even_secrets: true, ..self }
    }

    /// Has streams compressed by `threads`.
    pub fn threads(self, threads: impl Threads + 'static) -> Self {
        Self { threads: Some(Rc::new(threads)), ..self }
    }

    /// Compresses so many answers at the same time at most; [`COMPRESSIONS_MAX`] unless set.
    pub fn at_most(self, max: usize) -> Self {
        Self { max, ..self }
    }

    /// The function to [wrap](Resource::wrap) a resource with.
    pub fn into_middleware(self) -> impl FnMut(Request, &mut dyn Resource) -> Reply + 'static {
        let this = Rc::new(self);
        move |request, inner| {
            let Ok(chosen) = negotiate(request.headers(), &this.offers) else {
                let mut refused = crate::server::plain(StatusCode::NOT_ACCEPTABLE);
                vary(refused.headers_mut());
                return refused.into_reply();
            };
            let is_private =
                [AUTHORIZATION, COOKIE].iter().any(|name| request.headers().contains_key(name));
            let is_head = request.method() == Method::HEAD;
            let this = Rc::clone(&this);
            inner
                .render(request)
                .map(move |response| this.apply(response, chosen, is_private, is_head))
        }
    }

    fn apply(
        &self,
        mut response: Response,
        chosen: Option<Coding>,
        is_private: bool,
        is_head: bool,
    ) -> Response {
        if response.status() == StatusCode::NOT_MODIFIED {
            // It says what the answer with the body would (RFC 9110 15.4.5).
            vary(response.headers_mut());
            return response;
        }
        if !self.is_worth(&response, is_private, is_head) {
            return response;
        }
        vary(response.headers_mut());
        let Some(coding) = chosen else { return response };
        if is_head {
            tell(response.headers_mut(), coding);
            return response;
        }
        let Some(place) = Place::take(&self.count, self.max) else { return response };
        match &response.body().kind {
            BodyKind::Bytes(bytes) if bytes.len() <= AT_ONCE_MAX => match encode(coding, bytes) {
                Ok(out) if out.len() < bytes.len() => {
                    tell(response.headers_mut(), coding);
                    let (mut parts, body) = response.into_parts();
                    keep_type(&mut parts.headers, &body);
                    Response::from_parts(parts, out.into())
                }
                Ok(_) => response,
                Err(error) => {
                    tracing::error!(target: "ropewalk::http", "{coding} failed: {error}");
                    response
                }
            },
            _ => self.stream(response, coding, place),
        }
    }

    fn stream(&self, mut response: Response, coding: Coding, place: Place) -> Response {
        let coder = match Coder::new(coding) {
            Ok(coder) => coder,
            Err(error) => {
                tracing::error!(target: "ropewalk::http", "{coding} failed: {error}");
                return response;
            }
        };
        tell(response.headers_mut(), coding);
        let (mut parts, body) = response.into_parts();
        keep_type(&mut parts.headers, &body);
        let (inner, flushes) = match body.kind {
            BodyKind::Bytes(bytes) => (once(bytes), false),
            BodyKind::Stream { pieces, length } => (pieces, length.is_none()),
            other => return Response::from_parts(parts, other.into()),
        };
        let pieces = coded(inner, coder, flushes, self.threads.clone(), place);
        Response::from_parts(parts, Body::stream(pieces))
    }

    /// Whether this answer is one that is compressed for those who take it.
    fn is_worth(&self, response: &Response, is_private: bool, is_head: bool) -> bool {
        let headers = response.headers();
        let length = match &response.body().kind {
            BodyKind::Bytes(bytes) => Some(bytes.len() as u64),
            BodyKind::Stream { length, .. } => *length,
            BodyKind::Empty if is_head => content_length(headers),
            BodyKind::Empty | BodyKind::Switch(_) => return false,
        };
        if length.is_some_and(|length| length < self.least) || (is_head && length.is_none()) {
            return false;
        }
        let status = response.status();
        if matches!(
            status,
            StatusCode::PARTIAL_CONTENT | StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT
        ) {
            return false;
        }
        let has = |name| headers.contains_key(name);
        // Digests of what is sent or of what it is would be wrong of what comes out.
        if has(&CONTENT_ENCODING)
            || has(&CONTENT_RANGE)
            || DIGESTS.iter().any(|name| headers.contains_key(*name))
        {
            return false;
        }
        if says(headers, "no-transform") {
            return false;
        }
        let is_secret = (is_private || has(&SET_COOKIE)) && !says(headers, "public");
        if is_secret && !self.even_secrets {
            return false;
        }
        let content_type = headers.get(CONTENT_TYPE).or(response.body().content_type());
        content_type.is_some_and(|kind| is_loose(kind.as_bytes()))
    }
}

const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

fn once(bytes: Bytes) -> BodyStream {
    let mut bytes = Some(bytes);
    BodyStream::new(move || ropewalk_deferred::Deferred::succeed(bytes.take().map(Into::into)))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The type that a body has of itself, which another body would not have.
fn keep_type(headers: &mut HeaderMap, body: &Body) {
    if let Some(own) = body.content_type().filter(|_| !headers.contains_key(CONTENT_TYPE)) {
        headers.insert(CONTENT_TYPE, own.clone());
    }
}

/// What a compressed answer says of itself.
fn tell(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, coding.value());
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    let weak = headers
        .get(ETAG)
        .filter(|tag| tag.as_bytes().starts_with(b"\""))
        .map(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()));
    if let Some(Ok(weak)) = weak {
        headers.insert(ETAG, weak);
    }
}

/// Adds `Accept-Encoding` to what the answer depends on (RFC 9110 12.5.5).
pub(crate) fn vary(headers: &mut HeaderMap) {
    let is_told = headers.get_all(VARY).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
        })
    });
    if !is_told {
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Whether `Cache-Control` has this directive.
fn says(headers: &HeaderMap, directive: &str) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|word| word.trim_ascii().eq_ignore_ascii_case(directive.as_bytes()))
    })
}

/// Whether what is of this type is usually not packed.
fn is_loose(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = String::from_utf8_lossy(essence.trim_ascii()).to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    kind == "text"
        || [".json", "+json", "+xml", "+text"].iter().any(|end| subtype.ends_with(end))
        || matches!(
            (kind, subtype),
            (
                "application",
                "json"
                    | "javascript"
                    | "xml"
                    | "wasm"
                    | "x-ndjson"
                    | "x-javascript"
                    | "manifest+json"
                    | "rtf"
                    | "x-sh"
                    | "toml"
                    | "yaml"
                    | "sql"
                    | "postscript"
            ) | ("image", "bmp" | "svg+xml" | "x-icon" | "vnd.microsoft.icon")
                | ("font", "ttf" | "otf" | "collection")
        )
}

impl fmt::Debug for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compress")
            .field("offers", &self.offers)
            .field("at_work", &self.count.get())
            .finish_non_exhaustive()
    }
}
