//! CPU time a round trip of an echo, throughput of one connection, and connections that come and go.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use ropewalk_interop::Peer;

use crate::Outcome;
use crate::bench::proc::{CpuTime, allow_descriptors, cpus, pinned};
use crate::bench::runner::{Runner, Running, build, load};
use crate::bench::table::{Table, median, ratio};

/// When a load that does not get its connections is given up; a busy machine takes its time over thousands.
const SETUP: Duration = Duration::from_mins(3);
/// Descriptors beside the connections.
const OTHER_DESCRIPTORS: u64 = 100;

/// How to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each server is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long it is measured each time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Two rounds of a second each: to see that it works, not to compare.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// The peers to measure, none if none is named; the bare loop and ours always are.
    #[arg(long, num_args = 0.., value_delimiter = ',', value_enum)]
    #[arg(default_values_t = Runner::PEERS)]
    peers: Vec<Runner>,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    /// Messages of so many bytes there and back on so many connections.
    Ping { connections: u32, bytes: u32 },
    /// One connection, so many MiB each way.
    Bulk { mib: u32 },
    /// So many connections at a time that come, say one byte and go.
    Accept { connections: u32 },
}

const ECHO: [Shape; 9] = [
    Shape::Ping { connections: 1, bytes: 64 },
    Shape::Ping { connections: 50, bytes: 64 },
    Shape::Ping { connections: 500, bytes: 64 },
    Shape::Ping { connections: 5000, bytes: 64 },
    Shape::Ping { connections: 1, bytes: 16 * 1024 },
    Shape::Ping { connections: 50, bytes: 16 * 1024 },
    Shape::Ping { connections: 500, bytes: 16 * 1024 },
    Shape::Ping { connections: 5000, bytes: 16 * 1024 },
    Shape::Bulk { mib: 1024 },
];

const ACCEPT: [Shape; 2] = [Shape::Accept { connections: 1 }, Shape::Accept { connections: 100 }];

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping { connections, bytes } => {
                write!(f, "{connections} connections, {bytes} bytes")
            }
            Self::Bulk { mib } => write!(f, "one connection, {mib} MiB each way"),
            Self::Accept { connections } => write!(f, "{connections} come and go at a time"),
        }
    }
}

impl Shape {
    /// The words by which the load is told.
    fn tell(self, command: &mut Command, seconds: u32) {
        match self {
            Self::Ping { connections, bytes } => {
                let words = [connections, bytes, seconds].map(|word| word.to_string());
                command.arg("ping").args(words);
            }
            Self::Bulk { mib } => {
                command.arg("bulk").arg((u64::from(mib) << 20).to_string());
            }
            Self::Accept { connections } => {
                command.arg("accept").args([connections, seconds].map(|word| word.to_string()));
            }
        }
    }

    /// What one of the load's rounds counts for: a message, a connection, or of bytes a part of 16 KiB.
    fn rounds(self, rounds: u64) -> f64 {
        match self {
            Self::Bulk { .. } => rounds as f64 / (16.0 * 1024.0),
            _ => rounds as f64,
        }
    }

