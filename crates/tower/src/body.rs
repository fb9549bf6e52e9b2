//! Bodies, from one side's kind to the other's.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};
use ropewalk_deferred::Deferred;
use ropewalk_http::{Body, BodyError, BodyPiece, Incoming};
use ropewalk_protocol::{Disconnect, FileSlice};

/// How many bytes of a file are read at a time.
const READ_MAX: usize = 64 * 1024;

/// A request's body, as services read it. It can be sent to other threads, where some services want that of
/// a body; what they ask for still comes from the one that has the connection.
pub struct RequestBody {
    shared: Arc<Mutex<Shared>>,
    length: Option<u64>,
}

/// Where reader and connection meet: one piece at a time.
#[derive(Default)]
struct Shared {
    is_wanted: bool,
    piece: Option<Result<Frame<Bytes>, BodyError>>,
    has_ended: bool,
    is_gone: bool,
    reader: Option<Waker>,
    pump: Option<Waker>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Nothing that holds it can leave it half changed.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RequestBody {
    /// A body, and the task that has it sent if there is one.
    pub(crate) fn of(
        incoming: Incoming,
        headers: &HeaderMap,
    ) -> (Self, Option<impl Future<Output = ()> + use<>>) {
        let mut shared = Shared::default();
        if incoming.is_none() {
            shared.has_ended = true;
            return (Self { shared: Arc::new(Mutex::new(shared)), length: Some(0) }, None);
        }
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|digits| digits.to_str().ok()?.parse().ok());
        let shared = Arc::new(Mutex::new(shared));
        let pump = pump(incoming, Arc::clone(&shared));
        (Self { shared, length }, Some(pump))
    }
}

/// Gets pieces from the connection as the reader asks for them.
async fn pump(mut incoming: Incoming, shared: Arc<Mutex<Shared>>) {
    loop {
        let is_wanted = poll_fn(|cx| {
            let mut shared = lock(&shared);
            if shared.is_gone || shared.is_wanted {
                return Poll::Ready(!shared.is_gone);
            }
            shared.pump = Some(cx.waker().clone());
            Poll::Pending
        });
        if !is_wanted.await {
            return;
        }
        let piece = incoming.next_piece().await;
        let mut shared = lock(&shared);
        shared.is_wanted = false;
        match piece {
            Ok(Some(bytes)) => shared.piece = Some(Ok(Frame::data(bytes))),
            Ok(None) => {
                shared.has_ended = true;
                let trailers = incoming.trailers();
                if !trailers.is_empty() {
                    shared.piece = Some(Ok(Frame::trailers(trailers)));
                }
            }
            Err(failure) => {
                shared.has_ended = true;
                let lost = BodyError::Lost(Disconnect::Aborted);
                shared.piece = Some(Err(failure.check().copied().unwrap_or(lost)));
            }
        }
        let (reader, has_ended) = (shared.reader.take(), shared.has_ended);
        drop(shared);
        if let Some(reader) = reader {
            reader.wake();
        }
        if has_ended {
            return;
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut shared = lock(&self.shared);
        if let Some(piece) = shared.piece.take() {
            return Poll::Ready(Some(piece));
        }
        if shared.has_ended {
            return Poll::Ready(None);
        }
        shared.is_wanted = true;
        shared.reader = Some(cx.waker().clone());
        let pump = shared.pump.take();
        drop(shared);
        if let Some(pump) = pump {
            pump.wake();
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        shared.has_ended && shared.piece.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // Of a body that is being read, nothing is known but that it was not longer.
        match self.length {
            Some(0) => SizeHint::with_exact(0),
            Some(length) => {
                let mut hint = SizeHint::new();
                hint.set_upper(length);
                hint
            }
            None => SizeHint::new(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.is_gone = true;
        let pump = shared.pump.take();
        drop(shared);
        if let Some(pump) = pump {
            pump.wake();
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("length", &self.length).finish_non_exhaustive()
    }
}

/// A response's body, as callers of a service read it.
pub struct ResponseBody {
    body: Body,
    next: Option<Deferred<Option<BodyPiece>>>,
    /// What is left of a file.
    slice: Option<FileSlice>,
    has_ended: bool,
}

/// A body broke off; why is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyFailed;

impl fmt::Display for BodyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response's body broke off")
    }
}

impl Error for BodyFailed {}

impl ResponseBody {
    pub(crate) fn of(body: Body) -> Self {
        Self { body, next: None, slice: None, has_ended: false }
    }

    fn read(&mut self) -> Option<io::Result<Bytes>> {
        let slice = self.slice.as_mut().filter(|slice| slice.len > 0)?;
        let mut piece = Vec::new();
        Some(slice.read_into(READ_MAX, &mut piece).map(|()| {
            slice.offset += piece.len() as u64;
            slice.len -= piece.len() as u64;
            piece.into()
        }))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        let this = &mut *self;
        loop {
            match this.read() {
                Some(Ok(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Some(Err(error)) => {
                    tracing::error!(target: "ropewalk::http", "an answer broke off: {error}");
                    (this.slice, this.has_ended) = (None, true);
                    return Poll::Ready(Some(Err(BodyFailed)));
                }
                None if this.has_ended => return Poll::Ready(None),
                None => (),
            }
            let body = &mut this.body;
            let next = this.next.get_or_insert_with(|| body.next_piece());
            let piece = std::task::ready!(Pin::new(next).poll(cx));
            this.next = None;
            match piece {
                Ok(Some(BodyPiece::Bytes(bytes))) => {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Ok(Some(BodyPiece::File(slice))) => this.slice = Some(slice),
                Ok(Some(BodyPiece::Trailers(trailers))) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Some(_)) => (),
                Ok(None) => this.has_ended = true,
                Err(failure) => {
                    tracing::error!(target: "ropewalk::http", "an answer broke off: {failure:?}");
                    this.has_ended = true;
                    return Poll::Ready(Some(Err(BodyFailed)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
            || (self.next.is_none() && self.slice.is_none() && self.body.length() == Some(0))
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}
