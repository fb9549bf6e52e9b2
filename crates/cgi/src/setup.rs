//! How programs are run, and how many.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::process::Spawner;

/// How many programs of one resource run at the same time unless set.
pub const PROGRAMS_MAX: usize = 32;
/// How long a body may be that has no length, and is collected before its program is started, unless set; in bytes.
pub const COLLECTED_MAX: usize = 1024 * 1024;
/// How much of what a program complains of in one run is logged, in bytes.
pub const LOGGED_MAX: usize = 64 * 1024;
/// How often in a row a program may have the site answer for another place.
pub const REDIRECTS_MAX: u8 = 10;

/// How long a program is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// For one that neither reads nor writes, while neither waits for the client; 60 seconds.
    pub silence: Duration,
    /// For its whole run; 1 hour. `None` is for ever.
    pub total: Option<Duration>,
    /// For it to exit by itself, and after `SIGTERM`; 5 seconds each.
    pub exit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silence: Duration::from_mins(1),
            total: Some(Duration::from_hours(1)),
            exit: Duration::from_secs(5),
        }
    }
}

impl Patience {
    /// The same with another wait for one that does nothing.
    pub fn with_silence(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// The same with another bound for a whole run.
    pub fn with_total(self, total: Option<Duration>) -> Self {
        Self { total, ..self }
    }

    /// The same with another wait for the exit.
    pub fn with_exit(self, exit: Duration) -> Self {
        Self { exit, ..self }
    }
}

/// What every run of a resource's programs shares.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) spawner: Rc<dyn Spawner>,
    pub(crate) patience: Patience,
    pub(crate) programs_max: usize,
    pub(crate) collected_max: usize,
    pub(crate) reads_to_end: bool,
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) document_root: Option<PathBuf>,
    pub(crate) running: Rc<Cell<usize>>,
}

impl Setup {
    pub(crate) fn new(spawner: impl Spawner + 'static) -> Self {
        Self {
            spawner: Rc::new(spawner),
            patience: Patience::default(),
            programs_max: PROGRAMS_MAX,
            collected_max: COLLECTED_MAX,
            reads_to_end: false,
            variables: Vec::new(),
            document_root: None,
            running: Rc::default(),
        }
    }

    /// Room for one program more, if there is any.
    pub(crate) fn slot(&self) -> Option<Slot> {
        let running = self.running.get();
        (running < self.programs_max).then(|| {
            self.running.set(running + 1);
            Slot(Rc::clone(&self.running))
        })
    }
}

/// One program's place among those that may run.
pub(crate) struct Slot(Rc<Cell<usize>>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The settings that both resources have.
macro_rules! settings {
    () => {
        /// Waits no longer than this for a program.
        #[must_use]
        pub fn patience(mut self, patience: crate::Patience) -> Self {
            self.setup.patience = patience;
            self
        }

        /// Runs no more programs at the same time; requests beyond are answered 503.
        #[must_use]
        pub fn programs_max(mut self, programs_max: usize) -> Self {
            self.setup.programs_max = programs_max;
            self
        }

        /// Collects bodies that have no length up to so many bytes, so that a program can be told it
        /// (RFC 3875 4.1.2 has that be so); a longer one is answered 413.
        #[must_use]
        pub fn collected_max(mut self, collected_max: usize) -> Self {
            self.setup.collected_max = collected_max;
            self
        }

        /// Starts programs at once for bodies that have no length either, without `CONTENT_LENGTH`: for those
        /// that read to the end, such as git's.
        #[must_use]
        pub fn read_to_end(mut self) -> Self {
            self.setup.reads_to_end = true;
            self
        }

        /// Sets a variable in every program's environment, where no request's own has its name.
        #[must_use]
        pub fn variable(
            mut self,
            name: impl AsRef<std::ffi::OsStr>,
            value: impl AsRef<std::ffi::OsStr>,
        ) -> Self {
            self.setup.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
            self
        }

        /// Tells programs that documents lie there: `DOCUMENT_ROOT`, and `PATH_TRANSLATED` where there is a
        /// `PATH_INFO`.
        #[must_use]
        pub fn document_root(mut self, root: impl Into<std::path::PathBuf>) -> Self {
            self.setup.document_root = Some(root.into());
            self
        }
    };
}
pub(crate) use settings;
