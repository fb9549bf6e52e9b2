//! Groups of simulated ports, as multicast has them.

use std::net::IpAddr;

use ropewalk_protocol::{
    Address, Interface, Membership, MulticastChange, MulticastError, MulticastSettings,
};

use super::datagrams::Port;
use super::world::{Held, World};

/// How many groups one port may join, as on Linux unless that is told otherwise.
const GROUPS_MAX: usize = 20;
/// The number of a host's only interface.
const INTERFACE: u32 = 1;

/// What a port has to do with groups.
#[derive(Debug)]
pub(super) struct Groups {
    joined: Vec<Membership>,
    settings: MulticastSettings,
}

impl Default for Groups {
    fn default() -> Self {
        let settings = MulticastSettings { hops: 1, loopback: true, interface: Interface::Any };
        Self { joined: Vec::new(), settings }
    }
}

impl Port {
    /// Whether it gets what `from` sends to a group.
    pub(super) fn is_in_group(&self, to: &Address, from: &Address) -> bool {
        let (Address::Ip(place), Some(to), Some(from)) = (&self.place, to.ip(), from.ip()) else {
            return false;
        };
        let is_meant = |joined: &Membership| {
            joined.group == to.ip() && joined.source.is_none_or(|source| source == from.ip())
        };
        let is_bound = place.ip().is_unspecified() || place.ip() == to.ip();
        place.port() == to.port() && is_bound && self.groups.joined.iter().any(is_meant)
    }
}

/// The group that is sent to, if it is one.
pub(super) fn group_of(to: &Address) -> Option<IpAddr> {
    to.ip().map(|to| to.ip()).filter(IpAddr::is_multicast)
}

impl World {
    fn port_of(&mut self, host: usize, key: usize) -> Result<&mut Port, MulticastError> {
        match self.hosts[host].by_key.get(key).copied().flatten() {
            Some(Held::Port { index, .. }) => self.hosts[host].ports.get_mut(index),
            _ => None,
        }
        .ok_or(MulticastError::Unsupported)
    }

    /// Does what a port asks about groups.
    pub(super) fn change_multicast(
        &mut self,
        host: usize,
        key: usize,
        change: &MulticastChange,
    ) -> Result<(), MulticastError> {
        let own = self.hosts[host].v4;
        let port = self.port_of(host, key)?;
        let is_v4 = port.place.ip().ok_or(MulticastError::Unsupported)?.is_ipv4();
        let check_interface = |interface| match interface {
            Interface::Any | Interface::Index(INTERFACE) => Ok(()),
            Interface::V4(_) if !is_v4 => Err(MulticastError::WrongFamily),
            Interface::V4(address) if address == own || address.is_unspecified() => Ok(()),
            _ => Err(MulticastError::NoSuchInterface),
        };
        let check = |membership: Membership| {
            if !membership.group.is_multicast() {
                return Err(MulticastError::NotAGroup(membership.group));
            }
            let mut addresses = membership.source.into_iter().chain([membership.group]);
            if addresses.any(|address| address.is_ipv4() != is_v4) {
                return Err(MulticastError::WrongFamily);
            }
            check_interface(membership.interface)
        };
        let Groups { joined, settings } = &mut port.groups;
        // One interface has several names.
        let find = |joined: &[Membership], wanted: Membership| {
            let is_it = |one: &Membership| (one.group, one.source) == (wanted.group, wanted.source);
            joined.iter().position(is_it)
        };
        match *change {
            MulticastChange::Join(membership) => {
                check(membership)?;
                if find(joined, membership).is_some() {
                    return Err(MulticastError::AlreadyJoined);
                }
                if joined.len() >= GROUPS_MAX {
                    return Err(MulticastError::TooMany);
                }
                joined.push(membership);
            }
            MulticastChange::Leave(membership) => {
                check(membership)?;
                joined.remove(find(joined, membership).ok_or(MulticastError::NotJoined)?);
            }
            MulticastChange::Hops(hops) => settings.hops = hops,
            MulticastChange::Loopback(loopback) => settings.loopback = loopback,
            MulticastChange::Interface(interface) => {
                check_interface(interface)?;
                settings.interface = interface;
            }
            _ => return Err(MulticastError::Unsupported),
        }
        Ok(())
    }

    pub(super) fn multicast_settings(
        &mut self,
        host: usize,
        key: usize,
    ) -> Result<MulticastSettings, MulticastError> {
        let port = self.port_of(host, key)?;
        port.place.ip().ok_or(MulticastError::Unsupported)?;
        Ok(port.groups.settings)
    }

    /// The hosts on which somebody is in a group that a port sends to, as far as that goes.
    pub(super) fn group_hosts(
        &self,
        host: usize,
        index: usize,
        from: &Address,
        to: &Address,
    ) -> Vec<usize> {
        let Some(port) = self.hosts[host].ports.get(index) else { return Vec::new() };
        let MulticastSettings { hops, loopback, .. } = port.groups.settings;
        let is_reached = |there: usize| if there == host { loopback } else { hops > 0 };
        let has_member = |there: usize| {
            self.hosts[there].ports.iter().any(|(_, port)| port.is_in_group(to, from))
        };
        (0..self.hosts.len()).filter(|there| is_reached(*there) && has_member(*there)).collect()
    }

    /// The ports of a host that are in the group that something was sent to.
    pub(super) fn members(&self, host: usize, to: &Address, from: &Address) -> Vec<usize> {
        let ports = self.hosts[host].ports.iter();
        ports.filter(|(_, port)| port.is_in_group(to, from)).map(|(index, _)| index).collect()
    }
}
