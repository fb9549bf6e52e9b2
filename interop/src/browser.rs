//! A browser without a window.

use std::process::{Command, Stdio};

use crate::{TempDir, tool};

/// What starts Chromium with its files in a folder of their own: without a window, a proxy, or anything
/// that it would fetch by itself.
pub fn chromium(profile: &TempDir) -> Command {
    let mut command = Command::new(tool("chromium"));
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).stdin(Stdio::null());
    command
}
