//! WebSocket against the `websockets` package for Python and the `ws` package for Node, both ways round.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use ropewalk::http::{self, Answer};
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_endpoint::{client_from_string, server_from_string};
use ropewalk_http::{Request, Site};
use ropewalk_interop::{PATIENCE, Peer as Program, python_folder, tool};
use ropewalk_protocol::{
    Address, Conn, Disconnect, Port, Protocol, connect, listen, seat, timeout,
};
use ropewalk_reactor::{ConnectOptions, Reactor, TcpListenOptions};
use ropewalk_websocket::{
    self as websocket, CloseCode, Closed, Compression, Message, Opening, Options, WebSocket,
    WebSocketProtocol, WebSocketResource,
};

mod support;

struct Echo;

impl WebSocketProtocol for Echo {
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        match message {
            Message::Text("bye") => {
                socket.close(CloseCode::new(4002).expect("it is one's own"), "as you wish");
            }
            message => socket.send(message),
        }
    }
}

fn script(arguments: &[&str]) -> Program {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/websocket.py");
    let mut command = Command::new(python_folder().join("bin/python3"));
    Program::start(command.arg(script).args(arguments)).expect("Python starts")
}

fn node(arguments: &[&str]) -> Program {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/websocket.js");
    let mut command = Command::new(tool("node"));
    command.env("WS_FOLDER", tool("ws").canonicalize().expect("a folder"));
    Program::start(command.arg(script).args(arguments)).expect("Node starts")
}

/// Runs `reactor` until the program has printed a line that begins so; answers what follows.
fn wait_for(reactor: &Reactor, mut program: Program, prefix: &'static str) -> (Program, String) {
    let read =
        reactor.defer_to_thread(move || program.line_after(prefix).map(|rest| (program, rest)));
    reactor.run_until(read).expect("the program says so")
}

#[test]
fn a_python_client_finds_our_echo_good() {
    check_echo(script);
}

#[test]
fn a_node_client_finds_our_echo_good() {
    check_echo(node);
}

fn check_echo(program: fn(&[&str]) -> Program) {
    for compression in [Compression::default(), Compression::default().with_context()] {
        let reactor = support::reactor();
        let options = Options::new().protocols(["v1"]).compression(compression);
        let echo = WebSocketResource::new(|_: &Request| Echo).options(options);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let site = Box::new(Site::new(echo));
        let port = reactor.listen_tcp(address, TcpListenOptions::default(), site).expect("a port");
        let url = format!("ws://{}/", port.address());
        wait_for(&reactor, program(&["client", &url]), "done");
    }
}

/// Sends messages one after another, and wants each of them back.
struct Asker {
    left: Vec<String>,
    asked: String,
    done: Option<Promise<Closed>>,
}

impl Asker {
    fn new() -> (Self, Deferred<Closed>) {
        let (promise, done) = deferred();
        let long = "a long text ".repeat(100_000);
        let left = ["", "short", "näh ☃ 😀", &long].map(str::to_owned).to_vec();
        (Self { left, asked: String::new(), done: Some(promise) }, done)
    }

    fn ask(&mut self, socket: &WebSocket<Self>) {
        self.asked = self.left.pop().unwrap_or_else(|| "close".to_owned());
        socket.send_text(&self.asked);
    }
}

impl WebSocketProtocol for Asker {
    fn opened(&mut self, socket: &WebSocket<Self>) {
        assert_eq!(socket.protocol(), Some("v1"));
        self.ask(socket);
    }

    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        assert_eq!(message, Message::Text(&self.asked));
        self.ask(socket);
    }

    fn closed(&mut self, _: &WebSocket<Self>, how: &Closed) {
        if let Some(done) = self.done.take() {
            done.succeed(how.clone());
        }
    }
}

#[test]
fn a_python_server_finds_our_client_good() {
    check_client(script);
}

#[test]
fn a_node_server_finds_our_client_good() {
    check_client(node);
}

