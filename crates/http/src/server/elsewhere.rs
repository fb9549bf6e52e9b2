//! Requests and responses that no connection of ours carries.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Failure, Panicked};

use super::answering::failed;
use super::body::{Body, BodyPiece, BodyStream, Kind};
use super::incoming::{BodyError, Incoming, Inflow, Source};
use super::reply::{Reply, Response};
use super::request::Request;
use super::site::Site;

impl Site {
    /// What this site answers to a request that came over none of its connections, as from a test or a
    /// bridge. The site's limits and waits do not count for it.
    ///
    /// A resource that fails is answered for with 500; the deferred does not fail.
    ///
    /// ```
    /// use ropewalk_http::{Incoming, Request, Site};
    ///
    /// let site = Site::new(|request: Request| format!("this is {}", request.uri()));
    /// let request = http::Request::get("/a").body(Incoming::empty())?;
    /// let mut answer = site.call(request).now_or_never().unwrap().unwrap();
    /// assert_eq!(answer.status(), 200);
    /// assert_eq!(answer.body().length(), Some(10));
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn call(&self, request: impl Into<Request>) -> Deferred<Response> {
        let request = request.into();
        let reply = catch_unwind(AssertUnwindSafe(|| self.render(request)));
        match reply {
            Ok(Reply::Now(response)) => Deferred::succeed(response),
            Ok(Reply::Body(body)) => Deferred::succeed(Response::new(body)),
            Ok(later) => {
                Deferred::from(later).add_errback(|failure| Ok::<_, Failure>(failed(&failure)))
            }
            Err(payload) => {
                let panicked = Failure::new(Panicked::from_payload(&*payload));
                Deferred::succeed(failed(&panicked))
            }
        }
    }
}

impl Incoming {
    /// No body, of a message that came over no connection of ours.
    pub fn empty() -> Self {
        Self { source: Source::Elsewhere(None), inflow: None }
    }

    /// A body that comes from elsewhere: pieces in memory, and the fields behind them if there are any.
    pub fn from_stream(pieces: BodyStream) -> Self {
        let source = Source::Elsewhere(Some(Rc::new(RefCell::new(pieces))));
        Self { source, inflow: Some(Rc::default()) }
    }
}

/// The next piece of a body that comes from elsewhere.
pub(super) fn pull(
    pieces: &Rc<RefCell<BodyStream>>,
    inflow: &Rc<RefCell<Inflow>>,
) -> Deferred<Option<Bytes>> {
    let next = pieces.borrow_mut().next();
    let (pieces, inflow) = (Rc::clone(pieces), Rc::clone(inflow));
    next.add_callback(move |piece| match piece {
        None => Deferred::succeed(None),
        Some(BodyPiece::Bytes(bytes)) if bytes.is_empty() => pull(&pieces, &inflow),
        Some(BodyPiece::Bytes(bytes)) => Deferred::succeed(Some(bytes)),
        Some(BodyPiece::Trailers(trailers)) => {
            inflow.borrow_mut().set_trailers(trailers);
            pull(&pieces, &inflow)
        }
        Some(BodyPiece::File(_)) => Deferred::fail(BodyError::NotInMemory),
    })
}

impl Body {
    /// The next piece, for whoever carries a response elsewhere than over a connection of ours; `None` at
    /// the end, and where the protocol was to change.
    pub fn next_piece(&mut self) -> Deferred<Option<BodyPiece>> {
        if let Kind::Stream { pieces, .. } = &mut self.kind {
            return pieces.next();
        }
        match std::mem::take(&mut self.kind) {
            Kind::Bytes(bytes) if !bytes.is_empty() => Deferred::succeed(Some(bytes.into())),
            _ => Deferred::succeed(None),
        }
    }
}
