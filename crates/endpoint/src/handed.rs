//! Sockets that this process was handed when it started.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::str::FromStr as _;

use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme};
use crate::value;
use crate::{ClientDescription, ServerDescription};

/// The number of the first descriptor that is handed over so.
const FIRST: i32 = 3;
/// How many descriptors may be handed over.
const COUNT_MAX: usize = 4096;

const SYSTEMD_FORM: &str =
    "systemd:INDEX[:domain=FAMILY] or systemd:name=NAME[:domain=FAMILY], as in systemd:0";

/// A descriptor that the process was started with: `fd:NUMBER`.
///
/// A server listens with it, if it is a socket that listens; if it is connected, its one connection is
/// served. A client takes it to be connected. Each can be taken once. The three standard streams go by
/// [`StandardIo`](crate::StandardIo).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    number: i32,
}

impl Descriptor {
    /// The descriptor of this number.
    ///
    /// # Errors
    ///
    /// [`Fault::Descriptor`] if it is below 3.
    pub fn new(number: i32) -> Result<Self, Fault> {
        if number < FIRST { Err(Fault::Descriptor) } else { Ok(Self { number }) }
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.number
    }

    pub(crate) fn scheme<T: From<Self> + 'static>() -> Scheme<T> {
        let read = |text: &str| Self::new(value::number(text).ok_or(Fault::Descriptor)?);
        Scheme::new("fd", "fd:NUMBER", move |arguments| {
            Ok(arguments.required("number", read)?.into())
        })
        .positional(&["number"])
        .alias("fileno", "number")
    }
}

impl From<Descriptor> for ServerDescription {
    fn from(descriptor: Descriptor) -> Self {
        Self::Descriptor(descriptor)
    }
}

impl From<Descriptor> for ClientDescription {
    fn from(descriptor: Descriptor) -> Self {
        Self::Descriptor(descriptor)
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd:{}", self.number)
    }
}

/// A socket that systemd, or another service manager in its way, has handed over:
/// `systemd:INDEX[:domain=FAMILY]` or `systemd:name=NAME[:domain=FAMILY]`.
///
/// Names are those of `FileDescriptorName=`. If the family is given, it is checked. What was handed over
/// is served as a [`Descriptor`] is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SystemdServer {
    which: Handed,
    family: Option<Family>,
}

/// Which one of the sockets that were handed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Handed {
    /// By its place, from 0.
    Index(u16),
    /// By its name, which no other has.
    Name(String),
}

/// What a socket's addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Those of IPv4.
    Inet,
    /// Those of IPv6.
    Inet6,
    /// Paths and names on this machine.
    Unix,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "INET",
            Self::Inet6 => "INET6",
            Self::Unix => "UNIX",
        })
    }
}

impl SystemdServer {
    /// The socket at this place among those that were handed over, from 0.
    pub fn index(index: u16) -> Self {
        Self { which: Handed::Index(index), family: None }
    }

    /// The socket of this name.
    ///
    /// # Errors
    ///
    /// [`Fault::SystemdName`] if none can have that name.
    pub fn name(name: &str) -> Result<Self, Fault> {
        Ok(Self { which: Handed::Name(value::systemd_name(name)?), family: None })
    }

    /// Wants the socket to be of this family.
    pub fn of_family(self, family: Family) -> Self {
        Self { family: Some(family), ..self }
    }

    /// Which one it is.
    pub fn which(&self) -> &Handed {
        &self.which
    }

    /// The family that it has to be of.
    pub fn family(&self) -> Option<Family> {
        self.family
    }

    pub(crate) fn scheme() -> Scheme<ServerDescription> {
        Scheme::new("systemd", SYSTEMD_FORM, systemd)
            .positional(&["first", "second"])
            .named(&["index", "name", "domain"])
    }
}

/// What stands first: an index, or a family as Twisted has it.
enum First {
    Index(u16),
    Family(Family),
}

fn systemd(arguments: &Arguments) -> Result<ServerDescription, EndpointError> {
    let first = arguments.optional("first", |text| match family(text) {
        Ok(family) => Ok(First::Family(family)),
        Err(_) => index(text).map(First::Index),
    })?;
    let second = arguments.optional("second", index)?;
    let (by_place, first_family) = match (first, second) {
        (Some(First::Family(family)), second) => (second, Some(family)),
        (Some(First::Index(_)), Some(_)) => {
            let fault = Fault::ExtraArgument { form: SYSTEMD_FORM };
            return Err(arguments.fault("second", fault));
        }
        (Some(First::Index(index)), None) => (Some(index), None),
        (None, second) => (second, None),
    };
    let by_name = arguments.optional("index", index)?;
    if by_place.is_some() && by_name.is_some() {
        return Err(arguments.fault("index", Fault::DuplicateArgument { name: "index" }));
    }
    let named_family = arguments.optional("domain", family)?;
    if first_family.is_some() && named_family.is_some() {
        return Err(arguments.fault("domain", Fault::DuplicateArgument { name: "domain" }));
    }
    let name = arguments.optional("name", value::systemd_name)?;
    let which = match (by_place.or(by_name), name) {
        (Some(_), Some(_)) => {
            return Err(arguments.fault("name", Fault::NotWith { name: "index" }));
        }
        (Some(index), None) => Handed::Index(index),
        (None, Some(name)) => Handed::Name(name),
        (None, None) => Handed::Index(arguments.required("index", index)?),
    };
    Ok(SystemdServer { which, family: named_family.or(first_family) }.into())
}

fn index(text: &str) -> Result<u16, Fault> {
    value::number(text).ok_or(Fault::SystemdIndex)
}

