//! The client's side of the opening.

use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, StatusCode, Uri, Version};
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_http::{Agent, AgentError, BadAnswer, BadRequest as AnswerRule, Upgrade};
use ropewalk_protocol::{ClientEndpoint, Conn, Disconnect, Protocol, seat};

use super::{Agreed, VERSION, accept_key, extension, has_member, members};
use crate::session::Session;
use crate::{NoRandom, Options, Role, WebSocket, WebSocketProtocol};

/// The longest answer to the opening request, in bytes, and the most fields in it.
const HEAD_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 100;

/// What a client asks for.
///
/// ```
/// use ropewalk_websocket::Request;
///
/// let request = Request::new("ws://example.com/chat?room=1")?.header("cookie", "a=b")?;
/// assert!(!request.is_secure());
/// assert_eq!((request.host(), request.port()), ("example.com", 80));
/// # Ok::<(), ropewalk_websocket::BadRequest>(())
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    uri: Uri,
    is_secure: bool,
    headers: HeaderMap,
}

/// Why nothing can be asked for so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRequest {
    /// It is no URI of the kind `ws://host[:port]/path` or `wss://…` (RFC 6455 3).
    Uri,
    /// A URI of a WebSocket has no fragment.
    Fragment,
    /// It is no field, or one that the handshake sets itself.
    Header,
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uri => "a WebSocket's URI is written ws://host[:port]/path or wss://…",
            Self::Fragment => "a WebSocket's URI has no fragment (#…)",
            Self::Header => "this is no header field that may be set here",
        })
    }
}

impl std::error::Error for BadRequest {}

impl Request {
    /// Asks for what is at a URI.
    ///
    /// # Errors
    ///
    /// If it is none of a WebSocket.
    pub fn new(uri: &str) -> Result<Self, BadRequest> {
        if uri.contains('#') {
            return Err(BadRequest::Fragment);
        }
        let uri: Uri = uri.parse().map_err(|_| BadRequest::Uri)?;
        let is_secure = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(BadRequest::Uri),
        };
        let has_host = uri.authority().is_some_and(|authority| {
            !authority.host().is_empty() && !authority.as_str().contains('@')
        });
        let headers = HeaderMap::new();
        if has_host { Ok(Self { uri, is_secure, headers }) } else { Err(BadRequest::Uri) }
    }

    /// Sends this field too: a cookie, an origin, an authorization.
    ///
    /// # Errors
    ///
    /// If it is no field, or one of the handshake's own.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, BadRequest> {
        let name: HeaderName = name.parse().map_err(|_| BadRequest::Header)?;
        let value: HeaderValue = value.parse().map_err(|_| BadRequest::Header)?;
        let is_ours = [HOST, CONNECTION, UPGRADE].contains(&name)
            || name.as_str().starts_with("sec-websocket-")
            || ["content-length", "transfer-encoding"].contains(&name.as_str());
        if is_ours {
            return Err(BadRequest::Header);
        }
        self.headers.append(name, value);
        Ok(self)
    }

    /// Whether the connection has to be encrypted.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host to connect to.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_secure { 443 } else { 80 })
    }

    fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    fn path(&self) -> String {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
    }

    /// The same place, as HTTP calls it.
    fn url(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path())
    }

    fn encode(&self, key: &str, options: &Options) -> Vec<u8> {
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {VERSION}\r\nSec-WebSocket-Key: {key}\r\n",
            self.path(),
            self.authority(),
        );
        if let Some(offered) = offered_protocols(options) {
            let _ = write!(text, "Sec-WebSocket-Protocol: {offered}\r\n");
        }
        if let Some(compression) = &options.compression {
            let offered = extension::offer(compression);
            let _ = write!(text, "Sec-WebSocket-Extensions: {offered}\r\n");
        }
        let mut bytes = text.into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// The subprotocols of a request, if it has any.
fn offered_protocols(options: &Options) -> Option<String> {
    (!options.protocols.is_empty()).then(|| options.protocols.join(", "))
}

