//! A stream of bytes over WebSocket messages: any protocol where only WebSockets go.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use http::StatusCode;
use ropewalk_deferred::Deferred;
use ropewalk_http::{Body, IntoReply, Reply, Request as HttpRequest, Resource, Site};
use ropewalk_protocol::{
    Above, Below, ClientEndpoint, ConnCall, Disconnect, Layer, Layered, Outbox, Port, Seat,
    SeatFactory, ServerEndpoint,
};

use crate::codec::Received;
use crate::handshake::client::Asking;
use crate::handshake::{Agreed, answer};
use crate::{
    BadFrame, CloseCode, Decoder, Encoder, Message, NoRandom, NotOpened, Options, Patience,
    Request, Role,
};

/// How long the messages are that a stream is cut into at most, in bytes.
const PIECE: usize = 64 * 1024;
/// How much is put into messages ahead of what the transport takes, in bytes.
const AHEAD_MAX: u64 = 128 * 1024;

/// What carries any protocol's bytes in binary messages: a [`Layer`], which a [`StreamClient`] and a
/// [`StreamServer`] put under the protocols of connections.
///
/// However the peer has cut the bytes into messages, binary ones or texts, the protocol sees a stream.
/// Ending it (`close_write`) says so with a close; the peer's close is its end of the stream, and is
/// answered once this end's own is written. A connection that ends without one is lost.
#[expect(clippy::struct_excessive_bools, reason = "each tells whether a word was said or heard")]
pub struct Stream {
    role: Role,
    opening: Option<Box<Asking>>,
    spoken: Option<Spoken>,
    patience: Patience,
    out: Option<Box<Outbox>>,
    timer: Option<ConnCall>,
    heard: Duration,
    is_asked: bool,
    /// This end has said that it is over, and the peer has.
    said: bool,
    told: bool,
    /// The protocol above is done: what comes is nobody's.
    is_closed: bool,
    has_ended_below: bool,
    failed: Option<Disconnect>,
}

struct Spoken {
    encoder: Encoder,
    decoder: Decoder,
}

/// Why a stream broke off; [`Conn::cause`](ropewalk_protocol::Conn::cause) gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// No WebSocket was opened.
    NotOpened(NotOpened),
    /// The peer broke a rule or went beyond a limit.
    BadFrame(BadFrame),
    /// The peer closed for another reason than that it was done.
    Closed {
        /// Its code.
        code: CloseCode,
        /// Its reason.
        reason: String,
    },
    /// The connection ended without a close.
    Truncated,
    /// The peer was silent for too long.
    TimedOut,
    /// A file that was to be sent cannot be read.
    File(io::ErrorKind),
    /// There is nothing to mask with.
    NoRandom(NoRandom),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpened(_) => "no WebSocket was opened",
            Self::BadFrame(_) => "the peer's WebSocket broke a rule",
            Self::Closed { code, reason } => {
                return write!(f, "the peer closed its WebSocket with {}: {reason}", code.number());
            }
            Self::Truncated => "the connection ended without a close of the WebSocket",
            Self::TimedOut => "the peer was silent for too long",
            Self::File(_) => "a file cannot be read",
            Self::NoRandom(_) => "there is nothing to mask with",
        })
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotOpened(why) => Some(why),
            Self::BadFrame(bad) => Some(bad),
            Self::NoRandom(error) => Some(error),
            _ => None,
        }
    }
}

impl StreamError {
    /// What the protocol is told.
    fn disconnect(&self) -> Disconnect {
        match self {
            Self::NotOpened(NotOpened::TimedOut) | Self::TimedOut => Disconnect::TimedOut,
            Self::NotOpened(NotOpened::Lost(why)) => *why,
            Self::NotOpened(NotOpened::Status(_)) => Disconnect::Refused,
            Self::Closed { .. } => Disconnect::Reset,
            Self::Truncated => Disconnect::Failed(io::ErrorKind::UnexpectedEof),
            Self::File(kind) => Disconnect::Failed(*kind),
            Self::NotOpened(_) | Self::BadFrame(_) | Self::NoRandom(_) => {
                Disconnect::Failed(io::ErrorKind::InvalidData)
            }
        }
    }
}

