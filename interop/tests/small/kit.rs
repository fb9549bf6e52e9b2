//! A server of ours for others, and our clients for theirs.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_endpoint::{client_from_string, server_from_string};
use ropewalk_interop::{PATIENCE, Peer, TempDir, leave_out, tool};
use ropewalk_protocol::{ClientEndpoint, Port, SeatFactory, timeout};
use ropewalk_reactor::{Reactor, ReactorHandle};

use crate::support::reactor;

/// A running server of ours on loopback; it goes with its owner.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    handle: ReactorHandle,
    thread: Option<JoinHandle<()>>,
}

impl House {
    /// Serves with what `make` makes on the reactor there.
    pub(crate) fn start<F: SeatFactory>(make: impl FnOnce(&Reactor) -> F + Send + 'static) -> Self {
        let (sender, ready) = channel();
        let serve = move || {
            let reactor = reactor();
            let place = server_from_string(&reactor, "tcp:0:interface=127.0.0.1").expect("a place");
            let listening = place.listen_seats(Box::new(make(&reactor)));
            let port: Box<dyn Port> = reactor.run_until(listening).expect("a port");
            let address = port.address().ip().expect("an Internet address");
            sender.send((address, reactor.handle())).expect("somebody waits");
            reactor.run_without_signals().expect("a loop that runs");
        };
        let thread =
            thread::Builder::new().name("house".to_owned()).spawn(serve).expect("a thread");
        let (address, handle) = ready.recv().expect("a server");
        Self { address, handle, thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let stopped = self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || (stopped.is_ok() && ended.is_ok()), "a server fell");
        }
    }
}

/// What a client of ours is told by the server at this port of loopback.
pub(crate) fn asked<T: 'static>(
    port: u16,
    ask: impl FnOnce(&(dyn ClientEndpoint + 'static)) -> Deferred<T>,
) -> Result<T, Failure> {
    let reactor = reactor();
    asked_on(&reactor, port, ask)
}

/// The same on a reactor that is there.
pub(crate) fn asked_on<T: 'static>(
    reactor: &Reactor,
    port: u16,
    ask: impl FnOnce(&(dyn ClientEndpoint + 'static)) -> Deferred<T>,
) -> Result<T, Failure> {
    let place = client_from_string(reactor, &format!("tcp:127.0.0.1:{port}")).expect("a place");
    reactor.run_until(timeout(reactor, PATIENCE, ask(&*place)))
}

/// Runs a program to its end with something to read.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("it starts");
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not want it may have gone already.
        let _ = std::io::Write::write_all(&mut stdin, input);
    }
    child.wait_with_output().expect("it ends")
}

/// What a program printed that ended well.
#[track_caller]
pub(crate) fn printed(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out} {}", String::from_utf8_lossy(&output.stderr));
    out
}

/// Twisted's side: the script `twisted_small.py` in this role, and the ports that it names.
pub(crate) fn twisted(role: &[&str]) -> (Peer, Vec<u16>) {
    let python = tool("twist").with_file_name("python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/small.py");
    let mut peer = Peer::start(Command::new(python).arg(script).args(role)).expect("Python starts");
    let ports = peer.line_after("ports").expect("it listens");
    let ports = ports.split_whitespace().map(|port| port.parse().expect("a number")).collect();
    (peer, ports)
}

/// A program that asks the table of services for its port, on a system where that is ours; `None`, said
/// aloud, where the system does not allow us to tell it so.
pub(crate) fn told_of_services(
    services: &[(&str, u16)],
    program: &str,
) -> Option<(TempDir, Command)> {
    let folder = TempDir::new("services").expect("a folder");
    let mut table = String::new();
    for (name, port) in services {
        writeln!(table, "{name} {port}/tcp").expect("a string grows");
    }
    let table = folder.write("services", table).expect("a file");
    let inside = |script: &str, more: &[&Path]| {
        let mut command = Command::new(tool("unshare"));
        command.args(["--mount", "--user", "--map-root-user", "sh", "-c", script, "sh"]);
        command.arg(&table).args(more);
        command
    };
    let mut trial = inside("mount --bind \"$1\" /etc/services", &[]);
    if !trial.output().expect("unshare runs").status.success() {
        leave_out(program, "no table of services of its own can be given to it here");
        return None;
    }
    let script = "mount --bind \"$1\" /etc/services && shift && exec \"$@\"";
    let command = inside(script, &[&tool(program)]);
    Some((folder, command))
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
