use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::{Body, Reply, Request, Resource, Response};

/// How long a browser may remember a preflight's answer unless told otherwise.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Which pages of other origins may read a resource's answers (cross-origin resource sharing, in the Fetch
/// standard).
///
/// Preflights are answered here, and the resource sees none of them. Answers for origins that are not
/// allowed lack the fields that would let a page read them; who is no browser sees no difference. So this
/// protects people's browsers, not the resource.
///
/// ```
/// use http::{HeaderValue, Method};
/// use ropewalk_http::{Request, Resource, Site, middleware::Cors};
/// use ropewalk_trial::{Clock, Memory};
///
/// let cors = Cors::of([HeaderValue::from_static("https://app.example")])
///     .methods([Method::GET, Method::PUT])
///     .credentials();
/// let site = Site::new((|_: Request| "hello").wrap(cors.into_middleware()));
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\r\n");
/// let answer = String::from_utf8(client.take_sent()).unwrap();
/// assert!(answer.contains("access-control-allow-origin: https://app.example\r\n"));
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    /// Absent where all are.
    origins: Option<Vec<HeaderValue>>,
    methods: Vec<Method>,
    /// Absent where whatever is asked for is allowed.
    asked: Option<Vec<HeaderName>>,
    exposed: Vec<HeaderName>,
    credentials: bool,
    max_age: Duration,
}

impl Cors {
    fn new(origins: Option<Vec<HeaderValue>>) -> Self {
        Self {
            origins,
            methods: vec![Method::GET, Method::HEAD, Method::POST],
            asked: None,
            exposed: Vec::new(),
            credentials: false,
            max_age: MAX_AGE,
        }
    }

    /// Every page may read what anybody may read: answers to requests without credentials.
    pub fn any() -> Self {
        Self::new(None)
    }

    /// The pages of these origins may, such as `https://app.example`: a scheme, a host, and a port unless
    /// it is the scheme's own.
    pub fn of(origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        Self::new(Some(origins.into_iter().collect()))
    }

    /// Which methods they may use; GET, HEAD and POST unless set.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// Which fields they may set; all unless set.
    pub fn request_fields(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.asked = Some(fields.into_iter().collect());
        self
    }

    /// Which fields of answers they may read, beside those that all may.
    pub fn expose(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exposed = fields.into_iter().collect();
        self
    }

    /// They may ask with the cookies, certificates and passwords that a browser has for the resource.
    ///
    /// Where [any](Self::any) origin is allowed this changes nothing, as browsers refuse the two together.
    pub fn credentials(self) -> Self {
        Self { credentials: self.origins.is_some(), ..self }
    }

    /// How long a browser may remember the answer to a preflight, in whole seconds; 10 minutes unless set.
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    /// The function to [wrap](Resource::wrap) a resource with.
    pub fn into_middleware(self) -> impl FnMut(Request, &mut dyn Resource) -> Reply + 'static {
        let cors = Rc::new(self);
        move |request, inner| {
            let origin = request.headers().get(ORIGIN).cloned();
            let is_preflight = request.method() == Method::OPTIONS
                && origin.is_some()
                && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
            if is_preflight {
                return Reply::Now(cors.preflight(origin.as_ref(), request.headers()));
            }
            let cors = Rc::clone(&cors);
            inner.render(request).map(move |mut response| {
                cors.answer(origin.as_ref(), response.headers_mut());
                response
            })
        }
    }

    /// What stands in `Access-Control-Allow-Origin` for a page of this origin.
    fn allowed(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match &self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(origins) => origins.iter().find(|allowed| Some(*allowed) == origin).cloned(),
        }
    }

    fn answer(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if self.origins.is_some() {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(allowed) = origin.and(self.allowed(origin)) else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(exposed) = list(self.exposed.iter().map(HeaderName::as_str)) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    fn preflight(&self, origin: Option<&HeaderValue>, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Origin, Access-Control-Request-Headers"));
        let Some(allowed) = self.allowed(origin) else { return response };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(methods) = list(self.methods.iter().map(Method::as_str)) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        let fields = match &self.asked {
            Some(fields) => list(fields.iter().map(HeaderName::as_str)),
            None => asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        };
        if let Some(fields) = fields {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, fields);
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into());
        response
    }
}

/// A field's value that lists these names; `None` where there are none.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let mut text = String::new();
    for name in names {
        let between = if text.is_empty() { "" } else { ", " };
        // A String takes all that is written to it.
        let _ = write!(text, "{between}{name}");
    }
    HeaderValue::try_from(text).ok().filter(|value| !value.is_empty())
}
