//! Connections and listeners that this process was handed, on a reactor.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, Rest, deferred, gather};
use ropewalk_protocol::{
    Address, CannotConnect, ClientEndpoint, Disconnect, Event, Outbox, Port, ProxyInfo, Seat,
    SeatFactory, ServerEndpoint, Successor, TlsInfo, Transport, Wishes,
};
use ropewalk_reactor::{NotInherited, RawTerminal, Reactor, inherited};
use rustix::net::{AddressFamily, sockopt};

use crate::pipes::{self, Standard};
use crate::{
    Activation, Descriptor, Family, Kinds, NotHanded, SerialLine, StandardIo, SystemdServer,
};

/// A socket or a connection that the process was handed when it started, or a serial line: a place to listen, and
/// for all but listening sockets one to connect.
#[derive(Clone, Debug)]
pub struct HandedEndpoint<D> {
    reactor: Reactor,
    description: D,
    kinds: Kinds,
}

impl<D> HandedEndpoint<D> {
    /// The place that `description` describes, on `reactor`.
    pub fn new(reactor: &Reactor, description: D) -> Self {
        Self { reactor: reactor.clone(), description, kinds: Kinds::new() }
    }

    /// Asks the keeper of these kinds first.
    pub(crate) fn among(self, kinds: &Kinds) -> Self {
        Self { kinds: kinds.clone(), ..self }
    }

    /// What describes it.
    pub fn description(&self) -> &D {
        &self.description
    }
}

impl ServerEndpoint for HandedEndpoint<Descriptor> {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let mut take = || inherited(self.description.number()).map_err(Failure::from);
        let descriptor = self.kinds.handed(&self.description.to_string(), &mut take);
        told(&self.description, descriptor.and_then(|found| serve(&self.reactor, found, factory)))
    }
}

impl ServerEndpoint for HandedEndpoint<SystemdServer> {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let mut take = || handed(&self.description);
        let descriptor = self.kinds.handed(&self.description.to_string(), &mut take);
        told(&self.description, descriptor.and_then(|found| serve(&self.reactor, found, factory)))
    }
}

impl ServerEndpoint for HandedEndpoint<StandardIo> {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let port = pipes::take(self.description.is_raw());
        let port = port.map_err(Failure::from).and_then(|standard| match standard {
            Standard::Socket(socket) => serve_one(&self.reactor, socket, factory),
            Standard::Pipes(input, output, terminal) => {
                let ends = (input, output, terminal);
                serve_pipes(&self.reactor, ends, factory).map_err(Failure::from)
            }
        });
        told(&self.description, port)
    }
}

impl ServerEndpoint for HandedEndpoint<SerialLine> {
    fn listen_seats(&self, mut factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let line = &self.description;
        let address = Address::Device(line.path().to_owned());
        let Some(seat) = factory.seat(&address) else {
            return Deferred::succeed(OnlyPort::boxed(address, None));
        };
        let (seat, lost) = Only::seat(seat, false);
        let opened = self.reactor.open_serial(line.path(), &line.options(), seat);
        told(line, opened.map(|_| OnlyPort::boxed(address, Some(lost))).map_err(Failure::from))
    }
}

impl ClientEndpoint for HandedEndpoint<SerialLine> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let line = &self.description;
        if let Err(error) = self.reactor.open_serial(line.path(), &line.options(), seat) {
            // The seat has heard of it too.
            tracing::error!(target: "ropewalk::endpoint", "{error:#}");
        }
    }
}

impl ClientEndpoint for HandedEndpoint<Descriptor> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        match inherited(self.description.number()) {
            Ok(descriptor) => adopt(&self.reactor, descriptor, seat),
            Err(error) => {
                tracing::error!(
                    target: "ropewalk::endpoint",
                    "no connection to endpoint \"{}\": {error}", self.description,
                );
                lose(seat, kind_of(&error));
            }
        }
    }
}

impl ClientEndpoint for HandedEndpoint<StandardIo> {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        match pipes::take(self.description.is_raw()) {
            Ok(Standard::Socket(socket)) => adopt(&self.reactor, socket, seat),
            Ok(Standard::Pipes(input, output, terminal)) => {
                match carry_pipes(&self.reactor, (input, output, terminal), seat) {
                    Ok(over) => over.detach(),
                    Err((error, seat)) => refuse(&error, seat),
                }
            }
            Err(error) => refuse(&error, seat),
        }
    }
}