impl Stream {
    /// Opens a WebSocket as `request` says, before anything else.
    pub fn client(request: &Request, options: &Options) -> Self {
        let asking = Box::new(Asking::new(request, options));
        Self::new(Role::Client, Some(asking), None, options)
    }

    fn server(options: &Options, agreed: &Agreed) -> Self {
        Self::new(Role::Server, None, Some(Spoken::new(Role::Server, options, agreed)), options)
    }

    fn new(
        role: Role,
        opening: Option<Box<Asking>>,
        spoken: Option<Spoken>,
        options: &Options,
    ) -> Self {
        Self {
            role,
            opening,
            spoken,
            patience: options.patience,
            out: None,
            timer: None,
            heard: Duration::ZERO,
            is_asked: false,
            said: false,
            told: false,
            is_closed: false,
            has_ended_below: false,
            failed: None,
        }
    }

    fn start(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        self.heard = below.now();
        match self.patience.ping {
            Duration::ZERO => self.timer.take().map_or((), |timer| {
                below.cancel_call(timer);
            }),
            ping => self.arm(below, ping),
        }
        above.made();
    }

    fn arm(&mut self, below: &Below<Self>, delay: Duration) {
        match self.timer {
            Some(timer) if below.reset_call(timer, delay) => (),
            _ => {
                let due =
                    |this: &mut Layered<Self>, below: &Below<Self>| this.with(below, Self::due);
                self.timer = Some(below.call_later(delay, due));
            }
        }
    }

    fn due(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        self.timer = None;
        if self.opening.is_some() {
            return self.fail(below, above, StreamError::NotOpened(NotOpened::TimedOut));
        }
        match (self.is_closed, self.told) {
            (false, _) => (),
            (true, true) => return below.close(),
            (true, false) => return self.fail(below, above, StreamError::TimedOut),
        }
        let left = self.left_for_frame(below);
        if left.is_some_and(|left| left.is_zero()) {
            if !std::mem::replace(&mut self.said, true) {
                let slow = "a frame came too slowly";
                // It is broken off anyway.
                let _ = self.put(below, |encoder, out| encoder.close(out, CloseCode::POLICY, slow));
            }
            return self.fail(below, above, StreamError::TimedOut);
        }
        if self.patience.ping.is_zero() {
            if let Some(left) = left {
                self.arm(below, left);
            }
            return;
        }
        let silent = below.now().saturating_sub(self.heard);
        // Whoever is not read cannot be heard, nor does one speak who has said that all is said.
        let is_heard = silent < self.patience.ping || below.is_reading_paused() || self.told;
        match (is_heard, self.is_asked) {
            (true, _) => {
                let wait = self.patience.ping.saturating_sub(silent);
                let wait = if wait.is_zero() { self.patience.ping } else { wait };
                self.arm(below, left.map_or(wait, |left| left.min(wait)));
            }
            (false, true) => self.fail(below, above, StreamError::TimedOut),
            (false, false) if self.said => self.arm(below, self.patience.ping),
            (false, false) => {
                self.is_asked = true;
                let done = self.put(below, |encoder, out| encoder.ping(out, &[]));
                self.arm(below, self.patience.pong);
                if let Err(error) = done {
                    self.fail(below, above, error);
                }
            }
        }
    }

    /// How long it is until the frame that has begun has to be whole, where it can come at all.
    fn left_for_frame(&mut self, below: &Below<Self>) -> Option<Duration> {
        let now = below.now();
        let frame = self.spoken.as_mut()?.decoder.unfinished(now)?;
        (!below.is_reading_paused()).then(|| self.patience.left_for(frame, now))
    }

    /// Sees to it that a frame that has begun is looked at in time.
    fn mind_frame(&mut self, below: &Below<Self>) {
        let Some(left) = self.left_for_frame(below).filter(|_| !self.is_closed) else { return };
        if self.patience.ping.is_zero() || left < self.patience.ping {
            self.arm(below, left);
        }
    }

