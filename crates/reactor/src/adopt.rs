//! Sockets that somebody else has made.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::error::Error;
use std::fmt;
use std::io;

use ropewalk_protocol::{Address, CannotConnect, Disconnect, Seat, SeatFactory};
use rustix::io::Errno;
use rustix::net::{SocketType, getpeername, getsockname, sockopt};

use crate::inner::{Inner, Request};
use crate::sys::os::{self, peer_address};
use crate::sys::{Driver, Role, Socket};
use crate::{ConnectOptions, ListeningPort, Reactor};

/// A descriptor is not what it was said to be.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotAdopt {
    /// It is no socket.
    NotSocket,
    /// It is a socket, but carries no stream.
    NotStream,
    /// It is a socket, but takes no datagrams.
    NotDatagrams,
    /// It is neither of the Internet nor of Unix.
    UnknownFamily,
    /// It was said to listen, and does not.
    NotListening,
    /// It was said to be connected, and listens.
    Listening,
    /// It was said to be connected, and is not, or not any more.
    NotConnected,
    /// The system refuses to tell, or to have it not block.
    System(io::Error),
}

impl CannotAdopt {
    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NotConnected => io::ErrorKind::NotConnected,
            Self::System(error) => error.kind(),
            _ => io::ErrorKind::InvalidInput,
        }
    }
}

impl fmt::Display for CannotAdopt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSocket => "the descriptor is no socket",
            Self::NotStream => "the socket carries no stream",
            Self::NotDatagrams => "the socket takes no datagrams",
            Self::UnknownFamily => "the socket is neither of the Internet nor of Unix",
            Self::NotListening => "the socket does not listen",
            Self::Listening => "the socket listens, and is not connected",
            Self::NotConnected => "the socket is not connected",
            Self::System(_) => "the socket cannot be taken over",
        })
    }
}

impl Error for CannotAdopt {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Errno> for CannotAdopt {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOTSOCK => Self::NotSocket,
            Errno::NOTCONN => Self::NotConnected,
            error => Self::System(error.into()),
        }
    }
}

/// A descriptor that this process was not handed when it started, or not any more.
#[derive(Debug)]
#[non_exhaustive]
pub enum NotInherited {
    /// One of the three standard streams, which everybody in the process may use.
    Standard,
    /// There is no such descriptor.
    Closed,
    /// It was taken before, or opened here.
    Taken,
    /// The system refuses to tell.
    System(io::Error),
}

impl fmt::Display for NotInherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "descriptors 0, 1 and 2 are the standard streams",
            Self::Closed => "there is no descriptor of this number",
            Self::Taken => "the descriptor is in use already",
            Self::System(_) => "the descriptor cannot be looked at",
        })
    }
}

impl Error for NotInherited {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            _ => None,
        }
    }
}

/// Takes a descriptor that the process was started with, by its number: what systemd, inetd and their
/// like hand on. Each can be taken once; it is not inherited further from then on.
///
/// It tells those that came with the process by their not being marked close-on-exec. Whoever
/// opens descriptors in this process without that mark, and knows them by number only, has them taken
/// too.
///
/// # Errors
///
/// If there is none of that number, it is a standard stream, or somebody in this process has it.
pub fn inherited(number: i32) -> Result<OwnedFd, NotInherited> {
    if (0..3).contains(&number) {
        return Err(NotInherited::Standard);
    }
    match os::take_inherited(number) {
        Ok(Some(descriptor)) => Ok(descriptor),
        Ok(None) => Err(NotInherited::Taken),
        Err(Errno::BADF) => Err(NotInherited::Closed),
        Err(error) => Err(NotInherited::System(error.into())),
    }
}

impl Reactor {
    /// Listens with a socket that somebody else has made listen: the process that started this one, or
    /// the one whose place it takes.
    ///
    /// It is made not to block, which holds for everybody who has it, and not to be inherited. A Unix
    /// socket's file is left where it is when listening stops.
    ///
    /// # Errors
    ///
    /// If it is no stream socket that listens; the descriptor is closed then.
    pub fn adopt_listener(
        &self,
        descriptor: OwnedFd,
        factory: Box<dyn SeatFactory>,
    ) -> Result<ListeningPort, CannotAdopt> {
        let address = check_listening(descriptor.as_fd())?;
        self.listen_shared(descriptor.into(), address, factory).map_err(CannotAdopt::System)
    }

