//! Connections for code that pulls, and loops for code that asks for one.
//!
//! A [`Stream`] is a connection's other face: bytes are read from it and written to it by futures, over any
//! transport. It has a buffer only while there is something in it. Crates that need no more of an I/O library
//! than its traits run on it as they are: `hyper`, `h2`, `tokio-postgres`.
//!
//! | to | look at |
//! |---|---|
//! | connect and get a stream | [`connect_stream`] |
//! | listen and get one for each connection | [`listen_streams`] |
//! | go on with a connection that is up | [`Stream::new`], and [`Conn::switch_protocol`](ropewalk_protocol::Conn::switch_protocol) |
//! | hand it to crates of tokio's kind | feature `tokio`: `AsyncRead` and `AsyncWrite` of a [`Stream`] |
//! | hand it to crates of futures' kind | feature `futures`: the same of theirs |
//! | hand it to hyper | feature `hyper`: its `Read` and `Write`, and `hyper::Tasks` and `hyper::Time` for the rest |
//! | give what stays on this thread to an interface that asks for `Send` | [`SameThread`] |
//!
//! | what is bounded | by | beyond it |
//! |---|--:|---|
//! | bytes that came and are not read | [`READ_MAX`], 64 KiB and what one receive brings | the peer waits |
//! | bytes that wait to be sent | the connection's [`Marks::high`](ropewalk_protocol::Marks), 64 KiB | writing waits |
//! | connections of [`listen_streams`] | what the listener allows | as it says |

#![forbid(unsafe_code)]

#[cfg(feature = "futures")]
mod futures;
#[cfg(feature = "hyper")]
pub mod hyper;
mod same_thread;
mod stream;
#[cfg(feature = "tokio")]
mod tokio;

pub use same_thread::{SameThread, WrongThread};
pub use stream::{Feeder, READ_MAX, Stream, connect_stream, listen_streams};
