//! Random programs of deferreds: run for real, and by the model.
//!
//! `ROPEWALK_PROGRAMS` says how many; `ROPEWALK_SEED` replays one.

mod model;
mod program;
mod real;

use std::panic::{AssertUnwindSafe, catch_unwind};

use program::Program;

/// How many programs are tried unless the environment says otherwise.
const PROGRAMS: u64 = 2_000;

/// Statements 1 to 14 and 26, in every mixture.
#[test]
fn deferreds_do_what_the_model_does() {
    let from_environment =
        |name| std::env::var(name).ok().map(|text: String| text.parse().expect(name));
    if let Some(seed) = from_environment("ROPEWALK_SEED") {
        return check(seed);
    }
    for seed in 0..from_environment("ROPEWALK_PROGRAMS").unwrap_or(PROGRAMS) {
        check(seed);
    }
}

#[track_caller]
fn check(seed: u64) {
    let program = Program::random(seed);
    if agree(&program) {
        return;
    }
    let program = shrink(program);
    let (real, model) = (real::run(&program), model::run(&program).0);
    panic!("seed {seed}: {program}\n  real:  {real:?}\n  model: {model:?}");
}

fn agree(program: &Program) -> bool {
    catch_unwind(AssertUnwindSafe(|| real::run(program) == model::run(program).0)).unwrap_or(false)
}

/// The program without all that can be left out while it still goes wrong.
fn shrink(mut program: Program) -> Program {
    let mut at = 0;
    while at < program.ops.len() {
        let mut smaller = program.clone();
        smaller.ops.remove(at);
        if agree(&smaller) {
            at += 1;
        } else {
            program = smaller;
            at = 0;
        }
    }
    program
}

/// The programs are worth running: each verb and each kind of end comes up.
#[test]
fn programs_reach_every_corner() {
    let mut said = String::new();
    for seed in 0..500 {
        said += &model::run(&Program::random(seed)).0.join(" ");
    }
    for word in ["=v", "=e", "=waiting", "=cancelled", "=late", "cb", "eb", "both", "unhandled"] {
        assert!(said.contains(word), "no program comes to {word:?}");
    }
}
