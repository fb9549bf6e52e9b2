//! What goes out after a response's head.

use std::fmt;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use ropewalk_deferred::Deferred;
use ropewalk_protocol::FileSlice;

use super::upgrade::Takeover;
use crate::codec::PassedFields;

/// A response's body.
#[derive(Debug, Default)]
pub struct Body {
    pub(crate) kind: Kind,
    content_type: Option<&'static HeaderValue>,
    /// Fields of the answer that come from another server and are passed on; only in a
    /// [`Passed`](super::Passed).
    pub(crate) passed: Option<Box<PassedFields>>,
}

#[derive(Debug, Default)]
pub(crate) enum Kind {
    #[default]
    Empty,
    Bytes(Bytes),
    Stream {
        pieces: BodyStream,
        /// How many bytes it will be, where that is known.
        length: Option<u64>,
    },
    /// Another protocol speaks from here on.
    Switch(Takeover),
}

/// One piece of a body that goes out piece by piece.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BodyPiece {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes in a file, which the kernel sends by itself where it can.
    File(FileSlice),
    /// No bytes, but fields that go out after the body, where there is a place for them (RFC 9110 6.5). The
    /// last that came are sent.
    Trailers(HeaderMap),
}

impl BodyPiece {
    /// How many bytes it is.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(slice) => slice.len,
            Self::Trailers(_) => 0,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for BodyPiece {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

type Next = Box<dyn FnMut() -> Deferred<Option<BodyPiece>>>;

/// Pieces that are asked for one after another, each when the client has taken most of those before.
pub struct BodyStream {
    next: Next,
}

impl BodyStream {
    /// Pieces as `next` gives them, now or later; `None` is the end.
    ///
    /// A failure cuts the connection: the client was promised more, and a broken end tells it.
    pub fn new(next: impl FnMut() -> Deferred<Option<BodyPiece>> + 'static) -> Self {
        Self { next: Box::new(next) }
    }

    pub(crate) fn next(&mut self) -> Deferred<Option<BodyPiece>> {
        (self.next)()
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyStream").finish_non_exhaustive()
    }
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body of which nobody knows yet how long it will be.
    pub fn stream(pieces: BodyStream) -> Self {
        Kind::Stream { pieces, length: None }.into()
    }

    /// A body of `length` bytes that come piece by piece.
    ///
    /// A stream that gives more or less than that cuts the connection.
    pub fn stream_of(length: u64, pieces: BodyStream) -> Self {
        Kind::Stream { pieces, length: Some(length) }.into()
    }

    /// How many bytes it is, where that is known.
    pub fn length(&self) -> Option<u64> {
        match &self.kind {
            Kind::Empty | Kind::Switch(_) => Some(0),
            Kind::Bytes(bytes) => Some(bytes.len() as u64),
            Kind::Stream { length, .. } => *length,
        }
    }

    /// What goes out as Content-Type where the response's own fields name none.
    ///
    /// It is set where text or bytes were answered by themselves: see [`IntoReply`](crate::IntoReply).
    pub fn content_type(&self) -> Option<&'static HeaderValue> {
        self.content_type
    }

    /// The same body, of this type.
    pub(super) fn of_type(self, content_type: &'static HeaderValue) -> Self {
        Self { content_type: Some(content_type), ..self }
    }
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, content_type: None, passed: None }
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Kind::Bytes(bytes).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}
