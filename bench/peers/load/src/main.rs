//! The load of the benches of echoes and WebSockets, on one thread and epoll.
//!
//! - `load ADDRESS ping CONNECTIONS BYTES SECONDS`: each connection sends so many bytes, waits until all
//!   are back, and sends again.
//! - `load ADDRESS bulk BYTES`: one connection sends so many bytes and reads as many.
//! - `load ADDRESS accept CONNECTIONS SECONDS`: connections come, have one byte sent back, and go.
//! - `load ADDRESS hold CONNECTIONS`: so many connections have had one byte sent back and stay until the
//!   load is killed.
//! - `load ADDRESS ws-echo CONNECTIONS BYTES SECONDS`: WebSockets at `/`, each of which sends a message of
//!   so many bytes, waits until it is back, and sends again.
//! - `load ADDRESS ws-broadcast CONNECTIONS BYTES SECONDS`: WebSockets at `/all`, one of which sends a
//!   message; when it has reached all of them, the next is sent.
//!
//! When all connections stand, it prints `ready`; at the end `done ROUNDS NANOSECONDS`.

#![allow(clippy::disallowed_methods, reason = "a load keeps the time of the world")]

mod websocket;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Connections from one source address; systems have some 28,000 ports to give.
const CONNECTIONS_PER_ADDRESS: usize = 20_000;
/// The most events of one turn.
const EVENTS_MAX: usize = 1024;
/// The most that one `recv` takes.
const READ_MAX: usize = 256 * 1024;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| -> io::Result<usize> {
        let word = words.get(index).ok_or_else(usage)?;
        word.parse().map_err(|_| usage())
    };
    let address = words.first().ok_or_else(usage)?.parse().map_err(|_| usage())?;
    let (rounds, time) = match words.get(1).ok_or_else(usage)?.as_str() {
        "ping" => ping(address, number(2)?, number(3)?, seconds(number(4)?))?,
        "bulk" => bulk(address, number(2)?)?,
        "accept" => accept(address, number(2)?, seconds(number(3)?))?,
        "hold" => hold(address, number(2)?)?,
        "ws-echo" => websocket::echo(address, number(2)?, number(3)?, seconds(number(4)?))?,
        "ws-broadcast" => {
            websocket::broadcast(address, number(2)?, number(3)?, seconds(number(4)?))?
        }
        _ => return Err(usage()),
    };
    println!("done {rounds} {}", time.as_nanos());
    Ok(())
}

fn usage() -> io::Error {
    io::Error::other("usage: load ADDRESS ping|bulk|accept|hold|ws-echo|ws-broadcast NUMBER…")
}

fn seconds(count: usize) -> Duration {
    Duration::from_secs(count as u64)
}

fn announce() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()
}

/// Connects from a source address of which not too many ports are in use.
fn connect(address: SocketAddr, index: usize) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let offset = u32::try_from(index / CONNECTIONS_PER_ADDRESS).map_err(io::Error::other)?;
    if offset > 0 {
        let source = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + offset);
        rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    rustix::net::connect(&socket, &address)?;
    rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(socket)
}

/// One byte there and back.
fn greet(socket: OwnedFd) -> io::Result<OwnedFd> {
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])?;
    Ok(stream.into())
}

/// A connection that waits for its echo.
struct Echo {
    socket: OwnedFd,
    sent: usize,
    heard: usize,
}

impl Echo {
    /// Sends as much as the kernel takes; watches for room if that is not all.
    fn send(&mut self, epoll: &OwnedFd, token: u64, message: &[u8]) -> io::Result<()> {
        let rest = &message[self.sent..];
        let was_whole = self.sent == 0;
        match rustix::net::send(&self.socket, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => self.sent += sent,
            Err(Errno::AGAIN) => (),
            Err(error) => return Err(error.into()),
        }
        let is_whole = self.sent == message.len();
        if was_whole != is_whole {
            let mut flags = EventFlags::IN;
            flags.set(EventFlags::OUT, !is_whole);
            epoll::modify(epoll, &self.socket, EventData::new_u64(token), flags)?;
        }
        Ok(())
    }
}

