//! The kernel's interfaces, each behind the same few verbs.
//!
//! A [`Driver`] is asked to start operations and tells of operations that are *completed*: bytes
//! received, a connection accepted, output gone. Whether it learnt of them by waiting for readiness
//! and making the system call itself, or the kernel did the work, nobody above can tell.
//!
//! What only one system has stands in a folder of its own, `linux`, `bsd` or `windows`, behind the one
//! `cfg` below; `unix` is what the first two share, and `single` what the last two do. Each offers the
//! same names as the others, by way of `os`, and all else is the same code everywhere.

mod datagrams;
mod passing;
mod portable;
mod readiness;
mod reserve;
mod signals;
mod sockets;
#[allow(unsafe_code, reason = "the processor's own counter")]
mod ticks;

#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) mod bsd;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(not(target_os = "linux"))]
mod single;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
pub(crate) mod windows;

#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) use bsd as os;
#[cfg(target_os = "linux")]
pub(crate) use linux as os;
#[cfg(windows)]
pub(crate) use windows as os;

#[cfg(unix)]
pub use unix::{BorrowedHost, HostDescriptor};
#[cfg(windows)]
pub use windows::{BorrowedHost, HostDescriptor};

use std::any::Any;
use std::fmt;
use std::io;
use std::time::Duration;

use ropewalk_protocol::{Address, DatagramQueue, Descriptor, FileOperation, FileOutcome, Outbox};
use rustix::fd::OwnedFd;

use crate::DriverKind;
pub use datagrams::Mishap;
#[cfg(target_os = "linux")]
pub(crate) use datagrams::send_error;
use portable::Portable;
#[cfg(test)]
pub(crate) use readiness::Entry as ReadinessEntry;
use readiness::{Poller, Readiness};
pub(crate) use signals::Signals;
pub(crate) use sockets::Sockets;
pub(crate) use ticks::ticks;

/// Opens the driver of that kind, which holds its descriptors in `sockets`.
pub(crate) fn open(kind: DriverKind, sockets: Sockets) -> Result<Box<dyn Driver>, Refusal> {
    match kind {
        DriverKind::Portable => Ok(over(Portable::new(sockets.clone())?, sockets)),
        kind => os::open(kind, sockets),
    }
}

/// The driver over what tells of readiness.
fn over<P: Poller + 'static>(poller: P, sockets: Sockets) -> Box<dyn Driver> {
    Box::new(Readiness::new(poller, sockets))
}

