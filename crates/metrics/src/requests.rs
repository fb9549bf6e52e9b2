//! Requests, as whoever answers them counts them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ropewalk_reactor::Histogram;

/// Counts requests and how long they took; a clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Counted>>);

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// By the first digit of the status; at nought what had none.
    pub by_class: [u64; 6],
    /// From a request's head to its answer's end.
    pub took: Histogram,
}

impl Requests {
    /// Counts one with this status.
    pub fn record(&self, status: u16, took: Duration) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let class = usize::from(status / 100);
        counted.by_class[if class < 6 { class } else { 0 }] += 1;
        counted.took.record(took);
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
