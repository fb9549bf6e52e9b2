//! A descriptor kept for the moment in which there is no other left.

use rustix::fd::OwnedFd;

use super::Sockets;
use super::os::{accept, spare};
use super::readiness::ACCEPTS_PER_TURN_MAX;

pub(super) struct Reserve(Option<OwnedFd>);

impl Reserve {
    pub(super) fn new() -> Self {
        Self(spare())
    }

    /// Takes the place of one that was lost, now that a descriptor is free.
    pub(super) fn renew(&mut self) {
        if self.0.is_none() {
            self.0 = spare();
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
        self.0 = spare();
        count
    }
}
