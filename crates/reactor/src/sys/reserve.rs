//! A descriptor kept for the moment in which there is no other left.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};

use super::Sockets;
use super::readiness::ACCEPTS_PER_TURN_MAX;

pub(super) struct Reserve(Option<OwnedFd>);

impl Reserve {
    pub(super) fn new() -> Self {
        Self(open())
    }

    /// Takes the place of one that was lost, now that a descriptor is free.
    pub(super) fn renew(&mut self) {
        if self.0.is_none() {
            self.0 = open();
        }
    }

    /// Accepts and closes what waits at a listener; answers how many connections that were.
    pub(super) fn shed(&mut self, sockets: &Sockets, key: usize) -> usize {
        if self.0.take().is_none() {
            return 0;
        }
        let count = (0..ACCEPTS_PER_TURN_MAX)
            .take_while(|_| sockets.with(key, |listener| accept(listener).is_ok()) == Some(true))
            .count();
        self.0 = open();
        count
    }
}

fn open() -> Option<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// Accepts a connection, which then neither blocks nor outlives an `exec`.
pub(super) fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}
