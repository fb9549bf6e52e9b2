//! CPU time a request and requests a second.

use std::time::Duration;

use clap::Args;

use crate::Outcome;
use crate::bench::Common;
use crate::bench::contender::{Contender, Server, build};
use crate::bench::proc::{CpuTime, cpus, pinned};
use crate::bench::table::{Table, median, ratio};
use crate::bench::wrk::{SHAPES, Shape, Wrk};

/// What nginx is told to be ready for; more than any shape asks.
const CONNECTIONS_MAX: usize = 1024;
/// How much more CPU time than the bare loop ours may use.
const ALLOWANCE: f64 = 1.10;

/// How to measure CPU time.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each server is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long it is measured each time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Two rounds of a second each: to see that it works, not to compare.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    #[command(flatten)]
    common: Common,
}

/// One server under one shape in one round.
struct Sample {
    contender: Contender,
    shape: usize,
    microseconds_per_request: f64,
    requests_per_second: f64,
}

/// A server under one shape: a figure a round, and their medians.
struct Standing {
    contender: Contender,
    microseconds: f64,
    rate: f64,
    each_microseconds: Vec<f64>,
    each_rate: Vec<f64>,
}

impl Standing {
    fn of<'a>(contender: Contender, samples: impl Iterator<Item = &'a Sample>) -> Option<Self> {
        let (each_microseconds, each_rate): (Vec<_>, Vec<_>) = samples
            .filter(|sample| sample.contender == contender)
            .map(|sample| (sample.microseconds_per_request, sample.requests_per_second))
            .unzip();
        Some(Self {
            contender,
            microseconds: median(each_microseconds.iter().copied())?,
            rate: median(each_rate.iter().copied())?,
            each_microseconds,
            each_rate,
        })
    }

    /// How many times the CPU time of that one it takes.
    fn time_by(&self, other: &Self) -> Option<f64> {
        by_rounds(&self.each_microseconds, &other.each_microseconds)
    }

    /// How many times as many requests as that one it answers.
    fn rate_by(&self, other: &Self) -> Option<f64> {
        by_rounds(&self.each_rate, &other.each_rate)
    }
}

/// The median of the ratios within each round: what slows a whole round down does not show in it.
fn by_rounds(these: &[f64], those: &[f64]) -> Option<f64> {
    median(these.iter().zip(those).map(|(this, that)| this / that))
}

/// Measures and prints; whether no answer was wrong and ours was there.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let (rounds, seconds) = if options.quick { (2, 1) } else { (options.rounds, options.seconds) };
    let contenders = build(&options.common.peers)?;
    let (server_cpu, load_cpu) = cpus()?;
    if server_cpu == load_cpu {
        eprintln!(
            "there is but one CPU: server and load share it, and requests a second mean little"
        );
    }
    let wrk = Wrk::new()?;
    let servers: Outcome<Vec<Server>> = contenders
        .iter()
        .map(|contender| pinned(server_cpu, || contender.start(CONNECTIONS_MAX)))
        .collect();
    let mut field = Field { servers: servers?, wrk, load_cpu, faults: Vec::new() };
    let samples = field.measure(rounds, seconds)?;

    println!("HTTP/1.1 hello, keep-alive; medians of {rounds} rounds of {seconds} s,");
    println!("ratios within each round, then their medians\n");
    for (index, shape) in SHAPES.into_iter().enumerate() {
        let standings = standings(&samples, index);
        println!("{}\n", heading(shape, options.common.markdown));
        println!("{}", table(&standings).text(options.common.markdown));
        println!("{}", verdict(&standings));
    }
    for fault in &field.faults {
        eprintln!("fault: {fault}");
    }
    Ok(field.faults.is_empty() && contenders.contains(&Contender::Ours))
}

struct Field {
    servers: Vec<Server>,
    wrk: Wrk,
    load_cpu: usize,
    faults: Vec<String>,
}

impl Field {
    fn measure(&mut self, rounds: u32, seconds: u32) -> Outcome<Vec<Sample>> {
        for server in 0..self.servers.len() {
            self.sample(server, 0, 1)?;
        }
        let mut samples = Vec::new();
        for round in 0..rounds {
            eprintln!("round {} of {rounds}", round + 1);
            for shape in 0..SHAPES.len() {
                for turn in 0..self.servers.len() {
                    // Another one begins each round.
                    let server = (turn + round as usize) % self.servers.len();
                    samples.push(self.sample(server, shape, seconds)?);
                }
            }
        }
        Ok(samples)
    }

