//! Who is at the other end, over each kind of place: one value. The numbers are those of the statements
//! in `twisted.md`.

use std::path::PathBuf;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_endpoint::{client_from_string, quote, server_from_string};
use ropewalk_protocol::{Address, Conn, Identity, Protocol, connect, listen};
use ropewalk_reactor::{DriverKind, Reactor};

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(kind).unwrap()
}

/// Tells whom it sees.
struct Sees(Option<Promise<Identity>>);

impl Sees {
    fn new() -> (Self, Deferred<Identity>) {
        let (promise, seen) = deferred();
        (Self(Some(promise)), seen)
    }
}

impl Protocol for Sees {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        // Both ends have to be made before either is gone.
        conn.write(b".");
    }

    fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
        if let Some(promise) = self.0.take() {
            promise.succeed(conn.identity());
        }
    }
}

/// Whom the server sees, and whom the client.
#[track_caller]
fn who(
    reactor: &Reactor,
    server: &str,
    client: impl FnOnce(&Address) -> String,
) -> (Identity, Identity) {
    let place = server_from_string(reactor, server).unwrap();
    let (here, seen_here) = Sees::new();
    let mut here = Some(here);
    let port = reactor.run_until(listen(&*place, move |_: &Address| here.take())).unwrap();
    let string = client(&port.address());
    let place = client_from_string(reactor, &string).unwrap();
    let (there, seen_there) = Sees::new();
    let _conn = reactor.run_until(connect(&*place, there)).unwrap();
    (reactor.run_until(seen_here).unwrap(), reactor.run_until(seen_there).unwrap())
}

/// A folder that is gone when the test is, with what proves that one is `localhost`.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("ropewalk-{}-identity-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        for who in ["server", "client"] {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let all = made.cert.pem() + &made.signing_key.serialize_pem();
            std::fs::write(path.join(format!("{who}.pem")), all).unwrap();
        }
        Self(path)
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

#[track_caller]
fn check_mine(identity: &Identity) {
    let credentials = identity.credentials.expect("a process");
    assert_eq!(credentials.process, Some(std::process::id()));
    assert_eq!(credentials.user, rustix::process::geteuid().as_raw());
}

#[test]
fn over_tcp_it_is_an_address() {
    let reactor = reactor();
    let (here, there) =
        who(&reactor, "tcp:0:interface=127.0.0.1", |address| format!("tcp:{address}"));
    let ip = there.address.ip().unwrap();
    assert!(here.address.ip().unwrap().ip().is_loopback() && ip.ip().is_loopback());
    for identity in [here, there] {
        assert!(identity.tls.is_none() && identity.proxy.is_none());
        assert_eq!(identity.credentials, None);
    }
}

#[test]
fn over_a_unix_socket_it_is_a_process() {
    // 68: credentials, for paths and for abstract names.
    let (reactor, folder) = (reactor(), Folder::new("unix"));
    let place = format!("unix:{}", folder.path("socket"));
    let (here, there) = who(&reactor, &place, |_| place.clone());
    assert_eq!(here.address, Address::Unnamed);
    check_mine(&here);
    check_mine(&there);
    let place = format!("abstract:ropewalk-{}-identity", std::process::id());
    check_mine(&who(&reactor, &place, |_| place.clone()).0);
}

#[test]
fn over_tls_it_is_a_certificate() {
    // 91, 92: whom a client's certificate names.
    let (reactor, folder) = (reactor(), Folder::new("tls"));
    let (server, client) = (folder.path("server.pem"), folder.path("client.pem"));
    let place = format!("tls:0:interface=127.0.0.1:cert={server}:client-ca={client}:alpn=a,b");
    let (here, there) = who(&reactor, &place, |address| {
        format!("tls:{address}:name=localhost:trust={server}:cert={client}:alpn=b")
    });
    assert!(here.address.ip().is_some());
    let (mine, theirs) = (here.tls.expect("TLS"), there.tls.expect("TLS"));
    assert_eq!((mine.peer_chain.len(), theirs.peer_chain.len()), (1, 1));
    assert_ne!(mine.peer_chain, theirs.peer_chain);
    // 94: the protocol that both speak.
    assert_eq!(mine.alpn.as_deref(), Some(&b"b"[..]));
    assert_eq!(mine.server_name.as_deref(), Some("localhost"));
    assert_eq!(theirs.protocol, "TLSv1.3");
}

#[test]
fn a_value_has_all_that_is_known() {
    // 99: what a proxy says, beside the proxy's own process and TLS above both.
    let (reactor, folder) = (reactor(), Folder::new("all"));
    let (server, client) = (folder.path("server.pem"), folder.path("client.pem"));
    let socket = format!("haproxy:unix:{}", folder.path("socket"));
    let inner = quote(&socket);
    let place = format!("tls:endpoint={inner}:cert={server}:client-ca={client}");
    let (here, _) = who(&reactor, &place, |_| {
        format!("tls:localhost:endpoint={inner}:trust={server}:cert={client}")
    });
    check_mine(&here);
    assert_eq!(here.tls.expect("TLS").peer_chain.len(), 1);
    assert_eq!(here.proxy.expect("a proxy").proxy, Address::Unnamed);

    // An address that the header gives is the peer's.
    let (here, _) = who(&reactor, "haproxy:tcp:0:interface=127.0.0.1", |address| {
        format!("haproxy:tcp:{address}:bind=127.0.0.5")
    });
    assert_eq!(here.address.ip().unwrap().ip().to_string(), "127.0.0.5");
    assert_eq!(here.proxy.expect("a proxy").proxy, here.address);
}
