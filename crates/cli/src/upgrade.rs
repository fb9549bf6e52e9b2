//! A new program in the place of the old, on the same sockets.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ropewalk::deferred::{Promise, deferred};
use ropewalk::protocol::process::Spawner as _;
use ropewalk::protocol::process::{
    ChildDescriptor, Command, Process, ProcessEnd, ProcessProtocol, seat_process,
};
use ropewalk::reactor::{Reactor, inherited};
use ropewalk::{Deferred, Failure};
use rustix::process::{Signal, getppid};

use crate::daemon;
use crate::sockets::{Handed, Inherited};

/// The variable by which a successor knows that it is one: its predecessor, for each socket whether the system has
/// chosen its port, and as JSON whose it is and the place of what was handed over.
pub(crate) const VARIABLE: &str = "ROPEWALK_SUCCESSOR";
/// A pipe into which the successor says that it is ready.
const READY: u32 = 3;
/// The first of the sockets.
const SOCKETS: u32 = 4;
/// How long a successor may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How much longer who asked for it waits.
const LEEWAY: Duration = Duration::from_secs(5);

/// What a predecessor has left to this process.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    pub(crate) sockets: Vec<Inherited>,
    ready: RefCell<Option<File>>,
}

impl Inheritance {
    /// What this process was left, which is nothing for one that nobody has started as a successor.
    pub(crate) fn take() -> Result<Self, String> {
        let Ok(said) = std::env::var(VARIABLE) else { return Ok(Self::default()) };
        let malformed = || format!("{VARIABLE} is PROCESS:FLAGS for successors, and not {said:?}");
        let (parent, rest) = said.split_once(':').ok_or_else(malformed)?;
        // Those who came before this was said have flags alone.
        let (flags, names) = rest.split_once(':').unwrap_or((rest, "[]"));
        let names: Vec<(Option<String>, Option<String>)> =
            serde_json::from_str(names).map_err(|_| malformed())?;
        let own = getppid().map(|parent| parent.as_raw_nonzero().get());
        if parent.parse().ok() != own {
            // A child of a successor has the variable, and not what belongs to it.
            return Ok(Self::default());
        }
        let take = |number: u32| {
            inherited(number.cast_signed())
                .map_err(|error| format!("descriptor {number} was not handed on: {error}"))
        };
        let ready = File::from(take(READY)?);
        let names = names.into_iter().chain(std::iter::repeat((None, None)));
        let sockets = (SOCKETS..).zip(flags.chars()).zip(names);
        let sockets = sockets.map(|((number, flag), (owner, place))| {
            let is_any_port = flag == 'a';
            Ok(Inherited { socket: take(number)?, is_any_port, owner, place })
        });
        let sockets = sockets.collect::<Result<_, String>>()?;
        Ok(Self { sockets, ready: RefCell::new(Some(ready)) })
    }

    /// The sockets, and the rest.
    pub(crate) fn split(self) -> (Vec<Inherited>, Self) {
        (self.sockets, Self { sockets: Vec::new(), ready: self.ready })
    }

    /// Whether there is a predecessor.
    pub(crate) fn is_some(&self) -> bool {
        self.ready.borrow().is_some()
    }

    /// Tells the predecessor that everything is served here from now on.
    pub(crate) fn tell(&self) -> io::Result<()> {
        match self.ready.take() {
            Some(mut pipe) => pipe.write_all(b"1"),
            None => Ok(()),
        }
    }
}

/// Starts this program anew with these sockets; the deferred gives its number once it serves. If it fails, ends or takes
/// too long nothing has changed.
pub(crate) fn start_successor(
    reactor: &Reactor,
    handed: &[Handed],
    started_in: Option<PathBuf>,
) -> Deferred<u32> {
    let command = match this_program() {
        Ok(command) => command,
        Err(error) => return Deferred::fail(error),
    };
    let flags: String =
        handed.iter().map(|handed| if handed.is_any_port { 'a' } else { 'p' }).collect();
    let names: Vec<_> = handed.iter().map(|handed| (&handed.owner, &handed.place)).collect();
    let names = match serde_json::to_string(&names) {
        Ok(names) => names,
        Err(error) => return Deferred::fail(error),
    };
    let command = command
        .env(VARIABLE, format!("{}:{flags}:{names}", std::process::id()))
        .env_remove("ROPEWALK_DAEMON")
        .descriptor(0, ChildDescriptor::Null)
        .descriptor(1, ChildDescriptor::Inherit(1))
        .descriptor(2, ChildDescriptor::Inherit(2))
        .descriptor(READY, ChildDescriptor::Output);
    let command = match started_in {
        Some(folder) => command.current_dir(folder),
        None => command,
    };
    let command = (SOCKETS..).zip(handed).fold(command, |command, (number, handed)| {
        command.descriptor(number, ChildDescriptor::Given(handed.socket.clone()))
    });
    let (promise, ready) = deferred();
    reactor.spawn_seat(&command, seat_process(Successor { promise: Some(promise) }));
    ready
}

