//! Threads that are none.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use ropewalk_deferred::Failure;
use ropewalk_protocol::Threads;

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

impl fmt::Debug for LaterThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaterThreads").field("pending", &self.pending()).finish()
    }
}