fn check_client(program: fn(&[&str]) -> Program) {
    let reactor = support::reactor();
    let (_server, number) = wait_for(&reactor, program(&["server"]), "port ");
    let port: u16 = number.parse().expect("a number");
    let kept = Compression::default().with_context();
    let small = Compression { window_bits: 9, ..kept };
    for compression in [None, Some(Compression::default()), Some(kept), Some(small)] {
        let mut options = Options::new().protocols(["v2", "v1"]);
        if let Some(compression) = compression {
            options = options.compression(compression);
        }
        let request = websocket::Request::new(&format!("ws://127.0.0.1:{port}/")).expect("a URI");
        let (asker, done) = Asker::new();
        let (opening, opened) = Opening::new(&request, &options, asker);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        reactor.connect_tcp(address, ConnectOptions::default(), seat(opening));
        let socket = reactor.run_until(opened).expect("it is open");
        assert_eq!(socket.is_compressed(), compression.is_some());
        let closed = reactor.run_until(timeout(&reactor, PATIENCE, done));
        let closed = closed.expect("it ends in time");
        assert_eq!((closed.code.number(), closed.reason.as_str()), (4003, "as you wish"));
        assert!(closed.is_clean);
    }
}

#[test]
fn nodes_streams_of_http2_find_our_client_good() {
    let reactor = support::reactor();
    let (_server, number) = wait_for(&reactor, node(&["streams"]), "port ");
    let mut options = http::Options::default();
    options.http2.has_prior_knowledge = true;
    let agent = http::agent(&reactor).options(options).build();
    let request = websocket::Request::new(&format!("ws://127.0.0.1:{number}/")).expect("a URI");
    let options = Options::new().protocols(["v2", "v1"]);
    let (all, done): (Vec<_>, Vec<_>) = (0..5)
        .map(|_| {
            let (asker, done) = Asker::new();
            (websocket::open(&agent, &request, &options, asker), done)
        })
        .unzip();
    let page = agent.get(&format!("http://127.0.0.1:{number}/")).send().add_callback(Answer::text);
    for opened in all {
        reactor.run_until(opened).expect("it is open");
    }
    assert_eq!(reactor.run_until(page).expect("a page"), "plain");
    for done in done {
        let closed = reactor.run_until(timeout(&reactor, PATIENCE, done));
        let closed = closed.expect("it ends in time");
        assert_eq!((closed.code.number(), closed.reason.as_str()), (4003, "as you wish"));
        // Node resets a stream whose other half is open when it has said all.
        assert!(matches!(closed.disconnect, Disconnect::Closed | Disconnect::Reset), "{closed:?}");
    }
    assert_eq!(agent.connections().0, 1);
}

/// Says back what it hears.
struct Bytes;

impl Protocol for Bytes {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

#[test]
fn a_python_client_speaks_with_any_protocol() {
    let reactor = support::reactor();
    let place = server_from_string(&reactor, "websocket:path=/:tcp:0:interface=127.0.0.1");
    let listening = listen(&*place.expect("a place"), |_: &Address| Some(Bytes));
    let port = reactor.run_until(listening).expect("a port");
    let url = format!("ws://{}/", port.address());
    wait_for(&reactor, script(&["stream", &url]), "done");
}

/// Sends much, closes once it is all back, and tells how that ended.
struct Sender {
    left: usize,
    done: Option<Promise<Disconnect>>,
}

impl Protocol for Sender {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&vec![7; self.left]);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        assert!(data.iter().all(|byte| *byte == 7));
        self.left -= data.len();
        if self.left == 0 {
            conn.close();
        }
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some(done) = self.done.take() {
            done.succeed(why);
        }
    }
}

#[test]
fn any_protocol_speaks_with_a_python_server() {
    let reactor = support::reactor();
    let (_server, number) = wait_for(&reactor, script(&["server"]), "port ");
    let place =
        client_from_string(&reactor, &format!("ws:127.0.0.1:{number}:path=/any?x:protocol=v1"));
    let (promise, done) = deferred();
    let sender = Sender { left: 3_000_000, done: Some(promise) };
    let made = connect(&*place.expect("a place"), sender);
    reactor.run_until(made).expect("a connection");
    let ended = reactor.run_until(timeout(&reactor, PATIENCE, done));
    assert_eq!(ended.expect("it ends in time"), Disconnect::Closed);
}
