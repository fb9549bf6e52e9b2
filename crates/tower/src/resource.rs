//! Services as resources.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Request, Response};
use http_body::Frame;
use ropewalk_deferred::{Deferred, Failure, from_future};
use ropewalk_http::{Body, BodyPiece, BodyStream, Reply, Resource};
use ropewalk_protocol::Spawn;
use tower_service::Service;

use crate::{OnLoop, RequestBody};

/// Whatever a service may fail with.
type BoxError = Box<dyn Error + Send + Sync>;

/// Who asks, among a request's extensions, where it came over the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// A resource whose requests a service answers, such as an axum `Router`.
///
/// The service is cloned for each request, made ready, and called; its future runs on the spawner, and is
/// dropped when the client goes. A failure of the service is answered with 500 and logged; one of its
/// response's body cuts the connection.
pub struct ServiceResource<S> {
    service: S,
    spawner: Rc<dyn Spawn>,
}

impl<S> ServiceResource<S> {
    /// Has `service` answer, its futures on `spawner`: a reactor.
    pub fn new(service: S, spawner: impl Spawn + 'static) -> Self {
        Self { service, spawner: Rc::new(spawner) }
    }
}

impl<S, B> Resource for ServiceResource<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    S::Future: 'static,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    fn render(&mut self, request: ropewalk_http::Request) -> Reply {
        let (mut parts, incoming) = request.into_parts();
        if let Some(peer) = incoming.peer().ip() {
            parts.extensions.insert(Peer(peer));
        }
        let (body, pump) = RequestBody::of(incoming, &parts.headers);
        if let Some(pump) = pump {
            self.spawner.spawn(Box::pin(pump));
        }
        let request = Request::from_parts(parts, body);
        let mut service = self.service.clone();
        let (answer, driver) = from_future(async move {
            let failed = |error: S::Error| Failure::new(error.into());
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
            service.call(request).await.map_err(failed)
        });
        self.spawner.spawn(Box::pin(driver));
        let spawner = Rc::clone(&self.spawner);
        Reply::Later(answer.map(move |response| answered(response, spawner)))
    }
}

impl<S> fmt::Debug for ServiceResource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceResource").finish_non_exhaustive()
    }
}

fn answered<B>(response: Response<B>, spawner: Rc<dyn Spawn>) -> Response<Body>
where
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = response.into_parts();
    if let Some(response) = parts.extensions.remove::<OnLoop>().and_then(OnLoop::make) {
        return response;
    }
    if body.is_end_stream() {
        return Response::from_parts(parts, Body::empty());
    }
    if let Some(length) = body.size_hint().exact() {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::stream(pieces(body, spawner)))
}

/// A body's pieces, polled for on the spawner where they are not there at once.
pub(crate) fn pieces<B>(body: B, spawner: Rc<dyn Spawn>) -> BodyStream
where
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
{
    let body = Rc::new(RefCell::new(Box::pin(body)));
    BodyStream::new(move || {
        // A waker that wakes nobody will do for a look; whoever waits is polled again.
        if let Poll::Ready(piece) = poll_piece(&body, &mut Context::from_waker(Waker::noop())) {
            return Deferred::ready(piece);
        }
        let waiting = Rc::clone(&body);
        let (piece, driver) = from_future(poll_fn(move |cx| poll_piece(&waiting, cx)));
        spawner.spawn(Box::pin(driver));
        piece
    })
}

fn poll_piece<B>(
    body: &RefCell<Pin<Box<B>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<BodyPiece>, Failure>>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    body.borrow_mut().as_mut().poll_frame(cx).map(|frame| match frame {
        None => Ok(None),
        Some(Err(error)) => Err(Failure::new(error.into())),
        Some(Ok(frame)) => Ok(Some(piece(frame))),
    })
}

fn piece<D: Buf>(frame: Frame<D>) -> BodyPiece {
    match frame.into_data() {
        Ok(mut data) => BodyPiece::Bytes(data.copy_to_bytes(data.remaining())),
        Err(frame) => match frame.into_trailers() {
            Ok(trailers) => BodyPiece::Trailers(trailers),
            // There are no other frames, and what is unknown is nothing to be sent.
            Err(_) => BodyPiece::Bytes(Bytes::new()),
        },
    }
}
