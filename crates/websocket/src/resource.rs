//! A WebSocket as a resource of a site.

use std::fmt;
use std::rc::Rc;

use ropewalk_http::{Body, IntoReply, Reply, Request, Resource};
use ropewalk_protocol::Drain;

use crate::handshake::{Refusal, answer};
use crate::session::Session;
use crate::{Group, Options, Role, WebSocketProtocol};

type Make<P> = Box<dyn FnMut(&Request) -> P>;

/// A place of a [`Site`](ropewalk_http::Site) where WebSockets are opened.
///
/// A request that opens none is told what is wrong with it: see [`Refusal`].
///
/// ```
/// use ropewalk_http::{Request, Site, Tree};
/// use ropewalk_trial::{Clock, Memory};
/// use ropewalk_websocket::{Message, Prepared, Slow, WebSocket, WebSocketProtocol, WebSocketResource};
///
/// struct Echo;
/// impl WebSocketProtocol for Echo {
///     fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
///         socket.send(message);
///     }
/// }
///
/// let echoes = WebSocketResource::new(|_: &Request| Echo);
/// let everyone = echoes.group();
/// let site = Site::new(Tree::new().child("echo", echoes));
///
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(
///     b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
///       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n",
/// );
/// assert!(client.take_sent().starts_with(b"HTTP/1.1 101 "));
/// client.push(b"\x81\x82\x00\x00\x00\x00hi");
/// assert_eq!(client.take_sent(), b"\x81\x02hi");
/// everyone.send(&Prepared::text("news"), Slow::Misses);
/// assert_eq!(client.take_sent(), b"\x81\x04news");
/// ```
pub struct WebSocketResource<P: WebSocketProtocol> {
    options: Options,
    make: Make<P>,
    group: Group<P>,
    /// The same, for sites.
    drain: Rc<dyn Drain>,
}

impl<P: WebSocketProtocol> WebSocketResource<P> {
    /// Opens a WebSocket for each request that asks for one, and has `make` say who speaks over it.
    pub fn new(make: impl FnMut(&Request) -> P + 'static) -> Self {
        let group = Group::new();
        let drain = Rc::new(group.clone());
        Self { options: Options::new(), make: Box::new(make), group, drain }
    }

    /// Sets the connections up so.
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// All that are open, to tell them something. A site that is drained closes them as those of who goes away
    /// (1001).
    pub fn group(&self) -> Group<P> {
        self.group.clone()
    }

    fn open(&mut self, request: &Request) -> Result<http::Response<Body>, Refusal> {
        let (response, agreed) = answer(request, &self.options)?;
        let session = Session::new(Role::Server, (self.make)(request), &self.options, agreed);
        Ok(response.map(|()| Body::switch_among(&self.drain, session.in_place(self.group.place()))))
    }
}

impl<P: WebSocketProtocol> Resource for WebSocketResource<P> {
    fn render(&mut self, request: Request) -> Reply {
        match self.open(&request) {
            Ok(response) => Reply::Now(response),
            Err(refusal) => refusal.into_reply(),
        }
    }
}

impl<P: WebSocketProtocol> fmt::Debug for WebSocketResource<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketResource")
            .field("options", &self.options)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
