use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::future::IntoFuture;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response, Version};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{Address, Clock, Protocol, Seat, TlsInfo};
use url::Url;

use super::exchange::Call;
use super::fresh::Rules;
use super::pool::{Pool, Wish};
use super::switch::Wanted;
use super::{AgentError, Credentials, Options, Origin, RequestPriority, Switch, Upgrade, follow};
use crate::server::{Body, Incoming};
use crate::tunnel::Target;

/// How many origins that speak HTTP/1.0 are remembered.
const OLD_MAX: usize = 1024;

/// How an [`Agent`] comes by connections.
///
/// A closure is one. What it connects for an origin that [is secure](Origin::is_secure) has to be
/// encrypted, and speak with the host that the origin names; the agent sends nothing otherwise.
pub trait Dial {
    /// Connects `seat` to `origin`; a failure reaches it as its end.
    ///
    /// The deferred succeeds once the seat is handed on, and fails if that is not to be.
    fn dial(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()>;

    /// The same for an origin that speaks HTTP/2 but wants to be asked in HTTP/1.1 (RFC 9113 7): TLS is
    /// not to offer HTTP/2. As [`dial`](Self::dial), unless said otherwise.
    ///
    /// The deferred is as there.
    fn dial_http1(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
        self.dial(origin, seat)
    }

    /// Whether a connection to `origin` may turn out to speak HTTP/2, because TLS offers it (ALPN). The
    /// first one is waited for then, before more are made, as it may be enough. No, unless said
    /// otherwise.
    fn offers_http2(&self, origin: &Origin) -> bool {
        let _ = origin;
        false
    }

    /// Whether a connection that was made for another origin leads to this one as well (RFC 9113
    /// 9.1.1): the certificate that its server showed is good for the host, too, and the host has the
    /// address that the server has. Both ports are the same. No, unless said otherwise.
    fn leads_to(&self, origin: &Origin, peer: &Address, tls: &TlsInfo) -> Deferred<bool> {
        let _ = (origin, peer, tls);
        Deferred::succeed(false)
    }
}

impl<F: Fn(&Origin, Box<dyn Seat>)> Dial for F {
    fn dial(&self, origin: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
        self(origin, seat);
        Deferred::succeed(())
    }
}

/// An HTTP client: it keeps connections, follows redirects, and waits no longer than it was told.
///
/// It speaks HTTP/2 where TLS has chosen it, or where [`Http2Options`](crate::Http2Options) say that it is known: then all
/// requests to an origin share one connection. Nothing else is different.
///
/// Clones are the same. When the last one is dropped, unused connections are closed; requests that
/// are under way go on.
///
/// ```
/// use ropewalk_http::{Agent, Origin, Request, Site};
/// use ropewalk_protocol::{ClientEndpoint, Seat, listen};
/// use ropewalk_trial::{Clock, MemoryNetwork};
///
/// let clock = Clock::new();
/// let network = MemoryNetwork::new(&clock);
/// let site = Site::new(|_: Request| "hello");
/// let port = listen(&network.endpoint("example.org:80"), site);
///
/// let dialled = network.clone();
/// let dial = move |origin: &Origin, seat: Box<dyn Seat>| {
///     dialled.endpoint(&format!("{}:{}", origin.host(), origin.port())).connect_seat(seat);
/// };
/// let agent = Agent::new(dial, clock);
/// let text = agent.get("http://example.org/").send().add_callback(|answer| answer.text());
/// network.run();
/// assert_eq!(text.now_or_never().unwrap()?, "hello");
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
#[derive(Clone)]
pub struct Agent(Rc<Inner>);

struct Inner {
    dial: Box<dyn Dial>,
    clock: Rc<dyn Clock>,
    options: Options,
    rules: Rules,
    pool: Rc<Pool>,
    /// Who has answered in HTTP/1.0.
    old: RefCell<HashSet<Origin>>,
}

impl Agent {
    /// An agent with the usual options.
    pub fn new(dial: impl Dial + 'static, clock: impl Clock + 'static) -> Self {
        Self::with_options(dial, clock, Options::default())
    }

    /// An agent with other options.
    pub fn with_options(
        dial: impl Dial + 'static,
        clock: impl Clock + 'static,
        options: Options,
    ) -> Self {
        Self(Rc::new(Inner {
            dial: Box::new(dial),
            clock: Rc::new(clock),
            rules: Rules {
                patience: Rc::new(options.patience.clone()),
                limits: Rc::new(options.limits.clone()),
                http2: Rc::new(options.http2.clone()),
                http2_limits: Rc::new(options.http2.limits),
            },
            pool: Pool::new(options.pool.clone()),
            old: RefCell::default(),
            options,
        }))
    }

