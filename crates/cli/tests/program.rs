//! The program as a person uses it.

#[path = "program/applications.rs"]
mod applications;
#[path = "program/daemons.rs"]
mod daemons;
#[path = "program/logins.rs"]
mod logins;
#[cfg(unix)]
#[path = "program/operators.rs"]
mod operators;
#[path = "program/places.rs"]
mod places;
#[path = "program/programs.rs"]
mod programs;
#[path = "program/proxies.rs"]
mod proxies;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "program/sandbox.rs"]
mod sandbox;
#[path = "program/several.rs"]
mod several;
#[path = "program/site.rs"]
mod site;
#[path = "program/small.rs"]
mod small;
#[path = "program/upgrades.rs"]
mod upgrades;
#[path = "program/words.rs"]
mod words;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A directory that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ropewalk-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.join(name), bytes).unwrap();
        self
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program while it serves.
struct Served {
    child: Child,
    /// What it printed first.
    places: Vec<String>,
}

impl Served {
    fn web(folder: &Folder, listen: &[&str], more: &[&str]) -> Self {
        let mut arguments = vec!["web", "--path", folder.path().to_str().unwrap()];
        arguments.extend(more);
        for endpoint in listen {
            arguments.extend(["--listen", endpoint]);
        }
        Self::start(&arguments, listen.len())
    }

    /// Starts the program, which says of so many places that it serves there.
    fn start(arguments: &[&str], places: usize) -> Self {
        let mut command = program();
        command.args(arguments);
        Self::of(command, places)
    }

    /// Starts this command, which says of so many places that it serves there.
    fn of(mut command: Command, places: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let places = (0..places).map(|_| lines.next().unwrap().unwrap()).collect();
        Self { child, places }
    }

