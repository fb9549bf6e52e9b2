//! The PROXY protocol: `HAProxy` in front, curl and Twisted at either end.

use std::net::SocketAddr;
use std::process::Command;

use ropewalk_interop::{Peer, TempDir, free_port, tool, wait_for_port};

use crate::house::{House, fetch, local};

/// `HAProxy` with these front ends, each a port and what it does, and one server behind them.
fn haproxy(folder: &TempDir, fronts: &[(&str, &str)], server: SocketAddr) -> (Peer, Vec<u16>) {
    let mut rules = vec![
        "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
        timeout client 20s\n  timeout server 20s\n  unique-id-format id-%ci-%rt\n"
            .to_owned(),
    ];
    let mut ports = Vec::new();
    for (bind, options) in fronts {
        let port = free_port().expect("a port");
        rules.push(format!(
            "listen front{port}\n  bind 127.0.0.1:{port} {bind}\n  \
             server far {server} {options}\n",
        ));
        ports.push(port);
    }
    let path = folder.write("haproxy.cfg", rules.concat()).expect("a file");
    let mut command = Command::new(tool("haproxy"));
    let peer = Peer::start(command.arg("-db").arg("-f").arg(path)).expect("haproxy starts");
    for port in &ports {
        wait_for_port(local(*port)).expect("haproxy listens");
    }
    (peer, ports)
}

#[test]
fn haproxy_tells_us_who_its_client_is() {
    let server = House::who_are_you("haproxy:tcp:0:interface=127.0.0.1");
    let folder = TempDir::new("haproxy").expect("a folder");
    let fronts = [
        ("", "send-proxy"),
        ("", "send-proxy-v2"),
        ("", "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
    ];
    let (_haproxy, ports) = haproxy(&folder, &fronts, server.address);
    for (port, (_, options)) in ports.iter().zip(fronts) {
        let page = fetch(&format!("tcp:127.0.0.1:{port}:bind=127.0.0.9")).expect("a page");
        assert!(page.starts_with("127.0.0.9:"), "{options}: {page}");
        assert!(page.contains(" through 127.0.0.1:"), "{options}: {page}");
        let has_id = page.contains("id Some(\"id-127.0.0.9-");
        assert_eq!(has_id, options.contains("unique-id"), "{options}: {page}");
    }
}

#[test]
fn haproxy_tells_us_how_its_client_is_encrypted() {
    let server = House::who_are_you("haproxy:tcp:0:interface=127.0.0.1");
    let folder = TempDir::new("haproxy-tls").expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain name").to_owned();
    for name in ["server", "alice"] {
        let mut openssl = Command::new(tool("openssl"));
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
        openssl.args(["-keyout", &path(&format!("{name}.key"))]);
        openssl.args(["-out", &path(&format!("{name}.crt"))]);
        assert!(openssl.output().expect("openssl runs").status.success());
    }
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("a file");
    folder.write("server.pem", read("server.crt") + &read("server.key")).expect("a file");
    let bind =
        format!("ssl crt {} ca-file {} verify optional", path("server.pem"), path("alice.crt"));
    let options = "send-proxy-v2 proxy-v2-options \
        ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c";
    let (_haproxy, ports) = haproxy(&folder, &[(&bind, options)], server.address);

    let url = format!("https://shop.example.org:{}/", ports[0]);
    let resolve = format!("shop.example.org:{}:127.0.0.1", ports[0]);
    let curl = |more: &[&str]| {
        let mut curl = Command::new(tool("curl"));
        curl.args(["-sS", "--max-time", "20", "-k", "--tlsv1.3", "--resolve", &resolve, &url]);
        let output = curl.args(more).output().expect("curl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let page = curl(&[]);
    assert!(page.contains("authority Some(\"shop.example.org\")"), "{page}");
    assert!(page.contains("tls Some(\"TLSv1.3\") Some(\"TLS_"), "{page}");
    assert!(page.contains("client None false"), "{page}");
    let page = curl(&["--cert", &path("alice.crt"), "--key", &path("alice.key")]);
    assert!(page.contains("client Some(\"alice\") true"), "{page}");
}

#[test]
fn haproxy_believes_who_we_say_we_are() {
    let server = House::who_are_you("haproxy:tcp:0:interface=127.0.0.1");
    let folder = TempDir::new("haproxy-accept").expect("a folder");
    let fronts = [("accept-proxy", "send-proxy-v2")];
    let (_haproxy, ports) = haproxy(&folder, &fronts, server.address);
    for version in ["1", "2", "2c"] {
        let place = format!("haproxy:version={version}:tcp:127.0.0.1:{}:bind=127.0.0.9", ports[0]);
        let page = fetch(&place).expect("a page");
        assert!(page.starts_with("127.0.0.9:"), "{version}: {page}");
        assert!(page.contains(" through 127.0.0.1:"), "{version}: {page}");
    }
}

#[test]
fn curl_tells_us_who_it_is() {
    let server = House::who_are_you("haproxy:tcp:0:interface=127.0.0.1");
    let mut curl = Command::new(tool("curl"));
    curl.args(["-sS", "--max-time", "20", "--haproxy-protocol", "--interface", "127.0.0.9"]);
    let output = curl.arg(format!("http://{}/", server.address)).output().expect("curl runs");
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.starts_with("127.0.0.9:") && page.contains(" through 127.0.0.9:"), "{page}");
    // Who does not is not let in.
    let mut curl = Command::new(tool("curl"));
    let output = curl.arg("-sS").arg(format!("http://{}/", server.address)).output();
    assert!(!output.expect("curl runs").status.success());
}

/// Says in Twisted who is seen.
const TWISTED: &str = r#"
import sys
from twisted.internet import endpoints, protocol, reactor

class WhoAreYou(protocol.Protocol):
    def dataReceived(self, data):
        peer, host = self.transport.getPeer(), self.transport.getHost()
        said = f"{peer.host}:{peer.port} at {host.host}:{host.port}\n".encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
        self.transport.loseConnection()

def ready(port):
    address = port.getHost()
    print(f"listening {address.host}:{address.port}", flush=True)

factory = protocol.Factory.forProtocol(WhoAreYou)
place = endpoints.serverFromString(reactor, "haproxy:tcp:0:interface=127.0.0.1")
place.listen(factory).addCallback(ready)
reactor.run()
"#;

#[test]
fn twisted_believes_who_we_say_we_are() {
    let python = tool("twist").with_file_name("python3");
    let mut twisted = Peer::start(Command::new(python).args(["-c", TWISTED])).expect("it starts");
    let address = twisted.listening().expect("its address");
    for version in ["1", "2"] {
        let place = format!("haproxy:version={version}:tcp:{address}:bind=127.0.0.9");
        let page = fetch(&place).expect("a page");
        assert!(page.starts_with("127.0.0.9:"), "{version}: {page}");
        assert!(page.ends_with(&format!(" at {address}\n")), "{version}: {page}");
    }
}
