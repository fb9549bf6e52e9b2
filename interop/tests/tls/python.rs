//! Python's `ssl`, in either role.

use std::process::Command;

use ropewalk_interop::{Peer, tool};
use ropewalk_protocol::{Disconnect, TlsFault};

use crate::house::{Client, fetch, said, telling};
use crate::papers::Papers;

/// Asks twice, the second time with the session of the first, and tells what it is told.
const CLIENT: &str = r#"
import socket, ssl, sys
port, roots, version, cert, key = sys.argv[1:]
context = ssl.create_default_context(cafile=roots)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
context.set_alpn_protocols(["http/1.1"])
if cert:
    context.load_cert_chain(cert, key)
session = None
for _ in range(2):
    with socket.create_connection(("127.0.0.1", int(port)), 20) as plain:
        encrypted = context.wrap_socket(plain, server_hostname="localhost", session=session,
                                        suppress_ragged_eofs=False)
        encrypted.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = b""
        while data := encrypted.read(65536):
            page += data
        session = encrypted.session
        print(page.decode(), encrypted.version(), encrypted.session_reused, flush=True)
        encrypted.unwrap()
"#;

#[test]
fn its_client_has_its_page_and_comes_again() {
    let papers = Papers::new();
    let roots = papers.quoted("root.pem");
    let server = telling(papers.server(":alpn=http/1.1"));
    let strict = telling(papers.server(&format!(":alpn=http/1.1:client-ca={roots}")));
    for (version, name) in [("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")] {
        for (server, files) in [(&server, ["", ""]), (&strict, ["alice.crt", "alice.key"])] {
            let files = files.map(|file| (!file.is_empty()).then(|| papers.text(file)));
            let mut python = Command::new(tool("python3"));
            python.args(["-c", CLIENT, &server.port().to_string(), &papers.text("root.pem")]);
            python.arg(version).args(files.clone().map(Option::unwrap_or_default));
            let output = python.output().expect("it runs");
            let said = said(&output);
            assert!(output.status.success(), "{version}: {said}");
            assert_eq!(said.matches(&format!("protocol {name}\n")).count(), 2, "{said}");
            let known = format!("\nknown {}\n", files[0].is_some());
            assert_eq!(said.matches(&known).count(), 2, "{said}");
            assert!(said.contains(&format!("{name} False")), "{said}");
            assert!(said.contains(&format!("{name} True")), "{said}");
            assert!(said.contains("\nalpn http/1.1\n"), "{said}");
        }
    }
}

/// Ends its stream in the middle, without a word in TLS, and hears what there is until the end.
const HASTY: &str = r#"
import socket, ssl, sys
port, roots, version = sys.argv[1:]
context = ssl.create_default_context(cafile=roots)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
for question in (b"", b"GET / HTTP/1.0\r\n\r\n"):
    with socket.create_connection(("127.0.0.1", int(port)), 20) as plain:
        encrypted = context.wrap_socket(plain, server_hostname="localhost")
        encrypted.sendall(question)
        below = socket.socket(fileno=encrypted.detach())
        below.settimeout(20)
        below.shutdown(socket.SHUT_WR)
        heard = 0
        while data := below.recv(65536):
            heard += len(data)
        below.close()
        assert heard > 20, heard
"#;

#[test]
fn a_hasty_client_hears_an_end_and_no_reset() {
    let papers = Papers::new();
    let server = telling(papers.server(""));
    for version in ["TLSv1_2", "TLSv1_3"] {
        let mut python = Command::new(tool("python3"));
        python.args(["-c", HASTY, &server.port().to_string(), &papers.text("root.pem"), version]);
        let output = python.output().expect("it runs");
        assert!(output.status.success(), "{version}: {}", said(&output));
    }
}

/// A page for everybody, which ends in order or just stops.
const SERVER: &str = r#"
import socket, ssl, sys
cert, version, ends = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
context.load_cert_chain(cert)
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening 127.0.0.1:{listener.getsockname()[1]}", flush=True)
while True:
    plain, _ = listener.accept()
    encrypted = context.wrap_socket(plain, server_side=True)
    encrypted.read(65536)
    encrypted.sendall(b"resumed %d" % encrypted.session_reused)
    if ends == "unwrap":
        encrypted.unwrap().close()
    else:
        encrypted.close()
"#;

#[test]
fn our_client_has_its_page_and_knows_a_whole_one_from_a_cut_one() {
    let papers = Papers::new();
    for version in ["TLSv1_2", "TLSv1_3"] {
        for ends in ["unwrap", "close"] {
            let mut python = Command::new(tool("python3"));
            python.args(["-c", SERVER, &papers.text("server.pem"), version, ends]);
            let mut server = Peer::start(&mut python).expect("it starts");
            let port = server.listening().expect("its address").port();
            if ends == "unwrap" {
                let client = Client::new(&papers.client(port, ""));
                for text in ["resumed 0", "resumed 1"] {
                    let page = client.fetch().unwrap_or_else(|lost| panic!("{lost:?}"));
                    assert_eq!(page.text, text, "{version}");
                }
            } else {
                let lost = fetch(&papers.client(port, "")).expect_err("it is cut off");
                assert_eq!(lost.why, Disconnect::Tls(TlsFault::Truncated), "{version}");
            }
        }
    }
}
