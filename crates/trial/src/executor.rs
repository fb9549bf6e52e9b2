//! Tasks without a reactor.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use ropewalk_protocol::Spawn;

type Future = Pin<Box<dyn std::future::Future<Output = ()>>>;

/// Polls tasks when the test says so, those woken first first. Clones are the same.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use ropewalk_protocol::Spawn;
/// use ropewalk_trial::Executor;
///
/// let executor = Executor::new();
/// let done = Rc::new(Cell::new(false));
/// let flag = Rc::clone(&done);
/// executor.spawn(Box::pin(async move { flag.set(true) }));
/// assert!(!done.get());
/// executor.run();
/// assert!(done.get());
/// ```
#[derive(Clone, Default)]
pub struct Executor(Rc<Inner>);

#[derive(Default)]
struct Inner {
    tasks: RefCell<BTreeMap<u64, Future>>,
    last_id: Cell<u64>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(Mutex<VecDeque<u64>>);

impl Woken {
    fn push(&self, id: u64) {
        let mut woken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !woken.contains(&id) {
            woken.push_back(id);
        }
    }

    fn pop(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

struct Alarm {
    woken: Arc<Woken>,
    id: u64,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.woken.push(self.id);
    }
}

impl Executor {
    /// An executor without any task.
    pub fn new() -> Self {
        Self::default()
    }

    /// Polls every task that was woken, until none is; answers how many polls that took.
    pub fn run(&self) -> usize {
        std::iter::from_fn(|| self.run_one().then_some(())).count()
    }

    /// Polls the task that was woken first; false if none is.
    pub fn run_one(&self) -> bool {
        let Some(id) = self.0.woken.pop() else { return false };
        // Out of the list meanwhile: a task may spawn others.
        let task = self.0.tasks.borrow_mut().remove(&id);
        if let Some(mut task) = task {
            let alarm = Alarm { woken: Arc::clone(&self.0.woken), id };
            let waker = Waker::from(Arc::new(alarm));
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.0.tasks.borrow_mut().insert(id, task);
            }
        }
        true
    }

    /// How many tasks have not ended.
    pub fn pending(&self) -> usize {
        self.0.tasks.borrow().len()
    }
}

impl Spawn for Executor {
    fn spawn(&self, future: Future) {
        let id = self.0.last_id.get() + 1;
        self.0.last_id.set(id);
        self.0.tasks.borrow_mut().insert(id, future);
        self.0.woken.push(id);
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("pending", &self.pending()).finish()
    }
}