    fn sample(&mut self, server: usize, shape: usize, seconds: u32) -> Outcome<Sample> {
        let server = &self.servers[server];
        let name = server.contender.name();
        let before = CpuTime::of(server.id())?;
        let load = pinned(self.load_cpu, || self.wrk.run(server.address, SHAPES[shape], seconds))?;
        let used = CpuTime::of(server.id())?.since(before);
        let faults = load.faults.iter();
        self.faults
            .extend(faults.map(|fault| format!("{name}, {}: {fault}", SHAPES[shape].name())));
        if load.requests == 0 {
            return Err(format!("{name} answers nothing").into());
        }
        Ok(Sample {
            contender: server.contender,
            shape,
            microseconds_per_request: microseconds(used) / load.requests as f64,
            requests_per_second: load.requests_per_second,
        })
    }
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn heading(shape: Shape, markdown: bool) -> String {
    if markdown { format!("**{}**", shape.name()) } else { shape.name() }
}

/// The servers under one shape, the one that needs least first.
fn standings(samples: &[Sample], shape: usize) -> Vec<Standing> {
    let all = [Contender::Bare, Contender::Ours].into_iter().chain(Contender::PEERS);
    let of_shape = || samples.iter().filter(|sample| sample.shape == shape);
    let mut standings: Vec<_> =
        all.filter_map(|contender| Standing::of(contender, of_shape())).collect();
    standings.sort_by(|one, other| one.microseconds.total_cmp(&other.microseconds));
    standings
}

fn place(standings: &[Standing], contender: Contender) -> Option<&Standing> {
    standings.iter().find(|standing| standing.contender == contender)
}

fn table(standings: &[Standing]) -> Table {
    let head =
        ["server", "µs CPU/request", "least–most", "÷ bare", "÷ ours", "requests/s", "÷ ours"];
    let mut table = Table::new(&head);
    let bare = place(standings, Contender::Bare);
    let ours = place(standings, Contender::Ours);
    for standing in standings {
        let least = standing.each_microseconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = standing.each_microseconds.iter().copied().fold(0.0, f64::max);
        table.row(vec![
            standing.contender.name().into(),
            format!("{:.2}", standing.microseconds),
            format!("{least:.2}–{most:.2}"),
            ratio(bare.and_then(|bare| standing.time_by(bare))),
            ratio(ours.and_then(|ours| standing.time_by(ours))),
            format!("{:.0}", standing.rate),
            ratio(ours.and_then(|ours| standing.rate_by(ours))),
        ]);
    }
    table
}

/// Where ours stands: its distance from the bare loop, and everybody who does better.
fn verdict(standings: &[Standing]) -> String {
    let Some(ours) = place(standings, Contender::Ours) else {
        return "ropewalk was not measured.\n".into();
    };
    let mut lines = Vec::new();
    let bare = place(standings, Contender::Bare);
    if let Some(times) = bare.and_then(|bare| ours.time_by(bare)) {
        let word = if times <= ALLOWANCE { "within" } else { "MISSED" };
        lines.push(format!("ropewalk: {times:.2} times the bare loop ({word} {ALLOWANCE:.2})"));
    }
    for peer in standings.iter().filter(|other| Contender::PEERS.contains(&other.contender)) {
        if let Some(share) = peer.time_by(ours).filter(|&share| share < 1.0) {
            let name = peer.contender.name();
            lines.push(format!("LOST to {name}: it takes {share:.2} of our CPU time"));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::{Contender, Sample, standings, table, verdict};

    fn samples(figures: &[(Contender, f64)]) -> Vec<Sample> {
        let sample = |&(contender, microseconds_per_request)| Sample {
            contender,
            shape: 0,
            microseconds_per_request,
            requests_per_second: 1e6 / microseconds_per_request,
        };
        figures.iter().map(sample).collect()
    }

    #[test]
    fn lost_cases_are_said() {
        use Contender::{Bare, Hyper, May, Ours};
        let figures =
            [(May, 4.5), (Bare, 4.0), (Hyper, 6.0), (Ours, 5.0), (Ours, 5.0), (Ours, 9.0)];
        let standings = standings(&samples(&figures), 0);
        let expected = "ropewalk: 1.25 times the bare loop (MISSED 1.10)\n\
                        LOST to may_minihttp: it takes 0.90 of our CPU time\n";
        assert_eq!(verdict(&standings), expected);
        let text = table(&standings).text(false);
        let ours = text.lines().find(|line| line.starts_with("ropewalk")).expect("a row for ours");
        let cells: Vec<_> = ours.split_whitespace().collect();
        assert_eq!(cells, ["ropewalk", "5.00", "5.00–9.00", "1.25", "1.00", "200000", "1.00"]);
    }

    #[test]
    fn without_ours_there_is_no_verdict() {
        let standings = standings(&samples(&[(Contender::Bare, 4.0)]), 0);
        assert_eq!(verdict(&standings), "ropewalk was not measured.\n");
        assert!(table(&standings).text(false).contains('–'));
    }
}
