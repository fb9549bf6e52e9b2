//! A conversation on a connection.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise};
use ropewalk_protocol::{Address, Conn, ConnCall, Disconnect, Marks, Protocol, TlsInfo};

use crate::codec::Received;
use crate::group::Place;
use crate::handshake::Agreed;
use crate::{CloseCode, Decoder, Encoder, Message, NoRandom, Options, Patience, Prepared, Role};

/// What speaks over a WebSocket. It may count on what a [`Protocol`] may: no call while another runs,
/// [`closed`](Self::closed) once and last.
///
/// ```
/// use ropewalk_websocket::{Message, WebSocket, WebSocketProtocol};
///
/// struct Echo;
/// impl WebSocketProtocol for Echo {
///     fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
///         socket.send(message);
///     }
/// }
/// ```
pub trait WebSocketProtocol: Sized + 'static {
    /// The conversation is open: the place for a greeting.
    fn opened(&mut self, socket: &WebSocket<Self>) {
        let _ = socket;
    }

    /// A whole message came.
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>);

    /// The peer has answered a [ping](WebSocket::ping), or says unasked that it is there.
    fn pong_received(&mut self, socket: &WebSocket<Self>, payload: &[u8]) {
        let _ = (socket, payload);
    }

    /// More output waits than [`Marks::high`].
    fn writing_paused(&mut self, socket: &WebSocket<Self>) {
        let _ = socket;
    }

    /// Output has drained to [`Marks::low`].
    fn writing_resumed(&mut self, socket: &WebSocket<Self>) {
        let _ = socket;
    }

    /// The conversation is over.
    fn closed(&mut self, socket: &WebSocket<Self>, how: &Closed) {
        let _ = (socket, how);
    }
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The code that the peer gave; [`CloseCode::NONE`] if it gave none, and
    /// [`CloseCode::ABNORMAL`] if the connection ended without a close from it.
    pub code: CloseCode,
    /// The reason that it gave.
    pub reason: String,
    /// Whether both ends have said that it is over.
    pub is_clean: bool,
    /// How the connection below ended.
    pub disconnect: Disconnect,
}

/// A handle of a conversation: to send with, to clone and to keep. As with a [`Conn`], nothing happens
/// during a call, and once the conversation is over, every verb does nothing.
pub struct WebSocket<P: WebSocketProtocol> {
    conn: Conn<Session<P>>,
    link: Rc<Link>,
}

/// What handles and the session share.
struct Link {
    role: Role,
    encoder: RefCell<Encoder>,
    stage: Cell<Stage>,
    patience: Patience,
    agreed: Agreed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// This end has said that it is over.
    Closing,
    /// Both have.
    Closed,
}

impl<P: WebSocketProtocol> WebSocket<P> {
    /// Sends a message.
    pub fn send(&self, message: Message<'_>) {
        if self.link.stage.get() == Stage::Open {
            self.put(|encoder, out| encoder.message(out, message));
        }
    }

    /// Sends a text.
    pub fn send_text(&self, text: &str) {
        self.send(Message::Text(text));
    }

    /// Sends bytes.
    pub fn send_binary(&self, bytes: &[u8]) {
        self.send(Message::Binary(bytes));
    }

    /// Sends a message that goes to many: it is encoded once for all of them.
    pub fn send_prepared(&self, message: &Prepared) {
        if self.link.stage.get() != Stage::Open {
            return;
        }
        match self.link.role {
            Role::Server => self.conn.write_bytes(message.frame(self.link.agreed.deflate.as_ref())),
            // Each of a client's frames has a mask of its own.
            Role::Client => self.put(|encoder, out| encoder.message(out, message.message())),
        }
    }

    /// Asks the peer whether it is there; what it has to repeat is at most
    /// [`CONTROL_MAX`](crate::CONTROL_MAX) bytes. Silent peers are asked without this, too.
    pub fn ping(&self, payload: &[u8]) {
        if self.link.stage.get() == Stage::Open {
            self.put(|encoder, out| encoder.ping(out, payload));
        }
    }

