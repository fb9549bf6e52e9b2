//! Where laws are tried.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, Clock as _, Conn, Port as _, Seat, SeatFactory, seat};
use ropewalk_reactor::platform::Driver;
use ropewalk_reactor::{ConnectOptions, ListeningPort, Reactor, TcpListenOptions};

use crate::{Link, Machine, Note, Notes, Random, Simulation, Witness};

/// How long anything may take before it counts as never, on a real loop.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same in simulated time.
const PATIENCE_SIMULATED: Duration = Duration::from_mins(20);
/// How many descriptors the server of a simulated stage has.
pub(super) const DESCRIPTORS: usize = 6;

type Dress = Rc<dyn Fn(Witness) -> Box<dyn Seat>>;

/// Two ends to try laws between: two hosts of a simulation, or one reactor with itself.
pub struct Stage {
    server: Reactor,
    client: Reactor,
    place: SocketAddr,
    simulation: Option<Simulation>,
    dress: Dress,
    random: RefCell<Random>,
}

/// A connection of the stage.
pub struct Joined {
    /// What the listening side was told.
    pub server: Notes,
    /// What the connecting side was told.
    pub client: Notes,
    /// Where the listening side listens.
    pub port: ListeningPort,
}

/// Makes one seat, then none.
struct Once(Option<Box<dyn Seat>>);

impl SeatFactory for Once {
    fn seat(&mut self, _: &Address) -> Option<Box<dyn Seat>> {
        self.0.take()
    }
}

impl Stage {
    /// A reactor that connects to itself over its loopback.
    pub fn of(reactor: &Reactor) -> Self {
        Self {
            server: reactor.clone(),
            client: reactor.clone(),
            place: ([127, 0, 0, 1], 0).into(),
            simulation: None,
            dress: Rc::new(|witness| seat(witness)),
            random: RefCell::new(Random::new(1)),
        }
    }

    /// Two hosts on links that the simulation's seed chooses.
    pub fn simulated(simulation: &Simulation) -> Self {
        Self::simulated_over(simulation, |driver| driver)
    }

    /// The same with something between the reactors and their drivers.
    pub fn simulated_over(
        simulation: &Simulation,
        wrap: impl Fn(Box<dyn Driver>) -> Box<dyn Driver>,
    ) -> Self {
        let mut random = Random::new(simulation.seed() ^ 0x5eed);
        // Slow enough that one who is busy all the time does not keep the test busy as well.
        let machine = Machine::default().descriptors(DESCRIPTORS).turn(Duration::from_millis(1));
        let server = simulation.host_over("server", machine, &wrap);
        let client = simulation.host_over("client", Machine::default(), &wrap);
        for (from, to) in [("client", "server"), ("server", "client")] {
            // Narrow enough to hold a writer up, wide enough for thousands of runs.
            let (window, segment) = (*random.choose(&[200, 700, 4096]), random.between(50, 1460));
            let link = Link::rough(&mut random).window(window).segment(segment);
            simulation.link_from(from, to, link);
        }
        simulation.patience(PATIENCE_SIMULATED);
        Self {
            place: simulation.address("server", 0),
            server,
            client,
            simulation: Some(simulation.clone()),
            dress: Rc::new(|witness| seat(witness)),
            random: RefCell::new(random),
        }
    }

    /// The same with protocols seated by `dress`: in a layer, say.
    pub fn dressed(self, dress: impl Fn(Witness) -> Box<dyn Seat> + 'static) -> Self {
        Self { dress: Rc::new(dress), ..self }
    }

    /// The reactor that listens.
    pub fn server(&self) -> &Reactor {
        &self.server
    }

    /// The reactor that connects.
    pub fn client(&self) -> &Reactor {
        &self.client
    }

    /// The simulation, if it is one.
    pub fn simulation(&self) -> Option<&Simulation> {
        self.simulation.as_ref()
    }

    /// Whether both ends are one reactor.
    pub(super) fn is_alone(&self) -> bool {
        self.simulation.is_none()
    }

    pub(super) fn random(&self) -> std::cell::RefMut<'_, Random> {
        self.random.borrow_mut()
    }

    /// How much there is to carry for a law that wants much: what fills a kernel's buffers, but not an
    /// evening.
    pub(super) fn plenty(&self) -> usize {
        if self.is_alone() { 6 << 20 } else { 8000 }
    }

    pub(super) fn dress(&self, witness: Witness) -> Box<dyn Seat> {
        (self.dress)(witness)
    }

    pub(super) fn listen(&self, factory: impl SeatFactory) -> Result<ListeningPort, String> {
        let options = TcpListenOptions::default();
        let listening = self.server.listen_tcp(self.place, options, Box::new(factory));
        listening.map_err(|error| format!("{error:#}"))
    }

    pub(super) fn connect(&self, to: SocketAddr, witness: Witness) {
        let options = ConnectOptions::default().timeout(Duration::from_mins(5));
        self.client.connect_tcp(to, options, self.dress(witness));
    }

    /// Joins two protocols, each reacting in its own way.
    pub(super) fn join(
        &self,
        server: impl FnMut(&Conn<Witness>, &Note) + 'static,
        client: impl FnMut(&Conn<Witness>, &Note) + 'static,
    ) -> Result<Joined, String> {
        let (server, server_notes) = Witness::new(server);
        let (client, client_notes) = Witness::new(client);
        let port = self.listen(Once(Some(self.dress(server))))?;
        let to = port.address().ip().ok_or("it listens nowhere")?;
        self.connect(to, client);
        Ok(Joined { server: server_notes, client: client_notes, port })
    }

    /// Goes on until `condition` holds; false if that never comes.
    #[must_use]
    pub fn until(&self, condition: impl Fn() -> bool) -> bool {
        if let Some(simulation) = &self.simulation {
            return simulation.until(condition);
        }
        let deadline = self.server.now() + PATIENCE;
        while !condition() {
            let left = deadline.saturating_sub(self.server.now());
            if left.is_zero() || self.server.turn(left).is_err() {
                return false;
            }
        }
        true
    }

    /// Goes on for `time`, at most; what is under way by then has had its chance.
    pub fn pass(&self, time: Duration) {
        if let Some(simulation) = &self.simulation {
            return simulation.run_for(time);
        }
        let over = Rc::new(Cell::new(false));
        let flag = Rc::clone(&over);
        drop(self.server.schedule(time, Box::new(move || flag.set(true))));
        let _ = self.until(|| over.get());
    }
}

impl Joined {
    /// What contradicts the order of events on either side.
    pub(super) fn disorder(&self) -> Option<String> {
        let sides = [("the server", &self.server), ("the client", &self.client)];
        sides.into_iter().find_map(|(side, notes)| {
            notes.disorder().map(|what| format!("{side}: {what}: {notes:?}"))
        })
    }

    /// Whether both sides are over.
    pub(super) fn are_over(&self) -> bool {
        self.server.lost().is_some() && self.client.lost().is_some()
    }
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("server", &self.server)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("server", &self.server)
            .field("simulation", &self.simulation)
            .finish_non_exhaustive()
    }
}

/// Bytes of which no two places look alike.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Where two strings of bytes part, in words.
pub(super) fn difference(got: &[u8], wanted: &[u8]) -> String {
    let at = got.iter().zip(wanted).take_while(|(got, wanted)| got == wanted).count();
    format!("{} bytes came of {}, right up to the {at}th", got.len(), wanted.len())
}
