//! `bench-deferred <shape> <who> <count>`: does one shape of work `count` times.
//!
//! Nothing is timed here: an instruction counter watches from outside, and the difference between two
//! counts is the cost. With `allocations` as a fourth argument it prints how often it allocated.

mod count;
mod future;
mod ours;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [shape, who, count, rest @ ..] = &args[..] else { return usage() };
    let Ok(count) = count.parse() else { return usage() };
    let run = match &**who {
        "ours" => ours::shape(shape),
        "futures" => future::shape(shape, future::Kind::Futures),
        "futures-boxed" => future::shape(shape, future::Kind::FuturesBoxed),
        "futures-spawned" => future::shape(shape, future::Kind::FuturesSpawned),
        "tokio" => future::shape(shape, future::Kind::Tokio),
        _ => None,
    };
    let Some(run) = run else { return usage() };
    // What is done once only is done before the counting.
    run(1);
    let before = count::allocations();
    run(count);
    if rest.first().is_some_and(|word| word == "allocations") {
        println!("{}", count::allocations() - before);
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: bench-deferred <shape> <who> <count> [allocations]");
    ExitCode::from(2)
}
