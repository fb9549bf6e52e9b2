//! What the tests share.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, Clock, Conn, Disconnect, Port, Protocol, seat};
use ropewalk_reactor::{
    ConnectOptions, DriverKind, ListeningPort, Reactor, ReactorError, TcpListenOptions,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// When a test gives up: far above what anything here takes, and no part of any result.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
pub(crate) fn reactor() -> Reactor {
    let reactor = open_reactor().unwrap();
    assert_eq!(reactor.driver(), driver().name(), "another driver took its place");
    reactor
}

/// The same where it may not succeed.
pub(crate) fn open_reactor() -> Result<Reactor, ReactorError> {
    Reactor::with_driver(driver())
}

fn driver() -> DriverKind {
    DriverKind::from_environment().unwrap().unwrap_or_default()
}

/// What a protocol is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Made,
    Data(Vec<u8>),
    Eof,
    Paused,
    Resumed,
    Lost(Disconnect),
}

type React = Box<dyn FnMut(&Conn<Witness>, &Note)>;

/// Writes down what it is told, then does what the test wants.
pub(crate) struct Witness {
    notes: Notes,
    react: React,
}

/// What a [`Witness`] wrote down.
#[derive(Clone, Default)]
pub(crate) struct Notes(Rc<RefCell<Vec<Note>>>);

impl Notes {
    pub(crate) fn add(&self, note: Note) {
        self.0.borrow_mut().push(note);
    }

    pub(crate) fn all(&self) -> Vec<Note> {
        self.0.borrow().clone()
    }

    pub(crate) fn has(&self, note: &Note) -> bool {
        self.0.borrow().contains(note)
    }

    /// All bytes, however they were cut.
    pub(crate) fn data(&self) -> Vec<u8> {
        let notes = self.0.borrow();
        let data = notes.iter().filter_map(|note| match note {
            Note::Data(data) => Some(data.as_slice()),
            _ => None,
        });
        data.collect::<Vec<_>>().concat()
    }

    /// Why it ended, if it has; fails if it was told so twice, or of anything afterwards.
    #[track_caller]
    pub(crate) fn lost(&self) -> Option<Disconnect> {
        let notes = self.0.borrow();
        let ends = notes.iter().filter(|note| matches!(note, Note::Lost(_))).count();
        match notes.last() {
            Some(Note::Lost(why)) => {
                assert_eq!(ends, 1, "{notes:?}");
                Some(*why)
            }
            _ => {
                assert_eq!(ends, 0, "{notes:?}");
                None
            }
        }
    }
}

/// A protocol that writes down what it is told and reacts as `react` does.
pub(crate) fn witness(react: impl FnMut(&Conn<Witness>, &Note) + 'static) -> (Witness, Notes) {
    let notes = Notes::default();
    (Witness { notes: notes.clone(), react: Box::new(react) }, notes)
}

/// One that does nothing but listen; its end of the connection is left open when the peer's ends.
pub(crate) fn listener() -> (Witness, Notes) {
    witness(|_, _| ())
}

impl Witness {
    fn note(&mut self, conn: &Conn<Self>, note: &Note) {
        self.notes.add(note.clone());
        (self.react)(conn, note);
    }
}

impl Protocol for Witness {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.note(conn, &Note::Made);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.note(conn, &Note::Data(data.to_vec()));
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.note(conn, &Note::Eof);
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        self.note(conn, &Note::Paused);
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.note(conn, &Note::Resumed);
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        self.note(conn, &Note::Lost(why));
    }
}

/// Says back what it hears, and closes when its peer does.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// A port of this machine that the system chooses.
pub(crate) fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Listens with what `build` makes.
pub(crate) fn serve<P: Protocol>(
    reactor: &Reactor,
    mut build: impl FnMut() -> P + 'static,
) -> (ListeningPort, SocketAddr) {
    let factory = Box::new(move |_: &Address| Some(build()));
    let port = reactor.listen_tcp(anywhere(), TcpListenOptions::default(), factory).unwrap();
    let address = port.address().ip().unwrap();
    (port, address)
}

/// Listens for one protocol; whoever comes later is turned away.
pub(crate) fn serve_one<P: Protocol>(reactor: &Reactor, protocol: P) -> SocketAddr {
    let mut protocol = Some(protocol);
    let factory = Box::new(move |_: &Address| protocol.take());
    let port = reactor.listen_tcp(anywhere(), TcpListenOptions::default(), factory).unwrap();
    port.address().ip().unwrap()
}

pub(crate) fn connect<P: Protocol>(reactor: &Reactor, address: SocketAddr, protocol: P) {
    reactor.connect_tcp(address, ConnectOptions::default(), seat(protocol));
}

/// Turns until `done`.
#[track_caller]
pub(crate) fn turn_until(reactor: &Reactor, mut done: impl FnMut() -> bool) {
    let end = reactor.now() + PATIENCE;
    while !done() {
        assert!(reactor.now() < end, "what the test waits for does not come: {reactor:?}");
        reactor.turn(PATIENCE).unwrap();
    }
}

