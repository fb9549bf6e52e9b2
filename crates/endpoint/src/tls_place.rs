//! TLS over other places, on a reactor.

use std::borrow::Cow;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{
    Address, ClientEndpoint, Clock as _, Disconnect, Event, Port, Seat, SeatFactory,
    ServerEndpoint, Transport, defer_to_threads,
};
use ropewalk_reactor::{Gauge, Probe, Reactor};
use ropewalk_tls::{
    FollowFiles, Identities, Identity, IdentityError, IdentityFiles, Policy, RELOAD_EVERY,
    TicketKeys, Trust, Watch,
};

use crate::{TlsClient, TlsIdentity, TlsServer};

/// A place to listen with TLS.
#[derive(Clone)]
pub struct TlsServerEndpoint {
    reactor: Reactor,
    description: TlsServer,
    place: Rc<dyn ServerEndpoint>,
}

impl TlsServerEndpoint {
    /// The place that `description` describes, on `reactor`.
    pub fn new(reactor: &Reactor, description: TlsServer) -> Self {
        let place = description.inner().on(reactor);
        Self::over(reactor, description, place)
    }

    /// The same, with another place for that which it is described to be over: of a kind that another
    /// crate has, for one.
    pub fn over(reactor: &Reactor, description: TlsServer, place: Box<dyn ServerEndpoint>) -> Self {
        Self { reactor: reactor.clone(), description, place: place.into() }
    }

    /// What describes it.
    pub fn description(&self) -> &TlsServer {
        &self.description
    }
}

impl ServerEndpoint for TlsServerEndpoint {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let (place, shown) = (Rc::clone(&self.place), self.description.to_string());
        let reactor = self.reactor.clone();
        let description = self.description.clone().speaking(factory.alpn());
        identities(&self.reactor, &description)
            .add_callback(move |(identities, watch)| {
                let tls = ropewalk_tls::TlsServer::new(&identities);
                let probe = tell_ends(&reactor, identities);
                let listening = tls.over(Shared(place)).listen_seats(factory);
                listening.map(move |inner| {
                    Box::new(TlsPort { inner, watch, _probe: probe }) as Box<dyn Port>
                })
            })
            .add_errback(move |failure| {
                let context: Cow<'static, str> =
                    format!("no server at endpoint \"{shown}\"").into();
                Err(failure.context(context))
            })
    }
}

/// Who the server is, and what follows its files.
fn identities(reactor: &Reactor, place: &TlsServer) -> Deferred<(Identities, Option<Watch>)> {
    let reading = place.clone();
    let read = move || {
        let made = match reading.identity() {
            TlsIdentity::SelfSigned { names } => Some(Identity::self_signed(names.clone())?),
            TlsIdentity::Files { .. } | TlsIdentity::Folder(_) => None,
        };
        let roots = reading.client_roots().map(Trust::from_file).transpose()?;
        Ok::<_, IdentityError>((made, roots, reading.ticket_keys()?))
    };
    let (again, place) = (reactor.clone(), place.clone());
    defer_to_threads(reactor, read).add_callback(move |(made, roots, keys)| {
        let (identities, files) = match prepare(&place, made, roots, &keys) {
            Ok((identities, None)) => return Deferred::succeed((identities, None)),
            Ok((identities, Some(files))) => (identities, files),
            Err(error) => return Deferred::fail(error),
        };
        let follows = follows(&again);
        let (clock, threads) = (Rc::new(again.clone()), Rc::new(again));
        let watch = identities.watch_with(&files, RELOAD_EVERY, clock, threads, follows);
        watch.map(move |watch| (identities, Some(watch)))
    })
}

/// Whoever tells of changes of files.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn follows(reactor: &Reactor) -> Option<Rc<dyn FollowFiles>> {
    crate::files_followed::Notified::on(reactor.clone())
}

/// Nobody does here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn follows(_: &Reactor) -> Option<Rc<dyn FollowFiles>> {
    None
}

/// A store with what was made, and the files that are to be in it too.
fn prepare(
    place: &TlsServer,
    made: Option<Identity>,
    roots: Option<Trust>,
    keys: &TicketKeys,
) -> Result<(Identities, Option<IdentityFiles>), IdentityError> {
    let policy = Policy::new().alpn(place.alpn()).log_keys();
    let policy = match roots {
        None => policy,
        Some(roots) if place.has_optional_clients() => policy.ask_clients(roots),
        Some(roots) => policy.require_clients(roots),
    };
    let identities = Identities::with_tickets(policy, keys);
    if let Some(identity) = made {
        tell_fingerprint(&identity);
        identities.add(&identity)?;
    }
    let identities = if place.refuses_unknown() { identities.refuse_unknown() } else { identities };
    let files = match place.identity() {
        TlsIdentity::SelfSigned { .. } => None,
        TlsIdentity::Files { cert, key, chain } => {
            let files = IdentityFiles::new(cert, key);
            Some(chain.iter().fold(files, IdentityFiles::with_chain))
        }
        TlsIdentity::Folder(folder) => Some(IdentityFiles::folder(folder)),
    };
    Ok((identities, files))
}

/// Has whoever looks at the reactor's statistics see when each certificate ends.
fn tell_ends(reactor: &Reactor, identities: Identities) -> Probe {
    reactor.add_probe(move |gauges| {
        gauges.extend(identities.ends().into_iter().map(|(names, ends)| Gauge {
            name: "certificate_not_after_seconds",
            of: names.join(","),
            value: ends as f64,
        }));
    })
}

/// Says how to know this server again, since nobody vouches for it.
fn tell_fingerprint(identity: &Identity) {
    let (names, fingerprint) = (identity.names().join(", "), identity.fingerprint());
    let digits: Vec<_> = fingerprint.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
    tracing::warn!(
        target: "ropewalk::endpoint",
        "nobody vouches for the certificate of {names}; its SHA-256 fingerprint is {}",
        digits.join(":").to_uppercase(),
    );
}

