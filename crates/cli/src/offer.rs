//! What a service is made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use ropewalk::protocol::{
    Address, DatagramEndpoint, DatagramProtocol, DatagramSeat, Drain, Factory, Leaving, Seat,
    SeatFactory,
};
use ropewalk::reactor::{Reactor, UdpEndpoint, UdpOptions};
use ropewalk::service::{AnyServing, DatagramServer, Drained, Service};
use ropewalk::{Deferred, Failure};

use crate::sockets::{Sockets, What};

/// What a service is made of, on one reactor: what serves at its places, and what runs beside that.
pub(crate) struct Offer {
    /// Who serves those who come; nobody, for what has sockets of its own.
    pub(crate) serving: Option<AnyServing>,
    /// What is started and stopped with it.
    pub(crate) beside: Vec<Beside>,
    /// How a place is said on standard output.
    pub(crate) shown: fn(&Address, bool) -> String,
    /// What becomes dangerous where others can overhear it.
    pub(crate) has_passwords: bool,
}

/// Something that is started and stopped with a service.
#[derive(Clone)]
pub(crate) struct Beside {
    pub(crate) service: Rc<dyn Service>,
    /// Where it is, once it runs.
    pub(crate) said: Rc<dyn Fn() -> Option<String>>,
}

/// Options of which a service is made, on the command line and in a file.
pub(crate) trait Offered {
    /// Where it listens unless told otherwise.
    const LISTEN: Option<&'static str>;

    /// What these options say.
    fn offer(&self, house: &House) -> Result<Offer, String>;

    /// The files that are read when the offer is made, and not again: when what they hold has changed, a reload makes
    /// the offer anew.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Where it listens unless told otherwise, if these options decide that.
    fn listen(&self) -> Vec<String> {
        Self::LISTEN.map(str::to_owned).into_iter().collect()
    }
}

/// What offers are made with.
pub(crate) struct House {
    pub(crate) reactor: Reactor,
    /// The sockets of the program; none where each of several serves by itself.
    pub(crate) sockets: Option<Rc<Sockets>>,
}

impl Offer {
    /// Serves so, and says plainly where.
    pub(crate) fn of(serving: AnyServing) -> Self {
        Self {
            serving: Some(serving),
            beside: Vec::new(),
            shown: |address, _| address.to_string(),
            has_passwords: false,
        }
    }

    /// Serves nobody by itself.
    pub(crate) fn beside(beside: Vec<Beside>) -> Self {
        let shown = |address: &Address, _| address.to_string();
        Self { serving: None, beside, shown, has_passwords: false }
    }
}

/// Lets connections end by themselves: whoever is served is served to the end, or to the deadline.
pub(crate) fn finishing(factory: impl Factory) -> AnyServing {
    AnyServing::new(Leaving::by(factory, |_, _| ()))
}

/// The same, and `other` is drained first: it knows of some of them that they wait for nothing.
pub(crate) fn finishing_beside(factory: impl Factory, other: impl Drain + 'static) -> AnyServing {
    let serving = Leaving::by(factory, |_, _| ());
    AnyServing::new(With { serving, other })
}

/// What serves, and what else has to be told when it ends.
struct With<S, D> {
    serving: S,
    other: D,
}

impl<S: SeatFactory, D: 'static> SeatFactory for With<S, D> {
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn Seat>> {
        self.serving.seat(peer)
    }

    fn alpn(&self) -> &'static [&'static str] {
        self.serving.alpn()
    }
}

impl<S: Drain, D: Drain> Drain for With<S, D> {
    fn connections(&self) -> usize {
        self.serving.connections() + self.other.connections()
    }

    fn drain(&self) -> Deferred<()> {
        let told = self.other.drain();
        let gone = self.serving.drain();
        told.add_callback(move |()| gone)
    }

    fn cut(&self) -> usize {
        self.serving.cut() + self.other.cut()
    }

    fn resume(&self) {
        self.serving.resume();
        self.other.resume();
    }
}

/// Ends connections at once: nothing is under way on them that would be missed.
pub(crate) fn closing(factory: impl Factory) -> AnyServing {
    AnyServing::new(Leaving::by(factory, |_, conn| conn.close()))
}

/// A port for datagrams beside a service.
pub(crate) fn datagrams<P: DatagramProtocol>(
    house: &House,
    place: SocketAddr,
    make: impl FnMut() -> P + 'static,
) -> Beside {
    let (reactor, sockets) = (house.reactor.clone(), house.sockets.clone());
    let at = KeptPort { reactor, sockets: sockets.clone(), place };
    let server = Rc::new(DatagramServer::new(at, make));
    let port = Rc::clone(&server);
    let said = Rc::new(move || port.port().map(|port| format!("udp {}", port.local())));
    Beside { service: Rc::new(Answering { server, sockets, place }), said }
}

/// A port for datagrams whose socket the program keeps.
struct KeptPort {
    reactor: Reactor,
    sockets: Option<Rc<Sockets>>,
    place: SocketAddr,
}

impl DatagramEndpoint for KeptPort {
    fn open_seat(&self, peer: Option<&Address>, seat: Box<dyn DatagramSeat>) {
        let options = UdpOptions::default();
        let kept = self.sockets.as_ref().filter(|_| peer.is_none());
        match kept.map(|sockets| sockets.datagrams_at(self.place, &options)) {
            // The seat is told of failures too.
            Some(Ok((socket, _))) => drop(self.reactor.adopt_udp(socket, &options, seat)),
            Some(Err(_)) | None => {
                UdpEndpoint::new(&self.reactor, self.place, options).open_seat(peer, seat);
            }
        }
    }
}

/// A port for datagrams that says which it is when it cannot be had.
struct Answering<P: 'static> {
    server: Rc<DatagramServer<P>>,
    sockets: Option<Rc<Sockets>>,
    place: SocketAddr,
}

impl<P: DatagramProtocol> Service for Answering<P> {
    fn start(&self) -> Deferred<()> {
        let place = self.place;
        self.server.start().add_errback(move |failure| {
            let why = crate::serving::tell(&failure);
            Err::<(), _>(Failure::new(format!("cannot answer datagrams at {place}: {why}")))
        })
    }

    fn stop(&self) -> Deferred<()> {
        if let (Some(sockets), Some(port)) = (&self.sockets, self.server.port()) {
            sockets.release(What::Datagrams, &port.local());
        }
        self.server.stop()
    }
}

/// A service that says nothing of where it is.
pub(crate) fn silent(service: impl Service + 'static) -> Beside {
    Beside { service: Rc::new(service), said: Rc::new(|| None) }
}

impl Service for Beside {
    fn prepare(&self) -> Deferred<()> {
        self.service.prepare()
    }

    fn start(&self) -> Deferred<()> {
        self.service.start()
    }

    fn drain(&self, deadline: std::time::Duration) -> Deferred<Drained> {
        self.service.drain(deadline)
    }

    fn stop(&self) -> Deferred<()> {
        self.service.stop()
    }
}
