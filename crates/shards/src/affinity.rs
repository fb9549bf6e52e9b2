//! Threads that stay on one core.

use std::io;

/// While it lives, its thread stays on one core.
pub(crate) struct StaysOnOneCore {
    #[cfg(target_os = "linux")]
    before: rustix::thread::CpuSet,
}

#[cfg(target_os = "linux")]
impl StaysOnOneCore {
    /// Keeps the calling thread on the core of this number, counted among those that it may use and
    /// again from the first where they are fewer.
    pub(crate) fn begin(index: usize) -> io::Result<Self> {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

        let before = sched_getaffinity(None)?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| before.is_set(*core)).collect();
        if !cores.is_empty() {
            let mut only = CpuSet::new();
            only.set(cores[index % cores.len()]);
            sched_setaffinity(None, &only)?;
        }
        Ok(Self { before })
    }
}

#[cfg(target_os = "linux")]
impl Drop for StaysOnOneCore {
    fn drop(&mut self) {
        if let Err(error) = rustix::thread::sched_setaffinity(None, &self.before) {
            tracing::warn!(target: "ropewalk::shards", "a thread stays on one core: {error}");
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl StaysOnOneCore {
    /// Says that it cannot be done.
    pub(crate) fn begin(_: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
