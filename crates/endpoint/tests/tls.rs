//! Endpoints with TLS: how they are written, and that they work.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use proptest::prelude::*;
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_endpoint::{
    ClientDescription, Fault, ServerDescription, Tcp6Server, TcpClient, TcpServer, TlsClient,
    TlsIdentity, TlsServer, UnixClient, UnixServer, client_from_string, quote, server_from_string,
};
use ropewalk_protocol::{
    Address, ClientEndpoint, Conn, Disconnect, Port, Protocol, Seat, TlsAlert, TlsFault, connect,
    listen,
};
use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_tls::{BadCertificate, IdentityError, Reason, TlsError, Trust};

#[track_caller]
fn server(string: &str) -> TlsServer {
    match string.parse() {
        Ok(ServerDescription::Tls(server)) => {
            let printed = ServerDescription::from(server.clone()).to_string();
            assert_eq!(
                printed.parse::<ServerDescription>(),
                Ok(server.clone().into()),
                "{printed}"
            );
            server
        }
        other => panic!("{string}: {other:?}"),
    }
}

#[track_caller]
fn client(string: &str) -> TlsClient {
    match string.parse() {
        Ok(ClientDescription::Tls(client)) => {
            let printed = ClientDescription::from(client.clone()).to_string();
            assert_eq!(
                printed.parse::<ClientDescription>(),
                Ok(client.clone().into()),
                "{printed}"
            );
            client
        }
        other => panic!("{string}: {other:?}"),
    }
}

fn tcp(port: u16) -> ServerDescription {
    TcpServer::new(port).into()
}

fn files(cert: &str, key: &str) -> TlsIdentity {
    TlsIdentity::files(cert, key)
}

#[test]
fn servers_are_written_in_many_ways() {
    // 2.8: `tls`, `ssl`.
    let self_signed = TlsServer::new(tcp(8443), TlsIdentity::self_signed());
    assert_eq!(server("tls:8443:self-signed"), self_signed);
    assert_eq!(server("tls:port=8443:self-signed=yes"), self_signed);
    assert_eq!(self_signed.to_string(), "tls:8443:self-signed=yes");
    let names = TlsIdentity::SelfSigned { names: vec!["a.example".into(), "::1".into()] };
    assert_eq!(*server(r"tls:1:self-signed:names=a.example,[\:\:1]").identity(), names);

    assert_eq!(server("tls:443:cert=a.pem"), TlsServer::new(tcp(443), files("a.pem", "a.pem")));
    let full = server("tls:443:cert=a.pem:key=b.key:chain=c.pem:interface=127.0.0.1:backlog=5");
    let chain = Some("c.pem".to_owned());
    let who = TlsIdentity::Files { cert: "a.pem".into(), key: "b.key".into(), chain };
    let inner = TcpServer::new(443).with_interface(Ipv4Addr::LOCALHOST).with_backlog(5).unwrap();
    assert_eq!(full, TlsServer::new(inner, who));

    let six = server("tls:443:certs=/x:interface=[::1]");
    let inner = Tcp6Server::new(443).with_interface(Ipv6Addr::LOCALHOST);
    assert_eq!(six, TlsServer::new(inner, TlsIdentity::Folder("/x".into())));
    let unix = server(r"tls:endpoint=unix\:/run/x\:mode=660:cert=a.pem");
    let inner = UnixServer::new("/run/x").unwrap().with_mode(0o660).unwrap();
    assert_eq!(unix, TlsServer::new(inner, files("a.pem", "a.pem")));
    let twice = r"tls:endpoint=tls\:1\:self-signed:self-signed=yes";
    assert!(matches!(server(twice).inner(), ServerDescription::Tls(_)));

    let clients = server(
        "tls:1:cert=a:client-ca=/roots.pem:clients=optional:unknown=refuse:alpn=h2,http/1.1",
    );
    assert_eq!(clients.client_roots(), Some("/roots.pem"));
    assert!(clients.has_optional_clients() && clients.refuses_unknown());
    assert_eq!(clients.alpn(), ["h2", "http/1.1"]);
    let tickets = server("tls:1:cert=a:tickets=/run/tickets");
    assert_eq!((tickets.tickets(), clients.tickets()), (Some("/run/tickets"), None));
}

