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
use self::standing::{standings, summary, table, verdict};
use self::subject::Subject;
use crate::Outcome;

/// How to measure CPU time.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each server is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long it is measured each time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
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
    #[arg(long)]
    built: bool,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Measures and prints; whether no answer was wrong.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let (rounds, seconds) = if options.quick { (2, 1) } else { (options.rounds, options.seconds) };
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
    let pairs = rows
        .iter()
        .flat_map(|row| row.wanted(&peers).into_iter().map(|subject| (subject, row.service)));
    if !options.built {
        subject::build(pairs)?;
    }
    let mut field = Field::new(&rows, &peers)?;
    let samples = field.measure(&rows, &peers, rounds, seconds)?;

    println!("HTTP/1.1 and WebSocket; CPU time of what is measured, medians of {rounds} rounds of");
    println!("{seconds} s, ratios within each round, then their medians\n");
    for (index, row) in rows.iter().enumerate() {
        let standings = standings(&samples, index);
        println!("{}\n", heading(row, options.markdown));
        println!("{}", table(&standings).text(options.markdown));
        println!("{}", verdict(&standings));
    }
    println!("{}", summary(&rows, &samples).text(options.markdown));
    for fault in &field.faults {
        eprintln!("fault: {fault}");
    }
    Ok(field.faults.is_empty())
}

fn heading(row: &Row, markdown: bool) -> String {
    if markdown {
        format!("**{}** ({})", row.text, row.name)
    } else {
        format!("{} ({})", row.text, row.name)
    }
}
