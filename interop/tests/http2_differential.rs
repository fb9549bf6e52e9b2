//! Scripts of frames, good and bad, said to our server and to nghttpd: what each answers, step by step.
//!
//! Where the two part, `docs/http2-differences.md` says why; what it does not explain is a fault. `ROPEWALK_SCRIPTS`
//! says how many scripts are run, `ROPEWALK_SEED` of which seed the first one is.

#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

#[path = "http2_differential/ends.rs"]
mod ends;
#[path = "http2_differential/script.rs"]
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ends::{Nghttpd, Ours, Server as _};
use script::{Step, script};

const SCRIPTS: u64 = 400;

/// Where the two part for a reason.
const EXPLAINED: &str = include_str!("../../docs/http2-differences.md");

/// A step, what ours says to it, and what nghttpd says.
type Answers = [String; 3];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// The rows that say where the two part.
fn explained() -> BTreeSet<Answers> {
    let rows = EXPLAINED.lines().filter_map(|line| line.strip_prefix("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").map(|cell| cell.trim_matches('`')).collect();
        assert_eq!(cells.len(), 4, "four columns: {row}");
        [cells[0], cells[1], cells[2]].map(str::to_owned)
    })
    .collect()
}

/// Whether a row explains these answers; what a cell leaves open stands for anything.
fn fits(row: &Answers, answers: &Answers) -> bool {
    row.iter().zip(answers).all(|(cell, said)| match cell.strip_suffix('…') {
        Some(start) => said.starts_with(start),
        None => cell == said,
    })
}

/// An answer with the step's own stream called so, and nothing called as much.
fn named(said: &str, step: &Step) -> String {
    let own = step.stream();
    if said.is_empty() {
        return "nothing".to_owned();
    }
    let parts = said.split(", ").map(|part| match part.split_once(": ") {
        Some((stream, said)) if stream == own.to_string() => said.to_owned(),
        Some((_, said)) => format!("another: {said}"),
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[test]
fn scripts_are_answered_as_nghttpd_answers_them() {
    let (first, count) = (number("ROPEWALK_SEED", 0), number("ROPEWALK_SCRIPTS", SCRIPTS));
    println!("ROPEWALK_SEED={first} ROPEWALK_SCRIPTS={count}");
    let nghttpd = Nghttpd::start();
    let site = Ours::site(nghttpd.absent());
    let mut differences: BTreeMap<Answers, (u64, u64, String)> = BTreeMap::new();
    let (mut steps, mut alike) = (0_u64, 0_u64);
    for seed in first..first + count {
        let (mut ours, mut theirs) = (Ours::start(&site), nghttpd.connect());
        let mut before = String::new();
        for step in script(seed) {
            let (one, other) = (ours.told(&step.octets), theirs.told(&step.octets));
            steps += 1;
            if one != other {
                let [one, other] = [one, other].map(|said| named(&said, &step));
                let answers = [step.name.to_owned(), one, other];
                differences.entry(answers).or_insert((seed, 0, before)).1 += 1;
                // They are not in the same state any more.
                break;
            }
            alike += 1;
            let _ = write!(before, "{} on {}: {one}; ", step.name, step.stream());
            if one.ends_with("closed") {
                break;
            }
        }
    }
    let explained = explained();
    let mut unexplained = 0;
    for (answers, (seed, times, before)) in &differences {
        let [step, ours, theirs] = answers;
        let is_explained = explained.iter().any(|row| fits(row, answers));
        unexplained += usize::from(!is_explained);
        let mark = if is_explained { ' ' } else { '!' };
        println!(
            "{mark} | {step} | {ours} | {theirs} | {times} times, first in the script of {seed}"
        );
        if !is_explained {
            println!("    behind {before}");
        }
    }
    println!("{alike} of {steps} steps alike, {} kinds of differences", differences.len());
    assert!(alike * 10 > steps * 9, "the scripts end early");
    assert_eq!(unexplained, 0, "answers that are not explained");
}
