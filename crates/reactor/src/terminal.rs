//! Terminals that are raw.

use std::fmt;
use std::io;

use rustix::fd::AsFd;

use crate::sys::os::Raw;

/// A terminal whose keys come at once and unchanged, and which shows what is written as it is; dropped, it is as
/// it was before.
///
/// It is put back as well when the process ends by [`exit`](std::process::exit), a panic, an abort, SIGINT,
/// SIGTERM, SIGHUP or SIGQUIT, and while it is stopped by SIGTSTP: it is raw again when the process goes on in the
/// foreground. A signal that a running reactor takes puts it back at once.
///
/// ```
/// use ropewalk_reactor::RawTerminal;
///
/// // Where the standard input is no terminal, there is nothing to be set.
/// let keys = RawTerminal::new(&std::io::stdin()).ok();
/// drop(keys);
/// ```
pub struct RawTerminal {
    _raw: Raw,
}

impl RawTerminal {
    /// Makes a terminal raw.
    ///
    /// # Errors
    ///
    /// If it is no terminal, eight others are raw, or the system refuses.
    pub fn new(terminal: &impl AsFd) -> io::Result<Self> {
        let own = terminal.as_fd().try_clone_to_owned()?;
        Ok(Self { _raw: Raw::new(own)? })
    }
}

impl fmt::Debug for RawTerminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawTerminal").finish_non_exhaustive()
    }
}
