//! `ropewalk web` as anybody would start it.

use std::process::Command;
use std::time::Duration;

use ropewalk_interop::{Peer, TempDir};

use crate::house::run;

/// How long the program may take to be built.
const BUILDING: Duration = Duration::from_mins(20);

/// A page that says what it came by.
const PAGE: &str = "<!doctype html><title>page</title><p id=by>nothing yet</p><script>
const by = performance.getEntriesByType('navigation')[0].nextHopProtocol;
Promise.all([...Array(20).keys()].map(n => fetch('large.bin?' + n).then(a => a.arrayBuffer()))).then(all => {
  const size = all.reduce((sum, one) => sum + one.byteLength, 0);
  document.getElementById('by').textContent = `${by} ${size}`;
});
</script>";

pub(crate) struct Web {
    pub(crate) folder: TempDir,
    pub(crate) clear: String,
    pub(crate) encrypted: String,
    peer: Peer,
}

impl Web {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new("web").expect("a folder");
        folder.write("index.html", PAGE).expect("a file");
        folder.write("hello.txt", "hello, file\n").expect("a file");
        folder.write("large.bin", large()).expect("a file");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["run", "--quiet", "--package", "ropewalk-cli"]);
        // Measured where it is built for use.
        if std::env::var_os("ROPEWALK_RELEASE").is_some() {
            cargo.arg("--release");
        }
        cargo.args(["--", "web", "--upload"]);
        cargo.args(["--log", "off", "--listen", "tcp:0:interface=127.0.0.1"]);
        cargo.args(["--listen", "tls:0:interface=127.0.0.1:self-signed", "--path"]);
        let mut peer = Peer::start(cargo.arg(folder.path())).expect("it starts");
        let clear = format!("http://{}", peer.line_within("http://", BUILDING).expect("a place"));
        let encrypted = format!("https://{}", peer.line_after("https://").expect("a place"));
        Self { folder, clear, encrypted, peer }
    }

    /// The place of a file, in the clear and encrypted.
    pub(crate) fn urls(&self, file: &str) -> [String; 2] {
        [&self.clear, &self.encrypted].map(|place| format!("{place}{file}"))
    }

    /// The number by which the system knows the program.
    pub(crate) fn id(&self) -> u32 {
        self.peer.id()
    }

    /// The part of a place behind the scheme.
    pub(crate) fn authority(place: &str) -> &str {
        place.split("//").nth(1).expect("an authority").trim_end_matches('/')
    }
}

/// Bytes that tell their place.
pub(crate) fn large() -> Vec<u8> {
    (0..1_234_567).map(|index: usize| (index / 256 + index) as u8).collect()
}

/// What a program prints that succeeds.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> String {
    let output = run(command, b"").expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {told}{said}", output.status);
    said
}
