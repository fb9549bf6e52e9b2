//! The length of files and functions, the one place of unsafe code, and tests that run on any driver.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::walls::metadata::Package;
use crate::walls::reasons::{LONG, Long};
use crate::walls::source::{blank, functions, lines_with};

/// The most lines of a file.
const FILE_MAX: usize = 1000;
/// The most lines of a function.
const FUNCTION_MAX: usize = 70;
/// The room that may have unsafe code, and where in it.
const UNSAFE_PACKAGE: &str = "ropewalk-reactor";
const UNSAFE_FOLDER: &str = "crates/reactor/src/sys/";
/// What counts allocations in a bench: an allocator cannot be written without it.
const UNSAFE_BENCH: &str = "bench/deferred/src/count.rs";
/// Where functions of other languages are declared: that they are safe to call is said with that word. Nothing
/// else there is.
const UNSAFE_BRIDGES: [&str; 3] =
    ["foreign/gnustep/src/lib.rs", "foreign/qt/src/lib.rs", "foreign/qt-window/src/main.rs"];
/// What they may say.
const UNSAFE_BRIDGE: &str = "unsafe extern \"C++\" {";
/// What takes the default driver, whatever the tests are to run on.
const DEFAULT_REACTOR: &str = "Reactor::new()";
/// The test that is about the default.
const DEFAULT_TEST: &str = "crates/reactor/tests/drivers/choice.rs";
/// The folders that hold our code.
const FOLDERS: [&str; 7] = ["bench", "crates", "examples", "foreign", "fuzz", "interop", "xtask"];

/// All that is untidy below `root`, a sentence each.
pub(crate) fn faults(root: &Path, packages: &[Package]) -> Outcome<Vec<String>> {
    let mut files = Vec::new();
    for folder in FOLDERS.map(|folder| root.join(folder)).iter().filter(|folder| folder.is_dir()) {
        collect(folder, &mut files)?;
    }
    files.sort();
    let mut check = Check::default();
    for file in &files {
        let path = file.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        check.file(&path, &fs::read_to_string(file)?);
    }
    for package in packages.iter().filter(|package| package.name != UNSAFE_PACKAGE) {
        for start in &package.roots {
            check.start(&package.name, &fs::read_to_string(start)?);
        }
    }
    Ok(check.faults(LONG))
}

/// The Rust files in a folder and below, without what cargo has built.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// A file or a function that is too long.
struct TooLong {
    path: String,
    function: Option<String>,
    says: String,
}

#[derive(Default)]
struct Check {
    faults: Vec<String>,
    long: Vec<TooLong>,
}

impl Check {
    fn file(&mut self, path: &str, text: &str) {
        let code = blank(text);
        let lines = text.lines().count();
        if lines > FILE_MAX {
            let says = format!("{path} has {lines} lines, more than {FILE_MAX}");
            self.long.push(TooLong { path: path.into(), function: None, says });
        }
        for function in functions(&code).into_iter().filter(|each| each.length > FUNCTION_MAX) {
            let (name, line, length) = (function.name, function.line, function.length);
            let says =
                format!("{path}:{line}: {name} has {length} lines, more than {FUNCTION_MAX}");
            self.long.push(TooLong { path: path.into(), function: Some(name), says });
        }
        if !path.starts_with(UNSAFE_FOLDER) && path != UNSAFE_BENCH {
            let is_bridge = |&line: &usize| {
                let said = text.lines().nth(line - 1).map(str::trim);
                UNSAFE_BRIDGES.contains(&path) && said == Some(UNSAFE_BRIDGE)
            };
            let lines = lines_with(&code, "unsafe").into_iter().filter(|line| !is_bridge(line));
            self.faults.extend(lines.map(|line| format!("{path}:{line}: unsafe code")));
        }
        if path.contains("/tests/") && path != DEFAULT_TEST {
            let lines = code.lines().zip(1..).filter(|(line, _)| line.contains(DEFAULT_REACTOR));
            self.faults.extend(lines.map(|(_, line)| {
                format!("{path}:{line}: a test leaves its driver to DriverKind::from_environment")
            }));
        }
    }

    fn start(&mut self, package: &str, text: &str) {
        let code: String = blank(text).split_whitespace().collect();
        if !code.contains("#![forbid(unsafe_code)]") {
            self.faults.push(format!("{package} does not say #![forbid(unsafe_code)]"));
        }
    }