    fn connect(&self) -> TcpStream {
        let host = self.places[0].trim_start_matches("http://").trim_end_matches('/');
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it; answers its exit status and what it logged.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal(Signal::INT);
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ropewalk"));
    command.stdin(Stdio::null()).env_remove("ROPEWALK_LOG");
    // No socket for operators is left behind by those that are killed.
    command.env("XDG_RUNTIME_DIR", "/nowhere");
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// Says `request` and reads until the other side hangs up.
fn talk(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const ANYWHERE: &str = "tcp:0:interface=127.0.0.1";

#[test]
fn a_directory_is_browsed_on_a_port_that_was_free() {
    let folder = Folder::new("browse").with("a.txt", "hello").with(".secret", "no");
    let served = Served::web(&folder, &[ANYWHERE], &[]);
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        talk(served.connect(), &request)
    };
    let listing = get("/");
    assert!(listing.starts_with("HTTP/1.1 200 ") && listing.contains("a.txt"), "{listing}");
    assert!(!listing.contains("secret"), "{listing}");
    let file = get("/a.txt");
    assert!(file.contains("text/plain") && file.ends_with("\r\n\r\nhello"), "{file}");
    assert!(get("/.secret").starts_with("HTTP/1.1 404 "));
    assert!(get("/../../etc/passwd").starts_with("HTTP/1.1 404 "));
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    assert!(lines[1].starts_with("127.0.0.1 - - ["), "{log}");
    assert!(lines[1].ends_with("] \"GET /a.txt HTTP/1.1\" 200 5 \"-\" \"-\""), "{log}");
}

#[test]
fn logs_cannot_be_forged() {
    let folder = Folder::new("forge");
    for (format, quoted) in [("common", r#""x\"y\\""#), ("json", r#""user_agent":"x\"y\\""#)] {
        let served = Served::web(&folder, &[ANYWHERE], &["--log", format]);
        let request = "GET / HTTP/1.0\r\nUser-Agent: x\"y\\\r\n\r\n";
        assert!(talk(served.connect(), request).starts_with("HTTP/1.1 200 "));
        let (_, log) = served.stop();
        assert!(log.contains(quoted) && log.lines().count() == 1, "{log}");
    }
}

#[test]
fn several_places_are_served_at_once() {
    let folder = Folder::new("several").with("a.txt", "hello");
    let socket = folder.path().join("web.sock");
    let unix = format!("unix:{}", socket.display());
    let served = Served::web(&folder, &[ANYWHERE, &unix], &["--log", "off"]);
    assert_eq!(served.places[1], unix);
    let request = "GET /a.txt HTTP/1.0\r\n\r\n";
    assert!(talk(UnixStream::connect(&socket).unwrap(), request).ends_with("hello"));
    assert!(talk(served.connect(), request).ends_with("hello"));
    let (status, log) = served.stop();
    assert_eq!((status, log.as_str()), (Some(0), ""));
    assert!(!socket.exists(), "the socket goes with the program");
}

#[test]
fn a_directory_is_served_over_tls_by_nobody_in_particular() {
    let folder = Folder::new("tls").with("a.txt", "hello");
    let served =
        Served::web(&folder, &["tls:0:interface=127.0.0.1:self-signed"], &["--log", "off"]);
    let place = served.places[0].clone();
    let host = place.strip_prefix("https://").unwrap().trim_end_matches('/');
    // Whoever speaks in the clear is told so in TLS; the suites speak to it as they should.
    let answer = {
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 50], "decode_error");
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("SHA-256 fingerprint is ") && log.lines().count() == 1, "{log}");
}

#[test]
fn requests_in_progress_are_finished_before_the_end() {
    let big = vec![b'x'; 40 << 20];
    let folder = Folder::new("progress").with("big", &big);
    let mut served = Served::web(&folder, &[ANYWHERE], &["--log", "off"]);
    let mut stream = served.connect();
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut start = [0; 1000];
    stream.read_exact(&mut start).unwrap();
    let idle = served.connect();
    served.signal(Signal::TERM);
    // An idle connection is closed at once; this also waits until the signal was taken.
    assert_eq!(talk(idle, ""), "");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let head = start.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(start.len() - head + rest.len(), big.len());
    drop(stream);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_served_is_said_in_one_line_with_the_next_step() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("tcp:{}:interface=127.0.0.1", holder.local_addr().unwrap().port());
    let served = Folder::new("busy");
    let folder = served.path().to_str().unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["web", "--path", folder, "--listen", &busy], "choose another port"),
        (&["web", "--path", "/no/such/place"], "name another with --path"),
        (&["web", "--path", env!("CARGO_BIN_EXE_ropewalk")], "is not a directory"),
        (&["web", "--path", folder, "--listen", "8080"], "did you mean \"tcp:8080\"?"),
        (&["web", "--path", folder, "--listen", "tcp:80a0"], "not a number from 0 to 65535"),
        (
            &["web", "--path", folder, "--listen", "tcp:1:interface=192.0.2.1"],
            "leave interface= out",
        ),
    ];
    for (arguments, step) in cases {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("ropewalk: ") && said.contains(step), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_teaches_and_wrong_usage_is_told_apart() {
    let help = run(&["help", "web"]);
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success());
    for word in ["Examples:", "ropewalk web --path", "unix:PATH", "Exit status:"] {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
    for wrong in [&["web", "--port", "80"][..], &["wob"], &["web", "--log", "loud"]] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?}");
    }
    let near = run(&["wob"]);
    assert!(String::from_utf8_lossy(&near.stderr).contains("'web'"));
}

#[test]
fn a_directory_is_served_by_each_driver() {
    let listed = run(&["reactors"]);
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success() && text.contains("epoll (default)\n"), "{text}");
    let folder = Folder::new("drivers").with("a.txt", "hello");
    for name in ["epoll", "io_uring", "poll", "select", "portable"] {
        assert!(text.contains(&format!("\n{name}\n")) || name == "epoll", "{text}");
        let served = Served::web(&folder, &[ANYWHERE], &["--reactor", name]);
        let answer = talk(served.connect(), "GET /a.txt HTTP/1.0\r\n\r\n");
        assert!(answer.ends_with("\r\n\r\nhello"), "{name}: {answer}");
        assert_eq!(served.stop().0, Some(0), "{name}");
    }
    let unknown = run(&["web", "--reactor", "kqueue-or-so"]);
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(1), "{said}");
    assert!(said.contains("io_uring") && said.lines().count() == 1, "{said}");
}
