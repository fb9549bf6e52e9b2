//! What the tests share.

use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::thread;

use ropewalk_deferred::{Deferred, Failure};
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

#[derive(Debug, PartialEq)]
pub(crate) struct Odd(pub(crate) u32);

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is odd", self.0)
    }
}

impl std::error::Error for Odd {}

pub(crate) fn half(n: u32) -> Result<u32, Odd> {
    if n.is_multiple_of(2) { Ok(n / 2) } else { Err(Odd(n)) }
}

/// Runs `body` where the stack is a quarter of a mebibyte.
pub(crate) fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(256 * 1024).spawn(body).unwrap().join().unwrap();
}

#[track_caller]
pub(crate) fn value<T>(deferred: Deferred<T>) -> T {
    deferred.now_or_never().expect("no result yet").expect("a failure")
}

#[track_caller]
pub(crate) fn failure<T: fmt::Debug>(deferred: Deferred<T>) -> Failure {
    deferred.now_or_never().expect("no result yet").expect_err("a value")
}

/// What is logged on this thread while it lives, a line an event.
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Log {
    pub(crate) fn listen() -> Self {
        let lines = Arc::default();
        let scribe = Scribe(Arc::clone(&lines));
        let subscriber = tracing_subscriber::registry().with(scribe);
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

struct Scribe(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Scribe {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}