    /// All faults, without what is long for a reason and with reasons for what is not long.
    fn faults(mut self, reasons: &[Long]) -> Vec<String> {
        let is_for = |reason: &Long, long: &TooLong| {
            reason.path == long.path && reason.function == long.function.as_deref()
        };
        for long in &self.long {
            if !reasons.iter().any(|reason| is_for(reason, long)) {
                self.faults.push(long.says.clone());
            }
        }
        for reason in reasons {
            if !self.long.iter().any(|long| is_for(reason, long)) {
                let what = reason.function.unwrap_or("the file");
                let path = reason.path;
                self.faults.push(format!("{path}: {what} needs no reason in reasons.rs any more"));
            }
        }
        self.faults
    }
}

#[cfg(test)]
mod tests {
    use super::{Check, FILE_MAX, FUNCTION_MAX, Long};

    #[track_caller]
    fn check(path: &str, text: &str, reasons: &[Long], expected: &[&str]) {
        let mut check = Check::default();
        check.file(path, text);
        assert_eq!(check.faults(reasons), expected);
    }

    fn long(function: Option<&'static str>) -> [Long; 1] {
        [Long { path: "crates/x/src/lib.rs", function, _reason: "it is a table" }]
    }

    #[test]
    fn long_files_give_their_reason() {
        let path = "crates/x/src/lib.rs";
        check(path, &"\n".repeat(FILE_MAX), &[], &[]);
        let text = "\n".repeat(FILE_MAX + 1);
        check(path, &text, &[], &["crates/x/src/lib.rs has 1001 lines, more than 1000"]);
        check(path, &text, &long(None), &[]);
    }

    #[test]
    fn long_functions_give_their_reason() {
        let path = "crates/x/src/lib.rs";
        let function = |lines: usize| format!("fn f() {{{}}}\n", "\n".repeat(lines - 1));
        check(path, &function(FUNCTION_MAX), &[], &[]);
        let text = function(FUNCTION_MAX + 1);
        check(path, &text, &[], &["crates/x/src/lib.rs:1: f has 71 lines, more than 70"]);
        check(path, &text, &long(Some("f")), &[]);
    }

    #[test]
    fn reasons_do_not_outlive_their_cause() {
        let expected = ["crates/x/src/lib.rs: f needs no reason in reasons.rs any more"];
        check("crates/x/src/lib.rs", "fn f() {}\n", &long(Some("f")), &expected);
    }

    #[test]
    fn bridges_to_other_languages_say_that_and_no_more() {
        let bridge = "mod ffi {\n    unsafe extern \"C++\" {\n        type T;\n    }\n}\n";
        let faults = |path: &str, text: &str| {
            let mut check = Check::default();
            check.file(path, text);
            check.faults(&[])
        };
        assert!(faults("foreign/qt/src/lib.rs", bridge).is_empty());
        let elsewhere = "foreign/glib/src/lib.rs";
        assert_eq!(faults(elsewhere, bridge), [format!("{elsewhere}:2: unsafe code")]);
        let block = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(
            faults("foreign/qt/src/lib.rs", block),
            ["foreign/qt/src/lib.rs:2: unsafe code"]
        );
    }

    #[test]
    fn unsafe_code_has_one_place() {
        let text = "fn f() {\n    unsafe { g() }\n}\n";
        check("crates/reactor/src/sys/epoll.rs", text, &[], &[]);
        check(
            "crates/reactor/src/lib.rs",
            text,
            &[],
            &["crates/reactor/src/lib.rs:2: unsafe code"],
        );
    }

    #[test]
    fn tests_run_on_any_driver() {
        let text = "fn f() {\n    let reactor = Reactor::new();\n}\n";
        check("crates/reactor/src/lib.rs", text, &[], &[]);
        check("crates/reactor/tests/drivers/choice.rs", text, &[], &[]);
        let expected = "crates/x/tests/x.rs:2: a test leaves its driver to \
                        DriverKind::from_environment";
        check("crates/x/tests/x.rs", text, &[], &[expected]);
    }

    #[test]
    fn every_room_forbids_unsafe_code() {
        let mut check = Check::default();
        check.start("ropewalk-dns", "//! Names.\n\n#![forbid( unsafe_code )]\n");
        check.start("ropewalk-ssh", "//! #![forbid(unsafe_code)]\n");
        assert_eq!(check.faults(&[]), ["ropewalk-ssh does not say #![forbid(unsafe_code)]"]);
    }
}
