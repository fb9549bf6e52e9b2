//! Databases of SQLite, and connections to them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ropewalk_deferred::Failure;
use rusqlite::OpenFlags;

use crate::sqlite::{FromRow, Params, Row, SqliteError, SqliteErrorKind, Value};
use crate::{Driver, Stop};

/// How many steps of SQLite's machine are done between two looks whether they are still wanted: some tenths
/// of a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;

/// A database of SQLite: a file, or memory.
///
/// | what | unless told otherwise |
/// |---|---|
/// | a lock that somebody else holds is waited for | 5 s |
/// | rows of one result; bytes of them | 1,000,000; 256 MiB |
/// | statements that a connection keeps prepared | 128 |
/// | journal of a file | [`Journal::WriteAhead`]: readers and a writer at the same time |
/// | interactions begin | [`Locking::Immediate`] |
/// | foreign keys | are checked |
#[derive(Clone, Debug)]
pub struct Sqlite {
    path: Option<PathBuf>,
    is_read_only: bool,
    busy_timeout: Duration,
    rows_max: usize,
    bytes_max: usize,
    statements_max: usize,
    journal: Journal,
    locking: Locking,
}

/// How a database file is kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// `WAL`, with `synchronous = NORMAL`: a power failure may undo the last transactions, and breaks nothing.
    WriteAhead,
    /// `DELETE`, with `synchronous = FULL`: each commit is on the disk.
    Rollback,
    /// As the file has it.
    AsItIs,
}

/// What an interaction takes hold of as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// Nothing: two that have read can come to wait for one another, and one of them fails.
    Deferred,
    /// The right to write: others may read.
    Immediate,
    /// Everything.
    Exclusive,
}

impl Sqlite {
    /// The database in this file, which is made if it is not there.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::at(Some(path.as_ref().to_owned()))
    }

    /// A database in memory, empty at first. It has one connection, and goes with its pool.
    pub fn memory() -> Self {
        Self::at(None)
    }

    fn at(path: Option<PathBuf>) -> Self {
        Self {
            path,
            is_read_only: false,
            busy_timeout: Duration::from_secs(5),
            rows_max: 1_000_000,
            bytes_max: 256 << 20,
            statements_max: 128,
            journal: Journal::WriteAhead,
            locking: Locking::Immediate,
        }
    }

    /// Only reads; a file that is not there is not made.
    pub fn read_only(self) -> Self {
        let (journal, locking) = (Journal::AsItIs, Locking::Deferred);
        Self { is_read_only: true, journal, locking, ..self }
    }

    /// How long a lock that somebody else holds is waited for.
    pub fn busy_timeout(self, busy_timeout: Duration) -> Self {
        Self { busy_timeout, ..self }
    }

    /// How many rows a result may have, and how many bytes.
    pub fn result_max(self, rows_max: usize, bytes_max: usize) -> Self {
        Self { rows_max, bytes_max, ..self }
    }

    /// How many statements a connection keeps prepared.
    pub fn statements_max(self, statements_max: usize) -> Self {
        Self { statements_max, ..self }
    }

    /// How the file is kept whole.
    pub fn journal(self, journal: Journal) -> Self {
        Self { journal, ..self }
    }

    /// What interactions take hold of as they begin.
    pub fn locking(self, locking: Locking) -> Self {
        Self { locking, ..self }
    }

    fn open(&self, stop: &Arc<Stop>) -> Result<Connection, SqliteError> {
        let access = if self.is_read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        };
        // No connection is in two threads at a time.
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let inner = match &self.path {
            Some(path) => rusqlite::Connection::open_with_flags(path, flags)?,
            None => rusqlite::Connection::open_in_memory_with_flags(flags)?,
        };
        inner.busy_timeout(self.busy_timeout)?;
        inner.set_prepared_statement_cache_capacity(self.statements_max);
        inner.execute_batch("PRAGMA foreign_keys = ON")?;
        let pragmas = match self.journal {
            Journal::WriteAhead => "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
            Journal::Rollback => "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL",
            Journal::AsItIs => "",
        };
        if self.path.is_some() {
            inner.execute_batch(pragmas)?;
        }
        let handle = inner.get_interrupt_handle();
        stop.when_wanted(move || handle.interrupt());
        // An interrupt that comes just before a statement begins is lost; this is not.
        let looks = Arc::clone(stop);
        inner.progress_handler(STEPS_PER_LOOK, Some(move || looks.is_wanted()))?;
        let (rows_max, bytes_max) = (self.rows_max, self.bytes_max);
        let stop = Arc::clone(stop);
        Ok(Connection { inner, stop, rows_max, bytes_max, is_broken: false })
    }
}

impl Driver for Sqlite {
    type Connection = Connection;

    fn connect(&self, stop: &Arc<Stop>) -> Result<Connection, Failure> {
        self.open(stop).map_err(|error| {
            let place = self.path.as_ref().map_or("memory".into(), |path| path.to_string_lossy());
            Failure::new(error).context(format!("opening the database in {place}"))
        })
    }

    fn begin(&self, connection: &mut Connection) -> Result<(), Failure> {
        connection.plain(match self.locking {
            Locking::Deferred => "BEGIN DEFERRED",
            Locking::Immediate => "BEGIN IMMEDIATE",
            Locking::Exclusive => "BEGIN EXCLUSIVE",
        })
    }

