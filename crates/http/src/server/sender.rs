//! A body that is pushed rather than asked for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderMap;
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};

use super::body::{Body, BodyPiece, BodyStream};

/// How much may wait in a [`BodySender`] unless [`Body::channel_of`] was told another figure, in bytes.
pub const SENDER_MAX: usize = 256 * 1024;
/// What a piece costs besides its bytes: pieces of a byte each have a bound too.
const PIECE_COST: usize = 64;

/// Writes a body from wherever its bytes come from; [`Body::channel`] makes one.
///
/// It keeps a bounded number of bytes that the client has not taken: [`SENDER_MAX`] unless told otherwise,
/// each piece counting 64 bytes besides its own. What goes beyond is refused and handed back. Whoever waits
/// for [`ready`](Self::ready) before each piece of up to three quarters of the bound is never refused.
///
/// Dropped without [`finish`](Self::finish), it cuts the connection: the client can tell a body that
/// broke off from one that ended.
pub struct BodySender {
    shared: Rc<RefCell<Shared>>,
    finished: bool,
}

/// Why a [`BodySender`] did not take a piece.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// Too much waits for the client already; [`BodySender::ready`] tells when there is room.
    Full {
        /// The piece, handed back.
        refused: Bytes,
        /// How many bytes may wait.
        max: usize,
    },
    /// The client is gone, and takes no more.
    Gone,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { refused, max } => write!(
                f,
                "a body's sender keeps at most {max} bytes for a slow client: {} more were refused",
                refused.len()
            ),
            Self::Gone => f.write_str("the client is gone"),
        }
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { refused, max } => {
                f.debug_struct("Full").field("refused", &refused.len()).field("max", max).finish()
            }
            Self::Gone => f.write_str("Gone"),
        }
    }
}

impl std::error::Error for SendError {}

struct Shared {
    queue: VecDeque<Bytes>,
    waiting: usize,
    max: usize,
    /// What follows the body.
    trailers: HeaderMap,
    /// How it ended, once it has.
    end: Option<Result<(), Failure>>,
    /// The connection, where it has taken everything and wants more.
    taker: Option<Promise<Option<BodyPiece>>>,
    /// The user, where there is too much already.
    giver: Option<Promise<()>>,
    /// Nobody takes any more.
    gone: bool,
}

impl Shared {
    /// Whether somebody who waited for room has it.
    fn has_room(&self) -> bool {
        self.waiting <= self.max / 4
    }
}

impl Body {
    /// A body and the end that writes it, where at most [`SENDER_MAX`] bytes wait for the client.
    ///
    /// ```
    /// use ropewalk_http::{Body, Request, SendError, Site};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let site = Site::new(|_: Request| {
    ///     let (mut sender, body) = Body::channel();
    ///     sender.write("one ")?;
    ///     sender.write("two")?;
    ///     sender.finish();
    ///     Ok::<_, SendError>(body)
    /// });
    /// let mut client = Memory::seat(site.server(), &Clock::new());
    /// client.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let answer = String::from_utf8(client.take_sent()).unwrap();
    /// assert!(answer.ends_with("4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"), "{answer}");
    /// ```
    pub fn channel() -> (BodySender, Self) {
        Self::channel_of(SENDER_MAX)
    }

    /// The same, where at most `max` bytes wait for the client.
    pub fn channel_of(max: usize) -> (BodySender, Self) {
        let shared = Rc::new(RefCell::new(Shared {
            queue: VecDeque::new(),
            waiting: 0,
            max,
            trailers: HeaderMap::new(),
            end: None,
            taker: None,
            giver: None,
            gone: false,
        }));
        let taken = Taker(Rc::clone(&shared));
        let pieces = BodyStream::new(move || taken.next());
        (BodySender { shared, finished: false }, Self::stream(pieces))
    }
}

