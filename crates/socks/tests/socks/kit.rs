//! What the tests have in common: a world without a network.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_forward::Dialer;
use ropewalk_protocol::{
    Above, Address, Below, ClientEndpoint, DatagramEndpoint, DatagramEvent, DatagramSeat,
    Disconnect, Event, Factory, Layer, Layered, Port, ResolveError, Seat, SeatFactory,
    ServerEndpoint, seat,
};
use ropewalk_socks::{Outlet, Service};
use ropewalk_trial::{Clock, Memory, MemoryDatagrams};

pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// A host on the public Internet.
pub(crate) const FAR: &str = "93.184.215.14:80";
/// Where the server says that it connects from.
pub(crate) const OUTSIDE: &str = "198.41.0.4:50000";
/// Where clients reach the server.
pub(crate) const NEAR: &str = "10.0.0.1:1080";
pub(crate) const CLIENT: &str = "10.0.0.7:40000";

pub(crate) fn ip(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

/// What comes of it when the server connects.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Made,
    Late,
    Lost(Disconnect),
}

/// All that the server finds outside, and what it did there.
#[derive(Clone)]
pub(crate) struct World(pub(crate) Rc<Inner>);

pub(crate) struct Inner {
    pub(crate) clock: Clock,
    pub(crate) names: HashMap<&'static str, Vec<&'static str>>,
    pub(crate) answer: Cell<Answer>,
    /// Whom it connects to, if it is not the one that was asked for.
    pub(crate) instead: Cell<Option<SocketAddr>>,
    pub(crate) asked: RefCell<Vec<String>>,
    pub(crate) dialled: RefCell<Vec<Vec<SocketAddr>>>,
    pub(crate) made: RefCell<Vec<Memory>>,
    pub(crate) waiting: RefCell<Vec<Box<dyn Seat>>>,
    pub(crate) listening: RefCell<Option<Box<dyn SeatFactory>>>,
    pub(crate) listens_at: Cell<Option<SocketAddr>>,
    pub(crate) lookups: RefCell<Vec<Promise<Vec<SocketAddr>>>>,
    /// Ports for datagrams, and where they are.
    pub(crate) ports: RefCell<Vec<(IpAddr, MemoryDatagrams)>>,
    pub(crate) has_ports: Cell<bool>,
}

impl World {
    pub(crate) fn new() -> Self {
        let names = [
            ("example.org", vec![FAR, "[2606:2800:21f::1]:80"]),
            ("inside.example.org", vec!["10.0.0.5:80", "[::1]:80"]),
            ("both.example.org", vec!["127.0.0.1:80", FAR]),
            ("nowhere.example.org", vec![]),
        ];
        Self(Rc::new(Inner {
            clock: Clock::new(),
            names: names.into(),
            answer: Cell::new(Answer::Made),
            instead: Cell::default(),
            asked: RefCell::default(),
            dialled: RefCell::default(),
            made: RefCell::default(),
            waiting: RefCell::default(),
            listening: RefCell::default(),
            listens_at: Cell::new(Some(ip("198.41.0.4:55555"))),
            lookups: RefCell::default(),
            ports: RefCell::default(),
            has_ports: Cell::new(true),
        }))
    }

    pub(crate) fn answering(answer: Answer) -> Self {
        let world = Self::new();
        world.0.answer.set(answer);
        world
    }

    /// A client's connection to `service`.
    pub(crate) fn call(&self, service: &mut Service) -> Memory {
        let client = Address::Ip(ip(CLIENT));
        let served = service.build(&client).expect("a connection");
        let seat = named(ip(NEAR), ip(CLIENT), seat(served));
        Memory::take_seat(seat, &self.0.clock)
    }

    /// A service's ends of clients' connections, each in a world of its own that outlives it.
    pub(crate) fn seats(answer: Answer) -> impl FnMut(&Clock) -> Box<dyn Seat> {
        let mut worlds = Vec::new();
        move |clock| {
            let mut world = Self::answering(answer);
            Rc::get_mut(&mut world.0).expect("a new world").clock = clock.clone();
            worlds.push(world.clone());
            let served = Service::new(world).build(&Address::Ip(ip(CLIENT)));
            named(ip(NEAR), ip(CLIENT), seat(served.expect("a connection")))
        }
    }

    /// A client's connection to a service as it is unless told otherwise.
    pub(crate) fn client(&self) -> Memory {
        self.call(&mut Service::new(self.clone()))
    }

    /// The connection that the server made last.
    #[track_caller]
    pub(crate) fn far(&self) -> Memory {
        self.0.made.borrow_mut().pop().expect("a connection was made")
    }

