//! A program's socket.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk_control::logs::{Form, Log};
use ropewalk_control::{
    CannotAsk, Control, Line, OPERATORS_MAX, Places, QUESTION_MAX, Subject, ask,
};
use ropewalk_deferred::deferred;
use ropewalk_metrics::Loops;
use ropewalk_protocol::{Address, Conn, Port, Protocol, call_later};
use ropewalk_reactor::{DriverKind, Reactor, TcpListenOptions};
use rustix::process::geteuid;
use serde_json::{Value, json};
use tempfile::TempDir;

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_mins(1);

fn reactor() -> Reactor {
    let driver = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(driver).unwrap()
}

/// Says nothing, and is stuck for as long as whoever sent it something likes.
struct Patient {
    until: mpsc::Receiver<()>,
}

impl Protocol for Patient {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {
        let _span = tracing::info_span!("thinking", about = "it").entered();
        let _ = self.until.recv();
    }
}

/// A program with a loop of its own, and its socket.
struct Program {
    folder: TempDir,
    control: Option<Control>,
    at: SocketAddr,
    /// Ends what holds its loop up.
    go_on: mpsc::Sender<()>,
    looping: Option<thread::JoinHandle<()>>,
}

impl Program {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (go_on, until) = mpsc::channel();
        let (said, heard) = mpsc::channel();
        let looping = thread::Builder::new().spawn(move || {
            let log = Log::new(Form::Text, "info").to(|_| ());
            let (subscriber, levels, spans) = log.into_parts();
            let reactor = reactor();
            let loops = Loops::new();
            loops.add(&reactor);
            let mut until = Some(until);
            let patient = move |_: &Address| {
                Some(Patient { until: until.take().unwrap_or_else(|| mpsc::channel().1) })
            };
            let options = TcpListenOptions::default();
            let port = reactor.listen_tcp(ANYWHERE, options, Box::new(patient)).unwrap();
            let _waits = call_later(&reactor, PATIENCE, || ());
            reactor.follow_deferreds(true);
            let (never, answer) = deferred::<()>();
            let _task = reactor.spawn(answer);
            said.send((loops, levels, spans, port.address().ip().unwrap())).unwrap();
            tracing::subscriber::with_default(subscriber, || {
                reactor.run_without_signals().unwrap();
            });
            drop(never);
        });
        let (loops, levels, spans, at) = heard.recv().unwrap();
        let subject = Subject::new("patient", "1.2.3", &loops)
            .with_levels(levels)
            .with_spans(spans)
            .on_reload(|| Ok("read again".to_owned()));
        let control = Control::start(&folder.path().join("control"), subject).unwrap();
        let (control, looping) = (Some(control), Some(looping.unwrap()));
        Self { folder, control, at, go_on, looping }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("control")
    }

    fn ask(&self, question: &Value) -> Result<Value, CannotAsk> {
        ask(&self.path(), question)
    }

    fn refusal(&self, question: &Value) -> String {
        self.ask(question).unwrap_err().to_string()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.go_on.send(());
        let _ = self.ask(&json!({ "ask": "drain" }));
        let looping = self.looping.take().map(thread::JoinHandle::join);
        drop(self.control.take());
        assert!(thread::panicking() || looping.is_none_or(|ended| ended.is_ok()));
    }
}

