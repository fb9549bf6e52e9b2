//! Our own servers and clients, each on a reactor in a thread of its own or for one call.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use ropewalk_deferred::{Failure, Promise, deferred};
use ropewalk_endpoint::{ReactorOutlet, client_from_string, server_from_string};
use ropewalk_interop::PATIENCE;
use ropewalk_protocol::{Address, Conn, Disconnect, Port, Protocol, SeatFactory, connect, timeout};
use ropewalk_reactor::{Reactor, ReactorHandle};
use ropewalk_socks::{Destinations, Service};

use crate::support::reactor;

/// What a client says to have a page.
const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// A running server of ours; it goes with its owner.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    handle: ReactorHandle,
    thread: Option<JoinHandle<()>>,
}

impl House {
    /// Listens at the place that `string` names, with what `make` makes on the reactor there.
    pub(crate) fn start<F: SeatFactory>(
        string: &'static str,
        make: impl FnOnce(&Reactor) -> F + Send + 'static,
    ) -> Self {
        let (sender, ready) = channel();
        let serve = move || {
            let reactor = reactor();
            let place = server_from_string(&reactor, string).expect("a place");
            let listening = place.listen_seats(Box::new(make(&reactor)));
            let port: Box<dyn Port> = reactor.run_until(listening).expect("a port");
            let address = port.address().ip().expect("an Internet address");
            sender.send((address, reactor.handle())).expect("somebody waits");
            reactor.run_without_signals().expect("a loop that runs");
        };
        let thread =
            thread::Builder::new().name("house".to_owned()).spawn(serve).expect("a thread");
        let (address, handle) = ready.recv().expect("a server");
        Self { address, handle, thread: Some(thread) }
    }

    /// A page that says who is seen.
    pub(crate) fn who_are_you(string: &'static str) -> Self {
        Self::start(string, |_| |_: &Address| Some(WhoAreYou))
    }

    /// A SOCKS server that takes its clients to this machine.
    pub(crate) fn socks(change: impl FnOnce(Service) -> Service + Send + 'static) -> Self {
        Self::start("tcp:0:interface=127.0.0.1", |reactor| {
            let here = Destinations::public().allow("127.0.0.0/8".parse().expect("a network"));
            change(Service::new(ReactorOutlet::new(reactor)).destinations(here))
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let stopped = self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || (stopped.is_ok() && ended.is_ok()), "a server fell");
        }
    }
}

/// Answers the first request with who is seen, and closes.
struct WhoAreYou;

impl Protocol for WhoAreYou {
    fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
        let mut said = vec![conn.identity().to_string()];
        if let Some(info) = conn.proxy() {
            let fields = &info.fields;
            let id = fields.unique_id.as_deref().map(|id| id.escape_ascii().to_string());
            said.push(format!("authority {:?}", fields.authority));
            said.push(format!("id {id:?}"));
            if let Some(tls) = &fields.tls {
                said.push(format!("tls {:?} {:?}", tls.protocol, tls.cipher));
                said.push(format!("client {:?} {}", tls.common_name, tls.is_verified));
            }
        }
        let said = said.join("\n") + "\n";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
        conn.write(head.as_bytes());
        conn.write(said.as_bytes());
        conn.close();
    }
}

/// Asks for a page and hears what comes, to its end.
struct Asking {
    heard: Vec<u8>,
    told: Option<Promise<String>>,
}

impl Protocol for Asking {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(QUESTION);
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some(told) = self.told.take() {
            match why {
                Disconnect::Closed => {
                    let heard = String::from_utf8_lossy(&self.heard);
                    let (_, body) = heard.split_once("\r\n\r\n").unwrap_or(("", &*heard));
                    told.succeed(body.to_owned());
                }
                why => told.fail(why),
            }
        }
    }
}

/// The page at the place that `string` names, fetched by our own client.
pub(crate) fn fetch(string: &str) -> Result<String, Disconnect> {
    let reactor = reactor();
    let place = client_from_string(&reactor, string).expect("a place");
    let (told, page) = deferred();
    connect(&*place, Asking { heard: Vec::new(), told: Some(told) }).on_result(drop);
    let page = reactor.run_until(timeout(&reactor, PATIENCE, page));
    page.map_err(|failure: Failure| *failure.check().expect("the connection's end"))
}

/// Runs a program to its end with something to read; answers what it printed.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> io::Result<Output> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not want it may have gone already.
        let _ = io::Write::write_all(&mut stdin, input);
    }
    child.wait_with_output()
}

/// A page as a program prints it that knows nothing of HTTP.
#[track_caller]
pub(crate) fn body(output: &Output) -> String {
    let (out, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let (_, body) = out.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{out:?} {complaints}"));
    body.to_owned()
}

pub(crate) fn question() -> &'static [u8] {
    QUESTION
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
