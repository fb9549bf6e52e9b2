//! What a resource answers.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderMap, StatusCode};
use ropewalk_deferred::{Deferred, Failure};

use super::body::Body;

/// A response with its body.
pub type Response = http::Response<Body>;

static TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
static BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// An answer, now or later.
#[derive(Debug)]
pub enum Reply {
    /// It is here.
    Now(Response),
    /// It is here, has the status 200 and no fields of its own: the same as [`Now`](Self::Now) with just
    /// this body, and less work.
    Body(Body),
    /// It comes; a failure is answered with 500 and logged, and the client sees nothing of it. A
    /// [`BodyError`](crate::BodyError) is the client's own: one that is too long gets 413; so is a [`FormError`](crate::form::FormError).
    Later(Deferred<Response>),
    /// It comes from another server, and is passed on.
    Passed(Passed),
}

/// An answer that comes from another server and is passed on: one that is there [later](Reply::Later), whose fields are
/// not looked at again where nobody [asks](Self::into_response) for them.
#[derive(Debug)]
pub struct Passed(pub(crate) Deferred<Response>);

impl Passed {
    /// The answer as any other.
    pub fn into_response(self) -> Deferred<Response> {
        self.0.map(unfolded)
    }
}

/// An answer with all its fields where others look for them.
fn unfolded(mut response: Response) -> Response {
    if let Some(passed) = response.body_mut().passed.take() {
        passed.lay_among(response.headers_mut());
    }
    response
}

impl From<Reply> for Deferred<Response> {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Now(response) => Self::succeed(response),
            Reply::Body(body) => Self::succeed(Response::new(body)),
            Reply::Later(later) => later,
            Reply::Passed(passed) => passed.into_response(),
        }
    }
}

impl Reply {
    /// The same answer with its response changed, as soon as it is there.
    pub fn map(self, change: impl FnOnce(Response) -> Response + 'static) -> Self {
        match self {
            Self::Now(response) => Self::Now(change(response)),
            Self::Body(body) => Self::Now(change(Response::new(body))),
            Self::Later(later) => Self::Later(later.map(change)),
            Self::Passed(passed) => Self::Later(passed.into_response().map(change)),
        }
    }

    fn adjust(self, change: impl FnOnce(&mut Response) + 'static) -> Self {
        self.map(|mut response| {
            change(&mut response);
            response
        })
    }
}

/// What a resource may answer with.
///
/// Text is answered as `text/plain; charset=utf-8`, bytes as `application/octet-stream`, a status
/// with a line of text that names it; these types are the [body's](Body::content_type) and give way to
/// a Content-Type among the fields. For more there are `http::Response`s. A `Result` is its value, or
/// 500; a `Deferred` of any of these is answered when it comes.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
/// use ropewalk_http::{Request, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let site = Site::new(|request: Request| match request.uri().path() {
///     "/text" => (HeaderMap::new(), "<b>"),
///     _ => (HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html"))]), "<b>"),
/// });
/// let type_of = |path| {
///     let mut client = Memory::seat(site.server(), &Clock::new());
///     client.push(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
///     let answer = String::from_utf8(client.take_sent()).expect("it is ASCII");
///     let types = answer.lines().filter_map(|line| line.strip_prefix("content-type: "));
///     types.map(str::to_owned).collect::<Vec<_>>()
/// };
/// assert_eq!(type_of("/text"), ["text/plain; charset=utf-8"]);
/// assert_eq!(type_of("/html"), ["text/html"]);
/// ```
pub trait IntoReply {
    /// The answer.
    fn into_reply(self) -> Reply;
}

impl IntoReply for Reply {
    fn into_reply(self) -> Reply {
        self
    }
}

impl<B: Into<Body>> IntoReply for http::Response<B> {
    fn into_reply(self) -> Reply {
        Reply::Now(self.map(Into::into))
    }
}

impl IntoReply for &'static str {
    fn into_reply(self) -> Reply {
        typed(self, &TEXT)
    }
}

impl IntoReply for String {
    fn into_reply(self) -> Reply {
        typed(self, &TEXT)
    }
}

impl IntoReply for Bytes {
    fn into_reply(self) -> Reply {
        typed(self, &BYTES)
    }
}

impl IntoReply for Vec<u8> {
    fn into_reply(self) -> Reply {
        typed(self, &BYTES)
    }
}

impl IntoReply for Body {
    fn into_reply(self) -> Reply {
        Reply::Body(self)
    }
}

impl IntoReply for StatusCode {
    fn into_reply(self) -> Reply {
        Reply::Now(plain(self))
    }
}

impl<R: IntoReply> IntoReply for (StatusCode, R) {
    fn into_reply(self) -> Reply {
        let (status, inner) = self;
        inner.into_reply().adjust(move |response| *response.status_mut() = status)
    }
}

impl<R: IntoReply> IntoReply for (HeaderMap, R) {
    fn into_reply(self) -> Reply {
        let (headers, inner) = self;
        inner.into_reply().adjust(move |response| response.headers_mut().extend(headers))
    }
}

impl<R: IntoReply, E: Into<Failure>> IntoReply for Result<R, E> {
    fn into_reply(self) -> Reply {
        match self {
            Ok(inner) => inner.into_reply(),
            Err(error) => Reply::Later(Deferred::ready(Err(error.into()))),
        }
    }
}

impl<R: IntoReply> IntoReply for Deferred<R> {
    fn into_reply(self) -> Reply {
        Reply::Later(self.add_callback(|inner| Deferred::from(inner.into_reply())))
    }
}

fn typed(body: impl Into<Body>, content_type: &'static HeaderValue) -> Reply {
    Reply::Body(body.into().of_type(content_type))
}

/// A status with a line that names it.
pub(crate) fn plain(status: StatusCode) -> Response {
    let text = match status.canonical_reason() {
        Some(reason) => format!("{} {reason}\n", status.as_str()),
        None => format!("{}\n", status.as_str()),
    };
    let mut response = Response::new(Body::from(text).of_type(&TEXT));
    *response.status_mut() = status;
    response
}
