//! Processes started and reaped, ours and others'. The work is done by `bench/process`, which is a program of
//! its own so that the engine's lock file knows nothing of the peers.

use clap::Args;
use ropewalk_interop::Tool;

use crate::Outcome;
use crate::cargo::{cargo, root};
use crate::test::programs::Programs;

/// How to measure processes.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each is measured.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// With how many programs each time.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

/// Builds it and runs it; whether all were there.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let programs = Programs::ensure(&Tool::named("twist").into_iter().collect::<Vec<_>>());
    let mut bench = cargo();
    bench.args(["run", "--release", "--quiet", "--manifest-path"]);
    bench.arg(root().join("bench/process/Cargo.toml")).arg("--");
    bench.args([options.rounds.to_string(), options.count.to_string()]);
    programs.tell(&mut bench);
    let python = root().join("target/peers/python/bin/python3");
    let has_twisted = programs.missing.is_empty() && python.exists();
    if has_twisted {
        bench.env("ROPEWALK_BENCH_PYTHON", python);
    }
    Ok(bench.status()?.success() && has_twisted)
}
