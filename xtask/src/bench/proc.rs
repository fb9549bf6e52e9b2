//! What the system tells of a process and what we tell it: CPU time, memory, CPUs, descriptors.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Outcome;

/// Memory that stays the same for this long is taken for settled.
const SETTLED: Duration = Duration::from_millis(500);
/// How long memory may take to settle.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often memory is looked at meanwhile.
const GLANCE: Duration = Duration::from_millis(50);

/// How far the coarse count of CPU time may be off by itself, in ticks.
const COARSENESS: u32 = 4;

/// The CPU time that a process has had up to a moment, counted in two ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTime {
    /// To the nanosecond, of the threads that live.
    fine: Duration,
    /// To the tick, of all that ever lived.
    coarse: Duration,
}

impl CpuTime {
    /// What it has had up to now.
    pub(crate) fn of(process: u32) -> Outcome<Self> {
        let mut fine = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            // A thread may end while we look.
            let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            let nanoseconds = schedstat.split_whitespace().next().unwrap_or_default();
            fine += Duration::from_nanos(nanoseconds.parse()?);
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let ticks = ticks(&stat).ok_or("the system's words on the process are strange")?;
        Ok(Self { fine, coarse: tick() * ticks })
    }

    /// All that a process has had that has ended, and that nobody has waited for yet.
    pub(crate) fn of_ended(process: u32) -> Outcome<Duration> {
        let nothing = Self { fine: Duration::ZERO, coarse: Duration::ZERO };
        Ok(Self::of(process)?.since(nothing))
    }

    /// What it has had since then: fine, unless threads have ended and taken theirs with them.
    pub(crate) fn since(self, then: Self) -> Duration {
        let fine = self.fine.saturating_sub(then.fine);
        let coarse = self.coarse.saturating_sub(then.coarse);
        if fine + tick() * COARSENESS < coarse { coarse } else { fine }
    }
}

/// The ticks in user and in system mode.
/// What the processes that this one has started and waited for have had together, to the tick.
pub(crate) fn time_of_children() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let ticks = two_fields(&stat, 13).ok_or("the system's words on this process are strange")?;
    Ok(tick() * ticks)
}

fn ticks(stat: &str) -> Option<u32> {
    two_fields(stat, 11)
}

/// The sum of two figures, the first of which has so many words before it after the name.
fn two_fields(stat: &str, before: usize) -> Option<u32> {
    // The name in brackets may hold anything, also brackets and room.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(before);
    let user: u32 = fields.next()?.parse().ok()?;
    Some(user + fields.next()?.parse::<u32>().ok()?)
}

fn tick() -> Duration {
    Duration::from_secs_f64(1.0 / clock_ticks_per_second() as f64)
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

    use super::{CpuTime, Memory, allow_descriptors, cpus, pinned, tick, ticks};

    #[test]
    fn memory_is_read_from_its_lines() {
        let rollup = "5-7 ---p 0 0:0 0 [rollup]\nRss:  100 kB\nPrivate_Clean: 7 kB\n\
                      Private_Dirty:   20 kB\nSwap:  1 kB\nSwapPss: 9 kB\n";
        let memory = Memory::parse(rollup);
        assert_eq!(memory, Memory { private: 21 * 1024, resident: 100 * 1024 });
    }

    #[test]
    fn a_busy_process_uses_cpu_time() {
        let time = || CpuTime::of(process::id()).expect("our own");
        let before = time();
        while time().since(before).is_zero() {}
    }

    #[test]
    fn threads_take_no_time_with_them() {
        let time = |fine, coarse| CpuTime { fine: tick() * fine, coarse: tick() * coarse };
        assert_eq!(time(31, 33).since(time(1, 1)), tick() * 30);
        assert_eq!(time(1, 33).since(time(1, 1)), tick() * 32);
        assert_eq!(time(0, 33).since(time(1, 1)), tick() * 32);
    }

    #[test]
    fn ticks_are_counted_whatever_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 95 0 0 0 30 12 0 0 20 0 1 0 5 2 1";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1"), None);
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
