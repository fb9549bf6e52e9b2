//! The two servers, and what they say.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use http::{Method, StatusCode};
use ropewalk_deferred::Deferred;
use ropewalk_http::{Reply, Request, Response, Site};
use ropewalk_http2::Limits;
use ropewalk_http2::frame::{ErrorCode, PREFACE};
use ropewalk_http2::hpack::{Decoder, Field, Name, Pseudo};
use ropewalk_interop::{PATIENCE, Peer, TempDir, free_port, tool, wait_for_port};
use ropewalk_trial::{Clock, Memory};

use crate::script::{block, raw, request};

const HELLO: &str = "hello, file\n";
/// A page of several frames, which fits the windows that there are at first.
const LARGE: usize = 40_000;
/// What both let a client send at first.
const WINDOW_BITS: u32 = 16;

/// Reads what a server says, frame by frame.
#[derive(Default)]
struct Reader {
    rest: Vec<u8>,
    decoder: Decoder,
    block: Vec<u8>,
    said: BTreeMap<u32, String>,
    bodies: BTreeMap<u32, usize>,
    /// Answers to pings, as they came.
    pongs: Vec<[u8; 8]>,
    is_over: bool,
}

impl Reader {
    fn hear(&mut self, octets: &[u8]) {
        self.rest.extend_from_slice(octets);
        while let [a, b, c, kind, flags, s0, s1, s2, s3, behind @ ..] = &self.rest[..] {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some(payload) = behind.get(..len) else { return };
            let (kind, flags, payload) = (*kind, *flags, payload.to_vec());
            let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
            self.rest.drain(..9 + len);
            self.take(kind, flags, stream, &payload);
        }
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let code = |at: usize| {
            let number = u32::from_be_bytes(payload[at..at + 4].try_into().expect("four octets"));
            ErrorCode::from(number).to_string()
        };
        match kind {
            0 => {
                *self.bodies.entry(stream).or_default() += payload.len();
                if flags & 1 != 0 {
                    self.say(stream, "end");
                }
            }
            1 | 9 => {
                self.block.extend_from_slice(payload);
                if flags & 4 != 0 {
                    let mut status = String::new();
                    let take = |field: Field| {
                        if field.name == Name::Pseudo(Pseudo::Status) {
                            status.push_str(&String::from_utf8_lossy(&field.value));
                        }
                    };
                    self.decoder.decode(&std::mem::take(&mut self.block), take).expect("a block");
                    self.say(stream, &status);
                }
                if kind == 1 && flags & 1 != 0 {
                    self.say(stream, "end");
                }
            }
            3 => self.say(stream, &code(0)),
            6 if flags & 1 != 0 => self.pongs.push(payload.try_into().expect("eight octets")),
            7 => self.say(0, &format!("GOAWAY {}", code(4))),
            _ => (),
        }
    }

    fn say(&mut self, stream: u32, what: &str) {
        let said = self.said.entry(stream).or_default();
        if !said.is_empty() {
            said.push(' ');
        }
        said.push_str(what);
    }

    /// All that was said since it was asked last.
    fn summary(&mut self) -> String {
        for (stream, size) in std::mem::take(&mut self.bodies) {
            self.say(stream, &format!("+{size}"));
        }
        let said = std::mem::take(&mut self.said);
        let mut parts: Vec<String> = said
            .into_iter()
            .map(|(stream, said)| if stream == 0 { said } else { format!("{stream}: {said}") })
            .collect();
        if self.is_over {
            parts.push("closed".to_owned());
        }
        parts.join(", ")
    }
}

/// A server's end of one conversation.
pub(crate) trait Server {
    /// What it says to some octets.
    fn told(&mut self, octets: &[u8]) -> String;
}

/// What a client says first.
fn greeting() -> Vec<u8> {
    [&PREFACE[..], &raw(4, 0, 0, b""), &raw(4, 1, 0, b"")].concat()
}

/// Ours, in memory.
pub(crate) struct Ours {
    server: Memory,
    reader: Reader,
}

