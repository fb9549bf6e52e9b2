//! Reactors that serve the same places: in other threads, or in other processes.

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::io;
use std::rc::Rc;

use ropewalk_protocol::Address;

use crate::adopt::{check_connected, check_listening};
use crate::inner::{Entry, Inner};
use crate::sys::Socket;
use crate::{CannotAdopt, Reactor};

/// Makes a socket that listens at an address, which others may listen at too if `shared`; answers where
/// it listens.
pub type Bind<'a> = &'a mut dyn FnMut(&Address, bool) -> io::Result<(OwnedFd, Address)>;

/// What a reactor leaves to the others that serve the same places as it does.
///
/// Its methods are called in the middle of turns, and may not call into the reactor.
pub trait Siblings: 'static {
    /// The socket to listen with at `place`: made by `bind`, or one that is there already. Answers where it
    /// listens.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn listen(&self, place: &Address, bind: Bind<'_>) -> io::Result<(OwnedFd, Address)>;

    /// A connection was accepted by the listener at `place`, whose reactor has `load` connections, listeners
    /// and the like. It is given back if it is to stay.
    fn deal(&self, place: &Address, socket: OwnedFd, load: usize) -> Option<OwnedFd>;

    /// Whether this reactor accepts connections itself; if not, it merely holds the sockets.
    fn accepts(&self) -> bool {
        true
    }

    /// Whether others go on accepting from its sockets when this reactor stops listening. If not, it accepts
    /// whoever waits before it does, and removes the files of its Unix sockets.
    fn go_on(&self) -> bool {
        false
    }

    /// So many connections, listeners and the like does the reactor have after a turn.
    fn loaded(&self, load: usize) {
        let _ = load;
    }
}

/// Where a socket that somebody else has made listens.
///
/// # Errors
///
/// If it is no stream socket that listens.
pub fn listening_at(socket: BorrowedFd<'_>) -> Result<Address, CannotAdopt> {
    check_listening(socket)
}

impl Reactor {
    /// Makes this reactor one of several. What it listens at from now on is theirs too, and of what it
    /// accepts there they may take their part.
    pub fn set_siblings(&self, siblings: Rc<dyn Siblings>) {
        self.inner().siblings.replace(Some(siblings));
    }

    /// Takes in a connection that another reactor has accepted at `place`, as though the listener that this
    /// one has there had accepted it itself.
    ///
    /// # Errors
    ///
    /// [`CannotAdopt::NotListening`] if it does not listen there; otherwise if it is no connection. The
    /// descriptor is closed then.
    #[track_caller]
    pub fn accept_for(&self, place: &Address, descriptor: OwnedFd) -> Result<(), CannotAdopt> {
        let peer = check_connected(descriptor.as_fd())?;
        let inner = self.inner();
        let key = inner.listener_at(place).ok_or(CannotAdopt::NotListening)?;
        if let Some(seat) = inner.seat_for(key, &peer) {
            self.carry(descriptor, peer, seat);
            inner.tell_load();
        }
        Ok(())
    }

    pub(crate) fn siblings(&self) -> Option<Rc<dyn Siblings>> {
        self.inner().siblings.borrow().clone()
    }
}

impl Inner {
    fn listener_at(&self, place: &Address) -> Option<usize> {
        let entries = self.entries.borrow();
        let mut keys = entries.iter().filter_map(|(key, entry)| match entry {
            Entry::Listener(listener) if listener.address == *place => Some(key),
            _ => None,
        });
        keys.next()
    }

    /// Leaves a connection that was accepted to another reactor, if that is to have it.
    pub(crate) fn deal(&self, key: usize, socket: Socket) -> Option<Socket> {
        let Some(siblings) = self.siblings.borrow().clone() else { return Some(socket) };
        let place = self.with_listener(key, |listener| listener.address.clone());
        match (place, socket) {
            (Some(place), Socket::System(socket)) => {
                siblings.deal(&place, socket, self.load()).map(Socket::from)
            }
            (_, socket) => Some(socket),
        }
    }

    /// Tells the others how much this one has to carry.
    pub(crate) fn tell_load(&self) {
        if let Some(siblings) = &*self.siblings.borrow() {
            siblings.loaded(self.load());
        }
    }

    /// How many connections, listeners and the like there are, without what the loop needs for itself.
    fn load(&self) -> usize {
        let signals = self.signals.borrow().as_ref().map_or(0, |(_, keys)| keys.len());
        self.entries.borrow().len().saturating_sub(1 + signals)
    }
}
