//! What stands beside the program: a crate that adds to it, a Debian package, a unit for systemd, a dashboard, an image.

#[path = "contrib/dashboard.rs"]
mod dashboard;
#[path = "contrib/image.rs"]
mod image;
#[path = "contrib/package.rs"]
mod package;
#[path = "contrib/plugin.rs"]
mod plugin;
#[path = "support/program.rs"]
mod program;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ropewalk_interop::{PATIENCE, Peer};

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder").to_owned()
}

/// What a program printed and what it complained of.
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Runs it to its end.
#[track_caller]
fn run(command: &mut Command) -> Output {
    // No socket for operators is left in anybody's folder.
    command.env("XDG_RUNTIME_DIR", "/nowhere").output().expect("it runs")
}

/// Runs it to its end, which has to be a good one; what it printed.
#[track_caller]
fn ask(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// Starts a program that serves; the first line that it prints.
fn serve(command: &mut Command) -> (Peer, String) {
    let mut served = Peer::start(command.env("XDG_RUNTIME_DIR", "/nowhere")).expect("it runs");
    let place = served.line_after("").expect("where it serves");
    (served, place)
}

/// Says `request` at a place and reads to the end.
fn talk(place: &str, request: &str) -> String {
    let host = place.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("it is heard");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
