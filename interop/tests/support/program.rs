//! The program `ropewalk` for suites that run it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Where the program is, once it is built.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut cargo = Command::new(env!("CARGO"));
        let built = cargo.args(["build", "--quiet", "--package", "ropewalk-cli"]).status();
        assert!(built.expect("cargo").success());
        // Tests stand in a folder beside it.
        let here = std::env::current_exe().expect("a place");
        here.ancestors().nth(2).expect("a folder").join("ropewalk")
    });
    &PROGRAM
}
