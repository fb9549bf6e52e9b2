//! Tries every law until one is broken: `cargo run -p ropewalk-trial --example laws -- 200` on simulated
//! networks of as many seeds, `… -- poll` on a driver of this system.
//!
//! The last line says `all hold`, or which is broken, with its seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_trial::Simulation;
use ropewalk_trial::laws::{ALL, Law, Stage};

fn main() -> ExitCode {
    let what = std::env::args().nth(1).unwrap_or_else(|| "200".to_owned());
    let broken = match what.parse::<u64>() {
        Ok(seeds) => (0..seeds).find_map(|seed| {
            let simulated = || Stage::simulated(&Simulation::new(seed));
            broken(simulated).map(|what| format!("seed {seed}: {what}"))
        }),
        Err(_) => broken(|| Stage::of(&reactor(&what))),
    };
    println!("{}", broken.as_deref().unwrap_or("all hold"));
    if broken.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn reactor(driver: &str) -> Reactor {
    let kind: DriverKind = driver.parse().expect("a number of seeds, or the name of a driver");
    Reactor::with_driver(kind).expect("a reactor")
}

/// The first law that does not hold on such a stage.
fn broken(stage: impl Fn() -> Stage) -> Option<String> {
    ALL.iter().find_map(|law| match catch_unwind(AssertUnwindSafe(|| Law::check(law, &stage()))) {
        Ok(Ok(())) => None,
        Ok(Err(broken)) => Some(broken.to_string()),
        Err(_) => Some(format!("law {} ({}) panics", law.number(), law.name())),
    })
}
