//! WebSockets over HTTP/2, opened by Chromium, Node and Python's h2, and through our own gateway.

use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ropewalk::http;
use ropewalk_http::proxy::ReverseProxy;
use ropewalk_http::{Body, Request, Site, Tree};
use ropewalk_interop::{Peer, TempDir, chromium, python_folder, tool};
use ropewalk_websocket::{
    Compression, Message, Options, Origins, WebSocket, WebSocketProtocol, WebSocketResource,
};

use crate::house::House;
use crate::web::said;

const PLACE: &str = "tls:0:interface=127.0.0.1:self-signed";

/// A page that opens three WebSockets beside each other, and says what came of them.
const PAGE: &str = "<!doctype html><title>sockets</title><script>
const talk = at => new Promise(done => {
  const heard = [], socket = new WebSocket(`wss://${location.host}${at}`);
  socket.onmessage = event => {
    heard.push(event.data.length > 99 ? event.data.length : event.data);
    if (heard.length === 1) socket.send('gr\\u00fc\\u00dfe');
    if (heard.length === 2) socket.send('x'.repeat(300000));
    if (heard.length === 3) socket.close(4001, 'enough');
  };
  socket.onclose = event => done([at, ...heard, event.code, event.wasClean].join(' '));
});
Promise.all(['/echo?1', '/echo?2', '/through'].map(talk)).then(all => fetch('/report', { method: 'POST', body: all.join(', ') }));
</script>";

/// Says first which HTTP it was opened by, and echoes then.
struct Echo(String);

impl WebSocketProtocol for Echo {
    fn opened(&mut self, socket: &WebSocket<Self>) {
        socket.send(Message::Text(&self.0));
    }

    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        socket.send(message);
    }
}

fn echoes() -> WebSocketResource<Echo> {
    // Behind a gateway a page's own host is not the one that is asked.
    let options = Options::new().compression(Compression::default()).origins(Origins::Any);
    WebSocketResource::new(|request: &Request| Echo(format!("by {:?}", request.version())))
        .options(options)
}

/// A site with echoes, and with those of another site behind a gateway, which HTTP/1.1 leads to.
/// What pages report is told.
fn desk() -> (House, House, Receiver<String>) {
    let (sender, reports) = channel();
    let inner = House::start("tcp:0:interface=127.0.0.1", |_| Site::new(echoes()));
    let upstream = format!("http://{}", inner.address);
    let outer = House::start(PLACE, move |reactor| {
        let report = move |request: Request| {
            let sender = sender.clone();
            request.into_body().collect(1000).map(move |said| {
                // Nobody listens only if the test is over.
                let _ = sender.send(String::from_utf8_lossy(&said).into_owned());
                "thanks"
            })
        };
        let agent = http::agent(reactor).build();
        let page = |_: Request| {
            let page = ropewalk_http::Response::new(Body::from(PAGE));
            let (mut head, body) = page.into_parts();
            let html = "text/html; charset=utf-8".parse().expect("a value");
            head.headers.insert("content-type", html);
            ropewalk_http::Response::from_parts(head, body)
        };
        let tree = Tree::new().child("page", page).child("report", report).child("echo", echoes());
        let proxy = ReverseProxy::to(&agent, &upstream).expect("a URL");
        Site::new(tree.child("through", proxy))
    });
    (outer, inner, reports)
}

#[test]
fn chromium_opens_them_on_the_connection_of_its_page() {
    let (outer, _inner, reports) = desk();
    let profile = TempDir::new("chromium").expect("a folder");
    let mut chromium = chromium(&profile);
    chromium.args(["--ignore-certificate-errors", "--remote-debugging-port=0"]);
    chromium.stdout(Stdio::null()).stderr(Stdio::null());
    let url = format!("https://localhost:{}/page", outer.port());
    let _browser = Peer::start(chromium.arg(url)).expect("it starts");
    let report = reports.recv_timeout(Duration::from_mins(2)).expect("a report");
    let echo = |at: &str, by: &str| format!("{at} by {by} gr\u{fc}\u{df}e 300000 4001 true");
    let all =
        [echo("/echo?1", "HTTP/2.0"), echo("/echo?2", "HTTP/2.0"), echo("/through", "HTTP/1.1")];
    assert_eq!(report, all.join(", "));
}

