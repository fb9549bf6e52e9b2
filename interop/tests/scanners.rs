//! Scanners at `ropewalk web` on TLS: what they know to be wrong with servers.

#[path = "tls/papers.rs"]
#[allow(dead_code, reason = "it is there for another suite, which uses all of it")]
mod papers;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use ropewalk_interop::{Peer, TempDir, tool};
use rustix::time::{ClockId, clock_gettime};

use crate::papers::Papers;

/// What is said of other things than the server: of the scanner's own library, and of a zone in DNS.
const NOT_OURS: [&str; 2] = ["engine_problem", "DNS_CAArecord"];

/// How long the program may take to be built.
const BUILDING: Duration = Duration::from_mins(20);

/// `ropewalk web` as anybody would start it, and where it listens.
fn web(folder: &TempDir, papers: &Papers) -> (Peer, SocketAddr) {
    folder.write("index.html", "hello").expect("a file");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--package", "ropewalk-cli", "--", "web", "--path"]);
    cargo.arg(folder.path()).args(["--log", "off", "--listen"]);
    let mut peer = Peer::start(cargo.arg(papers.server(""))).expect("it starts");
    let address = peer.line_within("https://", BUILDING).expect("its address");
    let address = address.trim_end_matches('/').parse().expect("an address");
    (peer, address)
}

#[test]
fn testssl_finds_nothing_worth_more_than_a_note() {
    let folder = TempDir::new("scan").expect("a folder");
    let papers = Papers::new();
    // Scanners do not like certificates that are good for ever.
    let today = clock_gettime(ClockId::Realtime).tv_sec as u64 / (24 * 60 * 60);
    papers.issue("server", &["localhost", "127.0.0.1"], (today - 1, today + 300), true);
    let (_web, address) = web(&folder, &papers);
    let report = folder.path().join("report.csv");
    let mut testssl = Command::new(tool("testssl"));
    testssl.args(["--warnings", "batch", "--color", "0", "--quiet", "--csvfile"]);
    testssl.arg(&report).args(["--protocols", "--std", "--fs", "--server-preference"]);
    testssl.args(["--server-defaults", "--vulnerable", "--add-ca"]);
    testssl.arg(papers.path("root.pem"));
    let output = testssl.arg(address.to_string()).current_dir(folder.path()).output();
    let said = String::from_utf8_lossy(&output.expect("it runs").stdout).into_owned();
    let report = std::fs::read_to_string(&report).expect("a report");
    // "id","fqdn/ip","port","severity","finding","cve","cwe"
    let rows = report.lines().skip(1).map(|row| row.trim_matches('"').split("\",\"").collect());
    let rows: Vec<Vec<&str>> = rows.collect();
    assert!(rows.len() > 40, "a whole report: {said}");
    let bad = rows.iter().filter(|row| !matches!(row[3], "OK" | "INFO"));
    // Its client at times hangs up before the tickets come, which follow the handshake in TLS 1.3.
    let too_fast = |row: &[&str]| row[3] == "WARN" && row[0] == "sessionresumption_ticket";
    let bad = bad.filter(|row| !NOT_OURS.contains(&row[0]) && !too_fast(row));
    let bad: Vec<_> = bad.collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn sslscan_finds_nothing_weak() {
    let folder = TempDir::new("sslscan").expect("a folder");
    let papers = Papers::new();
    let (_web, address) = web(&folder, &papers);
    let mut sslscan = Command::new(tool("sslscan"));
    let output = sslscan.args(["--no-colour", &address.to_string()]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    for protocol in ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"] {
        let row = said.lines().find(|line| line.starts_with(protocol)).expect(protocol);
        assert!(row.ends_with("disabled"), "{said}");
    }
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let row = said.lines().find(|line| line.starts_with(protocol)).expect(protocol);
        assert!(row.ends_with("enabled"), "{said}");
    }
    for word in [
        "Session renegotiation not supported",
        "TLSv1.3 not vulnerable to heartbleed",
        "TLSv1.2 not vulnerable to heartbleed",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let ciphers = said
        .lines()
        .filter(|line| ["Preferred", "Accepted"].iter().any(|word| line.starts_with(word)));
    let ciphers: Vec<_> = ciphers.collect();
    assert!(ciphers.len() >= 6, "{said}");
    let is_strong = |row: &&str| row.contains("GCM") || row.contains("CHACHA20");
    assert!(ciphers.iter().all(is_strong), "{ciphers:?}");
}
