//! Waiting for the one connection that a client asked for.

use std::net::SocketAddr;
use std::rc::Rc;

use ropewalk_protocol::{Address, Seat, SeatFactory};

use super::Rules;

/// Takes one connection, from whom it is expected.
pub(super) struct Incoming {
    rules: Rc<Rules>,
    /// Where it may come from, whatever the port; if nothing is said, from wherever clients may go.
    expected: Vec<SocketAddr>,
    seat: Option<Box<dyn Seat>>,
}

impl Incoming {
    pub(super) fn new(rules: Rc<Rules>, expected: Vec<SocketAddr>, seat: Box<dyn Seat>) -> Self {
        Self { rules, expected, seat: Some(seat) }
    }
}

impl SeatFactory for Incoming {
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn Seat>> {
        let address = peer.ip()?;
        let ip = address.ip().to_canonical();
        let is_expected = if self.expected.is_empty() {
            self.rules.destinations.admits(address)
        } else {
            self.expected.iter().any(|expected| expected.ip().to_canonical() == ip)
        };
        if !is_expected {
            tracing::info!(target: "ropewalk::socks", %peer, "turned away: another is expected");
            return None;
        }
        self.seat.take()
    }
}
