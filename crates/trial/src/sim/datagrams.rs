//! Datagrams: lost, doubled and overtaken, as they are.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use ropewalk_protocol::{Address, DatagramQueue, SendError};
use ropewalk_reactor::platform::Mishap;
use rustix::io::Errno;

use super::groups::{Groups, group_of};
use super::log::What;
use super::world::{Event, Held, World};

/// The longest datagram over IP, in bytes.
const LENGTH_MAX: usize = 65_507;
/// How many datagrams wait for a port that does not receive; what comes then is lost.
const WAITING_MAX: usize = 256;

/// A socket for datagrams.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) serial: u64,
    pub(super) place: Address,
    /// The only one that it exchanges datagrams with.
    peer: Option<Address>,
    pub(super) key: Option<usize>,
    pub(super) reading: bool,
    pub(super) ready: bool,
    waiting: VecDeque<Packet>,
    mishaps: VecDeque<Mishap>,
    pub(super) groups: Groups,
}

/// A datagram under way, or the news that nobody receives where one went.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    host: usize,
    from: Address,
    to: Address,
    what: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Data(Vec<u8>),
    Unreachable,
}

/// What a port has to tell.
pub(super) enum PortTold {
    Datagram(Address),
    Mishap(Mishap),
}

impl World {
    /// A socket for datagrams at a place that is free.
    pub(super) fn open_port(
        &mut self,
        host: usize,
        place: Address,
        peer: Option<Address>,
    ) -> (Held, Address) {
        let serial = self.next_serial();
        let place = match (place, &peer) {
            (Address::Ip(place), Some(Address::Ip(peer))) => {
                Address::Ip(self.answered_from(host, place, *peer))
            }
            (place, _) => place,
        };
        let index = self.hosts[host].ports.insert(Port {
            serial,
            place: place.clone(),
            peer,
            key: None,
            reading: false,
            ready: false,
            waiting: VecDeque::new(),
            mishaps: VecDeque::new(),
            groups: Groups::default(),
        });
        (Held::Port { index, serial }, place)
    }

    /// The port that hears what is sent to an address of the host.
    pub(super) fn port_at(
        &self,
        host: usize,
        to: &Address,
        from: Option<&Address>,
    ) -> Option<usize> {
        let hears = |port: &Port| {
            let is_there = match (&port.place, to) {
                (Address::Ip(place), Address::Ip(to)) => {
                    place.port() == to.port()
                        && (place.ip() == to.ip()
                            || (place.ip().is_unspecified() && place.is_ipv4() == to.is_ipv4()))
                }
                (Address::Unnamed, _) => false,
                (place, to) => place == to,
            };
            is_there && (from.is_none() || port.peer.is_none() || port.peer.as_ref() == from)
        };
        // One that is connected to the sender hears it first.
        let ports = || self.hosts[host].ports.iter().filter(|(_, port)| hears(port));
        let connected = ports().find(|(_, port)| from.is_some() && port.peer.as_ref() == from);
        connected.or_else(|| ports().next()).map(|(index, _)| index)
    }

    /// Sends all that waits in a queue.
    pub(super) fn send_datagrams(
        &mut self,
        host: usize,
        index: usize,
        queue: &mut DatagramQueue,
        mishaps: &mut Vec<Mishap>,
    ) -> io::Result<bool> {
        while let Some(datagram) = queue.front() {
            let port = self.hosts[host].ports.get(index).ok_or(Errno::BADF)?;
            let (place, peer) = (port.place.clone(), port.peer.clone());
            let to = datagram.to.cloned().or(peer);
            let data = datagram.data.to_vec();
            let given = datagram.to.cloned();
            queue.advance(1);
            let unsent = |why| Mishap::Unsent { to: given, why };
            match to {
                None => mishaps.push(unsent(SendError::NotConnected)),
                Some(_) if data.len() > LENGTH_MAX => mishaps.push(unsent(SendError::TooLong)),
                Some(to) if group_of(&to).is_some() => {
                    if let Err(why) = self.launch_to_group(host, index, &place, &to, &data) {
                        mishaps.push(unsent(why));
                    }
                }
                Some(to) => match self.way_for(host, &place, &to) {
                    Err(why) => mishaps.push(unsent(why)),
                    Ok(there) => self.launch(host, there, place, &to, &data),
                },
            }
        }
        Ok(false)
    }

    /// Sends to all who are in a group; who is in none is not told.
    fn launch_to_group(
        &mut self,
        host: usize,
        index: usize,
        place: &Address,
        to: &Address,
        data: &[u8],
    ) -> Result<(), SendError> {
        let (Address::Ip(own), Address::Ip(group)) = (place, to) else {
            return Err(SendError::WrongAddress);
        };
        if own.is_ipv4() != group.is_ipv4() {
            return Err(SendError::Unreachable);
        }
        let from = Address::Ip(self.answered_from(host, *own, *group));
        for there in self.group_hosts(host, index, &from, to) {
            self.launch(host, there, place.clone(), to, data);
        }
        Ok(())
    }

