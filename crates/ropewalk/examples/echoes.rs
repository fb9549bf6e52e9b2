//! A WebSocket echo on a port of 127.0.0.1, with every limit at its default: `echoes PORT`.
//!
//! This is the server that `cargo xtask bench idle --websocket` measures.

use std::net::{Ipv4Addr, SocketAddr};

use ropewalk::Failure;
use ropewalk::http::{Request, Site};
use ropewalk::protocol::Port;
use ropewalk::reactor::{Reactor, TcpListenOptions};
use ropewalk::websocket::{Message, WebSocket, WebSocketProtocol, WebSocketResource};

struct Echo;

impl WebSocketProtocol for Echo {
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        socket.send(message);
    }
}

fn main() -> Result<(), Failure> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    let reactor = Reactor::new()?;
    let site = Site::new(WebSocketResource::new(|_: &Request| Echo));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let port = reactor.listen_tcp(address, TcpListenOptions::default(), Box::new(site))?;
    println!("listening {}", port.address());
    reactor.run()?;
    Ok(())
}
