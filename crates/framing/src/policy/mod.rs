//! Rules under which connections are kept, whatever is spoken on them.
//!
//! A [`Policy`] is a plain value. [`Policy::wrap`] puts it under any factory, and what comes out is
//! a factory again, so policies are composed by wrapping; [`Policy::wrap_client`] does the same for
//! a place to connect to. The first one named is the one next to the protocol.
//!
//! | policy | keeps |
//! |---|---|
//! | [`Timeouts`] | idle connections, slow beginnings and long lives within bounds |
//! | [`Throttle`] | reading and writing under rates, each connection's and all together |
//! | [`Limits`] | connections to a number, in all and from one place, with a word to the rest |
//! | [`Pace`] | peers from being slower than a rate |
//! | [`TrafficLog`] | a log of what goes to and fro |
//!
//! ```
//! use std::time::Duration;
//!
//! use ropewalk_framing::policy::{Limits, Policy, Rate, Rates, Throttle, Timeouts};
//! use ropewalk_protocol::{Address, Conn, Factory, Protocol};
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
//!         conn.write(data);
//!     }
//! }
//!
//! fn guarded() -> impl Factory {
//!     let echo = |_: &Address| Some(Echo);
//!     let slowly = Rates { write: Rate::new(10_000), ..Rates::default() };
//!     let echo = Throttle::each(slowly).wrap(echo);
//!     let echo = Timeouts { idle: Some(Duration::from_secs(30)), ..Timeouts::default() }.wrap(echo);
//!     Limits { per_peer: Some(5), ..Limits::default() }.wrap(echo)
//! }
//! # let _ = guarded();
//! ```

mod bucket;
mod limits;
mod pace;
mod throttle;
mod timeouts;
mod traffic;

use std::cell::RefCell;

use ropewalk_protocol::{
    Address, ClientEndpoint, Disconnect, Event, Factory, Layer, Layered, Seat, SeatFactory,
};

pub use bucket::{Rate, TokenBucket};
pub use limits::{Counted, Limiting, Limits};
pub use pace::{Pace, Paced};
pub use throttle::{Rates, Throttle, Throttled, Throttling};
pub use timeouts::{Timed, Timeouts};
pub use traffic::{Logged, TrafficLog, TrafficLogging};

/// A rule under which connections are kept.
pub trait Policy: Sized + 'static {
    /// What is put between a connection and its protocol.
    type Layer: Layer;

    /// What it remembers of all connections: often nothing but its values.
    type State: PolicyState<Layer = Self::Layer>;

    /// Begins to keep connections under the rule.
    fn begin(self) -> Self::State;

    /// Keeps the connections that `factory` serves under the rule.
    fn wrap<F: SeatFactory>(self, factory: F) -> Guarded<Self, F> {
        Guarded { state: self.begin(), factory }
    }

    /// Keeps the connections that are made to `endpoint` under the rule.
    fn wrap_client<E: ClientEndpoint>(self, endpoint: E) -> GuardedClient<Self, E> {
        GuardedClient { state: RefCell::new(self.begin()), endpoint }
    }
}

/// A [`Policy`] at work.
pub trait PolicyState: 'static {
    /// What is put between a connection and its protocol.
    type Layer: Layer;

    /// Puts a layer under what `build` makes for the connection with `peer`, or under something
    /// else; `None` turns the connection away.
    fn admit(
        &mut self,
        peer: &Address,
        build: &mut dyn FnMut() -> Option<Box<dyn Seat>>,
    ) -> Option<Layered<Self::Layer>>;
}

/// A factory whose connections are kept under a policy; a [`Factory`] itself.
pub struct Guarded<P: Policy, F> {
    state: P::State,
    factory: F,
}

impl<P: Policy, F: SeatFactory> Factory for Guarded<P, F> {
    type Protocol = Layered<P::Layer>;

    fn build(&mut self, peer: &Address) -> Option<Self::Protocol> {
        let Self { state, factory } = self;
        state.admit(peer, &mut || factory.seat(peer))
    }

    fn alpn(&self) -> &'static [&'static str] {
        self.factory.alpn()
    }
}

/// An endpoint whose connections are kept under a policy; a [`ClientEndpoint`] itself.
pub struct GuardedClient<P: Policy, E> {
    state: RefCell<P::State>,
    endpoint: E,
}

impl<P: Policy, E: ClientEndpoint> ClientEndpoint for GuardedClient<P, E> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let mut seat = Some(seat);
        // Whom it will reach, only the endpoint knows.
        let admitted = self.state.borrow_mut().admit(&Address::Unnamed, &mut || seat.take());
        match (admitted, seat) {
            (Some(layered), _) => self.endpoint.connect_seat(layered.into_seat()),
            (None, Some(mut seat)) => seat.handle(Event::Lost(Disconnect::Aborted)),
            (None, None) => (),
        }
    }
}
