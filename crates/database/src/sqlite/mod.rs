//! SQLite, in threads.
//!
//! ```
//! use ropewalk_database::sqlite::Sqlite;
//! use ropewalk_database::{Pool, PoolOptions};
//! use ropewalk_deferred::Failure;
//! use ropewalk_reactor::Reactor;
//!
//! async fn sell(pool: &Pool<Sqlite>, book: i64) -> Result<i64, Failure> {
//!     pool.run_operation("INSERT INTO sales (book) VALUES (?1)", (book,)).await?;
//!     // One transaction: an error, a panic or a cancelled deferred undoes all of it.
//!     let left = pool.run_interaction(move |database| {
//!         database.execute("UPDATE books SET stock = stock - 1 WHERE id = ?1", (book,))?;
//!         let rows = database.query_as("SELECT stock FROM books WHERE id = ?1", (book,))?;
//!         rows.first().map(|&(stock,): &(i64,)| stock).ok_or(Failure::new("no such book"))
//!     });
//!     left.await
//! }
//!
//! let reactor = Reactor::new()?;
//! let pool = Pool::new(&reactor, Sqlite::memory(), PoolOptions::default());
//! let tables = "CREATE TABLE books (id INTEGER PRIMARY KEY, stock INTEGER NOT NULL);
//!     CREATE TABLE sales (book INTEGER NOT NULL);
//!     INSERT INTO books VALUES (7, 3)";
//! reactor.run_until(pool.run_script(tables))?;
//! let selling = pool.clone();
//! let left = reactor.run_until(reactor.spawn(async move { sell(&selling, 7).await }))?;
//! assert_eq!(left, 2);
//! # Ok::<(), Failure>(())
//! ```

mod connection;
mod error;
mod row;
mod value;

use ropewalk_deferred::Deferred;

use crate::Pool;

pub use connection::{Connection, Journal, Locking, Sqlite};
pub use error::{SqliteError, SqliteErrorKind};
pub use row::{FromRow, Row};
pub use value::{FromValue, Params, Value};

impl Pool<Sqlite> {
    /// The rows that a statement gives, outside of any transaction but its own.
    ///
    /// `params` stand for `?1`, `?2` and so on: a tuple, an array, or a `Vec` of [`Value`]s. The statement is
    /// prepared once a connection. The deferred fails with a [`SqliteError`] if the database refuses, and as
    /// [`run_with_connection`](Self::run_with_connection) says.
    #[track_caller]
    pub fn run_query(&self, sql: impl Into<String>, params: impl Params) -> Deferred<Vec<Row>> {
        let (sql, params) = (sql.into(), params.into_values());
        self.run_with_connection(move |connection| connection.query(&sql, params))
    }

    /// The same, each row made into a type: a tuple, or whatever is [`FromRow`].
    #[track_caller]
    pub fn run_query_as<T: FromRow + Send + 'static>(
        &self,
        sql: impl Into<String>,
        params: impl Params,
    ) -> Deferred<Vec<T>> {
        let (sql, params) = (sql.into(), params.into_values());
        self.run_with_connection(move |connection| connection.query_as(&sql, params))
    }

    /// Does what a statement says; how many rows it inserted, updated or deleted.
    #[track_caller]
    pub fn run_operation(&self, sql: impl Into<String>, params: impl Params) -> Deferred<u64> {
        let (sql, params) = (sql.into(), params.into_values());
        self.run_with_connection(move |connection| connection.execute(&sql, params))
    }

    /// Runs a script: any number of statements without parameters, in one transaction.
    #[track_caller]
    pub fn run_script(&self, sql: impl Into<String>) -> Deferred<()> {
        let sql = sql.into();
        self.run_interaction(move |connection| connection.script(&sql))
    }
}
