//! The sockets that this program listens with, to be kept over changes and handed on to its successor.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use ropewalk::Failure;
use ropewalk::endpoint::Kinds;
use ropewalk::protocol::Address;
use ropewalk::reactor::{Bind, Reactor, Siblings, UdpOptions, listening_at};
use rustix::net::{SocketType, getsockname, sockopt};

/// Listening sockets and ports for datagrams, each of which may be used twice while one service takes a place over from
/// another.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    held: RefCell<Vec<Held>>,
    /// For whom sockets are opened.
    owner: RefCell<String>,
    /// Somebody else goes on with them.
    others_go_on: Cell<bool>,
    /// Nothing is let go of for now.
    is_changing: Cell<bool>,
}

/// What comes through a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Streams,
    Datagrams,
}

#[derive(Debug)]
struct Held {
    what: What,
    /// Whose it is; of a predecessor that did not say, whoever's asks first.
    owner: Option<String>,
    /// The place of what a service manager, or whoever started the first of these programs, has handed over.
    handed: Option<String>,
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
    pub(crate) owner: Option<String>,
    pub(crate) place: Option<String>,
    pub(crate) socket: Arc<File>,
}

/// A socket that was handed on.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) socket: OwnedFd,
    pub(crate) is_any_port: bool,
    pub(crate) owner: Option<String>,
    pub(crate) place: Option<String>,
}

impl Held {
    /// What somebody else has opened cannot be had again.
    fn is_wanted(&self) -> bool {
        self.users > 0 || self.handed.is_some()
    }
}

impl Sockets {
    /// Has `reactor` listen with these, and with more that come to be among them.
    pub(crate) fn on(reactor: &Reactor, inherited: Vec<Inherited>) -> io::Result<Rc<Self>> {
        let sockets = Self::default();
        // Until all services run, and whoever looks on.
        sockets.is_changing.set(true);
        for Inherited { socket, is_any_port, owner, place } in inherited {
            let (what, bound) = at(socket.as_fd())?;
            let asked = if is_any_port { any_port(&bound) } else { bound.clone() };
            let socket = Arc::new(File::from(socket));
            let held = Held { what, owner, handed: place, asked, bound, socket, users: 0 };
            sockets.held.borrow_mut().push(held);
        }
        let sockets = Rc::new(sockets);
        reactor.set_siblings(Rc::new(Shared(Rc::clone(&sockets))));
        Ok(sockets)
    }

    /// What its successor is to listen with.
    pub(crate) fn handed(&self) -> Vec<Handed> {
        let held = self.held.borrow();
        let in_use = held.iter().filter(|held| held.is_wanted());
        let handed = in_use.map(|held| Handed {
            is_any_port: is_any_port(&held.asked) && !is_any_port(&held.bound),
            owner: held.owner.clone(),
            place: held.handed.clone(),
            socket: Arc::clone(&held.socket),
        });
        handed.collect()
    }

    /// For whom sockets are opened from now on: of several with a port of the system's choice each gets its own again.
    pub(crate) fn set_owner(&self, owner: &str) {
        owner.clone_into(&mut self.owner.borrow_mut());
    }

    /// A listener there ends. Called before it does, so that the socket goes with it.
    pub(crate) fn release(&self, what: What, bound: &Address) {
        let mut held = self.held.borrow_mut();
        let is_meant = |held: &Held| held.what == what && held.bound == *bound && held.users > 0;
        if let Some(index) = held.iter().position(is_meant) {
            held[index].users -= 1;
            if !self.is_changing.get() {
                held.retain(Held::is_wanted);
            }
        }
    }

    /// While services change hands, what one of them gives up may be another's next.
    pub(crate) fn set_changing(&self, is_changing: bool) {
        self.is_changing.set(is_changing);
        if !is_changing {
            self.held.borrow_mut().retain(Held::is_wanted);
        }
    }

    /// Whether somebody still listens there.
    pub(crate) fn is_in_use(&self, bound: &Address) -> bool {
        let held = self.held.borrow();
        held.iter().any(|held| held.what == What::Streams && held.bound == *bound && held.users > 0)
    }

    /// All kinds of places, where what was handed over is kept here.
    pub(crate) fn kinds(self: &Rc<Self>) -> Kinds {
        let sockets = Rc::clone(self);
        crate::plugin::kinds().keeper(move |place, take| sockets.handed_over(place, take))
    }

