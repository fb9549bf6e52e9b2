//! Things that answer requests.

use std::collections::HashMap;
use std::fmt;

use http::StatusCode;

use super::reply::{IntoReply, Reply};
use super::request::Request;
use super::wrap::Wrapped;

/// Something that answers requests. A closure `FnMut(Request) -> impl IntoReply` is one.
///
/// There is one of it for all connections, and no two calls overlap: its state is plain state.
pub trait Resource: 'static {
    /// Answers one request. It runs on the reactor's thread: what takes long belongs elsewhere, its
    /// result into a deferred.
    fn render(&mut self, request: Request) -> Reply;

    /// The same resource with a function around it, which sees each request before it and each reply
    /// after it, and may answer by itself. What is wrapped last sees requests first.
    ///
    /// [`middleware`](crate::middleware) has some that are often wanted.
    ///
    /// ```
    /// use http::{HeaderValue, header::SERVER};
    /// use ropewalk_http::{Request, Resource, Site, StatusCode};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let hello = |_: Request| "hello";
    /// let site = Site::new(hello.wrap(|request: Request, inner: &mut dyn Resource| {
    ///     let reply = inner.render(request);
    ///     reply.map(|mut response| {
    ///         response.headers_mut().insert(SERVER, HeaderValue::from_static("ours"));
    ///         response
    ///     })
    /// }));
    /// let mut client = Memory::seat(site.server(), &Clock::new());
    /// client.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// assert!(String::from_utf8(client.take_sent()).unwrap().contains("server: ours\r\n"));
    /// ```
    fn wrap<A, F>(self, around: F) -> Wrapped<Self, F>
    where
        Self: Sized,
        A: IntoReply,
        F: FnMut(Request, &mut dyn Resource) -> A + 'static,
    {
        Wrapped::new(self, around)
    }
}

impl<R: IntoReply, F: FnMut(Request) -> R + 'static> Resource for F {
    fn render(&mut self, request: Request) -> Reply {
        self(request).into_reply()
    }
}

impl Resource for Box<dyn Resource> {
    fn render(&mut self, request: Request) -> Reply {
        (**self).render(request)
    }
}

/// Resources by the segments of their paths.
///
/// ```
/// use ropewalk_http::{Request, Site, Tree};
/// use ropewalk_trial::{Clock, Memory};
///
/// let tree = Tree::new()
///     .index(|_: Request| "home")
///     .child("about", |_: Request| "about us")
///     .child("api", Tree::new().child("version", |_: Request| "1"));
/// let mut client = Memory::seat(Site::new(tree).server(), &Clock::new());
/// client.push(b"GET /api/version HTTP/1.1\r\nHost: a\r\n\r\n");
/// assert!(client.take_sent().ends_with(b"\r\n\r\n1"));
/// ```
#[derive(Default)]
pub struct Tree {
    index: Option<Box<dyn Resource>>,
    children: HashMap<String, Box<dyn Resource>>,
    other: Option<Box<dyn Resource>>,
}

/// How much of a request's path the trees above have used up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used(pub(crate) usize);

impl Tree {
    /// A tree without anything on it: 404 everywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers at the tree's own place, with and without a slash at the end.
    pub fn index(mut self, resource: impl Resource) -> Self {
        self.index = Some(Box::new(resource));
        self
    }

    /// Answers at `segment` and below it. The segment stands as it is, percent-escapes undone.
    pub fn child(mut self, segment: impl Into<String>, resource: impl Resource) -> Self {
        self.children.insert(segment.into(), Box::new(resource));
        self
    }

    /// Answers wherever no child does.
    pub fn otherwise(mut self, resource: impl Resource) -> Self {
        self.other = Some(Box::new(resource));
        self
    }

    fn choose(&mut self, segment: &str) -> Option<&mut Box<dyn Resource>> {
        let name = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
        self.children.get_mut(&*name)
    }
}

impl Resource for Tree {
    fn render(&mut self, mut request: Request) -> Reply {
        let used = request.used();
        let path = request.uri().path().get(used..).unwrap_or_default();
        let below = path.strip_prefix('/').unwrap_or(path);
        let segment = below.split('/').next().unwrap_or_default();
        if below.is_empty() {
            let chosen = self.index.as_mut().or(self.other.as_mut());
            return chosen.map_or_else(not_found, |resource| resource.render(request));
        }
        let after = used + (path.len() - below.len()) + segment.len();
        if let Some(child) = self.choose(segment) {
            request.set_used(after);
            return child.render(request);
        }
        match &mut self.other {
            Some(other) => other.render(request),
            None => not_found(),
        }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("children", &self.children.keys()).finish_non_exhaustive()
    }
}

pub(super) fn not_found() -> Reply {
    StatusCode::NOT_FOUND.into_reply()
}
