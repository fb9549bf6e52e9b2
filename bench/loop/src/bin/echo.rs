//! `echo PORT`: an echo on our reactor, on the driver that `ROPEWALK_REACTOR` names.

use std::error::Error;
use std::io::{self, Write};
use std::net::Ipv4Addr;

use ropewalk_protocol::{Address, Conn, Port, Protocol};
use ropewalk_reactor::{DriverKind, Reactor, TcpListenOptions};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        conn.pause_reading();
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        conn.resume_reading();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).ok_or("usage: echo PORT")?.parse()?;
    let reactor = Reactor::with_driver(DriverKind::from_environment()?.unwrap_or_default())?;
    let place = (Ipv4Addr::LOCALHOST, port).into();
    let options = TcpListenOptions::default();
    let port = reactor.listen_tcp(place, options, Box::new(|_: &Address| Some(Echo)))?;
    let address = port.address().ip().ok_or("no address")?;
    println!("listening {address}");
    io::stdout().flush()?;
    reactor.run()?;
    Ok(())
}
