//! Groups that receive together.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// An interface of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interface {
    /// The one that the system's routes lead to.
    #[default]
    Any,
    /// The one of this number, as in an IPv6 address's scope. It says which one for both families.
    Index(u32),
    /// The one that has this address.
    V4(Ipv4Addr),
}

/// A port's place in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    /// The group's address.
    pub group: IpAddr,
    /// On which interface its datagrams are wanted.
    pub interface: Interface,
    /// From whom they are wanted, if not from everybody (RFC 4607).
    pub source: Option<IpAddr>,
}

/// What a port asks of its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MulticastChange {
    /// To receive what is sent to a group.
    Join(Membership),
    /// To receive it no more.
    Leave(Membership),
    /// How many hops what is sent to groups may go: its TTL or hop limit.
    Hops(u8),
    /// Whether other ports on this machine receive what is sent to groups.
    Loopback(bool),
    /// Where what is sent to groups leaves.
    Interface(Interface),
}

/// How a port sends to groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MulticastSettings {
    /// How many hops what is sent to groups may go.
    pub hops: u8,
    /// Whether other ports on this machine receive it.
    pub loopback: bool,
    /// Where it leaves.
    pub interface: Interface,
}

/// Why a transport did not do what a port asked about groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MulticastError {
    /// This transport knows no groups, or the port is not open.
    Unsupported,
    /// The address is no group's.
    NotAGroup(IpAddr),
    /// The addresses, or the address and the port, are of different families.
    WrongFamily,
    /// No interface is like that, or none of this machine can reach groups.
    NoSuchInterface,
    /// The port is in that group already.
    AlreadyJoined,
    /// The port is not in that group.
    NotJoined,
    /// The system lets this port join no more groups.
    TooMany,
    /// Anything else that the system said.
    Failed(io::ErrorKind),
}

impl fmt::Display for MulticastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "groups cannot be joined here",
            Self::NotAGroup(address) => return write!(f, "{address} is no group's address"),
            Self::WrongFamily => "the port, the group and the source are of different families",
            Self::NoSuchInterface => "there is no such interface, or it reaches no groups",
            Self::AlreadyJoined => "the port is in that group already",
            Self::NotJoined => "the port is not in that group",
            Self::TooMany => "the port may join no more groups",
            Self::Failed(kind) => return write!(f, "the system refused: {kind}"),
        })
    }
}

impl Error for MulticastError {}
