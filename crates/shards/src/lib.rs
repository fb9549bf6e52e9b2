//! More cores: a reactor in each of several threads, or processes that share their sockets.
//!
//! A reactor is one thread, and what belongs to a connection never leaves it. More cores are more
//! reactors: each has its own listeners, protocols and state, and they share what they send each other.
//!
//! | to | look at |
//! |---|---|
//! | run a reactor on each core | [`shards()`], [`Shards`], [`cores`] |
//! | choose who gets which connection | [`Dealing`] |
//! | keep each on its core | [`Shards::pinned`] |
//! | send messages from one to another | [`Shards::messages`], [`Shard::send`], [`Shard::on_message`] |
//! | send messages from any thread to a reactor | [`Mailbox`] |
//! | stop all, or fail | [`ShardsHandle::stop`], [`Shard::fail`], [`ShardFailed`] |
//! | run a program several times on the same sockets | [`Workers`], [`Binder`] |
//! | be one of these | [`Worker`] |
//!
//! | bound | default |
//! |---|---|
//! | messages waiting for one shard | 16,384 |
//! | connections that were handed to one shard and that it has not taken in | 4,096; who accepts more keeps them |
//! | the wait before a worker that died is started again | 100 ms, doubled each time up to 30 s |
//! | how long a new worker may take until it is ready | 30 s |
//! | how long a worker may take to stop | 30 s, then it is killed |
//!
//! Every shard listens at the same places, in the same order. A port that the system chooses is chosen
//! once.
//!
//! ```no_run
//! use std::net::SocketAddr;
//! use ropewalk_protocol::{Address, Conn, Protocol};
//! use ropewalk_reactor::TcpListenOptions;
//! use ropewalk_shards::{cores, shards};
//!
//! struct Echo;
//!
//! impl Protocol for Echo {
//!     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
//!         conn.write(data);
//!     }
//! }
//!
//! shards(cores(), |reactor, _| {
//!     let everywhere = SocketAddr::from(([0, 0, 0, 0], 8080));
//!     let echo = |_: &Address| Some(Echo);
//!     reactor.listen_tcp(everywhere, TcpListenOptions::default(), Box::new(echo))?;
//!     Ok(())
//! })?;
//! # Ok::<(), ropewalk_shards::ShardFailed>(())
//! ```

#![forbid(unsafe_code)]

mod affinity;
#[cfg(unix)]
mod binder;
mod group;
mod mailbox;
mod pulse;
mod shards;
#[cfg(unix)]
mod worker;
#[cfg(unix)]
mod workers;

#[cfg(unix)]
pub use binder::{Binder, Listeners};
pub use group::Dealing;
pub use mailbox::{Mailbox, SendError, Unsent};
pub use shards::{MESSAGES_MAX, Shard, ShardFailed, Shards, ShardsHandle, cores, shards};
#[cfg(unix)]
pub use worker::{NotWorker, Ready, Worker};
#[cfg(unix)]
pub use workers::{NotReady, WorkerOptions, WorkerState, Workers};
