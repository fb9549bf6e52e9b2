//! One connection on the standard input and output of this process.

use std::fmt;

use crate::scheme::{Arguments, Scheme};
use crate::value;
use crate::{ClientDescription, ServerDescription};

/// The standard input and output of this process: `stdio`.
///
/// They are one connection, which is made when listening or connecting begins, and can be taken once.
/// The end of the input is the end of what the peer sends; ending one's own stream ends the output while
/// input still comes. If both are the same socket, as inetd and its like hand one on, the connection is
/// that socket's, with its addresses and credentials.
///
/// From then on the process's own descriptors 0 and 1 lead elsewhere: nothing can be read any more, and
/// what is printed goes to the standard error. How a terminal, a pipe or a file works is not changed, so
/// nothing has to be put back whatever becomes of the process: blocking reads and writes happen in two
/// threads of the reactor's pool.
///
/// With `raw=yes`, or [`raw`](Self::raw), a terminal gives each key at once and unchanged, and shows what is
/// written as it is, until the connection is over; then, or whatever else becomes of the process, it is put back
/// (see `ropewalk_reactor::RawTerminal`). What is no terminal is as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StandardIo {
    is_raw: bool,
}

impl StandardIo {
    /// The two as they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// A terminal becomes raw.
    pub fn raw(self) -> Self {
        Self { is_raw: true }
    }

    /// Whether a terminal becomes raw.
    pub fn is_raw(self) -> bool {
        self.is_raw
    }

    pub(crate) fn scheme<T: From<Self> + 'static>() -> Scheme<T> {
        let build = |arguments: &Arguments| {
            let is_raw = arguments.optional("raw", value::flag)?.unwrap_or(false);
            Ok(Self { is_raw }.into())
        };
        Scheme::new("stdio", "stdio[:raw=yes]", build).named(&["raw"])
    }
}

impl From<StandardIo> for ServerDescription {
    fn from(standard: StandardIo) -> Self {
        Self::StandardIo(standard)
    }
}

impl From<StandardIo> for ClientDescription {
    fn from(standard: StandardIo) -> Self {
        Self::StandardIo(standard)
    }
}

impl fmt::Display for StandardIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_raw { "stdio:raw=yes" } else { "stdio" })
    }
}
