use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use ropewalk::http::{self, AgentError, CookieJar, Credentials, Options};
use ropewalk_interop::{Peer, TempDir, free_port, python_folder, tool, wait_for_port};
use ropewalk_tls::{TlsClient, Trust};

use crate::page;
use crate::support::reactor;

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(crate) fn large() -> Vec<u8> {
    (0..3_000_000_u32).map(|at| (at / 251 + at) as u8).collect()
}

/// nginx in clear, with TLS and on a Unix socket.
pub(crate) struct Nginx {
    _peer: Peer,
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) http2_port: u16,
}

impl Nginx {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new("nginx").expect("a folder");
        let path = folder.path().display().to_string();
        folder.write("hello.txt", "hello ".repeat(1000)).expect("a file");
        folder.write("large.bin", large()).expect("a file");
        let (cert, key) = (format!("{path}/cert.pem"), format!("{path}/key.pem"));
        let made = Command::new(tool("openssl"))
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "30", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &key, "-out", &cert])
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (port, tls_port) = (free_port().expect("a port"), free_port().expect("a port"));
        let http2_port = free_port().expect("a port");
        let config = format!(
            "daemon off; master_process off; pid {path}/pid; error_log stderr;
            events {{ worker_connections 64; }}
            http {{
              access_log off; default_type text/plain; root {path};
              gzip on; gzip_types text/plain; gzip_min_length 1; keepalive_requests 1000;
              client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
              fastcgi_temp_path {path}/fcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
              server {{
                listen 127.0.0.1:{port}; listen unix:{path}/socket;
                listen 127.0.0.1:{tls_port} ssl; listen 127.0.0.1:{http2_port} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key};
                location /moved {{ return 301 /hello.txt; }}
                location /number {{ return 200 $connection_requests; }}
                location /who {{ add_header Set-Cookie \"seen=1; Path=/\"; return 200 \"$http_cookie|$http_authorization\"; }}
              }}
            }}"
        );
        let config = folder.write("nginx.conf", config).expect("a file");
        let mut command = Command::new(tool("nginx"));
        command.arg("-p").arg(folder.path()).arg("-c").arg(config);
        let peer = Peer::start(&mut command).expect("nginx starts");
        wait_for_port(local(port)).expect("nginx listens");
        Self { _peer: peer, folder, port, tls_port, http2_port }
    }

    pub(crate) fn tls(&self) -> TlsClient {
        let trust = Trust::from_file(self.folder.path().join("cert.pem")).expect("a certificate");
        TlsClient::new(&trust).expect("a client")
    }
}

#[test]
fn nginx_is_asked_in_clear_with_tls_and_by_its_socket() {
    let nginx = Nginx::start();
    let reactor = reactor();
    let cookies = Some(CookieJar::new());
    let options = Options { cookies, ..Options::default() };
    let agent = http::agent(&reactor).tls(nginx.tls()).options(options).build();
    let clear = format!("http://127.0.0.1:{}", nginx.port);
    let safe = format!("https://localhost:{}", nginx.tls_port);
    for base in [&clear, &safe] {
        let text = page(&reactor, agent.get(&format!("{base}/hello.txt")).send()).expect("a page");
        assert_eq!(text, (200, "hello ".repeat(1000).into()), "{base}");
        let moved = page(&reactor, agent.get(&format!("{base}/moved")).send()).expect("a page");
        assert_eq!(moved, text, "{base}");
        let whole = page(&reactor, agent.get(&format!("{base}/large.bin")).send()).expect("a page");
        assert_eq!(whole, (200, large().into()), "{base}");
        let part = agent.get(&format!("{base}/large.bin")).header("range", "bytes=10-19").send();
        assert_eq!(page(&reactor, part).expect("a page"), (206, large()[10..20].to_vec().into()));
        assert_eq!(page(&reactor, agent.get(&format!("{base}/no")).send()).expect("one").0, 404);
        // It counts the requests on this connection.
        let count = page(&reactor, agent.get(&format!("{base}/number")).send()).expect("a page");
        assert_eq!(count, (200, "7".into()), "{base}");
    }
    assert_eq!(agent.connections(), (2, 2));
    let who = || {
        page(
            &reactor,
            agent.get(&format!("{clear}/who")).credentials(Credentials::bearer("t")).send(),
        )
    };
    assert_eq!(who().expect("a page"), (200, "|Bearer t".into()));
    assert_eq!(who().expect("a page"), (200, "seen=1|Bearer t".into()));
    let socket = nginx.folder.path().join("socket");
    let text = page(&reactor, agent.get("http://localhost/hello.txt").over_unix(socket).send());
    assert_eq!(text.expect("a page").0, 200);
}

#[test]
fn an_address_that_is_not_allowed_is_not_connected_to() {
    let nginx = Nginx::start();
    let reactor = reactor();
    let public = |address: SocketAddr| !address.ip().is_loopback();
    for host in ["127.0.0.1", "localhost", "[::1]", "0x7f.1"] {
        let agent = http::agent(&reactor).allow(public).build();
        let url = format!("http://{host}:{}/hello.txt", nginx.port);
        let failure = page(&reactor, agent.get(&url).send()).expect_err("it is not allowed");
        assert!(failure.check::<http::NoAddressAllowed>().is_some(), "{host}: {failure}");
    }
    let agent = http::agent(&reactor).allow(|_| true).build();
    let url = format!("http://localhost:{}/hello.txt", nginx.port);
    assert_eq!(page(&reactor, agent.get(&url).send()).expect("a page").0, 200);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let nginx = Nginx::start();
    let reactor = reactor();
    let agent = http::agent(&reactor).build();
    let url = format!("https://localhost:{}/hello.txt", nginx.tls_port);
    page(&reactor, agent.get(&url).send()).expect_err("it is self-signed");
}