    fn commit(&self, connection: &mut Connection) -> Result<(), Failure> {
        if connection.inner.is_autocommit() {
            let what = "the transaction was ended by its own work, or by SQLite";
            return Err(SqliteError::new(SqliteErrorKind::Statement, what).into());
        }
        connection.plain("COMMIT")
    }

    fn rollback(&self, connection: &mut Connection) -> Result<(), Failure> {
        // Some errors have SQLite roll back by itself.
        if connection.inner.is_autocommit() { Ok(()) } else { connection.undo() }
    }

    fn is_usable(&self, connection: &mut Connection) -> bool {
        connection.inner.is_autocommit() && !connection.is_broken
    }

    fn connections_max(&self) -> Option<usize> {
        self.path.is_none().then_some(1)
    }
}

/// A connection to a database of SQLite, in the thread that works with it.
pub struct Connection {
    inner: rusqlite::Connection,
    stop: Arc<Stop>,
    rows_max: usize,
    bytes_max: usize,
    /// An error has come after which it is not used again.
    is_broken: bool,
}

impl Connection {
    /// The rows that a statement gives.
    ///
    /// # Errors
    ///
    /// If the database refuses, there are too many rows, or nobody wants them any more.
    pub fn query(&mut self, sql: &str, params: impl Params) -> Result<Vec<Row>, SqliteError> {
        self.query_as(sql, params)
    }

    /// The same, each row made into a type.
    ///
    /// # Errors
    ///
    /// The same, and if a row does not fit the type.
    pub fn query_as<T: FromRow>(
        &mut self,
        sql: &str,
        params: impl Params,
    ) -> Result<Vec<T>, SqliteError> {
        let found = self.read(sql, &params.into_values());
        self.note(found)
    }

    /// Does what a statement says; how many rows it inserted, updated or deleted.
    ///
    /// # Errors
    ///
    /// If the database refuses, or nobody wants it any more.
    pub fn execute(&mut self, sql: &str, params: impl Params) -> Result<u64, SqliteError> {
        let done = self.change(sql, &params.into_values());
        self.note(done)
    }

    fn read<T: FromRow>(&mut self, sql: &str, params: &[Value]) -> Result<Vec<T>, SqliteError> {
        self.check()?;
        let (rows_max, bytes_max) = (self.rows_max, self.bytes_max);
        let mut statement = self.inner.prepare_cached(sql)?;
        let columns: Arc<[String]> =
            statement.column_names().into_iter().map(ToOwned::to_owned).collect();
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let mut values = Vec::with_capacity(columns.len());
            for column in 0..columns.len() {
                let value = Value::read(row.get_ref(column)?)?;
                bytes += value.size();
                values.push(value);
            }
            if found.len() >= rows_max || bytes > bytes_max {
                let what = format!("the result has more than {rows_max} rows or {bytes_max} bytes");
                return Err(SqliteError::new(SqliteErrorKind::TooLarge, what));
            }
            found.push(T::from_row(Row::new(Arc::clone(&columns), values))?);
        }
        Ok(found)
    }

    fn change(&mut self, sql: &str, params: &[Value]) -> Result<u64, SqliteError> {
        self.check()?;
        let mut statement = self.inner.prepare_cached(sql)?;
        if statement.column_count() > 0 {
            // A PRAGMA, or RETURNING: what it gives is not asked for.
            let mut rows = statement.query(rusqlite::params_from_iter(params))?;
            while rows.next()?.is_some() {}
            return Ok(self.inner.changes());
        }
        Ok(statement.execute(rusqlite::params_from_iter(params))? as u64)
    }

    /// Does any number of statements, which have no parameters.
    ///
    /// # Errors
    ///
    /// If the database refuses one; those before it are done.
    pub fn script(&mut self, sql: &str) -> Result<(), SqliteError> {
        self.check()?;
        let done = self.inner.execute_batch(sql).map_err(Into::into);
        self.note(done)
    }

    /// The row that was inserted last.
    pub fn last_insert_rowid(&self) -> i64 {
        self.inner.last_insert_rowid()
    }

    /// The connection of the crate `rusqlite`, for all that is not here: functions of one's own, backups,
    /// blobs in pieces.
    pub fn raw(&mut self) -> &mut rusqlite::Connection {
        &mut self.inner
    }

    fn check(&self) -> Result<(), SqliteError> {
        if self.stop.is_wanted() {
            return Err(SqliteError::new(SqliteErrorKind::Interrupted, "interrupted"));
        }
        Ok(())
    }

    fn plain(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.inner.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|error| SqliteError::from(error).into())
    }

    /// Rolls back, also what was stopped: this is wanted even then.
    fn undo(&mut self) -> Result<(), Failure> {
        self.inner.progress_handler(0, None::<fn() -> bool>).map_err(SqliteError::from)?;
        let undone = self.plain("ROLLBACK");
        let looks = Arc::clone(&self.stop);
        let handler = move || looks.is_wanted();
        let again = self.inner.progress_handler(STEPS_PER_LOOK, Some(handler));
        undone.and(again.map_err(|error| SqliteError::from(error).into()))
    }

    /// Remembers errors after which the file is better opened anew.
    fn note<T>(&mut self, result: Result<T, SqliteError>) -> Result<T, SqliteError> {
        result.inspect_err(|error| {
            let kind = error.kind();
            self.is_broken |= matches!(kind, SqliteErrorKind::Corrupt | SqliteErrorKind::Io);
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("path", &self.inner.path()).finish_non_exhaustive()
    }
}
