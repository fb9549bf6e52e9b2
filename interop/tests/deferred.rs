//! The same programs in our deferreds and in Twisted's: what each link sees, and how each chain ends.
//!
//! One difference is known, and documented under "Differs from Twisted": a link that returns a deferred
//! whose own links are just running waits for their end here; there, it takes what the last of them
//! got. The model knows which programs come to that.
//!
//! `ROPEWALK_PROGRAMS` says how many programs are run.

#[path = "../../crates/protocol/tests/protocol/programs/model.rs"]
mod model;
#[path = "../../crates/protocol/tests/protocol/programs/program.rs"]
mod program;
#[path = "../../crates/protocol/tests/protocol/programs/real.rs"]
mod real;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use program::Program;
use ropewalk_interop::tool;

const PROGRAMS: u64 = 2_000;

#[test]
fn programs_run_as_they_do_in_twisted() {
    let count = std::env::var("ROPEWALK_PROGRAMS").map_or(PROGRAMS, |text| text.parse().unwrap());
    let programs: Vec<_> = (0..count).map(Program::random).collect();
    let theirs = twisted(&programs);
    assert_eq!(theirs.len(), programs.len());
    assert!(theirs.iter().any(|trace| trace.contains("=late")), "the programs say little");
    let mut unexplained = 0;
    for ((seed, program), theirs) in programs.iter().enumerate().zip(theirs) {
        let mut ours = real::run(program);
        // What nobody took is logged by Twisted when the collector comes by: not to be compared.
        ours.pop();
        let ours = ours.join("|");
        if ours != theirs && !model::run(program).1 {
            unexplained += 1;
            eprintln!("seed {seed}: {program}\n  ours:    {ours}\n  twisted: {theirs}");
        }
    }
    assert_eq!(unexplained, 0, "programs that run otherwise in Twisted");
}

/// What Twisted makes of each program.
fn twisted(programs: &[Program]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deferred_programs.py");
    let mut child = Command::new(tool("twist").with_file_name("python3"))
        .arg(script)
        .arg(program::CHAINS.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut stdin = child.stdin.take().expect("it is piped");
    let lines: Vec<_> = programs.iter().map(|program| format!("{program}\n")).collect();
    let writer = thread::Builder::new().spawn(move || {
        for line in lines {
            stdin.write_all(line.as_bytes()).expect("Python reads its programs");
        }
    });
    let output = child.wait_with_output().expect("Python ends");
    writer.expect("a thread").join().expect("all programs were written");
    assert!(output.status.success(), "the script failed");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    text.lines().map(str::to_owned).collect()
}
