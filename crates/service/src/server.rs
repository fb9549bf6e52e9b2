//! Servers as services.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Rest, deferred, gather};
use ropewalk_protocol::{
    Address, Clock, DatagramEndpoint, DatagramPort, DatagramProtocol, Drain, Port, Seat,
    SeatFactory, ServerEndpoint, call_later, open_datagrams,
};

use crate::{Drained, Service};

/// A server of streams at one place.
///
/// It listens when it is prepared, and serves from then on. It is drained as its connections know how
/// ([`Drain`]): the place is given up first, and who is not through by the deadline is cut, which is
/// counted and logged. Stopping ends what is left.
pub struct StreamServer<S> {
    place: Rc<dyn ServerEndpoint>,
    clock: Rc<dyn Clock>,
    /// Who serves those who come from now on.
    serving: Rc<Current<S>>,
    /// What else has connections of this server.
    others: Vec<Rc<dyn Drain>>,
    port: Rc<RefCell<Option<Box<dyn Port>>>>,
}

impl<S: SeatFactory + Drain + Clone> StreamServer<S> {
    /// Serves at `place` with what `serving` makes: a [`Leaving`](ropewalk_protocol::Leaving) around a
    /// factory, or what drains by itself, such as a site of HTTP.
    pub fn new(
        place: impl ServerEndpoint + 'static,
        clock: impl Clock + 'static,
        serving: S,
    ) -> Self {
        let (place, clock) = (Rc::new(place), Rc::new(clock));
        let serving = Rc::new(Current(RefCell::new(serving), Cell::new(0)));
        Self { place, clock, serving, others: Vec::new(), port: Rc::default() }
    }

    /// Has `serving` serve those who come from now on, without a moment in which nobody listens. Answers who did so far
    /// and has their connections, for whoever drains them.
    ///
    /// Who serves may do so too while it makes the protocol of a connection: it has that one still, and the next is
    /// `serving`'s.
    pub fn replace(&self, serving: S) -> S {
        serving.resume();
        let Current(held, changes) = &*self.serving;
        changes.set(changes.get() + 1);
        held.replace(serving)
    }

    /// Drains this with it: what has taken connections over and is not drained by who had them, as a site drains
    /// its WebSockets.
    pub fn and(mut self, other: impl Drain + 'static) -> Self {
        self.others.push(Rc::new(other));
        self
    }

    /// Where it listens, while it does.
    pub fn address(&self) -> Option<Address> {
        self.port.borrow().as_ref().map(|port| port.address())
    }

    /// Where no more than one connection can ever come: tells when that is over, to whoever asks first.
    pub fn over(&self) -> Option<Deferred<()>> {
        self.port.borrow().as_ref().and_then(|port| port.over())
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.all().connections()
    }

    fn all(&self) -> All {
        let serving: Rc<dyn Drain> = Rc::new(self.serving.0.borrow().clone());
        All(self.others.iter().cloned().chain([serving]).collect())
    }

    /// Gives the place up, and leaves the connections as they are. The deferred tells when the place is free.
    pub fn stop_listening(&self) -> Deferred<()> {
        self.port.take().map_or_else(|| Deferred::succeed(()), |port| port.stop_listening())
    }
}

impl<S: SeatFactory + Drain + Clone> Service for StreamServer<S> {
    fn prepare(&self) -> Deferred<()> {
        if self.port.borrow().is_some() {
            return Deferred::succeed(());
        }
        self.all().resume();
        let port = Rc::clone(&self.port);
        let seating = Seating(Rc::clone(&self.serving));
        let listening = self.place.listen_seats(Box::new(seating));
        listening.map(move |listening| {
            port.replace(Some(listening));
        })
    }

    fn start(&self) -> Deferred<()> {
        self.prepare()
    }

    fn drain(&self, deadline: Duration) -> Deferred<Drained> {
        let (serving, clock) = (self.all(), Rc::clone(&self.clock));
        let (promise, drained) = deferred();
        self.stop_listening().on_result(move |freed| {
            if let Err(failure) = freed {
                tracing::error!(target: "ropewalk::service", "a place is not free: {failure:?}");
            }
            // Who was accepted until now is among them.
            let found = serving.connections();
            let cut = Rc::new(Cell::new(0));
            let (counter, hurried) = (Rc::clone(&cut), serving.clone());
            let hurry = call_later(&clock, deadline, move || {
                let count = hurried.cut();
                counter.set(count);
                if count > 0 {
                    tracing::warn!(
                        target: "ropewalk::service", count,
                        "connections were cut: they were not through by the deadline",
                    );
                }
            });
            serving.drain().on_result(move |_| {
                hurry.cancel();
                promise.succeed(Drained::new(found, cut.get()));
            });
        });
        drained
    }

