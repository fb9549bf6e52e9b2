//! The layer: a protocol to what is below, a transport to what is above.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use ropewalk_deferred::Promise;
use ropewalk_protocol::{Above, Below, ConnCall, Disconnect, Layer, Outbox, TlsAlert, TlsInfo};

use crate::hello::{self, Hello};
use crate::outgoing::{AHEAD_MAX, Outgoing};
use crate::sealed::Spares;
use crate::server::Answerer;
use crate::session::{Agreed, Hearer, Session};
use crate::{Limits, Reason, TlsError};

/// How much memory the buffer that records are decrypted in may keep for the next connection.
const SCRATCH_KEPT_MAX: usize = 256 * 1024;

/// TLS between a transport and a protocol, in either role.
///
/// A [`TlsServer`](crate::TlsServer) or a [`TlsClient`](crate::TlsClient) makes one for a connection.
/// It goes under a seat with [`Layered::seat`](ropewalk_protocol::Layered::seat), and under a
/// protocol that is at work already with [`start_tls`](crate::start_tls). What is below can be
/// anything that carries bytes, and TLS too.
///
/// The protocol's connection is made when the handshake is done. Where it never is, the protocol is
/// told [`Disconnect::Tls`], and [`Conn::cause`](ropewalk_protocol::Conn::cause) gives a
/// [`TlsError`].
pub struct Tls {
    state: State,
    common: Rc<Common>,
    /// What came and does not make a whole record yet.
    rest: Vec<u8>,
    out: Outgoing,
    /// What only the handshake needs.
    opening: Option<Box<Opening>>,
    /// Why the connection ends, once it is known to.
    ending: Option<Disconnect>,
    /// The peer has said that it will send no more.
    is_read_closed: bool,
    is_write_closed: bool,
}

/// What all connections of one [`TlsServer`](crate::TlsServer) or client share.
pub(crate) struct Common {
    limits: Limits,
    /// Where records are decrypted. Taken by whoever is at it, so that TLS in TLS finds none and
    /// uses its own.
    scratch: Cell<Vec<u8>>,
    /// Where small pieces are put together into one record, and files are read.
    gathered: Cell<Vec<u8>>,
    /// Where long pieces are encrypted.
    spares: Spares,
    /// What the last connection agreed on: the next one mostly agrees on the same.
    info: RefCell<Rc<TlsInfo>>,
}

enum State {
    /// A server that does not know yet which of its names it is.
    Waiting(Answerer),
    Talking(Box<dyn Session>),
    Over,
}

/// What is needed until the handshake is done.
struct Opening {
    starts: Option<Starts>,
    timer: Option<ConnCall>,
    /// How many bytes the peer has sent so far.
    received: usize,
    told: Option<Promise<TlsInfo>>,
}

/// What happens as soon as there is a connection.
enum Starts {
    Client(Box<dyn Session>),
    /// The session could not be had.
    Failed(Reason),
}

impl Common {
    pub(crate) fn new(limits: Limits) -> Rc<Self> {
        let (scratch, gathered) = (Cell::default(), Cell::default());
        let (spares, info) = (Spares::default(), RefCell::default());
        Rc::new(Self { limits, scratch, gathered, spares, info })
    }

    /// The same information, in memory that others may share.
    fn shared(&self, agreed: &Agreed<'_>) -> Rc<TlsInfo> {
        let mut last = self.info.borrow_mut();
        if !agreed.is(&last) {
            *last = Rc::new(agreed.info());
        }
        Rc::clone(&last)
    }
}

impl Tls {
    pub(crate) fn server(common: &Rc<Common>, answerer: Answerer) -> Self {
        Self::new(common, State::Waiting(answerer), None)
    }

    pub(crate) fn client(common: &Rc<Common>, session: Result<Box<dyn Session>, Reason>) -> Self {
        let starts = session.map_or_else(Starts::Failed, Starts::Client);
        Self::new(common, State::Over, Some(starts))
    }

    fn new(common: &Rc<Common>, state: State, starts: Option<Starts>) -> Self {
        let opening = Opening { starts, timer: None, received: 0, told: None };
        Self {
            state,
            common: Rc::clone(common),
            rest: Vec::new(),
            out: Outgoing::default(),
            opening: Some(Box::new(opening)),
            ending: None,
            is_read_closed: false,
            is_write_closed: false,
        }
    }

    /// Has `told` hear of the handshake's end.
    pub(crate) fn tell(&mut self, told: Promise<TlsInfo>) {
        if let Some(opening) = &mut self.opening {
            opening.told = Some(told);
        }
    }

