//! WebSockets: opened by hand, each message masked as a client's has to be.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::RecvFlags;

use crate::{EVENTS_MAX, READ_MAX, announce, connect, exchange};

/// What a message is masked with.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
/// The longest payload whose length stands in one byte.
const SHORT_MAX: usize = 125;
/// The longest head of an answer.
const HEAD_MAX: usize = 4096;
/// The opcode of a text that is whole.
const TEXT: u8 = 0x81;

/// Messages there and back.
pub(crate) fn echo(
    address: SocketAddr,
    connections: usize,
    bytes: usize,
    time: Duration,
) -> io::Result<(u64, Duration)> {
    let (message, back) = (frame(bytes, Some(MASK))?, frame(bytes, None)?);
    let sockets: io::Result<Vec<OwnedFd>> = (0..connections)
        .map(|index| {
            let mut socket = open(address, index, "/")?;
            socket.write_all(&message)?;
            expect(&mut socket, &back)?;
            Ok(socket.into())
        })
        .collect();
    exchange(sockets?, &message, back.len(), time)
}

/// Messages from one to all.
pub(crate) fn broadcast(
    address: SocketAddr,
    connections: usize,
    bytes: usize,
    time: Duration,
) -> io::Result<(u64, Duration)> {
    let (message, back) = (frame(bytes, Some(MASK))?, frame(bytes, None)?);
    let sockets: io::Result<Vec<TcpStream>> =
        (0..connections).map(|index| open(address, index, "/all")).collect();
    let mut sockets = sockets?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (index, socket) in sockets.iter().enumerate() {
        epoll::add(&epoll, socket, EventData::new_u64(index as u64), EventFlags::IN)?;
    }
    // The first is compared, so that everybody is known to be in the crowd.
    sockets[0].write_all(&message)?;
    for socket in &mut sockets {
        expect(socket, &back)?;
    }
    announce()?;
    let start = Instant::now();
    let mut input = vec![0; READ_MAX];
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut messages = 0;
    while start.elapsed() < time {
        sockets[0].write_all(&message)?;
        let mut missing = connections * back.len();
        while missing > 0 {
            events.clear();
            epoll::wait(&epoll, spare_capacity(&mut events), None)?;
            for event in &events {
                let index = usize::try_from(event.data.u64()).map_err(io::Error::other)?;
                match rustix::net::recv(&sockets[index], &mut *input, RecvFlags::empty())? {
                    (_, 0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    (_, count) => missing = missing.checked_sub(count).ok_or(too_much())?,
                }
            }
        }
        messages += connections as u64;
    }
    Ok((messages, start.elapsed()))
}

fn too_much() -> io::Error {
    io::Error::other("more came than was sent")
}

/// A text of so many letters.
fn frame(bytes: usize, mask: Option<[u8; 4]>) -> io::Result<Vec<u8>> {
    let masked = u8::from(mask.is_some()) << 7;
    let mut frame = vec![TEXT];
    if bytes <= SHORT_MAX {
        frame.push(masked | u8::try_from(bytes).map_err(io::Error::other)?);
    } else {
        frame.push(masked | 126);
        frame.extend(u16::try_from(bytes).map_err(io::Error::other)?.to_be_bytes());
    }
    frame.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    let mask = mask.unwrap_or_default();
    frame.extend((0..bytes).map(|index| b'x' ^ mask[index % mask.len()]));
    Ok(frame)
}

fn open(address: SocketAddr, index: usize, path: &str) -> io::Result<TcpStream> {
    let mut socket = TcpStream::from(connect(address, index)?);
    let opening = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n"
    );
    socket.write_all(opening.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
        if head.len() > HEAD_MAX {
            return Err(io::Error::other("its answer has no end"));
        }
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(socket);
    }
    Err(io::Error::other(format!("it answered {}", head.escape_ascii())))
}

fn expect(socket: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    let mut heard = vec![0; frame.len()];
    socket.read_exact(&mut heard)?;
    if heard == frame {
        return Ok(());
    }
    Err(io::Error::other(format!("it said {}", heard.escape_ascii())))
}
