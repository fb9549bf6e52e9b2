//! `stdio:raw=yes` on a terminal, which is put back whatever becomes of the process; and serial lines.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use ropewalk_endpoint::{
    ClientDescription, SerialLine, ServerDescription, client_from_string, server_from_string,
};
use ropewalk_protocol::{Address, Conn, Disconnect, Protocol, connect, listen};
use ropewalk_reactor::{DriverKind, Reactor};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Tells a process that it is the one on the terminal.
const INNER: &str = "ROPEWALK_TERMINAL_INNER";

fn pair() -> (File, File, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near: OwnedFd = openpt(flags).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let path = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
    let no_ctty = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::RDWR;
    let far = rustix::fs::open(&*path, no_ctty, rustix::fs::Mode::empty()).unwrap();
    (near.into(), far.into(), path)
}

fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(kind).unwrap()
}

/// What the process on the terminal does with keys.
struct Keys;

impl Protocol for Keys {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"<up>");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        for key in data {
            match key {
                b'q' => conn.close(),
                b'x' => std::process::exit(3),
                b'a' => std::process::abort(),
                b'p' => panic!("on purpose"),
                key => conn.write(format!("<{key}>").as_bytes()),
            }
        }
    }
}

/// Runs on the terminal, if this is the process that does.
fn is_inner() -> bool {
    let Some(how) = std::env::var_os(INNER) else { return false };
    let reactor = reactor();
    let place = server_from_string(&reactor, "stdio:raw=yes").unwrap();
    let port = reactor.run_until(listen(&*place, |_: &Address| Some(Keys))).unwrap();
    if how == "ends" {
        reactor.run_until(port.over().unwrap()).unwrap();
        // The terminal is put back by the thread that passes output on, which has ended by now; what comes
        // after is told by the standard error.
        eprintln!("over");
        loop {
            std::thread::park();
        }
    }
    if how == "signals" {
        reactor.run().unwrap();
    } else {
        reactor.run_without_signals().unwrap();
    }
    true
}

/// A process on a terminal, and the terminal's other end.
struct Screen {
    child: Child,
    near: File,
    /// Keeps the terminal as it is when the process has gone.
    far: File,
    before: LocalModes,
}

impl Screen {
    fn new(test: &str, how: &str) -> Self {
        let (near, far, _) = pair();
        let mut cooked = tcgetattr(&far).unwrap();
        cooked.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&far, OptionalActions::Now, &cooked).unwrap();
        let before = tcgetattr(&far).unwrap().local_modes;
        assert!(before.contains(LocalModes::ICANON | LocalModes::ISIG));
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(INNER, how)
            .stdin(far.try_clone().unwrap())
            .stdout(far.try_clone().unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut screen = Self { child, near, far, before };
        screen.await_text("<up>");
        assert!(screen.is_raw());
        // Whoever shares the terminal, as a shell does, can go on reading and writing it in its own way.
        let flags = rustix::fs::fcntl_getfl(&screen.far).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        screen
    }

