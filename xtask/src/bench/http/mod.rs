//! CPU time of HTTP and WebSocket, ours and its peers'.

mod config;
mod field;
mod row;
mod standing;
mod subject;

use clap::Args;
use clap::builder::PossibleValuesParser;

use self::field::Field;
use self::row::{ROWS, Row};
use self::standing::{is_won, standings, summary, table, verdict};
use self::subject::Subject;
use crate::Outcome;

/// What a measurement of one second takes with all about it, in seconds, on the average of the rows.
const SECOND: f64 = 1.15;
/// Fewer rounds say nothing.
const ROUNDS_MIN: u32 = 3;

/// How to measure CPU time.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Options {
    /// How often each server is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long it is measured each time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// As many rounds as fit into so many minutes, builds not counted, and no fewer than three.
    #[arg(long, conflicts_with_all = ["rounds", "quick"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    minutes: Option<u32>,
    /// Two rounds of a second each: to see that it works, not to compare.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// The rows to measure; all if none is named.
    #[arg(long, visible_alias = "rows", num_args = 1.., value_delimiter = ',')]
    #[arg(value_parser = PossibleValuesParser::new(ROWS.iter().map(|row| row.name)))]
    row: Vec<String>,
    /// The peers to measure, none if none is named; the bare loop and ours always are.
    #[arg(long, visible_alias = "peer", num_args = 0.., value_delimiter = ',', value_enum)]
    #[arg(default_values_t = Subject::PEERS)]
    peers: Vec<Subject>,
    /// Measure what was built before, as it is.
    #[arg(long, conflicts_with = "build_only")]
    built: bool,
    /// Build what is to be measured, and no more.
    #[arg(long)]
    build_only: bool,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Measures and prints, a row after the other; whether no answer was wrong, and nobody failed.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let mut peers = options.peers.clone();
    peers.retain(|peer| {
        let is_there = peer.is_there();
        if !is_there {
            eprintln!("{} is left out: it is not installed", peer.name());
        }
        is_there
    });
    let is_named = |row: &&Row| options.row.is_empty() || options.row.iter().any(|n| n == row.name);
    let rows: Vec<&Row> = ROWS.iter().filter(is_named).collect();
    let of_row = |row: &&Row| {
        let service = row.service;
        row.wanted(&peers).into_iter().map(move |subject| (subject, service)).collect::<Vec<_>>()
    };
    let pairs: Vec<_> = rows.iter().flat_map(of_row).collect();
    let (rounds, seconds) = options.rounds_and_seconds(pairs.len());
    let missing = if options.built { Vec::new() } else { subject::build(pairs)? };
    if options.build_only {
        return Ok(missing.is_empty());
    }
    let mut field = Field::new(&rows, missing)?;

    println!("HTTP/1.1 and WebSocket; CPU time of what is measured, medians of {rounds} rounds of");
    println!("{seconds} s, ratios within each round, then their medians\n");
    let mut measured = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        eprintln!("{} ({} of {}), {rounds} rounds", row.name, index + 1, rows.len());
        let standings = standings(&field.measure(row, &peers, rounds, seconds));
        println!("{}\n", heading(row, options.markdown));
        println!("{}", table(&standings).text(options.markdown));
        println!("{}", verdict(&standings));
        measured.push((*row, standings));
    }
    println!("{}", summary(&measured).text(options.markdown));
    let open = measured.iter().filter(|(_, standings)| !is_won(standings));
    let open: Vec<_> = open.map(|(row, _)| row.name).collect();
    if !open.is_empty() {
        println!("lost or undecided: --rows {}", open.join(","));
    }
    for fault in &field.faults {
        eprintln!("fault: {fault}");
    }
    Ok(field.faults.is_empty())
}

impl Options {
    /// How often each of so many is measured, and for how long.
    fn rounds_and_seconds(&self, count: usize) -> (u32, u32) {
        match self.minutes {
            _ if self.quick => (2, 1),
            None => (self.rounds, self.seconds),
            Some(minutes) => {
                let each = (f64::from(self.seconds) + SECOND - 1.0) * count.max(1) as f64;
                // The first is measured a second longer.
                let first = SECOND * count as f64;
                let rounds = (f64::from(minutes) * 60.0 - first) / each;
                ((rounds as u32).max(ROUNDS_MIN), self.seconds)
            }
        }
    }
}

fn heading(row: &Row, markdown: bool) -> String {
    if markdown {
        format!("**{}** ({})", row.text, row.name)
    } else {
        format!("{} ({})", row.text, row.name)
    }
}