#[test]
fn servers_are_written_as_twisted_does() {
    let everywhere = Tcp6Server::new(443).dual();
    let folder = TlsServer::new(everywhere, TlsIdentity::Folder("/etc/certs".into()));
    assert_eq!(server("tls:/etc/certs"), folder);
    assert_eq!(server("tls:path=/etc/certs:port=443:interface=[::]"), folder);
    assert_eq!(server("tls:/etc/certs:8443").inner().to_string(), "tcp6:8443:dual=yes");
    let one = server("tls:./certs:port=8443:backlog=5:interface=127.0.0.1");
    assert_eq!(one.inner().to_string(), "tcp:8443:interface=127.0.0.1:backlog=5");

    assert_eq!(server("ssl:443"), TlsServer::new(tcp(443), files("server.pem", "server.pem")));
    let full = server("ssl:443:key.pem:cert.pem:TLS_METHOD:127.0.0.1:5:extraCertChain=chain.pem");
    assert_eq!(full.inner().to_string(), "tcp:443:interface=127.0.0.1:backlog=5");
    let chain = Some("chain.pem".to_owned());
    let who = TlsIdentity::Files { cert: "cert.pem".into(), key: "key.pem".into(), chain };
    assert_eq!(*full.identity(), who);
    assert_eq!(server("ssl:443:privateKey=a:certKey=b").identity(), &files("b", "a"));
}

#[test]
fn clients_are_written_in_many_ways() {
    let plain = TlsClient::new(TcpClient::new("example.com", 443).unwrap(), "example.com").unwrap();
    assert_eq!(client("tls:example.com:443"), plain);
    assert_eq!(plain.to_string(), "tls:example.com:443");
    let pin = "AB".repeat(32);
    let full = client(&format!(
        "tls:10.0.0.1:443:timeout=2.5:bind=10.0.0.2:name=a.example:trust=/roots:pin={pin}:cert=a:key=b:alpn=h2"
    ));
    assert_eq!((full.name(), full.trust()), ("a.example", Some("/roots")));
    assert_eq!(full.pins(), ["ab".repeat(32)]);
    assert_eq!((full.identity(), full.alpn()), (Some(("a", "b")), &["h2".to_owned()][..]));
    assert_eq!(full.inner().to_string(), "tcp:10.0.0.1:443:timeout=2.5:bind=10.0.0.2");
    let unix = client(r"tls:example.com:endpoint=unix\:/run/x");
    assert_eq!(unix, TlsClient::new(UnixClient::new("/run/x").unwrap(), "example.com").unwrap());
    let twisted =
        r"tls:example.com:443:endpoint=unix\:/run/x:trustRoots=/r:certificate=c:privateKey=k";
    let twisted = client(twisted);
    assert_eq!((twisted.trust(), twisted.identity()), (Some("/r"), Some(("c", "k"))));
    let ssl = client("ssl:10.0.0.1:443:caCertsDir=/r:hostname=a.example:certKey=c:privateKey=k");
    assert_eq!(
        (ssl.trust(), ssl.name(), ssl.identity()),
        (Some("/r"), "a.example", Some(("c", "k")))
    );
}

#[track_caller]
fn wrong_server(string: &str, fault: &Fault, blamed: &str) {
    let error = string.parse::<ServerDescription>().expect_err(string);
    assert_eq!((error.fault(), &string[error.span()]), (fault, blamed), "{error}");
}

