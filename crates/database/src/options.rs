//! How many connections there are, and how long anybody waits for one.

use std::time::Duration;

/// Bounds of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// How many connections there are at most, and at least one; 8.
    pub connections_max: usize,
    /// How many stay open though nobody uses them; 0.
    pub connections_kept: usize,
    /// How many calls may wait for a connection; 1,024. One more fails with
    /// [`PoolError::Crowded`](crate::PoolError::Crowded).
    pub waiters_max: usize,
    /// How long a call waits for a connection; 30 seconds. Then it fails with
    /// [`PoolError::WaitTimedOut`](crate::PoolError::WaitTimedOut).
    pub patience: Duration,
    /// How long a connection stays open that nobody uses; 10 minutes.
    pub idle_max: Duration,
    /// How old a connection may get, which matters where there are several servers behind a name; an hour.
    pub age_max: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            connections_max: 8,
            connections_kept: 0,
            waiters_max: 1024,
            patience: Duration::from_secs(30),
            idle_max: Duration::from_mins(10),
            age_max: Duration::from_hours(1),
        }
    }
}

/// What a pool has done so far, and what it is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolMetrics {
    /// Connections that there are, being opened or closed included.
    pub connections: usize,
    /// Those of them that nobody uses.
    pub idle: usize,
    /// Calls that wait for a connection.
    pub waiting: usize,
    /// Connections opened.
    pub opened: u64,
    /// Attempts to open one that failed.
    pub open_failures: u64,
    /// Connections let go because they were too old, too long unused, or broken.
    pub discarded: u64,
    /// Times a connection was lent to somebody.
    pub lent: u64,
    /// Times somebody had to wait for one.
    pub waited: u64,
    /// Waits that took too long.
    pub wait_timeouts: u64,
    /// Calls refused because too many waited.
    pub refused: u64,
    /// Transactions committed.
    pub committed: u64,
    /// Transactions rolled back, whyever.
    pub rolled_back: u64,
    /// Calls that were cancelled while their database was at work.
    pub cancelled: u64,
    /// Calls whose work failed.
    pub failed: u64,
}