#[test]
fn node_opens_them() {
    const SCRIPT: &str = r#"
const http2 = require("node:http2"), assert = require("node:assert");
const session = http2.connect(process.argv[2], { rejectUnauthorized: false });
const frame = (first, payload) => {
  const head = payload.length < 126 ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from([first, ...head, 0, 0, 0, 0]), payload]);
};
const talk = path => new Promise((resolve, reject) => {
  const stream = session.request({ ":method": "CONNECT", ":protocol": "websocket", ":path": path,
    ":scheme": "https", ":authority": "localhost", "sec-websocket-version": "13" });
  let heard = Buffer.alloc(0), status;
  stream.on("response", fields => { status = fields[":status"]; });
  stream.on("error", reject);
  stream.on("data", piece => {
    heard = Buffer.concat([heard, piece]);
    if (heard.length === 2 + 11) {
      stream.write(frame(0x81, Buffer.from("hello")));
      stream.write(frame(0x82, Buffer.alloc(60000)));
      stream.write(frame(0x88, Buffer.from([3, 232])));
    }
  });
  stream.on("end", () => { stream.end(); resolve([status, heard.length, heard.subarray(2, 13), stream.rstCode].join(" ")); });
});
session.on("remoteSettings", async settings => {
  assert(settings.enableConnectProtocol);
  const all = await Promise.all(["/echo", "/echo", "/through"].map(talk));
  console.log(all.join("\n"));
  session.close();
});
"#;
    let (outer, _inner, _) = desk();
    let mut node = Command::new(tool("node"));
    node.args(["-e", SCRIPT, "-"]).arg(format!("https://localhost:{}", outer.port()));
    // What was said of the version, two echoes, and the farewell.
    let size = (2 + 11) + (2 + 5) + (4 + 60000) + (2 + 2);
    let line = |version: &str| format!("200 {size} by {version} 0\n");
    let expected = [line("HTTP/2.0"), line("HTTP/2.0"), line("HTTP/1.1")].concat();
    assert_eq!(said(&mut node), expected);
}

#[test]
fn pythons_h2_opens_them_and_takes_streams_back() {
    const SCRIPT: &str = r#"
import socket, ssl, sys
import h2.config, h2.connection, h2.events, h2.settings
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_alpn_protocols(["h2"])
sock = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
sock.settimeout(60)
assert sock.selected_alpn_protocol() == "h2"
conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
conn.initiate_connection()
def until(wanted):
    while True:
        sock.sendall(conn.data_to_send())
        for event in conn.receive_data(sock.recv(65536)):
            if isinstance(event, h2.events.DataReceived):
                bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, h2.events.ResponseReceived):
                statuses[event.stream_id] = dict(event.headers)[":status"]
            if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                ends[event.stream_id] = type(event).__name__
        if wanted():
            return
bodies, statuses, ends = {}, {}, {}
until(lambda: conn.remote_settings.enable_connect_protocol == 1)
def connect(path, protocol="websocket"):
    stream = conn.get_next_available_stream_id()
    conn.send_headers(stream, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"),
        (":path", path), (":authority", "localhost"), ("sec-websocket-version", "13")])
    return stream
one, two, other = connect("/echo"), connect("/through"), connect("/page")
until(lambda: len(bodies.get(one, b"")) == 13 and len(bodies.get(two, b"")) == 13 and other in ends)
print(statuses[one], statuses[two], statuses[other])
conn.reset_stream(one, 8)
conn.send_data(two, b"\x81\x85\0\0\0\0hello")
until(lambda: bodies[two].endswith(b"\x81\x05hello"))
conn.send_data(two, b"\x88\x82\0\0\0\0\x03\xe8")
until(lambda: two in ends)
print(ends[two], bytes(bodies[two][2:13]).decode())
again = connect("/echo")
until(lambda: len(bodies.get(again, b"")) == 13)
print(statuses[again])
conn.close_connection()
sock.sendall(conn.data_to_send())
"#;
    let (outer, _inner, _) = desk();
    let mut python = Command::new(python_folder().join("bin/python3"));
    let said = said(python.args(["-c", SCRIPT, &outer.port().to_string()]));
    assert_eq!(said, "200 200 501\nStreamEnded by HTTP/1.1\n200\n");
}
