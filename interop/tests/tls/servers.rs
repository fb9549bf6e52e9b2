//! Our client with their servers.

use std::path::Path;
use std::process::Command;

use ropewalk_deferred::Failure;
use ropewalk_endpoint::client_from_string;
use ropewalk_interop::{PATIENCE, Peer, free_port, python_folder, tool, wait_for_port};
use ropewalk_protocol::{Disconnect, TlsAlert, TlsFault, connect, timeout};
use ropewalk_tls::{TlsClient, Trust};

use crate::authority::Authority;
use crate::support::reactor;
use crate::talker::{Answer, Asker};

/// Says hello to who is at this port, as whom it is known under `name`.
fn ask(client: &TlsClient, port: u16, name: &str, until: &'static [u8]) -> Answer {
    let reactor = reactor();
    let place = client_from_string(&reactor, &format!("tcp:127.0.0.1:{port}")).expect("a place");
    let place = client.over(place, name).expect("a name");
    let (asker, answer) = Asker::new(b"hello\n", until);
    connect(&place, asker).on_result(drop);
    let answer = reactor.run_until(timeout(&reactor, PATIENCE, answer));
    answer.unwrap_or_else(|failure: Failure| panic!("{failure:?}"))
}

/// OpenSSL's server, which gives each line back in reverse.
fn s_server(authority: &Authority, more: &[&str]) -> (Peer, u16) {
    let port = free_port().expect("a port");
    let mut command = Command::new(tool("openssl"));
    command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-rev", "-quiet"]);
    command.args(["-cert", &authority.file("localhost.pem")]);
    command.args(["-key", &authority.file("localhost.key")]).args(more);
    let peer = Peer::start(&mut command).expect("openssl starts");
    wait_for_port(([127, 0, 0, 1], port).into()).expect("openssl listens");
    (peer, port)
}

fn client(trust: &Trust) -> TlsClient {
    TlsClient::new(trust).expect("a client")
}

#[test]
fn openssl_is_spoken_to_in_both_versions() {
    let authority = Authority::new();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (_server, port) = s_server(authority.server(), &[version]);
        let client = client(&authority.trust());
        for round in 0..3 {
            let answer = ask(&client, port, "localhost", b"olleh\n");
            assert_eq!((&answer.heard[..], answer.why), ("olleh\n", Disconnect::Closed));
            let info = answer.info.expect("it is encrypted");
            assert_eq!(info.protocol, name);
            assert_eq!(info.resumed, round > 0, "{name}, round {round}");
        }
        let by_address = ask(&client, port, "127.0.0.1", b"olleh\n");
        assert_eq!(by_address.heard, "olleh\n");
    }
}

#[test]
fn openssl_hears_who_we_are_and_what_we_speak() {
    let authority = Authority::new();
    authority.server().client();
    let root = authority.file("ca.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        let more =
            [version, "-Verify", "1", "-verify_return_error", "-CAfile", &root, "-alpn", "b,a"];
        let (_server, port) = s_server(&authority, &more);
        let known =
            client(&authority.trust()).identity(&authority.identity("alice")).alpn(["a", "b"]);
        let answer = ask(&known, port, "localhost", b"olleh\n");
        assert_eq!(answer.heard, "olleh\n");
        assert_eq!(answer.info.and_then(|info| info.alpn).as_deref(), Some(&b"b"[..]));
        let unknown = ask(&client(&authority.trust()), port, "localhost", b"olleh\n");
        assert_eq!(unknown.heard, "");
        let refused = matches!(unknown.why, Disconnect::Tls(TlsFault::RefusedByPeer(_)));
        assert!(refused, "{version}: {:?}", unknown.why);
    }
}

#[test]
fn openssl_is_refused_where_it_is_not_who_it_should_be() {
    let authority = Authority::new();
    let (_server, port) = s_server(authority.server(), &[]);
    let refused = |client: &TlsClient, name: &str| match ask(client, port, name, b"olleh\n").why {
        Disconnect::Tls(TlsFault::Refused(alert)) => alert,
        why => panic!("{why:?}"),
    };
    let good = client(&authority.trust());
    assert_eq!(refused(&good, "elsewhere.example"), TlsAlert::BAD_CERTIFICATE);
    assert_eq!(refused(&client(&Authority::new().trust()), "localhost"), TlsAlert::UNKNOWN_CA);
    assert_eq!(ask(&good, port, "localhost", b"olleh\n").heard, "olleh\n");
}

#[test]
fn python_and_twisted_are_spoken_to() {
    let authority = Authority::new();
    authority.server();
    let client = client(&authority.trust());
    for kind in ["ssl-server", "twisted-server"] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/tls.py");
        let mut command = Command::new(python_folder().join("bin/python3"));
        command.arg(script).arg(kind);
        command.args([authority.path("localhost.pem"), authority.path("localhost.key")]);
        let mut server = Peer::start(&mut command).expect("Python starts");
        let port = server.line_after("port ").expect("it listens");
        let port = port.trim().parse().expect("a number");
        for _ in 0..2 {
            let answer = ask(&client, port, "localhost", b"HELLO\n");
            assert_eq!((&answer.heard[..], answer.why), ("HELLO\n", Disconnect::Closed), "{kind}");
            assert_eq!(answer.info.expect("it is encrypted").protocol, "TLSv1.3");
        }
    }
}