#[test]
fn faults_are_pointed_at() {
    wrong_server("tls:443", &Fault::NoIdentity, "");
    wrong_server("tls:443:self-sign", &Fault::SelfSigned, "self-sign");
    wrong_server("tls:443:self-signed:cert=a", &Fault::TwoIdentities, "a");
    wrong_server("tls:443:cert=a:certs=b", &Fault::TwoIdentities, "a");
    wrong_server("tls:443:key=a", &Fault::NotWithout { name: "cert" }, "a");
    wrong_server("tls:443:cert=a:names=b", &Fault::NotWithout { name: "self-signed" }, "b");
    wrong_server("tls:44a:self-signed", &Fault::Port, "44a");
    wrong_server("tls:443:cert=", &Fault::EmptyPath, "");
    wrong_server("tls:443:port=80:cert=a", &Fault::DuplicateArgument { name: "port" }, "80");
    wrong_server("tls:443:cert=a:alpn=h2,,x", &Fault::Alpn, "h2,,x");
    let word = Fault::Word { first: "default", second: "refuse" };
    wrong_server("tls:443:cert=a:unknown=x", &word, "x");
    let with = Fault::NotWith { name: "endpoint" };
    wrong_server(r"tls:443:endpoint=tcp\:80:cert=a", &with, "");
    wrong_server("ssl:443:sslmethod=SSLv3_METHOD", &Fault::SslMethod, "SSLv3_METHOD");
    wrong_server("ssl:443:dhParameters=dh.pem", &Fault::DhParameters, "dh.pem");
    let error = r"tls:endpoint=tcp\:x:cert=a".parse::<ServerDescription>().unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("the endpoint inside, \"tcp:x\": the port is not a number from 0 to 65535")
    );
    let error = "tls:a:1:pin=00".parse::<ClientDescription>().unwrap_err();
    assert_eq!(error.fault(), &Fault::Pin);
}

proptest! {
    #[test]
    fn what_is_built_prints_as_what_is_read(
        port in any::<u16>(), cert in ".{1,9}", key in ".{1,9}", alpn in proptest::collection::vec("[a-z/.:=]{1,9}", 0..3),
        roots in proptest::option::of(".{1,9}"), optional in any::<bool>(), name in "[a-z]{1,9}",
    ) {
        prop_assume!(![&cert, &key].iter().any(|text| text.contains('\0')));
        let roots = roots.filter(|roots| !roots.contains('\0'));
        let mut server = TlsServer::new(TcpServer::new(port), files(&cert, &key)).with_alpn(alpn.clone()).unwrap();
        let mut client = TlsClient::new(TcpClient::new("a", port.max(1)).unwrap(), &name).unwrap();
        client = client.with_alpn(alpn).unwrap().with_identity(&cert, &key).unwrap();
        if let Some(roots) = &roots {
            server = server.with_client_roots(roots).unwrap();
            client = client.with_trust(roots).unwrap();
        }
        if optional {
            server = server.with_optional_clients().refusing_unknown().with_tickets(&key).unwrap();
        }
        let server = ServerDescription::from(server);
        prop_assert_eq!(server.to_string().parse(), Ok(server));
        let client = ClientDescription::from(client);
        prop_assert_eq!(client.to_string().parse(), Ok(client));
    }
}

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

/// Says a word; the promise gets what comes back.
struct Caller(Option<Promise<Vec<u8>>>);

impl Caller {
    fn new() -> (Self, Deferred<Vec<u8>>) {
        let (promise, reply) = deferred();
        (Self(Some(promise)), reply)
    }
}

impl Protocol for Caller {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        assert!(conn.tls().is_some());
        conn.write(b"is anybody there");
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

/// Says a word, and tells once it comes back whether the session was resumed: tickets came before it.
struct Resumes(Option<Promise<bool>>);

impl Resumes {
    fn new() -> (Self, Deferred<bool>) {
        let (promise, was_resumed) = deferred();
        (Self(Some(promise)), was_resumed)
    }
}

impl Protocol for Resumes {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b".");
    }

    fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
        if let (Some(promise), Some(tls)) = (self.0.take(), conn.tls()) {
            promise.succeed(tls.resumed);
        }
        conn.close();
    }
}

/// A boxed place as one that TLS goes over.
struct Shared(Box<dyn ClientEndpoint>);

impl ClientEndpoint for Shared {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.0.connect_seat(seat);
    }
}

