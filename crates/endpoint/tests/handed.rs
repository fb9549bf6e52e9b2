//! Places that have no address of their own: abstract names, what the process was handed, pipes, and
//! the kinds of other crates. The numbers are those of the statements in `twisted.md`.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_endpoint::{
    AbstractClient, AbstractServer, Activation, ClientDescription, Descriptor, Family, Fault,
    Handed, HaproxyServer, Kinds, NotHanded, OwnPlace, ServerDescription, StandardIo,
    SystemdServer, TlsIdentity, TlsServer, client_from_string, connect_pipes, server_from_string,
};
use ropewalk_http::{Request, Site};
use ropewalk_protocol::{
    Address, Conn, Disconnect, Identity, Port, Protocol, connect, listen, seat,
};
use ropewalk_reactor::{CannotAdopt, CannotListen, DriverKind, NotInherited, Reactor};
use ropewalk_trial::{Clock, MemoryNetwork, Note, Witness};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(kind).unwrap()
}

/// Says who calls, then what it hears; ends its stream when the peer does.
struct WhoAmI;

impl Protocol for WhoAmI {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(format!("{}|", conn.identity()).as_bytes());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// Says a word and ends its stream; the promise gets all that comes back.
struct Caller {
    heard: Vec<u8>,
    reply: Option<Promise<(String, Identity)>>,
}

impl Caller {
    fn new() -> (Self, Deferred<(String, Identity)>) {
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
        let heard = String::from_utf8_lossy(&self.heard).into_owned();
        if let Some(promise) = self.reply.take() {
            promise.succeed((heard, conn.identity()));
        }
        conn.close();
    }
}

fn serve(reactor: &Reactor, string: &str) -> Result<Box<dyn Port>, Failure> {
    let place = server_from_string(reactor, string)?;
    reactor.run_until(listen(&*place, |_: &Address| Some(WhoAmI)))
}

#[track_caller]
fn call(reactor: &Reactor, string: &str) -> (String, Identity) {
    let place = client_from_string(reactor, string).unwrap();
    let (caller, reply) = Caller::new();
    connect(&*place, caller).on_result(|made| assert!(made.is_ok(), "{made:?}"));
    reactor.run_until(reply).unwrap()
}

/// What is wrong with a string, and the column.
#[track_caller]
fn wrong(server: bool, string: &str) -> (Fault, std::ops::Range<usize>) {
    let error = if server {
        string.parse::<ServerDescription>().expect_err(string)
    } else {
        string.parse::<ClientDescription>().expect_err(string)
    };
    assert_eq!(error.description(), string);
    (error.fault().clone(), error.span())
}

/// Hands a descriptor on as `exec` would: by its number, to be inherited.
fn hand_on(descriptor: impl Into<OwnedFd>) -> i32 {
    let descriptor = descriptor.into();
    fcntl_setfd(&descriptor, FdFlags::empty()).unwrap();
    descriptor.into_raw_fd()
}

#[test]
fn strings_and_builders_are_the_same() {
    #[track_caller]
    fn server(string: &str, built: impl Into<ServerDescription>) {
        let built = built.into();
        assert_eq!(string.parse(), Ok(built.clone()), "{string}");
        assert_eq!(built.to_string().parse(), Ok(built));
    }
    #[track_caller]
    fn client(string: &str, built: impl Into<ClientDescription>) {
        let built = built.into();
        assert_eq!(string.parse(), Ok(built.clone()), "{string}");
        assert_eq!(built.to_string().parse(), Ok(built));
    }
    let name = AbstractServer::new("a:b").unwrap();
    server(r"abstract:a\:b", name.clone());
    server(r"ABSTRACT:name=a\:b:backlog=7", name.with_backlog(7).unwrap());
    server("abstract:name=//x", AbstractServer::new("//x").unwrap());
    let name = AbstractClient::new("x").unwrap();
    client("abstract:x", name.clone());
    let timeout = Duration::from_millis(1500);
    client("abstract:x:timeout=1.5", name.with_timeout(timeout).unwrap());

    server("fd:3", Descriptor::new(3).unwrap());
    client("fd:number=9", Descriptor::new(9).unwrap());
    client("fd:fileno=9", Descriptor::new(9).unwrap());
    server("stdio", StandardIo::new());
    server("stdio:raw=yes", StandardIo::new().raw());
    client("STDIO", StandardIo::new());

    server("systemd:2", SystemdServer::index(2));
    server("systemd:index=2", SystemdServer::index(2));
    server("systemd:name=web", SystemdServer::name("web").unwrap());
    // As Twisted writes them (2.8).
    let inet = SystemdServer::index(0).of_family(Family::Inet);
    server("systemd:domain=INET:index=0", inet.clone());
    server("systemd:INET:0", inet);
    let unix = SystemdServer::name("ctl").unwrap().of_family(Family::Unix);
    server("systemd:domain=UNIX:name=ctl", unix);
    server("systemd:domain=INET6:index=1", SystemdServer::index(1).of_family(Family::Inet6));

    // One in another, both ways.
    server("haproxy:systemd:0", HaproxyServer::new(SystemdServer::index(0).into()));
    let tls = TlsServer::new(Descriptor::new(4).unwrap(), TlsIdentity::self_signed());
    server(r"tls:endpoint=fd\:4:self-signed=yes", tls);
}

#[test]
fn faults_point_at_their_column() {
    assert_eq!(wrong(true, "abstract:"), (Fault::AbstractName { length: 0 }, 9..9));
    let long = format!("abstract:{}", "n".repeat(108));
    assert_eq!(wrong(false, &long), (Fault::AbstractName { length: 108 }, 9..117));
    assert_eq!(wrong(true, "fd:2"), (Fault::Descriptor, 3..4));
    assert_eq!(wrong(true, "fd:99999999999"), (Fault::Descriptor, 3..14));
    assert_eq!(wrong(false, "fd:-1"), (Fault::Descriptor, 3..5));
    assert!(
        matches!(wrong(true, "stdio:x"), (Fault::ExtraArgument { .. }, span) if span == (6..7))
    );
    assert_eq!(wrong(true, "systemd:web"), (Fault::SystemdIndex, 8..11));
    assert_eq!(wrong(true, "systemd:domain=IPX:index=0"), (Fault::Family, 15..18));
    assert_eq!(wrong(true, "systemd:name=a b"), (Fault::SystemdName, 13..16));
    assert_eq!(wrong(true, "systemd:0:name=a"), (Fault::NotWith { name: "index" }, 15..16));
    assert!(
        matches!(wrong(true, "systemd:0:1"), (Fault::ExtraArgument { .. }, span) if span == (10..11))
    );
    let twice = Fault::DuplicateArgument { name: "index" };
    assert_eq!(wrong(true, "systemd:0:index=1"), (twice, 16..17));
    let missing = wrong(true, "systemd:domain=INET").0;
    assert!(matches!(missing, Fault::MissingArgument { name: "index", .. }), "{missing:?}");
    assert!(matches!(wrong(false, "systemd:0").0, Fault::UnknownKind { .. }));
    // Inside of another.
    let Fault::Inner(inner) = wrong(true, r"tls:endpoint=fd\:1:self-signed=yes").0 else {
        panic!()
    };
    assert_eq!((inner.fault(), inner.span()), (&Fault::Descriptor, 3..4));
}

#[test]
fn abstract_names_are_listened_on_and_tell_who_connects() {
    // 68: the abstract namespace.
    let reactor = reactor();
    let name = format!("ropewalk-{}-endpoint", std::process::id());
    let port = serve(&reactor, &format!("abstract:{name}")).unwrap();
    assert_eq!(port.address(), Address::Abstract(name.clone().into_bytes()));
    let (heard, identity) = call(&reactor, &format!("abstract:{name}"));
    let process = format!("process {}", std::process::id());
    assert!(heard.starts_with("unix (user ") && heard.contains(&process), "{heard}");
    assert!(heard.ends_with("|hello"), "{heard}");
    assert_eq!(identity.address, Address::Abstract(name.clone().into_bytes()));

    let failure = serve(&reactor, &format!("abstract:{name}")).err().expect("it is taken");
    let cannot = failure.check::<CannotListen>().expect("a typed failure");
    assert_eq!(cannot.error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(failure.to_string(), format!("no server at endpoint \"abstract:{name}\""));

    reactor.run_until(port.stop_listening()).unwrap();
    let place = client_from_string(&reactor, &format!("abstract:{name}")).unwrap();
    let failure = reactor.run_until(connect(&*place, Caller::new().0)).expect_err("nobody listens");
    assert_eq!(failure.check::<Disconnect>(), Some(&Disconnect::Refused));
}

#[test]
fn a_descriptor_that_listens_is_listened_on_once() {
    // 71: a descriptor that is adopted twice is refused.
    let reactor = reactor();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let number = hand_on(listener);
    let port = serve(&reactor, &format!("fd:{number}")).unwrap();
    assert_eq!(port.address(), Address::Ip(address));
    assert!(port.over().is_none());
    let (heard, _) = call(&reactor, &format!("tcp:{address}"));
    assert!(heard.starts_with("127.0.0.1:") && heard.ends_with("|hello"), "{heard}");

    let failure = serve(&reactor, &format!("fd:{number}")).err().expect("it is taken");
    assert!(matches!(failure.check(), Some(NotInherited::Taken)), "{failure:?}");
    assert_eq!(failure.to_string(), format!("no server at endpoint \"fd:{number}\""));
    reactor.run_until(port.stop_listening()).unwrap();
    let failure = serve(&reactor, "fd:1000000").err().expect("there is none");
    assert!(matches!(failure.check(), Some(NotInherited::Closed)), "{failure:?}");
}

#[test]
fn a_descriptor_that_is_connected_is_one_connection() {
    let reactor = reactor();
    let (near, mut far) = UnixStream::pair().unwrap();
    let port = serve(&reactor, &format!("fd:{}", hand_on(near))).unwrap();
    let over = port.over().expect("one connection");
    far.write_all(b"and more").unwrap();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    reactor.run_until(over).unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).unwrap();
    assert!(heard.starts_with("unix (user ") && heard.ends_with("|and more"), "{heard}");

    // As a client.
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"welcome").unwrap();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    let (heard, _) = call(&reactor, &format!("fd:{}", hand_on(near)));
    assert_eq!(heard, "welcome");
    let mut heard = String::new();
    far.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello");
}

