//! Open files that go from one process to another beside the bytes of a connection.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::sync::Arc;

#[cfg(unix)]
use std::os::fd::OwnedFd as Handle;
#[cfg(windows)]
use std::os::windows::io::OwnedHandle as Handle;

/// How many descriptors of one connection may wait to be sent.
pub const DESCRIPTORS_WAITING_MAX: usize = 64;

/// How many descriptors one receive can bring at most; no system passes more at once.
pub const DESCRIPTORS_AT_ONCE_MAX: usize = 253;

/// An open descriptor that is passed from one process to another, or to another connection of the same.
///
/// It is made of whatever owns one, a [`File`] or a socket say, and becomes one again; dropped, it is
/// closed. [`Conn::send_descriptor`](crate::Conn::send_descriptor) says how it goes.
#[derive(Debug)]
pub struct Descriptor(Handle);

impl Descriptor {
    /// Another one for the same open file.
    ///
    /// # Errors
    ///
    /// If the system refuses, as when this process may open no more.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// A file, or what reads and writes as one.
    pub fn into_file(self) -> File {
        self.0.into()
    }
}

macro_rules! made_of {
    ($($type:ty),* $(,)?) => {$(
        impl From<$type> for Descriptor {
            fn from(owner: $type) -> Self {
                Self(owner.into())
            }
        }
    )*};
}

made_of!(Handle, File, std::process::ChildStdin, std::process::ChildStdout);
made_of!(std::process::ChildStderr, std::io::PipeReader, std::io::PipeWriter);

#[cfg(unix)]
mod unix {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::Descriptor;

    made_of!(TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream);

    impl AsFd for Descriptor {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl From<Descriptor> for OwnedFd {
        fn from(descriptor: Descriptor) -> Self {
            descriptor.0
        }
    }
}

/// Why a descriptor cannot be passed over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CannotPass {
    /// Only streams between processes of one system carry descriptors, and nothing that encrypts or
    /// changes their bytes: this is the network, or TLS, or a system that cannot.
    Unsupported,
    /// As many wait to be sent already as may: [`DESCRIPTORS_WAITING_MAX`].
    TooMany,
    /// The connection is not made yet, or nothing more is sent on it.
    NotOpen,
}

impl fmt::Display for CannotPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str(
                "descriptors go over streams between processes of one system only, and this is none",
            ),
            Self::TooMany => {
                write!(f, "{DESCRIPTORS_WAITING_MAX} descriptors wait to be sent already")
            }
            Self::NotOpen => f.write_str("nothing can be sent on the connection"),
        }
    }
}

impl Error for CannotPass {}

/// Descriptors came, and some of them are lost: what a driver gives as the source of an
/// [`io::Error`](std::io::Error) to have a connection end with
/// [`Disconnect::DescriptorsLost`](crate::Disconnect::DescriptorsLost).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorsLost;

impl fmt::Display for DescriptorsLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "more descriptors came at once than are accepted, or than this process may open",
        )
    }
}

impl Error for DescriptorsLost {}

impl From<DescriptorsLost> for std::io::Error {
    fn from(lost: DescriptorsLost) -> Self {
        Self::other(lost)
    }
}

/// A descriptor on its way out, in an [`Outbox`](crate::Outbox).
pub struct Passing {
    descriptor: Descriptor,
    /// Counts it as long as it waits.
    _waits: Arc<()>,
}

impl Passing {
    pub(crate) fn new(descriptor: Descriptor, count: &Arc<()>) -> Self {
        Self { descriptor, _waits: Arc::clone(count) }
    }

    /// The descriptor, for who has the system pass it.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The descriptor itself, for who carries it on in memory.
    pub fn into_descriptor(self) -> Descriptor {
        self.descriptor
    }
}

impl fmt::Debug for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.descriptor.fmt(f)
    }
}

/// A descriptor that came, in an [`Event`](crate::Event) that is told of it: whoever it is for takes
/// it. What nobody takes is closed.
pub struct Arrival(Cell<Option<Descriptor>>);

impl Arrival {
    /// Lays a descriptor out to be taken.
    pub fn new(descriptor: Descriptor) -> Self {
        Self(Cell::new(Some(descriptor)))
    }

    /// Takes it.
    pub fn take(&self) -> Option<Descriptor> {
        self.0.take()
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").finish_non_exhaustive()
    }
}
