//! A scanner for weaknesses looks at what `ropewalk web --listen tls:…` listens with.

mod support;

#[path = "support/house.rs"]
mod base;

use std::process::Command;

use ropewalk_http::files::Folder;
use ropewalk_http::{Directory, Site};
use ropewalk_interop::{TempDir, tool};

use base::{House, run};

/// What it says of its own OpenSSL, and not of the server.
const ABOUT_ITSELF: &str = "\"engine_problem\"";

#[test]
fn testssl_finds_nothing_to_complain_of() {
    let folder = TempDir::new("scanned").expect("a folder");
    folder.write("a.txt", "hello").expect("a file");
    let files = Folder::new(folder.path()).expect("a folder");
    let house = House::start("tls:0:self-signed:interface=127.0.0.1", |reactor| {
        Site::new(Directory::new(files, reactor.clone()))
    });
    let report = folder.path().join("report.json");
    let mut command = Command::new(tool("testssl"));
    // Protocols, ciphers, forward secrecy, weaknesses known by name.
    command.args(["--warnings", "batch", "--color", "0", "-p", "-s", "-f", "-U"]);
    command.arg("--jsonfile").arg(&report);
    command.args(["--ip", "127.0.0.1", &format!("localhost:{}", house.port())]);
    let output = run(&mut command, b"").expect("testssl runs");
    let shown = String::from_utf8_lossy(&output.stdout);
    let report = std::fs::read_to_string(&report).expect("a report");
    // An object each, of which these have the lines.
    let findings: Vec<&str> =
        report.split('}').filter(|part| part.contains("\"severity\"")).collect();
    assert!(findings.len() > 40, "it has not looked: {shown}");
    let severity = |finding: &&&str| {
        !["\"OK\"", "\"INFO\""].iter().any(|fine| {
            finding.lines().any(|line| line.contains("\"severity\"") && line.contains(fine))
        })
    };
    let bad: Vec<&&str> = findings
        .iter()
        .filter(severity)
        .filter(|finding| !finding.contains(ABOUT_ITSELF))
        .collect();
    assert!(bad.is_empty(), "{bad:?}\n{shown}");
}
