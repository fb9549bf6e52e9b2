//! Descriptors that are watched for those who read from them.

use std::fmt;

use ropewalk_deferred::Failure;

use crate::Descriptor;

/// A loop that tells when there is something to read.
pub trait Readiness {
    /// Calls `told` in each turn in which `descriptor` has something to read, its end included; with a failure
    /// last, when it is watched no more.
    ///
    /// # Errors
    ///
    /// If it cannot be watched.
    fn tell_readable(
        &self,
        descriptor: Descriptor,
        told: Box<dyn FnMut(Result<(), Failure>)>,
    ) -> Result<Readable, Failure>;
}

/// What is behind a [`Readable`]: a loop's way to watch a descriptor. Dropped, it watches no more.
pub trait Watching {
    /// Stops telling, or goes on.
    fn set_paused(&self, paused: bool);
}

/// A descriptor that is watched; dropping this ends it.
#[must_use = "it is watched no more once this is dropped"]
pub struct Readable(Box<dyn Watching>);

impl Readable {
    /// A descriptor that `watching` watches.
    pub fn new(watching: impl Watching + 'static) -> Self {
        Self(Box::new(watching))
    }

    /// Stops telling, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.0.set_paused(true);
    }

    /// Goes on telling.
    pub fn resume(&self) {
        self.0.set_paused(false);
    }
}

impl fmt::Debug for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readable").finish_non_exhaustive()
    }
}
