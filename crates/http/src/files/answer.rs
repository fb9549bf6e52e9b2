//! What a folder is asked, and what it answers.

use std::fs::File;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

/// A request, as far as a folder looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) base: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) now: SystemTime,
}

impl<'a> Ask<'a> {
    /// A request for `target`: the path and query of its URI, still percent-encoded.
    ///
    /// `now` is the time of the answer; it decides how far a file's age is to be trusted.
    pub fn new(
        method: &'a Method,
        target: &'a str,
        headers: &'a HeaderMap,
        now: SystemTime,
    ) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { method, path, query, base: "", headers, now }
    }

    /// Says where the folder stands: a request below `/static` for `/static/a.css` asks for `a.css`.
    ///
    /// A request that is not below `base` is answered with 404.
    pub fn below(self, base: &'a str) -> Self {
        Self { base: base.trim_end_matches('/'), ..self }
    }
}

/// The whole answer to a request.
///
/// The header fields are complete but for those that belong to the connection or the clock
/// (`Date`, `Connection`, `Server`). `Content-Length` is among them also when the request was HEAD
/// and the body is therefore empty; it is absent from 204 and 304 only.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// What to send after them.
    pub body: Body,
}

/// The body of an [`Answer`].
#[derive(Debug)]
pub enum Body {
    /// None.
    Empty,
    /// All of it, in memory.
    Bytes(Bytes),
    /// Parts of a file, to be sent in this order.
    ///
    /// The offsets are right for the file as it was when it was opened. Should it have shrunk
    /// since, a part ends early: whoever sends it then has promised more bytes than there are, and
    /// can only abort the connection, so that the peer sees a broken answer and not a wrong one.
    /// What a file grew by is not sent.
    File {
        /// The open file.
        file: File,
        /// What to send.
        parts: Vec<Part>,
    },
}

/// A part of a [`Body::File`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes that are not in the file: what stands between ranges (RFC 9110, 14.6).
    Bytes(Bytes),
    /// Bytes of the file.
    File {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        length: u64,
    },
}

impl Body {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { parts, .. } => parts.iter().map(Part::length).sum(),
        }
    }
}

impl Part {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}
