use std::net::SocketAddr;
use std::process::Command;

use ropewalk_interop::{Peer, TempDir, free_port, python_folder, tool, wait_for_port};

use crate::house::run;
use crate::in_front_of;

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(crate) fn large() -> Vec<u8> {
    (0..3_000_000_u32).map(|at| (at / 251 + at) as u8).collect()
}

/// What curl prints of this.
#[track_caller]
pub(crate) fn curl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(tool("curl"));
    command.args(["-sS", "--max-time", "20"]).args(arguments);
    let output = run(&mut command, input).expect("curl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// nginx with this within `http { … }`, on a port.
pub(crate) fn nginx(folder: &TempDir, port: u16, rules: &str) -> Peer {
    let path = folder.path().display();
    let config = format!(
        "daemon off; master_process off; pid {path}/pid; error_log stderr crit;
        events {{ worker_connections 512; }}
        http {{
          access_log off; default_type text/plain; root {path};
          client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
          fastcgi_temp_path {path}/fcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
          {rules}
        }}"
    );
    let config = folder.write("nginx.conf", config).expect("a file");
    let mut command = Command::new(tool("nginx"));
    command.arg("-p").arg(folder.path()).arg("-c").arg(config);
    let peer = Peer::start(&mut command).expect("nginx starts");
    wait_for_port(local(port)).expect("nginx listens");
    peer
}

/// A folder of files that each of them serves, asked for through the proxy.
#[track_caller]
fn check_files(port: u16) {
    let house = in_front_of(local(port));
    let url = |path: &str| format!("http://{}{path}", house.address);
    for _ in 0..2 {
        assert_eq!(curl(&[&url("/hello.txt")], b""), b"hello");
        assert!(curl(&[&url("/large.bin")], b"") == large());
    }
    let head = String::from_utf8(curl(&["-I", &url("/large.bin")], b"")).expect("text");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\ncontent-length: 3000000\r\n"), "{head}");
    let code = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("/not-there")], b"");
    assert_eq!(code, b"404");
    // Ten on one connection.
    let many = url("/hello.txt?[1-10]");
    let counted = curl(&["-w", "%{num_connects}", &many], b"");
    assert_eq!(
        String::from_utf8(counted).expect("text"),
        "hello1".to_owned() + &"hello0".repeat(9)
    );
}

fn folder(name: &str) -> TempDir {
    let folder = TempDir::new(name).expect("a folder");
    folder.write("hello.txt", "hello").expect("a file");
    folder.write("large.bin", large()).expect("a file");
    folder
}

#[test]
fn nginx_is_behind_it() {
    let (folder, port) = (folder("gateway-nginx"), free_port().expect("a port"));
    let _nginx = nginx(&folder, port, &format!("server {{ listen 127.0.0.1:{port}; }}"));
    check_files(port);
    let house = in_front_of(local(port));
    let part = curl(&["-r", "10-19", &format!("http://{}/large.bin", house.address)], b"");
    assert_eq!(part, &large()[10..20]);
}

#[test]
fn python_is_behind_it() {
    for protocol in ["HTTP/1.0", "HTTP/1.1"] {
        let folder = folder("gateway-python");
        let mut command = Command::new(tool("python3"));
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--protocol", protocol]);
        command.arg("0").current_dir(folder.path());
        let mut python = Peer::start(&mut command).expect("Python starts");
        let said = python.line_after("Serving HTTP on 127.0.0.1 port ").expect("a port");
        let port = said.split(' ').next().expect("a word").parse().expect("a number");
        check_files(port);
    }
}

#[test]
fn twisted_is_behind_it() {
    let (folder, port) = (folder("gateway-twisted"), free_port().expect("a port"));
    let mut command = Command::new(python_folder().join("bin/twist"));
    command.args(["web", "--listen", &format!("tcp:{port}:interface=127.0.0.1"), "--path"]);
    let _twisted = Peer::start(command.arg(folder.path())).expect("Twisted starts");
    wait_for_port(local(port)).expect("Twisted listens");
    check_files(port);
}

const NODE: &str = r#"
const http = require("http");
const server = http.createServer((request, answer) => {
  if (request.url == "/echo") {
    answer.writeHead(200, { trailer: "x-sum" });
    let length = 0;
    request.on("data", piece => { length += piece.length; if (!answer.write(piece)) { request.pause(); answer.once("drain", () => request.resume()); } });
    request.on("end", () => { answer.addTrailers({ "x-sum": `${length}` }); answer.end(); });
  } else if (request.url == "/hints") {
    answer.writeEarlyHints({ link: "</a.css>; rel=preload" }, () => answer.end("hinted"));
  } else if (request.url == "/who") {
    answer.end(JSON.stringify(request.headers));
  } else {
    answer.write("a part"); setTimeout(() => answer.destroy(), 50);
  }
});
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
"#;

#[test]
fn node_is_behind_it() {
    let mut node = Peer::start(Command::new(tool("node")).args(["-e", NODE])).expect("Node starts");
    let port = node.line_after("port ").expect("a port").parse().expect("a number");
    let house = in_front_of(local(port));
    let url = |path: &str| format!("http://{}{path}", house.address);
    // With a length, with a wait for 100, and in chunks.
    let folder = folder("gateway-node");
    let file = folder.path().join("large.bin").display().to_string();
    let whole = format!("@{file}");
    for sending in [
        &["--data-binary", &whole][..],
        &["-H", "Expect: 100-continue", "--data-binary", &whole],
        &["-H", "Transfer-Encoding: chunked", "-T", &file],
    ] {
        let back = curl(&[sending, &[&url("/echo")]].concat(), b"");
        assert!(back == large(), "{sending:?}: {} bytes came back", back.len());
    }
    let told = curl(&["-D", "-", &url("/hints")], b"");
    let told = String::from_utf8(told).expect("text");
    assert!(
        told.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n"),
        "{told}"
    );
    assert!(told.ends_with("hinted"), "{told}");
    let told = curl(&["-D", "-", "--raw", "-H", "TE: trailers", "-d", "abc", &url("/echo")], b"");
    let told = String::from_utf8(told).expect("text");
    assert!(told.ends_with("3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n"), "{told}");
    let who = curl(&["-H", "X-Forwarded-For: 6.6.6.6", &url("/who")], b"");
    let who = String::from_utf8(who).expect("text");
    assert!(who.contains("\"x-forwarded-for\":\"127.0.0.1\""), "{who}");
    assert!(who.contains("\"via\":\"1.1 ropewalk\""), "{who}");
    // One that breaks off breaks off for the client: 18 is a partial file, 56 a failure to receive.
    let mut command = Command::new(tool("curl"));
    let broken = run(command.args(["-sS", &url("/broken")]), b"").expect("curl runs");
    assert!(matches!(broken.status.code(), Some(18 | 56)), "{broken:?}");
}

#[test]
fn where_nobody_is_the_client_hears_so() {
    let house = in_front_of(local(free_port().expect("a port")));
    let url = format!("http://{}/", house.address);
    let told = curl(&["-w", "%{http_code}", &url], b"");
    assert_eq!(told, b"502 Bad Gateway\n502");
}