    /// Whether this side says the first word of the handshake, as clients do.
    pub(crate) fn begins(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.starts.is_some())
    }

    /// Has the connection fail because of what came in the clear.
    pub(crate) fn refuse_early(&mut self, count: usize) {
        if let Some(opening) = &mut self.opening {
            opening.starts = Some(Starts::Failed(Reason::EarlyBytes(count)));
        }
    }

    /// Looks at bytes, all of them since the last that were used up; answers how many are now.
    fn take(&mut self, below: &Below<Self>, above: &mut Above<Self>, bytes: &mut [u8]) -> usize {
        if let State::Waiting(answerer) = &self.state {
            let session = match hello::look(bytes) {
                Hello::Incomplete => return 0,
                Hello::Named(name) => answerer.session(name),
                Hello::Strange => answerer.session(None),
            };
            match session {
                Ok(session) => self.state = State::Talking(session),
                Err(reason) => {
                    self.fail(below, above, reason);
                    return bytes.len();
                }
            }
        }
        let State::Talking(session) = &mut self.state else { return bytes.len() };
        let mut out = Vec::new();
        let mut opening = self.opening.take();
        let mut ears = Ears { above, below, common: &self.common, opening: &mut opening };
        let received = session.receive(bytes, &mut ears, &mut out);
        self.opening = opening;
        if !out.is_empty() {
            below.write(&out);
        }
        if let Some(reason) = received.failure {
            self.fail(below, above, reason);
        } else if received.is_closed && !self.is_read_closed {
            self.is_read_closed = true;
            below.expect_no_more();
            if above.is_made() {
                above.eof_received();
            } else {
                self.fail(below, above, Reason::Truncated);
            }
        }
        received.consumed
    }

    /// Encrypts what was written, as far as what is below has room for it.
    fn send(&mut self, below: &Below<Self>) {
        let State::Talking(session) = &mut self.state else { return };
        if self.opening.is_some() {
            return;
        }
        let Common { gathered, spares, .. } = &*self.common;
        match self.out.send(&mut **session, &mut self.rest, below, gathered, spares) {
            Ok(()) if self.out.len() > 0 => below.tell_when_sent(),
            Ok(()) => (),
            Err(why) => {
                self.out.clear();
                below.abort_with(why);
            }
        }
    }

    /// Ends the connection for this reason; the peer hears it first where there is something to say.
    fn fail(&mut self, below: &Below<Self>, above: &mut Above<Self>, reason: Reason) {
        if self.ending.is_some() {
            return;
        }
        let error = TlsError::from(reason);
        tracing::debug!(target: "ropewalk::tls", peer = %below.peer(), "{error}");
        if self.opening.is_some() {
            below.count("tls_handshakes_failed");
        }
        self.ending = Some(error.disconnect());
        if let Some(alert) = self.alert_in_the_clear(&error) {
            below.write(&[21, 3, 3, 0, 2, 2, alert.0]);
        }
        if *error.reason() == Reason::Truncated {
            // It may still read, and is to have what was encrypted for it, and our end.
            self.say_goodbye(below);
        }
        self.state = State::Over;
        self.out.clear();
        self.rest = Vec::new();
        if let Some(told) = self.opening.take().and_then(|mut opening| opening.told.take()) {
            told.fail(error.clone());
        }
        above.set_cause(error.clone());
        if matches!(error.reason(), Reason::TimedOut(_)) {
            below.abort_with(error.disconnect());
        } else {
            below.close();
            // Who does not take what it is told does not keep the connection for that.
            let limit = self.common.limits.handshake_timeout;
            let _ = above.call_later(limit, |layer, below, _| {
                below.abort_with(layer.ending.unwrap_or(Disconnect::Aborted));
            });
        }
    }

    /// The alert that no session is there to send.
    fn alert_in_the_clear(&self, error: &TlsError) -> Option<TlsAlert> {
        let is_ours = match error.reason() {
            Reason::UnknownName(_) | Reason::EarlyBytes(_) | Reason::Internal(_) => true,
            Reason::TooLong(_) => self.opening.is_some(),
            _ => false,
        };
        error.alert().filter(|_| is_ours && self.opening.is_some())
    }
}

impl Layer for Tls {
    fn connection_made(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let limit = self.common.limits.handshake_timeout;
        let timer = above.call_later(limit, move |layer, below, above| {
            if layer.opening.is_some() {
                layer.fail(below, above, Reason::TimedOut(limit));
            }
        });
        let Some(opening) = &mut self.opening else { return };
        opening.timer = timer;
        match opening.starts.take() {
            Some(Starts::Client(session)) => {
                self.state = State::Talking(session);
                // It has something to say and nothing to hear yet.
                self.take(below, above, &mut []);
            }
            Some(Starts::Failed(reason)) => self.fail(below, above, reason),
            None => (),
        }
    }

