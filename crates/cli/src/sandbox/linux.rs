//! The sandbox of Linux.

use std::fs;

use ropewalk::reactor::DriverKind;

use super::{Needs, calls, files};

/// A sandbox that is half up: files are out of reach, and calls are not filtered yet.
#[must_use = "it is half up until it is closed"]
pub(crate) struct Sandbox {
    files: files::Reach,
    calls: calls::Calls,
}

impl Sandbox {
    /// Leaves the process the files that it needs. Called while it has one thread, so that all that it starts
    /// later are held too.
    pub(crate) fn begin(needs: &Needs, driver: DriverKind) -> Result<Self, String> {
        // Who has no /proc cannot be asked, and has started none either.
        let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads != 1 {
            return Err(format!(
                "--sandbox: there are {threads} threads already, which it would not hold"
            ));
        }
        let files = files::close(needs)?;
        Ok(Self { files, calls: calls::Calls::of(needs, driver) })
    }

    /// Leaves all threads the calls that serving needs. Called when everything is open.
    pub(crate) fn close(self) -> Result<(), String> {
        let Self { files, calls } = self;
        let allowed = calls.allow().map_err(|why| format!("--sandbox: {why}"))?;
        match files {
            files::Reach::Closed { abi } => tracing::info!(
                "in a sandbox: files by Landlock (version {abi}), {allowed} system calls by seccomp"
            ),
            files::Reach::Open => tracing::warn!(
                "in half a sandbox: {allowed} system calls by seccomp, but this kernel has no \
                 Landlock, and all files are in reach"
            ),
        }
        Ok(())
    }
}
