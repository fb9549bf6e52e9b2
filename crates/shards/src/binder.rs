//! Sockets that a parent makes and its children listen with.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use ropewalk_protocol::Address;
use ropewalk_reactor::{Bind, Reactor, Siblings};
use rustix::fd::OwnedFd;

/// Collects the sockets that a reactor listens with, and accepts nothing there: the children do.
///
/// Whatever is listened at on its reactor is bound as ever, so that it fails as ever; connections wait
/// until a child takes them.
#[derive(Clone, Debug, Default)]
pub struct Binder {
    bound: Rc<RefCell<Vec<Arc<File>>>>,
}

/// Sockets that listen, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    pub(crate) sockets: Vec<Arc<File>>,
}

impl Binder {
    /// Collects what `reactor` listens with from now on.
    pub fn on(reactor: &Reactor) -> Self {
        let binder = Self::default();
        reactor.set_siblings(Rc::new(binder.clone()));
        binder
    }

    /// What was collected so far.
    pub fn listeners(&self) -> Listeners {
        Listeners { sockets: self.bound.borrow().clone() }
    }
}

impl Listeners {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }
}

impl From<Vec<OwnedFd>> for Listeners {
    fn from(sockets: Vec<OwnedFd>) -> Self {
        Self { sockets: sockets.into_iter().map(|socket| Arc::new(File::from(socket))).collect() }
    }
}

impl Siblings for Binder {
    fn listen(&self, place: &Address, bind: Bind<'_>) -> io::Result<(OwnedFd, Address)> {
        let (socket, address) = bind(place, false)?;
        self.bound.borrow_mut().push(Arc::new(File::from(socket.try_clone()?)));
        Ok((socket, address))
    }

    fn deal(&self, _: &Address, socket: OwnedFd, _: usize) -> Option<OwnedFd> {
        Some(socket)
    }

    fn accepts(&self) -> bool {
        false
    }

    fn go_on(&self) -> bool {
        true
    }
}
