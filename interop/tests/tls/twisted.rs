//! Twisted in either role, from the start and in the middle of a protocol.

use std::process::Command;

use ropewalk_deferred::{Promise, deferred};
use ropewalk_endpoint::client_from_string;
use ropewalk_interop::{PATIENCE, Peer, tool};
use ropewalk_protocol::{Address, Conn, Disconnect, Protocol, connect, timeout};
use ropewalk_tls::{Identities, IdentityFiles, Policy, TlsClient, TlsServer, Trust, start_tls};

use crate::base::House;
use crate::house::{fetch, said, telling};
use crate::papers::Papers;
use crate::support::reactor;

fn twisted(script: &str, arguments: &[String]) -> Command {
    let mut python = Command::new(tool("twist").with_file_name("python3"));
    python.args(["-c", script]).args(arguments);
    python
}

/// Asks for a page on TLS.
const CLIENT: &str = r#"
import sys
from twisted.internet import defer, endpoints, protocol, ssl, task
from twisted.python.modules import FilePath

port, roots = sys.argv[1:]
trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(open(roots).read())])
options = ssl.optionsForClientTLS("localhost", trust, acceptableProtocols=[b"http/1.1"])

class Ask(protocol.Protocol):
    def connectionMade(self):
        self.heard, self.over = b"", defer.Deferred()
        self.transport.write(b"GET / HTTP/1.0\r\n\r\n")
    def dataReceived(self, data):
        self.heard += data
    def connectionLost(self, reason):
        print(self.heard.decode(), reason.type.__name__, flush=True)
        self.over.callback(None)

def main(reactor):
    place = endpoints.wrapClientTLS(
        options, endpoints.HostnameEndpoint(reactor, "127.0.0.1", int(port)))
    asked = endpoints.connectProtocol(place, Ask())
    return asked.addCallback(lambda ask: ask.over)

task.react(main)
"#;

#[test]
fn its_client_has_its_page() {
    let papers = Papers::new();
    let server = telling(papers.server(":alpn=http/1.1"));
    let arguments = [server.port().to_string(), papers.text("root.pem")];
    let output = twisted(CLIENT, &arguments).output().expect("it runs");
    let said = said(&output);
    assert!(output.status.success() && said.contains("ConnectionDone"), "{said}");
    assert!(said.contains("protocol TLSv1.3\n") && said.contains("\nname localhost\n"), "{said}");
    assert!(said.contains("\nalpn http/1.1\n"), "{said}");
}

/// A page on TLS, at a place that a string names.
const SERVER: &str = r#"
import sys
from twisted.internet import endpoints, protocol, reactor

class Page(protocol.Protocol):
    def dataReceived(self, data):
        self.transport.write(b"hello from " + self.transport.getHost().host.encode())
        self.transport.loseConnection()

def ready(port):
    print(f"listening 127.0.0.1:{port.getHost().port}", flush=True)

factory = protocol.Factory.forProtocol(Page)
endpoints.serverFromString(reactor, sys.argv[1]).listen(factory).addCallback(ready)
reactor.run()
"#;

#[test]
fn our_client_has_its_page() {
    let papers = Papers::new();
    let place = format!("ssl:0:privateKey={}:interface=127.0.0.1", papers.quoted("server.pem"));
    let mut server = Peer::start(&mut twisted(SERVER, &[place])).expect("it starts");
    let port = server.listening().expect("its address").port();
    let page = fetch(&papers.client(port, "")).unwrap_or_else(|lost| panic!("{lost:?}"));
    assert_eq!(page.text, "hello from 127.0.0.1");
}

/// Lines in the clear, then encrypted: either role.
const LINES: &str = r#"
import sys
from twisted.internet import endpoints, interfaces, protocol, reactor, ssl
from twisted.protocols.basic import LineReceiver

role, port, roots, cert = sys.argv[1:]

class Server(LineReceiver):
    delimiter = b"\n"
    def lineReceived(self, line):
        if line == b"STARTTLS":
            self.sendLine(b"go")
            identity = ssl.PrivateCertificate.loadPEM(open(cert).read())
            self.transport.startTLS(identity.options())
        else:
            is_safe = interfaces.ISSLTransport.providedBy(self.transport)
            self.sendLine(line.upper() + (b" safe" if is_safe else b" plain"))

