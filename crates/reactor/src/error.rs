//! What can go wrong with a reactor itself.

use std::error::Error;
use std::fmt;
use std::io;

use ropewalk_protocol::Address;

/// Why a reactor could not do what was asked of it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReactorError {
    /// It runs already: a protocol or a callback tried to run it again.
    AlreadyRunning,
    /// The system refused something the loop cannot do without.
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for ReactorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyRunning => f.write_str("the reactor runs already"),
            Self::System { doing, .. } => write!(f, "the system refused while {doing}"),
        }
    }
}

impl Error for ReactorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::AlreadyRunning => None,
            Self::System { error, .. } => Some(error),
        }
    }
}

/// Why nothing could listen at an address.
#[derive(Debug)]
pub struct CannotListen {
    /// Where.
    pub address: Address,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}", self.address)
    }
}

impl Error for CannotListen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// The reactor that a [`ReactorHandle`](crate::ReactorHandle) spoke of is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReactorGone;

impl fmt::Display for ReactorGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reactor is gone")
    }
}

impl Error for ReactorGone {}

/// The thread pool would not take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolRefused {
    /// As many jobs wait as are allowed to.
    Full,
    /// The system gave no thread, and none is there to do the job.
    NoThread(io::ErrorKind),
}

impl fmt::Display for PoolRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the thread pool's queue is full"),
            Self::NoThread(kind) => write!(f, "the system gave the thread pool no thread: {kind}"),
        }
    }
}

impl Error for PoolRefused {}
