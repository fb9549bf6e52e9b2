//! A browser, which keeps passwords and cookies in its own way.

use ropewalk_interop::{TempDir, chromium};

use crate::{house, url};

/// What is on the page in the end.
fn shown(url: &str) -> String {
    let profile = TempDir::new("chromium").expect("a folder");
    let mut command = chromium(&profile);
    let output = command.args(["--virtual-time-budget=10000", "--dump-dom", url]).output();
    let output = output.expect("chromium runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn chromium_says_who_it_is() {
    let house = house();
    for path in ["/basic", "/md5", "/sha256", "/digest", "/all", "/quoted"] {
        let page = shown(&format!("http://alice:rabbit@{}{path}", house.address));
        assert!(page.contains("alice sent 0"), "{path}: {page}");
    }
    let page = shown(&format!("http://alice:hare@{}/digest", house.address));
    assert!(!page.contains("alice sent"), "{page}");
}

#[test]
fn chromium_keeps_a_session_that_no_script_and_no_other_page_gets_at() {
    let house = house();
    let page = shown(&url(&house, "/session/form"));
    assert!(page.contains("user Some(\"alice\")") && page.contains("[]"), "{page}");
    // The same form on a page of another host, which sends it here.
    let target = url(&house, "/session/set");
    let elsewhere = format!("http://localhost:{}/session/form?{target}", house.port());
    let page = shown(&elsewhere);
    assert!(page.contains("403") && !page.contains("alice"), "{page}");
}
