//! How a process ended, and signals.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitStatus {
    /// By itself, with this code; 0 is success.
    Exited(i32),
    /// By a signal.
    Signaled {
        /// Which.
        signal: Signal,
        /// It left an image of its memory.
        core_dumped: bool,
    },
    /// It is gone, but somebody else has asked the system how, who answers once: another reaper in this
    /// program, or one who had children's ends ignored.
    Unknown,
}

impl ExitStatus {
    /// The end of a program that has nothing to complain about.
    pub const SUCCESS: Self = Self::Exited(0);

    /// Whether the process ended by itself with the code 0.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// The code, if it ended by itself.
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The signal, if one ended it.
    pub const fn signal(self) -> Option<Signal> {
        match self {
            Self::Signaled { signal, .. } => Some(signal),
            _ => None,
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signaled { signal, core_dumped: false } => write!(f, "was ended by {signal}"),
            Self::Signaled { signal, core_dumped: true } => {
                write!(f, "was ended by {signal} and left a core")
            }
            Self::Unknown => f.write_str("ended in a way that somebody else was told of"),
        }
    }
}

/// A signal, by the name that POSIX gives it; numbers differ between systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGHUP`: the terminal is gone, or the configuration is to be read again.
    Hangup,
    /// `SIGINT`: what Ctrl-C sends.
    Interrupt,
    /// `SIGQUIT`: the same with a core.
    Quit,
    /// `SIGABRT`: the program gave itself up.
    Abort,
    /// `SIGKILL`: the end, without a word.
    Kill,
    /// `SIGSEGV`: memory that is not there.
    SegmentationFault,
    /// `SIGPIPE`: nobody reads what was written.
    Pipe,
    /// `SIGALRM`: a time has come.
    Alarm,
    /// `SIGTERM`: please end.
    Terminate,
    /// `SIGUSR1`: whatever the program makes of it.
    User1,
    /// `SIGUSR2`: the same.
    User2,
    /// `SIGCHLD`: a child has changed.
    Child,
    /// `SIGCONT`: go on.
    Continue,
    /// `SIGSTOP`: stand still.
    Stop,
    /// `SIGTSTP`: what Ctrl-Z sends.
    TerminalStop,
    /// `SIGWINCH`: the terminal has another size.
    WindowChange,
    /// Any other, by its number on this system.
    Number(i32),
}

impl Signal {
    const NAMES: [(Self, &'static str); 16] = [
        (Self::Hangup, "SIGHUP"),
        (Self::Interrupt, "SIGINT"),
        (Self::Quit, "SIGQUIT"),
        (Self::Abort, "SIGABRT"),
        (Self::Kill, "SIGKILL"),
        (Self::SegmentationFault, "SIGSEGV"),
        (Self::Pipe, "SIGPIPE"),
        (Self::Alarm, "SIGALRM"),
        (Self::Terminate, "SIGTERM"),
        (Self::User1, "SIGUSR1"),
        (Self::User2, "SIGUSR2"),
        (Self::Child, "SIGCHLD"),
        (Self::Continue, "SIGCONT"),
        (Self::Stop, "SIGSTOP"),
        (Self::TerminalStop, "SIGTSTP"),
        (Self::WindowChange, "SIGWINCH"),
    ];

    /// Those that have a name here.
    pub fn all_named() -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(signal, _)| signal)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Number(number) = self {
            return write!(f, "signal {number}");
        }
        let named = Self::NAMES.iter().find(|(signal, _)| signal == self);
        f.write_str(named.map_or("a signal", |(_, name)| name))
    }
}

/// Reads `SIGTERM`, `TERM`, `term` or a number.
impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let unknown = || UnknownSignal(text.to_owned());
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Number).map_err(|_| unknown());
        }
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        let named = Self::NAMES.iter().find(|(_, name)| name.strip_prefix("SIG") == Some(short));
        named.map(|(signal, _)| *signal).ok_or_else(unknown)
    }
}

/// A text that names no signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSignal(pub String);

impl fmt::Display for UnknownSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no signal; one is written SIGTERM, TERM or 15", self.0)
    }
}

impl Error for UnknownSignal {}