/// Why a server opened no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpened {
    /// It answered with another status.
    Status(StatusCode),
    /// What it answered is no head of an HTTP/1.1 response.
    NotHttp,
    /// Its answer is longer than 16 KiB or has more than 100 fields.
    TooLong,
    /// It does not say that it upgrades to WebSocket.
    NoUpgrade,
    /// It has not read the key.
    Key,
    /// It chose a subprotocol that was not offered.
    Protocol,
    /// It chose an extension that was not offered.
    Extension,
    /// It has not answered in time.
    TimedOut,
    /// There is no connection, or it ended.
    Lost(Disconnect),
    /// There are no random bytes for a key.
    NoRandom(NoRandom),
    /// The agent came to nothing for another reason.
    Agent(AgentError),
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => return write!(f, "the server answered {status}"),
            Self::NotHttp => "the server's answer is not HTTP/1.1",
            Self::TooLong => "the server's answer is too long",
            Self::NoUpgrade => "the server does not upgrade to WebSocket",
            Self::Key => "the server has not read the key",
            Self::Protocol => "the server chose a subprotocol that was not offered",
            Self::Extension => "the server chose an extension that was not offered",
            Self::TimedOut => "the server has not answered in time",
            Self::Lost(_) => "the connection ended before the WebSocket was opened",
            Self::NoRandom(_) => "there is nothing to make a key of",
            Self::Agent(_) => "the request came to nothing",
        })
    }
}

impl std::error::Error for NotOpened {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Lost(why) => Some(why),
            Self::NoRandom(error) => Some(error),
            Self::Agent(error) => Some(error),
            _ => None,
        }
    }
}

/// Opens a WebSocket to what is asked for at `endpoint`; the deferred gives its handle, or fails with
/// [`NotOpened`]. Cancelling it gives up.
///
/// The endpoint has to lead to the request's host, and be encrypted where the request
/// [wants it so](Request::is_secure).
#[track_caller]
pub fn connect<P: WebSocketProtocol>(
    endpoint: &(impl ClientEndpoint + ?Sized),
    request: &Request,
    options: &Options,
    protocol: P,
) -> Deferred<WebSocket<P>> {
    let (opening, opened) = Opening::new(request, options, protocol);
    endpoint.connect_seat(seat(opening));
    opened
}

/// Opens a WebSocket to what is asked for over an agent's connections; the deferred gives its handle, or fails
/// with [`NotOpened`], or where no connection was made with what its endpoint said. Cancelling it gives up.
///
/// Where the origin's connection speaks HTTP/2 and the server takes WebSockets there (RFC 8441), this one is a
/// stream of it, beside all that the agent asks for; anywhere else it has a connection of its own, in HTTP/1.1.
/// The protocol, the options and the errors are the same. What the agent does for any request it does here:
/// cookies, logins, redirects, its limits of an answer's head, its bounds of connections.
/// [`Patience::opening`](crate::Patience::opening) is the time that all of this has.
///
/// ```
/// use ropewalk_http::{Agent, Options as AgentOptions, Origin, Request as Asked, Site};
/// use ropewalk_protocol::{ClientEndpoint, Seat, listen};
/// use ropewalk_trial::{Clock, MemoryNetwork};
/// use ropewalk_websocket::{Message, Options, Request, WebSocket, WebSocketProtocol, WebSocketResource, open};
///
/// struct Echo;
/// impl WebSocketProtocol for Echo {
///     fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
///         socket.send(message);
///     }
/// }
///
/// struct Greeter;
/// impl WebSocketProtocol for Greeter {
///     fn opened(&mut self, socket: &WebSocket<Self>) {
///         socket.send_text("hello");
///     }
///     fn message_received(&mut self, _: &WebSocket<Self>, message: Message<'_>) {
///         assert_eq!(message, Message::Text("hello"));
///     }
/// }
///
/// let clock = Clock::new();
/// let network = MemoryNetwork::new(&clock);
/// let site = Site::new(WebSocketResource::new(|_: &Asked| Echo));
/// let port = listen(&network.endpoint("example.org:80"), site);
///
/// let dialled = network.clone();
/// let dial = move |origin: &Origin, seat: Box<dyn Seat>| {
///     dialled.endpoint(&format!("{}:{}", origin.host(), origin.port())).connect_seat(seat);
/// };
/// let mut options = AgentOptions::default();
/// options.http2.has_prior_knowledge = true;
/// let agent = Agent::with_options(dial, clock, options);
///
/// let request = Request::new("ws://example.org/")?;
/// let opened = open(&agent, &request, &Options::new(), Greeter);
/// network.run();
/// assert!(opened.now_or_never().unwrap()?.is_open());
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
#[track_caller]
pub fn open<P: WebSocketProtocol>(
    agent: &Agent,
    request: &Request,
    options: &Options,
    protocol: P,
) -> Deferred<WebSocket<P>> {
    let mut asking = Asking::new(request, options);
    if let Err(why) = asking.make_key() {
        return Deferred::fail(why);
    }
    let mut asked = agent
        .get(&request.url())
        .within(options.patience.opening)
        .header(SEC_WEBSOCKET_VERSION, VERSION)
        .header(SEC_WEBSOCKET_KEY, &*asking.key);
    if let Some(offered) = offered_protocols(options) {
        asked = asked.header(SEC_WEBSOCKET_PROTOCOL, offered);
    }
    if let Some(compression) = &options.compression {
        asked = asked.header(SEC_WEBSOCKET_EXTENSIONS, extension::offer(compression));
    }
    for (name, value) in &request.headers {
        asked = asked.header(name, value);
    }
    let (promise, opened) = deferred();
    let answered = asked.upgrade("websocket", move |answer| -> Result<_, NotOpened> {
        let agreed = asking.agree(answer.version(), answer.headers())?;
        let session = Session::new(Role::Client, protocol, &asking.options, agreed);
        Ok(session.telling(promise))
    });
    answered.add_both(move |answered| {
        let why = match answered {
            Ok(Upgrade::Made(_)) => return opened,
            Ok(Upgrade::Refused(answer)) => NotOpened::Status(answer.status()).into(),
            Err(failure) => named(failure),
        };
        // Nothing comes of it, which is no news then.
        opened.on_result(drop);
        Deferred::fail(why)
    })
}

