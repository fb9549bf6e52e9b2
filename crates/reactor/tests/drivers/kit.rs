//! What the tests of the drivers share.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use ropewalk_protocol::{Address, Clock as _, Conn, Disconnect, Port, Protocol, call_later, seat};
use ropewalk_reactor::{ConnectOptions, DriverKind, ListeningPort, Reactor, TcpListenOptions};

/// When a test gives up: far above what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a test of each of the functions for each driver: `epoll::name`, `poll::name` and so on. A
/// driver that this machine has not got is passed over, and said to be.
///
/// With `alone` before them, each runs in a process of its own, so that it can count what the
/// process has open. With `apart`, that process has a network of its own: the loopback interface, and
/// one of the number [`APART`] whose address is `fe80::1`.
macro_rules! on_each_driver {
    (alone $($name:ident),* $(,)?) => { $crate::kit::on_each_driver!(@all alone [$($name)*]); };
    (apart $($name:ident),* $(,)?) => { $crate::kit::on_each_driver!(@all apart [$($name)*]); };
    ($($name:ident),* $(,)?) => { $crate::kit::on_each_driver!(@all on [$($name)*]); };
    (@all $how:ident $names:tt) => {
        $crate::kit::on_each_driver!(@ $how epoll Epoll $names);
        $crate::kit::on_each_driver!(@ $how io_uring IoUring $names);
        $crate::kit::on_each_driver!(@ $how poll Poll $names);
        $crate::kit::on_each_driver!(@ $how select Select $names);
        $crate::kit::on_each_driver!(@ $how portable Portable $names);
    };
    (@ $how:ident $module:ident $kind:ident [$($name:ident)*]) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    let path = concat!(module_path!(), "::", stringify!($name));
                    $crate::kit::$how(ropewalk_reactor::DriverKind::$kind, path, super::$name);
                }
            )*
        }
    };
}
pub(crate) use on_each_driver;

/// Set in the process of a test that runs alone.
const ALONE: &str = "ROPEWALK_TEST_ALONE";

/// Runs a test on a driver, if the machine has it and `ROPEWALK_REACTOR` names no other.
pub(crate) fn on(kind: DriverKind, _path: &str, test: fn(DriverKind)) {
    if DriverKind::from_environment().unwrap().is_some_and(|only| only != kind) {
        return eprintln!("passed over: another driver's turn");
    }
    match kind.availability() {
        Ok(()) => test(kind),
        Err(why) => eprintln!("passed over: {why}"),
    }
}

/// The same in a process of its own.
pub(crate) fn alone(kind: DriverKind, path: &str, test: fn(DriverKind)) {
    if std::env::var_os(ALONE).is_some() {
        return on(kind, path, test);
    }
    run_again(Command::new(std::env::current_exe().unwrap()), path);
}

/// The number of the interface in a network of a test's own.
pub(crate) const APART: u32 = 77;

/// Makes such a network, waits until there is a way to its groups, then runs a program in it.
const NETWORK: &str = "ip link set lo up && ip link add tie0 index 77 type veth peer name tie1 && \
    ip link set tie0 addrgenmode none && ip addr add fe80::1/64 dev tie0 nodad && \
    ip link set tie1 up && ip link set tie0 up && \
    until ip -6 route get ff02::1 oif tie0 >/dev/null 2>&1; do :; done && exec \"$@\"";

/// The same in a process with a network of its own, where the system lets us have one.
pub(crate) fn apart(kind: DriverKind, path: &str, test: fn(DriverKind)) {
    if std::env::var_os(ALONE).is_some() {
        return on(kind, path, test);
    }
    let network = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "sh", "-c", NETWORK, "sh"]);
        command
    };
    match network().arg("true").output() {
        Ok(output) if output.status.success() => {
            let mut command = network();
            command.arg(std::env::current_exe().unwrap());
            run_again(command, path);
        }
        refused => eprintln!("passed over: no network of its own: {refused:?}"),
    }
}

/// Runs this program again, by `command`, for one test alone.
fn run_again(mut command: Command, path: &str) {
    let (_, name) = path.split_once("::").unwrap();
    let output = command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
}

