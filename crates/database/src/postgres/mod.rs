//! PostgreSQL, spoken on the loop's own thread over any transport.
//!
//! A [`Pool`] has connections for whoever needs one; a [`Client`] is a single one. Statements are prepared at
//! their first use and kept; calls are pipelined. Nothing here knows what a socket is.
//!
//! ```no_run
//! use ropewalk_database::PoolOptions;
//! use ropewalk_database::postgres::{Config, Pool};
//! use ropewalk_deferred::Failure;
//! use ropewalk_protocol::ClientEndpoint;
//! use ropewalk_reactor::Reactor;
//!
//! async fn books(reactor: &Reactor, server: impl ClientEndpoint + 'static) -> Result<(), Failure> {
//!     let config = Config::new("alice").password("secret").database("shop");
//!     let pool = Pool::new(reactor, server, config, PoolOptions::default());
//!     let sql = "SELECT title, year FROM books WHERE year > $1";
//!     for (title, year) in pool.run_query_as::<(String, i32)>(sql, (1999,)).await? {
//!         println!("{title}, {year}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! | PostgreSQL's manual | here |
//! |---|---|
//! | Message Flow, Start-up | [`Config`]; SCRAM-SHA-256, MD5, passwords as they are over what others cannot read |
//! | SSL Session Encryption | [`Config::tls`]: required and verified, or not used |
//! | Extended Query, Pipelining | [`Client::query`], [`Client::execute`] |
//! | Simple Query | [`Client::script`] |
//! | Canceling Requests in Progress | cancelling a call's deferred |
//! | Asynchronous Operations | [`Client::on_notification`]; notices are logged |
//! | Message Formats | [`Decoder`], [`Message`] |
//!
//! `COPY` from and to the client, replication and GSSAPI are not spoken: they fail with an error of their own.
//!
//! | what is bounded, by a field of [`Limits`] | unless told otherwise | beyond it |
//! |---|--:|---|
//! | calls that wait on one connection | 1,024 | [`PostgresError::TooMany`] |
//! | output that waits | 64 MiB | [`PostgresError::TooMany`] |
//! | a message | 64 MiB | [`BadMessage::TooLong`], and the connection's end |
//! | all rows of one result | 256 MiB | [`PostgresError::TooLarge`], and the statement is stopped |
//! | prepared statements | 128 | the one unused for longest is forgotten |
//! | a login | 10 s | [`PostgresError::Late`], and the connection's end |
//! | a wait without any answer while there are calls | 5 min | [`PostgresError::Late`], and the connection's end |

mod call;
mod client;
mod codec;
mod config;
mod error;
mod link;
mod login;
mod pool;
mod protocol;
mod row;
mod statements;

pub use client::{Client, Notification, connect};
pub use codec::{Authentication, Decoder, Message, RawRow, Status};
pub use config::{Config, Limits};
pub use error::{BadMessage, PostgresError, ServerError};
pub use pool::{Pool, Transaction};
/// The types and values of PostgreSQL, as the crate `postgres-types` has them.
pub use postgres_types as types;
pub use protocol::Postgres;
pub use row::{Column, FromRow, Param, Params, Row};
