//! `cargo xtask soak`: programs under mixed load, reloads and upgrades for a while.

use std::process::Command;

use clap::Args;

use crate::Outcome;
use crate::cargo::root;

/// How long to watch.
#[derive(Args)]
pub(crate) struct Options {
    /// How many minutes it takes.
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Watch the program as it is built for tests, with its assertions.
    #[arg(long)]
    debug: bool,
}

/// Builds the program and runs the suite `soak` on it; false if anything was refused, broken, or grew.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let cargo = || {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root());
        cargo
    };
    let mut test = cargo();
    test.args(["test", "--quiet", "--package", "ropewalk-interop", "--test", "soak", "--"]);
    test.arg("--nocapture").env("ROPEWALK_SOAK_MINUTES", options.minutes.to_string());
    if !options.debug {
        let mut build = cargo();
        build.args(["build", "--quiet", "--release", "--package", "ropewalk-cli"]);
        if !build.status()?.success() {
            return Ok(false);
        }
        let target = std::env::var_os("CARGO_TARGET_DIR");
        let target = target.map_or_else(|| root().join("target"), |path| root().join(path));
        test.env("ROPEWALK_SOAK_PROGRAM", target.join("release/ropewalk"));
    }
    Ok(test.status()?.success())
}
