//! Hello over HTTP on a port of 127.0.0.1, with every limit at its default: `hello PORT`.
//!
//! This is the server that the benches measure.

use std::net::{Ipv4Addr, SocketAddr};

use ropewalk::Failure;
use ropewalk::http::{Request, Site};
use ropewalk::protocol::Port;
use ropewalk::reactor::{Reactor, TcpListenOptions};

fn main() -> Result<(), Failure> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    let reactor = Reactor::new()?;
    let site = Site::new(|_: Request| "Hello, World!");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let port = reactor.listen_tcp(address, TcpListenOptions::default(), Box::new(site))?;
    println!("listening {}", port.address());
    reactor.run()?;
    Ok(())
}