    /// Says that the conversation is over, once everything sent before has gone out. What comes until
    /// the peer says so too is still received; it has [`Patience::close`] for that.
    pub fn close(&self, code: CloseCode, reason: &str) {
        if self.link.stage.get() != Stage::Open {
            return;
        }
        self.link.stage.set(Stage::Closing);
        self.put(|encoder, out| encoder.close(out, code, reason));
        self.conn.call_later(Duration::ZERO, |session, conn| {
            session.arm(conn, session.link.patience.close);
        });
        // A peer whose close is not read would be waited for in vain.
        self.conn.resume_reading();
    }

    /// Ends the connection now, and forgets what is unsent.
    pub fn abort(&self) {
        self.conn.abort();
    }

    /// Whether messages can be sent: neither end has said that it is over.
    pub fn is_open(&self) -> bool {
        self.link.stage.get() == Stage::Open && !self.conn.is_closing()
    }

    /// Whether the connection is over.
    pub fn is_over(&self) -> bool {
        self.conn.is_over()
    }

    /// The subprotocol that was agreed on (RFC 6455 1.9).
    pub fn protocol(&self) -> Option<&str> {
        self.link.agreed.protocol.as_deref()
    }

    /// Whether messages are compressed.
    pub fn is_compressed(&self) -> bool {
        self.link.agreed.deflate.is_some()
    }

    /// Stops reading: no messages come until [`resume_reading`](Self::resume_reading), and the peer
    /// feels it once the transport's own buffers are full. Nor are pings answered meanwhile.
    pub fn pause_reading(&self) {
        if self.link.stage.get() == Stage::Open {
            self.conn.pause_reading();
        }
    }

    /// Goes on reading.
    pub fn resume_reading(&self) {
        self.conn.resume_reading();
    }

    /// Whether more output waits than a producer should add to.
    pub fn is_writing_paused(&self) -> bool {
        self.conn.is_writing_paused()
    }

    /// How many bytes wait to be sent.
    pub fn waiting(&self) -> u64 {
        self.conn.waiting()
    }

    /// Whether the peer reads more slowly than it is written to: over [`Marks::high`] of what was sent
    /// would not leave.
    pub fn is_slow(&self) -> bool {
        self.conn.backlog() > self.conn.marks().high
    }

    /// Sets how much output may wait.
    pub fn set_marks(&self, marks: Marks) {
        self.conn.set_marks(marks);
    }

    /// This end's address.
    pub fn local(&self) -> Address {
        self.conn.local()
    }

    /// The other end's address.
    pub fn peer(&self) -> Address {
        self.conn.peer()
    }

    /// What was agreed on with the peer, if the connection is encrypted.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.conn.tls()
    }

    /// The time on the clock that this connection's calls go by.
    pub fn now(&self) -> Duration {
        self.conn.now()
    }

    /// Calls `turn` after `delay`, if the connection lives so long; no earlier than the next turn.
    pub fn call_later(
        &self,
        delay: Duration,
        turn: impl FnOnce(&mut P, &Self) + 'static,
    ) -> ConnCall {
        self.conn.call_later(delay, |session, conn| {
            let socket = session.handle(conn);
            turn(&mut session.protocol, &socket);
        })
    }

    /// Forgets a call; false if it was made or forgotten already.
    pub fn cancel_call(&self, call: ConnCall) -> bool {
        self.conn.cancel_call(call)
    }

    /// Brings a result home: calls `turn` with it, if the connection lives so long.
    pub fn then<T: 'static>(
        &self,
        deferred: Deferred<T>,
        turn: impl FnOnce(&mut P, &Self, Result<T, Failure>) + 'static,
    ) {
        self.conn.then(deferred, |session, conn, result| {
            let socket = session.handle(conn);
            turn(&mut session.protocol, &socket, result);
        });
    }

    fn put(&self, fill: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<(), NoRandom>) {
        let mut done = Ok(());
        let mut encoder = self.link.encoder.borrow_mut();
        self.conn.write_with(|out| done = fill(&mut encoder, out));
        if let Err(error) = done {
            tracing::error!(target: "ropewalk::websocket", peer = %self.peer(), "{error}");
            self.conn.abort();
        }
    }
}

