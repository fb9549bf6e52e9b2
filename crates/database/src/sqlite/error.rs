//! What SQLite says no with.

use std::error::Error;
use std::fmt;

use rusqlite::ErrorCode;

use crate::RowError;

/// SQLite refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteError {
    kind: SqliteErrorKind,
    code: i32,
    message: String,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqliteErrorKind {
    /// Somebody else holds a lock, and did so for as long as this connection waits. It may work later.
    Busy,
    /// A constraint of the schema would be broken.
    Constraint,
    /// The disk, or the database's own bound, is full.
    Full,
    /// The statement was stopped, as its deferred was cancelled.
    Interrupted,
    /// The file cannot be opened.
    CannotOpen,
    /// The file is no database, or a broken one.
    Corrupt,
    /// The database may not be written to.
    ReadOnly,
    /// The system cannot read or write the file.
    Io,
    /// The result has more rows or bytes than this connection takes.
    TooLarge,
    /// The wrong number of parameters was given.
    Parameters,
    /// Text in the database is not UTF-8.
    NotText,
    /// The statement is wrong, or anything else.
    Statement,
}

impl SqliteError {
    pub(crate) fn new(kind: SqliteErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: 0, message: message.into() }
    }

    /// What kind of refusal it is.
    pub fn kind(&self) -> SqliteErrorKind {
        self.kind
    }

    /// SQLite's own extended result code; 0 where the refusal is not SQLite's.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// Whether the same may well work a little later.
    pub fn is_temporary(&self) -> bool {
        self.kind == SqliteErrorKind::Busy
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLite: {}", self.message)
    }
}

impl Error for SqliteError {}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        let message = error.to_string();
        let (kind, code) = match &error {
            rusqlite::Error::SqliteFailure(cause, _)
            | rusqlite::Error::SqlInputError { error: cause, .. } => {
                let kind = match cause.code {
                    ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => SqliteErrorKind::Busy,
                    ErrorCode::ConstraintViolation => SqliteErrorKind::Constraint,
                    ErrorCode::DiskFull => SqliteErrorKind::Full,
                    ErrorCode::OperationInterrupted => SqliteErrorKind::Interrupted,
                    ErrorCode::CannotOpen => SqliteErrorKind::CannotOpen,
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                        SqliteErrorKind::Corrupt
                    }
                    ErrorCode::ReadOnly => SqliteErrorKind::ReadOnly,
                    ErrorCode::SystemIoFailure => SqliteErrorKind::Io,
                    ErrorCode::TooBig => SqliteErrorKind::TooLarge,
                    _ => SqliteErrorKind::Statement,
                };
                (kind, cause.extended_code)
            }
            rusqlite::Error::InvalidParameterCount(..) => (SqliteErrorKind::Parameters, 0),
            rusqlite::Error::Utf8Error(..) => (SqliteErrorKind::NotText, 0),
            _ => (SqliteErrorKind::Statement, 0),
        };
        Self { kind, code, message }
    }
}

/// A row that could not be read, while it was being made into a type.
impl From<RowError> for SqliteError {
    fn from(error: RowError) -> Self {
        Self::new(SqliteErrorKind::Statement, error.to_string())
    }
}