#[test]
fn descriptors_that_are_no_streams_are_refused() {
    let reactor = reactor();
    let file = std::fs::File::open("/dev/null").unwrap();
    let failure = serve(&reactor, &format!("fd:{}", hand_on(file))).err().expect("no socket");
    assert!(matches!(failure.check(), Some(CannotAdopt::NotSocket)), "{failure:?}");
    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let failure = serve(&reactor, &format!("fd:{}", hand_on(datagrams))).err().expect("no stream");
    assert!(matches!(failure.check(), Some(CannotAdopt::NotStream)), "{failure:?}");
    // One that somebody here has opened is theirs, and stays so.
    let theirs = std::fs::File::open("/dev/null").unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&theirs);
    let failure = serve(&reactor, &format!("fd:{number}")).err().expect("it is taken");
    assert!(matches!(failure.check(), Some(NotInherited::Taken)), "{failure:?}");
    assert!(fcntl_getfd(theirs.as_fd()).is_ok());
    let place = client_from_string(&reactor, &format!("fd:{number}")).unwrap();
    let failure = reactor.run_until(connect(&*place, Caller::new().0)).expect_err("taken");
    let why = Disconnect::Failed(std::io::ErrorKind::AddrInUse);
    assert_eq!(failure.check::<Disconnect>(), Some(&why));
}

