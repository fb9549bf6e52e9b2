//! Many conversations that are told the same.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::Drain;
use slab::Slab;

use crate::codec::{Deflate, Window};
use crate::{CloseCode, Encoder, Message, OpCode, Role, WebSocket, WebSocketProtocol};

/// A message that goes to many: it is encoded, and compressed, once.
#[derive(Clone)]
pub struct Prepared {
    opcode: OpCode,
    frame: Bytes,
    /// Where the payload begins in the frame.
    start: usize,
    compressed: Rc<RefCell<Vec<(Deflate, Bytes)>>>,
}

impl Prepared {
    /// Prepares a message.
    pub fn new(message: Message<'_>) -> Self {
        let opcode = match message {
            Message::Text(_) => OpCode::Text,
            Message::Binary(_) => OpCode::Binary,
        };
        let payload = message.as_bytes();
        let mut frame = Vec::with_capacity(payload.len() + 10);
        Encoder::head(&mut frame, opcode, payload.len() as u64);
        let start = frame.len();
        frame.extend_from_slice(payload);
        Self { opcode, frame: frame.into(), start, compressed: Rc::default() }
    }

    /// Prepares a text.
    pub fn text(text: &str) -> Self {
        Self::new(Message::Text(text))
    }

    /// Prepares bytes.
    pub fn binary(bytes: &[u8]) -> Self {
        Self::new(Message::Binary(bytes))
    }

    /// What was prepared.
    pub fn message(&self) -> Message<'_> {
        let payload = &self.frame[self.start..];
        match (self.opcode, str::from_utf8(payload)) {
            (OpCode::Text, Ok(text)) => Message::Text(text),
            _ => Message::Binary(payload),
        }
    }

    /// The frame that a server sends where this was agreed on.
    pub(crate) fn frame(&self, deflate: Option<&Deflate>) -> Bytes {
        let Some(deflate) = deflate.filter(|deflate| self.is_worth(deflate)) else {
            return self.frame.clone();
        };
        // A frame that others get too does not enter into a connection's own context. Where one is
        // kept, the message goes as it is: that leaves the context as both ends have it.
        if deflate.sent.keeps_context {
            return self.frame.clone();
        }
        // How the peer's messages are compressed makes no difference here.
        let received = Window { bits: 15, keeps_context: false };
        let deflate = Deflate { received, ..*deflate };
        let mut compressed = self.compressed.borrow_mut();
        if let Some((_, frame)) = compressed.iter().find(|(has, _)| *has == deflate) {
            return frame.clone();
        }
        let mut frame = Vec::new();
        let mut encoder = Encoder::with(Role::Server, Some(deflate), Rc::default());
        // A server's frames have no mask, so nothing can be lacking for it.
        if encoder.message(&mut frame, self.message()).is_err() {
            return self.frame.clone();
        }
        let frame = Bytes::from(frame);
        compressed.push((deflate, frame.clone()));
        frame
    }

    fn is_worth(&self, deflate: &Deflate) -> bool {
        self.frame.len() - self.start >= deflate.shortest
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("opcode", &self.opcode)
            .field("length", &(self.frame.len() - self.start))
            .finish_non_exhaustive()
    }
}

/// What becomes of a member of a [`Group`] that reads more slowly than it is written to: one that
/// [is slow](WebSocket::is_slow).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Slow {
    /// It misses the message.
    #[default]
    Misses,
    /// It is closed with [`CloseCode::TRY_AGAIN`].
    Closes,
    /// It gets the message, up to [`Marks::max`](ropewalk_protocol::Marks).
    Waits,
}

/// How many members a message went to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// To so many.
    pub to: usize,
    /// So many missed it.
    pub missed: usize,
    /// So many were closed for being slow.
    pub closed: usize,
}

/// Open conversations, such as all those of a [`WebSocketResource`](crate::WebSocketResource). Clones
/// are the same group.
pub struct Group<P: WebSocketProtocol> {
    shared: Rc<Members<P>>,
}