    fn put(
        &mut self,
        below: &Below<Self>,
        fill: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<(), NoRandom>,
    ) -> Result<(), StreamError> {
        let Some(Spoken { encoder, .. }) = &mut self.spoken else { return Ok(()) };
        let mut done = Ok(());
        below.write_with(|out| done = fill(encoder, out));
        done.map_err(StreamError::NoRandom)
    }

    /// Breaks off; what was put down goes out where the peer can make something of it.
    fn fail(&mut self, below: &Below<Self>, above: &mut Above<Self>, error: StreamError) {
        let why = error.disconnect();
        let tells_peer = matches!(error, StreamError::BadFrame(_) | StreamError::Closed { .. });
        tracing::debug!(target: "ropewalk::websocket", peer = %below.peer(), "broken off: {error}");
        above.set_cause(error);
        self.failed = Some(why);
        self.out = None;
        if tells_peer { below.close() } else { below.abort_with(why) }
    }

    /// As [`fail`](Self::fail), where the protocol above cannot be reached.
    fn give_up(&mut self, below: &Below<Self>, error: &StreamError) {
        tracing::debug!(target: "ropewalk::websocket", peer = %below.peer(), "broken off: {error}");
        let why = error.disconnect();
        self.failed = Some(why);
        self.out = None;
        below.abort_with(why);
    }

    /// Puts what waits into messages, as far as there is room.
    fn send(&mut self, below: &Below<Self>) {
        let Self { spoken: Some(Spoken { encoder, .. }), out: waiting, .. } = self else { return };
        let mut read = Vec::new();
        let mut fault = None;
        while let Some(out) = waiting.as_mut().filter(|out| !out.is_empty()) {
            if below.waiting() >= AHEAD_MAX {
                return;
            }
            let piece = match out.front_file() {
                None => &out.front()[..out.front().len().min(PIECE)],
                Some(slice) => match slice.read_into(PIECE, &mut read) {
                    Ok(()) => &read[..],
                    Err(error) => {
                        fault = Some(StreamError::File(error.kind()));
                        break;
                    }
                },
            };
            let mut done = Ok(());
            below.write_with(|out| done = encoder.message(out, Message::Binary(piece)));
            if let Err(error) = done {
                fault = Some(StreamError::NoRandom(error));
                break;
            }
            let length = piece.len() as u64;
            out.advance(length);
        }
        *waiting = None;
        if let Some(error) = fault {
            self.give_up(below, &error);
        }
    }

    /// Says that all is said, once.
    fn say_close(&mut self, below: &Below<Self>) {
        if !std::mem::replace(&mut self.said, true)
            && let Err(error) =
                self.put(below, |encoder, out| encoder.close(out, CloseCode::NORMAL, ""))
        {
            return self.give_up(below, &error);
        }
        if self.told {
            self.hang_up(below);
        }
    }

    /// Both have said so. RFC 6455 7.1.1: the server ends the connection, the client waits for that.
    fn hang_up(&mut self, below: &Below<Self>) {
        self.is_closed = true;
        if self.role == Role::Server || self.has_ended_below {
            below.close();
        } else {
            self.arm(below, self.patience.close);
        }
    }

    fn take(&mut self, below: &Below<Self>, above: &mut Above<Self>, mut data: &[u8]) {
        loop {
            let Some(Spoken { encoder, decoder }) = &mut self.spoken else { return };
            match decoder.next(&mut data) {
                Ok(None) => return self.mind_frame(below),
                Ok(Some(Received::Message(message))) => {
                    if !self.is_closed && !message.as_bytes().is_empty() {
                        above.data_received(message.as_bytes());
                    }
                }
                // A peer that asks more than it reads is answered when it does.
                Ok(Some(Received::Ping(payload))) if !self.said && below.waiting() < AHEAD_MAX => {
                    let mut done = Ok(());
                    below.write_with(|out| done = encoder.pong(out, payload));
                    if let Err(error) = done {
                        return self.fail(below, above, StreamError::NoRandom(error));
                    }
                }
                Ok(Some(Received::Ping(_) | Received::Pong(_))) => (),
                Ok(Some(Received::Close(code, reason))) => {
                    let reason = reason.to_owned();
                    return self.hear_close(below, above, code, reason);
                }
                Err(bad) => {
                    let (code, reason) = (bad.close_code(), bad.to_string());
                    if !std::mem::replace(&mut self.said, true) {
                        // It is broken off anyway.
                        let _ = self.put(below, |encoder, out| encoder.close(out, code, &reason));
                    }
                    return self.fail(below, above, StreamError::BadFrame(bad));
                }
            }
        }
    }