/// The same program with the same arguments: the file that is in its place by now.
pub(crate) fn this_program() -> io::Result<Command> {
    let program = std::env::current_exe()?;
    let program = match program.to_string_lossy().strip_suffix(" (deleted)") {
        Some(replaced) if !program.exists() => OsString::from(replaced),
        _ => program.into_os_string(),
    };
    let mut arguments = std::env::args_os();
    let command = Command::new(program);
    let command = match arguments.next() {
        Some(name) => command.arg0(name),
        None => command,
    };
    Ok(command.args(arguments))
}

struct Successor {
    promise: Option<Promise<u32>>,
}

impl ProcessProtocol for Successor {
    fn started(&mut self, process: &Process<Self>) {
        process.call_later(READY_WITHIN, |this, process| {
            if let Some(promise) = this.promise.take() {
                promise.fail(Failure::new(format!("it was not ready after {READY_WITHIN:?}")));
                process.abort();
            }
        });
    }

    fn output_received(&mut self, process: &Process<Self>, descriptor: u32, _: &[u8]) {
        if descriptor == READY
            && let (Some(promise), Some(id)) = (self.promise.take(), process.id())
        {
            promise.succeed(id);
        }
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        if let Some(promise) = self.promise.take() {
            promise.fail(end.clone());
        }
    }
}

/// Tells whoever has asked process `pid` for an upgrade how it went.
pub(crate) fn answer(outcome: &Result<u32, String>) {
    let text = match outcome {
        Ok(id) => format!("+{id}"),
        Err(why) => format!("-{why}"),
    };
    let told = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to_addr(text.as_bytes(), &reply_address(std::process::id().cast_signed())?)
    });
    // Who sent the signal by hand waits for no answer.
    drop(told);
}

fn reply_address(pid: i32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("ropewalk-upgrade-{pid}"))
}

/// Have a program replaced by its new version, without a connection lost
#[derive(Args)]
#[command(
    long_about = "Have a program that serves replaced by what is in its file by now, without a connection lost.\n\n\
        The program starts its successor with the same arguments and hands its listening sockets on. Once the \
        successor serves, the old one takes on nothing new, lets connections finish and ends. If the successor \
        fails, the old one goes on as if nothing had been asked.",
    after_long_help = "Examples:\n  \
        ropewalk upgrade --pid-file ropewalk.pid\n      \
        the program that was started with --pid-file ropewalk.pid\n\n\
        Exit status: 0 once the successor serves, 1 if the old one goes on, 2 for wrong usage."
)]
pub(crate) struct Upgrade {
    /// The file that holds the number of the program's process
    #[arg(long, value_name = "FILE", required_unless_present = "pid")]
    pid_file: Option<PathBuf>,

    /// The number itself
    #[arg(long, value_name = "NUMBER", conflicts_with = "pid_file", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
}

impl Upgrade {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let pid = match (&self.pid_file, self.pid) {
            (_, Some(pid)) => pid,
            (Some(file), None) => daemon::read_pid(file).ok_or_else(|| {
                format!("there is no process's number in {}; does it run?", file.display())
            })?,
            (None, None) => return Err("say which program, with --pid-file FILE".to_owned()),
        };
        if !daemon::is_alive(pid) {
            return Err(format!("there is no process {pid}: it does not run"));
        }
        let cannot = |error: io::Error| format!("no answer can be waited for: {error}");
        let socket = reply_address(pid).and_then(|address| UnixDatagram::bind_addr(&address));
        let socket = socket.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => format!("process {pid} is being upgraded already"),
            _ => cannot(error),
        })?;
        socket.set_read_timeout(Some(READY_WITHIN + LEEWAY)).map_err(cannot)?;
        daemon::signal(pid, Signal::USR2)?;
        let mut answer = vec![0; 64 * 1024];
        let length = socket.recv(&mut answer).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                format!("process {pid} does not answer; its log may say why")
            }
            _ => cannot(error),
        })?;
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        match answer.strip_prefix('+') {
            Some(successor) => {
                let line = format!("process {successor} serves in the place of {pid}");
                crate::serving::print_line(&line)
                    .map_err(|error| format!("cannot print: {error}"))?;
                Ok(ExitCode::SUCCESS)
            }
            None => Err(format!("process {pid} goes on: {}", answer.trim_start_matches('-'))),
        }
    }
}