/// Why a driver cannot be opened here.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The system said so.
    System(io::Error),
    /// The system has not got something that the driver needs.
    Lacks(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => write!(f, "the system refuses: {error}"),
            Self::Lacks(what) => write!(f, "the system lacks {what}"),
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A socket on its way to a driver.
#[derive(Debug)]
pub enum Socket {
    /// The system's.
    System(OwnedFd),
    /// That of another [`Platform`](crate::platform::Platform), whose driver knows its type.
    Other(Box<dyn Any>),
}

impl Socket {
    /// The system's descriptor.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if it is another platform's.
    pub fn into_system(self) -> io::Result<OwnedFd> {
        match self {
            Self::System(descriptor) => Ok(descriptor),
            Self::Other(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl From<OwnedFd> for Socket {
    fn from(descriptor: OwnedFd) -> Self {
        Self::System(descriptor)
    }
}

/// What a descriptor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections.
    Listener,
    /// Carries bytes.
    Stream,
    /// Carries bytes and descriptors: what a stream is once it [accepts](Driver::accept_descriptors)
    /// them.
    Passing,
    /// Will carry bytes once its connection is made.
    Connecting,
    /// Is only watched for something to read.
    Watch,
    /// Carries datagrams.
    Datagrams,
    /// Is only watched for room to write.
    WatchOutput,
}

/// How a descriptor is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// What was sent still arrives.
    InOrder,
    /// The same, where nothing more can come: the peer has ended its stream, or the connection is no more.
    Done,
    /// The peer is told of a reset, where its kind of socket knows one.
    Reset,
}

/// What is on its way, either way, when a connection is to be closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Bytes came that nobody had received.
    pub is_unread: bool,
    /// How many bytes were sent and the peer has not acknowledged.
    pub unacknowledged: u64,
}

/// An operation that has been completed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Completion<'a> {
    /// A listener has a new connection.
    Accepted {
        /// Of the listener.
        key: usize,
        /// To be opened as a stream under another key, or dropped.
        socket: Socket,
        /// Who connected.
        peer: Address,
    },
    /// A listener could not accept.
    AcceptFailed {
        /// Of the listener.
        key: usize,
        /// Why.
        error: io::Error,
    },
    /// A connection is made, or will not be.
    Connected {
        /// Of the connection; it is a stream from now on.
        key: usize,
        /// Whether it is made.
        result: io::Result<()>,
    },
    /// Bytes came; never none.
    Received {
        /// Of the connection.
        key: usize,
        /// Lent for the length of one call.
        data: &'a [u8],
    },
    /// A descriptor came; the bytes that it came with are told of before anything else of this
    /// connection is.
    Passed {
        /// Of the connection.
        key: usize,
        /// The descriptor.
        descriptor: Descriptor,
    },
    /// The peer ended its stream; nothing more is received.
    Ended {
        /// Of the connection.
        key: usize,
    },
    /// Output that had stayed behind moved on.
    Sent {
        /// Of the connection.
        key: usize,
        /// How many bytes the driver still keeps.
        left: u64,
    },
    /// The connection is of no more use.
    Failed {
        /// Of the connection.
        key: usize,
        /// Why.
        error: io::Error,
    },
    /// A watched descriptor is ready for what it is watched for.
    Ready {
        /// Of the descriptor.
        key: usize,
    },
    /// A datagram came, or several of one sender that belong behind one another.
    Datagram {
        /// Of the port.
        key: usize,
        /// Lent for the length of one call; it may be empty.
        data: &'a [u8],
        /// How long each datagram is, but perhaps the last.
        segment: usize,
        /// Who sent it.
        from: Address,
        /// This is only the beginning.
        truncated: bool,
    },
    /// Something went wrong with a port's datagrams; the port goes on.
    Mishap {
        /// Of the port.
        key: usize,
        /// What.
        mishap: Mishap,
    },
    /// An operation on a file is over.
    File {
        /// Of the operation.
        id: u64,
        /// What became of it.
        result: io::Result<FileOutcome>,
    },
    /// The kernel could not do an operation on a file without being waited for: threads are to do it.
    FileReturned {
        /// Of the operation.
        id: u64,
        /// The operation, of which nothing was done.
        operation: FileOperation,
    },
    /// A port can send again.
    Writable {
        /// Of the port.
        key: usize,
    },
}

/// One of the kernel's interfaces, or what is in its place. Keys are the caller's; a closed one may be
/// used again at once.
pub trait Driver {
    /// The name by which it is chosen.
    fn name(&self) -> &'static str;

    /// A descriptor that is readable when [`wait`](Self::wait) would return at once.
    fn descriptor(&self) -> BorrowedHost<'_>;

    /// Makes [`descriptor`](Self::descriptor) tell of all that was asked for until now. Called when
    /// somebody else is to watch it, and then after each turn.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    fn expose(&mut self) -> io::Result<()>;

    /// Carries out what was asked for and may still be put off: for a while, nobody will
    /// [`wait`](Self::wait).
    fn flush(&mut self) {}

    /// Takes a non-blocking socket in. Listeners, streams and watches read from the start.
    ///
    /// # Errors
    ///
    /// If it cannot be watched; [`close`](Self::close) is called all the same.
    fn open(&mut self, key: usize, socket: Socket, role: Role) -> io::Result<()>;

    /// The same with a stream that the listener of that key has accepted, or might have: what is known of
    /// that one need not be asked again.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    fn open_accepted(&mut self, key: usize, socket: Socket, _listener: usize) -> io::Result<()> {
        self.open(key, socket, Role::Stream)
    }

    /// Goes on or stops accepting, receiving or watching.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    fn set_reading(&mut self, key: usize, reading: bool) -> io::Result<()>;

    /// Sends `out` behind what was given before; answers how many bytes have not gone yet, which
    /// the driver keeps and tells of by [`Completion::Sent`]. An outbox that has become empty is
    /// left for its next use.
    ///
    /// # Errors
    ///
    /// If the connection is of no more use.
    fn send(&mut self, key: usize, out: &mut Option<Box<Outbox>>) -> io::Result<u64>;

    /// Has what a stream receives from now on bring the descriptors that come with it, as many as
    /// `at_once` with one receive. Where more come, or they cannot be taken in, the connection fails with
    /// [`DescriptorsLost`](ropewalk_protocol::DescriptorsLost).
    ///
    /// # Errors
    ///
    /// If nothing of the kind goes over this socket.
    fn accept_descriptors(&mut self, key: usize, at_once: usize) -> io::Result<()> {
        let _ = (key, at_once);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends what it can off the front of a port's queue, and adds to `mishaps` what it gave up. Where
    /// the answer is true it takes no more for now, and [`Completion::Writable`] tells when it does.
    ///
    /// # Errors
    ///
    /// If the port is of no more use.
    fn send_datagrams(
        &mut self,
        key: usize,
        queue: &mut DatagramQueue,
        mishaps: &mut Vec<Mishap>,
    ) -> io::Result<bool> {
        let _ = (key, queue, mishaps);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Something has come for a stream already: who waits for readiness may receive it without being told.
    fn expect(&mut self, key: usize) {
        let _ = key;
    }

    /// What came on a stream is passed on to another: it goes the faster the less of it there is at a time.
    fn passes_on(&mut self, key: usize) {
        let _ = key;
    }

    /// Opens a listener, [shared](Self::share) or not.
    ///
    /// # Errors
    ///
    /// What [`open`](Self::open) says.
    fn open_listener(&mut self, key: usize, socket: Socket, is_shared: bool) -> io::Result<()> {
        self.open(key, socket, Role::Listener)?;
        if is_shared {
            self.share(key);
        }
        Ok(())
    }

    /// The descriptor is open elsewhere too: closing it here will not end it, and what was asked of the
    /// system about it is to be taken back by itself.
    fn share(&mut self, key: usize) {
        let _ = key;
    }

    /// Accepts nothing more at a listener. Answers whom the system has let in already on its behalf, and of
    /// whom it was not told yet: nobody, unless the system accepts by itself.
    fn stop_accepting(&mut self, key: usize) -> Vec<(Socket, Address)> {
        let _ = key;
        Vec::new()
    }

    /// Ends the stream out; all output has gone.
    ///
    /// # Errors
    ///
    /// If the connection is of no more use.
    fn end_stream(&mut self, key: usize) -> io::Result<()>;

    /// What a connection's end would have to do with what is on its way; what came may be thrown away.
    /// Who does not tell has
    /// connections closed without another look.
    fn unsettled(&mut self, key: usize) -> Unsettled {
        let _ = key;
        Unsettled::default()
    }

    /// Closes the descriptor.
    fn close(&mut self, key: usize, how: Closing);

    /// Gives back a socket that was opened as [`Role::Connecting`] and of which nothing was received
    /// yet: its key is free, and it goes on under another. `None` if there is none.
    fn release(&mut self, key: usize) -> Option<Socket>;

    /// Accepts and closes what waits at a listener, by the one descriptor kept for that; answers how
    /// many connections that were.
    fn shed(&mut self, key: usize) -> usize;

    /// Whether it has files read and written.
    fn does_files(&self) -> bool {
        false
    }

    /// Has an operation on a file done, and tells of it by its `id`.
    ///
    /// # Errors
    ///
    /// The operation, if it does no files, or no more of them now.
    fn start_file(&mut self, id: u64, operation: FileOperation) -> Result<(), FileOperation> {
        let _ = id;
        Err(operation)
    }

    /// How many operations the kernel has been given and has not completed.
    fn operations(&self) -> usize {
        0
    }

    /// How many connections have output that has not gone yet.
    fn outputs(&self) -> usize {
        0
    }

    /// Waits until an operation is completed or `timeout` has passed.
    ///
    /// # Errors
    ///
    /// If waiting is not possible, which ends the loop.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// The next of the operations that were completed while waiting.
    fn next(&mut self) -> Option<Completion<'_>>;

    /// What [`next`](Self::next) is going to tell of.
    fn what_is_next(&self) -> Next {
        Next::Unknown
    }
}

/// What a driver is going to tell of before it waits again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Something, and of none of whom it has told since the last [`wait`](Driver::wait).
    Another,
    /// Nothing, unless it is asked for something before.
    Nothing,
    /// It does not know.
    Unknown,
}