#[test]
fn a_program_tells_of_itself_and_does_as_it_is_told() {
    let program = Program::start();
    let _peer = TcpStream::connect(program.at).unwrap();
    let rows = loop {
        let answer = program.ask(&json!({ "ask": "connections" })).unwrap();
        let rows = answer["connections"].as_array().unwrap().clone();
        if !rows.is_empty() {
            break rows;
        }
    };
    let row = &rows[0];
    assert_eq!((&row["listener"], &row["state"]), (&program.at.to_string().into(), &"open".into()));
    assert!(row["protocol"].as_str().unwrap().ends_with("::Patient"), "{row}");
    let status = program.ask(&json!({ "ask": "status" })).unwrap();
    assert_eq!(
        (&status["program"]["name"], &status["loops"][0]["connections"]),
        (&"patient".into(), &1.into())
    );
    assert_eq!(status["listeners"][0]["open"], 1);
    assert!(status["loops"][0]["stuck"].is_null(), "{status}");
    let dump = program.ask(&json!({ "ask": "dump" })).unwrap();
    let lines: Vec<&str> = dump["loops"][0]["under_way"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    let has =
        |words: &[&str]| lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["a listener at", &program.at.to_string()]), "{lines:?}");
    assert!(has(&["a call due in", "socket.rs:"]), "{lines:?}");
    assert!(has(&["the task ", "socket.rs:"]), "{lines:?}");
    assert!(has(&["a deferred without a result for ", ", made at ", "socket.rs:"]), "{lines:?}");
    assert_eq!(dump["loops"][0]["deferreds"], true);
    let dump = program.ask(&json!({ "ask": "dump", "deferreds": false })).unwrap();
    assert_eq!(dump["loops"][0]["deferreds"], false);
    assert!(!dump.to_string().contains("a deferred without"), "{dump}");

    assert_eq!(program.ask(&json!({ "ask": "log-level" })).unwrap()["log"], "info");
    let changed = program.ask(&json!({ "ask": "log-level", "set": "a=debug" })).unwrap();
    assert_eq!(changed["log"], "info,a=debug");
    assert_eq!(program.ask(&json!({ "ask": "reload" })).unwrap()["said"], "read again");

    let question = json!({ "ask": "kill", "loop": row["loop"], "id": row["id"] });
    program.ask(&question).unwrap();
    loop {
        let answer = program.ask(&json!({ "ask": "connections" })).unwrap();
        if answer["connections"].as_array().unwrap().is_empty() {
            break;
        }
    }
    assert_eq!(program.refusal(&question), "that connection is gone already");
}

#[test]
fn what_cannot_be_asked_is_said() {
    let program = Program::start();
    for (question, told) in [
        (json!({ "ask": "dance" }), "\"dance\" is nothing to ask: ask status, connections"),
        (json!({}), "\"ask\" is to be status"),
        (json!([1]), "\"ask\" is to be status"),
        (json!({ "ask": "kill" }), "\"id\" is to be a connection's"),
        (json!({ "ask": "kill", "id": "1" }), "\"loop\" is to be the number"),
        (json!({ "ask": "kill", "id": "1", "loop": 9 }), "there is no loop 9"),
        (json!({ "ask": "dump", "deferreds": "on" }), "\"deferreds\" is to be true or false"),
        (json!({ "ask": "log-level", "set": 7 }), "\"set\" is to be such as"),
        (json!({ "ask": "log-level", "set": "x=loud" }), "\"loud\" is no level: there are off,"),
    ] {
        let refusal = program.refusal(&question);
        assert!(refusal.starts_with(told), "{question}: {refusal}");
    }
    // After what is no JSON it goes on; after what has no end it does not.
    let stream = UnixStream::connect(program.path()).unwrap();
    let mut lines = BufReader::new(&stream).lines();
    (&stream).write_all(b"what?\n{\"ask\":\"log-level\"}\n").unwrap();
    assert!(lines.next().unwrap().unwrap().contains("that is no JSON"));
    assert!(lines.next().unwrap().unwrap().contains("\"ok\":true"));
    // It may hang up before all is written.
    let _ = (&stream).write_all(&vec![b'x'; QUESTION_MAX as usize]);
    assert!(lines.next().unwrap().unwrap().contains("a question has at most 65536 bytes"));
}

#[test]
fn a_loop_that_is_stuck_is_told_of_by_protocol_listener_and_span() {
    let program = Program::start();
    let mut peer = TcpStream::connect(program.at).unwrap();
    peer.write_all(b"hello").unwrap();
    let stuck = loop {
        let status = program.ask(&json!({ "ask": "status" })).unwrap();
        let stuck = status["loops"][0]["stuck"].clone();
        if stuck["spans"].is_array() {
            break stuck;
        }
    };
    let runs = stuck["runs"].as_str().unwrap();
    assert!(runs.contains("::Patient") && runs.contains(&program.at.to_string()), "{stuck}");
    assert_eq!(stuck["spans"][0], "thinking{about=it}");
    assert!(stuck["thread_is"].as_str().unwrap().starts_with("asleep"), "{stuck}");
    assert!(stuck["for_ms"].as_f64().unwrap() > 0.0);
    // All else that wants the loop says so too, and nothing waits for ever.
    let connections = program.ask(&json!({ "ask": "connections" })).unwrap();
    assert_eq!(connections["held_up"][0]["stuck"]["runs"], stuck["runs"]);
    let kill = json!({ "ask": "kill", "loop": 0, "id": "1" });
    assert_eq!(program.refusal(&kill), "loop 0 is stuck, and hears of nothing");
    program.go_on.send(()).unwrap();
    while !program.ask(&json!({ "ask": "status" })).unwrap()["loops"][0]["stuck"].is_null() {}
}

