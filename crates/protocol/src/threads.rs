//! Blocking work, as something that is done elsewhere.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use ropewalk_deferred::{Deferred, Failure, Panicked, deferred};
use tracing::Span;
use tracing::dispatcher::{self, Dispatch};
use tracing::level_filters::LevelFilter;

/// A place for work that blocks: a reactor's thread pool, or a test's pretence of one.
pub trait Threads {
    /// Does `work` on some other thread, then calls `finished` on this one.
    ///
    /// # Errors
    ///
    /// Nothing is called if the work cannot be taken on: its queue is full, or the pool has stopped.
    fn submit(
        &self,
        work: Box<dyn FnOnce() + Send>,
        finished: Box<dyn FnOnce()>,
    ) -> Result<(), Failure>;
}

/// Does `work` on another thread; the deferred brings its result back to this one.
///
/// The work is done in the `tracing` span in which this is called, and what it logs goes to the same
/// subscriber. The values of a [`Context`](ropewalk_deferred::Context) stay on this thread, where the
/// deferred's links find them.
///
/// A panic in `work` is a failure. Work that has started cannot be cancelled: only its result is
/// dropped then.
#[track_caller]
pub fn defer_to_threads<T, E>(
    threads: &(impl Threads + ?Sized),
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Deferred<T>
where
    T: Send + 'static,
    E: Into<Failure>,
{
    let (promise, waiting) = deferred();
    let result = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&result);
    let surroundings = Surroundings::current();
    let work = Box::new(move || {
        let outcome = match catch_unwind(AssertUnwindSafe(|| surroundings.run(work))) {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(payload) => Err(Failure::new(Panicked::from_payload(&*payload))),
        };
        *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    });
    let finished = Box::new(move || {
        let outcome = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(outcome) = outcome {
            promise.fire(outcome);
        }
    });
    match threads.submit(work, finished) {
        Ok(()) => waiting,
        Err(refusal) => {
            // Its promise went with the job; what the caller should hear is why.
            waiting.add_errback(|_| Err(refusal))
        }
    }
}

/// What goes along to another thread: who is told of what is logged, and in which span.
struct Surroundings(Option<(Dispatch, Span)>);

impl Surroundings {
    fn current() -> Self {
        // Nobody listens.
        if LevelFilter::current() == LevelFilter::OFF {
            return Self(None);
        }
        Self(Some((dispatcher::get_default(Dispatch::clone), Span::current())))
    }

    fn run<T>(self, work: impl FnOnce() -> T) -> T {
        match self.0 {
            Some((dispatch, span)) => dispatcher::with_default(&dispatch, || span.in_scope(work)),
            None => work(),
        }
    }
}
