//! Descriptions put on a reactor: they listen, they connect, and say why where they cannot.

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_endpoint::{Fault, client_from_string, quote, server_from_string};
use ropewalk_protocol::{Address, Conn, Disconnect, Port, Protocol, connect, listen};
use ropewalk_reactor::{CannotListen, DriverKind, Reactor};

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(kind).unwrap()
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// Says a word and ends its stream; the promise gets all that comes back.
struct Caller {
    heard: Vec<u8>,
    reply: Option<Promise<(Vec<u8>, Address)>>,
}

impl Caller {
    fn new() -> (Self, Deferred<(Vec<u8>, Address)>) {
        let (promise, reply) = deferred();
        (Self { heard: Vec::new(), reply: Some(promise) }, reply)
    }
}

impl Protocol for Caller {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"is anybody there");
        conn.close_write();
    }

    fn data_received(&mut self, _conn: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        let heard = std::mem::take(&mut self.heard);
        if let Some(promise) = self.reply.take() {
            promise.succeed((heard, conn.local()));
        }
        conn.close();
    }
}

/// A folder that is gone when the test is.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ropewalk-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn serve(reactor: &Reactor, string: &str) -> Result<Box<dyn Port>, Failure> {
    let place = server_from_string(reactor, string)?;
    reactor.run_until(listen(&*place, |_: &Address| Some(Echo)))
}

/// Calls an echo; answers the address that the call came from.
#[track_caller]
fn call(reactor: &Reactor, string: &str) -> Address {
    let place = client_from_string(reactor, string).unwrap();
    let (caller, reply) = Caller::new();
    connect(&*place, caller).on_result(|made| assert!(made.is_ok(), "{made:?}"));
    let (heard, local) = reactor.run_until(reply).unwrap();
    assert_eq!(heard, b"is anybody there", "{string}");
    local
}

/// Connects where that cannot work; answers what came of it.
#[track_caller]
fn call_in_vain(reactor: &Reactor, string: &str) -> Disconnect {
    let place = client_from_string(reactor, string).unwrap();
    let (caller, reply) = Caller::new();
    let failure = reactor.run_until(connect(&*place, caller)).expect_err(string);
    assert!(reply.now_or_never().unwrap().is_err(), "the protocol is gone");
    *failure.check::<Disconnect>().expect("a connection that was not made says why")
}

fn port_of(port: &dyn Port) -> u16 {
    port.address().ip().expect("an Internet address").port()
}

/// Whether this machine has IPv6 at all; some containers do not.
fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn tcp_listens_on_the_interface_and_the_port_that_the_system_chose() {
    // 2.8, 71: `tcp`.
    let reactor = reactor();
    let port = serve(&reactor, "tcp:0:interface=127.0.0.2:backlog=5").unwrap();
    let number = port_of(&*port);
    assert_eq!(port.address(), SocketAddr::from(([127, 0, 0, 2], number)).into());
    call(&reactor, &format!("tcp:127.0.0.2:{number}"));
    assert_eq!(call_in_vain(&reactor, &format!("tcp:127.0.0.3:{number}")), Disconnect::Refused);
}

#[test]
fn tcp_listens_on_each_interface_unless_told_otherwise() {
    let reactor = reactor();
    let port = serve(&reactor, "tcp:0").unwrap();
    assert_eq!(port.address().ip().unwrap().ip(), Ipv4Addr::UNSPECIFIED);
    call(&reactor, &format!("tcp:127.0.0.1:{}", port_of(&*port)));
    call(&reactor, &format!("tcp:127.0.0.2:{}", port_of(&*port)));
}

#[test]
fn tcp_connects_by_name_and_from_an_address() {
    // 2.8, 70, 72: a name is looked up.
    let reactor = reactor();
    let port = serve(&reactor, "tcp:0:interface=127.0.0.1").unwrap();
    let number = port_of(&*port);
    // A name to us, and one for which the system's resolver asks nobody.
    call(&reactor, &format!("tcp:127.1:{number}"));
    for host in ["127.0.0.1", "127.1"] {
        let local = call(&reactor, &format!("tcp:{host}:{number}:bind=127.0.0.9"));
        assert_eq!(local.ip().unwrap().ip(), Ipv4Addr::new(127, 0, 0, 9), "{host}");
    }
}

#[test]
fn addresses_of_the_wrong_family_are_passed_over() {
    let reactor = reactor();
    let port = serve(&reactor, "tcp:0:interface=127.0.0.1").unwrap();
    let number = port_of(&*port);
    let unknown = Disconnect::UnknownHost;
    assert_eq!(call_in_vain(&reactor, &format!("tcp6:127.1:{number}")), unknown);
    assert_eq!(call_in_vain(&reactor, &format!("tcp:127.1:{number}:bind=[::1]")), unknown);
    assert_eq!(call_in_vain(&reactor, &format!("tcp:no.such.name.invalid:{number}")), unknown);
}

