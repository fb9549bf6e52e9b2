//! The chores of the project: `cargo xtask walls`.

#![forbid(unsafe_code)]

mod cargo;
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
    /// Checks that dependencies point down, and that files and functions stay short.
    Walls,
}

fn main() -> ExitCode {
    let done = match Chore::parse() {
        Chore::Walls => walls::run(),
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
