//! What an operator has hold of: a program's logs, and a socket by which it is asked and told.
//!
//! The socket is answered by a thread of its own, so that a program whose loop is stuck still says in what. It
//! is its owner's alone: the file has mode 600, and the kernel is asked who connects.
//!
//! | to | look at |
//! |---|---|
//! | log to people and machines | [`logs`] |
//! | answer operators | [`Control`], [`Subject`] |
//! | find programs, and ask them | [`Places`], [`ask`] |
//!
//! Questions and answers are a JSON object a line; `docs/control.md` in the repository has them all.
//!
//! | bound | default | beyond it |
//! |---|---|---|
//! | operators at once | 16: [`OPERATORS_MAX`] | the next is told that it is busy |
//! | a question | 64 KiB: [`QUESTION_MAX`] | the connection ends |
//! | silence of an operator | 5 minutes | the connection ends |
//! | how long a loop is waited for | 500 ms: [`PATIENCE`] | it is told of as stuck, in what |
//! | connections in one answer | 10,000: [`ROWS_MAX`] | how many were left out is said |
//! | things under way in one answer | the same | the same |
//! | one field of a log | 16 KiB: [`logs::FIELD_MAX`] | it is cut |

#![forbid(unsafe_code)]

#[cfg(unix)]
mod answers;
#[cfg(unix)]
mod client;
pub mod logs;
#[cfg(unix)]
mod place;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod subject;

#[cfg(unix)]
pub use answers::{PATIENCE, ROWS_MAX};
#[cfg(unix)]
pub use client::{CannotAsk, Line, ask};
#[cfg(unix)]
pub use place::{Found, Places};
#[cfg(unix)]
pub use server::{Control, OPERATORS_MAX, QUESTION_MAX};
#[cfg(unix)]
pub use subject::Subject;
