//! Builds the programs of `foreign/`, into this workspace's own folder: what both need is built once.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the workspace of the hosts is.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../foreign")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

/// Builds what `arguments` select.
#[track_caller]
pub(crate) fn build(arguments: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(folder()).args(["build", "--quiet"]).args(arguments);
    // Those are about the package under test.
    let about_us =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars().filter(|(name, _)| about_us(name)) {
        command.env_remove(name);
    }
    let built = command.env("CARGO_TARGET_DIR", target()).output().expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// Where something that was built is.
pub(crate) fn artifact(name: &str) -> PathBuf {
    target().join("debug").join(name)
}
