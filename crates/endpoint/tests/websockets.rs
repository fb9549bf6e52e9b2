//! Endpoints in WebSockets: how they are written, and that any protocol goes through them.

use std::path::PathBuf;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_endpoint::{
    ClientDescription, EndpointError, Fault, HaproxyServer, ServerDescription, TcpClient,
    TcpServer, TlsClient, UnixClient, WebSocketClient, WebSocketServer, client_from_string, quote,
    server_from_string,
};
use ropewalk_protocol::{Address, Conn, Disconnect, Protocol, connect, listen};
use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_websocket::{NotOpened, StreamError};

#[track_caller]
fn server(string: &str, built: WebSocketServer) {
    let built = ServerDescription::from(built);
    assert_eq!(string.parse(), Ok(built.clone()), "{string}");
    assert_eq!(built.to_string().parse(), Ok(built));
}

#[track_caller]
fn client(string: &str, built: WebSocketClient) {
    let built = ClientDescription::from(built);
    assert_eq!(string.parse(), Ok(built.clone()), "{string}");
    assert_eq!(built.to_string().parse(), Ok(built.clone()), "{built}");
}

#[test]
fn strings_and_builders_are_the_same() {
    let plain = WebSocketServer::new(TcpServer::new(80).into());
    server("websocket:tcp:80", plain.clone());
    server("WebSocket:path=/chat:tcp:80", plain.clone().with_path("/chat").unwrap());
    let all = plain.clone().with_protocol("v1").unwrap().for_any_page();
    server("websocket:protocol=v1:origins=any:tcp:80", all);
    server("websocket:origins=same:tcp:80", plain.clone());
    server("websocket:haproxy:tcp:80", {
        WebSocketServer::new(HaproxyServer::new(TcpServer::new(80).into()).into())
    });
    let outside = HaproxyServer::new(plain.into());
    assert_eq!("haproxy:websocket:tcp:80".parse(), Ok(ServerDescription::from(outside)));

    let tcp = |port| TcpClient::new("a.example", port).unwrap();
    let plain = WebSocketClient::new(tcp(80), "a.example").unwrap();
    client("ws:a.example", plain.clone());
    client("ws:a.example:80", plain.clone());
    client("ws:a.example:path=/x?y\\=z", plain.with_path("/x?y=z").unwrap());
    let other = WebSocketClient::new(tcp(8080), "a.example:8080").unwrap();
    client("ws:a.example:8080:protocol=v1", other.with_protocol("v1").unwrap());
    let patient = tcp(80).with_timeout(Duration::from_secs(5)).unwrap();
    client("ws:a.example:timeout=5", WebSocketClient::new(patient, "a.example").unwrap());
    let six = TcpClient::new("::1", 8080).unwrap();
    client("ws:[::1]:8080", WebSocketClient::new(six, "[::1]:8080").unwrap());
    let tls = TlsClient::new(tcp(443), "a.example").unwrap().with_alpn(["http/1.1"]).unwrap();
    client("wss:a.example", WebSocketClient::new(tls.clone(), "a.example").unwrap());
    let tls = tls.with_trust("/r").unwrap();
    client("wss:a.example:trust=/r", WebSocketClient::new(tls, "a.example").unwrap());
    let unix = UnixClient::new("/run/x").unwrap();
    client("websocket:unix:/run/x", WebSocketClient::new(unix.clone(), "localhost").unwrap());
    let named = WebSocketClient::new(unix, "b.example:81").unwrap().with_path("/p").unwrap();
    client(r"websocket:host=b.example\:81:path=/p:unix:/run/x", named);
}