    /// A request for what is at `url`.
    pub fn get(&self, url: &str) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A request for the fields that [`get`](Self::get) would have.
    pub fn head(&self, url: &str) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A request that has `body` processed.
    pub fn post(&self, url: &str, body: impl Into<Body>) -> RequestBuilder {
        self.request(Method::POST, url).body(body)
    }

    /// A request that puts `body` at `url`.
    pub fn put(&self, url: &str, body: impl Into<Body>) -> RequestBuilder {
        self.request(Method::PUT, url).body(body)
    }

    /// A request to remove what is at `url`.
    pub fn delete(&self, url: &str) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// A request. User and password in the URL are taken for Basic credentials. A URL that is none
    /// fails the request when it is sent.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        RequestBuilder { agent: self.clone(), call: call(method, url) }
    }

    /// How many connections are open or being made, and how many of them unused.
    pub fn connections(&self) -> (usize, usize) {
        self.0.pool.count()
    }

    /// Closes the connections that nobody uses.
    pub fn close_idle(&self) {
        self.0.pool.close_idle();
    }

    /// How it goes about it.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    pub(super) fn dial(&self) -> &dyn Dial {
        &*self.0.dial
    }

    pub(crate) fn clock(&self) -> &Rc<dyn Clock> {
        &self.0.clock
    }

    pub(super) fn pool(&self) -> &Rc<Pool> {
        &self.0.pool
    }

    /// Whether an origin is known to speak HTTP/1.0.
    pub(super) fn is_old(&self, origin: &Origin) -> bool {
        self.0.old.borrow().contains(origin)
    }

    /// Remembers in which version an origin has answered last.
    pub(super) fn note_version(&self, call: &Call, version: Version) {
        let mut old = self.0.old.borrow_mut();
        let is_old = version == Version::HTTP_10;
        if !is_old && old.is_empty() {
            return;
        }
        let Ok(origin) = call.origin() else { return };
        if !is_old {
            old.remove(&origin);
        } else if old.len() < OLD_MAX {
            old.insert(origin);
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// What kind of connection to `origin` requests want.
    pub(super) fn wish(&self, origin: &Origin) -> Wish {
        let may_share = if origin.is_secure() {
            self.0.dial.offers_http2(origin)
        } else {
            self.0.options.http2.has_prior_knowledge
        };
        if may_share { Wish::Shared } else { Wish::Any }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("connections", &self.connections()).finish_non_exhaustive()
    }
}

fn call(method: Method, text: &str) -> Result<Call, AgentError> {
    let mut url = Url::parse(text).map_err(|_| AgentError::BadUrl(text.to_owned()))?;
    // Says what is wrong with it, if anything is.
    Origin::of(&url, None)?;
    let decoded =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let (user, password) = (decoded(url.username()), url.password().map(decoded));
    let has_login = !user.is_empty() || password.is_some();
    let bad = |()| AgentError::BadUrl(text.to_owned());
    if has_login {
        url.set_username("").and_then(|()| url.set_password(None)).map_err(bad)?;
    }
    let mut call = Call::new(method, url);
    if has_login {
        call.credentials = Some(Credentials::basic(&user, &password.unwrap_or_default()));
    }
    Ok(call)
}

/// A request that is being put together; [`send`](Self::send) it, or await it.
///
/// What is wrong with its parts fails it when it is sent.
#[must_use = "a request is sent by `send` or by awaiting it"]
pub struct RequestBuilder {
    agent: Agent,
    call: Result<Call, AgentError>,
}

impl RequestBuilder {
    fn change(mut self, change: impl FnOnce(&mut Call) -> Result<(), AgentError>) -> Self {
        self.call = self.call.and_then(|mut call| change(&mut call).map(|()| call));
        self
    }

    /// Adds a field. Those that say where the message ends, or are for one connection alone, are the
    /// agent's own, and fail the request.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName> + fmt::Debug,
        V: TryInto<HeaderValue>,
    {
        let bad = AgentError::BadRequest(format!("{name:?}"));
        let field = name.try_into().ok().zip(value.try_into().ok());
        self.change(|call| {
            let (name, value) = field.ok_or(bad)?;
            call.headers.append(name, value);
            Ok(())
        })
    }

    /// Has this body: bytes, text, or a stream that is asked for as the server takes it.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|call| {
            call.set_body(body.into());
            Ok(())
        })
    }

    /// Says how it is to be preferred to others (RFC 9218); a [`RequestPriority`] that is kept may be changed
    /// while the answer is waited for.
    pub fn priority(self, priority: impl Into<RequestPriority>) -> Self {
        let priority = priority.into();
        self.change(|call| {
            call.priority = Some(priority);
            Ok(())
        })
    }

    /// Asks for the server's word before the body is sent (RFC 9110 10.1.1). Without one it is sent
    /// after [`ClientPatience::proceed`](crate::ClientPatience::proceed).
    pub fn expect_continue(self) -> Self {
        self.change(|call| {
            call.expects_continue = true;
            Ok(())
        })
    }

    /// Says who asks, to this origin alone.
    pub fn credentials(self, credentials: Credentials) -> Self {
        self.change(|call| {
            call.credentials = Some(credentials);
            Ok(())
        })
    }

    /// Asks the server as a whole, with OPTIONS and an asterisk for its target (RFC 9112 3.2.4). What the URL
    /// has behind its host is not sent.
    pub fn for_server(self) -> Self {
        self.change(|call| {
            call.method = Method::OPTIONS;
            call.is_for_server = true;
            Ok(())
        })
    }

    /// Gives it so long in all, in place of [`ClientPatience::total`](crate::ClientPatience::total).
    pub fn within(self, total: Duration) -> Self {
        self.change(|call| {
            call.total = Some(total);
            Ok(())
        })
    }

    /// Has `hear` hear of what the server says before its answer (RFC 9110 15.2, RFC 8297), `100 Continue`
    /// excepted.
    pub fn on_interim(self, hear: impl Fn(Response<()>) + 'static) -> Self {
        let hear = move |response| {
            // Whoever listens is not to bring down a connection that others share.
            if catch_unwind(AssertUnwindSafe(|| hear(response))).is_err() {
                tracing::error!(target: "ropewalk::http", "who hears of interim answers panicked");
            }
        };
        self.change(|call| {
            call.on_interim = Some(Rc::new(hear));
            Ok(())
        })
    }

    /// Goes by way of this Unix socket instead of to the URL's host.
    pub fn over_unix(self, path: impl Into<PathBuf>) -> Self {
        self.change(|call| {
            call.socket = Some(path.into());
            Ok(())
        })
    }

    /// Asks for another protocol at the URL, and seats it where the server agrees: `make` makes it, of the
    /// answer's head.
    ///
    /// Where the origin's connection speaks HTTP/2 and the server has said that it takes protocols there, that
    /// is an extended CONNECT (RFC 8441), and the protocol has a stream: it writes, pauses, half-closes, closes
    /// and aborts there as on a connection of its own, beside the requests that share it, and counts as one of
    /// them for as long as it lives. Anywhere else it is an upgrade of HTTP/1.1 (RFC 9110 7.8) on a connection
    /// of its own, which counts as one of the agent's. The protocol need not know which.
    ///
    /// The request is a GET without a body. In HTTP/2 its `Sec-WebSocket-Key` is left out (RFC 8441 5). Redirects,
    /// logins, cookies and what a server did not see to are dealt with as in any other request.
    ///
    /// ```
    /// use http::{StatusCode, header};
    /// use ropewalk_http::{Agent, Body, Options, Origin, Request, Site, Upgrade};
    /// use ropewalk_protocol::{ClientEndpoint, Conn, Protocol, Seat, listen};
    /// use ropewalk_trial::{Clock, MemoryNetwork, Witness};
    ///
    /// struct Echo;
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
    ///         conn.write(data);
    ///     }
    /// }
    ///
    /// let clock = Clock::new();
    /// let network = MemoryNetwork::new(&clock);
    /// let site = Site::new(|_: Request| {
    ///     let head = http::Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    ///     let head = head.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "echo");
    ///     head.body(Body::switch_to(Echo)).expect("these are a response's fields")
    /// });
    /// let port = listen(&network.endpoint("example.org:80"), site);
    ///
    /// let dialled = network.clone();
    /// let dial = move |origin: &Origin, seat: Box<dyn Seat>| {
    ///     dialled.endpoint(&format!("{}:{}", origin.host(), origin.port())).connect_seat(seat);
    /// };
    /// let mut options = Options::default();
    /// options.http2.has_prior_knowledge = true;
    /// let agent = Agent::with_options(dial, clock, options);
    ///
    /// let (witness, notes) = Witness::quiet();
    /// let asked = agent.get("http://example.org/").upgrade("echo", |_| Ok::<_, std::fmt::Error>(witness));
    /// network.run();
    /// let Upgrade::Made(conn) = asked.now_or_never().unwrap()? else { panic!("it was refused") };
    /// conn.write(b"hello");
    /// network.run();
    /// assert_eq!(notes.data(), b"hello");
    /// # Ok::<(), ropewalk_deferred::Failure>(())
    /// ```
    ///
    /// The deferred fails as that of [`send`](Self::send) does, with [`AgentError::Upgraded`] where the server
    /// changes to something else, or with what `make` failed with; the stream or connection is given up then.
    /// Cancelling it gives up as long as nothing is agreed on.
    pub fn upgrade<P: Protocol, E: Into<Failure>>(
        self,
        protocol: &str,
        make: impl FnOnce(&Response<()>) -> Result<P, E> + 'static,
    ) -> Deferred<Upgrade<P>> {
        let is_token =
            |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&octet);
        if protocol.is_empty() || !protocol.bytes().all(is_token) {
            return Deferred::fail(AgentError::BadRequest(protocol.to_owned()));
        }
        self.switch_to(Wanted::Protocol(protocol.into()), make)
    }

    /// Asks the proxy that the URL leads to for a tunnel to `target` (RFC 9110 9.3.6), and seats what `make` makes
    /// on it: on a stream where the proxy speaks HTTP/2 (RFC 9113 8.5), and else on a connection of its own.
    ///
    /// The request's method is CONNECT, and `Proxy-Authorization` is a field like others. The rest is as with
    /// [`upgrade`](Self::upgrade). [`tunnel::Proxy`](crate::tunnel::Proxy) is an endpoint that does this by
    /// itself, in HTTP/1.1.
    ///
    /// ```
    /// use http::Method;
    /// use ropewalk_deferred::{Deferred, Failure};
    /// use ropewalk_http::tunnel::Target;
    /// use ropewalk_http::{Agent, Upgrade};
    /// use ropewalk_protocol::Protocol;
    ///
    /// fn through<P: Protocol>(agent: &Agent, target: &Target, next: P) -> Deferred<Upgrade<P>> {
    ///     let request = agent.request(Method::CONNECT, "https://proxy.example:3129/");
    ///     request.tunnel(target, |_| Ok::<_, Failure>(next))
    /// }
    /// ```
    pub fn tunnel<P: Protocol, E: Into<Failure>>(
        self,
        target: &Target,
        make: impl FnOnce(&Response<()>) -> Result<P, E> + 'static,
    ) -> Deferred<Upgrade<P>> {
        self.switch_to(Wanted::Tunnel(target.to_string().into()), make)
    }

    fn switch_to<P: Protocol, E: Into<Failure>>(
        self,
        wanted: Wanted,
        make: impl FnOnce(&Response<()>) -> Result<P, E> + 'static,
    ) -> Deferred<Upgrade<P>> {
        let (switch, made) = Switch::to(wanted, make);
        let request = self.change(|call| {
            call.switch = Some(Rc::new(switch));
            Ok(())
        });
        request.send().map(move |answer| match made.take() {
            Some(conn) => Upgrade::Made(conn),
            None => Upgrade::Refused(Box::new(answer)),
        })
    }

    /// Sends it. Cancelling the deferred ends the connection that it has, its stream on one that is
    /// shared, or its wait for one.
    ///
    /// The deferred fails with an [`AgentError`], or where no connection was made with what its
    /// endpoint said.
    pub fn send(self) -> Deferred<Answer> {
        match self.call {
            Ok(call) => follow::run(&self.agent, call),
            Err(error) => Deferred::fail(error),
        }
    }
}

