//! SIGINT and SIGTERM, as descriptors that become readable.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::low_level::{pipe, unregister};

/// The signals that stop a reactor.
const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// What is true of the whole process: it has one set of signals, and perhaps several reactors.
static PROCESS: Mutex<Option<Process>> = Mutex::new(None);

struct Process {
    /// The signals that reactors may take: what was ignored from the start is left so, as for a job
    /// in a shell's background.
    taken: Vec<i32>,
    /// How many runs watch them.
    runs: usize,
    /// Nobody watches, so that a signal does what it did before the first run.
    idle: Arc<AtomicBool>,
}

impl Process {
    /// The handlers stay once they are there; what they do is decided by [`Process::idle`].
    fn new() -> io::Result<Self> {
        let idle = Arc::new(AtomicBool::new(true));
        let mut taken = Vec::new();
        for signal in STOPPING {
            match Disposition::of(signal) {
                Disposition::Ignored => continue,
                // Somebody else's handler is called before ours, and knows what to do.
                Disposition::Caught => (),
                Disposition::Default => {
                    register_conditional_default(signal, Arc::clone(&idle))?;
                }
            }
            taken.push(signal);
        }
        Ok(Self { taken, runs: 0, idle })
    }

    fn with<T>(look: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        if process.is_none() {
            *process = Some(Self::new()?);
        }
        process.as_mut().map_or_else(|| Err(io::ErrorKind::Other.into()), look)
    }
}

/// What a signal does.
enum Disposition {
    Default,
    Ignored,
    Caught,
}

impl Disposition {
    fn of(signal: i32) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let has = |name: &str| {
            let mask = status.lines().find_map(|line| line.strip_prefix(name));
            let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
        };
        match (has("SigIgn:"), has("SigCgt:")) {
            (true, _) => Self::Ignored,
            (_, true) => Self::Caught,
            _ => Self::Default,
        }
    }
}

/// The registrations of one run; dropping them gives the signals back.
pub(crate) struct Signals {
    ids: Vec<SigId>,
}

impl Signals {
    /// Has the signals told by descriptors.
    pub(crate) fn register() -> io::Result<(Self, Vec<(i32, OwnedFd)>)> {
        Process::with(|process| {
            process.runs += 1;
            process.idle.store(false, Ordering::SeqCst);
            Ok(())
        })?;
        let mut signals = Self { ids: Vec::new() };
        let mut descriptors = Vec::new();
        for signal in Process::with(|process| Ok(process.taken.clone()))? {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            signals.ids.push(pipe::register(signal, writer)?);
            descriptors.push((signal, reader.into()));
        }
        Ok((signals, descriptors))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            unregister(id);
        }
        // That there is a process was seen when this was made.
        let _ = Process::with(|process| {
            process.runs -= 1;
            process.idle.store(process.runs == 0, Ordering::SeqCst);
            Ok(())
        });
    }
}