#[test]
fn the_socket_is_its_owners_alone() {
    let program = Program::start();
    let mode = fs::symlink_metadata(program.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if !geteuid().is_root() {
        // Nobody else can be played here.
        return;
    }
    let as_somebody_else = |path: &Path| {
        let path = path.to_owned();
        let other = thread::Builder::new().spawn(move || {
            // Of this thread alone.
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
            ask(&path, &json!({ "ask": "status" })).unwrap_err().to_string()
        });
        other.unwrap().join().unwrap()
    };
    fs::set_permissions(program.folder.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(as_somebody_else(&program.path()), "its socket is another user's");
    // Also where the file lets anybody in, the kernel says who comes.
    fs::set_permissions(program.path(), Permissions::from_mode(0o666)).unwrap();
    assert_eq!(
        as_somebody_else(&program.path()),
        "this program is user 0's, and you are user 65534"
    );
    program.ask(&json!({ "ask": "status" })).unwrap();
}

#[test]
fn operators_are_counted() {
    let program = Program::start();
    let status = json!({ "ask": "status" });
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..OPERATORS_MAX {
        let mut line = Line::to(&program.path()).unwrap();
        line.ask(&status).unwrap();
        lines.push(line);
    }
    assert_eq!(program.refusal(&status), "too many operators are here already");
    drop(lines);
    while program.ask(&status).is_err() {}
}

#[test]
fn a_place_is_taken_only_where_nobody_answers() {
    let folder = tempfile::tempdir().unwrap();
    let subject = || Subject::new("a", "1", &Loops::new());
    let path = folder.path().join("control");
    fs::write(&path, "a file").unwrap();
    let told = Control::start(&path, subject()).unwrap_err().to_string();
    assert!(told.ends_with("is there, and is no socket"), "{told}");
    fs::remove_file(&path).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    let first = Control::start(&path, subject()).unwrap();
    let told = Control::start(&path, subject()).unwrap_err().to_string();
    assert!(told.ends_with("is another program's: it answers there"), "{told}");
    drop(first);
    assert!(!path.exists());
}

#[test]
fn a_successor_takes_a_place_over_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let subject = |version: &str| Subject::new("a", version, &Loops::new());
    let version = || {
        let status = ask(&path, &json!({ "ask": "status" })).unwrap();
        status["program"]["version"].as_str().unwrap().to_owned()
    };
    let first = Control::start(&path, subject("1")).unwrap();
    let second = Control::take_over(&path, subject("2")).unwrap();
    assert_eq!(version(), "2");
    // Nobody comes to the first any more, which ends all the same, and leaves the other's file.
    drop(first);
    assert_eq!(version(), "2");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(second);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // Where nobody is, it begins; what is no socket stays.
    drop(Control::take_over(&path, subject("3")).unwrap());
    fs::write(&path, "a file").unwrap();
    let told = Control::take_over(&path, subject("4")).unwrap_err().to_string();
    assert!(told.ends_with("is there, and is no socket"), "{told}");
}

#[test]
fn programs_of_one_user_are_told_apart_and_dead_ones_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let places = Places::at(folder.path().join("new"));
    assert_eq!(places.programs().unwrap(), []);
    let path = places.own("web").unwrap();
    let mode = fs::metadata(places.folder()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // No process has so high a number.
    let dead = places.folder().join("web-2147483647.sock");
    drop(UnixListener::bind(&dead).unwrap());
    fs::write(places.folder().join("notes.txt"), "").unwrap();
    let control = Control::start(&path, Subject::new("web", "1", &Loops::new())).unwrap();
    let found = places.programs().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].pid), ("web", std::process::id()));
    assert!(!dead.exists());
    drop(control);
    assert_eq!(places.programs().unwrap(), []);
    fs::set_permissions(places.folder(), Permissions::from_mode(0o777)).unwrap();
    let told = places.own("web").unwrap_err().to_string();
    assert!(told.ends_with("is a place where others may write"), "{told}");
}
