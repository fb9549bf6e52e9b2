//! The servers: each sends back what comes, on one thread.

use std::error::Error;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::sys::socket::sockopt::UdpGroSegment;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn};
use nix::sys::socket::{recvmmsg, sendmmsg, setsockopt};
use ropewalk_protocol::{Address, DatagramPort, DatagramProtocol, Port, seat_datagrams};
use ropewalk_reactor::{DriverKind, Reactor, UdpOptions};
use rustix::event::{PollFd, PollFlags, poll};

use crate::Outcome;

/// How many datagrams one turn, or one call, takes where several can be.
const BATCH: usize = 32;
/// Room for the longest datagram that is sent here.
const SIZE: usize = 2048;
/// Room for many that the system has put together, and how many bytes and datagrams it takes as one.
const SIZE_TOGETHER: usize = 65_536;
const RUN_BYTES_MAX: usize = 64_000;
const RUN_MAX: usize = 64;

/// A server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A wait, then a receive and a send for each datagram.
    Bare,
    /// The same with calls for many.
    Batched,
    /// The same, and what the system can take and give as one it is given and taken as one (GSO, GRO).
    Together,
    /// tokio's socket on one thread.
    Tokio,
    /// Ours on `epoll`.
    Epoll,
    /// Ours on `io_uring`.
    IoUring,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Bare, Self::Batched, Self::Together, Self::Tokio, Self::Epoll, Self::IoUring];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Batched => "bare-batched",
            Self::Together => "bare-together",
            Self::Tokio => "tokio",
            Self::Epoll => "ropewalk-epoll",
            Self::IoUring => "ropewalk-io_uring",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Serves until it is killed.
pub(crate) fn serve(kind: Kind) -> Outcome<()> {
    match kind {
        Kind::Bare => bare(),
        Kind::Batched => batched(),
        Kind::Together => together(),
        Kind::Tokio => tokio(),
        Kind::Epoll => ours(DriverKind::Epoll),
        Kind::IoUring => ours(DriverKind::IoUring),
    }
}

fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening {address}")?;
    out.flush()
}

fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    announce(socket.local_addr()?)?;
    Ok(socket)
}

fn wait(socket: &UdpSocket) -> io::Result<()> {
    poll(&mut [PollFd::new(socket, PollFlags::IN)], None)?;
    Ok(())
}

fn bare() -> Outcome<()> {
    let socket = socket()?;
    let mut buffer = [0; SIZE];
    loop {
        wait(&socket)?;
        for _ in 0..BATCH {
            match socket.recv_from(&mut buffer) {
                Ok((count, from)) => drop(socket.send_to(&buffer[..count], from)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn batched() -> Outcome<()> {
    let socket = socket()?;
    let number = socket.as_raw_fd();
    let mut memory = vec![[0_u8; SIZE]; BATCH];
    let mut incoming = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut outgoing = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    loop {
        wait(&socket)?;
        let received: Vec<(usize, Option<SockaddrIn>)> = {
            let mut slices: Vec<_> =
                memory.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            match recvmmsg(number, &mut incoming, slices.iter_mut(), flags, None) {
                Ok(messages) => messages.map(|message| (message.bytes, message.address)).collect(),
                Err(nix::Error::EAGAIN) => continue,
                Err(error) => return Err(error.into()),
            }
        };
        let slices: Vec<_> = received
            .iter()
            .zip(&memory)
            .map(|((count, _), buffer)| [IoSlice::new(&buffer[..*count])])
            .collect();
        let names: Vec<_> = received.iter().map(|(_, name)| *name).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        // What the system has no room for is lost, as on a network.
        let _ = sendmmsg(number, &mut outgoing, &slices, names, [], flags);
    }
}

/// What came with one message: how much, how long each datagram of it is, and who sent it.
type Came = (usize, usize, Option<SockaddrIn>);

fn together() -> Outcome<()> {
    let socket = socket()?;
    setsockopt(&socket, UdpGroSegment, &true)?;
    let number = socket.as_raw_fd();
    let mut memory = vec![vec![0_u8; SIZE_TOGETHER + 192]; BATCH];
    let mut incoming = MultiHeaders::<SockaddrIn>::preallocate(BATCH, Some(cmsg_space!(i32)));
    let mut outgoing = MultiHeaders::<SockaddrIn>::preallocate(BATCH, Some(cmsg_space!(u16)));
    loop {
        wait(&socket)?;
        let received: Vec<Came> = {
            let mut slices: Vec<_> =
                memory.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            match recvmmsg(number, &mut incoming, slices.iter_mut(), flags, None) {
                Ok(messages) => messages
                    .map(|message| {
                        let size = message.cmsgs().ok().and_then(|mut said| {
                            said.find_map(|said| match said {
                                ControlMessageOwned::UdpGroSegments(size) => Some(size as usize),
                                _ => None,
                            })
                        });
                        (message.bytes, size.unwrap_or(message.bytes), message.address)
                    })
                    .collect(),
                Err(nix::Error::EAGAIN) => continue,
                Err(error) => return Err(error.into()),
            }
        };
        // Runs of datagrams of one size to one receiver; those of this load are all of one size.
        let mut slices: Vec<Vec<IoSlice<'_>>> = Vec::with_capacity(BATCH);
        let mut names = Vec::with_capacity(BATCH);
        let mut run = 0;
        for ((count, _, from), buffer) in received.iter().zip(&memory) {
            let slice = IoSlice::new(&buffer[..*count]);
            let size = received[0].1.max(1);
            match slices.last_mut() {
                Some(last)
                    if names.last() == Some(from)
                        && run + count <= RUN_BYTES_MAX.min(RUN_MAX * size) =>
                {
                    last.push(slice);
                    run += count;
                }
                _ => {
                    slices.push(vec![slice]);
                    names.push(*from);
                    run = *count;
                }
            }
        }
        let size = u16::try_from(received[0].1)?;
        let said = [ControlMessage::UdpGsoSegments(&size)];
        let flags = MsgFlags::MSG_DONTWAIT;
        // What the system has no room for is lost, as on a network.
        let _ = sendmmsg(number, &mut outgoing, &slices, names, said, flags);
    }
}

fn tokio() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        announce(socket.local_addr()?)?;
        let mut buffer = [0; SIZE];
        loop {
            let (count, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..count], from).await?;
        }
    })
}

struct Echo;

impl DatagramProtocol for Echo {
    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        // What there is no room for is lost, as on a network.
        let _ = port.send_to(data, from);
    }
}

fn ours(driver: DriverKind) -> Outcome<()> {
    let reactor = Reactor::with_driver(driver)?;
    if reactor.driver() != driver.name() {
        return Err(Box::<dyn Error>::from("the driver is not to be had here"));
    }
    let place = (Ipv4Addr::LOCALHOST, 0).into();
    let port = reactor.listen_udp(place, &UdpOptions::default(), seat_datagrams(Echo))?;
    announce(port.address().ip().ok_or("a port of UDP has an address")?)?;
    reactor.run()?;
    Ok(())
}