/// What an agent says, as who opens a WebSocket knows it.
fn named(failure: Failure) -> Failure {
    let why = match failure.check::<AgentError>() {
        Some(AgentError::TimedOut(_) | AgentError::Silent(_)) => NotOpened::TimedOut,
        Some(AgentError::Lost(why)) => NotOpened::Lost(*why),
        Some(AgentError::Upgraded) => NotOpened::NoUpgrade,
        Some(AgentError::BadAnswer(bad)) if is_too_long(bad) => NotOpened::TooLong,
        Some(AgentError::BadAnswer(_)) => NotOpened::NotHttp,
        Some(error) => NotOpened::Agent(error.clone()),
        None => match failure.check::<Disconnect>() {
            Some(why) => NotOpened::Lost(*why),
            None => return failure,
        },
    };
    why.into()
}

/// Whether an answer's head has more than the agent takes.
fn is_too_long(bad: &BadAnswer) -> bool {
    matches!(
        bad,
        BadAnswer::StatusLineTooLong { .. }
            | BadAnswer::Message(
                AnswerRule::HeadersTooLong { .. } | AnswerRule::TooManyHeaders { .. }
            )
    )
}

/// The protocol of a client until its WebSocket is open, for those who carry connections themselves.
pub struct Opening<P: WebSocketProtocol> {
    asking: Asking,
    next: Option<(P, Promise<WebSocket<P>>)>,
}

/// What was asked for, and as much of the answer as has come.
pub(crate) struct Asking {
    request: Request,
    options: Options,
    key: String,
    head: Vec<u8>,
}

