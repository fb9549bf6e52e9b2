//! Whom our server serves first, as Python's h2 and Node ask for it and Chromium does (RFC 9218).

use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use ropewalk_http::{Body, Priority, Request, Response, Site, Tree};
use ropewalk_interop::{Peer, TempDir, chromium, python_folder, tool};

use crate::house::House;
use crate::web::said;

/// More than the windows have that a client begins with, several times over.
const LARGE: usize = 300_000;

/// A site with a page that takes as long as all before it.
fn house() -> House {
    House::start("tcp:0:interface=127.0.0.1", |_| {
        let large = |_: Request| Body::from(vec![b'x'; LARGE]);
        Site::new(Tree::new().child("large", large))
    })
}

/// Two that share their turns go together: when the first is whole, less than this is missing of the second.
const BEHIND_MAX: usize = 100_000;

#[test]
fn pythons_h2_is_served_by_fields_and_by_frames_of_either_time() {
    const SCRIPT: &str = r#"
import socket, struct, sys
import h2.config, h2.connection, h2.events, h2.settings
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.settimeout(60)
conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
conn.initiate_connection()
conn.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
names = {}
def ask(name, priority=None):
    stream = conn.get_next_available_stream_id()
    names[stream] = name
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/large"), (":authority", "localhost")]
    conn.send_headers(stream, fields + ([("priority", priority)] if priority else []), end_stream=True)
    return stream
# h2 does not know PRIORITY_UPDATE: the frames are made here and put between its own.
def prefer(stream, value):
    payload = struct.pack(">L", stream) + value
    return struct.pack(">L", len(payload))[1:] + b"\x10\0" + struct.pack(">L", 0) + payload
out = conn.data_to_send()
first = ask("background", "u=6")
out += conn.data_to_send()
out += prefer(first + 12, b"u=7") + prefer(first + 12, b"u=0")
shared = [ask("shared 1", "u=5, i"), ask("shared 2", "u=5, i")]
ask("plain")
urgent = ask("urgent", "u=1")
later = ask("said later", "u=7")
assert ask("said before", "u=7") == first + 12
out += conn.data_to_send() + prefer(later, b"u=2")
sock.sendall(out)
came, whole = {}, []
while len(whole) < len(names):
    for event in conn.receive_data(sock.recv(65536)):
        if isinstance(event, h2.events.DataReceived):
            came[event.stream_id] = came.get(event.stream_id, 0) + len(event.data)
            conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if isinstance(event, h2.events.StreamEnded):
            whole.append(event.stream_id)
            if event.stream_id in shared and len(set(shared) & set(whole)) == 1:
                behind = came[event.stream_id] - min(came.get(stream, 0) for stream in shared)
        assert not isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)), event
    sock.sendall(conn.data_to_send())
print(", ".join(names[stream].rstrip(" 12") for stream in whole))
print(behind)
"#;
    let house = house();
    let mut python = Command::new(python_folder().join("bin/python3"));
    let said = said(python.args(["-c", SCRIPT, &house.port().to_string()]));
    let (order, behind) = said.trim().split_once('\n').expect("two lines");
    assert_eq!(order, "said before, urgent, said later, plain, shared, shared, background");
    let behind: usize = behind.parse().expect("a number");
    assert!(behind < BEHIND_MAX, "{behind}");
}

#[test]
fn node_is_served_by_its_fields() {
    const SCRIPT: &str = r#"
const http2 = require("node:http2");
const session = http2.connect(process.argv[2], { settings: { initialWindowSize: 1 << 20 } });
session.on("error", error => { throw error; });
const asked = { background: "u=6", shared1: "u=5,i", shared2: "u=5,i", plain: undefined, urgent: "u=1", first: "u=0, i=?0" };
const came = {}, whole = [];
let behind;
for (const [name, priority] of Object.entries(asked)) {
  const stream = session.request({ ":path": "/large", ...(priority && { priority }) });
  came[name] = 0;
  stream.on("error", error => { throw error; });
  stream.on("data", piece => { came[name] += piece.length; });
  stream.on("end", () => {
    whole.push(name.replace(/\d/, ""));
    if (name.startsWith("shared")) behind ??= Math.abs(came.shared1 - came.shared2);
    if (whole.length === Object.keys(asked).length) {
      console.log(whole.join(", "));
      console.log(behind);
      session.close();
    }
  });
}
"#;
    let house = house();
    let mut node = Command::new(tool("node"));
    let said = said(node.args(["-e", SCRIPT, "-"]).arg(format!("http://{}", house.address)));
    let (order, behind) = said.trim().split_once('\n').expect("two lines");
    assert_eq!(order, "first, urgent, plain, shared, shared, background");
    let behind: usize = behind.parse().expect("a number");
    assert!(behind < BEHIND_MAX, "{behind}");
}

/// A page that asks for something at once and for something whenever it suits.
const PAGE: &str = "<!doctype html><title>priorities</title><script>
const ask = priority => fetch(`/told?${priority}`, { priority }).then(answer => answer.text());
Promise.all(['high', 'low'].map(ask)).then(all => fetch('/report', { method: 'POST', body: all.join('\\n') }));
</script>";

#[test]
fn chromium_says_what_its_pages_prefer() {
    let (sender, reports) = channel();
    let house = House::start("tls:0:interface=127.0.0.1:self-signed", move |_| {
        let told = |request: Request| {
            let field = request.headers().get("priority").map(|value| value.to_str());
            field.and_then(Result::ok).unwrap_or("nothing").to_owned()
        };
        let report = move |request: Request| {
            let sender = sender.clone();
            request.into_body().collect(1000).map(move |said| {
                // Nobody listens only if the test is over.
                let _ = sender.send(String::from_utf8_lossy(&said).into_owned());
                "thanks"
            })
        };
        let page = |_: Request| {
            let mut page = Response::new(Body::from(PAGE));
            let html = "text/html; charset=utf-8".parse().expect("a value");
            page.headers_mut().insert("content-type", html);
            page
        };
        Site::new(Tree::new().child("page", page).child("told", told).child("report", report))
    });
    let profile = TempDir::new("chromium").expect("a folder");
    let mut chromium = chromium(&profile);
    chromium.args(["--ignore-certificate-errors", "--remote-debugging-port=0"]);
    chromium.stdout(Stdio::null()).stderr(Stdio::null());
    let url = format!("https://localhost:{}/page", house.port());
    let _browser = Peer::start(chromium.arg(url)).expect("it starts");
    let report = reports.recv_timeout(Duration::from_mins(2)).expect("a report");
    let said: Vec<Priority> = report.lines().map(|line| Priority::parse(line.as_bytes())).collect();
    let [high, low] = said[..] else { panic!("{report}") };
    assert!(high.urgency < low.urgency, "{report}");
}
