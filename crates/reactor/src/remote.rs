//! How other threads reach a reactor.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::spin::spin;
use crate::sys::os::Counter;
use crate::{CallRefused, Reactor, ReactorGone};

/// How many calls from other threads may wait.
const CALLS_MAX: usize = 64 * 1024;

type Call = Box<dyn FnOnce(&Reactor) + Send>;

/// What ends a reactor's sleep.
pub(crate) enum Alarm {
    /// A counter that the driver watches.
    Counter(Counter),
    /// The platform's own way.
    Waker(Waker),
}

impl Alarm {
    fn ring(&self) {
        match self {
            Self::Counter(counter) => counter.ring(),
            Self::Waker(waker) => waker.wake_by_ref(),
        }
    }

    fn quiet(&self) {
        if let Self::Counter(counter) = self {
            counter.quiet();
        }
    }
}

/// What other threads may touch: queues, and what ends the reactor's sleep.
pub(crate) struct Remote {
    waker: Alarm,
    /// The reactor has been woken and has not looked yet.
    woken: AtomicBool,
    /// The reactor is awake, and will look before it sleeps.
    in_turn: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) calls: Vec<Call>,
    /// Thread pool jobs that are done.
    pub(crate) finished: Vec<u64>,
    /// Tasks that can go on.
    pub(crate) tasks: Vec<usize>,
    /// The reactor is to stop, after the calls.
    pub(crate) stops: bool,
    gone: bool,
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.finished.is_empty() && self.tasks.is_empty() && !self.stops
    }
}

impl Remote {
    pub(crate) fn new(waker: Alarm) -> Self {
        Self {
            waker,
            woken: AtomicBool::new(false),
            in_turn: AtomicBool::new(false),
            queue: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        if !queue.gone {
            change(&mut queue);
        }
        drop(queue);
        self.wake();
    }

    /// Ends the reactor's sleep; one system call for any number of these in a turn, and none during the turn:
    /// after it, what waits is seen before anybody sleeps.
    pub(crate) fn wake(&self) {
        // In one order with the end of the turn: either we see that, or it sees this.
        if !self.woken.swap(true, Ordering::SeqCst) && !self.is_in_turn() {
            self.waker.ring();
        }
    }

    fn is_in_turn(&self) -> bool {
        // Another platform decides by its own way whose turn it is.
        matches!(self.waker, Alarm::Counter(_)) && self.in_turn.load(Ordering::SeqCst)
    }

    /// A turn begins or ends, on the reactor's own thread.
    pub(crate) fn set_in_turn(&self, in_turn: bool) {
        self.in_turn.store(in_turn, Ordering::SeqCst);
    }

    /// Rings for what came during the turn, for a host that does not see it otherwise.
    pub(crate) fn ring_for_the_rest(&self) {
        if self.is_waiting() {
            self.waker.ring();
        }
    }

    /// Looks for a while whether anything comes, before the reactor sleeps; nobody need ring meanwhile.
    pub(crate) fn look(&self) -> bool {
        self.set_in_turn(true);
        let came = spin(|| self.woken.load(Ordering::Relaxed));
        self.set_in_turn(false);
        // What came last has not rung either.
        came || self.woken.load(Ordering::SeqCst)
    }

    pub(crate) fn finished(&self, job: u64) {
        self.change(|queue| queue.finished.push(job));
    }

    pub(crate) fn task_ready(&self, task: usize) {
        self.change(|queue| queue.tasks.push(task));
    }

    /// The reactor was told that the descriptor is readable.
    pub(crate) fn quiet(&self) {
        self.waker.quiet();
    }

    /// Whether anything waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.woken.load(Ordering::SeqCst) && !self.lock().is_empty()
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self) -> Option<Queue> {
        // Whoever is not seen yet ends the next sleep.
        if !self.woken.load(Ordering::Relaxed) {
            return None;
        }
        // Cleared first: what comes after this wakes anew.
        if !self.woken.swap(false, Ordering::SeqCst) {
            return None;
        }
        let mut queue = self.lock();
        let gone = queue.gone;
        Some(std::mem::replace(&mut *queue, Queue { gone, ..Queue::default() }))
    }

    /// Says that the reactor is no more; what waits is dropped, here and not under the lock.
    pub(crate) fn close(&self) {
        let left = std::mem::replace(&mut *self.lock(), Queue { gone: true, ..Queue::default() });
        drop(left);
    }
}

/// Reaches a reactor from any thread.
///
/// ```
/// use ropewalk_reactor::Reactor;
///
/// let reactor = Reactor::new()?;
/// let handle = reactor.handle();
/// let other = std::thread::spawn(move || handle.stop());
/// reactor.run()?;
/// other.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ReactorHandle {
    remote: Arc<Remote>,
}

impl ReactorHandle {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        Self { remote }
    }

    /// Makes `call` on the reactor's thread, in the order in which such calls were asked for.
    ///
    /// # Errors
    ///
    /// If the reactor is gone, or 65,536 calls wait already: a thread that asks for more than the reactor
    /// can do has to wait. One that is merely not running will make the call when it does.
    pub fn call_from_thread(
        &self,
        call: impl FnOnce(&Reactor) + Send + 'static,
    ) -> Result<(), CallRefused> {
        let mut queue = self.remote.lock();
        if queue.gone {
            return Err(CallRefused::Gone);
        }
        if queue.calls.len() >= CALLS_MAX {
            return Err(CallRefused::Full);
        }
        queue.calls.push(Box::new(call));
        drop(queue);
        self.remote.wake();
        Ok(())
    }

    /// Stops the reactor as [`Reactor::stop`] does, once it has made the calls that wait.
    ///
    /// # Errors
    ///
    /// If the reactor is gone already.
    pub fn stop(&self) -> Result<(), ReactorGone> {
        let mut queue = self.remote.lock();
        if queue.gone {
            return Err(ReactorGone);
        }
        queue.stops = true;
        drop(queue);
        self.remote.wake();
        Ok(())
    }
}

impl fmt::Debug for ReactorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorHandle").finish_non_exhaustive()
    }
}
