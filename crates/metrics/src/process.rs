//! The process itself, as the system sees it.

use std::time::Duration;

/// What the system says of this process; where it says nothing, noughts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Memory that it really has, in bytes.
    pub resident: u64,
    /// Descriptors that are open.
    pub descriptors: u64,
    /// Time on a processor, all threads together.
    pub cpu: Duration,
    /// How many threads it has.
    pub threads: u64,
}

impl Process {
    /// How it is now.
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};

        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kilobytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|rest| {
                rest.split_whitespace().next().and_then(|count| count.parse::<u64>().ok())
            });
        let entries = |path| std::fs::read_dir(path).map_or(0, |entries| entries.count() as u64);
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Self {
            resident: kilobytes.unwrap_or(0) * 1024,
            // The one that reads the folder is not counted.
            descriptors: entries("/proc/self/fd").saturating_sub(1),
            cpu: Duration::new(cpu.tv_sec.cast_unsigned(), cpu.tv_nsec as u32),
            threads: entries("/proc/self/task"),
        }
    }

    /// How it is now.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        Self::default()
    }
}
