//! Groups, as the system has them.

use rustix::fd::BorrowedFd;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use ropewalk_protocol::{
    Interface, Membership, MulticastChange, MulticastError, MulticastSettings,
};
use rustix::io::Errno;
use socket2::{Domain, InterfaceIndexOrAddress, SockRef};

use crate::sys::os::{self, source_membership};

/// Does what a port asks about groups.
pub(crate) fn change(
    socket: BorrowedFd<'_>,
    change: &MulticastChange,
) -> Result<(), MulticastError> {
    let family = Family::of(socket)?;
    let port = SockRef::from(&socket);
    let done = match *change {
        MulticastChange::Join(membership) => return join(socket, family, membership, true),
        MulticastChange::Leave(membership) => return join(socket, family, membership, false),
        MulticastChange::Hops(hops) => match family {
            Family::V4 => port.set_multicast_ttl_v4(hops.into()),
            Family::V6 => port.set_multicast_hops_v6(hops.into()),
        },
        MulticastChange::Loopback(on) => match family {
            Family::V4 => port.set_multicast_loop_v4(on),
            Family::V6 => port.set_multicast_loop_v6(on),
        },
        MulticastChange::Interface(interface) => match (family, interface) {
            (Family::V4, Interface::Any) => port.set_multicast_if_v4(&Ipv4Addr::UNSPECIFIED),
            (Family::V4, Interface::V4(address)) => port.set_multicast_if_v4(&address),
            (Family::V4, Interface::Index(index)) => os::set_multicast_interface(socket, index),
            (Family::V4, _) => return Err(MulticastError::NoSuchInterface),
            (Family::V6, interface) => port.set_multicast_if_v6(index(interface)?),
        },
        _ => return Err(MulticastError::Unsupported),
    };
    done.map_err(|error| refused(&error))
}

/// How a port sends to groups.
pub(crate) fn settings(socket: BorrowedFd<'_>) -> Result<MulticastSettings, MulticastError> {
    let port = SockRef::from(&socket);
    let asked = match Family::of(socket)? {
        Family::V4 => (|| {
            let interface = match port.multicast_if_v4()? {
                Ipv4Addr::UNSPECIFIED => Interface::Any,
                address => Interface::V4(address),
            };
            Ok((port.multicast_ttl_v4()?, port.multicast_loop_v4()?, interface))
        })(),
        Family::V6 => (|| {
            let interface = match port.multicast_if_v6()? {
                0 => Interface::Any,
                index => Interface::Index(index),
            };
            Ok((port.multicast_hops_v6()?, port.multicast_loop_v6()?, interface))
        })(),
    };
    let (hops, loopback, interface) = asked.map_err(|error: io::Error| refused(&error))?;
    Ok(MulticastSettings { hops: u8::try_from(hops).unwrap_or(u8::MAX), loopback, interface })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    /// That of a port; others than these two know no groups.
    fn of(socket: BorrowedFd<'_>) -> Result<Self, MulticastError> {
        let local = SockRef::from(&socket).local_addr().map_err(|error| refused(&error))?;
        match local.domain() {
            Domain::IPV4 => Ok(Self::V4),
            Domain::IPV6 => Ok(Self::V6),
            _ => Err(MulticastError::Unsupported),
        }
    }
}

fn join(
    socket: BorrowedFd<'_>,
    family: Family,
    membership: Membership,
    join: bool,
) -> Result<(), MulticastError> {
    let Membership { group, interface, source } = membership;
    if !group.is_multicast() {
        return Err(MulticastError::NotAGroup(group));
    }
    let port = SockRef::from(&socket);
    let done = match (family, group, source) {
        (Family::V4, IpAddr::V4(group), None) => {
            let interface = match interface {
                Interface::Index(index) => InterfaceIndexOrAddress::Index(index),
                Interface::V4(address) => InterfaceIndexOrAddress::Address(address),
                _ => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
            };
            if join {
                port.join_multicast_v4_n(&group, &interface)
            } else {
                port.leave_multicast_v4_n(&group, &interface)
            }
        }
        (Family::V6, IpAddr::V6(group), None) => {
            let interface = index(interface)?;
            if join {
                port.join_multicast_v6(&group, interface)
            } else {
                port.leave_multicast_v6(&group, interface)
            }
        }
        // An interface that is known by its address is asked for so.
        (Family::V4, IpAddr::V4(group), Some(IpAddr::V4(source)))
            if !matches!(interface, Interface::Index(_)) =>
        {
            let interface = match interface {
                Interface::V4(address) => address,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            if join {
                port.join_ssm_v4(&source, &group, &interface)
            } else {
                port.leave_ssm_v4(&source, &group, &interface)
            }
        }
        (Family::V4, IpAddr::V4(_), Some(source @ IpAddr::V4(_)))
        | (Family::V6, IpAddr::V6(_), Some(source @ IpAddr::V6(_))) => {
            let interface = index(interface)?;
            source_membership(socket, group, source, interface, join).map_err(io::Error::from)
        }
        _ => return Err(MulticastError::WrongFamily),
    };
    done.map_err(|error| refused(&error))
}

/// The number of an interface; 0 stands for any.
fn index(interface: Interface) -> Result<u32, MulticastError> {
    match interface {
        Interface::Any => Ok(0),
        Interface::Index(index) => Ok(index),
        Interface::V4(_) => Err(MulticastError::WrongFamily),
        _ => Err(MulticastError::NoSuchInterface),
    }
}

fn refused(error: &io::Error) -> MulticastError {
    match Errno::from_io_error(error) {
        Some(errno) if os::is_no_interface(errno) => MulticastError::NoSuchInterface,
        Some(Errno::ADDRINUSE) => MulticastError::AlreadyJoined,
        Some(Errno::ADDRNOTAVAIL) => MulticastError::NotJoined,
        Some(Errno::NOBUFS) => MulticastError::TooMany,
        Some(Errno::NOPROTOOPT | Errno::OPNOTSUPP) => MulticastError::Unsupported,
        _ => MulticastError::Failed(error.kind()),
    }
}
