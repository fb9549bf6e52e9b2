//! A program from its start to its end.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::process::{ExitCode, Termination};
use std::rc::Rc;

use ropewalk_deferred::{Abandoned, Failure, Outcome, maybe_deferred};

/// A loop that runs until it is told to stop: a reactor, or a test's.
pub trait EventLoop {
    /// Runs until [`stop`](Self::stop) is called.
    ///
    /// # Errors
    ///
    /// If the loop cannot go on.
    fn run(&self) -> Result<(), Failure>;

    /// Makes [`run`](Self::run) return once the turn under way is over.
    fn stop(&self);

    /// Whether it was told to stop and [`run`](Self::run) has not returned.
    fn is_stopping(&self) -> bool;
}

/// Calls `main` and runs `event_loop` until its result is there; the answer is what to exit with.
///
/// A failure is logged, and gives [`Exit::FAILURE`]; one that is an [`Exit`] gives just that. A loop
/// that is stopped by something else, a signal say, cancels what `main` waits for and exits well; one
/// that cannot go on does the same and fails.
/// Where `main` has its result at once, the loop does not run at all.
///
/// ```no_run
/// use ropewalk_deferred::Failure;
/// use ropewalk_protocol::{EventLoop, Exit, react};
///
/// # fn example(reactor: impl EventLoop + Clone + 'static) {
/// fn start(_: &impl EventLoop) -> Result<(), Failure> {
///     Err(Exit::new(3).into())
/// }
///
/// let exit: Exit = react(&reactor, start);
/// # }
/// ```
pub fn react<L, R>(event_loop: &L, main: impl FnOnce(&L) -> R) -> Exit
where
    L: EventLoop + Clone + 'static,
    R: Outcome<Value = ()>,
{
    let exit = Rc::new(Cell::new(None));
    let ended = Rc::clone(&exit);
    let stopper = event_loop.clone();
    let running = Rc::new(Cell::new(false));
    let is_running = Rc::clone(&running);
    let canceller = maybe_deferred(|| main(event_loop)).on_result(move |result| {
        ended.set(Some(match result {
            Ok(()) => Exit::SUCCESS,
            // A loop that stops lets go of what was waited for; that is no fault of anybody's.
            Err(failure) if stopper.is_stopping() && failure.check::<Abandoned>().is_some() => {
                Exit::SUCCESS
            }
            Err(failure) => failure.downcast::<Exit>().unwrap_or_else(|failure| {
                tracing::error!(target: "ropewalk::react", "the main function failed: {failure:?}");
                Exit::FAILURE
            }),
        }));
        if is_running.get() {
            stopper.stop();
        }
    });
    if exit.get().is_none() {
        running.set(true);
        let looped = event_loop.run();
        running.set(false);
        if let Err(failure) = looped {
            tracing::error!(target: "ropewalk::react", "the loop broke off: {failure:?}");
            canceller.cancel();
            return Exit::FAILURE;
        }
    }
    if let Some(exit) = exit.get() {
        return exit;
    }
    canceller.cancel();
    Exit::SUCCESS
}

/// What a program exits with; also an error, by which [`react`]'s main function chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// All went well: 0.
    pub const SUCCESS: Self = Self(0);
    /// Something failed: 1.
    pub const FAILURE: Self = Self(1);

    /// An exit with `code`.
    pub fn new(code: u8) -> Self {
        Self(code)
    }

    /// The code.
    pub fn code(self) -> u8 {
        self.0
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit with {}", self.0)
    }
}

impl Error for Exit {}