pub(crate) fn reactor(kind: DriverKind) -> Reactor {
    // What a ring had is freed some time after it was closed: a busy kernel may lack the memory for another one.
    for _ in 0..100 {
        let reactor = Reactor::with_driver(kind).unwrap();
        if reactor.driver() == kind.name() {
            return reactor;
        }
        reactor.turn(Duration::from_millis(20)).unwrap();
    }
    panic!("another driver takes the place of {}", kind.name());
}

pub(crate) fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Listens somewhere, with a protocol of `make` for each connection.
pub(crate) fn listen<P: Protocol>(
    reactor: &Reactor,
    mut make: impl FnMut() -> P + 'static,
) -> (ListeningPort, SocketAddr) {
    let factory = Box::new(move |_: &Address| Some(make()));
    let port = reactor.listen_tcp(anywhere(), TcpListenOptions::default(), factory).unwrap();
    let address = port.address().ip().unwrap();
    (port, address)
}

pub(crate) fn connect<P: Protocol>(reactor: &Reactor, address: SocketAddr, protocol: P) {
    reactor.connect_tcp(address, ConnectOptions::default(), seat(protocol));
}

/// Turns until `done`.
#[track_caller]
pub(crate) fn turn_until(reactor: &Reactor, done: impl Fn() -> bool) {
    let late = Rc::new(Cell::new(false));
    let alarm = Rc::clone(&late);
    let alarm = call_later(reactor, PATIENCE, move || alarm.set(true));
    while !done() {
        assert!(!late.get(), "nothing came of it on {}", reactor.driver());
        reactor.turn(PATIENCE).unwrap();
    }
    alarm.cancel();
}

/// Turns until something is so that nothing wakes the loop for.
#[track_caller]
pub(crate) fn turn_often_until(reactor: &Reactor, done: impl Fn() -> bool) {
    let end = reactor.now() + PATIENCE;
    while !done() {
        assert!(reactor.now() < end, "nothing came of it on {}", reactor.driver());
        reactor.turn(Duration::from_millis(1)).unwrap();
    }
}

/// Turns until nothing more happens; answers whether it came to rest.
pub(crate) fn come_to_rest(reactor: &Reactor) {
    for _ in 0..5 {
        reactor.turn(Duration::from_millis(5)).unwrap();
    }
}

pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "whether a loop sleeps is seen on a clock only")]
    Instant::now()
}

pub(crate) fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    Builder::new().spawn(work).unwrap()
}

/// Bytes that are not the same everywhere.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(step).collect()
}

/// The descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A listener of the system's, and its address.
pub(crate) fn plain_listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(anywhere()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) fn read_all(mut stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).map(|_| received)
}

/// A new folder, which goes with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("ropewalk-drivers-{}-{number}-{name}", std::process::id());
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

/// Sends back what comes.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// What a [`Witness`] has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) conn: RefCell<Option<Conn<Witness>>>,
    pub(crate) made: Cell<usize>,
    pub(crate) data: RefCell<Vec<u8>>,
    pub(crate) ended: Cell<bool>,
    pub(crate) lost: Cell<Option<Disconnect>>,
}

impl Seen {
    pub(crate) fn conn(&self) -> Conn<Witness> {
        self.conn.borrow().clone().unwrap()
    }

    pub(crate) fn count(&self) -> usize {
        self.data.borrow().len()
    }
}

/// Remembers what it is told, and does nothing by itself but send a greeting.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) seen: Rc<Seen>,
    pub(crate) greeting: Vec<u8>,
    /// Leaves the stream open when the peer ends its own.
    pub(crate) stays: bool,
}

impl Witness {
    pub(crate) fn new(seen: &Rc<Seen>) -> Self {
        Self { seen: Rc::clone(seen), ..Self::default() }
    }
}

impl Protocol for Witness {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.seen.made.set(self.seen.made.get() + 1);
        self.seen.conn.replace(Some(conn.clone()));
        if !self.greeting.is_empty() {
            conn.write(&self.greeting);
        }
    }

    fn data_received(&mut self, _conn: &Conn<Self>, data: &[u8]) {
        assert!(self.seen.lost.get().is_none(), "data after the end");
        self.seen.data.borrow_mut().extend_from_slice(data);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.seen.ended.set(true);
        if !self.stays {
            conn.close();
        }
    }

    fn connection_lost(&mut self, _conn: &Conn<Self>, why: Disconnect) {
        assert!(self.seen.lost.replace(Some(why)).is_none(), "lost twice");
    }
}
