//! Threads for work that blocks.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::PoolRefused;
use crate::remote::Remote;
use crate::spin::{Hope, spin};
use crate::{Histogram, Statistics};

/// Bounds of a reactor's thread pool; [`Reactor::set_thread_pool`](crate::Reactor::set_thread_pool)
/// takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadPoolOptions {
    threads_max: usize,
    jobs_max: usize,
    patience: Duration,
}

impl Default for ThreadPoolOptions {
    fn default() -> Self {
        Self { threads_max: 16, jobs_max: 16 * 1024, patience: Duration::from_secs(10) }
    }
}

impl ThreadPoolOptions {
    /// How many threads there are at most, and at least one; 16 unless set.
    #[must_use]
    pub fn threads_max(mut self, threads_max: usize) -> Self {
        self.threads_max = threads_max.max(1);
        self
    }

    /// How many jobs may wait for a thread; 16,384 unless set. One more is refused with
    /// [`PoolRefused::Full`].
    #[must_use]
    pub fn jobs_max(mut self, jobs_max: usize) -> Self {
        self.jobs_max = jobs_max;
        self
    }

    /// How long a thread without a job waits for one before it goes; 10 seconds unless set.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

type Work = Box<dyn FnOnce() + Send>;

/// Threads that come with the work and go without it.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// How many jobs wait, for who looks without the lock.
    waiting: AtomicUsize,
    remote: Arc<Remote>,
}

struct State {
    /// With the time at which each came.
    jobs: VecDeque<(u64, Instant, Work)>,
    threads: usize,
    /// Threads that sleep.
    idle: usize,
    /// A thread is about to sleep, and looks for a job until then: it need not be woken.
    is_looking: bool,
    hope: Hope,
    stopping: bool,
    options: ThreadPoolOptions,
    /// How long jobs waited for a thread.
    waits: Histogram,
}

impl State {
    fn new() -> Self {
        Self {
            jobs: VecDeque::new(),
            threads: 0,
            idle: 0,
            is_looking: false,
            hope: Hope::new(),
            stopping: false,
            options: ThreadPoolOptions::default(),
            waits: Histogram::default(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if state.threads > state.options.threads_max {
                break;
            }
            if let Some((id, came, work)) = state.jobs.pop_front() {
                state.waits.record(came.elapsed());
                self.waiting.store(state.jobs.len(), Ordering::Relaxed);
                drop(state);
                // Whoever submitted it caught its panics; this one keeps the thread alive.
                let _ = catch_unwind(AssertUnwindSafe(work));
                self.remote.finished(id);
                state = self.lock();
                continue;
            }
            if state.stopping {
                break;
            }
            state = self.look(state);
            if !state.jobs.is_empty() || state.stopping {
                continue;
            }
            state.idle += 1;
            let patience = state.options.patience;
            let (next, waited) =
                self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Looks whether a job comes at once, unless another thread does that.
    fn look<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        if state.is_looking || !state.hope.is_there() {
            return state;
        }
        state.is_looking = true;
        drop(state);
        let came = spin(|| self.waiting.load(Ordering::Relaxed) > 0);
        state = self.lock();
        state.is_looking = false;
        state.hope.learn(came);
        state
    }
}

impl Pool {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        let (state, changed) = (Mutex::new(State::new()), Condvar::new());
        let shared = Shared { state, changed, waiting: AtomicUsize::new(0), remote };
        Self { shared: Arc::new(shared), threads: Vec::new() }
    }

    /// Has other bounds from now on: jobs that wait stay, threads that are too many go after their job.
    pub(crate) fn set_options(&self, options: ThreadPoolOptions) {
        self.shared.lock().options = options;
        // They wait as long as they were to before.
        self.shared.changed.notify_all();
    }

    /// Has `work` done; its `id` comes back by [`Remote::finished`].
    pub(crate) fn submit(&mut self, id: u64, work: Work) -> Result<(), PoolRefused> {
        let mut state = self.shared.lock();
        if state.jobs.len() >= state.options.jobs_max {
            return Err(PoolRefused::Full);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "how long a job waits is measured in two threads"
        )]
        state.jobs.push_back((id, Instant::now(), work));
        self.shared.waiting.store(state.jobs.len(), Ordering::Relaxed);
        // One is for the thread that looks, if there is such.
        let for_sleepers = state.jobs.len() - usize::from(state.is_looking);
        let wants_thread = for_sleepers > state.idle && state.threads < state.options.threads_max;
        if !wants_thread {
            let wakes = for_sleepers > 0 && state.idle > 0;
            drop(state);
            if wakes {
                self.shared.changed.notify_one();
            }
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        self.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(&self.shared);
        let spawned =
            thread::Builder::new().name("ropewalk-pool".to_owned()).spawn(move || shared.work());
        match spawned {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                let mut state = self.shared.lock();
                state.threads -= 1;
                if state.threads == 0 {
                    state.jobs.pop_back();
                    self.shared.waiting.store(state.jobs.len(), Ordering::Relaxed);
                    return Err(PoolRefused::NoThread(error.kind()));
                }
            }
        }
        Ok(())
    }

    /// Writes down how the pool does.
    pub(crate) fn report(&self, into: &mut Statistics) {
        let state = self.shared.lock();
        into.pool_queue = state.jobs.len() as u64;
        into.pool_busy = state.threads.saturating_sub(state.idle) as u64;
        into.pool_waits = state.waits.clone();
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.shared.lock().threads
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        let waiting = std::mem::take(&mut state.jobs);
        drop(state);
        drop(waiting);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A job that still runs is waited for; it cannot panic out of its thread.
            let _ = thread.join();
        }
    }
}
