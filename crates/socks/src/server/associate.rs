//! Datagrams between a client and whoever it sends to (RFC 1928, section 7).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, Conn, DatagramPort, DatagramProtocol, Disconnect};

use super::{Rules, Server};
use crate::codec::{Datagram, Target};

/// How many look-ups of names a client's datagrams may wait for at a time.
pub const LOOKUPS_MAX: usize = 16;
/// How many bytes of datagrams may wait for look-ups.
pub const LOOKUP_BYTES_MAX: usize = 64 * 1024;
/// How many hosts are remembered that a client has sent to: those that may answer.
pub const HOSTS_MAX: usize = 1024;

/// What the ports of one association have in common.
pub(super) struct Association {
    rules: Rc<Rules>,
    /// The client's connection, whose end is that of the association.
    control: Conn<Server>,
    client: IpAddr,
    /// Where the client's datagrams come from: said by it, or learnt from the first.
    client_port: Cell<Option<u16>>,
    inside: OnceCell<DatagramPort<Inside>>,
    outside: RefCell<Vec<(bool, DatagramPort<Outside>)>>,
    hosts: RefCell<Hosts>,
    lookups: Cell<usize>,
    lookup_bytes: Cell<usize>,
    moved_at: Cell<Duration>,
    tally: Cell<Tally>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    there: u64,
    back: u64,
    dropped: u64,
}

/// Hosts that may answer, the oldest first.
#[derive(Default)]
struct Hosts {
    known: HashSet<IpAddr>,
    order: VecDeque<IpAddr>,
}

