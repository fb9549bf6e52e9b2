//! What a driver holds and others may look at: its descriptors, and what it received last.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_protocol::Address;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::os;

/// Descriptors by key, shared between a driver and the reactor above it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets {
    pub(super) descriptors: Rc<RefCell<Vec<Option<OwnedFd>>>>,
    lent: Rc<Lent>,
}

impl Sockets {
    pub(crate) fn insert(&self, key: usize, socket: OwnedFd) {
        let mut sockets = self.descriptors.borrow_mut();
        if sockets.len() <= key {
            sockets.resize_with(key + 1, || None);
        }
        sockets[key] = Some(socket);
    }

    pub(crate) fn remove(&self, key: usize) -> Option<OwnedFd> {
        self.descriptors.borrow_mut().get_mut(key)?.take()
    }

    /// Asks the descriptor of `key`, if there is one.
    pub(crate) fn with<T>(&self, key: usize, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let sockets = self.descriptors.borrow();
        sockets.get(key)?.as_ref().map(|socket| ask(socket.as_fd()))
    }

    /// Under which keys there are any.
    pub(crate) fn keys(&self) -> Vec<usize> {
        let sockets = self.descriptors.borrow();
        let held = sockets.iter().enumerate().filter(|(_, socket)| socket.is_some());
        held.map(|(key, _)| key).collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.descriptors.borrow().iter().flatten().count()
    }

    /// The address of this end.
    pub(crate) fn local(&self, key: usize) -> Option<Address> {
        self.with(key, |socket| rustix::net::getsockname(socket).ok())?.map(os::address)
    }

    /// What was received last, as far as it is lent.
    pub(crate) fn lent(&self) -> &Rc<Lent> {
        &self.lent
    }
}

/// What was received last, for who writes it again and need not copy it then.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    /// Where it was received: the first address, and the one behind the last.
    place: Cell<(usize, usize)>,
    /// So many receives more are to be lent.
    wanted: Cell<u8>,
    bytes: RefCell<Option<Bytes>>,
}

impl Lent {
    /// For how long receives are lent after one would have been, or was, of use.
    const PATIENCE: u8 = 8;

    /// The driver receives here from now on.
    pub(super) fn set_place(&self, buffer: &[u8]) {
        let range = buffer.as_ptr_range();
        self.place.set((range.start.addr(), range.end.addr()));
    }

    /// Whether the next receive is to be lent.
    pub(super) fn is_wanted(&self) -> bool {
        let wanted = self.wanted.get();
        self.wanted.set(wanted.saturating_sub(1));
        wanted > 0
    }

    pub(super) fn lend(&self, bytes: Bytes) {
        self.bytes.replace(Some(bytes));
    }

    pub(super) fn take_back(&self) {
        self.bytes.replace(None);
    }

    /// The same bytes without a copy, if they are what was received last, and it is lent.
    pub(crate) fn share(&self, bytes: &[u8]) -> Option<Bytes> {
        let (start, end) = self.place.get();
        let range = bytes.as_ptr_range();
        if range.start.addr() < start || range.end.addr() > end {
            return None;
        }
        self.wanted.set(Self::PATIENCE);
        self.bytes.borrow().as_ref().map(|lent| lent.slice_ref(bytes))
    }
}
