//! What is started, drained and stopped.

use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};

/// Something that a program runs from one moment to another: a server, a client that stays connected, a job
/// done every minute, a process that is looked after.
///
/// Whoever holds it calls these in order: [`prepare`](Self::prepare), [`start`](Self::start), then, when it
/// is to end, [`drain`](Self::drain) and [`stop`](Self::stop). After a stop it may be started again. A
/// [`Tree`](crate::Tree) keeps the order for many, and is a service itself.
pub trait Service {
    /// Does what wants privileges that are given up before the rest starts, such as binding a port.
    ///
    /// # Errors
    ///
    /// The deferred fails if it cannot.
    fn prepare(&self) -> Deferred<()> {
        Deferred::succeed(())
    }

    /// Starts it; the deferred succeeds once it does what it is for.
    ///
    /// # Errors
    ///
    /// The deferred fails if it cannot be started; then it is not running.
    fn start(&self) -> Deferred<()>;

    /// Takes on nothing new, ends what is idle, and lets the rest finish; what is not through by
    /// `deadline`, counted from now, is cut. The deferred tells how it went, and never fails for what it cut.
    fn drain(&self, deadline: Duration) -> Deferred<Drained> {
        let _ = deadline;
        Deferred::succeed(Drained::default())
    }

    /// Ends it; the deferred succeeds once nothing of it is left.
    ///
    /// # Errors
    ///
    /// The deferred fails if something went wrong on the way; it is over all the same.
    fn stop(&self) -> Deferred<()>;
}

impl<S: Service + ?Sized> Service for Rc<S> {
    fn prepare(&self) -> Deferred<()> {
        (**self).prepare()
    }

    fn start(&self) -> Deferred<()> {
        (**self).start()
    }

    fn drain(&self, deadline: Duration) -> Deferred<Drained> {
        (**self).drain(deadline)
    }

    fn stop(&self) -> Deferred<()> {
        (**self).stop()
    }
}

impl<S: Service + ?Sized> Service for Box<S> {
    fn prepare(&self) -> Deferred<()> {
        (**self).prepare()
    }

    fn start(&self) -> Deferred<()> {
        (**self).start()
    }

    fn drain(&self, deadline: Duration) -> Deferred<Drained> {
        (**self).drain(deadline)
    }

    fn stop(&self) -> Deferred<()> {
        (**self).stop()
    }
}

/// How a drain went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were there when it began.
    pub found: usize,
    /// Those of them that were cut, as they were not through by the deadline.
    pub cut: usize,
}

impl Drained {
    /// So many were found, and so many of them cut.
    pub fn new(found: usize, cut: usize) -> Self {
        Self { found, cut }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { found: self.found + other.found, cut: self.cut + other.cut }
    }
}

/// What a service was to do when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    /// [`Service::prepare`].
    Prepare,
    /// [`Service::start`].
    Start,
    /// [`Service::drain`].
    Drain,
    /// [`Service::stop`].
    Stop,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepared",
            Self::Start => "started",
            Self::Drain => "drained",
            Self::Stop => "stopped in order",
        })
    }
}

/// A service failed, by its name.
#[derive(Debug)]
pub struct ServiceFailed {
    /// Its name in its tree; in a tree within a tree, [`failure`](Self::failure) is another of these.
    pub name: String,
    /// What it was to do.
    pub doing: Doing,
    /// Why it could not.
    pub failure: Failure,
}

impl ServiceFailed {
    /// The names from the outermost tree down to the service, with slashes between them.
    pub fn path(&self) -> String {
        match self.failure.check::<Self>() {
            Some(inner) => format!("{}/{}", self.name, inner.path()),
            None => self.name.clone(),
        }
    }
}

impl fmt::Display for ServiceFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service {:?} could not be {}", self.name, self.doing)
    }
}

impl Error for ServiceFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.failure.error())
    }
}

/// Several services failed while all were stopped.
#[derive(Debug)]
pub struct StopFailed {
    /// Each of them, in the order in which they were stopped; at least one.
    pub failed: Vec<ServiceFailed>,
}

impl fmt::Display for StopFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.failed.iter().map(ServiceFailed::path).collect();
        write!(f, "not stopped in order: {}", names.join(", "))
    }
}

impl Error for StopFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failed.first().map(|first| first as _)
    }
}
