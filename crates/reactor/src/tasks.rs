//! Futures on the reactor's own thread.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use ropewalk_deferred::take_awaited_at;
use slab::Slab;

use crate::remote::Remote;
use crate::tally::{Runs, Tally};

type Place = &'static Location<'static>;
type BoxedTask = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks of one reactor.
#[derive(Default)]
pub(crate) struct Tasks {
    tasks: RefCell<Slab<Task>>,
    count: Cell<usize>,
}

struct Task {
    /// Out while it is polled.
    future: Option<BoxedTask>,
    waker: Arc<TaskWaker>,
    /// The `await` that it waits in, if it is known.
    awaits_at: Option<&'static Location<'static>>,
    name: &'static str,
    /// Where it was asked for.
    at: &'static Location<'static>,
}

struct TaskWaker {
    task: usize,
    queued: AtomicBool,
    remote: Arc<Remote>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.remote.task_ready(self.task);
        }
    }
}

impl Tasks {
    /// Takes a task in; it is polled for the first time in the next turn.
    pub(crate) fn spawn(
        &self,
        future: BoxedTask,
        name: &'static str,
        at: &'static Location<'static>,
        remote: &Arc<Remote>,
    ) {
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let waker = Arc::new(TaskWaker {
            task: entry.key(),
            queued: AtomicBool::new(false),
            remote: Arc::clone(remote),
        });
        waker.wake_by_ref();
        entry.insert(Task { future: Some(future), waker, awaits_at: None, name, at });
        self.count.set(self.count.get() + 1);
    }

    /// Polls a task that was woken.
    pub(crate) fn poll(&self, id: usize, tally: &Tally) {
        let (mut future, waker) = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(task) = tasks.get_mut(id) else { return };
            let Some(future) = task.future.take() else { return };
            tally.runs(Runs::Task(task.at));
            (future, Arc::clone(&task.waker))
        };
        waker.queued.store(false, Ordering::Release);
        let waker = Waker::from(waker);
        take_awaited_at();
        // A task is a deferred's driver, which catches panics.
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.tasks.borrow_mut();
        if done {
            tasks.try_remove(id);
            self.count.set(self.count.get() - 1);
            drop(tasks);
        } else if let Some(task) = tasks.get_mut(id) {
            task.future = Some(future);
            task.awaits_at = take_awaited_at();
        }
    }

    /// The name of each, where it was asked for, and the `await` that it waits in.
    pub(crate) fn all(&self) -> Vec<(&'static str, Place, Option<Place>)> {
        let tasks = self.tasks.borrow();
        tasks.iter().map(|(_, task)| (task.name, task.at, task.awaits_at)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.count.get()
    }

    /// Drops every task.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        self.count.set(0);
        drop(tasks);
    }
}