struct Members<P: WebSocketProtocol> {
    sockets: RefCell<Slab<WebSocket<P>>>,
    /// Why newcomers are closed, once there is a reason to.
    farewell: RefCell<Option<(CloseCode, String)>>,
    emptied: RefCell<Vec<Promise<()>>>,
}

impl<P: WebSocketProtocol> Group<P> {
    /// A group without members.
    pub fn new() -> Self {
        let shared = Members {
            sockets: RefCell::default(),
            farewell: RefCell::default(),
            emptied: RefCell::default(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.shared.sockets.borrow().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members, to be spoken to one by one.
    pub fn members(&self) -> Vec<WebSocket<P>> {
        self.shared.sockets.borrow().iter().map(|(_, socket)| socket.clone()).collect()
    }

    /// Sends a message to all that are open.
    pub fn send(&self, message: &Prepared, slow: Slow) -> Sent {
        let mut sent = Sent::default();
        for (_, socket) in self.shared.sockets.borrow().iter().filter(|(_, s)| s.is_open()) {
            if slow != Slow::Waits && socket.is_slow() {
                if slow == Slow::Closes {
                    sent.closed += 1;
                    socket.close(CloseCode::TRY_AGAIN, "too slow");
                } else {
                    sent.missed += 1;
                }
            } else {
                sent.to += 1;
                socket.send_prepared(message);
            }
        }
        sent
    }

    /// Closes all, and whoever comes after; the deferred tells when the last is gone. For a server that
    /// stops: [`CloseCode::GOING_AWAY`].
    pub fn close(&self, code: CloseCode, reason: &str) -> Deferred<()> {
        self.shared.farewell.replace(Some((code, reason.to_owned())));
        for socket in self.members() {
            socket.close(code, reason);
        }
        if self.is_empty() {
            return Deferred::succeed(());
        }
        let (promise, emptied) = deferred();
        self.shared.emptied.borrow_mut().push(promise);
        emptied
    }

    /// A place for one member.
    pub(crate) fn place(&self) -> Place<P> {
        Place { group: self.clone(), key: Cell::new(None) }
    }
}

/// Going away is what a server says that ends (RFC 6455 7.4.1).
impl<P: WebSocketProtocol> Drain for Group<P> {
    fn connections(&self) -> usize {
        self.len()
    }

    fn drain(&self) -> Deferred<()> {
        self.close(CloseCode::GOING_AWAY, "")
    }

    fn cut(&self) -> usize {
        let members = self.members();
        members.iter().for_each(WebSocket::abort);
        members.len()
    }

    fn resume(&self) {
        self.shared.farewell.take();
    }
}

impl<P: WebSocketProtocol> Default for Group<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: WebSocketProtocol> Clone for Group<P> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<P: WebSocketProtocol> fmt::Debug for Group<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("members", &self.len()).finish_non_exhaustive()
    }
}

/// One member's place in a group.
pub(crate) struct Place<P: WebSocketProtocol> {
    group: Group<P>,
    key: Cell<Option<u32>>,
}

impl<P: WebSocketProtocol> Place<P> {
    pub(crate) fn enter(&self, socket: &WebSocket<P>) {
        let key = self.group.shared.sockets.borrow_mut().insert(socket.clone());
        self.key.set(Some(key as u32));
        if let Some((code, reason)) = &*self.group.shared.farewell.borrow() {
            socket.close(*code, reason);
        }
    }

    pub(crate) fn leave(&self) {
        let Some(key) = self.key.take() else { return };
        let mut sockets = self.group.shared.sockets.borrow_mut();
        let socket = sockets.try_remove(key as usize);
        let is_empty = sockets.is_empty();
        drop(sockets);
        drop(socket);
        if is_empty {
            for promise in self.group.shared.emptied.take() {
                promise.succeed(());
            }
        }
    }
}
