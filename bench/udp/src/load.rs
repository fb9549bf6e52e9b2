//! The load: sockets that each keep a number of datagrams under way.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Outcome;

/// How long an answer may take before what is under way is taken for lost.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A way of asking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// How many sockets ask.
    sockets: usize,
    /// How many datagrams each has under way.
    window: usize,
    /// How many bytes each is.
    size: usize,
    /// The system is given a window as one and cuts it up, and answers with the same (GSO, GRO).
    together: bool,
}

/// The ways of asking that are measured.
pub(crate) const SHAPES: [Shape; 6] = [
    Shape { sockets: 64, window: 1, size: 64, together: false },
    Shape { sockets: 1, window: 64, size: 64, together: false },
    Shape { sockets: 8, window: 32, size: 64, together: false },
    Shape { sockets: 8, window: 32, size: 1200, together: false },
    Shape { sockets: 8, window: 32, size: 64, together: true },
    Shape { sockets: 8, window: 32, size: 1200, together: true },
];

impl Shape {
    pub(crate) fn name(self) -> String {
        let Self { sockets, window, size, together } = self;
        let how = if together { ", sent and received together" } else { "" };
        format!("{sockets} senders, {window} under way each, {size} bytes{how}")
    }
}

/// Asks for so long; answers how many answers came.
pub(crate) fn run(server: SocketAddr, shape: Shape, time: Duration) -> Outcome<u64> {
    let clients: Outcome<Vec<Client>> =
        (0..shape.sockets).map(|_| Client::new(server, shape)).collect();
    let mut clients = clients?;
    let end = Instant::now() + time;
    let mut answers = 0;
    while Instant::now() < end {
        let ready: Vec<bool> = {
            let mut asked: Vec<_> =
                clients.iter().map(|client| PollFd::new(&client.socket, PollFlags::IN)).collect();
            poll(&mut asked, Some(&PATIENCE))?;
            asked.iter().map(|each| !each.revents().is_empty()).collect()
        };
        if !ready.contains(&true) {
            // Lost, on a machine that was busy elsewhere.
            clients.iter_mut().for_each(|client| client.under_way = 0);
        }
        for (client, ready) in clients.iter_mut().zip(ready) {
            if ready {
                answers += client.receive()? as u64;
            }
            client.refill()?;
        }
    }
    Ok(answers)
}

struct Client {
    socket: UdpSocket,
    shape: Shape,
    under_way: usize,
    memory: Vec<Vec<u8>>,
    question: Vec<u8>,
    incoming: MultiHeaders<SockaddrIn>,
    outgoing: MultiHeaders<SockaddrIn>,
}

impl Client {
    fn new(server: SocketAddr, shape: Shape) -> Outcome<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        if shape.together {
            setsockopt(&socket, UdpGsoSegment, &i32::try_from(shape.size)?)?;
            setsockopt(&socket, UdpGroSegment, &true)?;
        }
        let question = if shape.together { shape.window * shape.size } else { shape.size };
        let mut client = Self {
            socket,
            shape,
            under_way: 0,
            memory: vec![vec![0; shape.size]; shape.window],
            question: vec![b'x'; question],
            incoming: MultiHeaders::preallocate(shape.window, None),
            outgoing: MultiHeaders::preallocate(shape.window, None),
        };
        client.refill()?;
        Ok(client)
    }

    fn receive(&mut self) -> Outcome<usize> {
        if self.shape.together {
            let mut count = 0;
            let mut buffer = [0; 65_536];
            while let Ok(bytes) = self.socket.recv(&mut buffer) {
                count += bytes / self.shape.size;
            }
            self.under_way = self.under_way.saturating_sub(count);
            return Ok(count);
        }
        let mut slices: Vec<_> =
            self.memory.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let (number, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let count = match recvmmsg(number, &mut self.incoming, slices.iter_mut(), flags, None) {
            Ok(messages) => messages.count(),
            Err(nix::Error::EAGAIN) => 0,
            Err(error) => return Err(error.into()),
        };
        self.under_way = self.under_way.saturating_sub(count);
        Ok(count)
    }

    fn refill(&mut self) -> Outcome<()> {
        let Shape { window, size, together, .. } = self.shape;
        let count = window - self.under_way;
        if count == 0 {
            return Ok(());
        }
        if together {
            // What the system has no room for is tried again.
            self.under_way += self.socket.send(&self.question[..count * size]).unwrap_or(0) / size;
            return Ok(());
        }
        let slices: Vec<_> = (0..count).map(|_| [IoSlice::new(&self.question)]).collect();
        let names: Vec<Option<SockaddrIn>> = vec![None; count];
        let flags = MsgFlags::MSG_DONTWAIT;
        let number = self.socket.as_raw_fd();
        match sendmmsg(number, &mut self.outgoing, &slices, names, [], flags) {
            Ok(sent) => self.under_way += sent.count(),
            Err(nix::Error::EAGAIN) => (),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