/// A connection over two descriptors that are no sockets, such as those of a pipe each way.
///
/// It is what [`StandardIo`] is made of, for programs that have such descriptors of their own. The
/// deferred tells when the connection is over and all output has been passed on. The two are used in
/// blocking mode, in threads of the reactor's pool.
///
/// # Errors
///
/// If the system has no room for what stands between.
pub fn connect_pipes(
    reactor: &Reactor,
    input: OwnedFd,
    output: OwnedFd,
    seat: Box<dyn Seat>,
) -> io::Result<Deferred<()>> {
    carry_pipes(reactor, (input, output, None), seat).map_err(|(error, seat)| {
        lose(seat, error.kind());
        error
    })
}

fn refuse(error: &io::Error, seat: Box<dyn Seat>) {
    tracing::error!(target: "ropewalk::endpoint", "no connection over stdio: {error}");
    lose(seat, error.kind());
}

/// A way in, a way out, and the terminal that they are, if that is raw.
type Ends = (OwnedFd, OwnedFd, Option<RawTerminal>);

fn carry_pipes(
    reactor: &Reactor,
    (input, output, terminal): Ends,
    seat: Box<dyn Seat>,
) -> Result<Deferred<()>, (io::Error, Box<dyn Seat>)> {
    let between = || {
        let (near, far) = UnixStream::pair()?;
        let copy = far.try_clone()?;
        Ok((near, far, copy))
    };
    let (near, far, copy) = match between() {
        Ok(between) => between,
        Err(error) => return Err((error, seat)),
    };
    let (seat, lost) = Only::seat(seat, true);
    adopt(reactor, near.into(), seat);
    // Input that nobody waits for any more may never come; what went out is waited for.
    reactor.defer_to_thread(move || pipes::pass_in(input, far)).detach();
    let out = reactor.defer_to_thread(move || pipes::pass_out(output, copy, terminal));
    Ok(gather([lost, out], Rest::Leave).map(drop))
}

/// Serves on a descriptor: all that come, if it listens, else the one that it is connected to.
fn serve(
    reactor: &Reactor,
    descriptor: OwnedFd,
    factory: Box<dyn SeatFactory>,
) -> Result<Box<dyn Port>, Failure> {
    if sockopt::socket_acceptconn(&descriptor) == Ok(true) {
        return Ok(Box::new(reactor.adopt_listener(descriptor, factory)?));
    }
    serve_one(reactor, descriptor, factory)
}

fn serve_one(
    reactor: &Reactor,
    descriptor: OwnedFd,
    mut factory: Box<dyn SeatFactory>,
) -> Result<Box<dyn Port>, Failure> {
    let mut over = None;
    let address = reactor.adopt_accepted(descriptor, |peer| {
        let (seat, lost) = Only::seat(factory.seat(peer)?, false);
        over = Some(lost);
        Some(seat)
    })?;
    Ok(OnlyPort::boxed(address, over))
}

fn serve_pipes(
    reactor: &Reactor,
    ends: Ends,
    mut factory: Box<dyn SeatFactory>,
) -> io::Result<Box<dyn Port>> {
    let over = match factory.seat(&Address::StandardIo) {
        Some(seat) => match carry_pipes(reactor, ends, seat) {
            Ok(over) => Some(over),
            Err((error, seat)) => {
                lose(seat, error.kind());
                return Err(error);
            }
        },
        None => None,
    };
    Ok(OnlyPort::boxed(Address::StandardIo, over))
}

/// The descriptor that a service manager has handed over.
fn handed(place: &SystemdServer) -> Result<OwnedFd, Failure> {
    let activation = Activation::from_environment()?;
    let descriptor = inherited(activation.number(place.which())?)?;
    if let Some(wanted) = place.family() {
        let family = match wanted {
            Family::Inet => AddressFamily::INET,
            Family::Inet6 => AddressFamily::INET6,
            Family::Unix => AddressFamily::UNIX,
        };
        if sockopt::socket_domain(&descriptor) != Ok(family) {
            return Err(NotHanded::OtherFamily { wanted }.into());
        }
    }
    Ok(descriptor)
}

/// The seat hears of what is wrong by itself.
fn adopt(reactor: &Reactor, descriptor: OwnedFd, seat: Box<dyn Seat>) {
    if let Err(error) = reactor.adopt_stream(descriptor, seat) {
        tracing::error!(target: "ropewalk::endpoint", "no connection on a descriptor: {error}");
    }
}

