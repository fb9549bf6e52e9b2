//! Endpoints that lead through something, over real sockets: who is seen, who gets through, who does not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_endpoint::{ReactorOutlet, client_from_string, server_from_string};
use ropewalk_forward::Forward;
use ropewalk_protocol::{
    Address, Conn, Disconnect, Factory, HostTable, Port, Protocol, connect, listen,
};
use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_socks::{Bound, Destinations, Login, Proxy, ProxyError, Refusal, Service, Target};

/// Says whom it sees, then says back what it hears.
struct WhoAreYou;

impl Protocol for WhoAreYou {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(format!("{} ", conn.identity()).as_bytes());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// Says a word and ends its stream; the promise gets all that comes back, and where it came from.
struct Caller {
    heard: Vec<u8>,
    reply: Option<Promise<(String, Address)>>,
}

impl Caller {
    fn new() -> (Self, Deferred<(String, Address)>) {
        let (promise, reply) = deferred();
        (Self { heard: Vec::new(), reply: Some(promise) }, reply)
    }
}

impl Protocol for Caller {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"hello");
        conn.close_write();
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        if let Some(promise) = self.reply.take() {
            let heard = String::from_utf8_lossy(&self.heard).into_owned();
            promise.succeed((heard, conn.local()));
        }
        conn.close();
    }
}

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().expect("a driver's name").unwrap_or_default();
    Reactor::with_driver(kind).expect("a reactor")
}

fn serve(reactor: &Reactor, string: &str, factory: impl Factory) -> Box<dyn Port> {
    let place = server_from_string(reactor, string).expect(string);
    reactor.run_until(listen(&*place, factory)).expect("a port")
}

fn who_are_you(reactor: &Reactor, string: &str) -> Box<dyn Port> {
    serve(reactor, string, |_: &Address| Some(WhoAreYou))
}

fn number(port: &dyn Port) -> u16 {
    port.address().ip().expect("an Internet address").port()
}

/// Calls; answers what came back and the address that the call came from.
#[track_caller]
fn call(reactor: &Reactor, string: &str) -> (String, Address) {
    let place = client_from_string(reactor, string).expect(string);
    let (caller, reply) = Caller::new();
    connect(&*place, caller).on_result(|made| assert!(made.is_ok(), "{made:?}"));
    reactor.run_until(reply).expect("a reply")
}

/// Calls where that cannot work; answers what came of it.
#[track_caller]
fn call_in_vain(reactor: &Reactor, string: &str) -> Disconnect {
    let place = client_from_string(reactor, string).expect(string);
    let (caller, _reply) = Caller::new();
    let failure = reactor.run_until(connect(&*place, caller)).expect_err(string);
    *failure.check().expect("a reason")
}

/// A SOCKS server that takes its clients to this machine.
fn socks(reactor: &Reactor, change: impl FnOnce(Service) -> Service) -> u16 {
    let here = Destinations::public().allow("127.0.0.0/8".parse().expect("a network"));
    let service = Service::new(ReactorOutlet::new(reactor)).destinations(here);
    number(&*serve(reactor, "tcp:0:interface=127.0.0.1", change(service)))
}

#[test]
fn servers_behind_proxies_see_the_client() {
    let reactor = reactor();
    let port = number(&*who_are_you(&reactor, "haproxy:tcp:0:interface=127.0.0.1"));
    for version in ["1", "2", "2c"] {
        let string = format!("haproxy:version={version}:tcp:127.0.0.1:{port}:bind=127.0.0.9");
        let (heard, local) = call(&reactor, &string);
        assert_eq!(heard, format!("{local} through {local} hello"), "{version}");
    }
}

#[test]
fn servers_behind_proxies_do_not_believe_strangers() {
    let reactor = reactor();
    let string = "haproxy:trust=127.0.0.1:tcp:0:interface=127.0.0.1";
    let port = number(&*who_are_you(&reactor, string));
    call(&reactor, &format!("haproxy:tcp:127.0.0.1:{port}:bind=127.0.0.1"));
    let place = format!("haproxy:tcp:127.0.0.1:{port}:bind=127.0.0.2");
    let place = client_from_string(&reactor, &place).expect("a place");
    let (caller, reply) = Caller::new();
    connect(&*place, caller).on_result(drop);
    // Nobody says a word to a stranger.
    let heard = reactor.run_until(reply).map(|(heard, _)| heard).unwrap_or_default();
    assert_eq!(heard, "");
}

#[test]
fn forwarding_can_say_whose_connection_it_passes_on() {
    let reactor = reactor();
    let far = number(&*who_are_you(&reactor, "haproxy:tcp:0:interface=127.0.0.1"));
    let far = client_from_string(&reactor, &format!("tcp:127.0.0.1:{far}")).expect("a place");
    let forward = Forward::to(far).dressed(|peer, local, seat| {
        ropewalk_proxy::announce(peer, local, ropewalk_proxy::Version::V2, seat)
    });
    let near = number(&*serve(&reactor, "tcp:0:interface=127.0.0.1", forward));
    let (heard, local) = call(&reactor, &format!("tcp:127.0.0.1:{near}:bind=127.0.0.9"));
    assert!(heard.starts_with(&format!("{local} through 127.0.0.1:")), "{heard}");
    assert!(heard.ends_with("hello"), "{heard}");
}

