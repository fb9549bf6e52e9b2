//! The spans that threads are in, for those who ask from another.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How deep spans are told of.
const DEPTH_MAX: usize = 64;

/// Knows which spans each thread is in. A clone knows the same.
#[derive(Clone, Default)]
pub struct Spans(Arc<Mutex<HashMap<u32, Vec<String>>>>);

thread_local! {
    /// The system's number for this thread, where it has one.
    static THREAD: Option<u32> = std::fs::read_link("/proc/thread-self")
        .ok()
        .and_then(|path| path.file_name()?.to_str()?.parse().ok());
}

impl Spans {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spans that the thread of this number is in, with their fields, the outermost first.
    pub fn of(&self, thread: u32) -> Vec<String> {
        self.lock().get(&thread).cloned().unwrap_or_default()
    }

    pub(super) fn enter(&self, shown: String) {
        let Ok(Some(thread)) = THREAD.try_with(|thread| *thread) else { return };
        let mut all = self.lock();
        let own = all.entry(thread).or_default();
        if own.len() < DEPTH_MAX {
            own.push(shown);
        }
    }

    pub(super) fn leave(&self) {
        let Ok(Some(thread)) = THREAD.try_with(|thread| *thread) else { return };
        let mut all = self.lock();
        if let Some(own) = all.get_mut(&thread) {
            own.pop();
            if own.is_empty() {
                all.remove(&thread);
            }
        }
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spans").field(&*self.lock()).finish()
    }
}