    fn stop(&self) -> Deferred<()> {
        let serving = self.all();
        self.stop_listening().add_both(move |freed| {
            let gone = serving.drain();
            serving.cut();
            gone.add_callback(move |()| freed)
        })
    }
}

/// Who serves, and how often that has changed.
struct Current<S>(RefCell<S>, Cell<u64>);

/// Seats whoever comes with who serves at that moment.
struct Seating<S>(Rc<Current<S>>);

impl<S: SeatFactory + Clone> SeatFactory for Seating<S> {
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn Seat>> {
        let Current(held, changes) = &*self.0;
        let (mut serving, before) = (held.borrow().clone(), changes.get());
        let seat = serving.seat(peer);
        // It may have had another take its place meanwhile.
        if changes.get() == before {
            held.replace(serving);
        }
        seat
    }

    fn alpn(&self) -> &'static [&'static str] {
        self.0.0.borrow().alpn()
    }
}

/// What serves and drains, whatever its type. Clones are the same.
#[derive(Clone)]
pub struct AnyServing(Rc<RefCell<dyn Serving>>);

trait Serving: SeatFactory + Drain {}

impl<S: SeatFactory + Drain> Serving for S {}

impl AnyServing {
    /// Forgets the type of `serving`.
    pub fn new(serving: impl SeatFactory + Drain) -> Self {
        Self(Rc::new(RefCell::new(serving)))
    }

    /// Whether the other is the same.
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl SeatFactory for AnyServing {
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn Seat>> {
        self.0.borrow_mut().seat(peer)
    }

    fn alpn(&self) -> &'static [&'static str] {
        self.0.borrow().alpn()
    }
}

impl Drain for AnyServing {
    fn connections(&self) -> usize {
        self.0.borrow().connections()
    }

    fn drain(&self) -> Deferred<()> {
        self.0.borrow().drain()
    }

    fn cut(&self) -> usize {
        self.0.borrow().cut()
    }

    fn resume(&self) {
        // Who seats somebody just now has not left.
        if let Ok(serving) = self.0.try_borrow() {
            serving.resume();
        }
    }
}

impl fmt::Debug for AnyServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyServing")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// Several as one.
#[derive(Clone)]
struct All(Vec<Rc<dyn Drain>>);

impl Drain for All {
    fn connections(&self) -> usize {
        self.0.iter().map(|each| each.connections()).sum()
    }

    fn drain(&self) -> Deferred<()> {
        gather(self.0.iter().map(|each| each.drain()), Rest::Leave).map(drop)
    }

    fn cut(&self) -> usize {
        self.0.iter().map(|each| each.cut()).sum()
    }

    fn resume(&self) {
        self.0.iter().for_each(|each| each.resume());
    }
}

impl<S: SeatFactory + Drain + Clone> fmt::Debug for StreamServer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamServer")
            .field("address", &self.address())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// A port for datagrams at one place, with a new protocol each time it is started.
pub struct DatagramServer<P: 'static> {
    place: Rc<dyn DatagramEndpoint>,
    make: RefCell<Box<dyn FnMut() -> P>>,
    port: Rc<RefCell<Option<DatagramPort<P>>>>,
}

impl<P: DatagramProtocol> DatagramServer<P> {
    /// Opens a port at `place` with what `make` makes.
    pub fn new(place: impl DatagramEndpoint + 'static, make: impl FnMut() -> P + 'static) -> Self {
        Self { place: Rc::new(place), make: RefCell::new(Box::new(make)), port: Rc::default() }
    }

    /// Its port, while it is open.
    pub fn port(&self) -> Option<DatagramPort<P>> {
        self.port.borrow().clone()
    }
}

impl<P: DatagramProtocol> Service for DatagramServer<P> {
    fn prepare(&self) -> Deferred<()> {
        if self.port.borrow().is_some() {
            return Deferred::succeed(());
        }
        let protocol = (self.make.borrow_mut())();
        let port = Rc::clone(&self.port);
        open_datagrams(&*self.place, protocol).map(move |opened| {
            port.replace(Some(opened));
        })
    }

    fn start(&self) -> Deferred<()> {
        self.prepare()
    }

    fn stop(&self) -> Deferred<()> {
        let Some(port) = self.port.take() else { return Deferred::succeed(()) };
        // A call that nobody lives to see is dropped with the port.
        let (promise, closed) = deferred::<()>();
        port.call_later(Duration::MAX, move |_, _| drop(promise));
        port.close();
        closed.add_both(|_| Ok::<_, Failure>(()))
    }
}

impl<P: 'static> fmt::Debug for DatagramServer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.port.borrow().is_some();
        f.debug_struct("DatagramServer").field("is_open", &is_open).finish_non_exhaustive()
    }
}