fn family(text: &str) -> Result<Family, Fault> {
    match text {
        "INET" | "AF_INET" => Ok(Family::Inet),
        "INET6" | "AF_INET6" => Ok(Family::Inet6),
        "UNIX" | "AF_UNIX" => Ok(Family::Unix),
        _ => Err(Fault::Family),
    }
}

impl From<SystemdServer> for ServerDescription {
    fn from(server: SystemdServer) -> Self {
        Self::Systemd(server)
    }
}

impl fmt::Display for SystemdServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Handed::Index(index) => write!(f, "systemd:{index}")?,
            Handed::Name(name) => write!(f, "systemd:name={}", quote(name))?,
        }
        match self.family {
            Some(family) => write!(f, ":domain={family}"),
            None => Ok(()),
        }
    }
}

/// What a service manager says that it has handed over: `LISTEN_PID`, `LISTEN_FDS` and
/// `LISTEN_FDNAMES`, as `sd_listen_fds(3)` tells.
///
/// ```
/// use ropewalk_endpoint::{Activation, Handed};
///
/// let says = |name: &str| match name {
///     "LISTEN_PID" => Some("123".into()),
///     "LISTEN_FDS" => Some("2".into()),
///     "LISTEN_FDNAMES" => Some("web:admin".into()),
///     _ => None,
/// };
/// let activation = Activation::read(says, 123)?;
/// assert_eq!(activation.number(&Handed::Name("admin".to_owned()))?, 4);
/// # Ok::<(), ropewalk_endpoint::NotHanded>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    names: Vec<String>,
}

impl Activation {
    /// What was handed to this process.
    ///
    /// # Errors
    ///
    /// If that is nothing.
    pub fn from_environment() -> Result<Self, NotHanded> {
        Self::read(|name| env::var_os(name), std::process::id())
    }

    /// What was handed to the process of this number, by these variables.
    ///
    /// # Errors
    ///
    /// If that is nothing, or they make no sense.
    pub fn read(
        variable: impl Fn(&str) -> Option<OsString>,
        process: u32,
    ) -> Result<Self, NotHanded> {
        let text = |name: &'static str| {
            let Some(value) = variable(name) else { return Ok(None) };
            let bad = |value: OsString| NotHanded::BadVariable {
                name,
                value: value.to_string_lossy().into_owned(),
            };
            value.into_string().map(Some).map_err(bad)
        };
        let count = text("LISTEN_FDS")?.ok_or(NotHanded::Nothing)?;
        let meant = text("LISTEN_PID")?.ok_or(NotHanded::Nothing)?;
        let bad = |name, value: &str| NotHanded::BadVariable { name, value: value.to_owned() };
        let meant = u32::from_str(&meant).map_err(|_| bad("LISTEN_PID", &meant))?;
        if meant != process {
            return Err(NotHanded::OtherProcess { meant, process });
        }
        let many = usize::from_str(&count).ok().filter(|many| *many <= COUNT_MAX);
        let many = many.ok_or_else(|| bad("LISTEN_FDS", &count))?;
        let given = text("LISTEN_FDNAMES")?.unwrap_or_default();
        let mut names: Vec<String> = given.split(':').take(many).map(str::to_owned).collect();
        names.resize(many, String::new());
        Ok(Self { names })
    }

    /// The names of what was handed over, in its order; those without are empty.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The descriptor's number.
    ///
    /// # Errors
    ///
    /// If there is none, or several have the name.
    pub fn number(&self, which: &Handed) -> Result<i32, NotHanded> {
        let count = self.names.len();
        let index = match which {
            Handed::Index(index) if usize::from(*index) < count => usize::from(*index),
            Handed::Index(index) => return Err(NotHanded::NoIndex { index: *index, count }),
            Handed::Name(name) => {
                let mut all = (0..count).filter(|&index| self.names[index] == *name);
                match (all.next(), all.next()) {
                    (Some(index), None) => index,
                    (None, _) => {
                        let (name, names) = (name.clone(), self.names.clone());
                        return Err(NotHanded::NoName { name, names });
                    }
                    (Some(_), Some(_)) => return Err(NotHanded::Ambiguous { name: name.clone() }),
                }
            }
        };
        // Counts are far below what would overflow.
        Ok(i32::try_from(index).map_or(i32::MAX, |index| FIRST + index))
    }
}

/// A service manager has not handed over what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotHanded {
    /// Nothing was handed over.
    Nothing,
    /// What was handed over is another process's.
    OtherProcess {
        /// That one.
        meant: u32,
        /// This one.
        process: u32,
    },
    /// A variable makes no sense.
    BadVariable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// There are not so many.
    NoIndex {
        /// Which was asked for.
        index: u16,
        /// How many there are.
        count: usize,
    },
    /// None goes by this name.
    NoName {
        /// The name.
        name: String,
        /// Those that there are.
        names: Vec<String>,
    },
    /// Several go by this name.
    Ambiguous {
        /// The name.
        name: String,
    },
    /// It is not of the family that was asked for.
    OtherFamily {
        /// The family that was asked for.
        wanted: Family,
    },
}

impl fmt::Display for NotHanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no service manager has handed anything over"),
            Self::OtherProcess { meant, process } => {
                write!(f, "what was handed over is for process {meant}, and this one is {process}")
            }
            Self::BadVariable { name, value } => write!(f, "{name} makes no sense: {value:?}"),
            Self::NoIndex { index, count } => {
                write!(f, "there is no socket {index}: {count} were handed over, counted from 0")
            }
            Self::NoName { name, names } => {
                let names = names.join(", ");
                write!(f, "no socket is called {name:?}; those handed over are: {names}")
            }
            Self::Ambiguous { name } => {
                write!(f, "several sockets are called {name:?}: say which by its index")
            }
            Self::OtherFamily { wanted } => write!(f, "the socket is not of family {wanted}"),
        }
    }
}

impl Error for NotHanded {}
