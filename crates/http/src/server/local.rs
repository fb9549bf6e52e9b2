//! Another request, answered in the place of one that came.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use http::HeaderMap;
use http::request::Parts;
use ropewalk_deferred::{Deferred, deferred};

use super::incoming::{Incoming, Inflow, end, give};
use super::place::Place;
use super::reply::Response;
use super::request::Request;
use super::resource::Used;

/// Has a site answer another request in the place of one that it was asked; [`Request::local_redirect`]
/// makes one. A client sees nothing of it (RFC 3875 6.2.2).
///
/// ```
/// use ropewalk_http::{IntoReply as _, Request, Site, StatusCode, Tree};
/// use ropewalk_trial::{Clock, Memory};
///
/// let site = Site::new(Tree::new().child("new", |_: Request| "here").child("old", |request: Request| {
///     let Some(site) = request.local_redirect() else { return StatusCode::NOT_FOUND.into_reply() };
///     let (mut parts, _) = request.into_parts();
///     parts.uri = http::Uri::from_static("/new");
///     site.to(parts).into_reply()
/// }));
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET /old HTTP/1.1\r\nHost: a\r\n\r\n");
/// client.run();
/// assert!(client.take_sent().ends_with(b"\r\n\r\nhere"));
/// ```
pub struct LocalRedirect {
    from: Place,
}

impl LocalRedirect {
    /// The site's answer to such a request, which has no body. It comes in a later turn, and fails where
    /// the client has gone before.
    pub fn to(self, mut parts: Parts) -> Deferred<Response> {
        let (promise, answer) = deferred();
        let Self { from } = self;
        // The site's root is asked, of which nothing is used up.
        parts.extensions.remove::<Used>();
        let request = Request::from_parts(parts, Incoming::new(from.clone()));
        from.render_later(request, move |reply| {
            Deferred::from(reply).on_result(move |result| promise.fire(result));
        });
        answer
    }
}

impl fmt::Debug for LocalRedirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRedirect").finish_non_exhaustive()
    }
}

impl Request {
    /// What has the site answer another request in this one's place; there is none where the request came
    /// over no connection.
    pub fn local_redirect(&self) -> Option<LocalRedirect> {
        let from = self.body().request_place()?.clone();
        Some(LocalRedirect { from })
    }

    /// The path, split where the trees above this resource have used it up: the resource's own place, and
    /// what is below it. Neither is decoded.
    ///
    /// ```
    /// use ropewalk_http::{Request, Site, Tree};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let site = Site::new(Tree::new().child("a", |request: Request| {
    ///     format!("{:?}", request.place())
    /// }));
    /// let mut client = Memory::seat(site.server(), &Clock::new());
    /// client.push(b"GET /a/b%20c?d HTTP/1.1\r\nHost: a\r\n\r\n");
    /// assert!(client.take_sent().ends_with(br#"("/a", "/b%20c")"#));
    /// ```
    pub fn place(&self) -> (&str, &str) {
        let used = self.used();
        let path = self.uri().path();
        path.split_at_checked(used).unwrap_or(("", path))
    }
}

impl Incoming {
    /// The same message's end of a connection, without its body: what is left of a request whose body was
    /// taken out of it.
    pub fn without_body(&self) -> Self {
        match self.request_place() {
            Some(place) => Self::new(place.clone()),
            None => Self::empty(),
        }
    }

    /// The same with this for a body.
    pub(crate) fn holding(mut self, whole: &[u8]) -> Self {
        let inflow = Rc::new(RefCell::new(Inflow::default()));
        if !whole.is_empty() {
            give(&inflow, whole, |_| None);
        }
        end(&inflow, Ok(HeaderMap::new()));
        self.inflow = Some(inflow);
        self
    }
}
