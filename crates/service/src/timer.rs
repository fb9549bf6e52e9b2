//! Something that is done again and again.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Outcome, maybe_deferred};
use ropewalk_protocol::{Clock, LoopingCall};

use crate::Service;

/// Does something as soon as it is started, and then every `interval`, on a grid of the clock: what takes
/// longer skips places of the grid, and never runs twice at once.
///
/// A failure is logged, and the next call comes all the same. Stopping waits for a call that is under way.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use std::time::Duration;
/// use ropewalk_service::{Service, TimerService};
/// use ropewalk_trial::Clock;
///
/// let clock = Clock::new();
/// let sweeps = Rc::new(Cell::new(0));
/// let count = sweeps.clone();
/// let sweeper = TimerService::new(clock.clone(), Duration::from_mins(1), move |_| {
///     count.set(count.get() + 1);
/// });
/// sweeper.start().now_or_never().unwrap()?;
/// clock.advance(Duration::from_mins(3));
/// assert_eq!(sweeps.get(), 4);
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
pub struct TimerService {
    clock: Rc<dyn Clock>,
    interval: Duration,
    body: Rc<RefCell<Body>>,
    running: RefCell<Option<(LoopingCall, Deferred<()>)>>,
}

type Body = Box<dyn FnMut(u64) -> Deferred<()>>;

impl TimerService {
    /// Calls `body` every `interval` while it runs; with the number of places on the grid since the last
    /// call, which is 1 unless some were skipped.
    pub fn new<R: Outcome<Value = ()>>(
        clock: impl Clock + 'static,
        interval: Duration,
        mut body: impl FnMut(u64) -> R + 'static,
    ) -> Self {
        let body: Body = Box::new(move |places| maybe_deferred(|| body(places)));
        let (clock, body) = (Rc::new(clock), Rc::new(RefCell::new(body)));
        Self { clock, interval, body, running: RefCell::default() }
    }

    /// Whether it has been started and not stopped.
    pub fn is_running(&self) -> bool {
        self.running.borrow().is_some()
    }
}

impl Service for TimerService {
    fn start(&self) -> Deferred<()> {
        if self.is_running() {
            return Deferred::succeed(());
        }
        let body = Rc::clone(&self.body);
        let (clock, interval) = (Rc::clone(&self.clock), self.interval);
        let looping = LoopingCall::start(clock, interval, move |places| {
            let called = (body.borrow_mut())(places);
            called.add_errback(|failure| {
                tracing::error!(target: "ropewalk::service", "what is done by a timer: {failure:?}");
            })
        });
        self.running.replace(Some(looping));
        Deferred::succeed(())
    }

    fn stop(&self) -> Deferred<()> {
        match self.running.take() {
            Some((looping, ended)) => {
                looping.stop();
                ended
            }
            None => Deferred::succeed(()),
        }
    }
}

impl fmt::Debug for TimerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerService")
            .field("interval", &self.interval)
            .field("is_running", &self.is_running())
            .finish_non_exhaustive()
    }
}
