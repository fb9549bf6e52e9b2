//! Resources by path pattern.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};

use super::captures::Params;
use super::reply::{IntoReply, Reply, Response, plain};
use super::request::Request;
use super::resource::{Resource, not_found};

/// Resources by path pattern and method.
///
/// `{name}` in a pattern stands for one segment, `{*name}` for all that follow; what they stood for
/// is in the request's [`Params`]. HEAD is answered as GET is, OPTIONS with the methods there are
/// (`OPTIONS *` with those of all patterns), a method that is not there with 405, and one that nobody
/// knows, neither RFC 9110 nor any pattern here, with 501.
///
/// ```
/// use ropewalk_http::{Params, Request, Router, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let router = Router::new().get("/users/{id}", |request: Request| {
///     format!("user {}", Params::of(&request).get("id").unwrap_or_default())
/// });
/// let mut client = Memory::seat(Site::new(router).server(), &Clock::new());
/// client.push(b"GET /users/7 HTTP/1.1\r\nHost: a\r\n\r\n");
/// assert!(client.take_sent().ends_with(b"\r\n\r\nuser 7"));
/// client.push(b"DELETE /users/7 HTTP/1.1\r\nHost: a\r\n\r\n");
/// assert!(client.take_sent().starts_with(b"HTTP/1.1 405 "));
/// ```
#[derive(Default)]
pub struct Router {
    paths: matchit::Router<usize>,
    /// Methods of one's own that some pattern has.
    extensions: Vec<Method>,
    places: Vec<Place>,
    other: Option<Box<dyn Resource>>,
}

#[derive(Default)]
struct Place {
    pattern: String,
    /// Those in the pattern, once somebody has asked there.
    names: OnceCell<Arc<[Box<str>]>>,
    methods: Vec<(Method, Box<dyn Resource>)>,
    any: Option<Box<dyn Resource>>,
}

/// Whether RFC 9110 9 or RFC 5789 (PATCH) have this method.
pub(crate) fn is_registered(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::CONNECT
            | Method::OPTIONS
            | Method::TRACE
            | Method::PATCH
    )
}

/// The value of an `Allow` field.
fn allow<'m>(methods: impl IntoIterator<Item = &'m Method>) -> HeaderValue {
    let mut names: Vec<&str> = Vec::new();
    for method in methods {
        if !names.contains(&method.as_str()) {
            names.push(method.as_str());
        }
    }
    if names.contains(&"GET") && !names.contains(&"HEAD") {
        names.push("HEAD");
    }
    if !names.contains(&"OPTIONS") {
        names.push("OPTIONS");
    }
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
}

/// The answer to OPTIONS.
fn options(allow: HeaderValue) -> Reply {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, allow);
    Reply::Now(response)
}

impl Place {
    fn allow(&self) -> HeaderValue {
        allow(self.methods.iter().map(|(method, _)| method))
    }

    fn render(&mut self, request: Request) -> Reply {
        let wanted = request.method();
        let index = self.methods.iter().position(|(method, _)| method == wanted).or_else(|| {
            let is_get = |(method, _): &(Method, _)| method == Method::GET;
            (wanted == Method::HEAD).then(|| self.methods.iter().position(is_get)).flatten()
        });
        if let Some(index) = index {
            return self.methods[index].1.render(request);
        }
        if let Some(any) = &mut self.any {
            return any.render(request);
        }
        if wanted == Method::OPTIONS {
            return options(self.allow());
        }
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, self.allow());
        Reply::Now(response)
    }
}

impl Router {
    /// A router that knows no path: 404 everywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET, and HEAD, at `pattern`.
    ///
    /// # Panics
    ///
    /// As [`at`](Self::at) does.
    pub fn get(self, pattern: &str, resource: impl Resource) -> Self {
        self.at(Method::GET, pattern, resource)
    }

    /// Answers POST at `pattern`.
    ///
    /// # Panics
    ///
    /// As [`at`](Self::at) does.
    pub fn post(self, pattern: &str, resource: impl Resource) -> Self {
        self.at(Method::POST, pattern, resource)
    }

    /// Answers `method` at `pattern`.
    ///
    /// # Panics
    ///
    /// If the pattern is malformed or clashes with another: a fault in the program, seen at start-up.
    pub fn at(mut self, method: Method, pattern: &str, resource: impl Resource) -> Self {
        if !is_registered(&method) && !self.extensions.contains(&method) {
            self.extensions.push(method.clone());
        }
        self.place(pattern).methods.push((method, Box::new(resource)));
        self
    }

    /// Answers every other method at `pattern`.
    ///
    /// # Panics
    ///
    /// As [`at`](Self::at) does.
    pub fn any(mut self, pattern: &str, resource: impl Resource) -> Self {
        self.place(pattern).any = Some(Box::new(resource));
        self
    }

    /// Answers wherever no pattern fits.
    pub fn otherwise(mut self, resource: impl Resource) -> Self {
        self.other = Some(Box::new(resource));
        self
    }

    /// Whether it knows a method at all.
    fn knows(&self, method: &Method) -> bool {
        is_registered(method)
            || self.extensions.contains(method)
            || self.places.iter().any(|place| place.any.is_some())
    }

    fn place(&mut self, pattern: &str) -> &mut Place {
        let index = self.places.iter().position(|place| place.pattern == pattern);
        let index = index.unwrap_or_else(|| {
            let index = self.places.len();
            if let Err(error) = self.paths.insert(pattern, index) {
                panic!("the pattern {pattern:?} cannot be routed: {error}");
            }
            self.places.push(Place { pattern: pattern.to_owned(), ..Place::default() });
            index
        });
        &mut self.places[index]
    }
}

impl Resource for Router {
    fn render(&mut self, mut request: Request) -> Reply {
        if self.other.is_none() && !self.knows(request.method()) {
            return StatusCode::NOT_IMPLEMENTED.into_reply();
        }
        if request.method() == Method::OPTIONS && request.uri().path() == "*" {
            let methods = self.places.iter().flat_map(|place| &place.methods);
            return options(allow(methods.map(|(method, _)| method)));
        }
        let Ok(found) = self.paths.at(request.uri().path()) else {
            return match &mut self.other {
                Some(other) => other.render(request),
                None => not_found(),
            };
        };
        let index = *found.value;
        if !found.params.is_empty() {
            let names = self.places[index]
                .names
                .get_or_init(|| found.params.iter().map(|(name, _)| Box::from(name)).collect());
            let values = found.params.iter().map(|(_, value)| value);
            let length = request.uri().path().len();
            let Some(params) = Params::decode(names, values, length) else {
                return StatusCode::BAD_REQUEST.into_reply();
            };
            request.set_params(params);
        }
        self.places[index].render(request)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.places.iter().map(|place| &place.pattern);
        f.debug_list().entries(patterns).finish()
    }
}
