//! A browser, which shows what people see.

use std::path::Path;

use ropewalk_interop::{TempDir, chromium};

use crate::server::Server;

/// What Chromium says with these words.
fn say(profile: &TempDir, words: &[&str]) -> Vec<u8> {
    let output = chromium(profile).args(words).output().expect("chromium runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn chromium_shows_a_folder() {
    let server = Server::start();
    std::fs::create_dir(server.folder.path().join("inner")).expect("a folder");
    let profile = TempDir::new("chromium").expect("a folder");
    let url = server.url("/files/");

    let page = say(&profile, &["--dump-dom", &url]);
    let page = String::from_utf8(page).expect("text");
    for name in ["hello.txt", "large.bin", "näme &amp; &lt;b&gt;.txt", "inner"] {
        assert!(page.contains(&format!("<bdi>{name}</bdi>")), "{name} is not on the page: {page}");
    }

    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("http-listing.png");
    // One of an earlier run proves nothing.
    let _ = std::fs::remove_file(&picture);
    let target = format!("--screenshot={}", picture.display());
    say(&profile, &[&target, "--window-size=900,600", &url]);
    let bytes = std::fs::read(&picture).expect("a picture");
    assert!(bytes.starts_with(b"\x89PNG"));
    // Of an empty page it would be some three thousand bytes.
    assert!(bytes.len() > 8000, "{} bytes are too few for a listing", bytes.len());
}
