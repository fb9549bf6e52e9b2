//! The simulated world: its time, its hosts, and what is under way between them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ropewalk_protocol::Address;
use slab::Slab;

use super::datagrams::{Packet, Port};
use super::log::{Happening, Log, What};
use super::stream::{Connection, End};
use super::{Link, Machine, Random};

/// The first port that is given to those who do not ask for one.
const EPHEMERAL: u16 = 49152;
/// Who is told of what happens to no host in particular.
pub(super) const NOBODY: u32 = u32::MAX;

/// What will happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A host has a turn.
    Turn { host: usize },
    /// The front of what is under way to this end of a connection arrives.
    Arrival { end: EndId },
    /// This end hears that its peer has room for more.
    Room { end: EndId, bytes: u64 },
    /// A datagram of this number arrives.
    Packet { id: u64 },
    /// A job or a call of this number is done.
    Job { id: u64 },
}

/// One end of one connection. The serial tells it from others that used the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndId {
    pub(super) connection: usize,
    pub(super) serial: u64,
    pub(super) side: usize,
}

impl EndId {
    pub(super) fn other(self) -> Self {
        Self { side: 1 - self.side, ..self }
    }
}

/// What a host holds under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Stream(EndId),
    Listener { index: usize, serial: u64 },
    Port { index: usize, serial: u64 },
}

pub(super) struct Host {
    pub(super) name: String,
    pub(super) machine: Machine,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
    /// Sockets that are open.
    pub(super) descriptors: usize,
    pub(super) by_key: Vec<Option<Held>>,
    pub(super) listeners: Slab<Listener>,
    pub(super) ports: Slab<Port>,
    /// What has something to tell in the next turn.
    pub(super) ready: Vec<Held>,
    /// When its next turn is.
    pub(super) turn_at: Option<u64>,
    /// Its processor is busy until then.
    pub(super) busy_until: u64,
    pub(super) touched: bool,
    /// It is going down: nothing is said to anybody any more.
    pub(super) crashing: bool,
    next_port: u16,
}

pub(super) struct Listener {
    pub(super) serial: u64,
    pub(super) place: Address,
    pub(super) backlog: usize,
    pub(super) queue: Vec<EndId>,
    pub(super) key: Option<usize>,
    pub(super) reading: bool,
    pub(super) ready: bool,
}

/// The state of the way from one host to another.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) link: Link,
    pub(super) up: bool,
    /// The line is taken until then.
    pub(super) busy_until: u64,
}

