//! What is asked of a server, and how it says where it is.

use std::io::{self, Write as _};
use std::net::SocketAddr;

/// The longest request.
pub(crate) const REQUEST_MAX: usize = 512;
/// The answer to a request for no end.
pub(crate) const KEPT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// What stands before many bytes.
pub(crate) const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\n\r\n";

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// A short answer, and the connection stays.
    Keep,
    /// So many bytes in pieces of that size, and the end.
    Bulk { size: usize, total: u64, manner: Manner },
}

/// How pieces are handed over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    /// One behind the other, as slices.
    Slices,
    /// The same in memory that is shared, where the server can: no copy is made of it.
    Shared,
    /// As slices, each of which has left before the next is written: a record each.
    Each,
}

impl Request {
    /// Reads one, once it is whole.
    pub(crate) fn read(heard: &[u8]) -> Option<io::Result<Self>> {
        if !heard.ends_with(b"\r\n\r\n") {
            let is_long = heard.len() >= REQUEST_MAX;
            return is_long.then(|| Err(io::Error::other("the request is too long")));
        }
        let text = String::from_utf8_lossy(heard);
        let path = text.split(' ').nth(1).unwrap_or_default();
        if path == "/keep" {
            return Some(Ok(Self::Keep));
        }
        let numbers = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let bulk = numbers.and_then(|(size, total)| {
            let (total, manner) = match total.split_once('/') {
                None => (total, Manner::Slices),
                Some((total, "shared")) => (total, Manner::Shared),
                Some((total, "each")) => (total, Manner::Each),
                Some(_) => return None,
            };
            Some(Self::Bulk { size: size.parse().ok()?, total: total.parse().ok()?, manner })
        });
        Some(bulk.ok_or_else(|| io::Error::other("a strange request")))
    }
}

/// Tells the one who started us where we listen.
pub(crate) fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening {address}")?;
    out.flush()
}
