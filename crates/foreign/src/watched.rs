//! A hosted reactor for hosts that are told a descriptor's number.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use ropewalk_reactor::{Reactor, ReactorError};

use crate::{Hosted, Next};

/// A reactor that another loop runs, with a descriptor of its own to be watched: it stays open for as long as
/// this is there, whatever becomes of the reactor, so that a toolkit never watches somebody else's.
///
/// What goes wrong ends it, and is kept: most toolkits have nobody to hand an error to.
pub struct Watched {
    hosted: Hosted,
    descriptor: OwnedFd,
    failed: RefCell<Option<ReactorError>>,
}

impl Watched {
    /// Has `reactor` run by whoever calls [`turn`](Self::turn).
    ///
    /// # Errors
    ///
    /// If the system gives no descriptor to watch.
    pub fn new(reactor: &Reactor) -> Result<Self, ReactorError> {
        let refused = |error| ReactorError::System { doing: "watching the reactor", error };
        let descriptor = reactor.as_fd().try_clone_to_owned().map_err(refused)?;
        Ok(Self { hosted: Hosted::new(reactor), descriptor, failed: RefCell::default() })
    }

    /// Does what there is to do, as [`Hosted::turn`], and says what is next. If the reactor cannot go on that
    /// is [`Next::Ended`]; the log says why, and [`take_error`](Self::take_error).
    pub fn turn(&self) -> Next {
        self.hosted.turn().unwrap_or_else(|error| {
            tracing::error!(target: "ropewalk::foreign", "the reactor cannot go on: {error}");
            self.failed.replace(Some(error));
            Next::Ended
        })
    }

    /// Why the reactor could not go on, if it could not.
    pub fn take_error(&self) -> Option<ReactorError> {
        self.failed.take()
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("hosted", &self.hosted).finish_non_exhaustive()
    }
}