impl fmt::Debug for TlsServerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsServerEndpoint").field(&self.description).finish()
    }
}

/// A shared endpoint as one that TLS can be put over.
struct Shared(Rc<dyn ServerEndpoint>);

impl ServerEndpoint for Shared {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        self.0.listen_seats(factory)
    }
}

/// A port whose files are followed while it is open.
struct TlsPort {
    inner: Box<dyn Port>,
    watch: Option<Watch>,
    _probe: Probe,
}

impl Port for TlsPort {
    fn address(&self) -> Address {
        self.inner.address()
    }

    fn stop_listening(&self) -> Deferred<()> {
        if let Some(watch) = &self.watch {
            watch.stop();
        }
        self.inner.stop_listening()
    }

    fn over(&self) -> Option<Deferred<()>> {
        self.inner.over()
    }
}

/// A place to connect to with TLS. Roots and the like are read when it is first used.
#[derive(Clone)]
pub struct TlsClientEndpoint {
    inner: Rc<Client>,
}

struct Client {
    reactor: Reactor,
    description: TlsClient,
    place: Box<dyn ClientEndpoint>,
    tls: RefCell<Option<ropewalk_tls::TlsClient>>,
}

impl TlsClientEndpoint {
    /// The place that `description` describes, on `reactor`.
    pub fn new(reactor: &Reactor, description: TlsClient) -> Self {
        let place = description.inner().on(reactor);
        Self::over(reactor, description, place)
    }

    /// The same, with another place for that which it is described to be over: of a kind that another
    /// crate has, for one.
    pub fn over(reactor: &Reactor, description: TlsClient, place: Box<dyn ClientEndpoint>) -> Self {
        let (reactor, tls) = (reactor.clone(), RefCell::new(None));
        Self { inner: Rc::new(Client { reactor, description, place, tls }) }
    }

    /// What describes it.
    pub fn description(&self) -> &TlsClient {
        &self.inner.description
    }
}

impl ClientEndpoint for TlsClientEndpoint {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let ready = self.inner.tls.borrow().clone();
        if let Some(tls) = ready {
            return self.inner.connect(&tls, seat);
        }
        let reading = self.inner.description.clone();
        let client = Rc::clone(&self.inner);
        let read = move || read(&reading);
        defer_to_threads(&self.inner.reactor, read).on_result(move |read| {
            let made = read.and_then(|(trust, identity)| client.make(&trust, identity.as_ref()));
            match made {
                Ok(tls) => {
                    *client.tls.borrow_mut() = Some(tls.clone());
                    client.connect(&tls, seat);
                }
                Err(failure) => client.fail(failure, seat),
            }
        });
    }
}

fn read(place: &TlsClient) -> Result<(Trust, Option<Identity>), IdentityError> {
    let trust = match place.trust() {
        Some(path) => Trust::from_file(path)?.and_pinned(place.pins()),
        None if place.pins().is_empty() => Trust::platform()?,
        None => Trust::pinned(place.pins()),
    };
    let identity = place.identity().map(|(cert, key)| Identity::from_files(cert, key));
    Ok((trust, identity.transpose()?))
}

impl Client {
    fn make(
        &self,
        trust: &Trust,
        identity: Option<&Identity>,
    ) -> Result<ropewalk_tls::TlsClient, Failure> {
        let tls = ropewalk_tls::TlsClient::new(trust)?.alpn(self.description.alpn()).log_keys();
        Ok(match identity {
            Some(identity) => tls.identity(identity),
            None => tls,
        })
    }

    fn connect(&self, tls: &ropewalk_tls::TlsClient, seat: Box<dyn Seat>) {
        if seat.wishes().ending.is_some() {
            return lose(seat, Disconnect::Aborted);
        }
        match tls.layer(self.description.name()) {
            Ok(layer) => {
                self.place.connect_seat(ropewalk_protocol::Layered::seat(layer, seat));
            }
            Err(error) => self.fail(error.into(), seat),
        }
    }

    /// No connection, for want of what TLS needs.
    fn fail(&self, failure: Failure, mut seat: Box<dyn Seat>) {
        let why = match failure.check::<std::io::Error>() {
            Some(error) => Disconnect::Failed(error.kind()),
            None => Disconnect::Failed(std::io::ErrorKind::InvalidData),
        };
        let cause = NoTls { endpoint: self.description.to_string(), failure: Arc::new(failure) };
        seat.attach(Rc::new(Nowhere { now: self.reactor.now(), cause }), 0);
        lose(seat, why);
    }
}

fn lose(mut seat: Box<dyn Seat>, why: Disconnect) {
    seat.handle(Event::Lost(why));
}

impl fmt::Debug for TlsClientEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsClientEndpoint").field(&self.inner.description).finish()
    }
}

/// What carries a connection that is not even tried: it knows why.
struct Nowhere {
    now: Duration,
    cause: NoTls,
}

impl Transport for Nowhere {
    fn now(&self) -> Duration {
        self.now
    }

    fn wake(&self, _: usize) {}

    fn local(&self, _: usize) -> Address {
        Address::Unnamed
    }

    fn peer(&self, _: usize) -> Address {
        Address::Unnamed
    }

    fn cause(&self, _: usize) -> Option<Failure> {
        Some(Failure::new(self.cause.clone()))
    }
}

/// Roots, a certificate or a key could not be used.
#[derive(Clone, Debug)]
struct NoTls {
    endpoint: String,
    failure: Arc<Failure>,
}

impl fmt::Display for NoTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection to endpoint \"{}\"", self.endpoint)
    }
}

impl Error for NoTls {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.failure.error())
    }
}