    fn await_text(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.contains(text) {
            let mut buffer = [0; 1024];
            let count = self.near.read(&mut buffer).unwrap();
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.near.write_all(keys).unwrap();
    }

    fn is_raw(&self) -> bool {
        let now = tcgetattr(&self.far).unwrap().local_modes;
        !now.intersects(LocalModes::ICANON | LocalModes::ISIG)
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn end(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        assert_eq!(tcgetattr(&self.far).unwrap().local_modes, self.before, "{status}");
        status
    }
}

const RAW: &str = "keys_come_at_once_and_the_terminal_is_put_back";

#[test]
fn keys_come_at_once_and_the_terminal_is_put_back() {
    if is_inner() {
        return;
    }
    let mut screen = Screen::new(RAW, "plain");
    // Neither a line's end nor Ctrl-C, Ctrl-Z or Ctrl-D means anything.
    screen.press(b"k");
    screen.await_text("<107>");
    screen.press(b"\x03\x1a\x04\r");
    screen.await_text("<3><26><4><13>");
    screen.press(b"x");
    assert_eq!(screen.end().code(), Some(3));

    let mut screen = Screen::new(RAW, "plain");
    screen.press(b"a");
    assert_eq!(screen.end().signal(), Some(6));

    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let screen = Screen::new(RAW, "plain");
        kill_process(screen.id(), signal).unwrap();
        assert_eq!(screen.end().signal(), Some(signal.as_raw()));
    }
    // Where the reactor takes the signal, it ends in its own way.
    for signal in [Signal::INT, Signal::TERM] {
        let screen = Screen::new(RAW, "signals");
        kill_process(screen.id(), signal).unwrap();
        assert_eq!(screen.end().code(), Some(0));
    }
}

#[test]
fn a_connection_that_ends_or_panics_puts_the_terminal_back_while_the_process_goes_on() {
    if is_inner() {
        return;
    }
    let test = "a_connection_that_ends_or_panics_puts_the_terminal_back_while_the_process_goes_on";
    for key in [b"q", b"p"] {
        let mut screen = Screen::new(test, "ends");
        screen.press(key);
        let mut said = String::new();
        let mut errors = screen.child.stderr.take().unwrap();
        while !said.ends_with("over\n") {
            let mut byte = [0];
            assert_eq!(errors.read(&mut byte).unwrap(), 1, "{said}");
            said.push(char::from(byte[0]));
        }
        assert_eq!(tcgetattr(&screen.far).unwrap().local_modes, screen.before);
        screen.child.kill().unwrap();
        screen.child.wait().unwrap();
    }
}

#[test]
fn a_stopped_process_leaves_the_terminal_and_takes_it_back() {
    if is_inner() {
        return;
    }
    let test = "a_stopped_process_leaves_the_terminal_and_takes_it_back";
    let mut screen = Screen::new(test, "signals");
    for _ in 0..3 {
        kill_process(screen.id(), Signal::TSTP).unwrap();
        let (_, status) = waitpid(Some(screen.id()), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "{status:?}");
        assert!(!screen.is_raw());
        kill_process(screen.id(), Signal::CONT).unwrap();
        screen.press(b"k");
        // What is typed before it has gone on is given once the terminal is raw.
        screen.await_text("<107>");
        assert!(screen.is_raw());
    }
    kill_process(screen.id(), Signal::TERM).unwrap();
    assert_eq!(screen.end().code(), Some(0));
}

#[test]
fn serial_lines_are_written_and_read() {
    #[track_caller]
    fn check(string: &str, printed: &str) {
        let client: ClientDescription = string.parse().unwrap();
        assert_eq!(client.to_string(), printed);
        assert_eq!(printed.parse(), Ok(client));
        let server: ServerDescription = string.parse().unwrap();
        assert_eq!(server.to_string(), printed);
    }
    check("serial:/dev/ttyUSB0", "serial:/dev/ttyUSB0:9600");
    check("SERIAL:/dev/ttyUSB0:115200", "serial:/dev/ttyUSB0:115200");
    let all = "serial:/dev/x:baudrate=300:flow=software:stop=2:parity=odd:data=7";
    check(all, "serial:/dev/x:300:data=7:parity=odd:stop=2:flow=software");
    let line = SerialLine::new("/dev/x").unwrap().with_baud(300);
    assert_eq!((line.path(), line.baud()), ("/dev/x", 300));
    for wrong in ["serial:", "serial:/x:0", "serial:/x:+9", "serial:/x:9600:data=9"] {
        assert!(wrong.parse::<ClientDescription>().is_err(), "{wrong}");
    }
    let error = "serial:/x:parity=mark".parse::<ClientDescription>().unwrap_err();
    assert!(error.to_string().contains("neither none, even nor odd"), "{error}");
}

struct Upper(Option<Disconnect>);

impl Protocol for Upper {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(&data.to_ascii_uppercase());
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.0 = Some(why);
    }
}

#[test]
fn a_serial_line_serves_one_connection_and_is_connected_to() {
    for is_server in [true, false] {
        let reactor = reactor();
        let (mut near, far, path) = pair();
        let string = format!("serial:{path}:115200");
        let over = if is_server {
            let place = server_from_string(&reactor, &string).unwrap();
            let port = reactor.run_until(listen(&*place, |_: &Address| Some(Upper(None)))).unwrap();
            assert_eq!(port.address(), Address::Device(path.clone()));
            port.over()
        } else {
            let place = client_from_string(&reactor, &string).unwrap();
            let conn = reactor.run_until(connect(&*place, Upper(None))).unwrap();
            assert_eq!(conn.peer(), Address::Device(path.clone()));
            None
        };
        near.write_all(b"shout").unwrap();
        let other = std::thread::Builder::new()
            .spawn(move || {
                let mut answer = [0; 5];
                near.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"SHOUT");
            })
            .unwrap();
        // The thread's end hangs up.
        drop(far);
        while !other.is_finished() {
            reactor.turn(std::time::Duration::from_millis(10)).unwrap();
        }
        other.join().unwrap();
        if let Some(over) = over {
            reactor.run_until(over).unwrap();
        }
        let missing = client_from_string(&reactor, "serial:/dev/no_such_line").unwrap();
        let refused = reactor.run_until(connect(&*missing, Upper(None))).err().unwrap();
        assert!(refused.check::<Disconnect>().is_some(), "{refused:?}");
    }
}