    fn hear_close(
        &mut self,
        below: &Below<Self>,
        above: &mut Above<Self>,
        code: CloseCode,
        reason: String,
    ) {
        self.told = true;
        if ![CloseCode::NORMAL, CloseCode::GOING_AWAY, CloseCode::NONE].contains(&code) {
            if !std::mem::replace(&mut self.said, true) {
                // It is broken off anyway.
                let _ = self.put(below, |encoder, out| encoder.close(out, code, ""));
            }
            return self.fail(below, above, StreamError::Closed { code, reason });
        }
        if !self.is_closed {
            above.eof_received();
        }
        if self.said {
            self.hang_up(below);
        }
    }
}

impl Spoken {
    fn new(role: Role, options: &Options, agreed: &Agreed) -> Self {
        Self {
            encoder: options.encoder(role, agreed.deflate),
            decoder: options.decoder(role, agreed.deflate),
        }
    }
}

impl Layer for Stream {
    fn connection_made(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let Some(asking) = &mut self.opening else { return self.start(below, above) };
        match asking.begin() {
            Ok(request) => {
                below.write(&request);
                self.arm(below, self.patience.opening);
            }
            Err(why) => self.fail(below, above, StreamError::NotOpened(why)),
        }
    }

    fn data_received(&mut self, below: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
        let mut data = data;
        if let Some(asking) = &mut self.opening {
            match asking.feed(data) {
                Ok(None) => return,
                Ok(Some((agreed, length))) => {
                    self.spoken = Some(Spoken::new(self.role, asking.options(), &agreed));
                    self.opening = None;
                    data = &data[length..];
                    self.start(below, above);
                }
                Err(why) => return self.fail(below, above, StreamError::NotOpened(why)),
            }
        }
        self.heard = below.now();
        self.is_asked = false;
        self.take(below, above, data);
    }

    fn eof_received(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        self.has_ended_below = true;
        if self.opening.is_some() {
            let why = NotOpened::Lost(Disconnect::Closed);
            self.fail(below, above, StreamError::NotOpened(why));
        } else if !self.told {
            self.fail(below, above, StreamError::Truncated);
        } else if self.said {
            below.close();
        }
    }

    fn output_written(&mut self, below: &Below<Self>, mut out: Box<Outbox>) {
        if self.said || self.failed.is_some() {
            return;
        }
        match &mut self.out {
            Some(waiting) => waiting.append(&mut out),
            None => self.out = Some(out),
        }
        self.send(below);
    }

    fn held(&self) -> u64 {
        self.out.as_ref().map_or(0, |out| out.len())
    }

    fn must_read(&self) -> bool {
        self.opening.is_some() || self.is_closed
    }

    fn output_sent(&mut self, below: &Below<Self>, _: &mut Above<Self>) {
        self.send(below);
    }

    fn close_write(&mut self, below: &Below<Self>) {
        self.say_close(below);
    }

    fn close(&mut self, below: &Below<Self>) {
        if self.opening.is_some() || self.failed.is_some() {
            return below.close();
        }
        self.is_closed = true;
        self.say_close(below);
        if !self.told {
            self.arm(below, self.patience.close);
            // A peer whose close is not read would be waited for in vain.
            below.resume_reading();
        }
    }

    fn connection_lost(&mut self, _: &Below<Self>, why: Disconnect) -> Disconnect {
        let is_clean = self.said && self.told;
        self.failed.unwrap_or(if is_clean { Disconnect::Closed } else { why })
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("role", &self.role).finish_non_exhaustive()
    }
}

