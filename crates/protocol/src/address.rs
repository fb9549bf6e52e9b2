//! Who is at the other end.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One end of a connection, or a place to listen.
///
/// ```
/// use ropewalk_protocol::Address;
/// let address = Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 80)));
/// assert_eq!(address.to_string(), "127.0.0.1:80");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An Internet address and port.
    Ip(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A Unix socket's name in Linux's abstract namespace, which has no file; without the zero byte
    /// that the system puts before it.
    Abstract(Vec<u8>),
    /// A Unix socket without a name: what most Unix clients are.
    Unnamed,
    /// A place in memory, by name.
    Memory(String),
    /// The standard input and output of a process.
    StandardIo,
    /// A program that was started for this connection.
    Process(String),
    /// A device, by its name or path: a serial line, a network interface.
    Device(String),
    /// A host by its name and a port of it: where a proxy was asked to connect to.
    Host(String, u16),
}

impl Address {
    /// The Internet address and port, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_)
            | Self::Abstract(_)
            | Self::Unnamed
            | Self::Memory(_)
            | Self::StandardIo
            | Self::Process(_)
            | Self::Device(_)
            | Self::Host(..) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
            Self::Unnamed => f.write_str("unix"),
            Self::Memory(name) => write!(f, "memory:{name}"),
            Self::StandardIo => f.write_str("stdio"),
            Self::Device(device) => write!(f, "device:{device}"),
            Self::Process(program) => write!(f, "process:{program}"),
            Self::Host(name, port) => write!(f, "{name}:{port}"),
        }
    }
}
