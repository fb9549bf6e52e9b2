//! `cargo xtask bench deferred`: what deferreds cost, against futures, tokio's oneshot and Twisted.
//!
//! Instructions decide, counted by valgrind: the difference between two runs, by the number of turns
//! that they differ in. Nanoseconds stand beside them for the feeling.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::Outcome;
use crate::cargo::root;

const SHAPES: [&str; 6] =
    ["fire-0", "fire-1", "fire-10", "returned-10", "await-ready", "await-pending"];
/// Ours link by link, and with links that are put together beforehand. Futures polled by hand as one
/// type, boxed step by step as a `Deferred` is, and spawned on an executor, where firing alone brings
/// the result on.
const PEERS: [&str; 6] =
    ["ours", "ours-steps", "futures", "futures-boxed", "futures-spawned", "tokio"];
/// What must cost in proportion to its length.
const GROWING: [&str; 4] = ["chain-long", "nest-long", "chain-dropped", "nest-dropped"];
const LENGTHS: [u64; 3] = [10_000, 100_000, 1_000_000];
/// How much ten times the length may cost at most.
const GROWTH_MAX: f64 = 13.0;

/// How much to count.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave out how the cost grows with the length.
    #[arg(long)]
    quick: bool,
    /// Leave out Twisted, which comes from the Python registry.
    #[arg(long)]
    no_twisted: bool,
}

/// Builds, counts and prints.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let bench = Bench::build(root())?;
    bench.print_shapes(!options.no_twisted)?;
    if options.quick { Ok(()) } else { bench.print_growth() }
}

struct Bench {
    binary: PathBuf,
    script: PathBuf,
    packages: PathBuf,
}

impl Bench {
    fn build(root: &Path) -> Outcome<Self> {
        let (source, target) = (root.join("bench/deferred"), root.join("target/bench-deferred"));
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--release", "--manifest-path"]);
        cargo.arg(source.join("Cargo.toml")).env("CARGO_TARGET_DIR", &target);
        output(&mut cargo)?;
        Ok(Self {
            binary: target.join("release/bench-deferred"),
            script: source.join("shapes.py"),
            packages: root.join("target/peers/python-for-bench"),
        })
    }

    fn print_shapes(&self, with_twisted: bool) -> Outcome<()> {
        println!("| shape | who | instructions | of ours | allocations | ns |");
        println!("|---|---|--:|--:|--:|--:|");
        let idle = if with_twisted { self.twisted_idle()? } else { 0 };
        for shape in SHAPES {
            let mut ours = None;
            for who in PEERS.into_iter().filter(|who| self.knows(shape, who)) {
                let turns = 2_000;
                let more = self.instructions(shape, who, turns + 1_000)?;
                let cost = (more - self.instructions(shape, who, 1_000)?) / turns;
                let ratio = cost as f64 / *ours.get_or_insert(cost) as f64;
                let allocations = self.ask(shape, who, 10_000, "allocations")? as f64 / 1e3;
                let time = self.ask(shape, who, 1_000_000, "nanoseconds")?;
                println!("| {shape} | {who} | {cost} | {ratio:.2} | {allocations:.0} | {time} |");
            }
            if with_twisted {
                let (cost, time) = self.twisted(shape, idle)?;
                let ratio = cost as f64 / ours.unwrap_or(1) as f64;
                println!("| {shape} | twisted | {cost} | {ratio:.2} | – | {time} |");
            }
        }
        Ok(())
    }

    fn print_growth(&self) -> Outcome<()> {
        println!("\n| length | {} |", LENGTHS.map(|length| length.to_string()).join(" | "));
        println!("|---|--:|--:|--:|");
        for shape in GROWING {
            let idle = self.instructions(shape, "ours", 1)?;
            let costs = LENGTHS.map(|length| self.instructions(shape, "ours", length));
            let mut before = None;
            let mut cells = Vec::new();
            for cost in costs {
                let cost = (cost? - idle) as f64;
                let growth = before.replace(cost).map(|before| cost / before);
                cells.push(match growth {
                    Some(growth) => format!("{:.1} M (× {growth:.1})", cost / 1e6),
                    None => format!("{:.1} M", cost / 1e6),
                });
                if growth.is_some_and(|growth| growth > GROWTH_MAX) {
                    return Err(format!("{shape} grows faster than its length: {cells:?}").into());
                }
            }
            println!("| {shape} | {} |", cells.join(" | "));
        }
        Ok(())
    }

    fn knows(&self, shape: &str, who: &str) -> bool {
        Command::new(&self.binary)
            .args([shape, who, "1"])
            .output()
            .is_ok_and(|it| it.status.success())
    }

    fn ask(&self, shape: &str, who: &str, count: u64, what: &str) -> Outcome<u64> {
        let mut command = Command::new(&self.binary);
        command.args([shape, who, &count.to_string(), what]);
        Ok(output(&mut command)?.trim().parse()?)
    }

    fn instructions(&self, shape: &str, who: &str, count: u64) -> Outcome<u64> {
        counted(Command::new("valgrind"), &self.binary, &[shape, who, &count.to_string()])
    }

    /// What Python and Twisted take for doing nothing.
    fn twisted_idle(&self) -> Outcome<u64> {
        if !self.packages.join("twisted").is_dir() {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&self.packages);
            output(pip.arg("twisted"))?;
        }
        // The first run writes what Python keeps of the sources.
        self.python("fire-0", 0)?;
        self.python("fire-0", 0)
    }

    fn twisted(&self, shape: &str, idle: u64) -> Outcome<(u64, u64)> {
        let turns = 1_000;
        let cost = self.python(shape, turns)?.saturating_sub(idle) / turns;
        let mut timed = Command::new("python3");
        timed.env("PYTHONPATH", &self.packages).arg(&self.script);
        let time = output(timed.args([shape, "100000", "nanoseconds"]))?.trim().parse()?;
        Ok((cost, time))
    }

    fn python(&self, shape: &str, count: u64) -> Outcome<u64> {
        let mut valgrind = Command::new("valgrind");
        valgrind.env("PYTHONPATH", &self.packages).env("PYTHONHASHSEED", "0");
        let script = self.script.to_string_lossy();
        // What is called `python3` may be a script that looks for it.
        let mut which = Command::new("python3");
        let python = output(which.args(["-c", "import sys; print(sys.executable)"]))?;
        counted(valgrind, Path::new(python.trim()), &[&script, shape, &count.to_string()])
    }
}

/// How many instructions a program takes.
fn counted(mut valgrind: Command, program: &Path, args: &[&str]) -> Outcome<u64> {
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).args(args);
    let done = valgrind.output().map_err(|why| format!("valgrind is needed: {why}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : "));
    match count {
        Some((_, count)) if done.status.success() => Ok(count.trim().parse()?),
        _ => Err(format!("{} {args:?} failed: {said}", program.display()).into()),
    }
}

fn output(command: &mut Command) -> Outcome<String> {
    let done = command.output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{command:?} failed: {said}").into());
    }
    Ok(String::from_utf8(done.stdout)?)
}
