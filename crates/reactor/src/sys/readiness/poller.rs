//! What the kernel's interfaces are asked for, and what is remembered for those that forget.

use std::io;
use std::time::Duration;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use crate::sys::os::BorrowedHost;

/// What a kernel's interface must be able to tell: which descriptors are ready, for as long as they
/// are.
pub(crate) trait Poller {
    /// Whether a stream may be told of by [`Trigger::Edge`], as this interface knows edges and a receive
    /// that takes less than it could has taken all there was.
    fn drains(_stream: BorrowedFd<'_>) -> bool {
        false
    }

    /// The name by which it is chosen.
    fn name(&self) -> &'static str;

    /// A descriptor that is readable when [`wait`](Self::wait) would return at once.
    fn descriptor(&self) -> BorrowedHost<'_>;

    /// Makes [`descriptor`](Self::descriptor) tell of what is watched from now on.
    fn expose(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Watches a descriptor; failures and hang-ups are told whatever the interest is, if the
    /// interface can.
    fn add(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> Result<(), Errno>;

    /// Watches it for something else.
    fn modify(
        &mut self,
        socket: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> Result<(), Errno>;

    /// Watches it no more.
    fn delete(&mut self, socket: BorrowedFd<'_>, token: Token) -> Result<(), Errno>;

    /// A watched descriptor is about to be closed.
    fn forget(&mut self, socket: BorrowedFd<'_>, token: Token) {
        // What cannot be told is no longer wanted either.
        let _ = self.delete(socket, token);
    }

    /// Waits until something is ready or `timeout` has passed.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno>;

    /// The event of this number since the last wait.
    fn event(&self, index: usize) -> Option<(Token, Ready)>;
}

/// A key, and which of its uses is meant: events of an earlier one may still be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) key: u32,
    pub(crate) generation: u32,
}

/// What is asked of the kernel for one descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// When a descriptor is told of again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// With each wait, for as long as it is ready.
    Level,
    /// Once more has come, which the kernel need not find out about then; an interface may tell more often.
    Edge,
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel tells any of them with any other")]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// Both ways are shut.
    pub(crate) hung_up: bool,
    pub(crate) failed: bool,
    /// Told by an [edge](Trigger::Edge) that one receive may not be enough for: behind what can be read
    /// there is the stream's end, or bytes that are urgent.
    pub(crate) has_more: bool,
}

/// What is watched, by key: the token of its present use, and what for.
#[derive(Default)]
pub(crate) struct Table(Vec<Option<(Token, Interest)>>);

impl Table {
    /// Writes down what is watched for from now on, if anything.
    pub(crate) fn set(&mut self, token: Token, interest: Option<Interest>) {
        let key = token.key as usize;
        if self.0.len() <= key {
            self.0.resize(key + 1, None);
        }
        self.0[key] = interest.map(|interest| (token, interest));
    }

    /// What is watched under a key.
    pub(crate) fn get(&self, key: usize) -> Option<(Token, Interest)> {
        self.0.get(key).copied().flatten()
    }

    /// All that is watched.
    #[cfg(target_os = "linux")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Token, Interest)> + '_ {
        self.0.iter().copied().flatten()
    }
}
