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
fn web(folder: &TempDir, papers: &Papers, more: &[&str]) -> (Peer, SocketAddr) {
    folder.write("index.html", "hello").expect("a file");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--package", "ropewalk-cli", "--", "web", "--path"]);
    cargo.arg(folder.path()).args(["--log", "off"]).args(more).arg("--listen");
    let mut peer = Peer::start(cargo.arg(papers.server(""))).expect("it starts");
    let address = peer.line_within("https://", BUILDING).expect("its address");
    let address = address.trim_end_matches('/').parse().expect("an address");
    (peer, address)
}

/// Has testssl look at a server; answers what is worth more than a note, of at least so many findings.
fn findings(
    folder: &TempDir,
    papers: &Papers,
    address: SocketAddr,
    looks: &[&str],
    least: usize,
) -> Vec<Vec<String>> {
    let report = folder.path().join("report.csv");
    let mut testssl = Command::new(tool("testssl"));
    testssl.args(["--warnings", "batch", "--color", "0", "--quiet", "--csvfile"]);
    testssl.arg(&report).args(looks).arg("--add-ca").arg(papers.path("root.pem"));
    let output = testssl.arg(address.to_string()).current_dir(folder.path()).output();
    let said = String::from_utf8_lossy(&output.expect("it runs").stdout).into_owned();
    let report = std::fs::read_to_string(&report).expect("a report");
    // "id","fqdn/ip","port","severity","finding","cve","cwe"
    let cells =
        |row: &str| row.trim_matches('"').split("\",\"").map(ToOwned::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = report.lines().skip(1).map(cells).collect();
    assert!(rows.len() >= least, "a whole report: {said}");
    // Its client at times hangs up before the tickets come, which follow the handshake in TLS 1.3.
    let too_fast = |row: &[String]| row[3] == "WARN" && row[0] == "sessionresumption_ticket";
    let bad = rows.into_iter().filter(|row| !matches!(&*row[3], "OK" | "INFO"));
    bad.filter(|row| !NOT_OURS.contains(&&*row[0]) && !too_fast(row)).collect()
}

/// Scanners do not like certificates that are good for ever.
fn issue_for_a_year(papers: &Papers) {
    let today = clock_gettime(ClockId::Realtime).tv_sec as u64 / (24 * 60 * 60);
    papers.issue("server", &["localhost", "127.0.0.1"], (today - 1, today + 300), true);
}

#[test]
fn testssl_finds_nothing_worth_more_than_a_note() {
    let folder = TempDir::new("scan").expect("a folder");
    let papers = Papers::new();
    issue_for_a_year(&papers);
    let (_web, address) = web(&folder, &papers, &[]);
    let looks = [
        "--protocols",
        "--std",
        "--fs",
        "--server-preference",
        "--server-defaults",
        "--vulnerable",
    ];
    let bad = findings(&folder, &papers, address, &looks, 40);
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn testssl_finds_the_fields_that_a_site_is_told_to_send() {
    let folder = TempDir::new("fields").expect("a folder");
    let papers = Papers::new();
    issue_for_a_year(&papers);
    // What a site wants of browsers is its owner's to say.
    let fields = [
        "Strict-Transport-Security: max-age=31536000; includeSubDomains",
        "Content-Security-Policy: default-src 'self'",
        "X-Frame-Options: DENY",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
    ];
    let more: Vec<_> = fields.iter().flat_map(|field| ["--header", field]).collect();
    let (_web, address) = web(&folder, &papers, &more);
    let bad = findings(&folder, &papers, address, &["--headers"], 8);
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn sslscan_finds_nothing_weak() {
    let folder = TempDir::new("sslscan").expect("a folder");
    let papers = Papers::new();
    let (_web, address) = web(&folder, &papers, &[]);
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