    /// To which host a datagram goes.
    fn way_for(&self, host: usize, place: &Address, to: &Address) -> Result<usize, SendError> {
        match (place, to) {
            (Address::Ip(_), Address::Ip(to)) => {
                self.host_at(host, to.ip()).ok_or(SendError::Unreachable)
            }
            (Address::Ip(_), _) | (_, Address::Ip(_)) => Err(SendError::WrongAddress),
            // Between processes of one host a sender is told at once.
            _ => match self.port_at(host, to, Some(place)) {
                None => Err(SendError::Refused),
                Some(index) if self.hosts[host].ports[index].waiting.len() >= WAITING_MAX => {
                    Err(SendError::PeerFull)
                }
                Some(_) => Ok(host),
            },
        }
    }

    /// An own place as whoever is at `to` sees it.
    fn answered_from(&self, host: usize, mut place: SocketAddr, to: SocketAddr) -> SocketAddr {
        if place.ip().is_unspecified() {
            place.set_ip(self.source(host, to.ip()));
        }
        place
    }

    fn launch(&mut self, host: usize, there: usize, place: Address, to: &Address, data: &[u8]) {
        let size = data.len() as u64;
        self.note(host, What::Sent, number(to), size);
        let from = match (place, to) {
            (Address::Ip(place), Address::Ip(to)) => {
                Address::Ip(self.answered_from(host, place, *to))
            }
            (place, _) => place,
        };
        let way = self.way(host, there);
        let (up, loss, duplication) = (way.up, way.link.loss, way.link.duplication);
        let mut copies = u8::from(up && !self.random.chance(loss));
        copies += u8::from(copies > 0 && self.random.chance(duplication));
        if copies == 0 {
            self.note(host, What::Lost, number(to), size);
        }
        for _ in 0..copies {
            let at = self.arrival(host, there, size + 28);
            let what = Content::Data(data.to_vec());
            let (from, to) = (from.clone(), to.clone());
            self.dispatch(at, Packet { host: there, from, to, what });
        }
    }

    fn dispatch(&mut self, at: u64, packet: Packet) {
        let id = self.next_serial();
        self.packets.insert(id, packet);
        self.schedule(at, Event::Packet { id });
    }

    /// A datagram arrives.
    pub(super) fn receive_packet(&mut self, id: u64) {
        let Some(packet) = self.packets.remove(&id) else { return };
        let (host, to) = (packet.host, number(&packet.to));
        if group_of(&packet.to).is_some() {
            return self.receive_for_group(&packet);
        }
        let Some(index) = self.port_at(host, &packet.to, Some(&packet.from)) else {
            return self.complain(&packet);
        };
        let port = &mut self.hosts[host].ports[index];
        match packet.what {
            Content::Unreachable if port.peer.as_ref() == Some(&packet.from) => {
                port.mishaps.push_back(Mishap::Refused);
            }
            // Nobody can be told which of many it was.
            Content::Unreachable => return,
            Content::Data(_) if port.waiting.len() >= WAITING_MAX && packet.to.ip().is_some() => {
                return self.note(host, What::Lost, to, 0);
            }
            Content::Data(_) => port.waiting.push_back(packet),
        }
        self.make_port_ready(host, index);
    }

    /// A datagram arrives for all of a group that are here.
    fn receive_for_group(&mut self, packet: &Packet) {
        let (host, to) = (packet.host, number(&packet.to));
        for index in self.members(host, &packet.to, &packet.from) {
            let port = &mut self.hosts[host].ports[index];
            if port.peer.as_ref().is_some_and(|peer| *peer != packet.from) {
                continue;
            }
            if port.waiting.len() >= WAITING_MAX {
                self.note(host, What::Lost, to, 0);
                continue;
            }
            port.waiting.push_back(packet.clone());
            self.make_port_ready(host, index);
        }
    }

    /// Tells a sender that nobody is there.
    fn complain(&mut self, packet: &Packet) {
        let Content::Data(_) = packet.what else { return };
        let Some(from) = packet.from.ip() else { return };
        let Some(sender) = self.host_at(packet.host, from.ip()) else { return };
        if self.way(packet.host, sender).up {
            let at = self.arrival(packet.host, sender, 56);
            let (from, to) = (packet.to.clone(), packet.from.clone());
            self.dispatch(at, Packet { host: sender, from, to, what: Content::Unreachable });
        }
    }

    pub(super) fn make_port_ready(&mut self, host: usize, index: usize) {
        let Some(port) = self.hosts[host].ports.get_mut(index) else { return };
        let has_more = (port.reading && !port.waiting.is_empty()) || !port.mishaps.is_empty();
        if port.key.is_some() && has_more && !std::mem::replace(&mut port.ready, true) {
            let held = Held::Port { index, serial: port.serial };
            self.hosts[host].ready.push(held);
            self.wake_host(host);
        }
    }

    /// One thing that a port has to tell; a datagram's bytes go to `buffer`.
    pub(super) fn tell_port(
        &mut self,
        host: usize,
        index: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<PortTold> {
        let port = self.hosts[host].ports.get_mut(index)?;
        if let Some(mishap) = port.mishaps.pop_front() {
            return Some(PortTold::Mishap(mishap));
        }
        if !port.reading {
            return None;
        }
        let packet = port.waiting.pop_front()?;
        let Content::Data(data) = packet.what else { return None };
        self.log.add_bytes(&data);
        self.note(host, What::Received, number(&packet.from), data.len() as u64);
        *buffer = data;
        Some(PortTold::Datagram(packet.from))
    }
}

/// What stands for an address in the log: its port, if it has one.
fn number(address: &Address) -> u64 {
    address.ip().map_or(0, |address| u64::from(address.port()))
}