    /// What ours must keep to, of the bare loop's.
    fn aim(self) -> Aim {
        match self {
            Self::Ping { .. } => Aim::TimeAtMost(1.08),
            Self::Bulk { .. } => Aim::RateAtLeast(0.95),
            Self::Accept { .. } => Aim::RateAtLeast(0.90),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Aim {
    TimeAtMost(f64),
    RateAtLeast(f64),
}

/// One server under one shape in one round.
struct Sample {
    runner: Runner,
    shape: usize,
    microseconds: f64,
    rate: f64,
}

/// A server under one shape: a figure a round.
struct Standing {
    runner: Runner,
    microseconds: Vec<f64>,
    rates: Vec<f64>,
}

impl Standing {
    fn time(&self) -> Option<f64> {
        median(self.microseconds.iter().copied())
    }

    /// How many times the CPU time of that one it takes.
    fn time_by(&self, other: &Self) -> Option<f64> {
        by_rounds(&self.microseconds, &other.microseconds)
    }

    /// How many times as much as that one it gets done.
    fn rate_by(&self, other: &Self) -> Option<f64> {
        by_rounds(&self.rates, &other.rates)
    }
}

/// The median of the ratios within each round: what slows a whole round down does not show in it.
fn by_rounds(these: &[f64], those: &[f64]) -> Option<f64> {
    median(these.iter().zip(those).map(|(this, that)| this / that))
}

/// Measures echoes and prints.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    measure(options, &ECHO, "An echo", "round trip, or 16 KiB of one stream each way")
}

/// Measures connections that come and go, and prints.
pub(crate) fn run_accept(options: &Options) -> Outcome<bool> {
    measure(options, &ACCEPT, "Connections that come, say a byte and go", "connection")
}

fn measure(options: &Options, shapes: &[Shape], what: &str, unit: &str) -> Outcome<bool> {
    let (rounds, seconds) = if options.quick { (2, 1) } else { (options.rounds, options.seconds) };
    let runners = build(&options.peers)?;
    let most = shapes.iter().map(|shape| match shape {
        Shape::Ping { connections, .. } | Shape::Accept { connections } => *connections,
        Shape::Bulk { .. } => 1,
    });
    allow_descriptors(u64::from(most.max().unwrap_or(1)) + OTHER_DESCRIPTORS)?;
    let (server_cpu, load_cpu) = cpus()?;
    let servers: Outcome<Vec<Running>> =
        runners.iter().map(|runner| pinned(server_cpu, || runner.start())).collect();
    let servers = servers?;
    let mut samples = Vec::new();
    for round in 0..rounds as usize {
        eprintln!("round {} of {rounds}", round + 1);
        for shape in 0..shapes.len() {
            for turn in 0..servers.len() {
                // Another one begins each round.
                let server = &servers[(turn + round) % servers.len()];
                samples.push(sample(server, shapes, shape, load_cpu, seconds)?);
            }
        }
    }
    println!("{what}; medians of {rounds} rounds of {seconds} s, ratios within each round, then");
    println!("their medians; CPU time for each {unit}\n");
    for (index, shape) in shapes.iter().enumerate() {
        let standings = standings(&samples, index);
        println!("{}\n", if options.markdown { format!("**{shape}**") } else { shape.to_string() });
        println!("{}", table(&standings).text(options.markdown));
        println!("{}", verdict(&standings, shape.aim()));
    }
    Ok(true)
}

fn sample(
    server: &Running,
    shapes: &[Shape],
    shape: usize,
    cpu: usize,
    seconds: u32,
) -> Outcome<Sample> {
    let runner = server.runner;
    let mut command = load();
    command.arg(server.address.to_string());
    shapes[shape].tell(&mut command, seconds);
    let mut load = pinned(cpu, || Ok(Peer::start(&mut command)?))?;
    let ready = load.line_within("ready", SETUP);
    ready.map_err(|error| format!("{runner}, {}: {error}", shapes[shape]))?;
    let before = CpuTime::of(server.id())?;
    let done = load.line_within("done ", Duration::from_secs(u64::from(seconds)) * 60);
    let done = done.map_err(|error| format!("{runner}, {}: {error}", shapes[shape]))?;
    let used = CpuTime::of(server.id())?.since(before);
    let numbers = done.split_once(' ').ok_or("the load says nothing that we know")?;
    let rounds = shapes[shape].rounds(numbers.0.parse()?);
    let nanoseconds: u64 = numbers.1.trim().parse()?;
    Ok(Sample {
        runner,
        shape,
        microseconds: used.as_secs_f64() * 1e6 / rounds,
        rate: rounds * 1e9 / nanoseconds as f64,
    })
}

/// The servers under one shape, the one that needs least first.
fn standings(samples: &[Sample], shape: usize) -> Vec<Standing> {
    let mut standings: Vec<Standing> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.shape == shape) {
        let place = standings.iter().position(|standing| standing.runner == sample.runner);
        let place = place.unwrap_or_else(|| {
            let runner = sample.runner;
            standings.push(Standing { runner, microseconds: Vec::new(), rates: Vec::new() });
            standings.len() - 1
        });
        standings[place].microseconds.push(sample.microseconds);
        standings[place].rates.push(sample.rate);
    }
    let time = |standing: &Standing| standing.time().unwrap_or(f64::INFINITY);
    standings.sort_by(|one, other| time(one).total_cmp(&time(other)));
    standings
}

fn place(standings: &[Standing], runner: Runner) -> Option<&Standing> {
    standings.iter().find(|standing| standing.runner == runner)
}

fn table(standings: &[Standing]) -> Table {
    let mut table =
        Table::new(&["server", "µs CPU", "least–most", "÷ bare", "÷ ours", "a second", "÷ bare"]);
    let bare = place(standings, Runner::Bare);
    let ours = place(standings, Runner::Epoll);
    for standing in standings {
        let least = standing.microseconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = standing.microseconds.iter().copied().fold(0.0, f64::max);
        table.row(vec![
            standing.runner.to_string(),
            format!("{:.2}", standing.time().unwrap_or(f64::NAN)),
            format!("{least:.2}–{most:.2}"),
            ratio(bare.and_then(|bare| standing.time_by(bare))),
            ratio(ours.and_then(|ours| standing.time_by(ours))),
            format!("{:.0}", median(standing.rates.iter().copied()).unwrap_or(f64::NAN)),
            ratio(bare.and_then(|bare| standing.rate_by(bare))),
        ]);
    }
    table
}

/// Where ours stands: its distance from the bare loop, and every peer that does better.
fn verdict(standings: &[Standing], aim: Aim) -> String {
    let (Some(ours), Some(bare)) =
        (place(standings, Runner::Epoll), place(standings, Runner::Bare))
    else {
        return "ropewalk was not measured.\n".into();
    };
    let word = |is_kept| if is_kept { "within" } else { "MISSED" };
    let mut lines = Vec::new();
    match aim {
        Aim::TimeAtMost(most) => lines.extend(ours.time_by(bare).map(|times| {
            format!("ropewalk: {times:.2} of the bare loop's time ({} {most})", word(times <= most))
        })),
        Aim::RateAtLeast(least) => lines.extend(ours.rate_by(bare).map(|times| {
            format!(
                "ropewalk: {times:.2} of the bare loop's rate ({} {least})",
                word(times >= least)
            )
        })),
    }
    for peer in standings.iter().filter(|other| other.runner.is_peer()) {
        if let Some(share) = peer.time_by(ours).filter(|&share| share < 1.0) {
            lines.push(format!("LOST to {}: it takes {share:.2} of our CPU time", peer.runner));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Aim, Runner, Sample, Shape, standings, verdict};

    #[test]
    fn lost_cases_are_said() {
        let sample = |(runner, microseconds): (Runner, f64)| Sample {
            runner,
            shape: 0,
            microseconds,
            rate: 1e6 / microseconds,
        };
        let figures = [(Runner::Tokio, 4.5), (Runner::Bare, 4.0), (Runner::Epoll, 5.0)];
        let standings = standings(&figures.map(sample), 0);
        let expected = "ropewalk: 1.25 of the bare loop's time (MISSED 1.08)\n\
                        LOST to tokio: it takes 0.90 of our CPU time\n";
        assert_eq!(verdict(&standings, Aim::TimeAtMost(1.08)), expected);
        let kept = verdict(&standings, Aim::RateAtLeast(0.8));
        assert!(kept.starts_with("ropewalk: 0.80 of the bare loop's rate (within 0.8)"), "{kept}");
    }

    #[test]
    fn the_load_is_told_in_its_own_words() {
        let mut command = Command::new("load");
        Shape::Ping { connections: 5, bytes: 64 }.tell(&mut command, 2);
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(words, ["ping", "5", "64", "2"]);
        assert!((Shape::Bulk { mib: 1 }.rounds(1 << 20) - 64.0).abs() < 1e-9);
    }
}
