//! What the examples of hosts share: a page that counts its visitors, and a visitor.

#![forbid(unsafe_code)]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_http::{Request, Site};
use ropewalk_protocol::{Address, Conn, Disconnect, Port, Protocol, seat};
use ropewalk_reactor::{ConnectOptions, DriverKind, ListeningPort, Reactor, TcpListenOptions};

/// A page that says how often it was asked for.
pub struct Page {
    reactor: Reactor,
    port: ListeningPort,
    address: SocketAddr,
}

impl Page {
    /// Serves the page on a port of the system's choice, on the driver that the environment names.
    ///
    /// # Errors
    ///
    /// If there is no such driver, or the system refuses.
    pub fn serve() -> Result<Self, Box<dyn Error>> {
        let reactor = Reactor::with_driver(DriverKind::from_environment()?.unwrap_or_default())?;
        let mut count = 0;
        let site = Site::new(move |_: Request| {
            count += 1;
            format!("You are visitor {count}.\n")
        });
        let factory = Box::new(move |_: &Address| Some(site.server()));
        let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
        let port = reactor.listen_tcp(anywhere, TcpListenOptions::default(), factory)?;
        let address = port.address().ip().ok_or("no address")?;
        Ok(Self { reactor, port, address })
    }

    /// The reactor that serves it.
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks for the page over a connection of its own, and gives its text.
    pub fn visit(&self) -> Deferred<String> {
        let (promise, text) = deferred();
        let visitor = Visitor { received: Vec::new(), promise: Some(promise) };
        self.reactor.connect_tcp(self.address, ConnectOptions::default(), seat(visitor));
        text
    }

    /// Serves it no longer.
    pub fn close(&self) -> Deferred<()> {
        self.port.stop_listening()
    }
}

struct Visitor {
    received: Vec<u8>,
    promise: Option<Promise<String>>,
}

impl Protocol for Visitor {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.received.extend_from_slice(data);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        let text = String::from_utf8_lossy(&self.received);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned());
        let result = body.ok_or_else(|| Failure::new(std::io::Error::other(format!("{why:?}"))));
        if let Some(promise) = self.promise.take() {
            promise.fire(result);
        }
    }
}
