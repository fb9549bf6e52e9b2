//! A body that is pushed rather than asked for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};

use super::body::{Body, BodyPiece, BodyStream};

/// How much may wait in a sender before [`BodySender::ready`] makes its user wait, in bytes.
const WAITING_MAX: usize = 64 * 1024;

/// Writes a body from wherever its bytes come from; [`Body::channel`] makes one.
///
/// Dropped without [`finish`](Self::finish), it cuts the connection: the client can tell a body that
/// broke off from one that ended.
pub struct BodySender {
    shared: Rc<RefCell<Shared>>,
    finished: bool,
}

#[derive(Default)]
struct Shared {
    queue: VecDeque<Bytes>,
    waiting: usize,
    /// How it ended, once it has.
    end: Option<Result<(), Failure>>,
    /// The connection, where it has taken everything and wants more.
    taker: Option<Promise<Option<BodyPiece>>>,
    /// The user, where there is too much already.
    giver: Option<Promise<()>>,
    /// Nobody takes any more.
    gone: bool,
}

impl Body {
    /// A body and the end that writes it.
    ///
    /// ```
    /// use ropewalk_http::{Body, Site, Request};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let site = Site::new(|_: Request| {
    ///     let (mut sender, body) = Body::channel();
    ///     sender.write("one ");
    ///     sender.write("two");
    ///     sender.finish();
    ///     body
    /// });
    /// let mut client = Memory::seat(site.server(), &Clock::new());
    /// client.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    /// let answer = String::from_utf8(client.take_sent()).unwrap();
    /// assert!(answer.ends_with("4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"), "{answer}");
    /// ```
    pub fn channel() -> (BodySender, Self) {
        let shared = Rc::new(RefCell::new(Shared::default()));
        let taken = Taker(Rc::clone(&shared));
        let pieces = BodyStream::new(move || taken.next());
        (BodySender { shared, finished: false }, Self::stream(pieces))
    }
}

impl BodySender {
    /// Sends `bytes` next. Nothing is lost where the client is slow: it waits here; see
    /// [`ready`](Self::ready).
    pub fn write(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let mut shared = self.shared.borrow_mut();
        if bytes.is_empty() || shared.gone {
            return;
        }
        if let Some(taker) = shared.taker.take() {
            drop(shared);
            taker.succeed(Some(bytes.into()));
        } else {
            shared.waiting += bytes.len();
            shared.queue.push_back(bytes);
        }
    }

    /// Succeeds once there is room for more; fails when the client is gone. It replaces the one that
    /// was asked for before.
    pub fn ready(&mut self) -> Deferred<()> {
        let mut shared = self.shared.borrow_mut();
        if shared.gone {
            return Deferred::fail(client_gone());
        }
        if shared.waiting < WAITING_MAX {
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
            shared.waiting -= bytes.len();
            let giver = if shared.waiting < WAITING_MAX { shared.giver.take() } else { None };
            drop(shared);
            if let Some(giver) = giver {
                giver.succeed(());
            }
            return Deferred::succeed(Some(bytes.into()));
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