#[test]
fn python_answers() {
    let folder = TempDir::new("python").expect("a folder");
    folder.write("large.bin", large()).expect("a file");
    let port = free_port().expect("a port");
    for protocol in ["HTTP/1.0", "HTTP/1.1"] {
        let mut command = Command::new(tool("python3"));
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--protocol", protocol]);
        command.arg(port.to_string()).current_dir(folder.path());
        let _peer = Peer::start(&mut command).expect("Python starts");
        wait_for_port(local(port)).expect("Python listens");
        let reactor = reactor();
        let agent = http::agent(&reactor).build();
        for _ in 0..3 {
            let url = format!("http://127.0.0.1:{port}/large.bin");
            let whole = page(&reactor, agent.get(&url).send()).expect("a page");
            assert_eq!(whole, (200, large().into()));
        }
        let post = page(&reactor, agent.post(&format!("http://127.0.0.1:{port}/"), "x").send());
        assert_eq!(post.expect("an answer").0, 501);
    }
}

const NODE: &str = r#"
const http = require("http"), zlib = require("zlib");
const server = http.createServer((request, answer) => {
  if (request.url == "/sum") {
    let length = 0;
    request.on("data", piece => { length += piece.length; });
    request.on("end", () => answer.end(`${length} ${request.headers["transfer-encoding"]}`));
  } else if (request.url == "/deflate") {
    answer.setHeader("Content-Encoding", "deflate");
    answer.end(zlib.deflateSync("d".repeat(10000)));
  } else if (request.url == "/hints") {
    answer.writeEarlyHints({ link: "</a.css>; rel=preload" }, () => answer.end("hinted"));
  } else if (request.url == "/see") {
    answer.writeHead(303, { location: "/hints" }); answer.end("elsewhere");
  } else {
    answer.writeHead(404); answer.end();
  }
});
server.on("checkContinue", (request, answer) => { answer.writeContinue(); server.emit("request", request, answer); });
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
"#;

#[test]
fn node_answers() {
    let mut peer = Peer::start(Command::new(tool("node")).args(["-e", NODE])).expect("Node starts");
    let port = peer.line_after("port ").expect("a port");
    let reactor = reactor();
    let agent = http::agent(&reactor).build();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let sum = agent.post(&url("/sum"), large()).expect_continue().send();
    assert_eq!(page(&reactor, sum).expect("an answer"), (200, "3000000 undefined".into()));
    let (mut sender, body) = http::Body::channel_of(large().len() * 2);
    for piece in large().chunks(10_000) {
        sender.write(piece.to_vec()).expect("room");
    }
    sender.finish();
    let sum = agent.post(&url("/sum"), body).send();
    assert_eq!(page(&reactor, sum).expect("an answer"), (200, "3000000 chunked".into()));
    let text = page(&reactor, agent.get(&url("/deflate")).send()).expect("an answer");
    assert_eq!(text, (200, "d".repeat(10000).into()));
    let seen = page(&reactor, agent.post(&url("/see"), "x").send()).expect("an answer");
    assert_eq!(seen, (200, "hinted".into()));
    assert_eq!(agent.connections(), (1, 1));
}

#[test]
fn twisted_answers() {
    let folder = TempDir::new("twisted").expect("a folder");
    folder.write("large.bin", large()).expect("a file");
    let port = free_port().expect("a port");
    let mut command = Command::new(python_folder().join("bin/twist"));
    command.args(["web", "--listen", &format!("tcp:{port}:interface=127.0.0.1"), "--path"]);
    let _peer = Peer::start(command.arg(folder.path())).expect("Twisted starts");
    wait_for_port(local(port)).expect("Twisted listens");
    let reactor = reactor();
    let agent = http::agent(&reactor).build();
    for _ in 0..3 {
        let url = format!("http://127.0.0.1:{port}/large.bin");
        assert_eq!(page(&reactor, agent.get(&url).send()).expect("one"), (200, large().into()));
    }
    assert_eq!(agent.connections(), (1, 1));
}

#[test]
fn a_broken_server_breaks_nothing_else() {
    let answers: &[&[u8]] = &[
        b"",
        b"hello\r\n",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    ];
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 4096];
            let length = stream.read(&mut request).expect("a request");
            assert!(request[..length].ends_with(b"\r\n\r\n"));
            stream.write_all(answer).expect("a reader");
        }
    });
    let reactor = reactor();
    let agent = http::agent(&reactor).build();
    for answer in answers {
        let url = format!("http://127.0.0.1:{port}/");
        let failure = page(&reactor, agent.get(&url).send()).expect_err("it is broken");
        let shown = answer.escape_ascii();
        assert!(failure.check::<AgentError>().is_some(), "{shown}: {failure:?}");
    }
    server.join().expect("a server that fell for nothing");
    let open = agent.connections();
    assert!(open.0 <= 1, "{open:?}");
}
