//! SIGINT and SIGTERM, as descriptors that become readable.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::OwnedFd;
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::unregister;

use super::os;

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
            let (is_ignored, is_default) = os::disposition(signal);
            if is_ignored {
                continue;
            }
            // Somebody else's handler is called before ours, and knows what to do.
            let does_default = Arc::clone(&idle);
            os::on_signal(signal, move || is_default && does_default.load(Ordering::SeqCst))?;
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

/// Takes the signals that stop a reactor in, so that what is done about them is done before all else.
#[cfg(unix)]
pub(crate) fn begin() -> io::Result<()> {
    Process::with(|_| Ok(()))
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
            let (id, reader) = os::tell_of_signal(signal)?;
            signals.ids.push(id);
            descriptors.push((signal, reader));
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
