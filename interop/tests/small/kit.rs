//! A server of ours for others, and our clients for theirs.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_endpoint::client_from_string;
use ropewalk_interop::{PATIENCE, Peer, TempDir, leave_out, tool};
use ropewalk_protocol::{ClientEndpoint, SeatFactory, timeout};
use ropewalk_reactor::Reactor;

use crate::base::{self, House};
use crate::support::reactor;

/// A server of ours on loopback, with what `make` makes on the reactor there.
pub(crate) fn serve<F: SeatFactory>(make: impl FnOnce(&Reactor) -> F + Send + 'static) -> House {
    House::start("tcp:0:interface=127.0.0.1", make)
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
    base::run(command, input).expect("it runs")
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