/// A place to connect to, by a WebSocket through another: protocols see the stream in it.
///
/// ```
/// use ropewalk_protocol::{Address, Conn, Protocol, connect, listen};
/// use ropewalk_trial::{Clock, MemoryNetwork, Note, Witness};
/// use ropewalk_websocket::{Options, Request, StreamClient, StreamServer};
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
///
/// let network = MemoryNetwork::new(&Clock::new());
/// let server = StreamServer::new(network.endpoint("web"), &Options::new()).at("/echo");
/// listen(&server, |_: &Address| Some(Echo)).detach();
///
/// let request = Request::new("ws://localhost/echo")?;
/// let client = StreamClient::new(network.endpoint("web"), &request, &Options::new());
/// let (witness, notes) = Witness::new(|conn, note| {
///     if *note == Note::Made {
///         conn.write(b"over a WebSocket");
///     }
/// });
/// connect(&client, witness).detach();
/// network.run();
/// assert_eq!(notes.data(), b"over a WebSocket");
/// # Ok::<(), ropewalk_websocket::BadRequest>(())
/// ```
#[derive(Debug)]
pub struct StreamClient<E> {
    endpoint: E,
    request: Request,
    options: Options,
}

impl<E: ClientEndpoint> StreamClient<E> {
    /// Opens what `request` asks for at `endpoint`, which has to lead to the request's host.
    pub fn new(endpoint: E, request: &Request, options: &Options) -> Self {
        Self { endpoint, request: request.clone(), options: options.clone() }
    }
}

impl<E: ClientEndpoint> ClientEndpoint for StreamClient<E> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let stream = Stream::client(&self.request, &self.options);
        self.endpoint.connect_seat(Layered::seat(stream, seat));
    }
}

/// A place to listen for WebSockets on another: protocols see the stream in each.
#[derive(Debug)]
pub struct StreamServer<E> {
    endpoint: E,
    options: Options,
    path: Option<String>,
}

impl<E: ServerEndpoint> StreamServer<E> {
    /// Opens WebSockets on connections to `endpoint`, whatever path they ask for.
    pub fn new(endpoint: E, options: &Options) -> Self {
        Self { endpoint, options: options.clone(), path: None }
    }

    /// Opens those alone that ask for this path; others are not found.
    pub fn at(self, path: &str) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }
}

impl<E: ServerEndpoint> ServerEndpoint for StreamServer<E> {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let options = self.options.clone();
        let resource = StreamResource { options, path: self.path.clone(), factory };
        self.endpoint.listen_seats(Box::new(Site::new(resource)))
    }
}

/// A place of a [`Site`] where WebSockets are opened whose streams are served by protocols of a factory.
pub struct StreamResource {
    options: Options,
    path: Option<String>,
    factory: Box<dyn SeatFactory>,
}

impl StreamResource {
    /// Serves each stream with what `factory` makes for its peer.
    pub fn new(factory: impl SeatFactory, options: &Options) -> Self {
        Self { options: options.clone(), path: None, factory: Box::new(factory) }
    }
}

impl Resource for StreamResource {
    fn render(&mut self, request: HttpRequest) -> Reply {
        if self.path.as_ref().is_some_and(|path| request.uri().path() != path) {
            return (StatusCode::NOT_FOUND, "there is no WebSocket here\n").into_reply();
        }
        match answer(&request, &self.options) {
            Ok((response, agreed)) => match self.factory.seat(&request.body().peer()) {
                Some(seat) => {
                    let stream = Stream::server(&self.options, &agreed);
                    Reply::Now(response.map(|()| Body::switch_to(Layered::new(stream, seat))))
                }
                None => (StatusCode::SERVICE_UNAVAILABLE, "not now\n").into_reply(),
            },
            Err(refusal) => refusal.into_reply(),
        }
    }
}

impl fmt::Debug for StreamResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamResource").field("options", &self.options).finish_non_exhaustive()
    }
}
