//! The descriptors that a driver holds, for whoever has a question about one.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_protocol::Address;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::os;

/// Descriptors by key, shared between a driver and the reactor above it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets(pub(super) Rc<RefCell<Vec<Option<OwnedFd>>>>);

impl Sockets {
    pub(crate) fn insert(&self, key: usize, socket: OwnedFd) {
        let mut sockets = self.0.borrow_mut();
        if sockets.len() <= key {
            sockets.resize_with(key + 1, || None);
        }
        sockets[key] = Some(socket);
    }

    pub(crate) fn remove(&self, key: usize) -> Option<OwnedFd> {
        self.0.borrow_mut().get_mut(key)?.take()
    }

    /// Asks the descriptor of `key`, if there is one.
    pub(crate) fn with<T>(&self, key: usize, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let sockets = self.0.borrow();
        sockets.get(key)?.as_ref().map(|socket| ask(socket.as_fd()))
    }

    /// Under which keys there are any.
    pub(crate) fn keys(&self) -> Vec<usize> {
        let sockets = self.0.borrow();
        let held = sockets.iter().enumerate().filter(|(_, socket)| socket.is_some());
        held.map(|(key, _)| key).collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.borrow().iter().flatten().count()
    }

    /// The address of this end.
    pub(crate) fn local(&self, key: usize) -> Option<Address> {
        self.with(key, |socket| rustix::net::getsockname(socket).ok())?.map(os::address)
    }
}
