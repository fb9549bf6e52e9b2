//! Their clients with our server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ropewalk_interop::{python_folder, tool};
use ropewalk_protocol::Address;
use ropewalk_tls::{Identities, Policy, TlsServer};

use crate::authority::Authority;
use crate::base::{House, run};
use crate::talker::Talker;

/// A server of ours that talks, under a policy.
fn talker(
    authority: &Authority,
    policy: impl FnOnce(Policy, &Authority) -> Policy + Send + 'static,
) -> House {
    let identity = authority.identity("localhost");
    let policy = policy(Policy::new(), authority);
    House::start("tcp:0:interface=127.0.0.1", move |_| {
        let identities = Identities::new(policy).expect("a policy");
        identities.add(&identity).expect("an identity");
        TlsServer::new(&identities).wrap(|_: &Address| Some(Talker::default()))
    })
}

fn plain(authority: &Authority) -> House {
    talker(authority, |policy, _| policy)
}

fn s_client(house: &House, authority: &Authority, more: &[&str], input: &[u8]) -> (bool, String) {
    let mut command = Command::new(tool("openssl"));
    command.args(["s_client", "-connect", &house.address.to_string(), "-ign_eof"]);
    command.args(["-CAfile", &authority.file("ca.pem"), "-verify_return_error"]);
    command.args(["-servername", "localhost", "-verify_hostname", "localhost"]).args(more);
    said(&run(&mut command, input).expect("openssl runs"))
}

fn said(output: &Output) -> (bool, String) {
    let [out, complaints] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    (output.status.success(), format!("{out}{complaints}"))
}

#[test]
fn openssl_speaks_both_versions() {
    let authority = Authority::new();
    let house = plain(authority.server());
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (success, text) = s_client(&house, &authority, &[version], b"hello\nwho\nbye\n");
        assert!(success && text.contains("Verify return code: 0 (ok)"), "{text}");
        let agreed = format!("agreed {name} name=localhost alpn=- chain=0 resumed=false");
        assert!(text.contains("hello\n") && text.contains(&agreed), "{text}");
        assert!(text.contains("farewell"), "{text}");
    }
    for old in ["-tls1", "-tls1_1"] {
        let more = [old, "-cipher", "ALL:@SECLEVEL=0"];
        let (success, text) = s_client(&house, &authority, &more, b"who\nbye\n");
        assert!(!success && !text.contains("agreed"), "{old}: {text}");
    }
    let (_, text) = s_client(&house, &authority, &["-tls1_3"], b"who\nbye\n");
    assert!(text.contains("agreed"), "the others do not suffer: {text}");
}

#[test]
fn openssl_takes_up_its_sessions() {
    let authority = Authority::new();
    let house = plain(authority.server());
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let kept = authority.file(&format!("session{version}"));
        let (_, text) = s_client(&house, &authority, &[version, "-sess_out", &kept], b"who\nbye\n");
        assert!(text.contains("resumed=false"), "{text}");
        let (_, text) = s_client(&house, &authority, &[version, "-sess_in", &kept], b"who\nbye\n");
        assert!(text.contains(&format!("Reused, {name}")), "{text}");
        assert!(text.contains("resumed=true"), "{text}");
    }
}

#[test]
fn openssl_agrees_on_an_application_protocol() {
    let authority = Authority::new();
    let house = talker(authority.server(), |policy, _| policy.alpn(["imap", "pop3"]));
    let (_, text) = s_client(&house, &authority, &["-alpn", "pop3,imap"], b"who\nbye\n");
    assert!(text.contains("ALPN protocol: imap") && text.contains("alpn=imap"), "{text}");
    let (success, text) = s_client(&house, &authority, &["-alpn", "ftp"], b"who\nbye\n");
    assert!(!success && text.contains("no application protocol"), "{text}");
}

#[test]
fn openssl_shows_who_it_is() {
    let authority = Authority::new();
    authority.server().client();
    let stranger = Authority::new();
    stranger.client();
    let house = talker(&authority, |policy, authority| policy.require_clients(authority.trust()));
    for version in ["-tls1_2", "-tls1_3"] {
        let shown = |who: &Authority| {
            let (certificate, key) = (who.file("alice.pem"), who.file("alice.key"));
            let more = [version, "-cert", &certificate, "-key", &key];
            s_client(&house, &authority, &more, b"who\nbye\n").1
        };
        let known = shown(&authority);
        // It shows its root as well.
        assert!(known.contains("agreed") && !known.contains("chain=0"), "{known}");
        let refused = shown(&stranger);
        assert!(refused.contains("alert unknown ca"), "{refused}");
        let (_, text) = s_client(&house, &authority, &[version], b"who\nbye\n");
        assert!(!text.contains("agreed") && text.contains("alert"), "{text}");
    }
}

