//! Memory for each idle connection of an echo.

use std::time::Duration;

use ropewalk_interop::Peer;

use crate::Outcome;
use crate::bench::proc::{Memory, allow_descriptors};
use crate::bench::runner::{Runner, build, load};
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
pub(crate) fn run(connections: u32, markdown: bool) -> Outcome<bool> {
    let runners = build(&Runner::PEERS)?;
    allow_descriptors(u64::from(connections) + OTHER_DESCRIPTORS)?;
    let mut weights = Vec::new();
    for runner in runners {
        eprintln!("{runner}");
        weights.push(weigh(runner, connections)?);
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
    println!("Bytes for each of {connections} idle connections of an echo\n");
    println!("{}", table.text(markdown));
    let word = if ours <= ALLOWANCE { "within" } else { "MISSED" };
    println!("ropewalk: {ours:.0} bytes ({word} {ALLOWANCE:.0})");
    Ok(true)
}

fn weigh(runner: Runner, connections: u32) -> Outcome<Weight> {
    let server = runner.start()?;
    let start = |words: &[&str]| {
        let mut command = load();
        command.arg(server.address.to_string()).args(words);
        Peer::start(&mut command)
    };
    // So that code and first buffers are there.
    start(&["ping", "1", "64", "1"])?.line_after("done ")?;
    let before = Memory::settled(server.id())?;
    let mut crowd = start(&["hold", &connections.to_string()])?;
    crowd.line_within("ready", PATIENCE)?;
    let after = Memory::settled(server.id())?;
    let each = |after: u64, before: u64| (after as f64 - before as f64) / f64::from(connections);
    Ok(Weight {
        runner,
        private: each(after.private, before.private),
        resident: each(after.resident, before.resident),
    })
}