    /// Carries a connection whose socket somebody else has connected or accepted.
    ///
    /// The seat is told that the connection is made in a turn to come. The socket is made not to block,
    /// which holds for everybody who has it, and not to be inherited; if it is open elsewhere too, it is
    /// the last to close it who ends the connection.
    ///
    /// # Errors
    ///
    /// If it is no stream socket that is connected; the descriptor is closed then, and the seat hears of
    /// its end with [`Disconnect::Failed`].
    #[track_caller]
    pub fn adopt_stream(
        &self,
        descriptor: OwnedFd,
        seat: Box<dyn Seat>,
    ) -> Result<(), CannotAdopt> {
        match check_connected(descriptor.as_fd()) {
            Ok(peer) => {
                self.carry(descriptor, peer, seat);
                Ok(())
            }
            Err(error) => {
                let (key, id) = self.take_in(ConnectOptions::default(), seat);
                let why = Disconnect::Failed(error.kind());
                let nowhere = CannotConnect::new(why, Vec::new());
                self.inner().with_attempt(key, id, |attempt| attempt.set_nowhere(nowhere));
                self.inner().request(Request::TryNext { key, id });
                Err(error)
            }
        }
    }

    /// Carries a connection that somebody else has accepted, with the seat that `seat` has for its peer;
    /// closes it if that is none. Answers this end's address. Else it is as with
    /// [`adopt_stream`](Self::adopt_stream).
    ///
    /// # Errors
    ///
    /// If it is no stream socket that is connected; the descriptor is closed then.
    #[track_caller]
    pub fn adopt_accepted(
        &self,
        descriptor: OwnedFd,
        seat: impl FnOnce(&Address) -> Option<Box<dyn Seat>>,
    ) -> Result<Address, CannotAdopt> {
        let peer = check_connected(descriptor.as_fd())?;
        let local = peer_address(Some(getsockname(&descriptor)?));
        if let Some(seat) = seat(&peer) {
            self.carry(descriptor, peer, seat);
        }
        Ok(local)
    }

    #[track_caller]
    pub(crate) fn carry(&self, descriptor: OwnedFd, peer: Address, seat: Box<dyn Seat>) {
        let (key, id) = self.take_in(ConnectOptions::default(), seat);
        let socket = descriptor.into();
        self.inner().request(Request::Adopt { key, id, socket, peer });
    }
}

impl Inner {
    /// Takes over a connection that was found to be one.
    pub(crate) fn take_over(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        id: u64,
        socket: Socket,
        peer: Address,
    ) {
        if self.with_attempt(key, id, |_| ()).is_some() {
            self.won(driver, key, peer, |driver| {
                driver.open(key, socket, Role::Stream)?;
                driver.share(key);
                Ok(())
            });
        }
    }
}

/// Where a socket that listens does so.
pub(crate) fn check_listening(socket: BorrowedFd<'_>) -> Result<Address, CannotAdopt> {
    if !check(socket)? {
        return Err(CannotAdopt::NotListening);
    }
    Ok(peer_address(Some(getsockname(socket)?)))
}

/// Where the other end of a connected socket is.
pub(crate) fn check_connected(socket: BorrowedFd<'_>) -> Result<Address, CannotAdopt> {
    if check(socket)? {
        return Err(CannotAdopt::Listening);
    }
    Ok(peer_address(getpeername(socket)?))
}

/// Makes sure that it is a stream socket which can be carried; answers whether it listens.
fn check(socket: BorrowedFd<'_>) -> Result<bool, CannotAdopt> {
    if sockopt::socket_type(socket)? != SocketType::STREAM {
        return Err(CannotAdopt::NotStream);
    }
    let (is_known, listens) = os::family_and_listening(socket)?;
    if !is_known {
        return Err(CannotAdopt::UnknownFamily);
    }
    os::make_ours(socket)?;
    Ok(listens)
}
