//! A request's body, as it comes in.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Address, Conn, Disconnect, TlsInfo};

use super::connection::Server;
use crate::BadRequest;

/// How much of a body is kept for a resource that does not take it; the client waits after that.
const WAITING_MAX: usize = 64 * 1024;

/// Pieces are joined up to this size, so that a body in tiny chunks costs little more than its bytes.
const JOINED_MAX: usize = 4 * 1024;

/// A request's body, and the connection that it comes on.
///
/// It is asked for piece by piece, and the client feels it where nobody asks. A body that nobody
/// wants is read and dropped if it is short, and ends the connection after the answer if it is not.
/// A client that waits for `100 Continue` hears it when the body is first asked for.
pub struct Incoming {
    conn: Conn<Server>,
    /// Absent where there is no body.
    inflow: Option<Rc<RefCell<Inflow>>>,
}

/// What the connection has received of a body and nobody has taken yet.
#[derive(Default)]
pub(super) struct Inflow {
    queue: VecDeque<BytesMut>,
    waiting: usize,
    end: Option<Result<HeaderMap, BodyError>>,
    taker: Option<Promise<Option<Bytes>>>,
    trailers: HeaderMap,
}

impl Inflow {
    /// Whether the client should wait.
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= WAITING_MAX
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.taker.is_some()
    }
}

/// Lays the next piece in.
pub(super) fn give(inflow: &RefCell<Inflow>, data: &[u8]) {
    let mut inflow = inflow.borrow_mut();
    if let Some(taker) = inflow.taker.take() {
        drop(inflow);
        return taker.succeed(Some(Bytes::copy_from_slice(data)));
    }
    inflow.waiting += data.len();
    match inflow.queue.back_mut().filter(|last| last.len() + data.len() <= JOINED_MAX) {
        Some(last) => last.extend_from_slice(data),
        None => inflow.queue.push_back(data.into()),
    }
}

/// Says how the body ended.
pub(super) fn end(inflow: &RefCell<Inflow>, end: Result<HeaderMap, BodyError>) {
    let mut inflow = inflow.borrow_mut();
    if inflow.end.is_some() {
        return;
    }
    let taker = inflow.taker.take();
    inflow.end = Some(end.clone());
    if let Ok(trailers) = &end {
        inflow.trailers = trailers.clone();
    }
    drop(inflow);
    if let Some(taker) = taker {
        taker.fire(end.map(|_| None));
    }
}

impl Incoming {
    pub(super) fn new(conn: Conn<Server>, inflow: Option<Rc<RefCell<Inflow>>>) -> Self {
        Self { conn, inflow }
    }

    /// There is a body, and here is what comes of it.
    pub(super) fn expect(&mut self, inflow: Rc<RefCell<Inflow>>) {
        self.inflow = Some(inflow);
    }

    /// The next piece, once it is there; `None` at the end.
    ///
    /// The deferred fails with a [`BodyError`] where the client is gone, too slow, or broke the rules.
    pub fn next_piece(&mut self) -> Deferred<Option<Bytes>> {
        let Some(shared) = &self.inflow else { return Deferred::succeed(None) };
        let mut inflow = shared.borrow_mut();
        if let Some(piece) = inflow.queue.pop_front() {
            let was_full = inflow.is_full();
            inflow.waiting -= piece.len();
            if was_full && !inflow.is_full() {
                self.conn.call_later(Duration::ZERO, Server::body_wanted);
            }
            return Deferred::succeed(Some(piece.freeze()));
        }
        if let Some(end) = &inflow.end {
            return Deferred::ready(end.clone().map(|_| None).map_err(Into::into));
        }
        let (promise, next) = deferred();
        inflow.taker = Some(promise);
        self.conn.call_later(Duration::ZERO, Server::body_wanted);
        next
    }

    /// The whole body, if it has at most `max` bytes.
    ///
    /// The deferred fails as those of [`next_piece`](Self::next_piece) do, or with [`BodyError::TooLong`].
    pub fn collect(self, max: usize) -> Deferred<Bytes> {
        collect_into(self, BytesMut::new(), max)
    }

    /// The fields that came after the body (RFC 9110 6.5), once it has ended.
    pub fn trailers(&self) -> HeaderMap {
        self.inflow.as_ref().map(|shared| shared.borrow().trailers.clone()).unwrap_or_default()
    }

    /// Whether there is no body at all.
    pub fn is_none(&self) -> bool {
        self.inflow.is_none()
    }

    /// Who asks.
    pub fn peer(&self) -> Address {
        self.conn.peer()
    }

    /// Where the client was answered.
    pub fn local(&self) -> Address {
        self.conn.local()
    }

    /// What was agreed on with the client, if the connection is encrypted.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.conn.tls()
    }
}

fn collect_into(mut body: Incoming, mut whole: BytesMut, max: usize) -> Deferred<Bytes> {
    loop {
        match body.next_piece().try_take() {
            Ok(Ok(Some(piece))) if piece.len() > max - whole.len() => {
                return Deferred::fail(BodyError::TooLong { max });
            }
            Ok(Ok(Some(piece))) => whole.extend_from_slice(&piece),
            Ok(Ok(None)) => return Deferred::succeed(whole.freeze()),
            Ok(Err(failure)) => return Deferred::ready(Err(failure)),
            Err(waiting) => {
                return waiting.add_callback(move |piece| match piece {
                    Some(piece) if piece.len() > max - whole.len() => {
                        Deferred::fail(BodyError::TooLong { max })
                    }
                    Some(piece) => {
                        whole.extend_from_slice(&piece);
                        collect_into(body, whole, max)
                    }
                    None => Deferred::succeed(whole.freeze()),
                });
            }
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.inflow.as_ref().map(|shared| shared.borrow().waiting);
        f.debug_struct("Incoming").field("waiting", &waiting).finish_non_exhaustive()
    }
}

/// Why a request's body did not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// It broke a rule; the client was told so.
    Bad(BadRequest),
    /// It is longer than the resource wants.
    TooLong {
        /// How many bytes were wanted at most.
        max: usize,
    },
    /// It came more slowly than [`Patience::body_rate`](crate::Patience) allows.
    Slow,
    /// The connection ended first.
    Lost(Disconnect),
}

impl BodyError {
    /// What the client is answered where a resource does not see to it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Bad(bad) => bad.status(),
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Lost(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(_) => f.write_str("the request's body broke a rule"),
            Self::TooLong { max } => {
                write!(f, "the request's body is longer than the {max} bytes that were wanted")
            }
            Self::Slow => f.write_str("the request's body came too slowly"),
            Self::Lost(_) => f.write_str("the connection ended before the request's body did"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bad(bad) => Some(bad),
            Self::Lost(why) => Some(why),
            Self::TooLong { .. } | Self::Slow => None,
        }
    }
}
