//! System calls that fail now and then, by strace.

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::{fmt, fs};

use ropewalk_interop::{Peer, TempDir, leave_out, tool};
use rustix::process::{Pid, Signal, kill_process};

use crate::exchange::{End, exchange};
use crate::scenes::play;
use crate::support::reactor;

/// How many exchanges there are at once, and one after the other.
const CROWD: usize = 6;
const ROUNDS: usize = 4;
/// How many that are.
pub(crate) const EXCHANGES: usize = CROWD * ROUNDS;
/// For how long nothing is to happen, and how many calls that may take: one that fails in between is
/// made again.
const IDLE: Duration = Duration::from_millis(300);
const IDLE_CALLS_MAX: usize = 4;

/// When its end is given up: ten thousand connections end with several calls each, and each call is told to
/// who traces it.
const ENDING: Duration = Duration::from_mins(4);

pub(crate) const RECEIVING: &str = "recvfrom";
pub(crate) const SENDING: &str = "sendto,sendmsg";
pub(crate) const ACCEPTING: &str = "accept4";

/// A program under strace, which logs some of its calls and has some of them fail.
pub(crate) struct Traced {
    pub(crate) peer: Peer,
    process: Option<Pid>,
    log: PathBuf,
    _folder: TempDir,
}

impl Traced {
    /// A server that is traced from its start on, with the calls that are logged and those that fail;
    /// none where it may not be traced.
    pub(crate) fn server(logged: &str, failing: &[String]) -> Option<Self> {
        Self::playing("server", logged, failing)
    }

    /// The same for another scene.
    pub(crate) fn playing(scene: &str, logged: &str, failing: &[String]) -> Option<Self> {
        let strace = tool("strace");
        let folder = TempDir::new("strace").expect("a folder");
        let probe = Command::new(&strace).args(["-qq", "-o", "/dev/null", "true"]).output();
        let probe = probe.expect("it is there");
        if !probe.status.success() {
            leave_out("calls that fail", String::from_utf8_lossy(&probe.stderr).trim());
            return None;
        }
        let log = folder.path().join("log");
        let mut command = Command::new(strace);
        command.args(["-f", "-qq", "-o"]).arg(&log).args(["-e", &format!("trace={logged}")]);
        for failing in failing {
            command.args(["-e", &format!("inject={failing}")]);
        }
        play(&mut command, scene, "127.0.0.1:0");
        let peer = Peer::start(&mut command).expect("strace");
        let mut traced = Self { peer, process: None, log, _folder: folder };
        let process = traced.peer.line_after("process ").expect("its number");
        traced.process = Pid::from_raw(process.trim().parse().expect("a number"));
        Some(traced)
    }

    /// How many calls were logged until now.
    pub(crate) fn calls(&self) -> usize {
        fs::read_to_string(&self.log).expect("the log").lines().count()
    }

    /// Asks it to stop; it is to end well and leave nothing.
    pub(crate) fn stop(mut self) {
        let process = self.process.take().expect("it runs");
        kill_process(process, Signal::TERM).expect("it runs");
        self.finish();
    }

    /// Has it end by itself, and well; answers what was logged.
    pub(crate) fn finish(mut self) -> String {
        self.peer.line_within("ended in order", ENDING).expect("nothing is left");
        let status = self.peer.wait().expect("its end");
        assert!(status.success(), "{status}");
        self.process = None;
        fs::read_to_string(&self.log).expect("the log")
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // It would live on without the one that traces it.
        if let Some(process) = self.process {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// The calls in which a driver waits.
pub(crate) fn waiting() -> &'static str {
    match reactor().driver() {
        "io_uring" => "io_uring_enter",
        "poll" => "?poll,ppoll",
        "select" => "?select,pselect6",
        _ => "?epoll_wait,?epoll_pwait,epoll_pwait2",
    }
}

/// Which calls fail, how, and how often: the first that does, and how many until the next.
pub(crate) struct Fault {
    calls: &'static str,
    error: &'static str,
    first: u64,
    step: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, error, first, step } = self;
        write!(f, "{calls}:error={error}:when={first}+{step}")
    }
}

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let given = std::env::var("ROPEWALK_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            std::time::UNIX_EPOCH.elapsed().expect("a time after 1970").as_nanos() as u64
        });
        println!("ROPEWALK_SEED={seed}");
        Self(seed)
    }

    /// The first call of a thread never fails: a signal is told to the loop by one, once.
    pub(crate) fn fault(&mut self, calls: &'static str, error: &'static str) -> Fault {
        Fault { calls, error, first: self.between(2, 20), step: self.between(2, 9) }
    }

    /// One that breaks connections, of which each makes several such calls: it is to spare most.
    pub(crate) fn blow(&mut self, calls: &'static str, error: &'static str) -> Fault {
        Fault { step: self.between(12, 30), ..self.fault(calls, error) }
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        low + (self.0 >> 33) % (high - low + 1)
    }
}

