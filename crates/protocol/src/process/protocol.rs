//! What the author of a process protocol writes.

use std::error::Error;
use std::fmt;

use super::{ExitStatus, Process, STDERR, STDOUT, SpawnError};
use crate::Disconnect;

/// A protocol spoken with a process, over as many pipes as it has.
///
/// A protocol may count on this, whoever starts its process:
///
/// 1. [`started`](Self::started) comes first, unless the process was not started.
/// 2. [`ended`](Self::ended) comes last and exactly once, also when the process was not started (then
///    alone, with the reason). No call, timer or result comes after it.
/// 3. What is written to one descriptor comes in order, cut anywhere, and before that descriptor's
///    [`descriptor_closed`](Self::descriptor_closed), which comes exactly once. While its reading is
///    paused, neither comes.
/// 4. [`exited`](Self::exited) comes once, when the process has been reaped: before or after any output.
///    Another process may hold the pipes and write on.
/// 5. [`ended`](Self::ended) waits for both: the process reaped, and every pipe closed.
/// 6. No call comes while another runs. A panic in one is logged; the process is killed, and the end is
///    told as any other.
///
/// ```
/// use ropewalk_protocol::process::{Command, Process, ProcessEnd, ProcessProtocol};
///
/// /// Has `bc` add two numbers.
/// struct Sum(Vec<u8>);
///
/// impl ProcessProtocol for Sum {
///     fn started(&mut self, process: &Process<Self>) {
///         process.write(b"1+2\n");
///         process.close_stdin();
///     }
///
///     fn out_received(&mut self, _: &Process<Self>, data: &[u8]) {
///         self.0.extend_from_slice(data);
///     }
///
///     fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
///         println!("{end}, and said {:?}", self.0);
///     }
/// }
/// ```
pub trait ProcessProtocol: Sized + 'static {
    /// The process runs; [`Process::id`] is known.
    fn started(&mut self, process: &Process<Self>) {
        let _ = process;
    }

    /// The process wrote to one of its descriptors. Unless this says otherwise, it is passed on to
    /// [`out_received`](Self::out_received) or [`err_received`](Self::err_received), and what comes from
    /// any other descriptor is dropped.
    fn output_received(&mut self, process: &Process<Self>, descriptor: u32, data: &[u8]) {
        match descriptor {
            STDOUT => self.out_received(process, data),
            STDERR => self.err_received(process, data),
            _ => (),
        }
    }

    /// The process wrote to its standard output.
    fn out_received(&mut self, process: &Process<Self>, data: &[u8]) {
        let _ = (process, data);
    }

    /// The process wrote to its standard error.
    fn err_received(&mut self, process: &Process<Self>, data: &[u8]) {
        let _ = (process, data);
    }

    /// A pipe is closed: nobody holds its other end any more, or this side has closed it. Of a pipe that
    /// was written to, what is still unsent is dropped.
    fn descriptor_closed(&mut self, process: &Process<Self>, descriptor: u32) {
        let _ = (process, descriptor);
    }

    /// Some of what waited on that descriptor was sent, and [`Process::tell_when_sent`] asked for word of
    /// it.
    fn input_sent(&mut self, process: &Process<Self>, descriptor: u32) {
        let _ = (process, descriptor);
    }

    /// More than [`Marks::high`](crate::Marks) waits to be read by the process: stop writing to it.
    fn writing_paused(&mut self, process: &Process<Self>, descriptor: u32) {
        let _ = (process, descriptor);
    }

    /// No more than [`Marks::low`](crate::Marks) waits any longer: go on.
    fn writing_resumed(&mut self, process: &Process<Self>, descriptor: u32) {
        let _ = (process, descriptor);
    }

    /// The process is gone and has been reaped. Its pipes may still hold what it wrote.
    fn exited(&mut self, process: &Process<Self>, status: ExitStatus) {
        let _ = (process, status);
    }

    /// It is all over, or never began.
    fn ended(&mut self, process: &Process<Self>, end: &ProcessEnd) {
        let _ = (process, end);
    }
}

/// How it all ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessEnd {
    /// The process exited, and every pipe is closed.
    Exited(ExitStatus),
    /// The process was never started.
    NotStarted(SpawnError),
    /// This side gave it up.
    Abandoned {
        /// Why: [`Panicked`](Disconnect::Panicked), [`Overflowed`](Disconnect::Overflowed) and
        /// [`Aborted`](Disconnect::Aborted) have killed it;
        /// [`Stopped`](Disconnect::Stopped) leaves it to itself, unless it was to be killed.
        why: Disconnect,
        /// How the process ended, if it has.
        status: Option<ExitStatus>,
    },
}

impl ProcessEnd {
    /// How the process itself ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        match self {
            Self::Exited(status) => Some(*status),
            Self::NotStarted(_) => None,
            Self::Abandoned { status, .. } => *status,
        }
    }
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "the process {status}"),
            Self::NotStarted(error) => error.fmt(f),
            Self::Abandoned { why, .. } => write!(f, "the process was given up: {why}"),
        }
    }
}

impl Error for ProcessEnd {}
