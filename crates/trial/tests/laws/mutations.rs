//! The laws find what is broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ropewalk_trial::Simulation;
use ropewalk_trial::laws::{self, Stage};

use crate::SEEDS;
use crate::faults::{Careless, Fault, Faulty, Slip};

const FAULTS: [Fault; 11] = [
    Fault::LostWakeUp,
    Fault::DroppedTail,
    Fault::Reordering,
    Fault::DescriptorLeak,
    Fault::DeafToPause,
    Fault::LostResume,
    Fault::Repetition,
    Fault::LostEnd,
    Fault::AbortAsClose,
    Fault::SilentScarcity,
    Fault::LostBytes,
];

const SLIPS: [Slip; 4] = [Slip::LateCall, Slip::TwoEnds, Slip::NoEnd, Slip::LateBeginning];

/// No fault is so rare that it would take more than the first seed.
const SEED_FIRST: u64 = 0;

/// The first seed that shows the fault, and what is broken then.
fn catch(stage: impl Fn(&Simulation) -> Stage) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| {
        laws::ALL.iter().find_map(|law| {
            let simulation = Simulation::new(seed);
            let checked = catch_unwind(AssertUnwindSafe(|| law.check(&stage(&simulation))));
            let broken = match checked {
                Ok(Ok(())) => return None,
                Ok(Err(broken)) => broken.to_string(),
                Err(_) => format!("law {} ({}) panics", law.number(), law.name()),
            };
            Some((seed, broken))
        })
    })
}

#[test]
fn every_fault_of_a_driver_is_caught() {
    for fault in FAULTS {
        let caught = catch(|simulation| {
            let seed = simulation.seed();
            Stage::simulated_over(simulation, |driver| Faulty::over(driver, fault, seed))
        });
        let Some((seed, broken)) = caught else { panic!("{fault:?} is not caught") };
        println!("{fault:?}: seed {seed}: {broken:.120}");
        assert_eq!(seed, SEED_FIRST, "{fault:?} takes until seed {seed}");
    }
}

#[test]
fn every_slip_of_a_transport_is_caught() {
    for slip in SLIPS {
        let caught = catch(|simulation| {
            Stage::simulated(simulation).dressed(move |witness| Careless::dress(witness, slip))
        });
        let Some((seed, broken)) = caught else { panic!("{slip:?} is not caught") };
        println!("{slip:?}: seed {seed}: {broken:.120}");
        assert_eq!(seed, SEED_FIRST, "{slip:?} takes until seed {seed}");
    }
}
