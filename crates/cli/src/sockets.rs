//! The sockets that this program listens with, to be kept over changes and handed on to its successor.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use ropewalk::protocol::Address;
use ropewalk::reactor::{Bind, Reactor, Siblings, listening_at};

/// Listening sockets, each of which may be listened with twice while one service takes a place over from another.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    held: RefCell<Vec<Held>>,
    /// Somebody else goes on with them.
    others_go_on: Cell<bool>,
}

#[derive(Debug)]
struct Held {
    /// As it was asked for: the system may have chosen the port.
    asked: Address,
    bound: Address,
    socket: Arc<File>,
    users: usize,
}

/// A socket to be handed on.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    /// Whether the system has chosen its port.
    pub(crate) is_any_port: bool,
    pub(crate) socket: Arc<File>,
}

impl Sockets {
    /// Has `reactor` listen with these, and with more that come to be among them.
    pub(crate) fn on(reactor: &Reactor, inherited: Vec<(OwnedFd, bool)>) -> io::Result<Rc<Self>> {
        let sockets = Self::default();
        for (socket, is_any_port) in inherited {
            let bound = listening_at(socket.as_fd()).map_err(io::Error::other)?;
            let asked = if is_any_port { any_port(&bound) } else { bound.clone() };
            let socket = Arc::new(File::from(socket));
            sockets.held.borrow_mut().push(Held { asked, bound, socket, users: 0 });
        }
        let sockets = Rc::new(sockets);
        reactor.set_siblings(Rc::new(Shared(Rc::clone(&sockets))));
        Ok(sockets)
    }

    /// What its successor is to listen with.
    pub(crate) fn handed(&self) -> Vec<Handed> {
        let held = self.held.borrow();
        let in_use = held.iter().filter(|held| held.users > 0);
        let handed = in_use.map(|held| Handed {
            is_any_port: is_any_port(&held.asked) && !is_any_port(&held.bound),
            socket: Arc::clone(&held.socket),
        });
        handed.collect()
    }

    /// A listener there ends. Called before it does, so that the socket goes with it.
    pub(crate) fn release(&self, bound: &Address) {
        let mut held = self.held.borrow_mut();
        if let Some(index) = held.iter().position(|held| held.bound == *bound && held.users > 0) {
            held[index].users -= 1;
            if held[index].users == 0 {
                held.remove(index);
            }
        }
    }

    /// Whether somebody still listens there.
    pub(crate) fn is_in_use(&self, bound: &Address) -> bool {
        self.held.borrow().iter().any(|held| held.bound == *bound && held.users > 0)
    }

    /// Lets go of what was handed to this program and nobody listens with.
    pub(crate) fn forget_unused(&self) {
        self.held.borrow_mut().retain(|held| held.users > 0);
    }

    /// Whether somebody else goes on with what this program stops listening with.
    pub(crate) fn set_others_go_on(&self, others_go_on: bool) {
        self.others_go_on.set(others_go_on);
    }

    /// The socket to listen with at `place`.
    fn take(&self, place: &Address, bind: Bind<'_>) -> io::Result<(OwnedFd, Address)> {
        let mut held = self.held.borrow_mut();
        let is_any = is_any_port(place);
        let is_meant = |held: &&mut Held| {
            if is_any { held.users == 0 && held.asked == *place } else { held.bound == *place }
        };
        if let Some(held) = held.iter_mut().find(is_meant) {
            let socket = held.socket.try_clone()?;
            held.users += 1;
            return Ok((socket.into(), held.bound.clone()));
        }
        let (socket, bound) = bind(place, false)?;
        let copy = Arc::new(File::from(socket.try_clone()?));
        let (asked, at) = (place.clone(), bound.clone());
        held.push(Held { asked, bound: at, socket: copy, users: 1 });
        Ok((socket, bound))
    }

    /// The socket of a server that is none of the reactor's, which is made by `bind` if it is not there yet.
    pub(crate) fn socket_at(&self, place: &Address, bind: Bind<'_>) -> io::Result<OwnedFd> {
        self.take(place, bind).map(|(socket, _)| socket)
    }
}

/// What the reactor asks.
struct Shared(Rc<Sockets>);

impl Siblings for Shared {
    fn listen(&self, place: &Address, bind: Bind<'_>) -> io::Result<(OwnedFd, Address)> {
        self.0.take(place, bind)
    }

    fn deal(&self, _: &Address, socket: OwnedFd, _: usize) -> Option<OwnedFd> {
        Some(socket)
    }

    fn go_on(&self) -> bool {
        self.0.others_go_on.get()
    }
}

/// Whether the system is to choose the port.
fn is_any_port(address: &Address) -> bool {
    address.ip().is_some_and(|address| address.port() == 0)
}

fn any_port(address: &Address) -> Address {
    match address.ip() {
        Some(mut ip) => {
            ip.set_port(0);
            Address::Ip(ip)
        }
        None => address.clone(),
    }
}
