//! The floor of an echo: epoll, `recv`, `send`, and nothing else.
//!
//! Level-triggered, one `recv` and one `send` per readable event, one read buffer for all. A connection
//! is a descriptor in a slab; one whose peer does not take its echo keeps the rest and reads no more
//! until that is gone.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use peer_common::{announce, listener};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use slab::Slab;

/// The most that one `recv` takes.
const READ_MAX: usize = 64 * 1024;
/// The most events of one turn.
const EVENTS_MAX: usize = 1024;
/// The token of the listener, which no slab ever gives out.
const LISTENER: u64 = u64::MAX;

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Slab<Connection>,
    input: Box<[u8]>,
}

struct Connection {
    socket: OwnedFd,
    /// What the peer has not taken yet.
    rest: Vec<u8>,
}

fn main() -> io::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    announce(listener.local_addr()?)?;
    let input = vec![0; READ_MAX].into_boxed_slice();
    Server { epoll, listener, connections: Slab::new(), input }.run()
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    token => self.serve(usize::try_from(token).map_err(io::Error::other)?),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match rustix::net::accept_with(&self.listener, flags) {
                Err(Errno::AGAIN) => return Ok(()),
                result => result?,
            };
            rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
            let entry = self.connections.vacant_entry();
            let token = EventData::new_u64(entry.key() as u64);
            epoll::add(&self.epoll, &socket, token, EventFlags::IN)?;
            entry.insert(Connection { socket, rest: Vec::new() });
        }
    }

    /// Reads once and sends it back; ends the connection if either fails.
    fn serve(&mut self, token: usize) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if connection.echo(&self.epoll, token as u64, &mut self.input).is_none() {
            self.connections.remove(token);
        }
    }
}

impl Connection {
    fn echo(&mut self, epoll: &OwnedFd, token: u64, input: &mut [u8]) -> Option<()> {
        if !self.rest.is_empty() {
            let sent = send(&self.socket, &self.rest)?;
            self.rest.drain(..sent);
            if self.rest.is_empty() {
                self.watch(epoll, token, EventFlags::IN)?;
            }
            return Some(());
        }
        let read = match rustix::net::recv(&self.socket, &mut *input, RecvFlags::empty()) {
            Err(Errno::AGAIN) => return Some(()),
            Err(_) | Ok((_, 0)) => return None,
            Ok((_, read)) => read,
        };
        let sent = send(&self.socket, &input[..read])?;
        if sent < read {
            self.rest.extend_from_slice(&input[sent..read]);
            self.watch(epoll, token, EventFlags::OUT)?;
        }
        Some(())
    }

    fn watch(&self, epoll: &OwnedFd, token: u64, flags: EventFlags) -> Option<()> {
        epoll::modify(epoll, &self.socket, EventData::new_u64(token), flags).ok()
    }
}

/// How many bytes the kernel takes; `None` if the connection is gone.
fn send(socket: &OwnedFd, bytes: &[u8]) -> Option<usize> {
    match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN) => Some(0),
        result => result.ok(),
    }
}
