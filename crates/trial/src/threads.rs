//! Threads that are none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{Clock as _, FileIo, Threads};

use crate::Clock;

type Job = (Box<dyn FnOnce() + Send>, Box<dyn FnOnce()>);

/// A thread pool whose jobs are done on this thread, when the test says so. Clones are the same.
#[derive(Clone, Default)]
pub struct LaterThreads(Rc<RefCell<VecDeque<Job>>>);

impl LaterThreads {
    /// A pool without any job.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many jobs wait.
    pub fn pending(&self) -> usize {
        self.0.borrow().len()
    }

    /// Does the job that has waited longest; false if there is none.
    pub fn do_one(&self) -> bool {
        let job = self.0.borrow_mut().pop_front();
        let Some((work, finished)) = job else { return false };
        work();
        finished();
        true
    }

    /// Does every job, those submitted on the way included; answers how many there were.
    pub fn do_all(&self) -> usize {
        std::iter::from_fn(|| self.do_one().then_some(())).count()
    }
}

impl Threads for LaterThreads {
    fn submit(
        &self,
        work: Box<dyn FnOnce() + Send>,
        finished: Box<dyn FnOnce()>,
    ) -> Result<(), Failure> {
        self.0.borrow_mut().push_back((work, finished));
        Ok(())
    }
}

impl FileIo for LaterThreads {}

impl fmt::Debug for LaterThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaterThreads").field("pending", &self.pending()).finish()
    }
}

/// A thread pool whose jobs take their time on a [`Clock`], and are done on this thread.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_deferred::Failure;
/// use ropewalk_protocol::defer_to_threads;
/// use ropewalk_trial::{Clock, ClockThreads};
///
/// let clock = Clock::new();
/// let threads = ClockThreads::new(&clock, Duration::from_secs(3));
/// let answer = defer_to_threads(&threads, || Ok::<_, Failure>(42));
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(answer.now_or_never().unwrap()?, 42);
/// # Ok::<(), Failure>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClockThreads {
    clock: Clock,
    takes: Duration,
}

impl ClockThreads {
    /// A pool in which each job takes so much time.
    pub fn new(clock: &Clock, takes: Duration) -> Self {
        Self { clock: clock.clone(), takes }
    }
}

impl Threads for ClockThreads {
    fn submit(
        &self,
        work: Box<dyn FnOnce() + Send>,
        finished: Box<dyn FnOnce()>,
    ) -> Result<(), Failure> {
        let done = move || {
            work();
            finished();
        };
        drop(self.clock.schedule(self.takes, Box::new(done)));
        Ok(())
    }
}

impl FileIo for ClockThreads {}
