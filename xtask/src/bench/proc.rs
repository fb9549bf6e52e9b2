//! What the system tells of a process and what we tell it: CPU time, memory, CPUs, descriptors.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;

/// Memory that stays the same for this long is taken for settled.
const SETTLED: Duration = Duration::from_millis(500);
/// How long memory may take to settle.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often memory is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(50);

/// The CPU time that all threads of a process have had; threads that ended are not counted any more.
pub(crate) fn cpu_time(process: u32) -> Outcome<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while we look.
        let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let nanoseconds = schedstat.split_whitespace().next().unwrap_or_default();
        sum += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(sum)
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Memory {
    /// Pages that it alone has written, swapped or not: what would be free without it.
    pub(crate) private: u64,
    /// All pages that are there, also those of program files and libraries.
    pub(crate) resident: u64,
}

impl Memory {
    fn of(process: u32) -> Outcome<Self> {
        Ok(Self::parse(&fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?))
    }

    fn parse(rollup: &str) -> Self {
        let field = |name: &str| -> u64 {
            let mut lines = rollup.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = value.and_then(|value| value.trim().strip_suffix("kB"));
            value.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Self { private: field("Private_Dirty") + field("Swap"), resident: field("Rss") }
    }

    /// Looks until nothing changes any more.
    pub(crate) fn settled(process: u32) -> Outcome<Self> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Self::of(process)?;
        let mut since = Instant::now();
        while since.elapsed() < SETTLED {
            if Instant::now() > deadline {
                return Err("its memory does not settle".into());
            }
            thread::sleep(GLANCE);
            let now = Self::of(process)?;
            if now != last {
                last = now;
                since = Instant::now();
            }
        }
        Ok(last)
    }
}

/// The CPU for servers and the CPU for the load: the same one if there is but one.
pub(crate) fn cpus() -> Outcome<(usize, usize)> {
    let allowed = sched_getaffinity(None)?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu));
    let first = cpus.next().ok_or("no CPU")?;
    Ok((first, cpus.next().unwrap_or(first)))
}

/// Does something on this CPU alone; programs started meanwhile stay there.
pub(crate) fn pinned<T>(cpu: usize, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let before = sched_getaffinity(None)?;
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only)?;
    let result = act();
    sched_setaffinity(None, &before)?;
    result
}

/// Sees to it that we, and programs started from now on, may have this many descriptors.
pub(crate) fn allow_descriptors(count: u64) -> Outcome<()> {
    let now = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= count);
    if enough(now.current) {
        return Ok(());
    }
    let maximum = if enough(now.maximum) { now.maximum } else { Some(count) };
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum });
    raised.map_err(|error| format!("{count} descriptors are more than we may have: {error}").into())
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::{Memory, allow_descriptors, cpu_time, cpus, pinned};

    #[test]
    fn memory_is_read_from_its_lines() {
        let rollup = "5-7 ---p 0 0:0 0 [rollup]\nRss:  100 kB\nPrivate_Clean: 7 kB\n\
                      Private_Dirty:   20 kB\nSwap:  1 kB\nSwapPss: 9 kB\n";
        let memory = Memory::parse(rollup);
        assert_eq!(memory, Memory { private: 21 * 1024, resident: 100 * 1024 });
    }

    #[test]
    fn a_busy_process_uses_cpu_time() {
        let before = cpu_time(process::id()).expect("our own");
        while cpu_time(process::id()).expect("our own") == before {}
    }

    #[test]
    fn pins_hold_as_long_as_they_are_wanted() {
        let before = cpus().expect("CPUs");
        let inside = pinned(before.1, cpus).expect("a CPU that we may use");
        assert_eq!(inside, (before.1, before.1));
        assert_eq!(cpus().expect("CPUs"), before);
    }

    #[test]
    fn descriptors_that_we_have_need_no_asking() {
        allow_descriptors(1).expect("one is little");
    }
}
