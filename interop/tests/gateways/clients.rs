use std::path::Path;
use std::process::Command;

use ropewalk::auth::{InMemory, Portal, UsernamePassword, Users};
use ropewalk::endpoint::ReactorOutlet;
use ropewalk::forward::Destinations;
use ropewalk::http::auth::Guard;
use ropewalk::http::proxy::ForwardProxy;
use ropewalk::http::{Request, Site};
use ropewalk::websocket::{Message, WebSocket, WebSocketProtocol, WebSocketResource};
use ropewalk_interop::{Peer, TempDir, free_port, python_folder, tool};

use crate::house::{House, run};
use crate::in_front_of;
use crate::origins::{curl, local, nginx};

struct Echo;

impl WebSocketProtocol for Echo {
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        match message {
            Message::Text("bye") => {
                let code = ropewalk::websocket::CloseCode::new(4002).expect("it is one's own");
                socket.close(code, "as you wish");
            }
            message => socket.send(message),
        }
    }
}

#[test]
fn websockets_from_python_go_through() {
    let echo = House::start("tcp:0:interface=127.0.0.1", |_| {
        let options = ropewalk::websocket::Options::new().protocols(["v1"]);
        Site::new(WebSocketResource::new(|_: &Request| Echo).options(options))
    });
    let house = in_front_of(local(echo.port()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/websocket.py");
    let mut command = Command::new(python_folder().join("bin/python3"));
    command.arg(script).args(["client", &format!("ws://{}/", house.address)]);
    let mut python = Peer::start(&mut command).expect("Python starts");
    python.line_after("done").expect("it finds the echo good");
}

#[test]
fn wrk_finds_nothing_amiss() {
    let (folder, port) =
        (TempDir::new("gateway-wrk").expect("a folder"), free_port().expect("a port"));
    let rules = format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 hello; }} }}");
    let _nginx = nginx(&folder, port, &rules);
    let house = in_front_of(local(port));
    let mut command = Command::new(tool("wrk"));
    command.args(["-t1", "-c32", "-d1s", &format!("http://{}/", house.address)]);
    let output = run(&mut command, b"").expect("wrk runs");
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(told.contains("requests in"), "{told}");
    assert!(!told.contains("Socket errors") && !told.contains("Non-2xx"), "{told}");
}

#[test]
fn curl_goes_elsewhere_through_a_forward_proxy() {
    let (folder, port) =
        (TempDir::new("gateway-curl").expect("a folder"), free_port().expect("a port"));
    let rules =
        format!("server {{ listen 127.0.0.1:{port}; location / {{ return 200 $http_host; }} }}");
    let _nginx = nginx(&folder, port, &rules);
    let house = House::start("tcp:0:interface=127.0.0.1", move |reactor| {
        let rules = Destinations::public().allow("127.0.0.1".parse().expect("an address"));
        let proxy = ForwardProxy::new(ReactorOutlet::new(reactor), reactor.clone(), rules);
        let users = InMemory::new().with("alice", "secret");
        let portal = Portal::new(Users).checker::<UsernamePassword>(users);
        let guard = Guard::new(portal).basic("proxy").proxy();
        Site::new(guard.around(proxy.tunnel_ports([port..=port])))
    });
    let (proxy, host) = (house.address.to_string(), format!("127.0.0.1:{port}"));
    let url = format!("http://{host}/");
    let through = ["--proxy", &proxy, "--proxy-user", "alice:secret"];
    assert_eq!(curl(&[&through[..], &[&url]].concat(), b""), host.as_bytes());
    assert_eq!(curl(&[&through[..], &["--proxytunnel", &url]].concat(), b""), host.as_bytes());
    let code = ["-o", "/dev/null", "-w", "%{http_code} %{http_connect}"];
    let told = curl(&[&code[..], &["--proxy", &proxy, &url]].concat(), b"");
    assert_eq!(told, b"407 000");
    let inside = format!("http://127.0.0.2:{port}/");
    let told = curl(&[&code[..], &through, &[&inside]].concat(), b"");
    assert_eq!(told, b"403 000");
    let mut command = Command::new(tool("curl"));
    command.args(["-sS", "--max-time", "20"]).args(through).args(["--proxytunnel", &inside]);
    let refused = run(&mut command, b"").expect("curl runs");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("403"), "{told}");
}
