//! What is logged while a test runs.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

/// How many lines are kept.
const LINES_MAX: usize = 200;

/// Keeps what this thread logs while it listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overheard(Arc<Mutex<Vec<Line>>>);

#[derive(Clone, Debug)]
struct Line {
    is_unhandled: bool,
    text: String,
}

impl Overheard {
    pub(crate) fn listen<T>(&self, call: impl FnOnce() -> T) -> T {
        tracing::subscriber::with_default(Ear(self.clone()), call)
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.text).collect()
    }

    /// Failures that were dropped and that nobody had looked at.
    pub(crate) fn unhandled(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.is_unhandled).map(|line| line.text).collect()
    }

    fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Ear(Overheard);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut text = format!("{} {}:", metadata.level(), metadata.target());
        event.record(&mut Fields(&mut text));
        let is_unhandled = metadata.target() == UNHANDLED;
        let mut lines = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES_MAX {
            lines.push(Line { is_unhandled, text });
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Where a failure that nobody handled is logged.
const UNHANDLED: &str = "ropewalk::deferred";

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
