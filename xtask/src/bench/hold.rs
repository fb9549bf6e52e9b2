//! Memory for each idle connection of an echo.

use std::time::Duration;

use ropewalk_interop::Peer;

use crate::Outcome;
use crate::bench::proc::{Memory, allow_descriptors};
use crate::bench::runner::{Runner, Running, build, load};
use crate::bench::table::{Table, ratio};

/// Descriptors beside the connections.
const OTHER_DESCRIPTORS: u64 = 100;
/// How long so many connections may take to be made.
const PATIENCE: Duration = Duration::from_mins(2);
/// How many bytes ours may use for an idle connection.
const ALLOWANCE: f64 = 300.0;

/// Bytes for each connection: those that the server alone has written, and by resident size.
struct Weight {
    runner: Runner,
    private: f64,
    resident: f64,
}

/// Measures and prints; whether every connection stood.
pub(crate) fn run(connections: u32, processes: u32, markdown: bool) -> Outcome<bool> {
    let runners = build(&Runner::PEERS)?;
    let each = connections.div_ceil(processes);
    allow_descriptors(u64::from(each) + OTHER_DESCRIPTORS)?;
    let mut weights = Vec::new();
    for runner in runners {
        eprintln!("{runner}");
        let crowds: Outcome<Vec<Crowd>> =
            (0..processes).map(|_| Crowd::gather(runner, each)).collect();
        weights.push(Weight::of(runner, &crowds?));
    }
    weights.sort_by(|one, other| one.private.total_cmp(&other.private));
    let ours = weights.iter().find(|weight| weight.runner == Runner::Epoll);
    let ours = ours.map_or(f64::NAN, |weight| weight.private);
    let mut table = Table::new(&["server", "bytes/connection", "÷ ours", "by resident size"]);
    for weight in &weights {
        table.row(vec![
            weight.runner.to_string(),
            format!("{:.0}", weight.private),
            ratio(Some(weight.private / ours)),
            format!("{:.0}", weight.resident),
        ]);
    }
    println!(
        "Bytes for each of {connections} idle connections of an echo, in {processes} processes\n"
    );
    println!("{}", table.text(markdown));
    let word = if ours <= ALLOWANCE { "within" } else { "MISSED" };
    println!("ropewalk: {ours:.0} bytes ({word} {ALLOWANCE:.0})");
    Ok(true)
}

/// A server with its connections, until it is dropped.
struct Crowd {
    connections: u32,
    private: u64,
    resident: u64,
    _clients: Peer,
    _server: Running,
}

impl Crowd {
    fn gather(runner: Runner, connections: u32) -> Outcome<Self> {
        let server = runner.start()?;
        let start = |words: &[&str]| {
            let mut command = load();
            command.arg(server.address.to_string()).args(words);
            Peer::start(&mut command)
        };
        // So that code and first buffers are there.
        start(&["ping", "1", "64", "1"])?.line_after("done ")?;
        let before = Memory::settled(server.id())?;
        let mut clients = start(&["hold", &connections.to_string()])?;
        clients.line_within("ready", PATIENCE)?;
        let after = Memory::settled(server.id())?;
        Ok(Self {
            connections,
            private: after.private.saturating_sub(before.private),
            resident: after.resident.saturating_sub(before.resident),
            _clients: clients,
            _server: server,
        })
    }
}

impl Weight {
    fn of(runner: Runner, crowds: &[Crowd]) -> Self {
        let connections: u32 = crowds.iter().map(|crowd| crowd.connections).sum();
        let each = |bytes: fn(&Crowd) -> u64| {
            crowds.iter().map(bytes).sum::<u64>() as f64 / f64::from(connections)
        };
        Self {
            runner,
            private: each(|crowd| crowd.private),
            resident: each(|crowd| crowd.resident),
        }
    }
}
