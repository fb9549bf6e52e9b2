//! A reactor in the loops of GTK, Qt, Python's asyncio and `GNUstep`: a window with a button, or a page, and a
//! page that the same thread serves.
//!
//! The programs are those of `foreign/`, a workspace of its own, which is built here; windows are shown to an
//! X server without a screen, and clicked at.

#[path = "loops/build.rs"]
mod build;
#[path = "loops/screen.rs"]
mod screen;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use ropewalk_interop::{PATIENCE, Peer, TempDir, tool};

use crate::build::{artifact, build};
use crate::screen::Screen;

/// Asks for a path, and gives the last line of the answer.
#[track_caller]
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer.lines().last().expect("a line").to_owned()
}

/// How much time of the processor's a process has used, in hundredths of a second.
fn processor_time(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
    let fields: Vec<_> = stat.rsplit(") ").next().expect("a name").split(' ').collect();
    let number = |index: usize| fields[index].parse::<u64>().expect("a number");
    number(11) + number(12)
}

/// For a second nothing comes over a connection, and the process does next to nothing.
#[track_caller]
fn assert_sleeps(id: u32, address: SocketAddr) {
    let mut idle = TcpStream::connect(address).expect("somebody listens");
    idle.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    let before = processor_time(id);
    idle.read(&mut [0]).expect_err("nobody speaks first");
    let used = processor_time(id) - before;
    assert!(used < 30, "{used} hundredths of a second for nothing");
}

/// The page is served while the window is there, a click asks for it too, and nothing spins.
fn window_that_asks(program: &std::path::Path, title: &str, picture: &str) {
    let screen = Screen::open();
    let mut command = Command::new(program);
    screen.show(&mut command);
    let mut window = Peer::start(&mut command).expect("the program starts");
    let address = window.listening().expect("it serves its page");
    let shown = screen.window(title);
    assert_eq!(get(address, "/"), "You are visitor 1.");
    for visitor in [2, 4] {
        screen.click(&shown, 180, 70);
        let text = window.line_after("shown ").expect("the click asks for the page");
        assert_eq!(text, format!("You are visitor {visitor}."));
        assert_eq!(get(address, "/"), format!("You are visitor {}.", visitor + 1));
    }
    screen.picture(&shown, picture);
    assert_sleeps(window.id(), address);
    screen.click(&shown, 180, 220);
    window.line_after("over").expect("what is left ends in order");
    assert!(window.wait().expect("an end").success());
}

#[test]
fn a_button_of_gtk_asks_a_page_on_the_same_thread() {
    build(&["-p", "ropewalk-glib", "--example", "window"]);
    window_that_asks(&artifact("examples/window"), "Ropewalk in GTK", "gtk.png");
}

#[test]
fn a_button_of_qt_asks_a_page_on_the_same_thread() {
    build(&["-p", "ropewalk-qt-window"]);
    window_that_asks(&artifact("ropewalk-qt-window"), "Ropewalk in Qt", "qt.png");
}

#[test]
fn asyncio_serves_beside_a_page_of_ours() {
    build(&["-p", "ropewalk-python"]);
    let folder = TempDir::new("asyncio").expect("a folder");
    let module = folder.path().join("ropewalk_asyncio.so");
    std::fs::copy(artifact("libropewalk_asyncio.so"), module).expect("a module");
    let example = build::folder().join("python/example.py");
    let mut python = Command::new(tool("python3"));
    let mut python =
        Peer::start(python.arg(example).env("PYTHONPATH", folder.path())).expect("it starts");
    let ours = python.listening().expect("our page is served");
    let theirs = python.line_after("asyncio ").expect("asyncio serves too");
    let theirs: SocketAddr = theirs.parse().expect("an address");
    for visitor in 1..=20 {
        assert_eq!(get(ours, "/"), format!("You are visitor {visitor}."));
        assert_eq!(get(theirs, "/"), format!("asyncio's visitor {visitor}"));
    }
    get(theirs, "/stop");
    let turns =
        python.line_after("over after ").expect("the reactor ends, and with it the program");
    let turns: u32 = turns.strip_suffix(" turns").expect("a number").parse().expect("a number");
    // Accepting, receiving, the end and its time-out, twenty times: a host that spins has thousands.
    assert!(turns < 400, "{turns} turns for 20 requests");
    assert!(python.wait().expect("an end").success());
}

#[test]
fn a_run_loop_of_gnustep_serves_a_page() {
    build(&["-p", "ropewalk-gnustep", "--example", "page"]);
    let mut page =
        Peer::start(Command::new(artifact("examples/page")).arg("4").stderr(Stdio::inherit()))
            .expect("the program starts");
    let address = page.listening().expect("it serves its page");
    assert_eq!(page.line_after("shown ").expect("it asks itself"), "You are visitor 1.");
    for visitor in 2..=20 {
        assert_eq!(get(address, "/"), format!("You are visitor {visitor}."));
    }
    assert_sleeps(page.id(), address);
    page.line_after("over").expect("a timer of the reactor's ends it");
    assert!(page.wait().expect("an end").success());
}
