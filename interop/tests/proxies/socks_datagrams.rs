//! Datagrams through SOCKS: our server under others' clients, and our client with others' servers.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_endpoint::client_from_string;
use ropewalk_interop::{PATIENCE, Peer, TempDir, free_port, tool, wait_for_port};
use ropewalk_protocol::{Address, DatagramPort, DatagramProtocol, connect_datagrams, timeout};
use ropewalk_reactor::{UdpEndpoint, UdpOptions};
use ropewalk_socks::{Datagram, Destinations, Login, Proxy, ProxyError, Refusal, Target};

use crate::house::{House, local, run};
use crate::support::reactor;

/// Says in capitals what it hears; it goes with its owner.
struct Shout {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shout {
    fn start() -> Self {
        let socket = UdpSocket::bind(local(0)).expect("a socket");
        let address = socket.local_addr().expect("an address");
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let shout = move || {
            let mut buffer = [0; 1024];
            while !over.load(Ordering::Acquire) {
                let (length, from) = socket.recv_from(&mut buffer).expect("a datagram");
                let _ = socket.send_to(&buffer[..length].to_ascii_uppercase(), from);
            }
        };
        let thread = thread::Builder::new().name("shout".to_owned()).spawn(shout);
        let thread = thread.expect("a thread");
        Self { address, is_over, thread: Some(thread) }
    }
}

impl Drop for Shout {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // It hears of it with the next datagram.
        let woken = UdpSocket::bind(local(0)).and_then(|socket| socket.send_to(b"", self.address));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || (woken.is_ok() && ended.is_ok()));
        }
    }
}

/// Asks once more with each moment that passes: datagrams may be lost.
struct Ask {
    target: Target,
    told: Option<Promise<(Target, Vec<u8>)>>,
}

impl Ask {
    fn say(&self, port: &DatagramPort<Self>) {
        let question = Datagram { target: self.target.clone(), data: b"hello" };
        let _ = port.send_with(None, |out| question.encode(out));
        port.call_later(Duration::from_millis(200), |this, port| this.say(port));
    }
}

impl DatagramProtocol for Ask {
    fn started(&mut self, port: &DatagramPort<Self>) {
        self.say(port);
    }

    fn datagram_received(&mut self, _: &DatagramPort<Self>, data: &[u8], _: &Address) {
        let answer = Datagram::read(data).expect("a datagram with where it is from");
        if let Some(told) = self.told.take() {
            told.succeed((answer.target, answer.data.to_vec()));
        }
    }
}

/// Asks `target` through the proxy at this port.
fn ask(port: u16, target: &Target, login: Option<Login>) -> Result<(Target, Vec<u8>), Failure> {
    let reactor = reactor();
    let place = client_from_string(&reactor, &format!("tcp:127.0.0.1:{port}")).expect("a place");
    let proxy = Proxy::new(place);
    let proxy = match login {
        Some(login) => proxy.login(login),
        None => proxy,
    };
    let (told, answer) = deferred();
    let ask = Ask { target: target.clone(), told: Some(told) };
    let place = UdpEndpoint::new(&reactor, local(0), UdpOptions::default());
    let answered: Deferred<_> = proxy.associate().add_callback(move |association| {
        let relay = Address::Ip(association.relay());
        connect_datagrams(&place, &relay, ask).add_callback(move |port| {
            answer.add_both(move |answer| {
                port.abort();
                drop(association);
                answer
            })
        })
    });
    reactor.run_until(timeout(&reactor, PATIENCE, answered))
}

#[test]
fn our_client_gets_through_our_server() {
    let target = Shout::start();
    let proxy = House::socks(|service| {
        service.users(vec![Login::new("alice", "secret").expect("it is short")])
    });
    let login = || Some(Login::new("alice", "secret").expect("it is short"));
    let from = Target::from(target.address);
    for host in ["127.0.0.1", "localhost"] {
        let to = Target::new(host, target.address.port()).expect("a target");
        let answer = ask(proxy.port(), &to, login()).expect("an answer");
        assert_eq!(answer, (from.clone(), b"HELLO".to_vec()), "{host}");
    }
}

#[test]
fn a_server_without_datagrams_says_so() {
    let proxy = House::socks(ropewalk_socks::Service::without_datagrams);
    let failure = ask(proxy.port(), &Target::from(local(9)), None).expect_err("a refusal");
    assert_eq!(failure.check(), Some(&ProxyError::Refused(Refusal::Command)));
}

#[test]
fn dante_passes_our_datagrams_on() {
    let target = Shout::start();
    let folder = TempDir::new("dante-udp").expect("a folder");
    let port = free_port().expect("a port");
    let rules = format!(
        "logoutput: {0}\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\n\
         clientmethod: none\nsocksmethod: none\n\
         client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n\
         socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: udpassociate udpreply }}\n",
        folder.path().join("log").display(),
    );
    let path = folder.write("danted.conf", rules).expect("a file");
    let mut danted = Command::new(tool("danted"));
    danted.arg("-f").arg(path).arg("-p").arg(folder.path().join("pid"));
    let _dante = Peer::start(&mut danted).expect("it starts");
    wait_for_port(local(port)).expect("it listens");
    let answer = ask(port, &Target::from(target.address), None).expect("an answer");
    assert_eq!(answer, (Target::from(target.address), b"HELLO".to_vec()));
}

/// Sends "hello" to its only argument until something comes back, and prints that.
const ASK: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[2]))
for attempt in range(5):
    s.sendto(b'hello', ('127.0.0.1', int(sys.argv[1])))
    try:
        data, peer = s.recvfrom(100)
    except TimeoutError:
        continue
    print(data.decode(), peer[0], peer[1])
    break
";

/// What a program says that asks `target` through dante's client and the proxy.
fn socksified(proxy: &House, target: SocketAddr, patience: &str) -> String {
    let folder = TempDir::new("socksify").expect("a folder");
    let rules = format!(
        "route {{\n from: 0.0.0.0/0 to: 0.0.0.0/0 via: 127.0.0.1 port = {}\n \
         proxyprotocol: socks_v5\n protocol: udp\n}}\n",
        proxy.port(),
    );
    let path = folder.write("socks.conf", rules).expect("a file");
    let mut socksify = Command::new(tool("socksify"));
    // It would go straight to its own networks.
    socksify
        .env("SOCKS_CONF", path)
        .env("SOCKS_AUTOADD_LANROUTES", "no")
        .arg(tool("python3"))
        .args(["-c", ASK]);
    let output = run(socksify.args([&target.port().to_string(), patience]), b"");
    let output = output.expect("socksify runs");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn dantes_client_gets_through() {
    let target = Shout::start();
    let proxy = House::socks(|service| service);
    let said = socksified(&proxy, target.address, "2");
    assert_eq!(said, format!("HELLO 127.0.0.1 {}\n", target.address.port()));
}

#[test]
fn dantes_client_is_not_taken_inside() {
    let target = Shout::start();
    let proxy = House::socks(|service| service.destinations(Destinations::public()));
    assert_eq!(socksified(&proxy, target.address, "0.1"), "");
}
