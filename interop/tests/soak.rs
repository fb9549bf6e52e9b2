//! Mixed load, reloads and upgrades for a while: nothing is refused, no answer is broken, and nothing grows.
//!
//! It takes half a minute; `cargo xtask soak` has it take twenty, and says so in `ROPEWALK_SOAK_MINUTES`.

#![allow(clippy::disallowed_methods, reason = "it watches programs in the time of the world")]

#[path = "soak/conductor.rs"]
mod conductor;
#[path = "soak/load.rs"]
mod load;
#[path = "soak/program.rs"]
mod program;
#[path = "soak/slow.rs"]
mod slow;
#[path = "soak/web.rs"]
mod web;

use std::time::Duration;

use ropewalk_interop::TempDir;

use crate::conductor::Conductor;
use crate::load::Load;
use crate::program::{Program, Samples};

/// How long it takes unless told otherwise.
const USUAL: Duration = Duration::from_secs(24);
/// From how long on the first quarter is no longer that in which everything is done for the first time.
const LONG: Duration = Duration::from_mins(5);

fn length() -> Duration {
    let minutes = std::env::var("ROPEWALK_SOAK_MINUTES").ok();
    let minutes = minutes.map(|text| text.parse::<f64>().expect("a number of minutes"));
    minutes.map_or(USUAL, |minutes| Duration::from_secs_f64(minutes * 60.0))
}

#[test]
fn mixed_load_reloads_and_upgrades_leave_nothing_behind() {
    let folder = TempDir::new("soak").expect("a folder");
    let length = length();
    let mut programs = vec![
        Program::run(&folder, "upgraded"),
        Program::run(&folder, "reloaded"),
        Program::demo(&folder),
        Program::datagrams(&folder),
    ];
    let mut conductor = Conductor::new(length);
    // Successors are started otherwise than their elders, so that only they are like each other.
    conductor.upgrade(&mut programs[0]);
    let before: Vec<usize> = programs.iter().map(Program::settled).collect();

    let load = Load::on(&programs);
    conductor.conduct(&mut programs, &load);
    let (counts, broken) = load.end();

    println!("\n| load | answered | ended before an answer |\n|---|--:|--:|");
    for (name, done, parted) in &counts {
        println!("| {name} | {done} | {parted} |");
    }
    let (reloads, upgrades) = (conductor.reloads, conductor.upgrades);
    println!("\n{} s, {reloads} reloads, {upgrades} upgrades\n", length.as_secs());
    Samples::print_head();
    let mut grown = Vec::new();
    for (program, before) in programs.iter().zip(before) {
        program.samples.print(&program.name);
        grown.extend(program.samples.grown(length >= LONG).map(|what| (&program.name, what)));
        // Whatever was open for somebody is closed again.
        program.wait_for_descriptors(before);
    }
    assert!(broken.is_empty(), "{} broken: {:#?}", broken.len(), &broken[..broken.len().min(5)]);
    assert!(grown.is_empty(), "{grown:#?}");
    assert!(counts.iter().all(|(_, done, _)| *done > 0), "{counts:?}");
    // Only what is done to the programs ends connections so, a few of each client at a time.
    let parted_max = 4 * (2 * reloads + upgrades + 1);
    assert!(counts.iter().all(|(_, _, parted)| *parted <= parted_max), "{counts:?}");
}