/// What was handed over, by these variables.
fn activation(variables: &[(&str, &str)]) -> Result<Activation, NotHanded> {
    let read = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    };
    Activation::read(read, 77)
}

#[test]
fn a_service_managers_variables_name_descriptors() {
    // 2.8: LISTEN_FDS, LISTEN_FDNAMES; `systemd` by index and by name.
    let mine = [("LISTEN_PID", "77"), ("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "web:admin:web")];
    let handed = activation(&mine).unwrap();
    assert_eq!(handed.names(), ["web", "admin", "web"]);
    assert_eq!(handed.number(&Handed::Index(2)), Ok(5));
    assert_eq!(handed.number(&Handed::Name("admin".into())), Ok(4));
    let error = handed.number(&Handed::Index(3)).unwrap_err();
    assert_eq!(error, NotHanded::NoIndex { index: 3, count: 3 });
    let error = handed.number(&Handed::Name("ftp".into())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no socket is called \"ftp\"; those handed over are: web, admin, web"
    );
    let error = handed.number(&Handed::Name("web".into())).unwrap_err();
    assert_eq!(error, NotHanded::Ambiguous { name: "web".into() });

    let unnamed = activation(&[("LISTEN_PID", "77"), ("LISTEN_FDS", "1")]).unwrap();
    assert_eq!(unnamed.number(&Handed::Index(0)), Ok(3));

    assert_eq!(activation(&[]), Err(NotHanded::Nothing));
    assert_eq!(activation(&[("LISTEN_FDS", "1")]), Err(NotHanded::Nothing));
    let other = activation(&[("LISTEN_PID", "78"), ("LISTEN_FDS", "1")]);
    assert_eq!(other, Err(NotHanded::OtherProcess { meant: 78, process: 77 }));
    for count in ["-1", "one", "4097", "99999999999999999999", ""] {
        let bad = activation(&[("LISTEN_PID", "77"), ("LISTEN_FDS", count)]);
        let value = count.to_owned();
        assert_eq!(bad, Err(NotHanded::BadVariable { name: "LISTEN_FDS", value }));
    }
    let none = activation(&[("LISTEN_PID", "77"), ("LISTEN_FDS", "0")]).unwrap();
    assert_eq!(none.number(&Handed::Index(0)), Err(NotHanded::NoIndex { index: 0, count: 0 }));
}

#[test]
fn without_a_service_manager_listening_fails_and_says_so() {
    let reactor = reactor();
    let failure = serve(&reactor, "systemd:0").err().expect("nothing was handed over");
    assert_eq!(failure.check(), Some(&NotHanded::Nothing));
    assert_eq!(failure.to_string(), "no server at endpoint \"systemd:0\"");
}

#[test]
fn pipes_are_a_connection_that_can_half_close() {
    // 87: standard input and output, aware of half-closing; no mode of theirs is changed.
    let reactor = reactor();
    let mut cat = Command::new("cat");
    cat.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut cat = cat.spawn().unwrap();
    let input = OwnedFd::from(cat.stdout.take().unwrap());
    let output = OwnedFd::from(cat.stdin.take().unwrap());
    let modes = |descriptor: &OwnedFd| rustix::fs::fcntl_getfl(descriptor).unwrap();
    let (watched, before) = (input.try_clone().unwrap(), modes(&input));
    let (caller, reply) = Caller::new();
    let over = connect_pipes(&reactor, input, output, seat(caller)).unwrap();
    let (heard, identity) = reactor.run_until(reply).unwrap();
    assert_eq!(heard, "hello");
    assert_eq!(modes(&watched), before);
    // It is no Unix socket's peer, whatever lies between.
    assert_eq!(identity.address, Address::StandardIo);
    assert_eq!(identity.credentials, None);
    reactor.run_until(over).unwrap();
    assert!(cat.wait().unwrap().success());
}

#[test]
fn much_goes_through_pipes_and_a_reader_that_leaves_ends_them() {
    struct Talker;
    impl Protocol for Talker {
        fn connection_made(&mut self, conn: &Conn<Self>) {
            conn.write(&vec![b'x'; 3 << 20]);
        }
        fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
            conn.close();
        }
    }
    let reactor = reactor();
    let (input, mut told) = std::io::pipe().unwrap();
    let (mut heard, output) = std::io::pipe().unwrap();
    let over = connect_pipes(&reactor, input.into(), output.into(), seat(Talker)).unwrap();
    let reading = reactor.defer_to_thread(move || heard.read_to_end(&mut Vec::new()));
    told.write_all(b"enough").unwrap();
    reactor.run_until(over).unwrap();
    assert_eq!(reactor.run_until(reading).unwrap(), 3 << 20);

    // Nobody reads: the connection is lost, though its input is still open.
    let (input, told) = std::io::pipe().unwrap();
    let (heard, output) = std::io::pipe().unwrap();
    drop(heard);
    let over = connect_pipes(&reactor, input.into(), output.into(), seat(Talker)).unwrap();
    reactor.run_until(over).unwrap();
    drop(told);
}

#[test]
fn other_crates_bring_kinds_that_stand_inside_of_others() {
    // 2.8: plug-ins add prefixes.
    let reactor = reactor();
    let network = MemoryNetwork::new(&Clock::new());
    let (here, there) = (network.clone(), network.clone());
    let kinds = Kinds::new()
        .server("memory", move |_, name| Box::new(here.endpoint(name)))
        .client("memory", move |_, name| Box::new(there.endpoint(name)));
    let call = |server: &str, client: &str| {
        let place = kinds.server_from_string(&reactor, server).unwrap();
        let port = reactor.run_until(listen(&*place, |_: &Address| Some(WhoAmI))).unwrap();
        let place = kinds.client_from_string(&reactor, client).unwrap();
        let (caller, reply) = Caller::new();
        connect(&*place, caller).detach();
        network.run();
        let (heard, _) = reply.now_or_never().expect(client).unwrap();
        reactor.run_until(port.stop_listening()).unwrap();
        heard
    };
    let heard = call("memory:web", "memory:web");
    assert!(heard.starts_with("memory:web#") && heard.ends_with("|hello"), "{heard}");
    let heard = call("haproxy:memory:web", "haproxy:memory:web");
    assert!(heard.ends_with("|hello") && heard.contains("through memory:web#"), "{heard}");

    assert_eq!(kinds.servers().read("memory:a"), Ok(OwnPlace::new("memory", "a").into()));
    let error = kinds.servers().read("haproxy:memory:").unwrap_err();
    assert_eq!((error.fault(), error.span()), (&Fault::EmptyName, 15..15));
    let inside = r"tls:endpoint=memory\:a:self-signed=yes";
    let read = kinds.servers().read(inside).unwrap();
    assert_eq!(kinds.servers().read(&read.to_string()), Ok(read));
    // Without them nobody knows the kind.
    assert!(matches!(wrong(true, "memory:a").0, Fault::UnknownKind { .. }));
    let lost = ServerDescription::from(OwnPlace::new("memory", "a")).on(&reactor);
    let failure = reactor.run_until(listen(&*lost, |_: &Address| Some(WhoAmI))).err().unwrap();
    assert_eq!(failure.to_string(), "nobody here knows the kind of endpoint \"memory:a\"");
}

#[test]
fn a_page_is_served_in_memory() {
    let reactor = reactor();
    let network = MemoryNetwork::new(&Clock::new());
    let here = network.clone();
    let kinds = Kinds::new().server("memory", move |_, name| Box::new(here.endpoint(name)));
    let places = [
        ("memory:a", &b""[..]),
        ("haproxy:memory:b", b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\n"),
    ];
    let site = Site::new(|_: Request| "hello");
    for (string, header) in places {
        let place = kinds.server_from_string(&reactor, string).unwrap();
        let port = reactor.run_until(listen(&*place, site.clone())).unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let request = [header, request].concat();
        let (witness, notes) = Witness::new(move |conn, note| {
            if *note == Note::Made {
                conn.write(&request);
            }
        });
        connect(&network.endpoint(&port.address().to_string()), witness).detach();
        network.run();
        let answer = String::from_utf8(notes.data()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{string}: {answer}");
        assert!(answer.ends_with("\r\n\r\nhello"), "{string}: {answer}");
    }
}

#[test]
fn unix_listeners_that_were_handed_over_keep_their_file() {
    let reactor = reactor();
    let folder = std::env::temp_dir().join(format!("ropewalk-{}-handed", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("socket");
    let number = hand_on(UnixListener::bind(&path).unwrap());
    let port = serve(&reactor, &format!("fd:{number}")).unwrap();
    assert_eq!(port.address(), Address::Unix(path.clone()));
    let (heard, _) = call(&reactor, &format!("unix:{}", path.display()));
    assert!(heard.ends_with("|hello"), "{heard}");
    reactor.run_until(port.stop_listening()).unwrap();
    assert!(path.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}
