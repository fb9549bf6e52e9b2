//! A request, and what it says of itself when it is asked.

use std::cell::OnceCell;
use std::fmt;

use http::header::RANGE;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri, Version};

use super::captures::Params;
use super::incoming::Incoming;
use super::resource::Used;
use crate::codec::{RawFields, RawHead};

/// A request with the body that comes with it.
///
/// It is read as an [`http::Request`] is, and [becomes one](#impl-From<Request>-for-Request<Incoming>)
/// where that is wanted. Its fields were checked when it came; the map of them is made when somebody
/// asks for it first.
///
/// ```
/// use http::header::ACCEPT;
/// use ropewalk_http::{Incoming, Request, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let site = Site::new(|request: Request| {
///     let wanted = request.headers().get(ACCEPT).cloned();
///     let request: http::Request<Incoming> = request.into();
///     format!("{} {} {wanted:?}", request.method(), request.uri())
/// });
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET /a HTTP/1.1\r\nHost: b\r\nAccept: text/html\r\n\r\n");
/// assert!(client.take_sent().ends_with(b"GET /a Some(\"text/html\")"));
/// ```
pub struct Request {
    head: RawHead,
    headers: OnceCell<Box<HeaderMap>>,
    extensions: Extensions,
    /// How much of its path was used up on its way here.
    used: Used,
    params: Params,
    body: Incoming,
}

impl Request {
    pub(super) fn new(head: RawHead, body: Incoming) -> Self {
        Self {
            head,
            headers: OnceCell::new(),
            extensions: Extensions::new(),
            used: Used::default(),
            params: Params::default(),
            body,
        }
    }

    /// One whose fields are a map already; its target is absent where it is `/`.
    pub(super) fn of_map(
        method: Method,
        uri: Option<Uri>,
        version: Version,
        headers: HeaderMap,
        body: Incoming,
    ) -> Self {
        let fields = RawFields::default();
        let head = RawHead { method, uri: uri.map(Box::new), version, fields };
        Self { headers: OnceCell::from(Box::new(headers)), ..Self::new(head, body) }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The method, to be changed.
    pub fn method_mut(&mut self) -> &mut Method {
        &mut self.head.method
    }

    /// The target: a path, or a whole URI if the client sent one; `*` only for OPTIONS, and a host and a
    /// port only for CONNECT (RFC 9112 3.2).
    pub fn uri(&self) -> &Uri {
        self.head.uri()
    }

    /// Whether the target is a whole URI of the scheme `https`.
    pub(super) fn says_https(&self) -> bool {
        let uri = self.head.uri.as_deref();
        uri.is_some_and(|uri| uri.scheme() == Some(&http::uri::Scheme::HTTPS))
    }

    /// The target, to be changed.
    pub fn uri_mut(&mut self) -> &mut Uri {
        self.head.uri_mut()
    }

    /// The version: HTTP/1.1 or HTTP/1.0.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The fields.
    pub fn headers(&self) -> &HeaderMap {
        self.headers.get_or_init(|| Box::new(self.head.fields.to_map()))
    }

    /// The value of its first field of this name, spaces around it left out. Who wants few of them is spared the
    /// map of all.
    ///
    /// ```
    /// use ropewalk_http::{Request, Site};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let site = Site::new(|request: Request| {
    ///     let language = request.field("accept-language").unwrap_or(b"en");
    ///     String::from_utf8_lossy(language).into_owned()
    /// });
    /// let mut client = Memory::seat(site.server(), &Clock::new());
    /// client.push(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Language: de\r\n\r\n");
    /// assert!(client.take_sent().ends_with(b"\r\n\r\nde"));
    /// ```
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        match self.headers.get() {
            Some(headers) => headers.get(name).map(HeaderValue::as_bytes),
            None => self.head.fields.first(name),
        }
    }

    /// The fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers();
        match self.headers.get_mut() {
            Some(headers) => headers,
            None => unreachable!("the line above has made them"),
        }
    }

    /// Whether its fields make it a request for less than the whole, or for nothing unless it has changed.
    pub(super) fn is_conditional(&self) -> bool {
        match self.headers.get() {
            Some(headers) => {
                headers.keys().any(|name| *name == RANGE || name.as_str().starts_with("if-"))
            }
            None => self.head.fields.is_conditional(),
        }
    }

    /// Its fields as they came, as long as nobody has made them a map.
    pub(crate) fn raw_fields(&self) -> Option<&RawFields> {
        self.headers.get().is_none().then_some(&self.head.fields)
    }

    /// How much of its path the trees on its way here have used up, in bytes.
    pub(crate) fn used(&self) -> usize {
        self.used.0
    }

    pub(super) fn set_used(&mut self, used: usize) {
        self.used = Used(used);
    }

    pub(super) fn params(&self) -> &Params {
        &self.params
    }

    pub(super) fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// What was laid beside it on its way here.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// What was laid beside it, to be changed.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The body.
    pub fn body(&self) -> &Incoming {
        &self.body
    }

    /// The body, to be read.
    pub fn body_mut(&mut self) -> &mut Incoming {
        &mut self.body
    }

    /// The body alone.
    pub fn into_body(self) -> Incoming {
        self.body
    }

    /// All that is not the body, and the body.
    pub fn into_parts(self) -> (Parts, Incoming) {
        let Self { head, headers, mut extensions, used, params, body } = self;
        let mut parts = head.into_parts(headers.into_inner().map(|map| *map));
        // So that they are there again when it becomes a request.
        if used.0 > 0 {
            extensions.insert(used);
        }
        if !params.is_empty() {
            extensions.insert(params);
        }
        parts.extensions = extensions;
        (parts, body)
    }

    /// A request out of such parts.
    pub fn from_parts(mut parts: Parts, body: Incoming) -> Self {
        let used = parts.extensions.remove().unwrap_or_default();
        let params = parts.extensions.remove().unwrap_or_default();
        let headers = OnceCell::from(Box::new(parts.headers));
        let mut head = RawHead {
            method: parts.method,
            uri: None,
            version: parts.version,
            fields: RawFields::default(),
        };
        *head.uri_mut() = parts.uri;
        Self { head, headers, extensions: parts.extensions, used, params, body }
    }
}

impl From<Request> for http::Request<Incoming> {
    fn from(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        Self::from_parts(parts, body)
    }
}

impl From<http::Request<Incoming>> for Request {
    fn from(request: http::Request<Incoming>) -> Self {
        let (parts, body) = request.into_parts();
        Self::from_parts(parts, body)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("uri", self.uri())
            .field("version", &self.version())
            .field("headers", self.headers())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
