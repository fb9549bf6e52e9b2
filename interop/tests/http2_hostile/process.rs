//! What a running program has, as the system says it.

use std::fs;

/// What belongs to a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Belongings {
    /// Memory that is its own, in KiB.
    pub(crate) resident: u64,
    pub(crate) descriptors: usize,
}

impl Belongings {
    pub(crate) fn of(id: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()).expect("its memory");
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count();
        Self { resident: number.parse().expect("a number"), descriptors }
    }
}