impl<P: WebSocketProtocol> Clone for WebSocket<P> {
    fn clone(&self) -> Self {
        Self { conn: self.conn.clone(), link: Rc::clone(&self.link) }
    }
}

impl<P: WebSocketProtocol> fmt::Debug for WebSocket<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("stage", &self.link.stage.get())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// A conversation on its connection: the [`Protocol`] that a transport sees, once the handshake is
/// through. [`accept`](crate::accept) and [`connect`](crate::connect) make it.
pub struct Session<P: WebSocketProtocol> {
    protocol: P,
    decoder: Decoder,
    link: Rc<Link>,
    timer: Option<ConnCall>,
    /// When the peer was last heard.
    heard: Duration,
    /// It has been asked whether it is there, and was not heard since.
    is_asked: bool,
    rare: Rare<P>,
}

/// What some conversations have.
struct Rare<P: WebSocketProtocol> {
    place: Option<Place<P>>,
    /// Who waits for the opening.
    told: Option<Box<Promise<WebSocket<P>>>>,
    /// What the peer said at the end.
    farewell: Option<Box<(CloseCode, String)>>,
}

impl<P: WebSocketProtocol> Session<P> {
    pub(crate) fn new(role: Role, protocol: P, options: &Options, agreed: Agreed) -> Self {
        let link = Link {
            role,
            encoder: RefCell::new(options.encoder(role, agreed.deflate)),
            stage: Cell::new(Stage::Open),
            patience: options.patience,
            agreed,
        };
        Self {
            protocol,
            decoder: options.decoder(role, link.agreed.deflate),
            link: Rc::new(link),
            timer: None,
            heard: Duration::ZERO,
            is_asked: false,
            rare: Rare { place: None, told: None, farewell: None },
        }
    }

    /// Has this conversation in a group as long as it is open.
    pub(crate) fn in_place(mut self, place: Place<P>) -> Self {
        self.rare.place = Some(place);
        self
    }

    /// Tells when it is open.
    pub(crate) fn telling(mut self, promise: Promise<WebSocket<P>>) -> Self {
        self.rare.told = Some(Box::new(promise));
        self
    }

    fn handle(&self, conn: &Conn<Self>) -> WebSocket<P> {
        WebSocket { conn: conn.clone(), link: Rc::clone(&self.link) }
    }

    fn arm(&mut self, conn: &Conn<Self>, delay: Duration) {
        match self.timer {
            Some(timer) if conn.reset_call(timer, delay) => (),
            _ => self.timer = Some(conn.call_later(delay, Self::timer_due)),
        }
    }

    fn timer_due(&mut self, conn: &Conn<Self>) {
        self.timer = None;
        let patience = self.link.patience;
        match self.link.stage.get() {
            Stage::Open => {
                let now = conn.now();
                let unfinished = self.decoder.unfinished(now).filter(|_| !conn.is_reading_paused());
                let left = unfinished.map(|frame| patience.left_for(frame, now));
                if left.is_some_and(|left| left.is_zero()) {
                    self.handle(conn).close(CloseCode::POLICY, "a frame came too slowly");
                    return;
                }
                if patience.ping.is_zero() {
                    if let Some(left) = left {
                        self.arm(conn, left);
                    }
                    return;
                }
                let silent = now.saturating_sub(self.heard);
                // Whoever is not read cannot be heard.
                let is_heard = silent < patience.ping || conn.is_reading_paused();
                match (is_heard, self.is_asked) {
                    (true, _) => {
                        let wait = patience.ping.saturating_sub(silent);
                        let wait = if wait.is_zero() { patience.ping } else { wait };
                        self.arm(conn, left.map_or(wait, |left| left.min(wait)));
                    }
                    (false, true) => conn.abort_with(Disconnect::TimedOut),
                    (false, false) => {
                        self.is_asked = true;
                        self.handle(conn).ping(&[]);
                        self.arm(conn, patience.pong);
                    }
                }
            }
            Stage::Closing => conn.abort_with(Disconnect::TimedOut),
            Stage::Closed => conn.close(),
        }
    }

