//! A client of memcached: its text protocol, with any number of calls in flight on one connection.
//!
//! [`connect`] gives a [`Client`], which has a function for each command; every one of them gives a
//! [`Deferred`](ropewalk_deferred::Deferred). Calls are sent at once and answered in their order.
//!
//! ```
//! use std::time::Duration;
//!
//! use ropewalk_deferred::Failure;
//! use ropewalk_memcached::{CasOutcome, Entry, Expiry, connect};
//! use ropewalk_protocol::ClientEndpoint;
//!
//! async fn visit(cache: &dyn ClientEndpoint) -> Result<u64, Failure> {
//!     let client = connect(cache).await?;
//!     client.set("greeting", "hello").await?;
//!     let soon = Expiry::After(Duration::from_secs(60));
//!     client.add("visits", Entry::new("0").expires(soon)).await?;
//!     if let Some(item) = client.gets("greeting").await? {
//!         let louder = [&item.value[..], b"!"].concat();
//!         let outcome = client.cas("greeting", louder, item.cas_unique).await?;
//!         assert_eq!(outcome, CasOutcome::Stored);
//!     }
//!     Ok(client.incr("visits", 1).await?.unwrap_or(0))
//! }
//! ```
//!
//! | commands | here |
//! |---|---|
//! | `get`, `gets` | [`Client::get`], [`Client::gets`], [`Client::get_many`], [`Client::gets_many`] |
//! | `gat`, `gats` | [`Client::gat`], [`Client::gats`], [`Client::gat_many`], [`Client::gats_many`] |
//! | `set`, `add`, `replace`, `append`, `prepend`, `cas` | [`Client::set`] and so on, of an [`Entry`] |
//! | `delete`, `touch`, `incr`, `decr` | [`Client::delete`] and so on |
//! | `stats`, `version`, `verbosity`, `flush_all` | [`Client::stats`] and so on |
//!
//! What is bounded, each by a field of [`Limits`] or a constant:
//!
//! | what | bound | beyond it |
//! |---|--:|---|
//! | calls that wait for their answer | 1,024 | [`CallError::TooMany`] |
//! | output that waits, with what is held before the connection is made | 64 MiB | [`CallError::TooMany`] |
//! | a key | [`KEY_MAX`], 250 B | [`BadRequest::LongKey`] |
//! | keys in one call | 1,000 | [`BadRequest::ManyKeys`] |
//! | a value, sent or received | 1 MiB | [`BadRequest::LongValue`], [`BadReply::LongValue`] |
//! | all values of one answer | 64 MiB | [`BadReply::LongAnswer`] |
//! | lines of statistics in one answer | 10,000 | [`BadReply::LongAnswer`] |
//! | a line from the server | [`LINE_MAX`], 2,048 B | [`BadReply::Line`] |
//! | a wait without any answer while there are calls | 60 s | [`CallError::Late`], and the connection's end |
//!
//! # Differs from Twisted
//!
//! - What is asked before the connection is made is held, not refused.
//! - An answer that does not fit its call ends the connection, since no later one could be told apart.
//! - A key that is not there is `None` or `false`; nothing has to be compared with `(0, None)`.
//! - Dropping the last [`Client`] closes the connection once all calls are answered.

#![forbid(unsafe_code)]

mod client;
mod codec;
mod error;
mod link;

pub use client::{CasOutcome, Client, Entry, Item, connect, connect_with};
pub use codec::{Decoder, Expiry, KEY_MAX, LINE_MAX, Reply};
pub use error::{BadReply, BadRequest, CallError};
pub use link::{Limits, Memcached};
