//! curl at our server.

use std::process::{Command, Output};

use ropewalk_interop::tool;

use crate::base::{House, run};
use crate::house::{said, telling};
use crate::papers::Papers;

fn curl(papers: &Papers, server: &House, more: &[&str]) -> Output {
    let port = server.port();
    let mut curl = Command::new(tool("curl"));
    curl.args(["-sS", "--max-time", "20", "--cacert", &papers.text("root.pem"), "--resolve"]);
    curl.arg(format!("localhost:{port}:127.0.0.1")).arg(format!("https://localhost:{port}/"));
    run(curl.args(more), b"").expect("curl runs")
}

#[test]
fn it_has_its_page_in_both_versions() {
    let papers = Papers::new();
    let server = telling(papers.server(":alpn=http/1.1"));
    for (version, name) in [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")] {
        let version = [&format!("--tlsv{version}"), "--tls-max", version];
        let page = said(&curl(&papers, &server, &version));
        let expected = format!("protocol {name}\n");
        assert!(page.contains(&expected) && page.contains("\nalpn http/1.1\n"), "{page}");
    }
    let output = curl(&papers, &server, &["--cacert", "/dev/null"]);
    assert!(!output.status.success(), "it knows no root: {}", said(&output));
}

#[test]
fn it_says_who_it_is() {
    let papers = Papers::new();
    let roots = papers.quoted("root.pem");
    let server = telling(papers.server(&format!(":client-ca={roots}")));
    let (cert, key) = (papers.text("alice.crt"), papers.text("alice.key"));
    let page = said(&curl(&papers, &server, &["--cert", &cert, "--key", &key]));
    assert!(page.contains("\nknown true\n"), "{page}");
    assert!(!curl(&papers, &server, &[]).status.success());
}