    /// Sees to it that a frame that has begun is looked at in time.
    fn mind_frame(&mut self, conn: &Conn<Self>) {
        let (now, patience) = (conn.now(), self.link.patience);
        let Some(frame) = self.decoder.unfinished(now) else { return };
        let left = patience.left_for(frame, now);
        if frame.0 == now
            && self.link.stage.get() == Stage::Open
            && (patience.ping.is_zero() || left < patience.ping)
        {
            self.arm(conn, left);
        }
    }

    /// The peer has said that it is over.
    fn farewell(&mut self, conn: &Conn<Self>, code: CloseCode, reason: String) {
        if self.link.stage.get() == Stage::Open {
            self.handle(conn).put(|encoder, out| encoder.close(out, code, ""));
        }
        self.rare.farewell = Some(Box::new((code, reason)));
        self.link.stage.set(Stage::Closed);
        match self.link.role {
            Role::Server => conn.close(),
            // RFC 6455 7.1.1: the server hangs up, so that no port of it is kept waiting.
            Role::Client => self.arm(conn, self.link.patience.close),
        }
    }
}

impl<P: WebSocketProtocol> Protocol for Session<P> {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.heard = conn.now();
        if !self.link.patience.ping.is_zero() {
            self.arm(conn, self.link.patience.ping);
        }
        let socket = self.handle(conn);
        if let Some(place) = &mut self.rare.place {
            place.enter(&socket);
        }
        if let Some(told) = self.rare.told.take() {
            told.succeed(socket.clone());
        }
        self.protocol.opened(&socket);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.heard = conn.now();
        self.is_asked = false;
        let socket = self.handle(conn);
        let mut data = data;
        let farewell = loop {
            if !conn.is_reading() {
                conn.hand_back(data);
                // Lets go of the last message's buffer.
                data = &[];
            }
            match self.decoder.next(&mut data) {
                Ok(None) => return self.mind_frame(conn),
                Ok(Some(Received::Message(message))) => {
                    self.protocol.message_received(&socket, message);
                }
                // A peer that asks more than it reads is answered when it does.
                Ok(Some(Received::Ping(_))) if socket.is_slow() => (),
                Ok(Some(Received::Ping(payload))) if self.link.stage.get() == Stage::Open => {
                    socket.put(|encoder, out| encoder.pong(out, payload));
                }
                Ok(Some(Received::Ping(_))) => (),
                Ok(Some(Received::Pong(payload))) => self.protocol.pong_received(&socket, payload),
                Ok(Some(Received::Close(code, reason))) => break Ok((code, reason.to_owned())),
                Err(bad) => break Err(bad),
            }
        };
        match farewell {
            Ok((code, reason)) => self.farewell(conn, code, reason),
            Err(bad) => {
                tracing::debug!(
                    target: "ropewalk::websocket", peer = %conn.peer(), "refused: {bad}",
                );
                if self.link.stage.replace(Stage::Closed) == Stage::Open {
                    let (code, reason) = (bad.close_code(), bad.to_string());
                    socket.put(|encoder, out| encoder.close(out, code, &reason));
                }
                conn.close();
            }
        }
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        let socket = self.handle(conn);
        self.protocol.writing_paused(&socket);
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        let socket = self.handle(conn);
        self.protocol.writing_resumed(&socket);
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let stage = self.link.stage.replace(Stage::Closed);
        if let Some(place) = &mut self.rare.place {
            place.leave();
        }
        let farewell = self.rare.farewell.take();
        let is_clean = farewell.is_some() && stage == Stage::Closed && why == Disconnect::Closed;
        let (code, reason) =
            farewell.map_or((CloseCode::ABNORMAL, String::new()), |farewell| *farewell);
        let how = Closed { code, reason, is_clean, disconnect: why };
        let socket = self.handle(conn);
        self.protocol.closed(&socket, &how);
    }
}

impl<P: WebSocketProtocol> fmt::Debug for Session<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("role", &self.link.role)
            .field("stage", &self.link.stage.get())
            .finish_non_exhaustive()
    }
}
