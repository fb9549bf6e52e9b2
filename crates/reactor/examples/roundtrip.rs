//! Everything that a reactor does on any system, once: bytes there and back over many connections,
//! datagrams, a call later, work in a thread, a call from another thread, an end in order.
//!
//! `cargo run -p ropewalk-reactor --example roundtrip -- [DRIVER]`; it says "everything came back" and
//! ends with success if so. `cargo xtask cross` runs it where Windows' own interfaces are.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{
    Address, Conn, DatagramPort, DatagramProtocol, Disconnect, Port, Protocol, call_later, seat,
    seat_datagrams,
};
use ropewalk_reactor::{ConnectOptions, DriverKind, Reactor, TcpListenOptions, UdpOptions};

/// How many connections there are, and how many bytes each has sent back.
const CONNECTIONS: usize = 100;
const BYTES: usize = 200_000;

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// Sends, counts what comes back, and ends its stream; the rest follows from that.
struct Client {
    came: usize,
    ended: Option<Promise<usize>>,
}

impl Protocol for Client {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let bytes: Vec<u8> = (0..BYTES).map(|index| (index % 251) as u8).collect();
        conn.write(&bytes);
        conn.close_write();
    }

    fn data_received(&mut self, _conn: &Conn<Self>, data: &[u8]) {
        let expected = (self.came..).map(|index| (index % 251) as u8);
        if data.iter().copied().eq(expected.take(data.len())) {
            self.came += data.len();
        }
    }

    fn connection_lost(&mut self, _conn: &Conn<Self>, why: Disconnect) {
        if let Some(ended) = self.ended.take() {
            match why {
                Disconnect::Closed => ended.succeed(self.came),
                why => ended.fail(why),
            }
        }
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        // What cannot be sent is not sent, as with all datagrams.
        let _ = port.send_to(data, from);
    }
}

struct Question {
    to: Address,
    answered: Option<Promise<()>>,
}

impl DatagramProtocol for Question {
    fn started(&mut self, port: &DatagramPort<Self>) {
        // Nobody answers then, which is noticed.
        let _ = port.send_to(b"question", &self.to);
    }

    fn datagram_received(&mut self, _port: &DatagramPort<Self>, data: &[u8], _from: &Address) {
        if data == b"question"
            && let Some(answered) = self.answered.take()
        {
            answered.succeed(());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let named = std::env::args().nth(1).map(|name| name.parse::<DriverKind>()).transpose()?;
    let reactor = Reactor::with_driver(named.unwrap_or_default())?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let patience = Duration::from_mins(1);
    call_later(&reactor, patience, || {
        eprintln!("nothing moves");
        std::process::exit(1);
    });

    let factory = Box::new(|_: &Address| Some(Echo));
    let listening = reactor.listen_tcp(anywhere, TcpListenOptions::default(), factory)?;
    let server = listening.address().ip().ok_or("no address")?;
    let mut waiting = Vec::new();
    for _ in 0..CONNECTIONS {
        let (promise, came) = deferred();
        let client = Client { came: 0, ended: Some(promise) };
        reactor.connect_tcp(server, ConnectOptions::default(), seat(client));
        waiting.push(came);
    }
    for came in waiting {
        let came = reactor.run_until(came)?;
        if came != BYTES {
            return Err(format!("{came} of {BYTES} bytes came back").into());
        }
    }
    println!("{CONNECTIONS} connections, {BYTES} bytes each, there and back");

    let port = reactor.listen_udp(anywhere, &UdpOptions::default(), seat_datagrams(Echo))?;
    let (promise, answered) = deferred();
    let question = Question { to: port.address(), answered: Some(promise) };
    reactor.listen_udp(anywhere, &UdpOptions::default(), seat_datagrams(question))?;
    reactor.run_until(answered)?;
    println!("a datagram, there and back");

    let worked: Deferred<u32> = reactor.defer_to_thread(|| Ok::<_, Failure>(6 * 7));
    println!("a thread answered {}", reactor.run_until(worked)?);

    let handle = reactor.handle();
    reactor.defer_to_thread(move || handle.stop()).on_result(drop);
    reactor.run()?;
    println!("everything came back, by {}", reactor.driver());
    Ok(())
}
