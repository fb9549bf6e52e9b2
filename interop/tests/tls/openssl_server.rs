//! OpenSSL's server, and our client at it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use ropewalk_interop::{Peer, free_port, tool, wait_for_port};
use ropewalk_protocol::{Disconnect, TlsAlert, TlsFault};
use ropewalk_tls::{BadCertificate, Reason};

use crate::house::{Client, fetch, local};
use crate::papers::{ALWAYS, Papers};

fn command(papers: &Papers, who: &str, port: u16, more: &[&str]) -> Command {
    let mut openssl = Command::new(tool("openssl"));
    openssl.args(["s_server", "-accept", &format!("127.0.0.1:{port}")]);
    openssl.args(["-cert", &papers.text(&format!("{who}.crt"))]);
    openssl.args(["-key", &papers.text(&format!("{who}.key"))]);
    openssl.args(more);
    openssl
}

/// What is expected of a complaint.
type Expected = fn(&BadCertificate) -> bool;

/// `openssl s_server` that is this one, with a page for everybody.
fn s_server(papers: &Papers, who: &str, more: &[&str]) -> (Peer, u16) {
    let port = free_port().expect("a port");
    let peer = Peer::start(command(papers, who, port, more).arg("-www")).expect("it starts");
    wait_for_port(local(port)).expect("it listens");
    (peer, port)
}

#[test]
fn its_page_comes_in_both_versions_and_the_session_is_resumed() {
    let papers = Papers::new();
    for (more, name) in [
        (&["-tls1_3"][..], "TLSv1.3"),
        (&["-tls1_2"], "TLSv1.2"),
        (&["-tls1_2", "-no_ticket"], "TLSv1.2"),
    ] {
        let (_server, port) = s_server(&papers, "server", more);
        let client = Client::new(&papers.client(port, ""));
        for (is_resumed, word) in [(false, "New, "), (true, "Reused, ")] {
            let page = client.fetch().unwrap_or_else(|lost| panic!("{more:?}: {lost:?}"));
            assert_eq!((&*page.tls.protocol, page.tls.resumed), (name, is_resumed), "{more:?}");
            assert!(page.text.contains(word), "{more:?}: {}", page.text);
            assert_eq!(page.tls.peer_chain.len(), 1);
        }
    }
}

#[test]
fn groups_ciphers_and_application_protocols_are_agreed_on() {
    let papers = Papers::new();
    let more = ["-groups", "P-384", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"];
    let (_server, port) = s_server(&papers, "server", &[&more[..], &["-alpn", "h2,x"]].concat());
    let page = fetch(&papers.client(port, ":alpn=x,h2")).expect("a page");
    assert_eq!(page.tls.group.as_deref(), Some("secp384r1"), "it had to ask again");
    assert_eq!(page.tls.cipher, "TLS_CHACHA20_POLY1305_SHA256");
    assert_eq!(page.tls.alpn.as_deref(), Some(&b"h2"[..]));
}

#[test]
fn servers_that_are_not_who_they_should_be_are_told_apart() {
    let papers = Papers::new();
    papers.issue("old", &["localhost"], (14_610, 18_262), true);
    papers.issue("new", &["localhost"], (376_200, 741_442), true);
    papers.issue("other", &["example.com"], ALWAYS, true);
    papers.issue("client", &["localhost"], ALWAYS, false);
    let strangers = Papers::new();
    let cases: [(&str, &Papers, Expected, TlsAlert); 5] = [
        (
            "old",
            &papers,
            |bad| matches!(bad, BadCertificate::Expired { .. }),
            TlsAlert::CERTIFICATE_EXPIRED,
        ),
        (
            "new",
            &papers,
            |bad| matches!(bad, BadCertificate::NotYet { .. }),
            TlsAlert::CERTIFICATE_EXPIRED,
        ),
        (
            "other",
            &papers,
            |bad| matches!(bad, BadCertificate::WrongName { .. }),
            TlsAlert::BAD_CERTIFICATE,
        ),
        (
            "client",
            &papers,
            |bad| matches!(bad, BadCertificate::WrongUsage { .. }),
            TlsAlert::UNSUPPORTED_CERTIFICATE,
        ),
        (
            "server",
            &strangers,
            |bad| matches!(bad, BadCertificate::UnknownIssuer),
            TlsAlert::UNKNOWN_CA,
        ),
    ];
    for version in ["-tls1_2", "-tls1_3"] {
        for (who, theirs, is_expected, alert) in &cases {
            let (_server, port) = s_server(theirs, who, &[version]);
            let lost = fetch(&papers.client(port, "")).expect_err(who);
            let fault = TlsFault::Refused(*alert);
            assert_eq!(lost.why, Disconnect::Tls(fault), "{version} {who}: {lost:?}");
            let error = lost.cause.expect("a cause");
            let Reason::Certificate(bad, _) = error.reason() else { panic!("{who}: {error}") };
            assert!(is_expected(bad), "{version} {who}: {bad}");
        }
    }
}

#[test]
fn our_client_says_who_it_is() {
    let papers = Papers::new();
    let roots = papers.text("root.pem");
    for (version, alert) in
        [("-tls1_2", TlsAlert::HANDSHAKE_FAILURE), ("-tls1_3", TlsAlert::CERTIFICATE_REQUIRED)]
    {
        let more = [version, "-Verify", "3", "-verify_return_error", "-CAfile", &roots];
        let (_server, port) = s_server(&papers, "server", &more);
        let alice = format!(":cert={}", papers.quoted("alice.pem"));
        let page = fetch(&papers.client(port, &alice)).expect("a page");
        assert!(page.text.contains("DNS:alice"), "{version}: {}", page.text);
        let lost = fetch(&papers.client(port, "")).expect_err("it must");
        let fault = TlsFault::RefusedByPeer(alert);
        assert_eq!(lost.why, Disconnect::Tls(fault), "{version}: {lost:?}");
    }
}

#[test]
fn there_is_nothing_in_common_with_old_servers() {
    let papers = Papers::new();
    for more in [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
    ] {
        let (_server, port) = s_server(&papers, "server", more);
        let lost = fetch(&papers.client(port, "")).expect_err("it is too old");
        assert!(matches!(lost.why, Disconnect::Tls(_)), "{more:?}: {lost:?}");
    }
}

/// A child that does not outlive its test.
struct Talker(Child);

impl Drop for Talker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_that_would_renegotiate_is_told_no() {
    let papers = Papers::new();
    let port = free_port().expect("a port");
    let mut openssl = command(&papers, "server", port, &["-tls1_2", "-naccept", "1"]);
    let piped = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Talker(piped.spawn().expect("it starts"));
    let pipes = (server.0.stdin.take(), server.0.stdout.take(), server.0.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else { panic!("no pipes") };
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("ACCEPT")), "it listens");
    let client = papers.client(port, "");
    let asking = std::thread::Builder::new().spawn(move || fetch(&client)).expect("a thread");
    assert!(lines.any(|line| line.starts_with("GET ")), "our question");
    stdin.write_all(b"r\n").expect("it reads");
    // It goes on with what it has.
    let mut complaints = BufReader::new(stderr).lines().map_while(Result::ok);
    let is_told = complaints.any(|line| line.contains("no renegotiation"));
    drop(server);
    let outcome = asking.join().expect("an outcome");
    assert!(is_told, "the server heard no: {outcome:?}");
}
