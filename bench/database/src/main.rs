//! What `run_query` costs over bare `rusqlite`, and over PostgreSQL beside `tokio-postgres`.
//!
//! Contenders take turns within each round, another one first each round; what is printed are medians, and
//! medians of the ratios and differences within rounds.

#![forbid(unsafe_code)]

mod postgres;
mod sqlite;

use std::error::Error;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How often each is measured, and with how many queries, unless the command line says otherwise.
const ROUNDS: usize = 15;
const COUNT: usize = 2000;

/// What so many queries took.
#[derive(Clone, Copy)]
struct Spent {
    /// By the clock on the wall.
    wall: Duration,
    /// On the CPU, in all threads.
    cpu: Duration,
}

/// Measures `work`.
fn spent(work: impl FnOnce() -> Outcome<()>) -> Outcome<Spent> {
    let time = |clock| Duration::try_from(clock_gettime(clock)).map_err(|_| "a clock before 1970");
    let before = (time(ClockId::Monotonic)?, time(ClockId::ProcessCPUTime)?);
    work()?;
    let after = (time(ClockId::Monotonic)?, time(ClockId::ProcessCPUTime)?);
    Ok(Spent { wall: after.0 - before.0, cpu: after.1 - before.1 })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One of those that are measured.
struct Contender<'c> {
    name: &'c str,
    /// Does so many queries.
    run: Box<dyn FnMut(usize) -> Outcome<()> + 'c>,
}

/// Measures all, and prints each beside the first.
fn measure(title: &str, rounds: usize, count: usize, all: &mut [Contender<'_>]) -> Outcome<()> {
    let mut found = vec![Vec::new(); all.len()];
    for contender in &mut *all {
        (contender.run)(count)?;
    }
    for round in 0..rounds {
        for turn in 0..all.len() {
            let place = (round + turn) % all.len();
            let run = &mut all[place].run;
            found[place].push(spent(|| run(count))?);
        }
    }
    println!("\n{title}: µs a query, {rounds} rounds of {count}");
    println!("{:34} {:>8} {:>8} {:>14} {:>8}", "", "wall", "CPU", "wall over 1st", "CPU/1st");
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / count as f64;
    for (contender, own) in all.iter().zip(&found) {
        let pairs = || own.iter().zip(&found[0]);
        println!(
            "{:34} {:8.2} {:8.2} {:14.2} {:8.2}",
            contender.name,
            median(own.iter().map(|spent| each(spent.wall)).collect()),
            median(own.iter().map(|spent| each(spent.cpu)).collect()),
            median(pairs().map(|(own, first)| each(own.wall) - each(first.wall)).collect()),
            median(pairs().map(|(own, first)| own.cpu.as_secs_f64() / first.cpu.as_secs_f64()).collect()),
        );
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let rounds = arguments.get(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let count = arguments.get(2).map_or(Ok(COUNT), |count| count.parse())?;
    sqlite::run(rounds, count)?;
    match std::env::var("ROPEWALK_BENCH_POSTGRES") {
        Ok(port) => postgres::run(rounds, count, port.parse()?),
        Err(_) => {
            println!("without PostgreSQL: ROPEWALK_BENCH_POSTGRES names no port");
            Ok(())
        }
    }
}