/// Has a crowd talk to a server whose calls fail; answers how many connections broke.
pub(crate) fn try_with(faults: &[Fault]) -> Option<usize> {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    println!("{faults:?}");
    let mut server = Traced::server("all", &faults)?;
    let address = server.peer.listening().expect("its address");
    let talk = move |number: usize| {
        let is_broken = |round: &usize| {
            let end = exchange(address, 100_000, 1 + 7919 * (number + round));
            if let End::Broken(error) = &end {
                println!("{error}");
            }
            matches!(end, End::Broken(_))
        };
        (0..ROUNDS).filter(is_broken).count()
    };
    let crowd: Vec<_> = (0..CROWD)
        .map(|number| thread::Builder::new().spawn(move || talk(number)).expect("a thread"))
        .collect();
    let broken = crowd.into_iter().map(|each| each.join().expect("no panic")).sum();
    // All are gone, and nothing is left to do.
    thread::sleep(IDLE);
    let before = server.calls();
    thread::sleep(IDLE);
    let calls = server.calls() - before;
    assert!(calls <= IDLE_CALLS_MAX, "{calls} calls while nothing happens");
    server.stop();
    Some(broken)
}

#[test]
fn calls_that_fail_for_a_moment_cost_nobody_a_byte() {
    let mut dice = Dice::new();
    let passing = ["EINTR", "EAGAIN", "ENOBUFS", "ENOMEM"];
    for index in 0..passing.len() {
        let nth = |errors: &[&'static str]| errors[index % errors.len()];
        let faults = [
            dice.fault(RECEIVING, passing[index]),
            dice.fault(SENDING, passing[(index + 1) % passing.len()]),
            dice.fault(ACCEPTING, nth(&["EINTR", "EAGAIN", "ECONNABORTED"])),
            dice.fault(waiting(), nth(&["EINTR", "EAGAIN", "ENOMEM"])),
        ];
        if let Some(broken) = try_with(&faults) {
            assert_eq!(broken, 0, "connections broke");
        }
    }
}

/// As a seccomp profile refuses: at the door, or inside.
#[test]
fn where_the_system_refuses_io_uring_epoll_serves() {
    for (call, error) in [
        ("io_uring_setup", "EPERM"),
        ("io_uring_setup", "ENOSYS"),
        ("io_uring_register", "EPERM"),
        ("io_uring_enter", "EPERM"),
    ] {
        let failing = [format!("{call}:error={error}")];
        let Some(mut server) = Traced::playing("uring", call, &failing) else { return };
        let driver = server.peer.line_after("driver ").expect("its name");
        assert_eq!(driver.trim(), "epoll", "{failing:?}");
        let address = server.peer.listening().expect("its address");
        assert!(matches!(exchange(address, 100_000, 4096), End::Whole), "{failing:?}");
        server.stop();
    }
}

#[test]
fn a_connection_that_fails_harms_no_other() {
    let mut dice = Dice::new();
    for faults in [
        [dice.blow(RECEIVING, "ECONNRESET"), dice.fault(SENDING, "EAGAIN")],
        [dice.fault(RECEIVING, "EINTR"), dice.blow(SENDING, "ECONNRESET")],
    ] {
        let is_shared = reactor().driver() == "io_uring";
        if let Some(broken) = try_with(&faults) {
            // With `io_uring` these are no system calls, and fail only where a closing connection
            // is read to its end.
            assert!(is_shared || (1..EXCHANGES).contains(&broken), "{broken} broke");
        }
    }
}

#[test]
fn a_listener_that_is_short_of_something_serves_later_or_turns_away() {
    let mut dice = Dice::new();
    for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
        if let Some(broken) = try_with(&[dice.fault(ACCEPTING, error)]) {
            assert!(broken < EXCHANGES, "nobody was served");
        }
    }
}
