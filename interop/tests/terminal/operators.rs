//! Operators at their terminals.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ropewalk_interop::TempDir;

use crate::program::program;
use crate::pseudo::Terminal;

/// What is said to a program that runs already.
pub(crate) const VERBS: [&str; 6] = ["status", "top", "log-level", "drain", "reload", "dump"];

/// An example of these, typed while a program serves.
pub(crate) fn beside_a_program(example: &str) -> String {
    format!(
        "sh -c 'ropewalk web --log off >/dev/null 2>&1 </dev/null & \
         until ropewalk status >/dev/null 2>&1; do :; done; \
         {example}; told=$?; kill $! 2>/dev/null; wait; exit $told'"
    )
}

/// Types what such an example wants, and looks at how it ends.
pub(crate) fn check_example(terminal: &mut Terminal, verb: &str, example: &str) {
    if verb == "top" {
        terminal.wait_for("q ends");
        terminal.type_in("q");
    }
    let status = terminal.wait();
    let seen = terminal.seen();
    assert_eq!(status, Some(0), "{example}: {seen}");
    assert!(!seen.contains("ropewalk: "), "{example}: {seen}");
}

/// A program that serves, with its socket in a folder of its own.
struct Served {
    child: Child,
    place: String,
}

impl Served {
    fn start(folder: &TempDir, name: &str) -> Self {
        let mut command = Command::new(program());
        command.args(["simple", name, "--listen", "tcp:0:interface=127.0.0.1", "--control"]);
        command.arg(folder.path().join(name));
        Self::of(command)
    }

    /// A command that serves in one place.
    fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut place = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        lines.read_line(&mut place).expect("where it serves");
        Self { child, place: place.trim_end().to_owned() }
    }
}

