//! Processes started and reaped for each second that whoever starts them spends on the CPU.
//!
//! Each contender is a process of its own, which runs many short programs, a few at a time, and says what
//! it has spent; what the programs themselves spend is theirs. Within a round each has its turn, another
//! begins each round, and ratios are taken within rounds.

#![forbid(unsafe_code)]

mod contenders;

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

use contenders::{Kind, Shape};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How often each is measured, and with how many programs, unless the command line says otherwise.
const ROUNDS: usize = 9;
const COUNT: usize = 400;
/// Where Twisted is, if it is anywhere.
const PYTHON: &str = "ROPEWALK_BENCH_PYTHON";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, kind, shape, count] = &arguments[..]
        && flag == "--run"
    {
        let kind = Kind::named(kind).ok_or("no such contender")?;
        return contenders::run(kind, Shape::named(shape).ok_or("no such shape")?, count.parse()?);
    }
    let rounds = arguments.get(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let count = arguments.get(2).map_or(Ok(COUNT), |count| count.parse())?;
    let python = std::env::var_os(PYTHON).map(PathBuf::from);
    if python.is_none() {
        println!("without Twisted: {PYTHON} names no interpreter that has it");
    }
    println!("processes started and reaped for each second of CPU time of whoever starts them");
    println!(
        "medians of {rounds} rounds of {count}; ratios to tokio within each round, their medians"
    );
    for shape in Shape::ALL {
        measure(shape, rounds, count, python.as_ref())?;
    }
    Ok(())
}

fn measure(shape: Shape, rounds: usize, count: usize, python: Option<&PathBuf>) -> Outcome<()> {
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| *kind != Kind::Twisted || python.is_some()).collect();
    let mut found = vec![Vec::new(); kinds.len()];
    for round in 0..rounds {
        for turn in 0..kinds.len() {
            let place = (round + turn) % kinds.len();
            found[place].push(spent(kinds[place], shape, count, python)?);
        }
    }
    let tokio = kinds.iter().position(|kind| *kind == Kind::Tokio).ok_or("tokio is missing")?;
    println!("\n{}", shape.words());
    for (kind, each) in kinds.iter().zip(&found) {
        let ratios = each.iter().zip(&found[tokio]).map(|(own, tokio)| tokio / own).collect();
        println!(
            "{:22} {:8.0} /s  {:6.1} µs each  {:.2}",
            kind.name(),
            1e6 / median(each.clone()),
            median(each.clone()),
            median(ratios),
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds of CPU time a process.
fn spent(kind: Kind, shape: Shape, count: usize, python: Option<&PathBuf>) -> Outcome<f64> {
    let mut command = match (kind, python) {
        (Kind::Twisted, Some(python)) => {
            let mut command = Command::new(python);
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/spawner.py"));
            command
        }
        _ => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--run", kind.name()]);
            command
        }
    };
    let output = command.arg(shape.name()).arg(count.to_string()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let micros: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(micros / count as f64)
}