#[test]
fn faults_point_at_their_column_and_urls_are_told_how_to_write() {
    #[track_caller]
    fn check<T>(read: Result<T, EndpointError>, fault: &Fault, span: std::ops::Range<usize>) {
        let Err(error) = read else { panic!("{fault:?}") };
        assert_eq!((error.fault(), error.span()), (fault, span));
    }
    let server = str::parse::<ServerDescription>;
    let client = str::parse::<ClientDescription>;
    check(server("websocket:path=chat:tcp:80"), &Fault::WebSocketPath, 15..19);
    check(server("websocket:path=/a b:tcp:80"), &Fault::WebSocketPath, 15..19);
    check(server("websocket:protocol=a,b:tcp:80"), &Fault::Subprotocol, 19..22);
    let word = Fault::Word { first: "same", second: "any" };
    check(server("websocket:origins=all:tcp:80"), &word, 18..21);
    check(server("websocket:tcp:x"), &Fault::Port, 14..15);
    check(client("websocket:host=a/b:tcp:a:80"), &Fault::Host, 15..18);
    check(client("ws:a:0"), &Fault::ClientPort, 5..6);
    check(client("ws:a:80:trust=/r"), &Fault::NotWithout { name: "wss" }, 14..16);

    let instead = |error: EndpointError| match error.fault() {
        Fault::Url { instead: Some(instead) } => instead.clone(),
        fault => panic!("{fault:?}"),
    };
    let told = instead(client("wss://a.example/chat?x=1").unwrap_err());
    assert_eq!(told, r"wss:a.example:443:path=/chat?x\=1");
    assert_eq!(instead(client("ws://a.example:8080/").unwrap_err()), "ws:a.example:8080");
    let told = instead(server("ws://0.0.0.0:8080/chat").unwrap_err());
    assert_eq!(told, "websocket:path=/chat:tcp:8080:interface=0.0.0.0");
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// Says much and ends its stream; the promise gets how much comes back.
struct Caller {
    heard: usize,
    reply: Option<Promise<usize>>,
}

const MUCH: usize = 1 << 20;

impl Caller {
    fn new() -> (Self, Deferred<usize>) {
        let (promise, reply) = deferred();
        (Self { heard: 0, reply: Some(promise) }, reply)
    }
}

impl Protocol for Caller {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&vec![b'x'; MUCH]);
        conn.close_write();
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.heard += data.len();
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some(promise) = self.reply.take() {
            match why {
                Disconnect::Closed => promise.succeed(self.heard),
                why => promise.fail(why),
            }
        }
    }
}

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(kind).unwrap()
}

#[track_caller]
fn call(reactor: &Reactor, server: &str, client: impl FnOnce(&Address) -> String) {
    let place = server_from_string(reactor, server).unwrap();
    let port = reactor.run_until(listen(&*place, |_: &Address| Some(Echo))).unwrap();
    let string = client(&port.address());
    let place = client_from_string(reactor, &string).unwrap();
    let (caller, reply) = Caller::new();
    connect(&*place, caller).on_result(|made| assert!(made.is_ok(), "{made:?}"));
    assert_eq!(reactor.run_until(reply).unwrap(), MUCH, "{string}");
    reactor.run_until(port.stop_listening()).unwrap();
}

/// A folder that is gone when the test is, with what proves that one is `localhost`.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("ropewalk-{}-websockets", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let all = made.cert.pem() + &made.signing_key.serialize_pem();
        std::fs::write(path.join("server.pem"), all).unwrap();
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

#[test]
fn bytes_go_through_over_every_kind_of_place() {
    let (reactor, folder) = (reactor(), Folder::new());
    let near = "tcp:0:interface=127.0.0.1";
    call(&reactor, &format!("websocket:path=/a:protocol=v1:{near}"), |address| {
        format!("ws:{address}:path=/a:protocol=v1")
    });
    let cert = folder.path("server.pem");
    call(&reactor, &format!("websocket:tls:0:interface=127.0.0.1:cert={cert}"), |address| {
        format!("wss:{address}:trust={cert}")
    });
    let socket = folder.path("socket");
    call(&reactor, &format!("websocket:unix:{socket}"), |_| format!("websocket:unix:{socket}"));
    // One in another, and TLS inside.
    call(&reactor, &format!("websocket:websocket:{near}"), |address| {
        format!("websocket:ws:{address}")
    });
    let inner = quote(&format!("websocket:{near}"));
    call(&reactor, &format!("tls:endpoint={inner}:cert={cert}"), |address| {
        let inner = quote(&format!("ws:{address}"));
        format!("tls:localhost:endpoint={inner}:trust={cert}")
    });
    // The address that a proxy gives goes through.
    call(&reactor, &format!("websocket:haproxy:{near}"), |address| {
        format!("websocket:haproxy:tcp:{address}")
    });
}

#[test]
fn where_there_is_no_websocket_the_status_is_told() {
    let reactor = reactor();
    let place = "websocket:path=/here:tcp:0:interface=127.0.0.1";
    let place = server_from_string(&reactor, place).unwrap();
    let port = reactor.run_until(listen(&*place, |_: &Address| Some(Echo))).unwrap();
    let place =
        client_from_string(&reactor, &format!("ws:{}:path=/there", port.address())).unwrap();
    let failure = reactor.run_until(connect(&*place, Echo)).expect_err("nothing is there");
    let told = failure.check::<StreamError>().expect("its type");
    let is_it = matches!(told, StreamError::NotOpened(NotOpened::Status(status)) if *status == 404);
    assert!(is_it, "{told}");
}
