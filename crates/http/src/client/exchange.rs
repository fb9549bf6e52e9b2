//! What is to be asked, and how it is written.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, RANGE, TE, TRANSFER_ENCODING,
    UPGRADE, USER_AGENT,
};
use url::{Position, Url};

use super::auth::Asked;
use super::connection::{Exchange, Left, Progress};
use super::switch::Wanted;
use super::{AgentError, Credentials, OnInterim, Options, Origin, RequestPriority, Switch};
use crate::Priority;
use crate::codec::{AnswerTo, BodyWriter, SentAs};
use crate::server::{Body, BodyKind};

/// A request that may be sent more than once: after a redirect, to say who asks, or once more.
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Rc<RefCell<Option<BodyKind>>>,
    /// A copy of a body that is bytes; nothing of one that is a stream.
    spare: Option<Bytes>,
    length: Option<u64>,
    pub(super) expects_continue: bool,
    pub(super) credentials: Option<Credentials>,
    pub(super) socket: Option<PathBuf>,
    pub(super) redirects: usize,
    pub(super) was_challenged: bool,
    /// A server has said that it does not answer for this host.
    pub(super) was_misdirected: bool,
    pub(super) retries: usize,
    /// How long it may take in all, where that is its own.
    pub(super) total: Option<Duration>,
    /// When the total time is over, on the agent's clock, and how long that is.
    pub(super) until: Option<(Duration, Duration)>,
    /// The target is an asterisk: the server as a whole is meant.
    pub(super) is_for_server: bool,
    pub(super) priority: Option<RequestPriority>,
    pub(super) on_interim: Option<OnInterim>,
    /// Another protocol is wanted in place of an answer.
    pub(super) switch: Option<Rc<Switch>>,
    /// It is to be asked for in HTTP/1.1, as its server said of this one stream.
    pub(super) wants_http1: bool,
    /// Whether what comes back is decoded.
    pub(super) decodes: bool,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Rc::new(RefCell::new(Some(BodyKind::Empty))),
            spare: None,
            length: Some(0),
            expects_continue: false,
            credentials: None,
            socket: None,
            redirects: 0,
            was_challenged: false,
            was_misdirected: false,
            retries: 0,
            total: None,
            until: None,
            is_for_server: false,
            priority: None,
            on_interim: None,
            switch: None,
            wants_http1: false,
            decodes: false,
        }
    }

    pub(super) fn set_body(&mut self, body: Body) {
        self.length = body.length();
        if let Some(kind) = body.content_type()
            && !self.headers.contains_key(CONTENT_TYPE)
        {
            self.headers.insert(CONTENT_TYPE, kind.clone());
        }
        self.spare = match &body.kind {
            BodyKind::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        };
        self.body = Rc::new(RefCell::new(Some(body.kind)));
    }

    /// Whether nobody knows how long the body will be.
    pub(super) fn has_no_length(&self) -> bool {
        self.length.is_none()
    }

    /// Lets go of the body and of what the fields tell of it.
    pub(super) fn drop_body(&mut self) {
        self.set_body(Body::empty());
        self.expects_continue = false;
        let is_about_body = |name: &HeaderName| {
            name.as_str().starts_with("content-") || *name == TRANSFER_ENCODING || *name == EXPECT
        };
        let names: Vec<_> =
            self.headers.keys().filter(|name| is_about_body(name)).cloned().collect();
        for name in names {
            self.headers.remove(name);
        }
    }

    /// Has the body ready to be sent once more.
    pub(super) fn rewind(&mut self) -> Result<(), AgentError> {
        let mut body = self.body.borrow_mut();
        if body.is_some() {
            return Ok(());
        }
        *body = Some(match (&self.spare, self.length) {
            (Some(bytes), _) => BodyKind::Bytes(bytes.clone()),
            (None, Some(0)) => BodyKind::Empty,
            _ => return Err(AgentError::BodyUsedUp),
        });
        Ok(())
    }

    /// The body, if it is in memory.
    fn known_body(&self) -> Option<&[u8]> {
        match self.length {
            Some(0) => Some(&[]),
            _ => self.spare.as_deref(),
        }
    }

    pub(super) fn origin(&self) -> Result<Origin, AgentError> {
        Origin::of(&self.url, self.socket.as_deref())
    }

    /// The request in the form of bytes, with the rest of what a connection has to know.
    pub(super) fn exchange(
        &mut self,
        options: &Options,
        progress: &Rc<Progress>,
        left: Option<Left>,
        promise: ropewalk_deferred::Promise<http::Response<crate::Incoming>>,
    ) -> Result<Exchange, (AgentError, ropewalk_deferred::Promise<http::Response<crate::Incoming>>)>
    {
        let (head, sent_as) = match self.head(options) {
            Ok(head) => head,
            Err(error) => return Err((error, promise)),
        };
        Ok(Exchange {
            head: Rc::new(head),
            to: AnswerTo::from(&self.method),
            body: Rc::clone(&self.body),
            writer: BodyWriter::new(sent_as),
            expects_continue: self.expects_continue && self.length != Some(0),
            progress: Rc::clone(progress),
            left,
            on_interim: self.on_interim.clone(),
            priority: self.priority.clone(),
            preferred: self.priority.as_ref().map_or_else(Priority::default, RequestPriority::get),
            switch: self.switch.clone(),
            is_passed_on: false,
            promise,
        })
    }

    /// Whether it can be sent at all.
    fn check(&self, wanted: Option<&Wanted>) -> Result<(), AgentError> {
        let goes_with = match wanted {
            // RFC 9113 8.5 and RFC 8441 have no other requests that a protocol may follow.
            Some(Wanted::Protocol(_)) => self.method == Method::GET && self.length == Some(0),
            Some(Wanted::Tunnel(_)) => self.method == Method::CONNECT && self.length == Some(0),
            // A tunnel is no exchange of messages.
            None => self.method != Method::CONNECT,
        };
        if !goes_with {
            return Err(AgentError::BadRequest(self.method.to_string()));
        }
        // The agent alone says where messages end and whom they are for.
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, TE, EXPECT] {
            if self.headers.contains_key(&name) {
                return Err(AgentError::BadRequest(name.to_string()));
            }
        }
        Ok(())
    }

    /// Request line and fields (RFC 9112 3 and 5).
    fn head(&mut self, options: &Options) -> Result<(Vec<u8>, SentAs), AgentError> {
        let wanted = self.switch.as_ref().and_then(|switch| switch.wanted().cloned());
        self.check(wanted.as_ref())?;
        let mut out = Vec::with_capacity(256);
        let mut line = |parts: &[&[u8]]| {
            for part in parts {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(b"\r\n");
        };
        let path = &self.url[Position::BeforePath..Position::AfterQuery];
        let target = match &wanted {
            Some(Wanted::Tunnel(target)) => target,
            _ if self.is_for_server => "*",
            _ => path,
        };
        line(&[self.method.as_str().as_bytes(), b" ", target.as_bytes(), b" HTTP/1.1"]);
        if !self.headers.contains_key(HOST) {
            let authority = &self.url[Position::BeforeHost..Position::AfterPort];
            // RFC 9112 3.2.3: of a tunnel, it is the host that it leads to.
            let host = if self.method == Method::CONNECT { target } else { authority };
            line(&[b"host: ", host.as_bytes()]);
        }
        if let Some(Wanted::Protocol(name)) = &wanted {
            line(&[b"connection: upgrade"]);
            line(&[b"upgrade: ", name.as_bytes()]);
        }
        if let Some(agent) =
            options.user_agent.as_ref().filter(|_| !self.headers.contains_key(USER_AGENT))
        {
            let value = HeaderValue::from_str(agent)
                .map_err(|_| AgentError::BadRequest(USER_AGENT.to_string()))?;
            line(&[b"user-agent: ", value.as_bytes()]);
        }
        let decodes = options.decode
            && wanted.is_none()
            && !self.headers.contains_key(ACCEPT_ENCODING)
            && !self.headers.contains_key(RANGE);
        if decodes {
            line(&[b"accept-encoding: gzip, deflate, br, zstd"]);
        }
        if let Some(jar) = &options.cookies
            && !self.headers.contains_key(COOKIE)
            && let Some(cookies) = jar.cookies_for(&self.url)
        {
            line(&[b"cookie: ", cookies.as_bytes()]);
        }
        if let Some(credentials) = self.credentials.as_ref().or(options.credentials.as_ref())
            && !self.headers.contains_key(AUTHORIZATION)
            && let Some(value) =
                credentials.answer(&Asked { method: &self.method, target, body: self.known_body() })
        {
            line(&[b"authorization: ", value.as_bytes()]);
        }
        if let Some(priority) =
            self.priority.as_ref().filter(|_| !self.headers.contains_key("priority"))
        {
            line(&[b"priority: ", priority.get().to_string().as_bytes()]);
        }
        for (name, value) in &self.headers {
            line(&[name.as_str().as_bytes(), b": ", value.as_bytes()]);
        }
        let expects_continue = self.expects_continue && self.length != Some(0);
        let sent_as = put_framing(&mut out, &self.method, self.length, expects_continue);
        out.extend_from_slice(b"\r\n");
        self.decodes = decodes;
        Ok((out, sent_as))
    }
}

/// Says how the body is told from what follows it (RFC 9112 6).
pub(super) fn put_framing(
    out: &mut Vec<u8>,
    method: &Method,
    length: Option<u64>,
    expects_continue: bool,
) -> SentAs {
    if expects_continue {
        out.extend_from_slice(b"expect: 100-continue\r\n");
    }
    let sent_as = sent_as(method, length);
    match sent_as {
        SentAs::Fixed(length) => {
            out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        SentAs::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        SentAs::Nothing | SentAs::UntilClose => (),
    }
    sent_as
}

/// How a request's body of this length goes out, if there is one.
pub(super) fn sent_as(method: &Method, length: Option<u64>) -> SentAs {
    // RFC 9110 8.6: a method that may have a body says so when it has none.
    let may_have_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    match length {
        Some(0) if !may_have_body => SentAs::Nothing,
        Some(length) => SentAs::Fixed(length),
        None => SentAs::Chunked,
    }
}

/// The coding of an answer's body, if there is one alone.
pub(super) fn content_coding(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.next().filter(|_| codings.next().is_none()).cloned()
}
