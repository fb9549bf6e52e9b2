//! What a program says of itself: a line an event, for people or for machines.
//!
//! No event is lost because one of its fields is odd: a value that cannot be shown, or whose showing panics, is
//! said to be so; numbers that JSON has no form for become text; two fields of one name are both there; what is
//! long is cut; and nothing in a field can begin a new line or drive a terminal.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use ropewalk_control::logs::{Form, Log};
//!
//! let said = Arc::new(Mutex::new(Vec::new()));
//! let heard = Arc::clone(&said);
//! let log = Log::new(Form::Json, "info")
//!     .to(move |line| heard.lock().unwrap().extend_from_slice(line));
//! let (subscriber, levels, _) = log.into_parts();
//! tracing::subscriber::with_default(subscriber, || {
//!     tracing::info!(target: "app", door = 3, odd = f64::NAN, "somebody knocks");
//!     tracing::debug!(target: "app", "not said");
//!     levels.change("app=debug").unwrap();
//!     tracing::debug!(target: "app", "said");
//! });
//! let said = String::from_utf8(said.lock().unwrap().clone()).unwrap();
//! let first: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
//! assert_eq!(first["message"], "somebody knocks");
//! assert_eq!(first["fields"]["door"], 3);
//! assert_eq!(first["fields"]["odd"], "NaN");
//! assert_eq!(said.lines().count(), 2);
//! ```

mod fields;
mod levels;
mod spans;
mod write;

use std::fmt;
use std::io::{self, Write as _};

use tracing::{Level, Subscriber};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

pub use fields::FIELD_MAX;
pub use levels::Levels;
pub use spans::Spans;

use write::Writer;

/// For whom lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For people at a terminal, with colours.
    Coloured,
    /// For machines: an object a line.
    Json,
    /// For people, by way of a log that notes time and level itself, as journald and syslog do.
    Bare,
}

pub(crate) type Sink = Box<dyn Fn(Level, &[u8]) + Send + Sync>;

/// How a program logs.
pub struct Log {
    form: Form,
    filter: String,
    sink: Sink,
}

impl Log {
    /// Logs to standard error what `filter` lets through, such as `warn,ropewalk::http=debug`. A filter that
    /// cannot be read lets warnings through.
    pub fn new(form: Form, filter: &str) -> Self {
        let sink = |_: Level, line: &[u8]| {
            // A log that cannot be written has nowhere to say so.
            let _ = io::stderr().lock().write_all(line);
        };
        Self { form, filter: filter.to_owned(), sink: Box::new(sink) }
    }

    /// Gives each line to somebody else, with its end.
    #[must_use]
    pub fn to(self, sink: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        self.to_leveled(move |_, line| sink(line))
    }

    /// The same, with the level of the event.
    #[must_use]
    pub fn to_leveled(self, sink: impl Fn(Level, &[u8]) + Send + Sync + 'static) -> Self {
        Self { sink: Box::new(sink), ..self }
    }

    /// What takes the events, what changes which are let through, and what knows the spans that threads are
    /// in.
    pub fn into_parts(self) -> (impl Subscriber + Send + Sync, Levels, Spans) {
        let (filter, base) = match EnvFilter::try_new(&self.filter) {
            Ok(filter) => (filter, self.filter),
            Err(_) => (EnvFilter::new("warn"), "warn".to_owned()),
        };
        let (filter, handle) = reload::Layer::<_, Registry>::new(filter);
        let spans = Spans::default();
        let writer = Writer::new(self.form, self.sink, spans.clone());
        (Registry::default().with(filter).with(writer), Levels::new(base, handle), spans)
    }

    /// Has all threads log so from now on; what was installed before stays, and this is told.
    ///
    /// # Errors
    ///
    /// If the process logs in another way already.
    pub fn start(self) -> Result<(Levels, Spans), tracing::subscriber::SetGlobalDefaultError> {
        let (subscriber, levels, spans) = self.into_parts();
        tracing::subscriber::set_global_default(subscriber)?;
        Ok((levels, spans))
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("form", &self.form)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}
