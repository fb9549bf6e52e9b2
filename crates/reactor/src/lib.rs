//! The event loop.
//!
//! A [`Reactor`] carries connections for protocols that know nothing of it: it accepts, connects,
//! receives and sends, makes calls at their time, does blocking work in threads, and runs futures.
//!
//! | to | look at |
//! |---|---|
//! | run and stop | [`Reactor::run`], [`Reactor::run_until`], [`Reactor::stop`] |
//! | listen | [`Reactor::listen_tcp`], [`Reactor::listen_unix`] |
//! | connect | [`Reactor::connect_tcp`], [`Reactor::connect_name`], [`Reactor::connect_unix`] |
//! | call later | [`ropewalk_protocol::Clock`], which a reactor is |
//! | do blocking work | [`Reactor::defer_to_thread`] |
//! | run a future | [`Reactor::spawn`] |
//! | come in from another thread | [`Reactor::handle`] |
//! | be hosted by another loop | [`Reactor::turn`], [`Reactor::next_deadline`] |
//!
//! | bound | default |
//! |---|---|
//! | bytes received from one connection in one turn | 64 KiB |
//! | connections accepted from one listener in one turn | 64 |
//! | system calls spent on one connection's output in one turn | 4 |
//! | threads in the pool | 16, each going after 10 idle seconds |
//! | jobs waiting for a thread | 16,384 |

#![forbid(unsafe_code)]

mod calls;
mod carrier;
mod connector;
mod error;
mod inner;
mod listener;
mod pool;
mod reactor;
mod remote;
mod signals;
mod streams;
mod sys;
mod tasks;
mod wheel;

pub use connector::ConnectOptions;
pub use error::{CannotListen, PoolRefused, ReactorError, ReactorGone};
pub use listener::{ListeningPort, TcpListenOptions, UnixListenOptions};
pub use reactor::{Census, Exit, Reactor};
pub use remote::ReactorHandle;
