//! Databases: a pool of connections, and what is asked of them as deferreds.
//!
//! | to | look at |
//! |---|---|
//! | keep data in a file, or in memory | [`sqlite`], a [`Pool`] of [`Sqlite`](sqlite::Sqlite) |
//! | ask a server of PostgreSQL | [`postgres`], a [`postgres::Pool`] |
//! | use another driver that blocks | [`Driver`] |
//! | bound the connections, and those who wait for one | [`PoolOptions`] |
//! | see what a pool does | [`PoolMetrics`] |
//!
//! Whatever the database, a pool has these verbs:
//!
//! | verb | does |
//! |---|---|
//! | `run_query` | one statement, for its rows; `run_query_as` makes each row into a type |
//! | `run_operation` | one statement, for how many rows it changed |
//! | `run_interaction` | one transaction: committed, or rolled back on an error, a panic or a cancellation |
//! | `run_with_connection` | anything, with one connection for as long as it takes |
//! | `metrics`, `close` | as they say |
//!
//! | what is bounded | unless told otherwise | beyond it |
//! |---|--:|---|
//! | connections of a pool | 8 | calls wait |
//! | calls that wait for a connection | 1,024 | [`PoolError::Crowded`] |
//! | how long a call waits for one | 30 s | [`PoolError::WaitTimedOut`] |
//! | how long one stays open unused; how long at all | 10 min; 1 h | it is closed |
//!
//! # Differs from Twisted
//!
//! - There is no guess whether a connection still works, and no statement of one's own that tells: a driver
//!   knows. One that is broken is let go, and the next call opens another.
//! - Waiting for a connection is a queue with a bound and a time-out, not a thread that is not free.
//! - Cancelling a call stops its statement and rolls its transaction back.
//! - A panic in an interaction rolls back as an error does, and the connection is used again.

#![forbid(unsafe_code)]

mod blocking;
mod error;
mod options;
#[cfg(feature = "postgres")]
pub mod postgres;
mod slots;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use blocking::{Driver, Pool, Stop};
pub use error::{PoolError, RowError};
pub use options::{PoolMetrics, PoolOptions};