    /// Whether somebody else goes on with what this program stops listening with.
    pub(crate) fn set_others_go_on(&self, others_go_on: bool) {
        self.others_go_on.set(others_go_on);
    }

    /// The socket to listen with at `place`.
    fn take(&self, what: What, place: &Address, bind: Bind<'_>) -> io::Result<(OwnedFd, Address)> {
        let owner = self.owner.borrow().clone();
        let is_any = is_any_port(place);
        let is_own = |held: &Held| held.owner.as_ref().is_none_or(|whose| *whose == owner);
        let is_meant = |held: &&mut Held| {
            let is_there = if is_any {
                held.users == 0 && held.asked == *place && is_own(held)
            } else {
                held.bound == *place
            };
            is_there && held.what == what && held.handed.is_none()
        };
        if let Some(held) = self.held.borrow_mut().iter_mut().find(is_meant) {
            let socket = held.socket.try_clone()?;
            held.users += 1;
            held.owner = Some(owner);
            return Ok((socket.into(), held.bound.clone()));
        }
        let (socket, bound) = bind(place, false)?;
        let copy = Arc::new(File::from(socket.try_clone()?));
        let (asked, at) = (place.clone(), bound.clone());
        let owner = Some(owner);
        let held = Held { what, owner, handed: None, asked, bound: at, socket: copy, users: 1 };
        self.held.borrow_mut().push(held);
        Ok((socket, bound))
    }

    /// The socket of a server that is none of the reactor's, which is made by `bind` if it is not there yet.
    pub(crate) fn socket_at(
        &self,
        what: What,
        place: &Address,
        bind: Bind<'_>,
    ) -> io::Result<OwnedFd> {
        self.take(what, place, bind).map(|(socket, _)| socket)
    }

    /// The port for datagrams at `place`.
    pub(crate) fn datagrams_at(
        &self,
        place: SocketAddr,
        options: &UdpOptions,
    ) -> io::Result<(OwnedFd, Address)> {
        let mut bind = |place: &Address, _: bool| {
            let place = place.ip().ok_or(io::ErrorKind::InvalidInput)?;
            let socket = options.socket(place)?;
            let (_, bound) = at(socket.as_fd())?;
            Ok((socket, bound))
        };
        self.take(What::Datagrams, &Address::Ip(place), &mut bind)
    }

    /// The descriptor that whoever started this program has handed over for `place`, which `take` takes from the process.
    /// What listens is kept, and is there again for whoever comes next.
    pub(crate) fn handed_over(
        &self,
        place: &str,
        take: &mut dyn FnMut() -> Result<OwnedFd, Failure>,
    ) -> Result<OwnedFd, Failure> {
        let is_meant = |held: &&mut Held| held.handed.as_deref() == Some(place);
        if let Some(held) = self.held.borrow_mut().iter_mut().find(is_meant) {
            held.users += 1;
            return Ok(held.socket.try_clone()?.into());
        }
        let descriptor = take()?;
        // A connection has an end, and it ends when all who have it are done.
        if sockopt::socket_acceptconn(&descriptor) == Ok(true) {
            let (what, bound) = at(descriptor.as_fd())?;
            let socket = Arc::new(File::from(descriptor.try_clone()?));
            let (owner, handed) = (Some(self.owner.borrow().clone()), Some(place.to_owned()));
            let asked = bound.clone();
            let held = Held { what, owner, handed, asked, bound, socket, users: 1 };
            self.held.borrow_mut().push(held);
        }
        Ok(descriptor)
    }
}

/// What the reactor asks.
struct Shared(Rc<Sockets>);

impl Siblings for Shared {
    fn listen(&self, place: &Address, bind: Bind<'_>) -> io::Result<(OwnedFd, Address)> {
        self.0.take(What::Streams, place, bind)
    }

    fn deal(&self, _: &Address, socket: OwnedFd, _: usize) -> Option<OwnedFd> {
        Some(socket)
    }

    fn go_on(&self) -> bool {
        self.0.others_go_on.get()
    }
}

/// What a socket is, and where.
fn at(socket: BorrowedFd<'_>) -> io::Result<(What, Address)> {
    if sockopt::socket_type(socket)? == SocketType::DGRAM {
        let bound = SocketAddr::try_from(getsockname(socket)?).map_err(io::Error::other)?;
        return Ok((What::Datagrams, Address::Ip(bound)));
    }
    let bound = listening_at(socket).map_err(io::Error::other)?;
    Ok((What::Streams, bound))
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
