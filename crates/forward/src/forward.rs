//! Listening in one place for another.

use std::fmt;
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_framing::policy::{Counted, Limiting, Limits, Policy, PolicyState};
use ropewalk_protocol::{
    Address, ClientEndpoint, Conn, Disconnect, Factory, Layered, Protocol, Seat, seat,
    seat_and_tell,
};

use crate::relay::{Relay, RelayOptions, Tally, relay};

/// Has whoever connects talk to another place, over a connection of his own there.
///
/// It is a [`Factory`]; [`listen`](ropewalk_protocol::listen) with it. Where the other place cannot be
/// reached, the connection is reset.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_forward::{Forward, RelayOptions};
/// use ropewalk_framing::policy::Limits;
/// use ropewalk_protocol::ClientEndpoint;
///
/// fn to(far: impl ClientEndpoint + 'static) -> Forward {
///     let idle = Some(Duration::from_mins(10));
///     Forward::to(far)
///         .options(RelayOptions { idle, ..RelayOptions::default() })
///         .limits(Limits { total: Some(500), ..Limits::default() })
/// }
/// ```
pub struct Forward {
    place: Rc<Place>,
    limiting: Limiting,
}

struct Place {
    endpoint: Box<dyn ClientEndpoint>,
    dress: Box<Dress>,
    options: RelayOptions,
}

type Dress = dyn Fn(&Address, &Address, Box<dyn Seat>) -> Box<dyn Seat>;

impl Forward {
    /// Forwards to `endpoint`.
    pub fn to(endpoint: impl ClientEndpoint + 'static) -> Self {
        let place = Place {
            endpoint: Box::new(endpoint),
            dress: Box::new(|_, _, seat| seat),
            options: RelayOptions::default(),
        };
        Self { place: Rc::new(place), limiting: Limits::default().begin() }
    }

    /// For how long connections stay joined.
    pub fn options(self, options: RelayOptions) -> Self {
        self.with_place(|place| place.options = options)
    }

    /// How many connections there may be, in all and from one address.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limiting: limits.begin(), ..self }
    }

    /// Puts something between each connection to the other place and its protocol, such as a header
    /// that says whose connection it is. `dress` is told where that one comes from and where it
    /// arrived.
    pub fn dressed(
        self,
        dress: impl Fn(&Address, &Address, Box<dyn Seat>) -> Box<dyn Seat> + 'static,
    ) -> Self {
        self.with_place(|place| place.dress = Box::new(dress))
    }

    fn with_place(mut self, change: impl FnOnce(&mut Place)) -> Self {
        // Shared only with connections, of which there are none before this is listened with.
        if let Some(place) = Rc::get_mut(&mut self.place) {
            change(place);
        }
        self
    }
}

impl Factory for Forward {
    type Protocol = Layered<Counted>;

    fn build(&mut self, peer: &Address) -> Option<Self::Protocol> {
        let place = Rc::clone(&self.place);
        self.limiting.admit(peer, &mut || Some(seat(Forwarded(Rc::clone(&place)))))
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("options", &self.place.options).finish_non_exhaustive()
    }
}

/// A connection whose other half is on its way. It then gives way to a [`Relay`].
pub struct Forwarded(Rc<Place>);

impl Protocol for Forwarded {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.pause_reading();
        let place = &self.0;
        let (near, far, over) = relay(place.options);
        let (peer, local) = (conn.peer(), conn.local());
        let (seat, made) = seat_and_tell(far);
        place.endpoint.connect_seat((place.dress)(&peer, &local, seat));
        conn.then(made, move |_, conn, made: Result<Conn<Relay>, _>| match made {
            Ok(_) => {
                conn.switch_protocol(near, &[]);
                log(peer, over);
            }
            Err(failure) => {
                let why = failure.check::<Disconnect>().copied();
                tracing::info!(target: "ropewalk::forward", %peer, "not forwarded: {failure}");
                conn.abort_with(why.unwrap_or(Disconnect::Unreachable));
            }
        });
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.hand_back(data);
    }

    fn eof_received(&mut self, _: &Conn<Self>) {}
}

impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarded").finish_non_exhaustive()
    }
}

fn log(peer: Address, over: Deferred<Tally>) {
    over.on_result(move |tally| {
        if let Ok(Tally { there, back, why }) = tally {
            tracing::debug!(target: "ropewalk::forward", %peer, there, back, "over: {why}");
        }
    });
}