/// A folder that is gone when the test is, with a certificate for `localhost` in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("ropewalk-etls-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(path.join("cert.pem"), &cert).unwrap();
        std::fs::write(path.join("key.pem"), &key).unwrap();
        Self(path)
    }

    /// Writes a certificate for `name`, and its key; answers where they are.
    fn issue(&self, file: &str, name: &str) -> (String, String) {
        let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, file);
        let signing = rcgen::KeyPair::generate().unwrap();
        let made = parameters.self_signed(&signing).unwrap();
        let (cert, key) = (format!("{file}.pem"), format!("{file}.key.pem"));
        std::fs::write(self.0.join(&cert), made.pem()).unwrap();
        std::fs::write(self.0.join(&key), signing.serialize_pem()).unwrap();
        (self.path(&cert), self.path(&key))
    }

    fn path(&self, name: &str) -> String {
        quote(self.0.join(name).to_str().unwrap())
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

fn call(reactor: &Reactor, string: &str) -> Result<Vec<u8>, Failure> {
    let place = client_from_string(reactor, string)?;
    let (caller, reply) = Caller::new();
    let made = connect(&*place, caller);
    if let Err(failure) = reactor.run_until(made) {
        assert!(reply.now_or_never().unwrap().is_err());
        return Err(failure);
    }
    reactor.run_until(reply)
}

#[test]
fn tls_is_spoken_over_tcp_and_over_unix_sockets() {
    // 2.8: `endpoint`, a folder by server name.
    let (reactor, folder) = (reactor(), Folder::new("spoken"));
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let who = format!("cert={cert}:key={key}");
    let port = serve(&reactor, &format!("tls:0:interface=127.0.0.1:{who}")).unwrap();
    let number = port.address().ip().unwrap().port();
    let reply = call(&reactor, &format!("tls:127.0.0.1:{number}:name=localhost:trust={cert}"));
    assert_eq!(reply.unwrap(), b"is anybody there");

    let socket = folder.0.join("socket");
    let inner = quote(&format!("unix:{}", quote(socket.to_str().unwrap())));
    let _unix = serve(&reactor, &format!("tls:endpoint={inner}:{who}")).unwrap();
    let reply = call(&reactor, &format!("tls:localhost:endpoint={inner}:trust={cert}"));
    assert_eq!(reply.unwrap(), b"is anybody there");

    let dir = folder.path("");
    let twisted = serve(&reactor, &format!("tls:{dir}:port=0:interface=127.0.0.1")).unwrap();
    let number = twisted.address().ip().unwrap().port();
    let reply = call(&reactor, &format!("tls:127.0.0.1:{number}:name=localhost:trust={cert}"));
    assert_eq!(reply.unwrap(), b"is anybody there");
    reactor.run_until(twisted.stop_listening()).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn files_are_followed_as_they_change() {
    let (reactor, folder) = (reactor(), Folder::new("followed"));
    let (old, _) = folder.issue("old", "localhost");
    let (new, _) = folder.issue("new", "localhost");
    let link = |name: &str| {
        for end in ["pem", "key.pem"] {
            let (next, current) = (folder.0.join("next"), folder.0.join(format!("now.{end}")));
            std::os::unix::fs::symlink(format!("{name}.{end}"), &next).unwrap();
            std::fs::rename(next, current).unwrap();
        }
    };
    link("old");
    let (cert, key) = (folder.path("now.pem"), folder.path("now.key.pem"));
    let port =
        serve(&reactor, &format!("tls:0:interface=127.0.0.1:cert={cert}:key={key}")).unwrap();
    let number = port.address().ip().unwrap().port();
    let asking = |trust: &str| {
        call(&reactor, &format!("tls:127.0.0.1:{number}:name=localhost:trust={trust}"))
    };
    assert_eq!(asking(&old).unwrap(), b"is anybody there");
    link("new");
    // However long it takes; whoever is not told of it looks by the clock.
    while asking(&new).is_err() {}
    assert!(asking(&old).is_err());
    reactor.run_until(port.stop_listening()).unwrap();
}

/// Says a word at each of these ports in turn, as one client; whether its session was resumed there.
fn resumed(reactor: &Reactor, folder: &Folder, ports: &[Box<dyn Port>]) -> Vec<bool> {
    let root = std::fs::read(folder.0.join("cert.pem")).unwrap();
    let client = ropewalk_tls::TlsClient::new(&Trust::from_pem(&root).unwrap()).unwrap();
    let at = |port: &dyn Port| {
        let place = client_from_string(reactor, &format!("tcp:{}", port.address())).unwrap();
        let (resumes, was_resumed) = Resumes::new();
        let over = client.over(Shared(place), "localhost").unwrap();
        reactor.run_until(connect(&over, resumes)).unwrap();
        reactor.run_until(was_resumed).unwrap()
    };
    ports.iter().map(|port| at(&**port)).collect()
}

#[test]
fn sessions_are_resumed_by_clones_and_by_those_that_share_a_file() {
    let (reactor, folder) = (reactor(), Folder::new("resumed"));
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    std::fs::write(folder.0.join("tickets"), [5; 32]).unwrap();
    let alone = format!("tls:0:interface=127.0.0.1:cert={cert}:key={key}");
    let shared = format!("{alone}:tickets={}", folder.path("tickets"));
    let parsed = |string: &str| string.parse::<ServerDescription>().unwrap();
    let listening = |description: &ServerDescription| {
        let place = description.on(&reactor);
        reactor.run_until(listen(&*place, |_: &Address| Some(Echo))).unwrap()
    };
    // As the shards of a program have it: one description for all.
    let one = parsed(&alone);
    let clones = [listening(&one), listening(&one.clone()), listening(&one)];
    assert_eq!(resumed(&reactor, &folder, &clones), [false, true, true]);
    let strangers = [listening(&parsed(&alone)), listening(&parsed(&alone))];
    assert_eq!(resumed(&reactor, &folder, &strangers), [false, false]);
    // As processes have it: each reads for itself.
    let family = [listening(&parsed(&shared)), listening(&parsed(&shared))];
    assert_eq!(resumed(&reactor, &folder, &family), [false, true]);

    std::fs::write(folder.0.join("tickets"), [5; 31]).unwrap();
    let failure = serve(&reactor, &shared).map(drop).unwrap_err();
    assert!(matches!(failure.check(), Some(IdentityError::ShortSecret(31))), "{failure}");
}

#[test]
fn a_server_is_verified_whatever_is_left_out() {
    // 92, and not as 2.8 has it for `ssl`.
    let reactor = reactor();
    let port = serve(&reactor, "tls:0:self-signed:interface=127.0.0.1").unwrap();
    let number = port.address().ip().unwrap().port();
    let folder = Folder::new("verified");
    for kind in ["tls", "ssl"] {
        let trust = folder.path("cert.pem");
        let string = format!("{kind}:127.0.0.1:{number}:name=localhost:trust={trust}");
        let string = if kind == "ssl" { string.replace("trust=", "caCertsDir=") } else { string };
        let failure = call(&reactor, &string).unwrap_err();
        let error: &TlsError = failure.check().unwrap();
        let Reason::Certificate(bad, _) = error.reason() else { panic!("{error}") };
        assert_eq!(*bad, BadCertificate::UnknownIssuer);
        assert!(matches!(failure.check(), Some(Disconnect::Tls(_))));
    }
}

#[test]
fn what_is_missing_is_named() {
    let reactor = reactor();
    let failure = serve(&reactor, "tls:0:cert=/no/such.pem").map(drop).unwrap_err();
    assert!(failure.to_string().contains("tls:0:cert=/no/such.pem"), "{failure}");
    assert!(matches!(failure.check(), Some(IdentityError::File(..))));
    let failure = call(&reactor, "tls:localhost:1:trust=/no/such.pem").unwrap_err();
    assert!(failure.to_string().contains("tls:localhost:1:trust=/no/such.pem"), "{failure}");
    assert!(matches!(failure.check(), Some(IdentityError::File(..))), "{failure:?}");
}

#[test]
fn names_of_all_letters_are_what_a_resolver_knows_them_by() {
    // 73: names go through IDNA, in any form of their letters.
    for name in ["b\u{fc}cher.example", "B\u{dc}CHER.example", "bu\u{308}cher.example"] {
        let Ok(ClientDescription::Tcp(tcp)) = format!("tcp:{name}:80").parse() else {
            panic!("{name}")
        };
        assert_eq!(tcp.host(), "xn--bcher-kva.example");
        let printed = ClientDescription::from(tcp).to_string();
        assert_eq!(printed, "tcp:xn--bcher-kva.example:80");
    }
    for name in ["\u{ad}", "a\u{2f}b\u{fc}", "b\u{fc}\u{202e}cher", "xn--\u{fc}.example"] {
        let error = format!("tcp:{name}:80").parse::<ClientDescription>().unwrap_err();
        assert_eq!(error.fault(), &Fault::Host, "{name}");
    }

    // And so a server's certificate has it.
    let (reactor, folder) = (reactor(), Folder::new("letters"));
    let (cert, key) = folder.issue("letters", "xn--bcher-kva.example");
    let port =
        serve(&reactor, &format!("tls:0:interface=127.0.0.1:cert={cert}:key={key}")).unwrap();
    let number = port.address().ip().unwrap().port();
    let called = format!("tls:127.0.0.1:{number}:name=b\u{fc}cher.example:trust={cert}");
    assert_eq!(call(&reactor, &called).unwrap(), b"is anybody there");
}

#[test]
fn the_roots_that_are_given_are_the_only_ones() {
    // 93: exactly those roots, of a file or of all files in a folder.
    let (reactor, folder) = (reactor(), Folder::new("roots"));
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let who = format!("tls:0:interface=127.0.0.1:cert={cert}:key={key}");
    let port = serve(&reactor, &who).unwrap();
    let number = port.address().ip().unwrap().port();
    let (other, _) = folder.issue("other", "localhost");
    let trusting = |trust: &str| {
        call(&reactor, &format!("tls:127.0.0.1:{number}:name=localhost:trust={trust}"))
    };
    assert_eq!(trusting(&cert).unwrap(), b"is anybody there");
    assert_eq!(trusting(&folder.path("")).unwrap(), b"is anybody there");
    let failure = trusting(&other).unwrap_err();
    let error: &TlsError = failure.check().unwrap();
    let Reason::Certificate(bad, _) = error.reason() else { panic!("{error}") };
    assert_eq!(*bad, BadCertificate::UnknownIssuer, "the same name, another root");
}

#[test]
fn a_server_is_whom_a_client_asks_for_or_nobody() {
    // 95: an identity by the name that a client asks for; where there is none it aborts.
    let (reactor, folder) = (reactor(), Folder::new("asked"));
    for name in ["a.example", "b.example"] {
        folder.issue(name, name);
    }
    let dir = folder.path("");
    let place = format!("tls:{dir}:port=0:interface=127.0.0.1:unknown=refuse");
    let port = serve(&reactor, &place).unwrap();
    let number = port.address().ip().unwrap().port();
    let asking = |name: &str, trust: &str| {
        let trust = folder.path(&format!("{trust}.pem"));
        call(&reactor, &format!("tls:127.0.0.1:{number}:name={name}:trust={trust}"))
    };
    // Each is trusted alone, so that it is the one that was shown.
    for name in ["a.example", "b.example"] {
        assert_eq!(asking(name, name).unwrap(), b"is anybody there");
    }
    let failure = asking("c.example", "a.example").unwrap_err();
    let error: &TlsError = failure.check().unwrap();
    let refused = TlsAlert::UNRECOGNIZED_NAME;
    assert_eq!(*error.reason(), Reason::RefusedByPeer(refused));
    assert!(matches!(failure.check(), Some(Disconnect::Tls(TlsFault::RefusedByPeer(_)))));
}
