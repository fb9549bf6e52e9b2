//! A browser, which keeps passwords and cookies in its own way.

use std::process::{Command, Stdio};

use ropewalk_interop::{TempDir, tool};

use crate::{house, url};

/// What is on the page in the end.
fn chromium(url: &str) -> String {
    let profile = TempDir::new("chromium").expect("a folder");
    let mut command = Command::new(tool("chromium"));
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        "--virtual-time-budget=10000",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
    let output = command.stdin(Stdio::null()).output().expect("chromium runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn chromium_says_who_it_is() {
    let house = house();
    for path in ["/basic", "/md5", "/sha256", "/digest", "/all", "/quoted"] {
        let page = chromium(&format!("http://alice:rabbit@{}{path}", house.address));
        assert!(page.contains("alice sent 0"), "{path}: {page}");
    }
    let page = chromium(&format!("http://alice:hare@{}/digest", house.address));
    assert!(!page.contains("alice sent"), "{page}");
}

#[test]
fn chromium_keeps_a_session_that_no_script_and_no_other_page_gets_at() {
    let house = house();
    let page = chromium(&url(&house, "/session/form"));
    assert!(page.contains("user Some(\"alice\")") && page.contains("[]"), "{page}");
    // The same form on a page of another host, which sends it here.
    let target = url(&house, "/session/set");
    let elsewhere = format!("http://localhost:{}/session/form?{target}", house.port());
    let page = chromium(&elsewhere);
    assert!(page.contains("403") && !page.contains("alice"), "{page}");
}
