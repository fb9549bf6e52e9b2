//! Compiles for other systems, and runs on Windows' own interfaces what can be run here.
//!
//! The standard library is compiled along, by the nightly toolchain, from sources that must go with it: it
//! breaks whenever one moves without the other. That is why this is no part of the tests.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::Outcome;
use crate::cargo::{cargo, root};

const WINDOWS: &str = "x86_64-pc-windows-gnu";
/// For these there is neither a linker nor a C compiler here.
const CHECKED: [&str; 2] = ["aarch64-apple-darwin", "x86_64-unknown-freebsd"];
/// What is written in C and compiled along.
const IN_C: [&str; 3] = ["aws-lc-sys", "libsqlite3-sys", "zstd-sys"];
/// What compiles C for Windows, and what runs its programs.
const MINGW: &str = "x86_64-w64-mingw32-gcc";
const WINE: &str = "/usr/lib/wine/wine64";
/// Wine 8 lacks the library that the standard library takes its randomness from.
const RANDOM: &str = "#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL ProcessPrng(PBYTE bytes, SIZE_T count) {
    return SystemFunction036(bytes, (ULONG)count);
}
";

/// What to compile the standard library from.
///
/// Needs the nightly toolchain and sources of its standard library: by `rustup component add rust-src
/// --toolchain nightly`, or from Debian's package `rust-src` of the same version, unpacked with `dpkg -x`
/// and named with `--library`. For Windows it needs the packages gcc-mingw-w64-x86-64 and, to run a program
/// there, wine64; what it has not got is left out, and said.
#[derive(Args)]
pub(crate) struct Options {
    /// The folder `library` of the compiler's sources; the nightly toolchain's own unless given.
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
}

/// Compiles and runs; whether all went well.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    let library = match &options.library {
        Some(path) => path.canonicalize()?,
        None => installed_library()?,
    };
    if !library.join("std").is_dir() {
        let what = "is no library's source; see cargo xtask cross --help";
        return Err(format!("{} {what}", library.display()).into());
    }
    let mut failed = Vec::new();
    let portable = rooms(false)?;
    for target in CHECKED {
        let done = succeeds(nightly(&library, "check", target).args(packages(&portable)))?;
        report(&mut failed, &format!("check for {target}, {} rooms", portable.len()), done);
    }
    if is_there(MINGW) {
        let all = rooms(true)?;
        let done = succeeds(nightly(&library, "check", WINDOWS).args(packages(&all)))?;
        report(&mut failed, &format!("check for {WINDOWS}, {} rooms", all.len()), done);
        if Path::new(WINE).exists() {
            let done = run_on_wine(&library)?;
            report(&mut failed, "the example roundtrip on wine", done);
        } else {
            println!("left out: the example roundtrip on wine: there is no {WINE}");
        }
    } else {
        println!("left out: {WINDOWS}: there is no {MINGW}");
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join("; "));
    }
    Ok(failed.is_empty())
}

fn report(failed: &mut Vec<String>, what: &str, done: bool) {
    println!("{}: {what}", if done { "ok" } else { "FAILED" });
    if !done {
        failed.push(what.to_owned());
    }
}

/// Where `rustup component add rust-src` puts it.
fn installed_library() -> Outcome<PathBuf> {
    let output = Command::new("rustc").args(["+nightly", "--print", "sysroot"]).output()?;
    if !output.status.success() {
        return Err("there is no nightly toolchain".into());
    }
    let sysroot = String::from_utf8(output.stdout)?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library"))
}

/// The rooms, with or without those that need a C compiler for the target.
fn rooms(with_c: bool) -> Outcome<BTreeSet<String>> {
    let mut rooms = tree(&[])?;
    if !with_c {
        for compiled in IN_C {
            for room in tree(&["--invert", compiled])? {
                rooms.remove(&room);
            }
        }
    }
    Ok(rooms)
}

/// The packages of `crates/` in a tree that cargo prints.
fn tree(arguments: &[&str]) -> Outcome<BTreeSet<String>> {
    let mut command = cargo();
    command.args(["tree", "--workspace", "--edges", "normal", "--prefix", "none"]);
    command.args(["--format", "{p}", "--target", "all"]).args(arguments);
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let folder = root().join("crates");
    let text = String::from_utf8(output.stdout)?;
    let is_room = |line: &&str| line.contains(&*folder.to_string_lossy());
    let names = text.lines().filter(is_room).filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

fn packages(rooms: &BTreeSet<String>) -> Vec<&OsStr> {
    rooms.iter().flat_map(|room| [OsStr::new("-p"), OsStr::new(room)]).collect()
}

/// The nightly cargo, which compiles the standard library along.
fn nightly(library: &Path, what: &str, target: &str) -> Command {
    let mut command = Command::new("cargo");
    // The cargo that runs this has named its own toolchain for those that it starts.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC"] {
        command.env_remove(name);
    }
    command.current_dir(root()).arg("+nightly").arg(what);
    command.args(["-Zbuild-std=std,panic_abort", "--target", target, "--target-dir"]);
    command.arg(target_dir()).env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    command
}

fn target_dir() -> PathBuf {
    root().join("target/cross")
}

/// Builds the example for Windows and runs it.
fn run_on_wine(library: &Path) -> Outcome<bool> {
    let mut build = nightly(library, "build", WINDOWS);
    if !succeeds(build.args(["-p", "ropewalk-reactor", "--example", "roundtrip"]))? {
        return Ok(false);
    }
    let folder = target_dir().join(WINDOWS).join("debug/examples");
    let source = folder.join("random.c");
    std::fs::write(&source, RANDOM)?;
    let mut compile = Command::new(MINGW);
    compile.arg("-shared").arg("-o").arg(folder.join("bcryptprimitives.dll"));
    if !succeeds(compile.arg(source).arg("-ladvapi32"))? {
        return Ok(false);
    }
    let mut wine = Command::new(WINE);
    wine.env("WINEPREFIX", target_dir().join("wine")).env("WINEDEBUG", "-all");
    succeeds(wine.current_dir(&folder).arg("roundtrip.exe"))
}

fn succeeds(command: &mut Command) -> Outcome<bool> {
    Ok(command.status().map_err(|error| format!("{command:?}: {error}"))?.success())
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