fn lose(mut seat: Box<dyn Seat>, kind: io::ErrorKind) {
    seat.handle(Event::Lost(Disconnect::Failed(kind)));
}

fn kind_of(error: &NotInherited) -> io::ErrorKind {
    match error {
        NotInherited::Closed => io::ErrorKind::NotFound,
        NotInherited::Taken => io::ErrorKind::AddrInUse,
        NotInherited::System(error) => error.kind(),
        _ => io::ErrorKind::InvalidInput,
    }
}

fn told(
    place: &impl std::fmt::Display,
    outcome: Result<Box<dyn Port>, Failure>,
) -> Deferred<Box<dyn Port>> {
    match outcome {
        Ok(port) => Deferred::succeed(port),
        Err(failure) => {
            Deferred::fail(failure.context(format!("no server at endpoint \"{place}\"")))
        }
    }
}

/// Where one connection is served, and no other.
struct OnlyPort {
    address: Address,
    over: RefCell<Option<Deferred<()>>>,
}

impl OnlyPort {
    fn boxed(address: Address, over: Option<Deferred<()>>) -> Box<dyn Port> {
        let over = RefCell::new(Some(over.unwrap_or_else(|| Deferred::succeed(()))));
        Box::new(Self { address, over })
    }
}

impl Port for OnlyPort {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn stop_listening(&self) -> Deferred<()> {
        Deferred::succeed(())
    }

    fn over(&self) -> Option<Deferred<()>> {
        self.over.borrow_mut().take()
    }
}

/// The seat of an only connection: it tells when that is over.
struct Only {
    seat: Box<dyn Seat>,
    lost: Option<Promise<()>>,
    /// What carries it, if that is to seem to be the standard streams, and the key.
    carrier: Option<(Rc<dyn Transport>, usize)>,
    seems_standard: bool,
}

impl Only {
    fn seat(seat: Box<dyn Seat>, seems_standard: bool) -> (Box<dyn Seat>, Deferred<()>) {
        let (promise, lost) = deferred();
        (Box::new(Self { seat, lost: Some(promise), carrier: None, seems_standard }), lost)
    }
}

impl Seat for Only {
    fn attach(&mut self, transport: Rc<dyn Transport>, key: usize) {
        let transport = if self.seems_standard {
            Rc::new(SeemsStandard(transport)) as Rc<dyn Transport>
        } else {
            transport
        };
        self.carrier = Some((Rc::clone(&transport), key));
        self.seat.attach(transport, key);
    }

    fn handle(&mut self, event: Event<'_>) {
        self.seat.handle(event);
        if let Some((transport, key)) = &self.carrier {
            Successor::seat_all(&mut self.seat, transport, *key);
        }
        if let Event::Lost(_) = event
            && let Some(lost) = self.lost.take()
        {
            lost.succeed(());
        }
    }

    fn wishes(&self) -> Wishes {
        self.seat.wishes()
    }

    fn take_output(&mut self) -> Option<Box<Outbox>> {
        self.seat.take_output()
    }

    fn take_successor(&mut self) -> Option<Successor> {
        // Those that there were are seated inside.
        None
    }

    fn tell_names(&self, tell: &mut dyn FnMut(&'static str)) {
        self.seat.tell_names(tell);
    }
}

/// What lies between the pipes and the reactor, seen as what it stands for.
struct SeemsStandard(Rc<dyn Transport>);

impl Transport for SeemsStandard {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn wake(&self, key: usize) {
        self.0.wake(key);
    }

    fn local(&self, _: usize) -> Address {
        Address::StandardIo
    }

    fn peer(&self, _: usize) -> Address {
        Address::StandardIo
    }

    fn tls(&self, key: usize) -> Option<TlsInfo> {
        self.0.tls(key)
    }

    fn cause(&self, key: usize) -> Option<Failure> {
        self.0.cause(key)
    }

    fn proxy(&self, key: usize) -> Option<Rc<ProxyInfo>> {
        self.0.proxy(key)
    }

    fn cannot_connect(&self, key: usize) -> Option<CannotConnect> {
        self.0.cannot_connect(key)
    }

    fn count(&self, what: &'static str) {
        self.0.count(what);
    }

    fn lend_outbox(&self) -> Box<Outbox> {
        self.0.lend_outbox()
    }

    fn take_back_outbox(&self, outbox: Box<Outbox>) {
        self.0.take_back_outbox(outbox);
    }
}
