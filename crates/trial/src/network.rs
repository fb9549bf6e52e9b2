//! Endpoints in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, deferred};
use ropewalk_protocol::{
    Address, ClientEndpoint, Clock as _, Disconnect, Event, Port, Seat, SeatFactory, ServerEndpoint,
};

use crate::{Clock, Memory, Wire};

/// Named places in memory where services listen and clients connect, without a socket and without a
/// reactor: whole services, joined by [`Wire`]s, on one [`Clock`].
///
/// Nothing happens but in [`run`](Self::run) and [`advance`](Self::advance). Clones are the same.
///
/// ```
/// use ropewalk_protocol::{Address, Conn, Protocol, connect, listen};
/// use ropewalk_trial::{Clock, MemoryNetwork, Note, Witness};
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
///
/// let network = MemoryNetwork::new(&Clock::new());
/// let port = listen(&network.endpoint("memory:echo"), |_: &Address| Some(Echo));
/// let (client, notes) = Witness::new(|conn, note| {
///     if *note == Note::Made {
///         conn.write(b"anybody?");
///     }
/// });
/// let conn = connect(&network.endpoint("memory:echo"), client);
/// network.run();
/// assert_eq!(notes.data(), b"anybody?");
/// assert_eq!(conn.now_or_never().unwrap()?.peer().to_string(), "memory:echo");
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
#[derive(Clone)]
pub struct MemoryNetwork(Rc<Inner>);

struct Inner {
    clock: Clock,
    listeners: RefCell<BTreeMap<String, (u64, Listening)>>,
    wires: RefCell<Vec<Wire>>,
    /// Connections that were asked for.
    asked: RefCell<VecDeque<(String, Box<dyn Seat>)>>,
    last_id: Cell<u64>,
    chunk: Cell<usize>,
}

/// Out while it makes a protocol.
type Listening = Option<Box<dyn SeatFactory>>;

impl MemoryNetwork {
    /// A network without any place, on a clock that others may share.
    pub fn new(clock: &Clock) -> Self {
        Self(Rc::new(Inner {
            clock: clock.clone(),
            listeners: RefCell::default(),
            wires: RefCell::default(),
            asked: RefCell::default(),
            last_id: Cell::new(0),
            chunk: Cell::new(usize::MAX),
        }))
    }

    /// Delivers in pieces of at most `size` bytes, at least 1, on connections to come.
    pub fn in_chunks_of(self, size: usize) -> Self {
        self.0.chunk.set(size.max(1));
        self
    }

    /// The place of that name, to listen at or to connect to; `memory:` may stand before it.
    pub fn endpoint(&self, name: &str) -> MemoryEndpoint {
        let name = name.strip_prefix("memory:").unwrap_or(name).to_owned();
        MemoryEndpoint { network: self.clone(), name }
    }

    /// Moves bytes, results and endings until everything is quiet.
    pub fn run(&self) {
        loop {
            let connected = self.connect_all();
            let mut wires = self.0.wires.take();
            let moved = wires.iter_mut().fold(false, |moved, wire| wire.step() | moved);
            wires.retain(|wire| !wire.is_over());
            wires.append(&mut self.0.wires.borrow_mut());
            self.0.wires.replace(wires);
            if !connected && !moved {
                return;
            }
        }
    }

    /// Lets `time` pass, making each call at its moment.
    pub fn advance(&self, time: Duration) {
        let clock = &self.0.clock;
        let until = clock.now() + time;
        self.run();
        while let Some(due) = self.next_due().filter(|due| *due <= until) {
            clock.advance(due.saturating_sub(clock.now()));
            self.run();
        }
        clock.advance(until.saturating_sub(clock.now()));
        self.run();
    }

    /// How many connections are up.
    pub fn connections(&self) -> usize {
        self.0.wires.borrow().len()
    }

    /// Breaks every connection.
    pub fn cut_all(&self) {
        for mut wire in self.0.wires.take() {
            wire.cut();
        }
    }

    fn next_due(&self) -> Option<Duration> {
        let wires = self.0.wires.borrow();
        let calls = wires.iter().filter_map(Wire::next_due);
        calls.chain(self.0.clock.next_call()).min()
    }

    /// Makes the connections that were asked for, or says that nobody is there.
    fn connect_all(&self) -> bool {
        let asked = self.0.asked.take();
        let any = !asked.is_empty();
        for (name, mut seat) in asked {
            let id = self.0.last_id.get() + 1;
            self.0.last_id.set(id);
            let client = Address::Memory(format!("{name}#{id}"));
            let Some(server) = self.seat_for(&name, &client) else {
                seat.handle(Event::Lost(Disconnect::Refused));
                continue;
            };
            let (clock, place) = (&self.0.clock, Address::Memory(name));
            let there = Memory::between(server, clock, place.clone(), client.clone());
            let here = Memory::between(seat, clock, client, place);
            let wire = Wire::of(clock, here, there).in_chunks_of(self.0.chunk.get());
            self.0.wires.borrow_mut().push(wire);
        }
        any
    }

    fn seat_for(&self, name: &str, client: &Address) -> Option<Box<dyn Seat>> {
        let factory = |listeners: &mut BTreeMap<String, (u64, Listening)>| {
            listeners.get_mut(name).and_then(|(_, factory)| factory.take())
        };
        let mut factory = factory(&mut self.0.listeners.borrow_mut())?;
        let seat = factory.seat(client);
        if let Some((_, place)) = self.0.listeners.borrow_mut().get_mut(name) {
            place.get_or_insert(factory);
        }
        seat
    }
}

/// A named place of a [`MemoryNetwork`].
#[derive(Clone)]
pub struct MemoryEndpoint {
    network: MemoryNetwork,
    name: String,
}

impl ServerEndpoint for MemoryEndpoint {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let inner = &self.network.0;
        let mut listeners = inner.listeners.borrow_mut();
        if listeners.contains_key(&self.name) {
            return Deferred::fail(Failure::new(std::io::Error::from(
                std::io::ErrorKind::AddrInUse,
            )));
        }
        let id = inner.last_id.get() + 1;
        inner.last_id.set(id);
        listeners.insert(self.name.clone(), (id, Some(factory)));
        Deferred::succeed(Box::new(MemoryPort { endpoint: self.clone(), id }))
    }
}

impl ClientEndpoint for MemoryEndpoint {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.network.0.asked.borrow_mut().push_back((self.name.clone(), seat));
    }
}

struct MemoryPort {
    endpoint: MemoryEndpoint,
    id: u64,
}

impl Port for MemoryPort {
    fn address(&self) -> Address {
        Address::Memory(self.endpoint.name.clone())
    }

    fn stop_listening(&self) -> Deferred<()> {
        let MemoryEndpoint { network, name } = &self.endpoint;
        let is_it = network.0.listeners.borrow().get(name).is_some_and(|(id, _)| *id == self.id);
        let stopped = is_it.then(|| network.0.listeners.borrow_mut().remove(name));
        drop(stopped);
        let (promise, done) = deferred();
        promise.succeed(());
        done
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNetwork")
            .field("listeners", &self.0.listeners.borrow().keys().collect::<Vec<_>>())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEndpoint").field("name", &self.name).finish_non_exhaustive()
    }
}
