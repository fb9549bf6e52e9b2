//! The chores of the project: `cargo xtask test`, `cargo xtask walls`, `cargo xtask fuzz`,
//! `cargo xtask cross`, `cargo xtask soak`, `cargo xtask bench`.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "chores measure the time of the world")]

#[cfg(target_os = "linux")]
mod bench;
mod cargo;
mod cross;
mod fuzz;
mod soak;
mod test;
mod walls;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// What a chore answers; what went wrong is only ever shown.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// The chores of the project.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    /// Tries everything that must hold before a change goes in.
    Test(test::Options),
    /// Checks that dependencies point down, and that files and functions stay short.
    Walls,
    /// Makes up inputs for what must hold for any bytes.
    Fuzz(fuzz::Options),
    /// Compiles for Windows, macOS and FreeBSD, and runs on Windows' interfaces what it can.
    Cross(cross::Options),
    /// Has programs serve mixed load through reloads and upgrades, and tells whether they grow.
    Soak(soak::Options),
    /// Measures ours against its peers.
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Test(options) => Ok(test::run(&options)),
        Chore::Walls => walls::run(),
        Chore::Fuzz(options) => fuzz::run(&options),
        Chore::Cross(options) => cross::run(&options),
        Chore::Soak(options) => soak::run(&options),
        #[cfg(target_os = "linux")]
        Chore::Bench(bench) => bench::run(&bench),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