    fn data_received(&mut self, below: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
        if matches!(self.state, State::Over) {
            return;
        }
        if let Some(opening) = &mut self.opening {
            opening.received = opening.received.saturating_add(data.len());
        }
        if data.len() < missing(&self.rest) {
            self.rest.extend_from_slice(data);
        } else {
            let mut buffer = self.common.scratch.take();
            buffer.clear();
            buffer.extend_from_slice(&self.rest);
            buffer.extend_from_slice(data);
            let consumed = self.take(below, above, &mut buffer);
            if consumed < buffer.len() && !matches!(self.state, State::Over) {
                self.rest.clear();
                self.rest.extend_from_slice(&buffer[consumed..]);
            } else {
                // An idle connection has no buffer.
                self.rest = Vec::new();
            }
            if buffer.capacity() <= SCRATCH_KEPT_MAX {
                self.common.scratch.set(buffer);
            }
        }
        // What was written before the handshake was done.
        self.send(below);
        let max = self.common.limits.handshake_max;
        if self.opening.as_ref().is_some_and(|opening| opening.received > max) {
            self.fail(below, above, Reason::TooLong(max));
        }
    }

    fn eof_received(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        // One that was announced has been passed on.
        if !self.is_read_closed {
            self.fail(below, above, Reason::Truncated);
        }
    }

    fn output_written(&mut self, below: &Below<Self>, out: Box<Outbox>) {
        if self.ending.is_none() {
            self.out.add(out);
            self.send(below);
        }
    }

    fn held(&self) -> u64 {
        self.out.len()
    }

    fn must_read(&self) -> bool {
        self.opening.is_some()
    }

    fn output_sent(&mut self, below: &Below<Self>, _: &mut Above<Self>) {
        if self.out.len() > 0 && below.waiting() < AHEAD_MAX {
            self.send(below);
        }
    }

    fn close_write(&mut self, below: &Below<Self>) {
        self.say_goodbye(below);
        below.close_write();
    }

    fn close(&mut self, below: &Below<Self>) {
        self.say_goodbye(below);
        below.close();
    }

    fn connection_lost(&mut self, below: &Below<Self>, why: Disconnect) -> Disconnect {
        let why = self.ending.unwrap_or(why);
        if self.opening.is_some() && self.ending.is_none() {
            below.count("tls_handshakes_failed");
        }
        if let Some(told) = self.opening.take().and_then(|mut opening| opening.told.take()) {
            told.fail(TlsError::from(Reason::Lost(why)));
        }
        self.state = State::Over;
        why
    }
}

impl Tls {
    /// Tells the peer that nothing more will come.
    fn say_goodbye(&mut self, below: &Below<Self>) {
        let State::Talking(session) = &mut self.state else { return };
        if session.is_established() && !std::mem::replace(&mut self.is_write_closed, true) {
            below.write_with(|out| session.close(&mut self.rest, out));
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        // The layer was never put on a connection, or that one was gone before.
        if let Some(told) = self.told.take() {
            told.fail(TlsError::from(Reason::NotNow));
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("handshake", &self.opening.is_some())
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

/// The protocol above, as the session tells it.
struct Ears<'a> {
    above: &'a mut Above<Tls>,
    below: &'a Below<Tls>,
    common: &'a Common,
    opening: &'a mut Option<Box<Opening>>,
}

impl Hearer for Ears<'_> {
    fn established(&mut self, agreed: &Agreed<'_>) {
        let Some(mut opening) = self.opening.take() else { return };
        if let Some(timer) = opening.timer {
            self.below.cancel_call(timer);
        }
        self.below.count(if agreed.is_resumed() { "tls_resumptions" } else { "tls_handshakes" });
        let info = self.common.shared(agreed);
        self.above.set_tls(Rc::clone(&info));
        if let Some(told) = opening.told.take() {
            told.succeed((*info).clone());
        }
        self.above.made();
    }

    fn plaintext(&mut self, data: &[u8]) {
        self.above.data_received(data);
    }
}

/// How many bytes at least must follow before `rest` makes a whole record. Where it does not look
/// like a record's beginning it is part of a message that rustls puts together; any byte may do.
fn missing(rest: &[u8]) -> usize {
    match rest {
        [] => 0,
        [20..=23, 3, _, high, low, body @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            length.saturating_sub(body.len())
        }
        _ => 1,
    }
}
