//! What a program has written and its client has not taken.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_http::{Body, BodyPiece, BodyStream};
use ropewalk_protocol::process::{Process, STDOUT};

use crate::gateway::Gateway;

/// How much may wait for a client before its program has to, in bytes.
const WAITING_MAX: usize = 64 * 1024;

/// Where the program's output becomes the answer's body. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Outlet(Rc<RefCell<Shared>>);

#[derive(Default)]
struct Shared {
    queue: VecDeque<Bytes>,
    waiting: usize,
    is_paused: bool,
    end: Option<Result<(), Failure>>,
    taker: Option<Promise<Option<BodyPiece>>>,
    is_gone: bool,
    /// How many bytes of body are still to come, where the program has said how many there are.
    left: Option<u64>,
    process: Option<Process<Gateway>>,
}

impl Outlet {
    /// The body, as the site asks for it piece by piece.
    pub(crate) fn body(&self, process: &Process<Gateway>, length: Option<u64>) -> Body {
        let mut shared = self.0.borrow_mut();
        shared.process = Some(process.clone());
        shared.left = length;
        drop(shared);
        let reader = Reader(self.clone());
        let pieces = BodyStream::new(move || reader.0.next());
        match length {
            Some(length) => Body::stream_of(length, pieces),
            None => Body::stream(pieces),
        }
    }

    /// The program wrote that. What is more than it has said there would be is dropped: it would be read
    /// as the beginning of another answer.
    pub(crate) fn write(&self, process: &Process<Gateway>, mut data: &[u8]) {
        let mut shared = self.0.borrow_mut();
        if let Some(left) = &mut shared.left {
            data = &data[..data.len().min(usize::try_from(*left).unwrap_or(usize::MAX))];
            *left -= data.len() as u64;
        }
        if shared.is_gone || data.is_empty() {
            return;
        }
        let bytes = Bytes::copy_from_slice(data);
        if let Some(taker) = shared.taker.take() {
            drop(shared);
            return taker.succeed(Some(bytes.into()));
        }
        shared.waiting += bytes.len();
        shared.queue.push_back(bytes);
        if shared.waiting >= WAITING_MAX && !shared.is_paused {
            shared.is_paused = true;
            process.pause_reading(STDOUT);
        }
    }

    /// There is no more of it.
    pub(crate) fn end(&self, end: Result<(), Failure>) {
        let mut shared = self.0.borrow_mut();
        let taker = shared.taker.take();
        if taker.is_none() && shared.end.is_none() {
            shared.end = Some(end);
            return;
        }
        drop(shared);
        if let Some(taker) = taker {
            taker.fire(end.map(|()| None));
        }
    }

    /// Whether all has come that the program has said there would be.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.borrow().left == Some(0)
    }

    /// Whether the program waits for the client.
    pub(crate) fn is_paused(&self) -> bool {
        self.0.borrow().is_paused
    }

    fn next(&self) -> Deferred<Option<BodyPiece>> {
        let mut shared = self.0.borrow_mut();
        if let Some(bytes) = shared.queue.pop_front() {
            shared.waiting -= bytes.len();
            if shared.is_paused && shared.waiting < WAITING_MAX / 4 {
                shared.is_paused = false;
                if let Some(process) = &shared.process {
                    process.resume_reading(STDOUT);
                }
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

/// The site's end.
struct Reader(Outlet);

impl Drop for Reader {
    fn drop(&mut self) {
        let mut shared = self.0.0.borrow_mut();
        shared.is_gone = true;
        shared.queue.clear();
        let (taker, process) = (shared.taker.take(), shared.process.take());
        let was_paused = std::mem::take(&mut shared.is_paused);
        drop(shared);
        drop(taker);
        let Some(process) = process else { return };
        if was_paused {
            process.resume_reading(STDOUT);
        }
        process.call_later(Duration::ZERO, Gateway::reader_gone);
    }
}