fn ping(
    address: SocketAddr,
    connections: usize,
    bytes: usize,
    time: Duration,
) -> io::Result<(u64, Duration)> {
    let sockets: io::Result<Vec<OwnedFd>> =
        (0..connections).map(|index| greet(connect(address, index)?)).collect();
    exchange(sockets?, &vec![b'x'; bytes], bytes, time)
}

/// Each socket sends `message`, waits for as many bytes as `back`, and sends again.
fn exchange(
    sockets: Vec<OwnedFd>,
    message: &[u8],
    back: usize,
    time: Duration,
) -> io::Result<(u64, Duration)> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut input = vec![0; READ_MAX];
    let mut echoes = Vec::new();
    for (index, socket) in sockets.into_iter().enumerate() {
        epoll::add(&epoll, &socket, EventData::new_u64(index as u64), EventFlags::IN)?;
        echoes.push(Echo { socket, sent: 0, heard: 0 });
    }
    announce()?;
    let start = Instant::now();
    for (token, echo) in echoes.iter_mut().enumerate() {
        echo.send(&epoll, token as u64, message)?;
    }
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut rounds = 0;
    while start.elapsed() < time {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let token = event.data.u64();
            let echo = &mut echoes[usize::try_from(token).map_err(io::Error::other)?];
            let flags = event.flags;
            if echo.sent < message.len() && flags.contains(EventFlags::OUT) {
                echo.send(&epoll, token, message)?;
            }
            let flags = RecvFlags::DONTWAIT;
            match rustix::net::recv(&echo.socket, &mut *input, flags) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, count)) => echo.heard += count,
                Err(Errno::AGAIN) => (),
                Err(error) => return Err(error.into()),
            }
            if echo.heard == back {
                rounds += 1;
                (echo.sent, echo.heard) = (0, 0);
                echo.send(&epoll, token, message)?;
            }
        }
    }
    Ok((rounds, start.elapsed()))
}

fn bulk(address: SocketAddr, bytes: usize) -> io::Result<(u64, Duration)> {
    let socket = greet(connect(address, 0)?)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let both = EventFlags::IN | EventFlags::OUT;
    epoll::add(&epoll, &socket, EventData::new_u64(0), both)?;
    let message = vec![b'x'; READ_MAX];
    let mut input = vec![0; READ_MAX];
    let (mut sent, mut heard) = (0, 0);
    announce()?;
    let start = Instant::now();
    let mut events = Vec::with_capacity(1);
    while heard < bytes {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        if sent < bytes {
            let piece = &message[..READ_MAX.min(bytes - sent)];
            match rustix::net::send(&socket, piece, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => (),
                Err(error) => return Err(error.into()),
            }
            if sent == bytes {
                epoll::modify(&epoll, &socket, EventData::new_u64(0), EventFlags::IN)?;
            }
        }
        match rustix::net::recv(&socket, &mut *input, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, count)) => heard += count,
            Err(Errno::AGAIN) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((heard as u64, start.elapsed()))
}

/// So many connections at a time come, are answered, and go with a reset, which leaves no port waiting.
fn accept(address: SocketAddr, connections: usize, time: Duration) -> io::Result<(u64, Duration)> {
    announce()?;
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < time {
        let crowd: io::Result<Vec<OwnedFd>> =
            (0..connections).map(|_| connect(address, 0)).collect();
        let crowd = crowd?;
        for socket in &crowd {
            rustix::net::send(socket, b"x", SendFlags::NOSIGNAL)?;
        }
        for socket in crowd {
            rustix::net::recv(&socket, &mut [0; 1], RecvFlags::empty())?;
            rustix::net::sockopt::set_socket_linger(socket.as_fd(), Some(Duration::ZERO))?;
            rounds += 1;
        }
    }
    Ok((rounds, start.elapsed()))
}

fn hold(address: SocketAddr, connections: usize) -> io::Result<(u64, Duration)> {
    let held: io::Result<Vec<OwnedFd>> =
        (0..connections).map(|index| greet(connect(address, index)?)).collect();
    let held = held?;
    announce()?;
    loop {
        std::thread::park();
        // It is woken for nothing; the connections stay.
        std::hint::black_box(&held);
    }
}
