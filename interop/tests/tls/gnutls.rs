//! `GnuTLS`: its client at our server, and our client at its server.

use std::process::Command;

use ropewalk_interop::{Peer, free_port, tool, wait_for_port};

use crate::house::{Client, QUESTION, converse, local, said, telling};
use crate::papers::Papers;

#[test]
fn its_client_has_its_page_and_comes_again() {
    let papers = Papers::new();
    let server = telling(papers.server(":alpn=http/1.1"));
    for version in ["TLS1.2", "TLS1.3"] {
        let mut gnutls = Command::new(tool("gnutls-cli"));
        gnutls.args(["--sni-hostname=localhost", "--verify-hostname=localhost"]);
        gnutls.args(["--x509cafile", &papers.text("root.pem"), "--alpn=http/1.1"]);
        gnutls.arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-{version}"));
        gnutls.args(["--resume", "--waitresumption", "127.0.0.1", "-p"]);
        let said = said(&converse(gnutls.arg(server.port().to_string()), QUESTION));
        let number = version.replace("TLS", "TLSv");
        assert!(said.contains(&format!("protocol {number}\n")), "{version}: {said}");
        assert!(said.contains("\nresumed true\n"), "{version}: {said}");
        assert!(said.contains("\nalpn http/1.1\n"), "{version}: {said}");
    }
}

#[test]
fn its_client_says_who_it_is() {
    let papers = Papers::new();
    let roots = papers.quoted("root.pem");
    let server = telling(papers.server(&format!(":client-ca={roots}")));
    let ask = |more: &[String]| {
        let mut gnutls = Command::new(tool("gnutls-cli"));
        gnutls.args(["--sni-hostname=localhost", "--verify-hostname=localhost"]);
        gnutls.args(["--x509cafile", &papers.text("root.pem")]);
        said(&converse(
            gnutls.args(more).args(["127.0.0.1", "-p", &server.port().to_string()]),
            QUESTION,
        ))
    };
    let alice = ["alice.crt", "alice.key"].map(|file| papers.text(file));
    let page =
        ask(&[format!("--x509certfile={}", alice[0]), format!("--x509keyfile={}", alice[1])]);
    assert!(page.contains("\nknown true\n"), "{page}");
    let page = ask(&[]);
    assert!(!page.contains("\nknown ") && page.contains("ertificate is required"), "{page}");
}

#[test]
fn our_client_has_its_page() {
    let papers = Papers::new();
    for (version, name) in [("TLS1.2", "TLSv1.2"), ("TLS1.3", "TLSv1.3")] {
        let port = free_port().expect("a port");
        let mut gnutls = Command::new(tool("gnutls-serv"));
        gnutls.args(["--http", "--disable-client-cert", "-p", &port.to_string()]);
        gnutls.args(["--x509certfile", &papers.text("server.crt")]);
        gnutls.args(["--x509keyfile", &papers.text("server.key")]);
        gnutls.arg(format!("--priority=NORMAL:-VERS-ALL:+VERS-{version}"));
        let _server = Peer::start(&mut gnutls).expect("it starts");
        wait_for_port(local(port)).expect("it listens");
        let client = Client::new(&papers.client(port, ""));
        for is_resumed in [false, true] {
            let page = client.fetch().unwrap_or_else(|lost| panic!("{version}: {lost:?}"));
            assert!(page.text.contains("200 OK"), "{version}: {}", page.text);
            assert_eq!((&*page.tls.protocol, page.tls.resumed), (name, is_resumed));
        }
    }
}