impl Asking {
    pub(crate) fn new(request: &Request, options: &Options) -> Self {
        let (request, options) = (request.clone(), options.clone());
        Self { request, options, key: String::new(), head: Vec::new() }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    fn make_key(&mut self) -> Result<(), NotOpened> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| NotOpened::NoRandom(NoRandom::new()))?;
        self.key = STANDARD.encode(nonce);
        Ok(())
    }

    /// The request, with a key of its own.
    pub(crate) fn begin(&mut self) -> Result<Vec<u8>, NotOpened> {
        self.make_key()?;
        Ok(self.request.encode(&self.key, &self.options))
    }

    /// What the server has agreed to, once its answer is whole, and how much of `data` belonged to that.
    pub(crate) fn feed(&mut self, data: &[u8]) -> Result<Option<(Agreed, usize)>, NotOpened> {
        let before = self.head.len();
        let added = data.len().min(HEAD_MAX - before);
        self.head.extend_from_slice(&data[..added]);
        Ok(self.read()?.map(|(agreed, length)| (agreed, length - before)))
    }

    /// What the server has agreed to, and how long its head is; `None` if that is not whole.
    fn read(&self) -> Result<Option<(Agreed, usize)>, NotOpened> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&self.head) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.head.len() >= HEAD_MAX => {
                return Err(NotOpened::TooLong);
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(NotOpened::TooLong),
            Err(_) => return Err(NotOpened::NotHttp),
        };
        let code = response.code.and_then(|code| StatusCode::from_u16(code).ok());
        match code.ok_or(NotOpened::NotHttp)? {
            StatusCode::SWITCHING_PROTOCOLS if response.version == Some(1) => (),
            StatusCode::SWITCHING_PROTOCOLS => return Err(NotOpened::NotHttp),
            status => return Err(NotOpened::Status(status)),
        }
        let mut headers = HeaderMap::with_capacity(response.headers.len());
        for field in response.headers.iter() {
            let name: HeaderName = field.name.parse().map_err(|_| NotOpened::NotHttp)?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| NotOpened::NotHttp)?;
            headers.append(name, value);
        }
        self.agree(Version::HTTP_11, &headers).map(|agreed| Some((agreed, length)))
    }

    /// What a server has agreed to that upgrades, or in HTTP/2 takes a stream for a WebSocket.
    fn agree(&self, version: Version, headers: &HeaderMap) -> Result<Agreed, NotOpened> {
        match version {
            Version::HTTP_11 => self.check_upgrade(headers)?,
            // RFC 8441 5: the stream says the one, and nobody proves the other.
            Version::HTTP_2 => (),
            _ => return Err(NotOpened::NotHttp),
        }
        let mut chosen = members(headers, &SEC_WEBSOCKET_PROTOCOL);
        let protocol = chosen.next();
        let is_ours = protocol
            .is_none_or(|protocol| self.options.protocols.iter().any(|ours| ours == protocol));
        if !is_ours || chosen.next().is_some() {
            return Err(NotOpened::Protocol);
        }
        let deflate = extension::agreed(headers, self.options.compression.as_ref())
            .map_err(|()| NotOpened::Extension)?;
        let has_no_other = deflate.is_some() || !headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
        if !has_no_other {
            return Err(NotOpened::Extension);
        }
        Ok(Agreed { protocol: protocol.map(str::to_owned), deflate })
    }

    fn check_upgrade(&self, headers: &HeaderMap) -> Result<(), NotOpened> {
        let upgrades = has_member(headers, &UPGRADE, "websocket")
            && has_member(headers, &CONNECTION, "upgrade");
        if !upgrades {
            return Err(NotOpened::NoUpgrade);
        }
        let mut proofs = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        let is_read = proofs.next().is_some_and(|proof| {
            proof.as_bytes().trim_ascii() == accept_key(self.key.as_bytes()).as_bytes()
        });
        if is_read && proofs.next().is_none() { Ok(()) } else { Err(NotOpened::Key) }
    }
}

impl<P: WebSocketProtocol> Opening<P> {
    /// Asks for what `request` says as soon as there is a connection; the deferred is that of
    /// [`connect`].
    #[track_caller]
    pub fn new(
        request: &Request,
        options: &Options,
        protocol: P,
    ) -> (Self, Deferred<WebSocket<P>>) {
        let (promise, opened) = deferred();
        let asking = Asking::new(request, options);
        (Self { asking, next: Some((protocol, promise)) }, opened)
    }

    fn fail(&mut self, conn: &Conn<Self>, why: NotOpened) {
        if let Some((_, promise)) = self.next.take() {
            promise.fail(why);
        }
        conn.abort();
    }
}

impl<P: WebSocketProtocol> Protocol for Opening<P> {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let given_up = self.next.as_ref().is_none_or(|(_, promise)| promise.is_cancelled());
        if given_up {
            return conn.abort();
        }
        match self.asking.begin() {
            Ok(request) => conn.write(&request),
            Err(why) => return self.fail(conn, why),
        }
        conn.call_later(self.asking.options.patience.opening, |this, conn| {
            this.fail(conn, NotOpened::TimedOut);
        });
        if let Some((_, promise)) = &self.next {
            let conn = conn.clone();
            promise.on_cancel(move || conn.abort());
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        match self.asking.feed(data) {
            Ok(None) => (),
            Ok(Some((agreed, length))) => {
                let Some((protocol, promise)) = self.next.take() else { return };
                let session = Session::new(Role::Client, protocol, &self.asking.options, agreed);
                conn.switch_protocol(session.telling(promise), &data[length..]);
            }
            Err(why) => self.fail(conn, why),
        }
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some((_, promise)) = self.next.take() {
            promise.fail(NotOpened::Lost(why));
        }
    }
}

impl<P: WebSocketProtocol> fmt::Debug for Opening<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("request", &self.asking.request).finish_non_exhaustive()
    }
}
