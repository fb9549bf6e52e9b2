//! Unix datagrams.

use rustix::fd::OwnedFd;
use std::fmt;
use std::io;

use ropewalk_protocol::{Address, DatagramEndpoint, DatagramSeat, Disconnect};
use socket2::Socket;

use super::udp::LENGTH_DEFAULT;
use crate::sys::Socket as AnySocket;
use crate::sys::os::{SocketFile, datagram_socket, receive_at, unix_address};
use crate::{CannotListen, ListeningPort, Reactor};

/// How to open a port for Unix datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixDatagramOptions {
    length: usize,
    mode: u32,
    bind: Option<Address>,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
}

impl Default for UnixDatagramOptions {
    fn default() -> Self {
        Self {
            length: LENGTH_DEFAULT,
            mode: 0o600,
            bind: None,
            receive_buffer: None,
            send_buffer: None,
        }
    }
}

impl UnixDatagramOptions {
    /// The longest datagram that is taken, in bytes, and never more than 65,535. Of longer ones the
    /// protocol is told [the beginning](ropewalk_protocol::DatagramProtocol::datagram_truncated).
    pub fn max_length(self, length: usize) -> Self {
        Self { length: length.min(LENGTH_DEFAULT), ..self }
    }

    /// The socket's permissions, where it has a file; only its owner may send unless set.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// The path or name of a connected port: without one, its peer cannot answer. None unless set.
    pub fn bind(self, place: Address) -> Self {
        Self { bind: Some(place), ..self }
    }

    /// How many bytes the system keeps of what has come and was not received (`SO_RCVBUF`).
    pub fn receive_buffer(self, bytes: usize) -> Self {
        Self { receive_buffer: Some(bytes), ..self }
    }

    /// How many bytes the system keeps of what is on its way from here (`SO_SNDBUF`).
    pub fn send_buffer(self, bytes: usize) -> Self {
        Self { send_buffer: Some(bytes), ..self }
    }

    /// Makes a socket at `place`, or one without a name.
    fn open(&self, place: Option<&Address>) -> io::Result<(Socket, Option<SocketFile>)> {
        let (socket, file) = match place {
            Some(Address::Unix(path)) => {
                let (socket, file) = receive_at(path, self.mode)?;
                (socket, Some(file))
            }
            Some(place) => {
                let socket = datagram_socket()?;
                socket.bind(&unix_address(place)?)?;
                (socket, None)
            }
            None => (datagram_socket()?, None),
        };
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        Ok((socket, file))
    }
}

impl Reactor {
    /// Receives datagrams at a Unix socket's path, or at a name in Linux's abstract namespace. The
    /// file is removed when the port closes.
    ///
    /// A socket that an earlier process left behind is replaced; one that is in use is not. Of two
    /// ports that are opened there at once, one is refused: see [`listen_unix`](Self::listen_unix).
    ///
    /// A receiver whose queue is full is not waited for: the datagram is dropped, and
    /// [`PeerFull`](ropewalk_protocol::SendError::PeerFull) tells of it.
    ///
    /// # Errors
    ///
    /// If the place is taken or none that a socket can have, or the system refuses. The protocol is
    /// told so as well.
    pub fn listen_unix_datagrams(
        &self,
        place: &Address,
        options: &UnixDatagramOptions,
        seat: Box<dyn DatagramSeat>,
    ) -> Result<ListeningPort, CannotListen> {
        let opened: io::Result<(AnySocket, _)> = match self.inner().carrier.platform() {
            Some(platform) => platform.datagrams(place, None).map(|(socket, _)| (socket, None)),
            None => {
                options.open(Some(place)).map(|(socket, file)| (OwnedFd::from(socket).into(), file))
            }
        };
        match opened {
            Ok((socket, file)) => {
                Ok(self.open_port(socket, place.clone(), None, options.length, file, seat))
            }
            Err(error) => {
                self.refuse_port(seat, Disconnect::from(&error));
                Err(CannotListen { address: place.clone(), error })
            }
        }
    }

    /// Exchanges datagrams with one peer, whose full queue is waited for. A failure reaches the seat as
    /// its end.
    pub fn connect_unix_datagrams(
        &self,
        peer: &Address,
        options: &UnixDatagramOptions,
        seat: Box<dyn DatagramSeat>,
    ) {
        let own = options.bind.clone().unwrap_or(Address::Unnamed);
        let opened: io::Result<(AnySocket, _)> = match self.inner().carrier.platform() {
            Some(platform) => {
                platform.datagrams(&own, Some(peer)).map(|(socket, _)| (socket, None))
            }
            None => options.open(options.bind.as_ref()).and_then(|(socket, file)| {
                socket.connect(&unix_address(peer)?)?;
                Ok((OwnedFd::from(socket).into(), file))
            }),
        };
        match opened {
            Ok((socket, file)) => {
                self.open_port(socket, own, Some(peer.clone()), options.length, file, seat);
            }
            Err(error) => self.refuse_port(seat, Disconnect::from(&error)),
        }
    }
}

/// A place for Unix datagrams on a reactor.
#[derive(Clone)]
pub struct UnixDatagramEndpoint {
    reactor: Reactor,
    place: Address,
    options: UnixDatagramOptions,
}

impl UnixDatagramEndpoint {
    /// The place at a path or an abstract name; [`Address::Unnamed`] is good for connected ports whose
    /// peers do not answer.
    pub fn new(reactor: &Reactor, place: Address, options: UnixDatagramOptions) -> Self {
        Self { reactor: reactor.clone(), place, options }
    }
}

impl DatagramEndpoint for UnixDatagramEndpoint {
    fn open_seat(&self, peer: Option<&Address>, seat: Box<dyn DatagramSeat>) {
        let Some(peer) = peer else {
            // The seat is told of the failure too.
            let _ = self.reactor.listen_unix_datagrams(&self.place, &self.options, seat);
            return;
        };
        let bind = Some(self.place.clone()).filter(|place| *place != Address::Unnamed);
        let options = UnixDatagramOptions { bind, ..self.options.clone() };
        self.reactor.connect_unix_datagrams(peer, &options, seat);
    }
}

impl fmt::Debug for UnixDatagramEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixDatagramEndpoint").field("place", &self.place).finish_non_exhaustive()
    }
}
