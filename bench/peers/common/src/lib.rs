//! What all measured servers say and how they are started.
//!
//! `PEER PORT` listens on `127.0.0.1:PORT`, on any free port when it is 0, and prints
//! `listening 127.0.0.1:PORT` when it is ready to accept.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The body of every answer.
pub const BODY: &str = "Hello, World!";

/// How long an idle connection is kept, for peers whose own default is too short to count the bytes
/// of many: nginx's default.
pub const PATIENCE_SECONDS: u16 = 75;

/// A listener on the port that the command line names.
///
/// # Errors
///
/// When there is no such port, or it is taken.
pub fn listener() -> io::Result<TcpListener> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::other("usage: PEER PORT"))?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Tells the one who started us where we listen.
///
/// # Errors
///
/// When nobody reads it.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening {address}")?;
    out.flush()
}
