//! Programs that are run for what they answer.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};

use super::{
    ChildDescriptor, Command, ExitStatus, Process, ProcessEnd, ProcessProtocol, ProcessSeat,
    STDERR, STDIN, STDOUT, Spawner, seat_process,
};
use crate::Disconnect;

/// How much is kept of each of a program's two outputs unless told otherwise, in bytes.
pub const OUTPUT_MAX: usize = 1 << 20;
/// How long a program may run unless told otherwise.
pub const RUN_TIMEOUT: Duration = Duration::from_mins(1);

/// What a program answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

/// What a program is given to read, how much of what it writes is kept, how long it may run.
#[derive(Clone, Debug)]
pub struct Collect {
    input: Vec<u8>,
    output_max: usize,
    timeout: Option<Duration>,
}

impl Default for Collect {
    fn default() -> Self {
        Self { input: Vec::new(), output_max: OUTPUT_MAX, timeout: Some(RUN_TIMEOUT) }
    }
}

impl Collect {
    /// Nothing to read, [`OUTPUT_MAX`] and [`RUN_TIMEOUT`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the program read these bytes, and then the end.
    pub fn input(self, input: impl Into<Vec<u8>>) -> Self {
        Self { input: input.into(), ..self }
    }

    /// Keeps so many bytes of each output.
    pub fn at_most(self, output_max: usize) -> Self {
        Self { output_max, ..self }
    }

    /// Lets it run so long.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Lets it run as long as it likes.
    pub fn without_timeout(self) -> Self {
        Self { timeout: None, ..self }
    }

    /// Runs `command` and collects what it writes.
    ///
    /// A code other than 0 is no failure: [`Output::status`] tells. It fails with [`RunError`] or, where
    /// the program was not started, [`SpawnError`](super::SpawnError). The program is killed on every failure, and when the
    /// deferred is cancelled.
    #[track_caller]
    pub fn output_of(
        self,
        spawner: &(impl Spawner + ?Sized),
        command: &Command,
    ) -> Deferred<Output> {
        let (seat, output) = Collector::seat(self);
        spawner.spawn_seat(command, seat);
        output
    }
}

/// Runs `command` and collects what it writes, as [`Collect::output_of`] does with the usual bounds.
///
/// ```
/// use ropewalk_protocol::process::{Command, Output, Spawner, output_of};
/// use ropewalk_deferred::Deferred;
///
/// fn kernel(spawner: &dyn Spawner) -> Deferred<String> {
///     let output = output_of(spawner, &Command::new("uname").arg("-r"));
///     output.add_callback(|output| String::from_utf8(output.stdout))
/// }
/// ```
#[track_caller]
pub fn output_of(spawner: &(impl Spawner + ?Sized), command: &Command) -> Deferred<Output> {
    Collect::new().output_of(spawner, command)
}

/// Runs `command` for how it ends. What it writes is nobody's, unless the command says otherwise of its
/// descriptors; it reads nothing.
#[track_caller]
pub fn status_of(spawner: &(impl Spawner + ?Sized), command: &Command) -> Deferred<ExitStatus> {
    let mut command = command.clone();
    let piped: Vec<u32> = command
        .descriptors()
        .iter()
        .filter(|(_, what)| matches!(what, ChildDescriptor::Input | ChildDescriptor::Output))
        .map(|(number, _)| *number)
        .collect();
    for number in piped {
        command = command.descriptor(number, ChildDescriptor::Null);
    }
    output_of(spawner, &command).map(|output| output.status)
}

/// Why a program's answer was not had, though it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// It wrote more to one descriptor than was to be kept.
    TooLong {
        /// Which.
        descriptor: u32,
        /// How many bytes were to be kept.
        most: usize,
    },
    /// It took longer than it might.
    TimedOut(Duration),
    /// It was given up, as the deferred was cancelled or the reactor stopped.
    Abandoned(Disconnect),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { descriptor, most } => {
                write!(f, "the program wrote more than {most} bytes to its descriptor {descriptor}")
            }
            Self::TimedOut(time) => write!(f, "the program ran longer than {time:?}"),
            Self::Abandoned(why) => write!(f, "the program was given up: {why}"),
        }
    }
}

impl Error for RunError {}

struct Collector {
    options: Collect,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    error: Option<RunError>,
    promise: Option<Promise<Output>>,
    wanted: Rc<Wanted>,
}

/// Whether the output is still wanted, and what is to be given up if it is not.
#[derive(Default)]
struct Wanted {
    is_cancelled: Cell<bool>,
    process: RefCell<Option<Process<Collector>>>,
}

impl Collector {
    fn seat(options: Collect) -> (Box<dyn ProcessSeat>, Deferred<Output>) {
        let (promise, output) = deferred();
        let wanted = Rc::new(Wanted::default());
        let told = Rc::clone(&wanted);
        promise.on_cancel(move || {
            told.is_cancelled.set(true);
            if let Some(process) = told.process.take() {
                process.abort();
            }
        });
        let promise = Some(promise);
        let (stdout, stderr) = (Vec::new(), Vec::new());
        (seat_process(Self { options, stdout, stderr, error: None, promise, wanted }), output)
    }

    fn give_up(&mut self, process: &Process<Self>, error: RunError) {
        self.error.get_or_insert(error);
        process.abort();
    }
}

impl ProcessProtocol for Collector {
    fn started(&mut self, process: &Process<Self>) {
        process.write(&std::mem::take(&mut self.options.input));
        process.close_descriptor(STDIN);
        if let Some(timeout) = self.options.timeout {
            process.call_later(timeout, move |this, process| {
                this.give_up(process, RunError::TimedOut(timeout));
            });
        }
        if self.wanted.is_cancelled.get() {
            return process.abort();
        }
        self.wanted.process.replace(Some(process.clone()));
    }

    fn output_received(&mut self, process: &Process<Self>, descriptor: u32, data: &[u8]) {
        let kept = match descriptor {
            STDOUT => &mut self.stdout,
            STDERR => &mut self.stderr,
            _ => return,
        };
        let most = self.options.output_max;
        if kept.len() + data.len() > most {
            return self.give_up(process, RunError::TooLong { descriptor, most });
        }
        kept.extend_from_slice(data);
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        drop(self.wanted.process.take());
        let Some(promise) = self.promise.take() else { return };
        match (self.error, end) {
            (Some(error), _) => promise.fail(error),
            (None, ProcessEnd::Exited(status)) => {
                let stdout = std::mem::take(&mut self.stdout);
                let stderr = std::mem::take(&mut self.stderr);
                promise.succeed(Output { status: *status, stdout, stderr });
            }
            (None, ProcessEnd::NotStarted(error)) => promise.fail(error.clone()),
            (None, ProcessEnd::Abandoned { why, .. }) => promise.fail(RunError::Abandoned(*why)),
        }
    }
}
