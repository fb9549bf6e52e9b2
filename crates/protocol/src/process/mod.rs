//! Processes: what a protocol and whoever starts programs agree on.
//!
//! A [`ProcessProtocol`] is pushed what a process writes, descriptor by descriptor. It answers on its
//! [`Process`], which only takes notes as a [`Conn`](crate::Conn) does. A reactor starts real
//! processes, a test kit pretended ones; both are a [`Spawner`].
//!
//! | to | look at |
//! |---|---|
//! | say what is to run, and how | [`Command`], [`ChildDescriptor`], [`Grouping`], [`TerminalSize`] |
//! | start it | [`spawn`], [`Spawner`] |
//! | speak with it | [`ProcessProtocol`], [`Process`] |
//! | know how it ended | [`ExitStatus`], [`Signal`], [`ProcessEnd`], [`SpawnError`] |
//! | run it and collect what it writes | [`output_of`], [`status_of`], [`Collect`] |
//! | have any [`Protocol`](crate::Protocol) speak with it | [`ProcessEndpoint`] |
//! | start processes in a place of one's own | [`ProcessSeat`], [`ProcessEvent`], [`ProcessOrder`], [`ProcessCarrier`] |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | input waiting for one descriptor | [`Marks::max`](crate::Marks), 256 MiB | the process is killed |
//! | a child's descriptor's number | [`CHILD_NUMBER_MAX`], 255 | [`SpawnFault::BadCommand`] |
//! | what [`output_of`] keeps of one descriptor | [`OUTPUT_MAX`], 1 MiB | [`RunError::TooLong`], and the process is killed |
//! | how long [`output_of`] and [`status_of`] wait | [`RUN_TIMEOUT`], 60 seconds | [`RunError::TimedOut`], and the process is killed |
//! | a line that a [`ProcessEndpoint`] logs | [`LOG_LINE_MAX`], 4 KiB | logged in pieces |

mod command;
mod endpoint;
mod error;
mod log;
mod output;
mod page;
mod protocol;
mod seat;
mod status;

pub use command::{CHILD_NUMBER_MAX, ChildDescriptor, Command, Grouping, TerminalSize};
pub use endpoint::{ErrorOutput, ProcessEndpoint};
pub use error::{AlreadyExited, SpawnError, SpawnFault};
pub use log::{LOG_LINE_MAX, LogLines};
pub use output::{Collect, OUTPUT_MAX, Output, RUN_TIMEOUT, RunError, output_of, status_of};
pub use page::Process;
pub use protocol::{ProcessEnd, ProcessProtocol};
pub use seat::{
    PipeKind, ProcessCarrier, ProcessEvent, ProcessOrder, ProcessSeat, Spawner, seat_process,
    seat_process_and_tell, spawn,
};
pub use status::{ExitStatus, Signal, UnknownSignal};

/// The number of the descriptor that programs read from.
pub const STDIN: u32 = 0;
/// The number of the descriptor that programs write to.
pub const STDOUT: u32 = 1;
/// The number of the descriptor that programs write their complaints to.
pub const STDERR: u32 = 2;