#[test]
fn openssl_cannot_renegotiate() {
    let authority = Authority::new();
    let house = plain(authority.server());
    let mut child = Command::new(tool("openssl"))
        .args(["s_client", "-connect", &house.address.to_string(), "-tls1_2"])
        .args(["-CAfile", &authority.file("ca.pem"), "-servername", "localhost"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    stdin.write_all(b"who\n").expect("it reads");
    let mut seen = String::new();
    while !seen.contains("agreed") {
        let mut line = String::new();
        assert!(out.read_line(&mut line).expect("it speaks") > 0, "{seen}");
        seen += &line;
    }
    // A line that begins with an R is a wish to negotiate anew.
    stdin.write_all(b"R\n").expect("it reads");
    // It ends by itself, as the wish is refused.
    let status = child.wait().expect("it ends");
    let mut complaint = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut complaint).expect("text");
    assert!(!status.success() && complaint.contains("no renegotiation"), "{complaint}");
    drop(stdin);
    let (success, text) = s_client(&house, &authority, &[], b"who\nbye\n");
    assert!(success && text.contains("agreed"), "the others go on: {text}");
}

#[test]
fn gnutls_speaks_both_versions() {
    let authority = Authority::new();
    let house = plain(authority.server());
    for (priority, name) in
        [("NORMAL:-VERS-ALL:+VERS-TLS1.2", "TLSv1.2"), ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "TLSv1.3")]
    {
        let mut command = Command::new(tool("gnutls-cli"));
        command.args(["--x509cafile", &authority.file("ca.pem"), "--priority", priority]);
        command.args(["--port", &house.port().to_string(), "localhost"]);
        let (success, text) = said(&run(&mut command, b"who\nbye\n").expect("gnutls-cli runs"));
        assert!(success && text.contains("The certificate is trusted"), "{text}");
        assert!(text.contains(&format!("agreed {name} name=localhost")), "{text}");
    }
}

#[test]
fn curl_trusts_whom_it_is_told_to() {
    let authority = Authority::new();
    let identity = authority.server().identity("localhost");
    let house = House::start("tcp:0:interface=127.0.0.1", move |_| {
        let identities = Identities::new(Policy::new().alpn(["http/1.1"])).expect("a policy");
        identities.add(&identity).expect("an identity");
        let site = ropewalk_http::Site::new(|request: ropewalk_http::Request| {
            let tls = request.body().tls().expect("it is encrypted");
            format!("{} {}\n", tls.protocol, request.uri())
        });
        TlsServer::new(&identities).wrap(site)
    });
    let url = format!("https://localhost:{}/page", house.port());
    let curl = |more: &[&str]| {
        let mut command = Command::new(tool("curl"));
        command.args(["--silent", "--show-error", "--ipv4"]).args(more).arg(&url);
        said(&run(&mut command, b"").expect("curl runs"))
    };
    let root = authority.file("ca.pem");
    for (version, name) in [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")] {
        let (success, text) = curl(&["--cacert", &root, "--tls-max", version]);
        assert!(success && text == format!("{name} /page\n"), "{text}");
    }
    let (success, text) = curl(&[]);
    assert!(!success && text.contains("certificate"), "{text}");
}

/// Runs the script of the Python side.
fn script(arguments: &[&str]) -> (bool, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/tls.py");
    let mut command = Command::new(python_folder().join("bin/python3"));
    said(&run(command.arg(script).args(arguments), b"").expect("Python runs"))
}

#[test]
fn python_and_twisted_talk_with_us() {
    let authority = Authority::new();
    authority.server().client();
    let house = talker(&authority, |policy, authority| policy.ask_clients(authority.trust()));
    let (port, root) = (house.port().to_string(), authority.file("ca.pem"));
    let alice = (authority.file("alice.pem"), authority.file("alice.key"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let (success, text) = script(&["ssl-client", &port, &root, version]);
        assert!(success && text.contains(&format!("agreed {version}")), "{text}");
        assert!(text.contains("chain=0"), "{text}");
    }
    let (success, text) = script(&["ssl-client", &port, &root, "TLSv1.3", &alice.0, &alice.1]);
    assert!(success && !text.contains("chain=0"), "{text}");
    let (success, text) = script(&["twisted-client", &port, &root]);
    assert!(success && text.contains("agreed TLSv1.3 name=localhost"), "{text}");
}