class Client(LineReceiver):
    delimiter = b"\n"
    def connectionMade(self):
        self.sendLine(b"STARTTLS")
    def lineReceived(self, line):
        if line == b"go":
            trust = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(open(roots).read())])
            self.transport.startTLS(ssl.optionsForClientTLS("localhost", trust))
            self.sendLine(b"hello")
        else:
            print(line.decode(), flush=True)
            self.transport.loseConnection()
    def connectionLost(self, reason):
        print(reason.type.__name__, flush=True)
        reactor.stop()

if role == "server":
    def ready(port):
        print(f"listening 127.0.0.1:{port.getHost().port}", flush=True)
    place = endpoints.serverFromString(reactor, "tcp:0:interface=127.0.0.1")
    place.listen(protocol.Factory.forProtocol(Server)).addCallback(ready)
else:
    place = endpoints.clientFromString(reactor, f"tcp:127.0.0.1:{port}")
    endpoints.connectProtocol(place, Client())
reactor.run()
"#;

fn lines(papers: &Papers, role: &str, port: u16) -> Command {
    let files = [papers.text("root.pem"), papers.text("server.pem")];
    twisted(LINES, &[[role.to_owned(), port.to_string()], files].concat())
}

/// Our server of lines.
struct Server {
    tls: TlsServer,
    line: Vec<u8>,
}

impl Protocol for Server {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.line.extend_from_slice(data);
        let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else { return };
        let rest = self.line.split_off(end + 1);
        let line = std::mem::replace(&mut self.line, rest);
        if line == b"STARTTLS\n" {
            conn.write(b"go\n");
            let ahead = std::mem::take(&mut self.line);
            start_tls(conn, self.tls.layer(), &ahead).detach();
        } else {
            let protocol = conn.tls().map_or_else(|| "plain".to_owned(), |tls| tls.protocol);
            conn.write(&[line.to_ascii_uppercase().trim_ascii_end(), b" "].concat());
            conn.write(protocol.as_bytes());
            conn.write(b"\n");
        }
    }
}

#[test]
fn its_client_is_encrypted_in_the_middle() {
    let papers = Papers::new();
    let files = IdentityFiles::new(papers.path("server.crt"), papers.path("server.key"));
    let server = House::start("tcp:0:interface=127.0.0.1".to_owned(), move |_| {
        let identities = Identities::new(Policy::new()).expect("a store");
        identities.add_all(&files.load().expect("an identity")).expect("an identity");
        let tls = TlsServer::new(&identities);
        move |_: &Address| Some(Server { tls: tls.clone(), line: Vec::new() })
    });
    let output = lines(&papers, "client", server.port()).output().expect("it runs");
    let said = said(&output);
    assert!(said.contains("HELLO TLSv1.3\nConnectionDone\n"), "{said}");
}

/// Our client of lines, which tells its answer.
struct Client {
    tls: TlsClient,
    heard: Vec<u8>,
    told: Option<Promise<String>>,
}

impl Protocol for Client {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"STARTTLS\n");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
        if self.heard == b"go\n" {
            self.heard.clear();
            let layer = self.tls.layer("localhost").expect("a name");
            start_tls(conn, layer, b"").detach();
            conn.write(b"hello\n");
        } else if self.heard.ends_with(b"\n") && conn.tls().is_some() {
            conn.close();
        }
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let heard = String::from_utf8_lossy(&self.heard);
        if let Some(told) = self.told.take() {
            told.succeed(format!("{heard}{why:?} {:?}", conn.cause()));
        }
    }
}

#[test]
fn its_server_is_encrypted_in_the_middle() {
    let papers = Papers::new();
    let mut server = Peer::start(&mut lines(&papers, "server", 0)).expect("it starts");
    let address = server.listening().expect("its address");
    let reactor = reactor();
    let place = client_from_string(&reactor, &format!("tcp:{address}")).expect("a place");
    let trust = Trust::from_file(papers.path("root.pem")).expect("a root");
    let tls = TlsClient::new(&trust).expect("a client");
    let (told, answer) = deferred();
    connect(&*place, Client { tls, heard: Vec::new(), told: Some(told) }).on_result(drop);
    let answer = reactor.run_until(timeout(&reactor, PATIENCE, answer)).expect("an answer");
    assert_eq!(answer, "HELLO safe\nClosed None");
}
