//! Kinds of places that other crates bring.

use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::rc::Rc;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{
    ClientEndpoint, Disconnect, Event, Port, Seat, SeatFactory, ServerEndpoint,
};
use ropewalk_reactor::Reactor;

use crate::description::quote;
use crate::scheme::{Scheme, Schemes};
use crate::{ClientDescription, EndpointError, Fault, ServerDescription};

type MakeServer = dyn Fn(&Reactor, &str) -> Box<dyn ServerEndpoint>;
type MakeClient = dyn Fn(&Reactor, &str) -> Box<dyn ClientEndpoint>;

/// Gives a descriptor that the process was handed: the place as it is written, and what takes it from the process.
#[cfg(unix)]
type Keeper =
    dyn Fn(&str, &mut dyn FnMut() -> Result<OwnedFd, Failure>) -> Result<OwnedFd, Failure>;

/// The kinds of places that a program knows beyond those of this crate, each written `KIND:NAME`, with
/// what makes the place of the name.
///
/// They stand wherever an endpoint may, also inside of others. A kind with more arguments than a name is
/// a [`Scheme`] among [`Schemes`].
///
/// ```
/// use ropewalk_endpoint::Kinds;
/// use ropewalk_protocol::{Address, Conn, Protocol, connect, listen};
/// use ropewalk_reactor::Reactor;
/// use ropewalk_trial::{Clock, MemoryNetwork};
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
///
/// // Tests have their services listen in memory.
/// let network = MemoryNetwork::new(&Clock::new());
/// let (here, there) = (network.clone(), network.clone());
/// let kinds = Kinds::new()
///     .server("memory", move |_, name| Box::new(here.endpoint(name)))
///     .client("memory", move |_, name| Box::new(there.endpoint(name)));
///
/// let reactor = Reactor::new()?;
/// let place = kinds.server_from_string(&reactor, "haproxy:memory:echo")?;
/// let port = reactor.run_until(listen(&*place, |_: &Address| Some(Echo)))?;
/// assert_eq!(port.address().to_string(), "memory:echo");
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
#[derive(Clone, Default)]
pub struct Kinds {
    servers: Vec<(&'static str, Rc<MakeServer>)>,
    clients: Vec<(&'static str, Rc<MakeClient>)>,
    #[cfg(unix)]
    keeper: Option<Rc<Keeper>>,
}

impl Kinds {
    /// None beyond those of this crate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind of servers; one of the same name gives way.
    pub fn server(
        mut self,
        kind: &'static str,
        make: impl Fn(&Reactor, &str) -> Box<dyn ServerEndpoint> + 'static,
    ) -> Self {
        self.servers.retain(|(known, _)| *known != kind);
        self.servers.push((kind, Rc::new(make)));
        self
    }

    /// Adds a kind of clients; one of the same name gives way.
    pub fn client(
        mut self,
        kind: &'static str,
        make: impl Fn(&Reactor, &str) -> Box<dyn ClientEndpoint> + 'static,
    ) -> Self {
        self.clients.retain(|(known, _)| *known != kind);
        self.clients.push((kind, Rc::new(make)));
        self
    }

    /// Has `keeper` give the descriptor wherever one is to be listened with that the process was handed (`fd:` and
    /// `systemd:`). It is told the place as it is written, and what takes the descriptor from the process, which can
    /// be done once: a program that keeps a copy can listen there again, and hand it on.
    #[cfg(unix)]
    pub fn keeper(
        mut self,
        keeper: impl Fn(&str, &mut dyn FnMut() -> Result<OwnedFd, Failure>) -> Result<OwnedFd, Failure>
        + 'static,
    ) -> Self {
        self.keeper = Some(Rc::new(keeper));
        self
    }

    /// The descriptor for a place, which `take` takes from the process.
    #[cfg(unix)]
    pub(crate) fn handed(
        &self,
        place: &str,
        take: &mut dyn FnMut() -> Result<OwnedFd, Failure>,
    ) -> Result<OwnedFd, Failure> {
        match &self.keeper {
            Some(keeper) => keeper(place, take),
            None => take(),
        }
    }

    /// All kinds of servers: those of this crate, and these.
    pub fn servers(&self) -> Schemes<ServerDescription> {
        let kinds = self.servers.iter().map(|(kind, _)| OwnPlace::scheme(kind));
        kinds.fold(ServerDescription::schemes(), Schemes::with)
    }

    /// All kinds of clients: those of this crate, and these.
    pub fn clients(&self) -> Schemes<ClientDescription> {
        let kinds = self.clients.iter().map(|(kind, _)| OwnPlace::scheme(kind));
        kinds.fold(ClientDescription::schemes(), Schemes::with)
    }

    /// The place to listen that a string describes, as
    /// [`server_from_string`](crate::server_from_string) gives it.
    ///
    /// # Errors
    ///
    /// If the string is no place to listen, with what to write instead where that shows.
    pub fn server_from_string(
        &self,
        reactor: &Reactor,
        string: &str,
    ) -> Result<Box<dyn ServerEndpoint>, EndpointError> {
        Ok(self.servers().read(string)?.on_with(reactor, self))
    }

    /// The place to connect to that a string describes, as
    /// [`client_from_string`](crate::client_from_string) gives it.
    ///
    /// # Errors
    ///
    /// If the string is no place to connect to, with what to write instead where that shows.
    pub fn client_from_string(
        &self,
        reactor: &Reactor,
        string: &str,
    ) -> Result<Box<dyn ClientEndpoint>, EndpointError> {
        Ok(self.clients().read(string)?.on_with(reactor, self))
    }

    pub(crate) fn make_server(&self, reactor: &Reactor, own: OwnPlace) -> Box<dyn ServerEndpoint> {
        match self.servers.iter().find(|(kind, _)| *kind == own.kind) {
            Some((_, make)) => make(reactor, &own.name),
            None => Box::new(UnknownKind(own)),
        }
    }

    pub(crate) fn make_client(&self, reactor: &Reactor, own: OwnPlace) -> Box<dyn ClientEndpoint> {
        match self.clients.iter().find(|(kind, _)| *kind == own.kind) {
            Some((_, make)) => make(reactor, &own.name),
            None => Box::new(UnknownKind(own)),
        }
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(|(kind, _)| kind).collect();
        let clients: Vec<_> = self.clients.iter().map(|(kind, _)| kind).collect();
        f.debug_struct("Kinds")
            .field("servers", &servers)
            .field("clients", &clients)
            .finish_non_exhaustive()
    }
}

/// A place of a kind that another crate has brought: `KIND:NAME`. What it is, its [`Kinds`] know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnPlace {
    kind: &'static str,
    name: String,
}

impl OwnPlace {
    /// The place of that kind and name.
    pub fn new(kind: &'static str, name: &str) -> Self {
        Self { kind, name: name.to_owned() }
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn scheme<T: From<Self> + 'static>(kind: &'static str) -> Scheme<T> {
        Scheme::new(kind, "KIND:NAME", move |arguments| {
            let name = arguments.required("name", |text| match text {
                "" => Err(Fault::EmptyName),
                _ => Ok(text.to_owned()),
            })?;
            Ok(Self { kind, name }.into())
        })
        .positional(&["name"])
    }
}

impl From<OwnPlace> for ServerDescription {
    fn from(place: OwnPlace) -> Self {
        Self::Own(place)
    }
}

impl From<OwnPlace> for ClientDescription {
    fn from(place: OwnPlace) -> Self {
        Self::Own(place)
    }
}

impl fmt::Display for OwnPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Named where by its place it would make a URL.
        let key = if self.name.starts_with("//") { "name=" } else { "" };
        write!(f, "{}:{key}{}", self.kind, quote(&self.name))
    }
}

/// A place that was put on a reactor without the kinds that know it.
struct UnknownKind(OwnPlace);

impl ServerEndpoint for UnknownKind {
    fn listen_seats(&self, _: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let error = io::Error::from(io::ErrorKind::Unsupported);
        let context = format!("nobody here knows the kind of endpoint \"{}\"", self.0);
        Deferred::fail(Failure::from(error).context(context))
    }
}

impl ClientEndpoint for UnknownKind {
    fn connect_seat(&self, mut seat: Box<dyn Seat>) {
        tracing::error!(
            target: "ropewalk::endpoint",
            "nobody here knows the kind of endpoint \"{}\"", self.0,
        );
        seat.handle(Event::Lost(Disconnect::Failed(io::ErrorKind::Unsupported)));
    }
}
