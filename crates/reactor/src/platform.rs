//! What a reactor stands on, for those who put something else there than an operating system.
//!
//! A reactor asks for little: a [`Driver`] that tells of completed operations, and a [`Platform`] with
//! the time, sockets to begin with, names, and somewhere to do blocking work. The drivers of
//! [`DriverKind`](crate::DriverKind) ask the system. A simulated network is another pair of the two,
//! given to [`Reactor::on_platform`](crate::Reactor::on_platform); everything above them, from the
//! timers to the last word a protocol hears, is the same code.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, MulticastChange, MulticastError, MulticastSettings};

pub use crate::sys::{
    BorrowedHost, Closing, Completion, Driver, HostDescriptor, Mishap, Next, Role, Socket,
    Unsettled,
};

/// The part of a system that is asked, where a [`Driver`] is the part that tells.
///
/// Its methods are called at any time, also while the driver is at work, and may not call into the
/// reactor.
pub trait Platform: 'static {
    /// The time, as a distance from any fixed start; it never runs backwards.
    fn now(&self) -> Duration;

    /// The address of this end of what the driver holds under `key`.
    fn local(&self, key: usize) -> Address;

    /// Whether descriptors go beside the bytes of the stream that the driver holds under `key`.
    fn passes_descriptors(&self, key: usize) -> bool {
        let _ = key;
        false
    }

    /// Makes a socket that listens at `place`, where port 0 is any that is free; answers where it is.
    /// The socket is then given to the driver as [`Role::Listener`], or dropped.
    ///
    /// # Errors
    ///
    /// What a system would say: the address is in use, is not this host's, or no descriptor is left.
    fn listen(&self, place: &Address, backlog: i32) -> io::Result<(Socket, Address)>;

    /// Makes a socket and starts to connect it, from `bind` if that is given. The socket is then given
    /// to the driver as [`Role::Connecting`], which tells how it went.
    ///
    /// # Errors
    ///
    /// If the attempt cannot even begin.
    fn connect(&self, target: &Address, bind: Option<SocketAddr>) -> io::Result<Socket>;

    /// Makes a socket for datagrams at `place`, where port 0 is any that is free, connected to `peer` if
    /// that is given; answers where it is. The socket is then given to the driver as
    /// [`Role::Datagrams`].
    ///
    /// # Errors
    ///
    /// What a system would say; [`io::ErrorKind::Unsupported`] where there are no datagrams.
    fn datagrams(&self, place: &Address, peer: Option<&Address>) -> io::Result<(Socket, Address)> {
        let _ = (place, peer);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Carries out what a port for datagrams asks about groups.
    ///
    /// # Errors
    ///
    /// What a system would say; [`MulticastError::Unsupported`] where there are no groups.
    fn change_multicast(&self, key: usize, change: &MulticastChange) -> Result<(), MulticastError> {
        let _ = (key, change);
        Err(MulticastError::Unsupported)
    }

    /// How a port for datagrams sends to groups.
    ///
    /// # Errors
    ///
    /// The same.
    fn multicast_settings(&self, key: usize) -> Result<MulticastSettings, MulticastError> {
        let _ = key;
        Err(MulticastError::Unsupported)
    }

    /// Looks a host's addresses up.
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>>;

    /// Does `work` some time later, then calls `done`: the place of the thread pool.
    fn submit(&self, work: Box<dyn FnOnce() + Send>, done: Box<dyn FnOnce()>);

    /// What ends the reactor's sleep from any thread.
    fn waker(&self) -> Waker;

    /// The reactor was asked for something: its next deadline may be nearer than it was.
    fn touch(&self);

    /// What a loop that hosts this reactor would watch.
    fn descriptor(&self) -> Rc<HostDescriptor>;
}

/// Lends a descriptor, as a [`Driver`] does.
pub fn lend_descriptor(descriptor: &HostDescriptor) -> BorrowedHost<'_> {
    crate::sys::os::lend(descriptor)
}

/// A descriptor for platforms that have none that a loop could watch.
///
/// # Errors
///
/// If this process may open nothing more.
pub fn null_descriptor() -> io::Result<HostDescriptor> {
    crate::sys::os::null()
}