impl BodySender {
    /// Sends `bytes` next; where the client is slow, they wait here.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if more would wait than may: see [`ready`](Self::ready). A piece of any length is
    /// taken while nothing waits, as its bytes are in memory already. [`SendError::Gone`] if nobody takes
    /// the body any more.
    pub fn write(&mut self, bytes: impl Into<Bytes>) -> Result<(), SendError> {
        let bytes = bytes.into();
        let mut shared = self.shared.borrow_mut();
        if shared.gone {
            return Err(SendError::Gone);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(taker) = shared.taker.take() {
            drop(shared);
            taker.succeed(Some(bytes.into()));
            return Ok(());
        }
        let cost = bytes.len() + PIECE_COST;
        if shared.waiting > 0 && shared.waiting + cost > shared.max {
            return Err(SendError::Full { refused: bytes, max: shared.max });
        }
        shared.waiting += cost;
        shared.queue.push_back(bytes);
        Ok(())
    }

    /// How many bytes wait for the client here, each piece counting 64 more than it has.
    pub fn waiting(&self) -> usize {
        self.shared.borrow().waiting
    }

    /// Succeeds once no more than a quarter of what may wait does; fails when the client is gone. It
    /// replaces the one that was asked for before.
    pub fn ready(&mut self) -> Deferred<()> {
        let mut shared = self.shared.borrow_mut();
        if shared.gone {
            return Deferred::fail(client_gone());
        }
        if shared.has_room() {
            return Deferred::succeed(());
        }
        let (promise, ready) = deferred();
        let before = shared.giver.replace(promise);
        drop(shared);
        drop(before);
        ready
    }

    /// Whether nobody takes the body any more.
    pub fn is_gone(&self) -> bool {
        self.shared.borrow().gone
    }

    /// Ends the body.
    pub fn finish(mut self) {
        self.end(Ok(()));
    }

    /// Ends the body and sends fields after it (RFC 9110 6.5), such as a digest of what was sent.
    ///
    /// They arrive where the client has said that it takes them (`TE: trailers`, RFC 9110 6.5.1) and the body goes
    /// out in chunks, that is in HTTP/1.1 and without a length; elsewhere they are left out, as are fields that may not stand there (RFC 9110 6.5.1). A
    /// `Trailer` field in the response's head tells the client which to expect (RFC 9110 6.6.2).
    pub fn finish_with(mut self, trailers: HeaderMap) {
        let mut shared = self.shared.borrow_mut();
        match shared.taker.take() {
            Some(taker) => {
                drop(shared);
                // Nobody hears the end before it is asked for: it is asked for next.
                taker.succeed(Some(BodyPiece::Trailers(trailers)));
            }
            None => {
                shared.trailers = trailers;
                drop(shared);
            }
        }
        self.end(Ok(()));
    }

    /// Breaks the body off, so that the client can tell.
    pub fn fail(mut self, why: impl Into<Failure>) {
        self.end(Err(why.into()));
    }

    fn end(&mut self, end: Result<(), Failure>) {
        self.finished = true;
        let mut shared = self.shared.borrow_mut();
        match shared.taker.take() {
            Some(taker) => {
                drop(shared);
                taker.fire(end.map(|()| None));
            }
            None => shared.end = Some(end),
        }
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Err(Failure::from(ropewalk_deferred::Abandoned)));
        }
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared.borrow();
        f.debug_struct("BodySender")
            .field("waiting", &shared.waiting)
            .field("gone", &shared.gone)
            .finish_non_exhaustive()
    }
}

/// The connection's side of a sender.
struct Taker(Rc<RefCell<Shared>>);

impl Taker {
    fn next(&self) -> Deferred<Option<BodyPiece>> {
        let mut shared = self.0.borrow_mut();
        if let Some(bytes) = shared.queue.pop_front() {
            shared.waiting -= bytes.len() + PIECE_COST;
            let giver = if shared.has_room() { shared.giver.take() } else { None };
            drop(shared);
            if let Some(giver) = giver {
                giver.succeed(());
            }
            return Deferred::succeed(Some(bytes.into()));
        }
        if !shared.trailers.is_empty() {
            let trailers = std::mem::take(&mut shared.trailers);
            return Deferred::succeed(Some(BodyPiece::Trailers(trailers)));
        }
        if let Some(end) = shared.end.take() {
            return Deferred::ready(end.map(|()| None));
        }
        let (promise, next) = deferred();
        shared.taker = Some(promise);
        next
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let mut shared = self.0.borrow_mut();
        shared.gone = true;
        shared.queue.clear();
        let (taker, giver) = (shared.taker.take(), shared.giver.take());
        drop(shared);
        drop(taker);
        if let Some(giver) = giver {
            giver.fail(client_gone());
        }
    }
}

/// What the producer of a body hears when its client has gone: a broken pipe.
pub fn client_gone() -> Failure {
    Failure::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).context("the client is gone")
}
