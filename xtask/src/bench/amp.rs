//! AMP calls, ours and Twisted's. The work is done by `bench/amp`, which is a program of its own so that
//! the engine's lock file knows nothing of it.

use ropewalk_interop::Tool;

use crate::Outcome;
use crate::cargo::{cargo, root};
use crate::test::programs::Programs;

/// Builds it and runs it; whether Twisted was there.
pub(crate) fn run() -> Outcome<bool> {
    let programs = Programs::ensure(&Tool::named("twist").into_iter().collect::<Vec<_>>());
    if !programs.missing.is_empty() {
        return Err("Twisted is missing, and could not be installed from the package index".into());
    }
    let mut bench = cargo();
    bench.args(["run", "--release", "--quiet", "--manifest-path"]);
    bench.arg(root().join("bench/amp/Cargo.toml"));
    programs.tell(&mut bench);
    Ok(bench.status()?.success())
}
