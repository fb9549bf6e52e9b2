//! The floor of who serves many at a time: the library's connections on a loop that waits for all of them,
//! and nothing else. For handshakes and short answers alone.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConnection;

use crate::papers;
use crate::request::{KEPT, REQUEST_MAX, Request, announce};

/// How many events are taken at a time.
const EVENTS_MAX: usize = 1024;
/// What the library reads at a time; less than that is all that there was.
const READ: usize = 4096;

/// One that is served.
struct Served {
    stream: TcpStream,
    tls: ServerConnection,
    heard: Vec<u8>,
}

pub(crate) fn serve(folder: &Path) -> Result<(), Box<dyn Error>> {
    let config = papers::server_config(folder)?;
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    announce(listener.local_addr()?)?;
    let mut events = Events::with_capacity(EVENTS_MAX);
    // Whoever has token N is at N - 1.
    let mut served: Vec<Option<Served>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Some(at) = event.token().0.checked_sub(1) else {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let at = free.pop().unwrap_or(served.len());
                    poll.registry().register(&mut stream, Token(at + 1), Interest::READABLE)?;
                    let tls = ServerConnection::new(config.clone())?;
                    let one = Some(Served { stream, tls, heard: Vec::new() });
                    if at == served.len() {
                        served.push(one);
                    } else {
                        served[at] = one;
                    }
                }
                continue;
            };
            // A connection that fails is over, and that is all.
            let goes_on = served[at].as_mut().is_some_and(|one| one.go_on().unwrap_or(false));
            if !goes_on && served[at].take().is_some() {
                free.push(at);
            }
        }
    }
}

impl Served {
    /// Takes what came, and answers; whether more may come.
    fn go_on(&mut self) -> io::Result<bool> {
        loop {
            let read = match self.tls.read_tls(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                read => read?,
            };
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            let mut plain = [0; REQUEST_MAX];
            let ready = state.plaintext_bytes_to_read().min(REQUEST_MAX);
            self.tls.reader().read_exact(&mut plain[..ready])?;
            self.heard.extend_from_slice(&plain[..ready]);
            let has_ended = read == 0 || state.peer_has_closed();
            if has_ended {
                self.tls.send_close_notify();
            } else if let Some(request) = Request::read(&self.heard) {
                self.heard.clear();
                match request? {
                    Request::Keep => self.tls.writer().write_all(KEPT)?,
                    Request::Bulk { .. } => return Ok(false),
                }
            }
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.stream)?;
            }
            if has_ended || read < READ {
                return Ok(!has_ended);
            }
        }
    }
}
