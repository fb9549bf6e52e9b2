//! `bench-deferred <shape> <who> <count>`: does one shape of work `count` times.
//!
//! What decides is not timed: an instruction counter watches from outside, and the difference between two
//! counts is the cost. A fourth argument has it print what one turn took: `allocations`, in
//! thousandths, or `nanoseconds`.

mod count;
mod future;
mod ours;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [shape, who, count, rest @ ..] = &args[..] else { return usage() };
    let Ok(count) = count.parse() else { return usage() };
    let run = match &**who {
        "ours" => ours::shape(shape),
        "ours-followed" => {
            ropewalk_deferred::follow_unfired(|| std::time::Duration::ZERO);
            ours::shape(shape)
        }
        "ours-steps" => ours::shape_of_steps(shape),
        "futures" => future::shape(shape, future::Kind::Futures),
        "futures-boxed" => future::shape(shape, future::Kind::FuturesBoxed),
        "futures-spawned" => future::shape(shape, future::Kind::FuturesSpawned),
        "tokio" => future::shape(shape, future::Kind::Tokio),
        _ => None,
    };
    let Some(run) = run else { return usage() };
    // What is done once only is done before the counting.
    run(1);
    let (start, before) = (Instant::now(), count::allocations());
    run(count);
    match rest.first().map(|word| &**word) {
        Some("allocations") => println!("{}", (count::allocations() - before) * 1_000 / count),
        Some("nanoseconds") => println!("{}", start.elapsed().as_nanos() / u128::from(count)),
        _ => (),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: bench-deferred <shape> <who> <count> [allocations]");
    ExitCode::from(2)
}
