//! Limits on how many connections there are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use ropewalk_protocol::{Address, Below, Conn, Disconnect, Layer, Layered, Protocol, Seat, seat};

use super::{Policy, PolicyState};

/// Turns connections away when there are too many, in all or from one place.
///
/// A place is a prefix of an Internet address: who has an IPv6 network has more addresses than
/// anybody can count. Unix sockets and the like count in all, but not by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections in all; 10,000.
    pub total: Option<usize>,
    /// The most connections from one place; 100.
    pub per_peer: Option<usize>,
    /// How many bits of an IPv4 address are the place; 32, which is all of them.
    pub v4_prefix: u8,
    /// How many bits of an IPv6 address are the place; 64.
    pub v6_prefix: u8,
    /// What is said to those who are turned away before the connection closes; nothing.
    pub overflow: Vec<u8>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Some(10_000),
            per_peer: Some(100),
            v4_prefix: 32,
            v6_prefix: 64,
            overflow: Vec::new(),
        }
    }
}

impl Limits {
    /// The place that a peer is at.
    fn place(&self, peer: &Address) -> Option<IpAddr> {
        Some(match peer.ip()?.ip().to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.v4_prefix.into()));
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask.unwrap_or(0)))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.v6_prefix.into()));
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask.unwrap_or(0)))
            }
        })
    }
}

impl Policy for Limits {
    type Layer = Counted;
    type State = Limiting;

    fn begin(self) -> Limiting {
        Limiting { limits: self, counts: Rc::default() }
    }
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    places: HashMap<IpAddr, usize>,
}

/// [`Limits`] at work.
#[derive(Debug)]
pub struct Limiting {
    limits: Limits,
    counts: Rc<RefCell<Counts>>,
}

impl Limiting {
    fn has_room(&self, place: Option<IpAddr>) -> bool {
        let counts = self.counts.borrow();
        let here = place.and_then(|place| counts.places.get(&place)).copied().unwrap_or(0);
        self.limits.total.is_none_or(|max| counts.total < max)
            && self.limits.per_peer.is_none_or(|max| here < max || place.is_none())
    }
}

impl PolicyState for Limiting {
    type Layer = Counted;

    fn admit(
        &mut self,
        peer: &Address,
        build: &mut dyn FnMut() -> Option<Box<dyn Seat>>,
    ) -> Option<Layered<Counted>> {
        let place = self.limits.place(peer);
        if self.has_room(place) {
            let above = build()?;
            let counts = Rc::clone(&self.counts);
            return Some(Layered::new(Counted(Some(Ticket::new(counts, place))), above));
        }
        tracing::debug!(target: "ropewalk::framing", %peer, "turned away: too many connections");
        if self.limits.overflow.is_empty() {
            return None;
        }
        let words = self.limits.overflow.clone();
        Some(Layered::new(Counted(None), seat(Overflow(words))))
    }
}

/// One connection among those that are counted.
#[derive(Debug)]
struct Ticket {
    counts: Rc<RefCell<Counts>>,
    place: Option<IpAddr>,
}

impl Ticket {
    fn new(counts: Rc<RefCell<Counts>>, place: Option<IpAddr>) -> Self {
        let mut borrowed = counts.borrow_mut();
        borrowed.total += 1;
        if let Some(place) = place {
            *borrowed.places.entry(place).or_default() += 1;
        }
        drop(borrowed);
        Self { counts, place }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.counts.borrow_mut();
        counts.total -= 1;
        if let Some(place) = self.place
            && let Some(here) = counts.places.get_mut(&place)
        {
            *here -= 1;
            if *here == 0 {
                counts.places.remove(&place);
            }
        }
    }
}

/// A connection that is counted while it lasts.
#[derive(Debug)]
pub struct Counted(Option<Ticket>);

impl Layer for Counted {
    const PASSES_DESCRIPTORS: bool = true;

    fn connection_lost(&mut self, _: &Below<Self>, why: Disconnect) -> Disconnect {
        self.0 = None;
        why
    }
}

/// Says its words and closes.
struct Overflow(Vec<u8>);

impl Protocol for Overflow {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&self.0);
        conn.close();
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}
