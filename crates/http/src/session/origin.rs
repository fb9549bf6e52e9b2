use http::header::{HOST, ORIGIN, UPGRADE};
use http::{HeaderValue, Method, StatusCode, Uri};

use crate::{IntoReply as _, Reply, Request, Resource};

/// Refuses what pages of other origins have a browser do: requests that change something, and switches to other
/// protocols such as WebSocket.
///
/// A browser says where a request comes from in `Sec-Fetch-Site`, or in `Origin` if it is old. Requests by which
/// nothing changes (GET, HEAD, OPTIONS) come through, as do those of programs that are no browsers. Refused ones get 403.
///
/// [`Sessions`](crate::session::Sessions) does this by itself. For what else there is to protect, such as resources
/// behind Basic, whose passwords browsers send along with other pages' requests, it is a function to
/// [wrap](Resource::wrap) with.
///
/// ```
/// use ropewalk_http::session::SameOrigin;
/// use ropewalk_http::{Request, Resource, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let site = Site::new((|_: Request| "done").wrap(SameOrigin::new().into_middleware()));
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nOrigin: https://evil.example\r\n\r\n");
/// assert!(client.take_sent().starts_with(b"HTTP/1.1 403 "));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SameOrigin {
    trusted: Vec<HeaderValue>,
}

impl SameOrigin {
    /// No other origin is trusted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts pages of this origin, such as `https://app.example`.
    pub fn trust(mut self, origin: HeaderValue) -> Self {
        self.trusted.push(origin);
        self
    }

    /// The function to [wrap](Resource::wrap) a resource with.
    pub fn into_middleware(self) -> impl FnMut(Request, &mut dyn Resource) -> Reply + 'static {
        move |request, inner| {
            if self.allows(&request) {
                inner.render(request)
            } else {
                StatusCode::FORBIDDEN.into_reply()
            }
        }
    }

    /// Whether this request may come through.
    pub fn allows(&self, request: &Request) -> bool {
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let headers = request.headers();
        if is_safe && !headers.contains_key(UPGRADE) {
            return true;
        }
        let origin = headers.get(ORIGIN);
        if origin.is_some_and(|origin| self.trusted.contains(origin)) {
            return true;
        }
        match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
            Some(b"same-origin" | b"none") => true,
            Some(_) => false,
            None => origin.is_none_or(|origin| is_own(origin, request)),
        }
    }
}

/// Whether an origin names the host that was asked. The scheme is not looked at: a proxy in front may have
/// changed it.
fn is_own(origin: &HeaderValue, request: &Request) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let asked = request.uri().authority().map(http::uri::Authority::as_str);
    let host = asked.or_else(|| request.headers().get(HOST)?.to_str().ok());
    let own = origin.as_ref().and_then(Uri::authority).map(http::uri::Authority::as_str);
    matches!((own, host), (Some(own), Some(host)) if own.eq_ignore_ascii_case(host))
}
