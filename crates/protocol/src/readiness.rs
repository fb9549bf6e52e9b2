//! Descriptors that are watched for those who read from them.

use std::any::Any;
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

/// A descriptor that is watched; dropping this ends it.
#[must_use = "it is watched no more once this is dropped"]
pub struct Readable {
    _watch: Box<dyn Any>,
}

impl Readable {
    /// Something that ends the watching when it is dropped.
    pub fn new(watch: impl Any) -> Self {
        Self { _watch: Box::new(watch) }
    }
}

impl fmt::Debug for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readable").finish_non_exhaustive()
    }
}
