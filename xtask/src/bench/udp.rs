//! UDP echo, ours and others'. The work is done by `bench/udp`, which is a program of its own so that the
//! engine's lock file knows nothing of the peers.

use clap::Args;

use crate::Outcome;
use crate::cargo::{cargo, root};

/// How to measure datagrams.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each server is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long it is measured each time, in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

/// Builds it and runs it; whether it ran to its end.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let mut bench = cargo();
    bench.args(["run", "--release", "--quiet", "--manifest-path"]);
    bench.arg(root().join("bench/udp/Cargo.toml")).arg("--");
    bench.args([options.rounds.to_string(), options.seconds.to_string()]);
    Ok(bench.status()?.success())
}
