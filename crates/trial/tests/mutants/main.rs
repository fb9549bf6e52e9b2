//! Faults in the transports themselves: a scratch copy of their sources is made, faults are written into
//! it, and the laws find each.
//!
//! All faults are built into one copy, each asleep until the environment names it, so that there is one
//! build and not one for each.

mod list;
mod scratch;

use list::{MUTANTS, Mutant, Where};
use scratch::Scratch;

/// With how many seeds a mutant must be caught at most.
const SEEDS: u64 = 200;
/// With how many seeds the copy is tried while all faults are asleep.
const SEEDS_ASLEEP: u64 = 5;

#[test]
fn the_laws_find_each_fault_in_the_transports() {
    let scratch = Scratch::make(MUTANTS);
    assert_eq!(scratch.try_laws("none", &SEEDS_ASLEEP.to_string()), "all hold");
    let survivors: Vec<_> =
        MUTANTS.iter().filter_map(|mutant| survives(&scratch, mutant)).collect();
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}

/// That a mutant was not found where its entry says; `None` if it was.
fn survives(scratch: &Scratch, mutant: &Mutant) -> Option<String> {
    let tried = match mutant.found {
        Where::Seed(_) => SEEDS.to_string(),
        Where::Driver(driver) => driver.to_owned(),
    };
    let said = scratch.try_laws(mutant.name, &tried);
    println!("{}: {said:.160}", mutant.name);
    let is_found = match mutant.found {
        Where::Seed(last) => {
            let seed = said.strip_prefix("seed ").and_then(|rest| rest.split_once(": law "));
            seed.and_then(|(seed, _)| seed.parse().ok()).is_some_and(|seed: u64| seed <= last)
        }
        Where::Driver(_) => said.starts_with("law "),
    };
    (!is_found).then(|| format!("{}: not by {:?}: {said}", mutant.name, mutant.found))
}