impl IntoFuture for RequestBuilder {
    type Output = Result<Answer, ropewalk_deferred::Failure>;
    type IntoFuture = Deferred<Answer>;

    fn into_future(self) -> Deferred<Answer> {
        self.send()
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.call.as_ref().map(|call| format!("{} {}", call.method, call.url));
        f.debug_tuple("RequestBuilder").field(&line).finish()
    }
}

/// An answer: what [`http::Response`] has, the URL that it came from, and ways to read its body.
#[derive(Debug)]
pub struct Answer {
    response: Response<Incoming>,
    url: Url,
    collect_max: usize,
}

impl Answer {
    pub(super) fn new(response: Response<Incoming>, url: Url, collect_max: usize) -> Self {
        Self { response, url, collect_max }
    }

    /// Where it came from, all redirects followed.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The whole body, if it has at most [`Options::collect_max`] bytes.
    pub fn bytes(self) -> Deferred<Bytes> {
        self.response.into_body().collect(self.collect_max)
    }

    /// The whole body as text: in ISO 8859-1 if Content-Type says so, else in UTF-8, where `U+FFFD`
    /// stands for what is none.
    pub fn text(self) -> Deferred<String> {
        let kind = self.response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        let is_latin = kind.windows(10).any(|part| part == b"iso-8859-1");
        self.bytes().map(move |bytes| {
            if is_latin {
                bytes.iter().map(|&byte| char::from(byte)).collect()
            } else {
                String::from_utf8_lossy(&bytes).into_owned()
            }
        })
    }

    /// The response by itself.
    pub fn into_response(self) -> Response<Incoming> {
        self.response
    }
}

impl Deref for Answer {
    type Target = Response<Incoming>;

    fn deref(&self) -> &Response<Incoming> {
        &self.response
    }
}

impl DerefMut for Answer {
    fn deref_mut(&mut self) -> &mut Response<Incoming> {
        &mut self.response
    }
}
