//! What a process has of the system's: descriptors and threads.

use std::collections::BTreeMap;
use std::path::Path;

/// Set by a runner that has each test run in a process of its own.
const MODE_VARIABLE: &str = "NEXTEST_EXECUTION_MODE";
const MODE_ALONE: &str = "process-per-test";
const DESCRIPTORS: &str = "/proc/self/fd";
const THREADS: &str = "/proc/self/task";
/// How often it is looked whether the last has gone: a thread that has ended is there for a moment more.
const LOOKS_MAX: usize = 5_000;

/// All descriptors and threads of this process, each with what it is called.
#[derive(Debug)]
pub(crate) struct Belongings {
    descriptors: BTreeMap<String, String>,
    threads: BTreeMap<String, String>,
}

impl Belongings {
    /// Those of now. None where others may run in the same process, or where the system does not tell.
    pub(crate) fn of_a_test_alone() -> Option<Self> {
        let is_alone = std::env::var(MODE_VARIABLE).is_ok_and(|mode| mode == MODE_ALONE);
        if is_alone { Self::now() } else { None }
    }

    fn now() -> Option<Self> {
        let descriptors = entries(DESCRIPTORS, |path| {
            let target = std::fs::read_link(path).ok()?;
            // The folder that is being read is one, too.
            let shown = target.to_string_lossy().into_owned();
            Some(shown).filter(|shown| !(shown.starts_with("/proc/") && shown.ends_with("/fd")))
        })?;
        let threads = entries(THREADS, |path| {
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            Some(name.trim_end().to_owned())
        })?;
        Some(Self { descriptors, threads })
    }

    /// A line for each that has come since then and is there still.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for _ in 0..LOOKS_MAX {
            let Some(now) = Self::now() else { break };
            left = self.more_in(&now);
            if left.is_empty() {
                break;
            }
            std::thread::yield_now();
        }
        left
    }

    fn more_in(&self, now: &Self) -> Vec<String> {
        let descriptors = now
            .descriptors
            .iter()
            .filter(|(number, target)| self.descriptors.get(*number) != Some(target));
        let descriptors = descriptors
            .map(|(number, target)| format!("the descriptor {number}, which is {target}"));
        let threads = now.threads.iter().filter(|(id, _)| !self.threads.contains_key(*id));
        let threads = threads.map(|(_, name)| format!("a thread called {name}"));
        descriptors.chain(threads).collect()
    }
}

/// What is in a folder, by name; without what is gone before it can be looked at.
fn entries(
    folder: &str,
    look: impl Fn(&Path) -> Option<String>,
) -> Option<BTreeMap<String, String>> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let found = names.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name, look(&entry.path())?))
    });
    Some(found.collect())
}