impl Served {
    fn place(&self) -> &str {
        self.place.trim_start_matches("http://").trim_end_matches('/')
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn top_shows_connections_sorts_and_filters_them_and_cuts_one() {
    let folder = TempDir::new("top").expect("a folder");
    let served = Served::start(&folder, "discard");
    let mut peers: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(&served.place).expect("a connection")).collect();
    let names: Vec<String> =
        peers.iter().map(|peer| peer.local_addr().expect("an address").to_string()).collect();
    std::io::Write::write_all(&mut peers[1], &[b'x'; 5000]).expect("it is sent");

    let socket = folder.path().join("discard");
    let typed = format!("ropewalk top --every 0.2 --control {}", socket.display());
    let mut terminal = Terminal::new(folder.path(), &typed);
    terminal.wait_for("3 connections, by AGE");
    terminal.wait_for("\x1b[?1049h");
    for name in &names {
        terminal.wait_for(name);
    }
    terminal.wait_for("4.9 KiB");
    terminal.wait_for("LISTENER");

    terminal.type_in("s");
    terminal.wait_for("by RECEIVED");
    // The one that has sent something is on top now: it is the chosen one.
    terminal.forget();
    terminal.type_in("k");
    terminal.wait_for(&format!("cut the connection of {}? y, or any other key", names[1]));
    terminal.type_in("n");
    terminal.wait_for("3 connections, by RECEIVED");
    terminal.type_in("ky");
    terminal.wait_for(&format!("{} is cut", names[1]));
    terminal.wait_for("2 connections, by RECEIVED");
    let mut rest = Vec::new();
    // Whether it hears of an end or of a reset, it is over.
    let _ = std::io::Read::read_to_end(&mut peers[1], &mut rest);

    terminal.type_in(&format!("/{}\r", names[2]));
    terminal.wait_for(&format!("1 connections, with {:?}", names[2]));
    terminal.forget();
    // What is typed before it was seen would be one key with it.
    terminal.type_in("/\x1b");
    terminal.wait_for("2 connections, by RECEIVED");
    terminal.type_in("r");
    terminal.type_in("q");
    assert_eq!(terminal.wait(), Some(0), "{}", terminal.seen());
    assert!(terminal.seen().contains("\x1b[?1049l"), "the screen is as it was before");
}

#[test]
fn top_ends_with_its_program() {
    let folder = TempDir::new("top-end").expect("a folder");
    let served = Served::start(&folder, "echo");
    let socket = folder.path().join("echo");
    let typed = format!("ropewalk top --every 0.2 --control {}", socket.display());
    let mut terminal = Terminal::new(folder.path(), &typed);
    terminal.wait_for("0 connections");
    drop(served);
    assert_eq!(terminal.wait(), Some(1), "{}", terminal.seen());
    terminal.wait_for("the program is gone");
    assert!(terminal.seen().contains("\x1b[?1049l"), "the screen is as it was before");
}

/// What `dump` shows, once it shows all of this.
fn dumped(folder: &TempDir, socket: &Path, wanted: &[&str]) -> String {
    let typed = format!("ropewalk dump --control {}", socket.display());
    loop {
        let mut terminal = Terminal::new(folder.path(), &typed);
        assert_eq!(terminal.wait(), Some(0), "{}", terminal.seen());
        let shown = terminal.seen();
        let has = |words: &&str| {
            shown.lines().any(|line| words.split("...").all(|part| line.contains(part)))
        };
        if wanted.iter().all(has) {
            return shown;
        }
    }
}

#[test]
fn dump_lists_deferreds_and_timers_with_the_places_where_they_were_made() {
    let folder = TempDir::new("dump").expect("a folder");
    // Whoever is behind the proxy never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a place");
    let text = format!(
        "[services.web]\nlisten = 'tcp:0:interface=127.0.0.1'\nlog = 'off'\nproxy = \
         ['/=http://{}']\n[services.fails]\nkind = 'process'\ncommand = ['false']\n",
        silent.local_addr().expect("an address")
    );
    folder.write("app.toml", text).expect("a file");
    let socket = folder.path().join("socket");
    let mut command = Command::new(program());
    command.args(["run", "app.toml", "--control"]).arg(&socket).current_dir(folder.path());
    let served = Served::of(command);
    let mut peer = TcpStream::connect(served.place()).expect("a connection");
    std::io::Write::write_all(&mut peer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it is asked");
    let _asked = silent.accept().expect("it is passed on");
    let wanted = [
        // The loop's own file would say nothing of who asked.
        "a call due in ..., asked for at ...service/src/process.rs:",
        "a deferred without a result for ..., listened to at ..., made at ...http/src/client/",
        "a connection from ..., asked for at ",
    ];
    let shown = dumped(&folder, &socket, &wanted);
    assert!(!shown.contains("reactor/src/reactor.rs"), "{shown}");
    let typed = format!("ropewalk dump --deferreds off --control {}", socket.display());
    let mut terminal = Terminal::new(folder.path(), &typed);
    assert_eq!(terminal.wait(), Some(0), "{}", terminal.seen());
    terminal.wait_for("deferreds are not listed; `ropewalk dump --deferreds on` has them listed");
    assert!(!terminal.seen().contains("a deferred without"), "{}", terminal.seen());
}

#[test]
fn slips_of_operators_are_told() {
    let folder = TempDir::new("slips").expect("a folder");
    let nowhere = folder.path().join("nobody");
    for (typed, status, told) in [
        (format!("ropewalk status --control {}", nowhere.display()), 1, "it does not answer: "),
        (format!("ropewalk top --control {}", nowhere.display()), 1, "it does not answer: "),
        ("ropewalk top --every soon".to_owned(), 2, "a number of seconds from 0.1 to 3600"),
        ("ropewalk log-level a b".to_owned(), 2, "unexpected argument"),
        ("ropewalk drian".to_owned(), 2, "drain"),
        ("ropewalk simple echo --log-format xml".to_owned(), 2, "possible values"),
    ] {
        let mut terminal = Terminal::new(folder.path(), &typed);
        assert_eq!(terminal.wait(), Some(status), "{typed}: {}", terminal.seen());
        assert!(crate::plain(&terminal.seen()).contains(told), "{typed}: {}", terminal.seen());
    }
}
