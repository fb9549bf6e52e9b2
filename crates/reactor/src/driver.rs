//! The choice of what is below.

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;

use crate::ReactorError;
use crate::sys::{self, Driver, Refusal, Sockets};

/// The environment variable that names a driver, for programs that let their users choose.
const VARIABLE: &str = "ROPEWALK_REACTOR";

/// One of the kernel's interfaces for carrying many connections.
///
/// ```
/// use ropewalk_reactor::{DriverKind, Reactor};
///
/// let kind: DriverKind = "poll".parse()?;
/// let reactor = Reactor::with_driver(kind)?;
/// assert_eq!(reactor.driver(), "poll");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DriverKind {
    /// Linux's readiness interface: what measures best.
    Epoll,
    /// Linux's completion interface.
    IoUring,
    /// The readiness interface that every Unix has.
    Poll,
    /// The oldest one.
    Select,
    /// What the system has, by way of the `polling` crate.
    Portable,
}

/// What measures best where it is there: [`Epoll`](DriverKind::Epoll) on Linux, elsewhere
/// [`Portable`](DriverKind::Portable).
impl Default for DriverKind {
    fn default() -> Self {
        sys::os::DEFAULT_DRIVER
    }
}

impl DriverKind {
    /// All of them, those that this system lacks included.
    pub const ALL: [Self; 5] =
        [Self::Epoll, Self::IoUring, Self::Poll, Self::Select, Self::Portable];

    /// The name by which it is chosen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
            Self::Poll => "poll",
            Self::Select => "select",
            Self::Portable => "portable",
        }
    }

    /// What it is and what it can do, in a line.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Epoll => {
                "readiness, of TCP told once; cost grows with what happens, not with what waits"
            }
            Self::IoUring => {
                "completions: multishot accepts and receives, shared buffers, one call a turn"
            }
            Self::Poll => "readiness of all descriptors, each looked at in each turn",
            Self::Select => {
                "the same in sets of bits; a connection that neither reads nor writes is not told \
                 of a reset"
            }
            Self::Portable => "epoll, kqueue, event ports or IOCP, by way of the polling crate",
        }
    }

    /// Whether it works here, and if not, why.
    ///
    /// # Errors
    ///
    /// If the kernel, a sandbox or a limit refuses what the driver needs.
    pub fn availability(self) -> Result<(), DriverUnavailable> {
        match sys::open(self, Sockets::default()) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(DriverUnavailable { kind: self, refusal }),
        }
    }

    /// Whether it works here.
    pub fn is_available(self) -> bool {
        self.availability().is_ok()
    }

    /// The one that the environment asks for with `ROPEWALK_REACTOR`, if it asks for one.
    ///
    /// Nothing in this crate calls it: it is for a program's start.
    ///
    /// # Errors
    ///
    /// If the variable names none that is known.
    pub fn from_environment() -> Result<Option<Self>, UnknownDriver> {
        match std::env::var_os(VARIABLE) {
            Some(name) if !name.is_empty() => {
                name.to_string_lossy().parse().map(Some).map_err(|error: UnknownDriver| {
                    UnknownDriver { from_environment: true, ..error }
                })
            }
            _ => Ok(None),
        }
    }

    /// Opens it, or what takes its place.
    pub(crate) fn open(self, sockets: &Sockets) -> Result<Box<dyn Driver>, ReactorError> {
        let refused = match sys::open(self, sockets.clone()) {
            Ok(driver) => return Ok(driver),
            Err(refusal) => DriverUnavailable { kind: self, refusal },
        };
        if self != Self::IoUring {
            return Err(refused.into());
        }
        tracing::warn!(
            target: "ropewalk::reactor",
            "{refused}: {default} takes its place",
            default = Self::default(),
        );
        Self::default().open(sockets)
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DriverKind {
    type Err = UnknownDriver;

    /// Knows `uring` as well as `io_uring`.
    fn from_str(name: &str) -> Result<Self, UnknownDriver> {
        match name {
            "uring" => Ok(Self::IoUring),
            _ => Self::ALL
                .into_iter()
                .find(|kind| kind.name() == name)
                .ok_or_else(|| UnknownDriver { name: name.to_owned(), from_environment: false }),
        }
    }
}

/// No driver has the name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDriver {
    name: String,
    from_environment: bool,
}

impl UnknownDriver {
    /// The name that was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for UnknownDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from_environment {
            write!(f, "{VARIABLE}: ")?;
        }
        write!(f, "no reactor is called {:?}; there are ", self.name)?;
        for (index, kind) in DriverKind::ALL.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{kind}")?;
        }
        Ok(())
    }
}

impl Error for UnknownDriver {}

/// Why a driver does not work here.
#[derive(Debug)]
pub struct DriverUnavailable {
    kind: DriverKind,
    refusal: Refusal,
}

impl DriverUnavailable {
    /// The driver that was asked for.
    pub fn kind(&self) -> DriverKind {
        self.kind
    }
}

impl fmt::Display for DriverUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used here, as {}", self.kind, self.refusal)
    }
}

impl Error for DriverUnavailable {}

impl From<DriverUnavailable> for ReactorError {
    fn from(refused: DriverUnavailable) -> Self {
        let error = match refused.refusal {
            Refusal::System(error) => error,
            Refusal::Lacks(what) => io::Error::new(io::ErrorKind::Unsupported, what),
        };
        Self::System { doing: "opening what tells of events", error }
    }
}