impl Ours {
    /// A site whose pages have so many octets that say what is not there, and what cannot be done.
    pub(crate) fn site([absent, unable]: [usize; 2]) -> Site {
        let page = move |request: Request| -> Deferred<Response> {
            let is_connect = request.method() == Method::CONNECT;
            let body = match request.uri().path() {
                "/hello.txt" => Some(HELLO.to_owned()),
                "/large.bin" => Some("x".repeat(LARGE)),
                _ => None,
            };
            let answer = move |()| match body {
                Some(body) => Response::new(body.into()),
                None => {
                    let size = if is_connect { unable } else { absent };
                    let mut response = Response::new("?".repeat(size).into());
                    let connect = StatusCode::METHOD_NOT_ALLOWED;
                    *response.status_mut() =
                        if is_connect { connect } else { StatusCode::NOT_FOUND };
                    response
                }
            };
            // As the other server does, it hears a request out.
            request.into_body().collect(1 << 20).map(drop).map(answer)
        };
        let mut limits = Limits::default();
        limits.window = (1 << WINDOW_BITS) - 1;
        limits.connection_window = (1 << WINDOW_BITS) - 1;
        limits.has_connect = false;
        Site::new(move |request: Request| Reply::Later(page(request))).streams(limits)
    }

    pub(crate) fn start(site: &Site) -> Self {
        let server = Memory::seat(site.server(), &Clock::new());
        let mut ours = Self { server, reader: Reader::default() };
        ours.told(&greeting());
        ours
    }
}

impl Server for Ours {
    fn told(&mut self, octets: &[u8]) -> String {
        self.server.push(octets);
        self.server.run();
        let sent = self.server.take_sent();
        self.reader.hear(&sent);
        self.reader.is_over = self.server.is_write_closed() || self.server.ended().is_some();
        self.reader.summary()
    }
}

/// nghttpd, with the same pages.
pub(crate) struct Nghttpd {
    address: SocketAddr,
    _folder: TempDir,
    _peer: Peer,
}

impl Nghttpd {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new("nghttpd").expect("a folder");
        folder.write("hello.txt", HELLO).expect("a file");
        folder.write("large.bin", "x".repeat(LARGE)).expect("a file");
        let port = free_port().expect("a port");
        let mut nghttpd = Command::new(tool("nghttpd"));
        nghttpd.args(["--no-tls", "--address=127.0.0.1", "--max-concurrent-streams=128"]);
        nghttpd.arg(format!("--window-bits={WINDOW_BITS}"));
        nghttpd.arg(format!("--connection-window-bits={WINDOW_BITS}"));
        nghttpd.arg(format!("--htdocs={}", folder.path().display()));
        let peer = Peer::start(nghttpd.arg(port.to_string())).expect("it starts");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wait_for_port(address).expect("it listens");
        Self { address, _folder: folder, _peer: peer }
    }

    /// How long its pages are of what is not there, and of what it cannot do: they name its port.
    pub(crate) fn absent(&self) -> [usize; 2] {
        let mut theirs = self.connect();
        let connect = block(&[(":method", "CONNECT"), (":authority", "localhost:1")]);
        let asked = [(1, "404", request("GET", "/none", &[])), (3, "405", connect)];
        asked.map(|(stream, status, block)| {
            let said = theirs.told(&raw(1, 5, stream, &block));
            let size = said.strip_prefix(&format!("{stream}: {status} end +"));
            size.expect("a page that says so").parse().expect("a length")
        })
    }

    pub(crate) fn connect(&self) -> Theirs {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut theirs = Theirs { stream, reader: Reader::default(), pings: 0 };
        theirs.told(&greeting());
        theirs
    }
}

pub(crate) struct Theirs {
    stream: TcpStream,
    reader: Reader,
    pings: u64,
}

impl Theirs {
    /// Sends something and a ping behind it, and hears all up to the answer to that, or to the end.
    fn ping_behind(&mut self, octets: &[u8]) {
        self.pings += 1;
        let mark = self.pings.to_be_bytes();
        let octets = [octets, &raw(6, 0, 0, &mark)].concat();
        let mut buffer = vec![0; 1 << 16];
        // It may have hung up already, and then says why.
        let mut has_failed = self.stream.write_all(&octets).is_err();
        while !self.reader.pongs.contains(&mark) && !self.reader.is_over {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.reader.is_over = true,
                Ok(len) => self.reader.hear(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => {
                    let is_gone = error.kind() == ErrorKind::ConnectionReset;
                    assert!(is_gone || has_failed, "nghttpd says nothing more: {error}");
                    self.reader.is_over = true;
                }
            }
            has_failed |= self.reader.is_over;
        }
    }
}

impl Server for Theirs {
    fn told(&mut self, octets: &[u8]) -> String {
        self.ping_behind(octets);
        // It answers pings before all else; what waited then is out when it answers another.
        for _ in 0..2 {
            if !self.reader.is_over {
                self.ping_behind(b"");
            }
        }
        self.reader.summary()
    }
}