#[test]
fn tcp6_takes_ipv4_only_when_it_is_dual() {
    // 2.8: `tcp6`.
    if !has_ipv6() {
        return;
    }
    let reactor = reactor();
    let port = serve(&reactor, "tcp6:0").unwrap();
    let number = port_of(&*port);
    call(&reactor, &format!("tcp6:[::1]:{number}"));
    call(&reactor, &format!("tcp:[::1]:{number}:bind=[::1]"));
    call(&reactor, &format!("tcp6:[::1]:{number}:bind=[::1]"));
    assert_eq!(call_in_vain(&reactor, &format!("tcp:127.0.0.1:{number}")), Disconnect::Refused);

    let port = serve(&reactor, "tcp6:0:dual=yes").unwrap();
    call(&reactor, &format!("tcp6:[::1]:{}", port_of(&*port)));
    call(&reactor, &format!("tcp:127.0.0.1:{}", port_of(&*port)));

    let port = serve(&reactor, "tcp6:0:interface=[::1]").unwrap();
    assert_eq!(port.address().ip().unwrap().ip(), Ipv6Addr::LOCALHOST);
}

#[test]
fn unix_sockets_have_their_permissions_and_go_when_listening_stops() {
    // 2.8: `unix`.
    let folder = Folder::new("permissions");
    let reactor = reactor();
    let permissions = |path: &str| Path::new(path).metadata().unwrap().permissions().mode() & 0o777;

    let (private, shared) = (folder.path("private"), folder.path("sha:red"));
    let first = serve(&reactor, &format!("unix:{private}")).unwrap();
    let second = serve(&reactor, &format!("unix:{}:mode=620", quote(&shared))).unwrap();
    assert_eq!(permissions(&private), 0o600);
    assert_eq!(permissions(&shared), 0o620);
    assert_eq!(first.address(), Address::Unix(private.clone().into()));
    call(&reactor, &format!("unix:{private}"));
    call(&reactor, &format!("unix:{}", quote(&shared)));

    reactor.run_until(first.stop_listening()).unwrap();
    assert!(!Path::new(&private).exists());
    assert!(Path::new(&shared).exists());
    let gone = call_in_vain(&reactor, &format!("unix:{private}"));
    assert_eq!(gone, Disconnect::Failed(std::io::ErrorKind::NotFound));
    drop(second);
}

/// Listening at `string` fails; answers what the system said about `address`.
#[track_caller]
fn taken(reactor: &Reactor, string: &str, address: &str) -> std::io::ErrorKind {
    let Err(failure) = serve(reactor, string) else { panic!("{string} was free") };
    assert_eq!(failure.to_string(), format!("no server at endpoint \"{string}\""));
    let cannot = failure.check::<CannotListen>().expect("a typed failure");
    assert_eq!(cannot.to_string(), format!("cannot listen on {address}"));
    assert_eq!(cannot.source().unwrap().to_string(), cannot.error.to_string());
    cannot.error.kind()
}

#[test]
fn a_place_that_is_taken_is_named_with_what_the_system_said() {
    let folder = Folder::new("taken");
    let reactor = reactor();
    let port = serve(&reactor, "tcp:0:interface=127.0.0.1").unwrap();
    let number = port_of(&*port);
    let string = format!("tcp:{number}:interface=127.0.0.1");
    let kind = taken(&reactor, &string, &format!("127.0.0.1:{number}"));
    assert_eq!(kind, std::io::ErrorKind::AddrInUse);
    // Reserved for examples, so no interface of any machine has it.
    let kind = taken(&reactor, "tcp:0:interface=192.0.2.1", "192.0.2.1:0");
    assert_eq!(kind, std::io::ErrorKind::AddrNotAvailable);

    let path = folder.path("socket");
    let _port = serve(&reactor, &format!("unix:{path}")).unwrap();
    let kind = taken(&reactor, &format!("unix:{path}"), &format!("unix:{path}"));
    assert_eq!(kind, std::io::ErrorKind::AddrInUse);
    call(&reactor, &format!("unix:{path}"));
    let path = folder.path("no/such/folder");
    let kind = taken(&reactor, &format!("unix:{path}"), &format!("unix:{path}"));
    assert_eq!(kind, std::io::ErrorKind::NotFound);
}

#[test]
fn strings_that_are_no_endpoints_are_quoted() {
    let reactor = reactor();
    let error = server_from_string(&reactor, "tpc:80").err().expect("no such kind");
    assert!(matches!(error.fault(), Fault::UnknownKind { nearest: Some("tcp"), .. }));
    assert!(error.to_string().starts_with("endpoint \"tpc:80\": "), "{error}");
    let error = client_from_string(&reactor, "tcp:localhost").err().expect("no port");
    assert!(matches!(error.fault(), Fault::MissingArgument { name: "port", .. }));
    assert!(error.to_string().starts_with("endpoint \"tcp:localhost\": "), "{error}");
}

#[test]
fn an_attempt_takes_no_longer_than_the_endpoint_says() {
    // 2.8, 67: `timeout`.
    let reactor = reactor();
    // A socket that is full: one waits to be accepted, and nobody accepts.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let first = std::net::TcpStream::connect(address).unwrap();
    let why = call_in_vain(&reactor, &format!("tcp:127.0.0.1:{}:timeout=0.02", address.port()));
    assert_eq!(why, Disconnect::TimedOut);
    drop(first);
}
