//! The floor: epoll, `recv`, parse, `send`, and nothing else.
//!
//! Level-triggered, one `recv` and one `send` per readable event, one read buffer for all, an answer
//! built in advance with a date that stands still. A connection is a descriptor in a slab. What no
//! server can do without, this does; whatever more a server does is its price over this.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use peer_common::{BODY, announce, listener};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use slab::Slab;

/// The most that one `recv` takes.
const READ_MAX: usize = 64 * 1024;
/// The most events of one turn.
const EVENTS_MAX: usize = 1024;
/// The most bytes of an unfinished request that are kept.
const REST_MAX: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The token of the listener, which no slab ever gives out.
const LISTENER: u64 = u64::MAX;

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Slab<OwnedFd>,
    /// Beginnings of requests that the network cut: empty unless it did.
    rests: HashMap<usize, Vec<u8>>,
    input: Box<[u8]>,
    output: Vec<u8>,
    answer: Vec<u8>,
}

fn main() -> io::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    announce(listener.local_addr()?)?;
    let mut server = Server {
        epoll,
        listener,
        connections: Slab::new(),
        rests: HashMap::new(),
        input: vec![0; READ_MAX].into_boxed_slice(),
        output: Vec::with_capacity(READ_MAX),
        answer: answer(),
    };
    server.run()
}

fn answer() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nServer: bare\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                Content-Type: text/plain\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{BODY}", BODY.len()).into_bytes()
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(rustix::io::Errno::INTR) => continue,
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
            let connection = match rustix::net::accept_with(&self.listener, flags) {
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                result => result?,
            };
            rustix::net::sockopt::set_tcp_nodelay(&connection, true)?;
            let entry = self.connections.vacant_entry();
            let token = EventData::new_u64(entry.key() as u64);
            epoll::add(&self.epoll, &connection, token, EventFlags::IN)?;
            entry.insert(connection);
        }
    }

    /// Reads once, answers once; ends the connection if either fails.
    fn serve(&mut self, token: usize) {
        if !self.connections.contains(token) {
            return;
        }
        if self.read_and_answer(token).is_none() {
            self.rests.remove(&token);
            self.connections.remove(token);
        }
    }

    fn read_and_answer(&mut self, token: usize) -> Option<()> {
        let connection = &self.connections[token];
        let read = match rustix::net::recv(connection, &mut *self.input, RecvFlags::empty()) {
            Err(rustix::io::Errno::AGAIN) => return Some(()),
            Err(_) | Ok((_, 0)) => return None,
            Ok((_, read)) => read,
        };
        self.output.clear();
        if self.rests.is_empty() || !self.rests.contains_key(&token) {
            let used = answer_all(&self.input[..read], &self.answer, &mut self.output)?;
            if used < read {
                self.rests.insert(token, self.input[used..read].to_vec());
            }
        } else {
            let mut rest = self.rests.remove(&token)?;
            rest.extend_from_slice(&self.input[..read]);
            let used = answer_all(&rest, &self.answer, &mut self.output)?;
            rest.drain(..used);
            if rest.len() > REST_MAX {
                return None;
            }
            if !rest.is_empty() {
                self.rests.insert(token, rest);
            }
        }
        if self.output.is_empty() {
            return Some(());
        }
        // A client that does not read its answers is not what is measured: it is cut off.
        let sent = rustix::net::send(connection, &self.output, SendFlags::NOSIGNAL).ok()?;
        (sent == self.output.len()).then_some(())
    }
}

/// Answers each whole request; how many bytes they were, or `None` if they are no requests.
fn answer_all(input: &[u8], answer: &[u8], output: &mut Vec<u8>) -> Option<usize> {
    let mut used = 0;
    while used < input.len() {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(&input[used..], &mut headers).ok()? {
            httparse::Status::Complete(length) => used += length,
            httparse::Status::Partial => break,
        }
        output.extend_from_slice(answer);
    }
    Some(used)
}
