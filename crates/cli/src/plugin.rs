//! What other crates add to the program.
//!
//! A crate that depends on this one registers what it has with [`inventory::submit!`], and its program calls
//! [`main`](crate::main): its services are then kinds in configuration files, its places are endpoints everywhere, its
//! checkers are users, and its subcommands stand among the others. `examples/plugin` is such a crate, with one of each.
//!
//! ```
//! use ropewalk_cli::plugin::{Serving, ServiceKind};
//! use ropewalk::protocol::{Address, Conn, Protocol};
//!
//! struct Shout;
//!
//! impl Protocol for Shout {
//!     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
//!         conn.write(&data.to_ascii_uppercase());
//!     }
//! }
//!
//! ropewalk_cli::plugin::inventory::submit! {
//!     ServiceKind {
//!         name: "shout",
//!         options: || clap::Command::new("shout").arg(clap::Arg::new("word").long("word")),
//!         make: |_, _| Ok(Serving::closing(|_: &Address| Some(Shout))),
//!     }
//! }
//! ```

use std::process::ExitCode;
use std::rc::Rc;

use clap::ArgMatches;
pub use inventory;
use ropewalk::Failure;
use ropewalk::auth::{Checker, UsernamePassword};
use ropewalk::endpoint::Kinds;
use ropewalk::protocol::{ClientEndpoint, Drain, Factory, SeatFactory, ServerEndpoint};
use ropewalk::reactor::Reactor;
use ropewalk::service::{AnyServing, Service};

use crate::offer::{Offer, closing, finishing, silent};

/// A kind of service in configuration files: `kind = "name"`.
pub struct ServiceKind {
    /// What it is called.
    pub name: &'static str,
    /// The keys that its section may have, as long options.
    pub options: fn() -> clap::Command,
    /// Makes one on a reactor, with what its section says.
    pub make: fn(&ArgMatches, &Reactor) -> Result<Serving, Failure>,
}

/// What a service is made of.
pub struct Serving(pub(crate) Offer);

impl Serving {
    /// Serves with what `factory` makes; when it is to end, each connection ends by itself or at the deadline.
    pub fn finishing(factory: impl Factory) -> Self {
        Self(Offer::of(finishing(factory)))
    }

    /// The same, but connections are closed at once.
    pub fn closing(factory: impl Factory) -> Self {
        Self(Offer::of(closing(factory)))
    }

    /// Serves with what says goodbye by itself, such as a site of HTTP.
    pub fn draining(serving: impl SeatFactory + Drain) -> Self {
        Self(Offer::of(AnyServing::new(serving)))
    }

    /// Serves nobody by itself: something that is started and stopped.
    pub fn service(service: impl Service + 'static) -> Self {
        Self(Offer::beside(vec![silent(service)]))
    }
}

/// A kind of endpoint to listen at: `KIND:NAME`.
pub struct ServerPlace {
    /// What it is called.
    pub kind: &'static str,
    /// The place of that name.
    pub make: fn(&Reactor, &str) -> Box<dyn ServerEndpoint>,
}

/// A kind of endpoint to connect to: `KIND:NAME`.
pub struct ClientPlace {
    /// What it is called.
    pub kind: &'static str,
    /// The place of that name.
    pub make: fn(&Reactor, &str) -> Box<dyn ClientEndpoint>,
}

/// Who knows users and their passwords.
pub type Passwords = Rc<dyn Checker<UsernamePassword>>;

/// Users of a kind of its own: `--auth KIND:WHERE`.
pub struct UserChecker {
    /// What it is called.
    pub kind: &'static str,
    /// Who knows the users that are there.
    pub open: fn(&str, &Reactor) -> Result<Passwords, Failure>,
}

/// A subcommand.
pub struct Subcommand {
    /// Its name, options and help.
    pub command: fn() -> clap::Command,
    /// What it does; a complaint ends the program with status 1.
    pub run: fn(&ArgMatches) -> Result<ExitCode, String>,
}

inventory::collect!(ServiceKind);
inventory::collect!(ServerPlace);
inventory::collect!(ClientPlace);
inventory::collect!(UserChecker);
inventory::collect!(Subcommand);

/// The kinds of endpoint that other crates have brought.
pub(crate) fn kinds() -> Kinds {
    let servers = inventory::iter::<ServerPlace>.into_iter();
    let kinds = servers.fold(Kinds::new(), |kinds, place| kinds.server(place.kind, place.make));
    let clients = inventory::iter::<ClientPlace>.into_iter();
    clients.fold(kinds, |kinds, place| kinds.client(place.kind, place.make))
}

/// The kinds of service that other crates have brought.
pub(crate) fn services() -> impl Iterator<Item = &'static ServiceKind> {
    inventory::iter::<ServiceKind>.into_iter()
}

/// The subcommands that other crates have brought.
pub(crate) fn subcommands() -> impl Iterator<Item = &'static Subcommand> {
    inventory::iter::<Subcommand>.into_iter()
}

/// The users of a kind that another crate has brought.
pub(crate) fn checker(kind: &str) -> Option<&'static UserChecker> {
    inventory::iter::<UserChecker>.into_iter().find(|checker| checker.kind == kind)
}
