//! The laws, on simulated hosts, on every driver of this system, and on what is known to be broken.

mod faults;
mod mutations;

use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_trial::Simulation;
use ropewalk_trial::laws::{self, Stage};

/// How many seeds each law is tried with.
const SEEDS: u64 = 200;

#[test]
fn all_hold_in_all_weathers() {
    for law in laws::ALL {
        for seed in 0..SEEDS {
            let simulation = Simulation::new(seed);
            if let Err(broken) = law.check(&Stage::simulated(&simulation)) {
                panic!("seed {seed}: {broken}");
            }
        }
    }
}

#[test]
fn all_hold_on_every_driver() {
    for kind in DriverKind::ALL {
        if !kind.is_available() {
            continue;
        }
        let reactor = Reactor::with_driver(kind).unwrap();
        for law in laws::ALL {
            if let Err(broken) = law.check(&Stage::of(&reactor)) {
                panic!("{kind}: {broken}");
            }
        }
    }
}