#[test]
fn every_kind_of_socks_client_gets_through() {
    let reactor = reactor();
    let target = number(&*who_are_you(&reactor, "tcp:0:interface=127.0.0.1"));
    let proxy = socks(&reactor, |service| service);
    reactor.set_resolver(HostTable::parse("127.0.0.1 target.test proxy.test"));
    for kind in ["socks4", "socks5"] {
        for (host, gate) in [("127.0.0.1", "127.0.0.1"), ("target.test", "proxy.test")] {
            let string = format!("{kind}:{host}:{target}:tcp:{gate}:{proxy}");
            let (heard, _) = call(&reactor, &string);
            assert!(heard.starts_with("127.0.0.1:") && heard.ends_with(" hello"), "{heard}");
        }
    }
    let other = socks(&reactor, |service| service);
    let chain = format!("socks5:127.0.0.1:{target}:socks4:127.0.0.1:{other}:tcp:127.0.0.1:{proxy}");
    assert!(call(&reactor, &chain).0.ends_with(" hello"));
}

#[test]
fn passwords_are_asked_for_and_given() {
    let reactor = reactor();
    let target = number(&*who_are_you(&reactor, "tcp:0:interface=127.0.0.1"));
    let users = vec![Login::new("alice", "a:b=c").expect("it is short")];
    let proxy = socks(&reactor, |service| service.users(users));
    let through = |login: &str| format!("socks5:127.0.0.1:{target}{login}:tcp:127.0.0.1:{proxy}");
    assert!(call(&reactor, &through(r":user=alice:password=a\:b\=c")).0.ends_with(" hello"));
    let denied = Disconnect::Failed(io::ErrorKind::PermissionDenied);
    assert_eq!(call_in_vain(&reactor, &through(":user=alice:password=x")), denied);
    assert_eq!(call_in_vain(&reactor, &through("")), denied);
}

#[test]
fn refusals_come_back_as_what_they_are() {
    let reactor = reactor();
    reactor.set_resolver(HostTable::parse("127.0.0.1 inside.test\n10.0.0.1 private.test"));
    let proxy = socks(&reactor, |service| service);
    let gone = number(&*who_are_you(&reactor, "tcp:0:interface=127.0.0.1"));
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let free = unused.local_addr().expect("its address").port();
    drop(unused);
    let through = |host: &str, port| format!("socks5:{host}:{port}:tcp:127.0.0.1:{proxy}");
    assert_eq!(call_in_vain(&reactor, &through("127.0.0.1", free)), Disconnect::Refused);
    let denied = Disconnect::Failed(io::ErrorKind::PermissionDenied);
    assert_eq!(call_in_vain(&reactor, &through("private.test", 80)), denied);
    assert_eq!(call_in_vain(&reactor, &through("nowhere.test", 80)), Disconnect::Unreachable);
    // A name is no way around the rules.
    let closed = socks(&reactor, |service| service.destinations(Destinations::public()));
    let through = format!("socks5:inside.test:{gone}:tcp:127.0.0.1:{closed}");
    assert_eq!(call_in_vain(&reactor, &through), denied);
    // That the proxy itself cannot be reached is told, too.
    let through = format!("socks5:127.0.0.1:{gone}:tcp:127.0.0.1:{free}");
    assert_eq!(call_in_vain(&reactor, &through), Disconnect::Refused);
}

#[test]
fn a_client_can_be_connected_to_through_a_proxy() {
    let reactor = reactor();
    let gate = format!("tcp:127.0.0.1:{}", socks(&reactor, |service| service));
    let proxy = Proxy::new(client_from_string(&reactor, &gate).expect("a place"));
    let expected = Target::new("127.0.0.1", 1).expect("a target");
    let bound: Bound<WhoAreYou> =
        reactor.run_until(proxy.bind(&expected, WhoAreYou)).expect("a place to bind");
    let address: SocketAddr = bound.address.ip().expect("an Internet address");
    assert!(address.ip().is_loopback());
    let (heard, local) = call(&reactor, &format!("tcp:{}:{}", address.ip(), address.port()));
    assert_eq!(heard, format!("{local} hello"));
    assert!(reactor.run_until(bound.connected).is_ok());
    // The port was for one.
    let again = format!("tcp:{}:{}", address.ip(), address.port());
    assert_eq!(call_in_vain(&reactor, &again), Disconnect::Refused);

    let elsewhere = Target::new("10.0.0.1", 1).expect("a target");
    let failure = reactor.run_until(proxy.bind(&elsewhere, WhoAreYou)).expect_err("not allowed");
    assert_eq!(failure.check(), Some(&ProxyError::Refused(Refusal::NotAllowed)));
}

#[test]
fn nothing_is_left_of_connections_that_are_over() {
    let reactor = reactor();
    let target = number(&*who_are_you(&reactor, "haproxy:tcp:0:interface=127.0.0.1"));
    let proxy = socks(&reactor, |service| service);
    let string = format!("haproxy:socks5:127.0.0.1:{target}:tcp:127.0.0.1:{proxy}");
    let before = reactor.census();
    for _ in 0..20 {
        call(&reactor, &string);
    }
    for _ in 0..100 {
        if reactor.census() == before {
            break;
        }
        reactor.turn(Duration::from_millis(100)).expect("a turn");
    }
    assert_eq!(reactor.census(), before);
}
