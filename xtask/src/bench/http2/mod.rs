//! CPU time of HTTP/2, ours and its peers', and the memory of its idle connections.

mod idle;
mod load;
mod subject;

use clap::Args;

use self::load::H2load;
use self::subject::{Running, Subject};
use crate::Outcome;
use crate::bench::proc::{CpuTime, cpus, pinned};
use crate::bench::table::{Table, median, ratio};

/// How to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each server is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long it is measured each time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// The peers to measure, none if none is named; ours always is.
    #[arg(long, visible_alias = "peer", num_args = 0.., value_delimiter = ',', value_enum)]
    #[arg(default_values_t = Subject::PEERS)]
    peers: Vec<Subject>,
    /// How many connections are held idle, to weigh them; none with 0.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(..=20_000))]
    idle: u32,
    /// Measure what was built before, as it is.
    #[arg(long)]
    built: bool,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// What is asked for: a path, and how many streams of one connection at a time.
struct Row {
    body: &'static str,
    path: &'static str,
    streams: u16,
}

const fn row(body: &'static str, path: &'static str, streams: u16) -> Row {
    Row { body, path, streams }
}

const HELLO: &str = "hello";
const MEBIBYTE: &str = "1 MiB";

const ROWS: [Row; 6] = [
    row(HELLO, "/", 1),
    row(HELLO, "/", 10),
    row(HELLO, "/", 100),
    row(MEBIBYTE, "/bytes/1048576", 1),
    row(MEBIBYTE, "/bytes/1048576", 10),
    row(MEBIBYTE, "/bytes/1048576", 100),
];

/// Measures and prints; whether no answer was wrong.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let subjects = subject::present(&options.peers);
    if !options.built {
        subject::build(&subjects)?;
    }
    let (server_cpu, load_cpu) = cpus()?;
    if server_cpu == load_cpu {
        eprintln!("there is but one CPU: server and load share it");
    }
    let load = H2load::new()?;
    let servers: Vec<Running> = subjects
        .iter()
        .map(|&subject| pinned(server_cpu, || subject.start(0)))
        .collect::<Outcome<_>>()?;
    let mut faults = Vec::new();
    // Microseconds by row, then by server, then by round.
    let mut each = vec![vec![Vec::new(); servers.len()]; ROWS.len()];
    for round in 0..options.rounds as usize {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for (row, figures) in ROWS.iter().zip(&mut each) {
            for turn in 0..servers.len() {
                // Another one begins each round.
                let index = (turn + round) % servers.len();
                let server = &servers[index];
                let count = |seconds| {
                    let before = CpuTime::of(server.id())?;
                    let run = || load.run(server.address, row.path, row.streams, seconds);
                    let counted = pinned(load_cpu, run)?;
                    Ok::<_, Box<dyn std::error::Error>>((
                        counted,
                        CpuTime::of(server.id())?.since(before),
                    ))
                };
                if round == 0 {
                    // So that code and first buffers are there.
                    count(1)?;
                }
                let (counted, used) = count(options.seconds)?;
                let name = server.subject.name();
                if counted.failed > 0 {
                    let failed = counted.failed;
                    faults.push(format!("{name}, {} {}: {failed} failed", row.body, row.streams));
                }
                figures[index].push(used.as_secs_f64() * 1e6 / counted.succeeded.max(1) as f64);
            }
        }
    }
    println!("HTTP/2 in clear, one connection; CPU time of the server each request, medians of");
    println!(
        "{} rounds of {} s, and ratios within each round, then their medians\n",
        options.rounds, options.seconds
    );
    println!("{}", table(&servers, &each).text(options.markdown));
    println!("{}", verdict(&servers, &each));
    drop(servers);
    if options.idle > 0 {
        faults.extend(idle::run(&subjects, options.idle as usize, options.markdown)?);
    }
    for fault in &faults {
        eprintln!("fault: {fault}");
    }
    Ok(faults.is_empty())
}

/// The median of the ratios within each round: what slows a whole round down does not show in it.
fn by_rounds(these: &[f64], those: &[f64]) -> Option<f64> {
    median(these.iter().zip(those).map(|(this, that)| this / that))
}

fn table(servers: &[Running], each: &[Vec<Vec<f64>>]) -> Table {
    let mut head = vec!["body, streams at a time".to_owned(), "ropewalk, µs".to_owned()];
    let others = servers.iter().skip(1);
    head.extend(others.map(|server| format!("{}, µs (÷ ours)", server.subject.name())));
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for (row, figures) in ROWS.iter().zip(each) {
        let mut cells = vec![format!("{}, {}", row.body, row.streams)];
        for (index, figure) in figures.iter().enumerate() {
            let microseconds = median(figure.iter().copied()).unwrap_or(f64::NAN);
            cells.push(if index == 0 {
                format!("{microseconds:.2}")
            } else {
                format!("{microseconds:.2} ({})", ratio(by_rounds(figure, &figures[0])))
            });
        }
        table.row(cells);
    }
    table
}

/// Everybody who does better than ours, or not as much worse as is wanted.
fn verdict(servers: &[Running], each: &[Vec<Vec<f64>>]) -> String {
    let mut lines = Vec::new();
    for (row, figures) in ROWS.iter().zip(each) {
        for (server, figure) in servers.iter().zip(figures).skip(1) {
            let Some(times) = by_rounds(figure, &figures[0]) else { continue };
            let (name, wanted) = (server.subject.name(), server.subject.wanted());
            if times < wanted {
                let (body, streams) = (row.body, row.streams);
                lines.push(format!(
                    "MISSED: {body}, {streams}: {name} takes {times:.2} of our time, and {wanted:.2} is wanted"
                ));
            }
        }
    }
    lines.join("\n") + "\n"
}
