//! What can go wrong with a reactor itself.

use std::error::Error;
use std::fmt;
use std::io;

use ropewalk_protocol::Address;
use rustix::io::Errno;

use crate::sys::os;

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
///
/// Printed with `{}` it names the address, and its source is what the system said. Printed with
/// `{:#}` it is one line for an operator, with both and what may help:
///
/// ```
/// use ropewalk_reactor::CannotListen;
///
/// let address = std::net::SocketAddr::from(([127, 0, 0, 1], 80)).into();
/// let error = CannotListen { address, error: std::io::ErrorKind::PermissionDenied.into() };
/// assert_eq!(error.to_string(), "cannot listen on 127.0.0.1:80");
/// assert_eq!(
///     format!("{error:#}"),
///     "cannot listen on 127.0.0.1:80: permission denied (ports below 1024 want privilege)",
/// );
/// ```
#[derive(Debug)]
pub struct CannotListen {
    /// Where.
    pub address: Address,
    /// What the system said.
    pub error: io::Error,
}

impl CannotListen {
    /// What an operator may want to know or look at, where that shows.
    pub fn advice(&self) -> Option<&'static str> {
        let is_path = matches!(self.address, Address::Unix(_));
        if let Some(errno) = self.error.raw_os_error().map(Errno::from_raw_os_error) {
            match errno {
                Errno::MFILE => return Some("this process may open no more files"),
                errno if errno == os::MACHINE_FULL => {
                    return Some("this machine may open no more files");
                }
                Errno::AFNOSUPPORT => return Some("this machine does not speak this family"),
                _ => (),
            }
        }
        let port = self.address.ip().map(|address| address.port());
        Some(match (self.error.kind(), port) {
            (io::ErrorKind::AddrInUse, _) if is_path => {
                "somebody listens there, or it is no socket that could be replaced"
            }
            (io::ErrorKind::AddrInUse, _) => "somebody listens there already",
            (io::ErrorKind::AddrNotAvailable, _) => "no interface of this machine has the address",
            (io::ErrorKind::PermissionDenied, Some(1..1024)) => "ports below 1024 want privilege",
            (io::ErrorKind::PermissionDenied, _) if is_path => {
                "this user may not put a socket into that folder"
            }
            (io::ErrorKind::NotFound, _) if is_path => "there is no such folder",
            (io::ErrorKind::InvalidInput, _) if is_path => "the path is no name for a socket",
            _ => return None,
        })
    }
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}", self.address)?;
        if f.alternate() {
            write!(f, ": {}", self.error)?;
            if let Some(advice) = self.advice() {
                write!(f, " ({advice})")?;
            }
        }
        Ok(())
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

/// A [`ReactorHandle`](crate::ReactorHandle) could not have a call made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallRefused {
    /// The reactor is gone.
    Gone,
    /// As many calls wait as are allowed to.
    Full,
}

impl fmt::Display for CallRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the reactor is gone",
            Self::Full => "too many calls from other threads wait for the reactor",
        })
    }
}

impl Error for CallRefused {}

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
