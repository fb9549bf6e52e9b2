//! Our own server, which tells what was agreed on, and our own client.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output, Stdio};

use ropewalk_deferred::{Promise, deferred};
use ropewalk_endpoint::client_from_string;
use ropewalk_interop::PATIENCE;
use ropewalk_protocol::{
    Address, ClientEndpoint, Conn, Disconnect, Protocol, TlsInfo, connect, timeout,
};
use ropewalk_reactor::Reactor;
use ropewalk_tls::TlsError;

use crate::base::House;
use crate::support::reactor;

/// What a client says to have a page.
pub(crate) const QUESTION: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// A server with a page about what was agreed on.
pub(crate) fn telling(string: String) -> House {
    House::start(string, |_| |_: &Address| Some(Telling { heard: Vec::new() }))
}

/// Answers the first request with what was agreed on, and closes.
struct Telling {
    heard: Vec<u8>,
}

impl Protocol for Telling {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        // A peer that hangs fails a test in the end.
        conn.call_later(PATIENCE, |_, conn| conn.abort());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
        if !self.heard.windows(4).any(|four| four == b"\r\n\r\n") {
            return;
        }
        let said = tell(&conn.tls().expect("TLS"), &conn.identity().to_string());
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
        conn.write(head.as_bytes());
        conn.write(said.as_bytes());
        conn.close();
    }
}

fn tell(tls: &TlsInfo, peer: &str) -> String {
    let alpn = tls.alpn.as_deref().map(|alpn| alpn.escape_ascii().to_string());
    format!(
        "protocol {}\ncipher {}\ngroup {}\nalpn {}\nname {}\nresumed {}\nknown {}\npeer {peer}\n",
        tls.protocol,
        tls.cipher,
        tls.group.as_deref().unwrap_or("-"),
        alpn.as_deref().unwrap_or("-"),
        tls.server_name.as_deref().unwrap_or("-"),
        tls.resumed,
        !tls.peer_chain.is_empty(),
    )
}

/// What our client found.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) tls: TlsInfo,
    pub(crate) text: String,
}

/// Why it found nothing.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) why: Disconnect,
    pub(crate) cause: Option<TlsError>,
}

/// Our client of one server, which it knows again.
pub(crate) struct Client {
    reactor: Reactor,
    place: Box<dyn ClientEndpoint>,
}

impl Client {
    pub(crate) fn new(string: &str) -> Self {
        let reactor = reactor();
        let place = client_from_string(&reactor, string).expect("a place");
        Self { reactor, place }
    }

    pub(crate) fn fetch(&self) -> Result<Page, Lost> {
        let (told, page) = deferred();
        let asking = Asking { tls: None, heard: Vec::new(), told: Some(told) };
        connect(&*self.place, asking).on_result(drop);
        self.reactor.run_until(timeout(&self.reactor, PATIENCE, page)).expect("an end in time")
    }
}

/// What our client finds at the place that `string` names.
pub(crate) fn fetch(string: &str) -> Result<Page, Lost> {
    Client::new(string).fetch()
}

/// Asks for a page and hears what comes, to its end.
struct Asking {
    tls: Option<TlsInfo>,
    heard: Vec<u8>,
    told: Option<Promise<Result<Page, Lost>>>,
}

impl Protocol for Asking {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.tls = conn.tls();
        conn.write(QUESTION);
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let Some(told) = self.told.take() else { return };
        told.succeed(match (why, self.tls.take()) {
            (Disconnect::Closed, Some(tls)) => {
                Ok(Page { tls, text: String::from_utf8_lossy(&self.heard).into_owned() })
            }
            (why, _) => {
                let cause = conn.cause();
                let cause = cause.and_then(|cause| cause.check::<TlsError>().cloned());
                Err(Lost { why, cause })
            }
        });
    }
}

/// Runs a program to its end, which gets something to read and no end of it.
pub(crate) fn converse(command: &mut Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that does not want it may have gone already.
    let _ = stdin.write_all(input);
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    output
}

/// The same, where the program gets `then` once it has complained of a `mark`.
pub(crate) fn run_on(command: &mut Command, input: &[u8], mark: &str, then: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("it starts");
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let (mut stdin, stderr) = (stdin.expect("a pipe"), stderr.expect("a pipe"));
    stdin.write_all(input).expect("it reads");
    let mut lines = BufReader::new(stderr).lines();
    let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(mark)));
    found.expect("a mark").expect("a line");
    stdin.write_all(then).expect("it reads");
    child.wait_with_output().expect("it ends")
}

/// What it printed, and what it complained of.
pub(crate) fn said(output: &Output) -> String {
    let (out, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}\n{complaints}")
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