/// Turns until nothing is left to be done at once; fails if that goes on for ever.
#[track_caller]
pub(crate) fn settle(reactor: &Reactor) {
    for _ in 0..10_000 {
        if is_quiet(reactor) {
            return;
        }
        reactor.turn(Duration::ZERO).unwrap();
    }
    panic!("the reactor is busy without end: {reactor:?}");
}

/// Whether neither the kernel nor the reactor has anything to do now: a loop would sleep.
pub(crate) fn is_quiet(reactor: &Reactor) -> bool {
    let descriptor = reactor.as_fd();
    let mut watched = [PollFd::new(&descriptor, PollFlags::IN)];
    let ready = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    ready == 0 && reactor.next_deadline() != Some(Duration::ZERO)
}

/// A witness on a reactor and a plain socket at the other end of its connection.
pub(crate) fn with_plain_peer(reactor: &Reactor, protocol: Witness, notes: &Notes) -> TcpStream {
    let peer = TcpListener::bind(anywhere()).unwrap();
    connect(reactor, peer.local_addr().unwrap(), protocol);
    turn_until(reactor, || notes.has(&Note::Made));
    let stream = peer.accept().unwrap().0;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

type Kept = Rc<RefCell<Option<Conn<Witness>>>>;

/// A witness whose handle the test has as well, with a plain socket at the other end.
pub(crate) fn held(
    reactor: &Reactor,
    mut react: impl FnMut(&Conn<Witness>, &Note) + 'static,
) -> (Conn<Witness>, Notes, TcpStream) {
    let kept = Kept::default();
    let keep = Rc::clone(&kept);
    let (client, notes) = witness(move |conn, note| {
        if *note == Note::Made {
            keep.replace(Some(conn.clone()));
        }
        react(conn, note);
    });
    let stream = with_plain_peer(reactor, client, &notes);
    let conn = kept.take().unwrap();
    (conn, notes, stream)
}

/// Writes to a socket until it takes no more; answers how much it took.
pub(crate) fn fill(stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut total = 0;
    loop {
        match io::Write::write(&mut &*stream, &[b'x'; 16 * 1024]) {
            Ok(count) => total += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    total
}

/// Bytes that show by themselves where they belong.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

/// A count that closures share.
#[derive(Clone, Default)]
pub(crate) struct Count(Rc<Cell<usize>>);

impl Count {
    pub(crate) fn add(&self) -> usize {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }

    pub(crate) fn get(&self) -> usize {
        self.0.get()
    }
}

/// A folder that is gone when the test is.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("ropewalk-reactor-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Names the scene that a process of its own is for.
pub(crate) const SCENE: &str = "ROPEWALK_SCENE";

/// Scenes that cannot share a process with other tests, by name.
const SCENES: &[(&str, fn())] = &[
    ("chance::games", crate::chance::games),
    ("places::nobody_asks_for_port_80", crate::places::nobody_asks_for_port_80),
    ("running::ten_thousand_reactors", crate::running::ten_thousand_reactors),
    ("scarcity::all_descriptors_are_taken", crate::scarcity::all_descriptors_are_taken),
    ("scarcity::nothing_to_connect_with", crate::scarcity::nothing_to_connect_with),
    ("signals::waits_for_a_signal", crate::signals::waits_for_a_signal),
    ("signals::never_gets_done", crate::signals::never_gets_done),
    ("signals::ran_before", crate::signals::ran_before),
    ("signals::runs_without_signals", crate::signals::runs_without_signals),
    ("signals::two_run", crate::signals::two_run),
    ("signals::looks_whether_it_ignores", crate::signals::looks_whether_it_ignores),
];

/// What a process is told that is to play a scene.
pub(crate) const SCENE_ARGUMENTS: [&str; 4] =
    ["kit::scenes_have_names_of_their_own", "--exact", "--nocapture", "--test-threads=1"];

/// A process that will play a scene of this binary.
pub(crate) fn scene(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(SCENE_ARGUMENTS).env(SCENE, name);
    command
}

/// Plays a scene of this binary in a process of its own.
pub(crate) fn child(name: &str) -> Child {
    let mut command = scene(name);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Plays a scene alone in its process, and fails as it does.
#[track_caller]
pub(crate) fn alone(scene: &str) {
    let output = child(scene).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{scene} fails: {}\n{text}{errors}", output.status);
    assert!(text.contains("1 passed"), "{scene} was not played: {text}");
}

/// In a process of its own, this is the scene that the process is for.
#[test]
fn scenes_have_names_of_their_own() {
    for (index, (name, _)) in SCENES.iter().enumerate() {
        assert!(SCENES[..index].iter().all(|(other, _)| other != name), "{name} stands twice");
    }
    if let Ok(wanted) = std::env::var(SCENE) {
        let (_, scene) =
            SCENES.iter().find(|(name, _)| *name == wanted).expect("a scene of this binary");
        scene();
    }
}

/// How many descriptors this process holds.
pub(crate) fn descriptors() -> usize {
    // One of them reads the list.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// How many threads this process has.
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}
