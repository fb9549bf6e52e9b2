//! What all measured servers say and how they are started.
//!
//! `PEER PORT [FOLDER [tls]]` listens on `127.0.0.1:PORT`, on any free port when it is 0, and prints
//! `listening 127.0.0.1:PORT` when it is ready to accept. In the folder lie the files to be served, and
//! `server.crt` and `server.key` for those that are to encrypt.
//!
//! | asked for | answered |
//! |---|---|
//! | `GET /` | [`BODY`] |
//! | `GET /users/{user}/posts/{post}?page=N` | [`page`], with [`FIELDS`], and two that the request decides |
//! | `GET /bytes/{length}` | so many bytes, one of [`LENGTHS`], from memory |
//! | `POST /upload` | how many bytes came |
//! | `GET /static/{name}` | the file |

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

/// The body of every answer.
pub const BODY: &str = "Hello, World!";

/// How long an idle connection is kept, for peers whose own default is too short to count the bytes
/// of many: nginx's default.
pub const PATIENCE_SECONDS: u16 = 75;

/// Fields of the dynamic page, beside its type, its length, `X-Request-Id` and `Content-Language`.
pub const FIELDS: [(&str, &str); 6] = [
    ("cache-control", "private, max-age=60"),
    ("vary", "Accept-Language, Cookie"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("set-cookie", "seen=1; Path=/; HttpOnly; SameSite=Lax"),
];

/// How many bytes may be asked for.
pub const LENGTHS: [usize; 2] = [1024, 1024 * 1024];

/// The most bytes of an upload.
pub const UPLOAD_MAX: usize = 4 * 1024 * 1024;

/// What the dynamic page says.
#[must_use]
pub fn page(user: &str, post: &str, query: &str, language: &str) -> String {
    let page = query.split('&').find_map(|pair| pair.strip_prefix("page=")).unwrap_or("1");
    let mut text = String::with_capacity(64);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "user {user}, post {post}, page {page}, in {language}");
    text
}

/// User and post in the path of a dynamic page, for peers without a router.
#[must_use]
pub fn user_and_post(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/users/")?.split_once("/posts/")
}

/// One of [`LENGTHS`] in such a path, for peers without a router.
#[must_use]
pub fn length(path: &str) -> Option<usize> {
    let length = path.strip_prefix("/bytes/")?.parse().ok()?;
    LENGTHS.contains(&length).then_some(length)
}

/// So many bytes.
#[must_use]
pub fn bytes(length: usize) -> Vec<u8> {
    vec![b'x'; length]
}

/// The folder that the command line names.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    std::env::args_os().nth(2).map(Into::into)
}

/// Whether the command line asks for TLS.
#[must_use]
pub fn is_encrypted() -> bool {
    std::env::args().nth(3).is_some_and(|word| word == "tls")
}

/// A listener on the port that the command line names.
///
/// # Errors
///
/// When there is no such port, or it is taken.
pub fn listener() -> io::Result<TcpListener> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::other("usage: PEER PORT [FOLDER [tls]]"))?;
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
