//! The servers: each sends back what comes, on one thread.

use std::error::Error;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use ropewalk_protocol::{Address, DatagramPort, DatagramProtocol, Port, seat_datagrams};
use ropewalk_reactor::{DriverKind, Reactor, UdpOptions};
use rustix::event::{PollFd, PollFlags, poll};

use crate::Outcome;

/// How many datagrams one turn, or one call, takes where several can be.
const BATCH: usize = 32;
/// Room for the longest datagram that is sent here.
const SIZE: usize = 2048;

/// A server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A wait, then a receive and a send for each datagram.
    Bare,
    /// The same with calls for many.
    Batched,
    /// tokio's socket on one thread.
    Tokio,
    /// Ours on `epoll`.
    Epoll,
    /// Ours on `io_uring`.
    IoUring,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bare, Self::Batched, Self::Tokio, Self::Epoll, Self::IoUring];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Batched => "bare-batched",
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