pub(super) enum Job {
    Work(Box<dyn FnOnce() + Send>, Box<dyn FnOnce()>),
    Call(Box<dyn FnOnce(&super::Simulation)>),
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: Random,
    pub(super) log: Log,
    pub(super) hosts: Vec<Host>,
    pub(super) connections: Slab<Connection>,
    pub(super) weather: Link,
    pub(super) jobs: BTreeMap<u64, (usize, Job)>,
    pub(super) touched: Vec<usize>,
    pub(super) packets: BTreeMap<u64, Packet>,
    ways: BTreeMap<(usize, usize), Way>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    serial: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            random: Random::new(seed),
            log: Log::new(),
            hosts: Vec::new(),
            connections: Slab::new(),
            weather: Link::default(),
            jobs: BTreeMap::new(),
            touched: Vec::new(),
            packets: BTreeMap::new(),
            ways: BTreeMap::new(),
            events: BinaryHeap::new(),
            order: 0,
            serial: 0,
        }
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn note(&mut self, host: usize, what: What, which: u64, count: u64) {
        let host = u32::try_from(host).unwrap_or(NOBODY);
        self.log.add(Happening { at: self.now, host, what, which, count });
    }

    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at.max(self.now), self.order, event)));
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.events.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Goes on to what happens next, no later than `until`.
    pub(super) fn pop(&mut self, until: u64) -> Option<Event> {
        loop {
            if self.next_at()? > until {
                return None;
            }
            let Reverse((at, _, event)) = self.events.pop()?;
            match event {
                // It was put off or brought forward since.
                Event::Turn { host } if self.hosts[host].turn_at != Some(at) => continue,
                Event::Turn { host } => self.hosts[host].turn_at = None,
                _ => (),
            }
            self.now = at;
            return Some(event);
        }
    }

    pub(super) fn add_host(&mut self, name: &str, machine: Machine) -> usize {
        let index = self.hosts.len();
        let number = index as u32 + 1;
        let [_, b, c, d] = number.to_be_bytes();
        self.hosts.push(Host {
            name: name.to_owned(),
            machine,
            v4: Ipv4Addr::new(10, b, c, d),
            v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, (number >> 16) as u16, number as u16),
            descriptors: 0,
            by_key: Vec::new(),
            listeners: Slab::new(),
            ports: Slab::new(),
            ready: Vec::new(),
            turn_at: None,
            busy_until: 0,
            touched: false,
            crashing: false,
            next_port: EPHEMERAL,
        });
        index
    }

    pub(super) fn host_named(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }

    /// The host that has an address, seen from `from`.
    pub(super) fn host_at(&self, from: usize, ip: IpAddr) -> Option<usize> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(from);
        }
        let number = match ip.to_canonical() {
            IpAddr::V4(ip) if ip.octets()[0] == 10 => u32::from(ip) & 0x00ff_ffff,
            IpAddr::V6(ip) if ip.segments()[0] == 0xfd00 => u128::from(ip) as u32,
            _ => return None,
        };
        let index = (number as usize).checked_sub(1)?;
        let host = self.hosts.get(index)?;
        (ip.to_canonical() == host.v4 || ip == host.v6).then_some(index)
    }

    /// The address of `host` that `to` is answered from.
    pub(super) fn source(&self, host: usize, to: IpAddr) -> IpAddr {
        let host = &self.hosts[host];
        match to {
            to if to.is_loopback() => to,
            IpAddr::V4(_) => host.v4.into(),
            IpAddr::V6(_) => host.v6.into(),
        }
    }

    pub(super) fn has_address(&self, host: usize, ip: IpAddr) -> bool {
        ip.is_loopback() || ip.is_unspecified() || self.host_at(host, ip) == Some(host)
    }

    /// What each open socket of a host is.
    pub(super) fn sockets(&mut self, host: usize) -> Vec<String> {
        let held: Vec<_> = self.hosts[host].by_key.iter().flatten().copied().collect();
        let mut sockets: Vec<_> = held
            .into_iter()
            .map(|held| match held {
                Held::Stream(id) => self.end(id).map_or_else(String::new, |end| {
                    format!("an open socket from {} to {}", end.local, end.peer)
                }),
                Held::Listener { index, .. } => {
                    format!(
                        "an open socket that listens at {}",
                        self.hosts[host].listeners[index].place
                    )
                }
                Held::Port { index, .. } => {
                    format!(
                        "an open socket for datagrams at {}",
                        self.hosts[host].ports[index].place
                    )
                }
            })
            .collect();
        match self.hosts[host].descriptors.saturating_sub(sockets.len()) {
            0 => (),
            loose => sockets.push(format!("{loose} open sockets that nobody has taken yet")),
        }
        sockets
    }

    /// A port that nothing on the host uses.
    pub(super) fn free_port(&mut self, host: usize) -> u16 {
        loop {
            let host = &mut self.hosts[host];
            let port = host.next_port;
            host.next_port = if port == u16::MAX { EPHEMERAL } else { port + 1 };
            let taken = |listener: &Listener| {
                listener.place.ip().is_some_and(|address| address.port() == port)
            };
            let used =
                |(_, used): (usize, &Port)| used.place.ip().is_some_and(|ip| ip.port() == port);
            if !host.listeners.iter().any(|(_, listener)| taken(listener))
                && !host.ports.iter().any(used)
            {
                return port;
            }
        }
    }

    /// The listener that hears at `place` on the host.
    pub(super) fn listener_at(&self, host: usize, place: &Address) -> Option<usize> {
        let hears = |listener: &Listener| match (&listener.place, place) {
            (Address::Ip(here), Address::Ip(there)) => overlaps(*here, *there),
            (here, there) => here == there,
        };
        let listeners = &self.hosts[host].listeners;
        listeners.iter().find(|(_, listener)| hears(listener)).map(|(index, _)| index)
    }

    pub(super) fn way(&mut self, from: usize, to: usize) -> &mut Way {
        let weather = &self.weather;
        self.ways.entry((from, to)).or_insert_with(|| {
            let link = if from == to { Link::loopback() } else { weather.clone() };
            Way { link, up: true, busy_until: 0 }
        })
    }

    /// Sets the weather of all that has no link of its own yet, or has one already.
    pub(super) fn set_weather(&mut self, link: &Link) {
        self.weather = link.clone();
        for ((from, to), way) in &mut self.ways {
            if from != to {
                way.link = link.clone();
            }
        }
    }

    /// When `bytes` that leave now arrive.
    pub(super) fn arrival(&mut self, from: usize, to: usize, bytes: u64) -> u64 {
        let now = self.now;
        let way = self.way(from, to);
        let mut leaves = now;
        if let Some(bandwidth) = way.link.bandwidth {
            let takes = u128::from(bytes) * 1_000_000_000 / u128::from(bandwidth);
            leaves = leaves.max(way.busy_until).saturating_add(takes as u64);
            way.busy_until = leaves;
        }
        let (latency, jitter) = (nanos(way.link.latency), nanos(way.link.jitter));
        let reordering = way.link.reordering;
        let mut late = self.random.below(jitter + 1);
        if self.random.chance(reordering) {
            late += latency + jitter + 1;
        }
        leaves + latency + late
    }

    /// Marks what has something to tell, and lets its host have a turn.
    pub(super) fn make_ready(&mut self, held: Held) {
        let host = match held {
            Held::Stream(id) => {
                let Some(end) = self.end(id) else { return };
                if end.key.is_none() || std::mem::replace(&mut end.ready, true) {
                    return;
                }
                end.host
            }
            Held::Listener { .. } | Held::Port { .. } => return,
        };
        self.hosts[host].ready.push(held);
        self.wake_host(host);
    }

    pub(super) fn make_listener_ready(&mut self, host: usize, index: usize) {
        let Some(listener) = self.hosts[host].listeners.get_mut(index) else { return };
        if listener.key.is_none() || !listener.reading || listener.queue.is_empty() {
            return;
        }
        if !std::mem::replace(&mut listener.ready, true) {
            let held = Held::Listener { index, serial: listener.serial };
            self.hosts[host].ready.push(held);
            self.wake_host(host);
        }
    }

    /// Gives a host a turn soon.
    pub(super) fn wake_host(&mut self, host: usize) {
        let at = self.now.max(self.hosts[host].busy_until);
        self.turn_by(host, at);
    }

    /// Gives a host a turn at that time, if it has none before.
    pub(super) fn turn_by(&mut self, host: usize, at: u64) {
        let at = at.max(self.hosts[host].busy_until);
        if self.hosts[host].turn_at.is_none_or(|other| at < other) {
            self.hosts[host].turn_at = Some(at);
            self.schedule(at, Event::Turn { host });
        }
    }

    /// The host's loop was asked for something.
    pub(super) fn touch(&mut self, host: usize) {
        if !std::mem::replace(&mut self.hosts[host].touched, true) {
            self.touched.push(host);
        }
    }

    /// A turn of the host begins: it is busy for a while.
    pub(super) fn begin_turn(&mut self, host: usize) {
        self.note(host, What::Turn, 0, 0);
        let most = nanos(self.hosts[host].machine.turn);
        let takes = 1 + self.random.below(most);
        self.hosts[host].busy_until = self.now + takes;
        self.hosts[host].turn_at = None;
    }

    pub(super) fn connection(&mut self, id: EndId) -> Option<&mut Connection> {
        self.connections.get_mut(id.connection).filter(|found| found.serial == id.serial)
    }

    pub(super) fn end(&mut self, id: EndId) -> Option<&mut End> {
        self.connection(id).map(|connection| &mut connection.ends[id.side])
    }

    /// The clock of a host.
    pub(super) fn clock(&self, host: usize) -> Duration {
        Duration::from_nanos(self.hosts[host].machine.clock(self.now))
    }
}

/// Whether two places to listen cannot both be, or one reaches the other.
fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port()
        && (a == b || ((a.is_unspecified() || b.is_unspecified()) && a.is_ipv4() == b.is_ipv4()))
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
