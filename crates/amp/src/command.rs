//! Commands: what may be asked, what is answered, and which errors are part of the bargain.

use std::error::Error;
use std::fmt;

use crate::Record;
use crate::codec::KEY_MAX;

/// Something that one side can ask the other to do: its arguments, which are its fields, and what
/// comes back. [`command!`](crate::command) writes these.
pub trait Command: Record + 'static {
    /// What it is called on the wire.
    const NAME: &'static str;

    /// Whether it has an answer at all.
    const IS_ANSWERED: bool = true;

    /// Whether the connection belongs to another protocol once it is answered.
    const IS_SWITCH: bool = false;

    /// What a responder answers.
    type Answer: Record + 'static;

    /// The errors that are part of the bargain.
    type Error: DeclaredError;
}

/// The errors of a command, each with the code that stands for it on the wire.
/// [`errors!`](crate::errors) writes these.
pub trait DeclaredError: Error + Send + Sync + Sized + 'static {
    /// What programs look at.
    fn code(&self) -> &str;

    /// What people read.
    fn message(&self) -> &str;

    /// Whether the responder closes the connection after sending it.
    fn is_fatal(&self) -> bool;

    /// The error that this code stands for.
    fn from_wire(code: &str, message: &str) -> Option<Self>;
}

/// The errors of a command that declares none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoErrors {}

impl fmt::Display for NoErrors {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Error for NoErrors {}

impl DeclaredError for NoErrors {
    fn code(&self) -> &str {
        match *self {}
    }

    fn message(&self) -> &str {
        match *self {}
    }

    fn is_fatal(&self) -> bool {
        match *self {}
    }

    fn from_wire(_: &str, _: &str) -> Option<Self> {
        None
    }
}

/// The keys of a box that say what it is.
pub(crate) mod key {
    pub(crate) const ANSWER: &[u8] = b"_answer";
    pub(crate) const ASK: &[u8] = b"_ask";
    pub(crate) const COMMAND: &[u8] = b"_command";
    pub(crate) const ERROR: &[u8] = b"_error";
    pub(crate) const ERROR_CODE: &[u8] = b"_error_code";
    pub(crate) const ERROR_DESCRIPTION: &[u8] = b"_error_description";
}

/// The command that has the connection encrypted. It has no arguments, and an empty answer.
pub(crate) const START_TLS: &str = "StartTLS";
/// The code for TLS that cannot be had.
pub(crate) const TLS_ERROR: &str = "TLS_ERROR";
/// The code for what a responder did not expect.
pub(crate) const UNKNOWN: &str = "UNKNOWN";
/// The code for a command that nobody responds to.
pub(crate) const UNHANDLED: &str = "UNHANDLED";

/// What the macros need and nobody else does.
#[doc(hidden)]
pub mod for_macros {
    pub use ropewalk_deferred::{Deferred, Outcome};

    use super::{KEY_MAX, key};

    /// The key of a field that is called `name`. Evaluated when the command is compiled.
    pub const fn key_of(name: &'static str) -> &'static str {
        let name = match name.as_bytes() {
            [b'r', b'#', ..] => name.split_at(2).1,
            _ => name,
        };
        assert!(!name.is_empty() && name.len() <= KEY_MAX, "a key has 1 to 255 bytes");
        let taken: [&[u8]; 6] = [
            key::ANSWER,
            key::ASK,
            key::COMMAND,
            key::ERROR,
            key::ERROR_CODE,
            key::ERROR_DESCRIPTION,
        ];
        let mut index = 0;
        while index < taken.len() {
            assert!(!are_equal(taken[index], name.as_bytes()), "the protocol has this key itself");
            index += 1;
        }
        name
    }

    const fn are_equal(one: &[u8], other: &[u8]) -> bool {
        let mut index = 0;
        while index < one.len() && index < other.len() && one[index] == other[index] {
            index += 1;
        }
        index == one.len() && index == other.len()
    }
}