impl Hosts {
    fn add(&mut self, host: IpAddr) {
        if self.known.insert(host) {
            self.order.push_back(host);
            if self.order.len() > HOSTS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

impl Association {
    pub(super) fn new(
        rules: Rc<Rules>,
        control: &Conn<Server>,
        client: IpAddr,
        client_port: Option<u16>,
    ) -> Rc<Self> {
        Rc::new(Self {
            rules,
            control: control.clone(),
            client: client.to_canonical(),
            client_port: Cell::new(client_port),
            inside: OnceCell::new(),
            outside: RefCell::default(),
            hosts: RefCell::default(),
            lookups: Cell::default(),
            lookup_bytes: Cell::default(),
            moved_at: Cell::new(control.now()),
            tally: Cell::default(),
        })
    }

    pub(super) fn inside(self: &Rc<Self>) -> Inside {
        Inside { association: Rc::clone(self) }
    }

    pub(super) fn outside(self: &Rc<Self>) -> Outside {
        Outside { association: Rc::clone(self) }
    }

    pub(super) fn add_inside(&self, port: DatagramPort<Inside>) {
        // There is one.
        let _ = self.inside.set(port);
    }

    pub(super) fn add_outside(&self, is_ipv4: bool, port: DatagramPort<Outside>) {
        self.outside.borrow_mut().push((is_ipv4, port));
    }

    /// Where the client is to send.
    pub(super) fn address(&self) -> Address {
        self.inside.get().map_or(Address::Unnamed, DatagramPort::local)
    }

    /// Whether anything can be sent at all.
    pub(super) fn has_way_out(&self) -> bool {
        !self.outside.borrow().is_empty()
    }

    /// When the last datagram was passed on.
    pub(super) fn moved_at(&self) -> Duration {
        self.moved_at.get()
    }

    /// Gives the ports up.
    pub(super) fn end(&self) {
        if let Some(inside) = self.inside.get() {
            inside.abort();
        }
        for (_, outside) in self.outside.take() {
            outside.abort();
        }
        let Tally { there, back, dropped } = self.tally.get();
        tracing::debug!(
            target: "ropewalk::socks", peer = %self.client, there, back, dropped, "datagrams: over",
        );
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.get();
        change(&mut tally);
        self.tally.set(tally);
    }

    fn dropped(&self) {
        self.count(|tally| tally.dropped += 1);
    }

    /// Whether a datagram is the client's own; the first settles from which port.
    fn is_client(&self, from: &Address) -> bool {
        let Some(from) = from.ip() else { return false };
        from.ip().to_canonical() == self.client
            && self.client_port.get().is_none_or(|port| port == from.port())
    }

    /// The first of these addresses to which the client may send.
    fn choose(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        let outside = self.outside.borrow();
        addresses.iter().copied().find(|address| {
            let ip = address.ip().to_canonical();
            let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
            address.port() != 0
                && !(ip.is_multicast() || ip.is_unspecified() || is_broadcast)
                && self.rules.destinations.admits(*address)
                && outside.iter().any(|(is_ipv4, _)| *is_ipv4 == ip.is_ipv4())
        })
    }

    /// Sends to the first of these addresses that the rules allow.
    fn send(&self, addresses: &[SocketAddr], data: &[u8]) {
        let Some(chosen) = self.choose(addresses) else {
            tracing::debug!(
                target: "ropewalk::socks", peer = %self.client, ?addresses, "a datagram is not allowed",
            );
            return self.dropped();
        };
        let ip = chosen.ip().to_canonical();
        let to = Address::Ip(SocketAddr::new(ip, chosen.port()));
        let outside = self.outside.borrow();
        let sent = outside
            .iter()
            .find(|(is_ipv4, _)| *is_ipv4 == ip.is_ipv4())
            .is_some_and(|(_, port)| port.send_to(data, &to).is_ok());
        if sent {
            self.hosts.borrow_mut().add(ip);
            self.moved_at.set(self.control.now());
            self.count(|tally| tally.there += 1);
        } else {
            self.dropped();
        }
    }
}

/// The side of the client.
pub(super) struct Inside {
    association: Rc<Association>,
}

impl Inside {
    /// Looks a name up, and sends then.
    fn look_up(&self, port: &DatagramPort<Self>, host: &str, to: u16, data: &[u8]) {
        let all = &self.association;
        let bytes = all.lookup_bytes.get() + data.len();
        if !all.rules.destinations.admits_port(to)
            || all.lookups.get() >= LOOKUPS_MAX
            || bytes > LOOKUP_BYTES_MAX
        {
            return all.dropped();
        }
        all.lookups.set(all.lookups.get() + 1);
        all.lookup_bytes.set(bytes);
        let data = data.to_vec();
        port.then(all.rules.outlet.resolve(host, to), move |this, _, found| {
            let all = &this.association;
            all.lookups.set(all.lookups.get() - 1);
            all.lookup_bytes.set(all.lookup_bytes.get() - data.len());
            match found {
                Ok(addresses) => all.send(&addresses, &data),
                Err(_) => all.dropped(),
            }
        });
    }
}

impl DatagramProtocol for Inside {
    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        let all = &self.association;
        if !all.is_client(from) {
            return all.dropped();
        }
        let Ok(Datagram { target, data }) = Datagram::read(data) else { return all.dropped() };
        all.client_port.set(from.ip().map(|from| from.port()));
        match &target {
            Target::Ip(address) => all.send(&[*address], data),
            Target::Name(name, to) => self.look_up(port, name.as_str(), *to, data),
        }
    }

    fn stopped(&mut self, _: &DatagramPort<Self>, _: Disconnect) {
        // One that was never opened is told to the client.
        if self.association.inside.get().is_some() {
            self.association.control.close();
        }
    }
}

/// The side of everybody else.
pub(super) struct Outside {
    association: Rc<Association>,
}

impl DatagramProtocol for Outside {
    fn datagram_received(&mut self, _: &DatagramPort<Self>, data: &[u8], from: &Address) {
        let all = &self.association;
        let Some(from) = from.ip() else { return all.dropped() };
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let is_answer = all.hosts.borrow().known.contains(&from.ip());
        let (Some(inside), Some(port), true) = (all.inside.get(), all.client_port.get(), is_answer)
        else {
            return all.dropped();
        };
        let to = Address::Ip(SocketAddr::new(all.client, port));
        let datagram = Datagram { target: Target::Ip(from), data };
        match inside.send_with(Some(&to), |out| datagram.encode(out)) {
            Ok(()) => {
                all.moved_at.set(all.control.now());
                all.count(|tally| tally.back += 1);
            }
            Err(_) => all.dropped(),
        }
    }
}
