//! Strangers that mean no good, over real sockets: whoever behaves is served meanwhile, and nothing is
//! left of the others.

use std::cell::RefCell;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Promise, deferred};
use ropewalk_endpoint::{ReactorOutlet, client_from_string, server_from_string};
use ropewalk_forward::Forward;
use ropewalk_protocol::{Address, Conn, Disconnect, Factory, Port, Protocol, connect, listen};
use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_socks::{Destinations, Service};

/// How many strangers there are of each sort.
const EACH: usize = 40;
const MOMENT: Duration = Duration::from_millis(20);

/// What they say before they leave, or stay.
const SAID: [&[u8]; 8] = [
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x05",
    b"\x05\x01\0\x05\x01\0\x03\xff",
    b"\x04\x01\0\x50\0\0\0\x01",
    b"PROXY TCP4 1.2.3.4 ",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    &[0; 5000],
];

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// Says a word, and tells what comes back of it.
struct Caller(Option<Promise<Vec<u8>>>);

impl Protocol for Caller {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"hello");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        if let Some(promise) = self.0.take() {
            promise.succeed(data.to_vec());
        }
        conn.close();
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some(promise) = self.0.take() {
            promise.fail(why);
        }
    }
}

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().expect("a driver's name").unwrap_or_default();
    Reactor::with_driver(kind).expect("a reactor")
}

fn serve(reactor: &Reactor, string: &str, factory: impl Factory) -> (Box<dyn Port>, SocketAddr) {
    let place = server_from_string(reactor, string).expect("a place");
    let port = reactor.run_until(listen(&*place, factory)).expect("a port");
    let address = port.address().ip().expect("an Internet address");
    (port, address)
}

/// Sends strangers to `address`, and somebody who behaves to `string`, by and by and all at once.
#[track_caller]
fn besiege(reactor: &Reactor, address: SocketAddr, string: &str) {
    let before = reactor.census();
    let mut crowd = Vec::new();
    for said in SAID {
        for index in 0..EACH {
            let mut stranger = TcpStream::connect(address).expect("a connection");
            // Whoever was cut off already cannot say it.
            let _ = stranger.write_all(said);
            match index % 3 {
                // Leaves with a reset, for what it never read.
                0 => drop(stranger),
                1 => {
                    let _ = stranger.shutdown(std::net::Shutdown::Write);
                    crowd.push(stranger);
                }
                _ => crowd.push(stranger),
            }
        }
        let place = client_from_string(reactor, string).expect("a place");
        let (promise, reply) = deferred();
        connect(&*place, Caller(Some(promise))).on_result(drop);
        assert_eq!(reactor.run_until(reply).expect("a reply"), b"hello");
    }
    drop(crowd);
    for _ in 0..200 {
        if reactor.census() == before {
            return;
        }
        reactor.turn(MOMENT).expect("a turn");
    }
    assert_eq!(reactor.census(), before, "something is left");
}

/// As many as come: all are from one address here.
fn crowded() -> ropewalk_framing::policy::Limits {
    ropewalk_framing::policy::Limits { per_peer: None, ..Default::default() }
}

#[test]
fn a_socks_server_withstands() {
    let reactor = reactor();
    let (_echo, target) = serve(&reactor, "tcp:0:interface=127.0.0.1", |_: &Address| Some(Echo));
    let here = Destinations::public().allow("127.0.0.0/8".parse().expect("a network"));
    let service = Service::new(ReactorOutlet::new(&reactor)).destinations(here).limits(crowded());
    let service = Rc::new(RefCell::new(service));
    let (_port, proxy) = serve(&reactor, "tcp:0:interface=127.0.0.1", service);
    let string = format!("socks5:127.0.0.1:{}:tcp:{proxy}", target.port());
    besiege(&reactor, proxy, &string);
}

#[test]
fn a_server_behind_proxies_withstands() {
    let reactor = reactor();
    let place = "haproxy:tcp:0:interface=127.0.0.1";
    let (_port, address) = serve(&reactor, place, |_: &Address| Some(Echo));
    besiege(&reactor, address, &format!("haproxy:tcp:{address}"));
}

#[test]
fn forwarding_withstands() {
    let reactor = reactor();
    let (_echo, far) = serve(&reactor, "tcp:0:interface=127.0.0.1", |_: &Address| Some(Echo));
    let far = client_from_string(&reactor, &format!("tcp:{far}")).expect("a place");
    let forward = Forward::to(far).limits(crowded());
    let (_port, near) = serve(&reactor, "tcp:0:interface=127.0.0.1", forward);
    besiege(&reactor, near, &format!("tcp:{near}"));
}
