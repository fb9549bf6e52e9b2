//! Pools and their databases, in memory and under a clock that the test moves.

#[cfg(feature = "sqlite")]
#[path = "database/pool.rs"]
mod pool;
#[cfg(feature = "postgres")]
#[path = "database/postgres.rs"]
mod postgres;
#[cfg(feature = "sqlite")]
#[path = "database/rows.rs"]
mod rows;

use std::panic::Location;
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{DelayedCall, Threads};
use ropewalk_trial::{Clock, LaterThreads};

/// A loop whose threads work when the test says so.
#[derive(Clone)]
struct Host {
    clock: Clock,
    threads: LaterThreads,
}

impl Host {
    fn new() -> Self {
        Self { clock: Clock::new(), threads: LaterThreads::new() }
    }
}

impl ropewalk_protocol::Clock for Host {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn schedule_from(
        &self,
        made_at: &'static Location<'static>,
        delay: Duration,
        call: Box<dyn FnOnce()>,
    ) -> DelayedCall {
        self.clock.schedule_from(made_at, delay, call)
    }
}

impl Threads for Host {
    fn submit(
        &self,
        work: Box<dyn FnOnce() + Send>,
        finished: Box<dyn FnOnce()>,
    ) -> Result<(), Failure> {
        self.threads.submit(work, finished)
    }
}
