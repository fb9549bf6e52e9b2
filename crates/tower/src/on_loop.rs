//! Answers that a service leaves to the loop.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ropewalk_http::Response;

type Make = Box<dyn FnOnce() -> Response + Send>;

/// Among a response's extensions: what answers in its place, made where the connection lives.
///
/// What a service of axum's does has to be fit for other threads; a protocol that takes a connection over is
/// not. So a handler says here how to make it: a WebSocket, for one, on a route of an axum `Router`.
///
/// ```
/// use axum::Router;
/// use axum::extract::Request;
/// use axum::response::{IntoResponse, Response};
/// use axum::routing::get;
/// use ropewalk_http::{Incoming, IntoReply as _, Reply, Site};
/// use ropewalk_tower::{OnLoop, ServiceResource};
/// use ropewalk_trial::{Clock, Executor, Memory};
/// use ropewalk_websocket::{Message, Options, WebSocket, WebSocketProtocol, accept};
///
/// struct Echo;
/// impl WebSocketProtocol for Echo {
///     fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
///         socket.send(message);
///     }
/// }
///
/// async fn echo(request: Request) -> Response {
///     let (parts, _) = request.into_parts();
///     let opened = OnLoop::new(move || {
///         let request = ropewalk_http::Request::from_parts(parts, Incoming::empty());
///         accept(&request, &Options::new(), Echo).unwrap_or_else(|refusal| refusal.response())
///     });
///     (axum::Extension(opened), ()).into_response()
/// }
///
/// let executor = Executor::new();
/// let router = Router::new().route("/echo", get(echo));
/// let site = Site::new(ServiceResource::new(router, executor.clone()));
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(
///     b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
///       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n",
/// );
/// executor.run();
/// client.run();
/// assert!(client.take_sent().starts_with(b"HTTP/1.1 101 "));
/// client.push(b"\x81\x82\x00\x00\x00\x00hi");
/// assert_eq!(client.take_sent(), b"\x81\x02hi");
/// ```
#[derive(Clone)]
pub struct OnLoop(Arc<Mutex<Option<Make>>>);

impl OnLoop {
    /// Has `make` give the response, once.
    pub fn new(make: impl FnOnce() -> Response + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(make)))))
    }

    /// The response, if it was not made yet.
    pub(crate) fn make(self) -> Option<Response> {
        let make = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        make.map(|make| make())
    }
}

impl fmt::Debug for OnLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnLoop").finish_non_exhaustive()
    }
}
