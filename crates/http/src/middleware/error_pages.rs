use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    LAST_MODIFIED,
};
use http::{HeaderValue, StatusCode};

use crate::{Body, Reply, Request, Resource, Response};

/// Pages of one's own for statuses that tell of an error.
///
/// They take the place of whatever a resource sends with such a status; its fields stay, save those that
/// told of the body: its length, coding, range, validators and policy.
///
/// ```
/// use http::{HeaderValue, StatusCode};
/// use ropewalk_http::{Resource, Site, Tree, middleware::ErrorPages};
/// use ropewalk_trial::{Clock, Memory};
///
/// let html = HeaderValue::from_static("text/html; charset=utf-8");
/// let pages = ErrorPages::new().page(StatusCode::NOT_FOUND, html, "<h1>Not here</h1>");
/// let site = Site::new(Tree::new().wrap(pages.into_middleware()));
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
/// let answer = String::from_utf8(client.take_sent()).unwrap();
/// assert!(answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("<h1>Not here</h1>"));
/// ```
#[derive(Clone, Default)]
pub struct ErrorPages {
    pages: HashMap<StatusCode, (HeaderValue, Bytes)>,
}

impl ErrorPages {
    /// No page for any status.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is sent with `status`, which is one of a client's (4xx) or a server's (5xx) errors.
    ///
    /// # Panics
    ///
    /// If it is none: a fault in the program, seen at start-up.
    pub fn page(
        mut self,
        status: StatusCode,
        content_type: HeaderValue,
        page: impl Into<Bytes>,
    ) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        assert!(is_error, "{status} tells of no error, and has its resource's own body");
        self.pages.insert(status, (content_type, page.into()));
        self
    }

    /// The function to [wrap](Resource::wrap) a resource with.
    pub fn into_middleware(self) -> impl FnMut(Request, &mut dyn Resource) -> Reply + 'static {
        let pages = Rc::new(self.pages);
        move |request, inner| {
            let pages = Rc::clone(&pages);
            inner.render(request).map(move |response| match pages.get(&response.status()) {
                Some((content_type, page)) => replaced(response, content_type, page),
                None => response,
            })
        }
    }
}

fn replaced(response: Response, content_type: &HeaderValue, page: &Bytes) -> Response {
    let mut response = response.map(|_| Body::from(page.clone()));
    let headers = response.headers_mut();
    // What was said of the body that went. A policy for it would keep the page from its own styles.
    for name in [
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_SECURITY_POLICY,
        ETAG,
        LAST_MODIFIED,
    ] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, content_type.clone());
    response
}

impl fmt::Debug for ErrorPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pages.keys()).finish()
    }
}
