//! What can go wrong before a database is asked.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why a pool gave no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// As many calls wait as [`PoolOptions::waiters_max`](crate::PoolOptions::waiters_max) allows.
    Crowded {
        /// How many wait.
        waiting: usize,
    },
    /// None was free in time.
    WaitTimedOut {
        /// How long this call waited.
        after: Duration,
    },
    /// The pool is closed.
    Closed,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crowded { waiting } => {
                write!(f, "{waiting} calls wait for a connection to the database already")
            }
            Self::WaitTimedOut { after } => {
                write!(f, "no connection to the database was free within {after:?}")
            }
            Self::Closed => f.write_str("the pool of connections to the database is closed"),
        }
    }
}

impl Error for PoolError {}

/// Why a row does not give what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowError {
    /// It has no such column.
    NoColumn {
        /// The name or the number that was asked for.
        asked: String,
    },
    /// It has another number of columns than the type that was asked for.
    Width {
        /// How many were wanted.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The value in it is of another type, or out of that type's range.
    Type {
        /// The column's name.
        column: String,
        /// The type that was asked for.
        wanted: &'static str,
        /// What is there.
        found: String,
    },
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColumn { asked } => write!(f, "there is no column {asked}"),
            Self::Width { wanted, found } => {
                write!(f, "{wanted} columns were expected, and {found} came")
            }
            Self::Type { column, wanted, found } => {
                write!(f, "column {column} was expected to be {wanted}, and is {found}")
            }
        }
    }
}

impl Error for RowError {}
