//! Queries to databases, ours and others'. The work is done by `bench/database`, which is a program of its own
//! so that the engine's lock file knows nothing of the peers.

use clap::Args;
use ropewalk_interop::{PostgresServer, Tool};

use crate::Outcome;
use crate::cargo::{cargo, root};
use crate::test::programs::Programs;

/// How to measure databases.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each is measured.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// With how many queries each time.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
}

/// Builds it and runs it; whether all were there.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let tools = ["initdb", "postgres", "setpriv"].into_iter().filter_map(Tool::named);
    let programs = Programs::ensure(&tools.collect::<Vec<_>>());
    let mut bench = cargo();
    bench.args(["run", "--release", "--quiet", "--manifest-path"]);
    bench.arg(root().join("bench/database/Cargo.toml")).arg("--");
    bench.args([options.rounds.to_string(), options.count.to_string()]);
    let has_postgres = programs.missing.is_empty();
    let mut server = None;
    if has_postgres {
        let mut started = PostgresServer::new()?;
        started.start()?;
        bench.env("ROPEWALK_BENCH_POSTGRES", started.address().port().to_string());
        server = Some(started);
    }
    let status = bench.status()?;
    drop(server);
    Ok(status.success() && has_postgres)
}
