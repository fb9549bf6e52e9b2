//! Makes up inputs, at length.
//!
//! libFuzzer looks at the coverage that the compiler's own options put in, so that no other toolchain
//! and no other program is needed. The rooms have no unsafe code for a sanitizer to look at.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::Outcome;
use crate::cargo::{cargo, root};

/// What tells libFuzzer which code an input reaches, and what it compares.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1";
/// How long an input may take, in seconds.
const PATIENCE: u32 = 10;
/// How much memory it may take, in MiB.
const MEMORY: u32 = 2048;

/// What to make up inputs for, and how long.
///
/// Begins with the committed corpus. What reaches new code is kept beside the build; what makes a
/// target fail is left in `fuzz/corpus/TARGET/`, where the tests will find it from then on.
#[derive(Args)]
pub(crate) struct Options {
    /// The targets; all of them, one after the other, if none is named.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long to try each.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
}

/// Runs each target; whether all held.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let known = targets()?;
    let unknown = options.targets.iter().find(|target| !known.contains(target));
    if let Some(unknown) = unknown {
        return Err(format!("there is no target {unknown}; there are {}", known.join(", ")).into());
    }
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    let program = build()?;
    let mut failed = Vec::new();
    for target in chosen {
        println!("fuzz {target}, {} s", options.seconds);
        if !fuzz(&program, target, options.seconds)? {
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        println!("does not hold: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

/// The names of all targets: each has a corpus, as the tests see to.
fn targets() -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/corpus"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds the fuzzer and says where it is.
fn build() -> Outcome<PathBuf> {
    let host = host()?;
    let folder = root().join("fuzz/libfuzzer");
    let mut build = cargo();
    // With a target named, the options are not for build scripts and macros.
    build.args(["build", "--release", "--quiet", "--target", &host, "--manifest-path"]);
    build.arg(folder.join("Cargo.toml")).env("RUSTFLAGS", COVERAGE);
    build.env("CARGO_TARGET_DIR", folder.join("target"));
    if !build.status()?.success() {
        return Err("the fuzzer cannot be built".into());
    }
    Ok(folder.join("target").join(host).join("release/libfuzzer"))
}

/// What this machine is called by the compiler.
fn host() -> Outcome<String> {
    let said = Command::new("rustc").arg("-vV").output()?;
    let said = String::from_utf8(said.stdout)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc does not say what this machine is")?.to_owned())
}

/// Tries one target; whether it held.
fn fuzz(program: &Path, target: &str, seconds: u32) -> Outcome<bool> {
    let committed = root().join("fuzz/corpus").join(target);
    let grown = root().join("fuzz/libfuzzer/target/corpus").join(target);
    std::fs::create_dir_all(&grown)?;
    let mut fuzzer = Command::new(program);
    fuzzer.env("ROPEWALK_FUZZ_TARGET", target);
    fuzzer.args([format!("-max_total_time={seconds}"), format!("-timeout={PATIENCE}")]);
    fuzzer.args([format!("-rss_limit_mb={MEMORY}"), "-print_final_stats=1".to_owned()]);
    fuzzer.arg(format!("-artifact_prefix={}/", committed.display()));
    // New inputs go to the first folder.
    fuzzer.args(["-verbosity=0"]).arg(grown).arg(committed);
    let done = fuzzer.output()?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() {
        let stats = said.lines().filter_map(|line| line.strip_prefix("stat::"));
        stats.for_each(|stat| println!("  {stat}"));
    } else {
        println!("{said}");
    }
    Ok(done.status.success())
}
