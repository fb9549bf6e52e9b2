//! Why a process was not started.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A program could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnError {
    /// Which, as it was asked for.
    pub program: OsString,
    /// Why.
    pub fault: SpawnFault,
}

/// Why a program could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnFault {
    /// There is no such program: not in the folders of `PATH`, or not at that path.
    NotFound,
    /// It may not be run by this user.
    NotExecutable,
    /// It is no program that this machine can run, and no script with a `#!` line.
    NotAProgram,
    /// The working directory cannot be entered.
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The user or the group cannot be taken on: that is for root alone.
    Identity(io::ErrorKind),
    /// The process group or session cannot be entered.
    Group(io::ErrorKind),
    /// No terminal could be made.
    Terminal(io::ErrorKind),
    /// A descriptor could not be handed on.
    Descriptor {
        /// The number that the child was to know it by.
        number: u32,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The command contradicts itself, or has something in it that no command can have.
    BadCommand(&'static str),
    /// No processes can be started here.
    Unsupported(&'static str),
    /// Arguments and environment together are longer than the system takes.
    TooLong,
    /// This machine, or this user, is short of descriptors, memory or processes.
    Exhausted(io::ErrorKind),
    /// Anything else that the system said.
    Failed(io::ErrorKind),
}

impl SpawnError {
    /// Whether the same may well succeed a little later.
    pub fn is_temporary(&self) -> bool {
        matches!(self.fault, SpawnFault::Exhausted(_))
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start \"{}\": {}", self.program.display(), self.fault)
    }
}

impl fmt::Display for SpawnFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str(
                "there is no such program; install it, add its folder to PATH, or give its whole path",
            ),
            Self::NotExecutable => {
                f.write_str("it may not be run by this user; see its mode (chmod +x) and its folder's")
            }
            Self::NotAProgram => {
                f.write_str("it is no program of this machine; a script needs a #! line at its head")
            }
            Self::Directory { path, kind } => {
                write!(f, "its working directory {} cannot be entered: {kind}", path.display())
            }
            Self::Identity(kind) => {
                write!(f, "its user and groups cannot be taken on, which is for root: {kind}")
            }
            Self::Group(kind) => write!(f, "its process group cannot be entered: {kind}"),
            Self::Terminal(kind) => write!(f, "no terminal can be made for it: {kind}"),
            Self::Descriptor { number, kind } => {
                write!(f, "its descriptor {number} cannot be handed on: {kind}")
            }
            Self::BadCommand(what) | Self::Unsupported(what) => f.write_str(what),
            Self::TooLong => f.write_str("its arguments and environment are too long together"),
            Self::Exhausted(kind) => {
                write!(f, "descriptors, memory or processes are used up: {kind}; try again later")
            }
            Self::Failed(kind) => write!(f, "the system refused: {kind}"),
        }
    }
}

impl Error for SpawnError {}

/// A process that was to be told something has exited already, or is not started yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyExited;

impl fmt::Display for AlreadyExited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process does not run: it has exited, or was not started")
    }
}

impl Error for AlreadyExited {}
