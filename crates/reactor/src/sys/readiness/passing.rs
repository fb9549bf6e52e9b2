//! Connections that accept descriptors.

use rustix::io::Errno;

use super::{Found, Poller, Readiness, Ready};
use crate::sys::passing::Came;
use crate::sys::{Completion, os};

impl<P: Poller> Readiness<P> {
    /// The next of what came on a connection that accepts descriptors; receives if there is no more.
    pub(super) fn receive_passed(&mut self, key: usize, ready: Ready) -> Option<Found> {
        let interest = self.entries[key].interest?;
        let passing = self.passing.as_mut()?;
        if !passing.is_telling(key) {
            let is_ready = ready.readable || ready.hung_up || ready.failed;
            if !interest.readable || !is_ready {
                return self.receive(key, ready);
            }
            match self.sockets.with(key, |socket| passing.receive(key, socket))? {
                Ok(()) => (),
                Err(error) => {
                    let errno = Errno::from_io_error(&error);
                    let is_passing =
                        errno == Some(Errno::INTR) || errno.is_some_and(os::is_passing);
                    let failed = Found::Other(Completion::Failed { key, error });
                    return (!is_passing).then_some(failed);
                }
            }
        }
        match passing.next()? {
            Came::Descriptor(descriptor) => {
                Some(Found::Other(Completion::Passed { key, descriptor }))
            }
            Came::Bytes(0) => Some(Found::Other(self.ended(key, interest))),
            Came::Bytes(count) => Some(Found::Passed(key, count)),
        }
    }
}
