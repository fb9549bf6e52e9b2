//! A server, and what it asks of its owner.

mod associate;
mod bind;
mod connection;
mod goodbye;

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_forward::{Destinations, Dialer, RelayOptions};
use ropewalk_framing::policy::{Counted, Limiting, Limits, Policy, PolicyState};
use ropewalk_protocol::{Address, DatagramEndpoint, Drain, Factory, Layered, ServerEndpoint, seat};

use crate::codec::Login;

pub use associate::{HOSTS_MAX, LOOKUP_BYTES_MAX, LOOKUPS_MAX};
pub use connection::Server;
pub use goodbye::{GOODBYE_PATIENCE, Silent};

/// How long a client may take to say what it wants, unless set.
pub const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection to a target may take to come about, unless set, the look-up of its name
/// included.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// How long a server waits for the target to connect, unless set.
pub const BIND_PATIENCE: Duration = Duration::from_mins(2);

/// The way out: what a server needs of the world, asked for by the server and answered by whoever has
/// a network. The server decides which addresses are asked for.
pub trait Outlet: Dialer {
    /// A place to listen where `peer` can connect to, on any free port.
    fn bind(&self, peer: IpAddr) -> Box<dyn ServerEndpoint>;

    /// A place for datagrams at this address of the machine's own, on any free port; at all of its
    /// addresses of a family, if it is unspecified.
    fn datagrams(&self, local: IpAddr) -> Box<dyn DatagramEndpoint>;
}

/// Who may use a server. A closure `Fn(&Login) -> bool` is one, and so is a list of logins.
pub trait Users: 'static {
    /// Whether this user has this password. A failure is a no, and is logged.
    fn check(&self, login: &Login) -> Deferred<bool>;
}

impl<F: Fn(&Login) -> bool + 'static> Users for F {
    fn check(&self, login: &Login) -> Deferred<bool> {
        Deferred::succeed(self(login))
    }
}

impl Users for Vec<Login> {
    fn check(&self, login: &Login) -> Deferred<bool> {
        // Each is compared to its end, so that the time it takes tells nothing.
        let is_known = self.iter().fold(false, |is_known, known| {
            let user = is_same(known.user(), login.user());
            is_known | (user & is_same(known.password(), login.password()))
        });
        Deferred::succeed(is_known)
    }
}

fn is_same(one: &[u8], other: &[u8]) -> bool {
    let pairs = one.iter().zip(other);
    one.len() == other.len() && pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// For how long a server waits for what: plain values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For a client to say what it wants; [`HANDSHAKE_PATIENCE`], 10 seconds.
    pub handshake: Duration,
    /// For a connection to the target; [`CONNECT_PATIENCE`], 30 seconds.
    pub connect: Duration,
    /// For the target to connect; [`BIND_PATIENCE`], 2 minutes.
    pub bind: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        let (handshake, connect) = (HANDSHAKE_PATIENCE, CONNECT_PATIENCE);
        Self { handshake, connect, bind: BIND_PATIENCE }
    }
}

/// A SOCKS server: which clients it serves, and where it takes them.
///
/// It speaks versions 4, 4a and 5. It is a [`Factory`]; [`listen`](ropewalk_protocol::listen) with it,
/// in several places if it is in an `Rc<RefCell<…>>`.
///
/// ```
/// use ropewalk_socks::{Destinations, Login, Outlet, Service};
///
/// fn service(outlet: impl Outlet) -> Service {
///     let users = vec![Login::new("alice", "a good password").expect("it is short")];
///     Service::new(outlet).users(users).destinations(Destinations::public().ports([80..=80, 443..=443]))
/// }
/// ```
pub struct Service {
    rules: Rc<Rules>,
    limiting: Limiting,
}

/// What all connections of a server have in common.
struct Rules {
    outlet: Box<dyn Outlet>,
    destinations: Destinations,
    users: Option<Box<dyn Users>>,
    waits: Waits,
    relay: RelayOptions,
    /// Whether datagrams are passed on.
    datagrams: bool,
    silent: Silent,
}

impl Service {
    /// Serves whoever connects, over `outlet`, as far as the public Internet.
    pub fn new(outlet: impl Outlet) -> Self {
        let rules = Rules {
            outlet: Box::new(outlet),
            destinations: Destinations::public(),
            users: None,
            waits: Waits::default(),
            relay: RelayOptions::default(),
            datagrams: true,
            silent: Silent::default(),
        };
        Self { rules: Rc::new(rules), limiting: Limits::default().begin() }
    }

    /// Where clients are taken.
    pub fn destinations(self, destinations: Destinations) -> Self {
        self.with_rules(|rules| rules.destinations = destinations)
    }

    /// Serves those alone who have a password, and version 5 alone: the other has none.
    pub fn users(self, users: impl Users) -> Self {
        self.with_rules(|rules| rules.users = Some(Box::new(users)))
    }

    /// For how long is waited for what.
    pub fn waits(self, waits: Waits) -> Self {
        self.with_rules(|rules| rules.waits = waits)
    }

    /// For how long connections stay joined.
    pub fn relay(self, relay: RelayOptions) -> Self {
        self.with_rules(|rules| rules.relay = relay)
    }

    /// Passes no datagrams on: `UDP ASSOCIATE` is refused as an unknown command.
    pub fn without_datagrams(self) -> Self {
        self.with_rules(|rules| rules.datagrams = false)
    }

    /// How many clients there may be, in all and from one address.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limiting: limits.begin(), ..self }
    }

    /// Those who have not said yet what they want, to be drained beside the connections themselves, of which
    /// they are some: they have [`GOODBYE_PATIENCE`] left then. The others go on to their end.
    ///
    /// ```
    /// use ropewalk_protocol::{Drain, Leaving};
    /// use ropewalk_socks::{Outlet, Service};
    ///
    /// fn ended(outlet: impl Outlet) {
    ///     let service = Service::new(outlet);
    ///     let silent = service.silent();
    ///     let serving = Leaving::by(service, |_, _| ());
    ///     // … and, when all is to end:
    ///     silent.drain().detach();
    ///     serving.drain().detach();
    /// }
    /// ```
    pub fn silent(&self) -> impl Drain + use<> {
        self.rules.silent.clone()
    }

    fn with_rules(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        // Shared only with connections, of which there are none before this is listened with.
        if let Some(rules) = Rc::get_mut(&mut self.rules) {
            change(rules);
        }
        self
    }
}

impl Factory for Service {
    type Protocol = Layered<Counted>;

    fn build(&mut self, peer: &Address) -> Option<Self::Protocol> {
        let rules = &self.rules;
        self.limiting.admit(peer, &mut || Some(seat(Server::new(Rc::clone(rules)))))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("destinations", &self.rules.destinations)
            .field("waits", &self.rules.waits)
            .finish_non_exhaustive()
    }
}