    /// Whom the server tried to connect to.
    pub(crate) fn dialled(&self) -> Vec<SocketAddr> {
        self.0.dialled.borrow().iter().flatten().copied().collect()
    }

    /// Somebody connects where the server listens for a client.
    pub(crate) fn arrive(&self, from: SocketAddr) -> Option<Memory> {
        let mut listening = self.0.listening.borrow_mut();
        let seat = listening.as_mut().expect("somebody listens").seat(&Address::Ip(from))?;
        Some(Memory::take_seat(named(ip(OUTSIDE), from, seat), &self.0.clock))
    }
}

impl Dialer for World {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        self.0.asked.borrow_mut().push(format!("{host}:{port}"));
        if host == "slow.example.org" {
            let (promise, found) = deferred();
            self.0.lookups.borrow_mut().push(promise);
            return found;
        }
        match self.0.names.get(host) {
            Some(found) => Deferred::succeed(found.iter().map(|text| ip(text)).collect()),
            None => Deferred::fail(ResolveError::NoAddress { host: host.to_owned() }),
        }
    }

    fn connect(&self, addresses: &[SocketAddr], mut seat: Box<dyn Seat>) {
        self.0.dialled.borrow_mut().push(addresses.to_vec());
        match self.0.answer.get() {
            Answer::Made => {
                let peer = self.0.instead.get().unwrap_or(addresses[0]);
                let seat = named(ip(OUTSIDE), peer, seat);
                self.0.made.borrow_mut().push(Memory::take_seat(seat, &self.0.clock));
            }
            Answer::Late => self.0.waiting.borrow_mut().push(seat),
            Answer::Lost(why) => seat.handle(Event::Lost(why)),
        }
    }
}

impl Outlet for World {
    fn bind(&self, peer: IpAddr) -> Box<dyn ServerEndpoint> {
        self.0.asked.borrow_mut().push(format!("bind towards {peer}"));
        Box::new(self.clone())
    }

    fn datagrams(&self, local: IpAddr) -> Box<dyn DatagramEndpoint> {
        Box::new(Place { world: self.clone(), local })
    }
}

/// An address of the server's.
struct Place {
    world: World,
    local: IpAddr,
}

impl DatagramEndpoint for Place {
    fn open_seat(&self, peer: Option<&Address>, mut seat: Box<dyn DatagramSeat>) {
        let world = &self.world.0;
        if world.has_ports.get() {
            let port = MemoryDatagrams::take_seat(seat, peer.cloned(), &world.clock);
            world.ports.borrow_mut().push((self.local, port));
        } else {
            seat.handle(DatagramEvent::Stopped(Disconnect::Unreachable));
        }
    }
}

impl ServerEndpoint for World {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        match self.0.listens_at.get() {
            Some(_) => {
                *self.0.listening.borrow_mut() = Some(factory);
                Deferred::succeed(Box::new(self.clone()))
            }
            None => Deferred::fail(Disconnect::Unreachable),
        }
    }
}

impl Port for World {
    fn address(&self) -> Address {
        Address::Ip(self.0.listens_at.get().expect("it listens"))
    }

    fn stop_listening(&self) -> Deferred<()> {
        *self.0.listening.borrow_mut() = None;
        Deferred::succeed(())
    }
}

/// A place to connect to, whose other side is the test.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    pub(crate) clock: Clock,
    made: Rc<RefCell<Vec<Memory>>>,
}

impl Gate {
    #[track_caller]
    pub(crate) fn take(&self) -> Memory {
        self.made.borrow_mut().pop().expect("a connection was made")
    }
}

impl ClientEndpoint for Gate {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.made.borrow_mut().push(Memory::take_seat(seat, &self.clock));
    }
}

/// A place to connect to that keeps what connects for the test.
#[derive(Clone, Default)]
pub(crate) struct Held(Rc<RefCell<Option<Box<dyn Seat>>>>);

impl Held {
    #[track_caller]
    pub(crate) fn take(&self) -> Box<dyn Seat> {
        self.0.take().expect("somebody connects")
    }
}

impl ClientEndpoint for Held {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        *self.0.borrow_mut() = Some(seat);
    }
}

/// Has a connection go between these two ends.
fn named(local: SocketAddr, peer: SocketAddr, seat: Box<dyn Seat>) -> Box<dyn Seat> {
    Layered::seat(Named { local, peer }, seat)
}

struct Named {
    local: SocketAddr,
    peer: SocketAddr,
}

impl Layer for Named {
    fn connection_made(&mut self, _: &Below<Self>, above: &mut Above<Self>) {
        above.set_local(Address::Ip(self.local));
        above.set_peer(Address::Ip(self.peer));
        above.made();
    }
}
