//! Many hosts for a long time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, Conn, Disconnect, Protocol, seat};
use ropewalk_reactor::{ConnectOptions, Reactor, TcpListenOptions};
use ropewalk_trial::{Link, Random, Simulation};

const HOSTS: usize = 1000;
/// How long a host waits between two questions.
const PAUSE: Duration = Duration::from_secs(20);
/// How often some hosts are cut off from some others.
const STORM: Duration = Duration::from_secs(5);

/// Answers each byte.
struct Neighbour;

impl Protocol for Neighbour {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

/// Asks its neighbour something again and again, for as long as there is a connection, and connects
/// again when there is none.
struct Asker {
    life: Rc<Life>,
    asked: u64,
    heard: u64,
}

struct Life {
    reactor: Reactor,
    neighbour: std::net::SocketAddr,
    random: RefCell<Random>,
    answers: Rc<Cell<u64>>,
    losses: Rc<Cell<u64>>,
}

impl Life {
    fn connect(self: &Rc<Self>) {
        let asker = Asker { life: Rc::clone(self), asked: 0, heard: 0 };
        self.reactor.connect_tcp(self.neighbour, ConnectOptions::default(), seat(asker));
    }

    /// A while, by and large `PAUSE`.
    fn pause(&self) -> Duration {
        let millis = PAUSE.as_millis() as u64;
        Duration::from_millis(self.random.borrow_mut().between(millis / 2, millis * 3 / 2))
    }
}

impl Asker {
    fn ask(&mut self, conn: &Conn<Self>) {
        if self.asked > self.heard {
            // A neighbour that does not answer is given up.
            return conn.abort();
        }
        self.asked += 1;
        conn.write(b"?");
        conn.call_later(self.life.pause(), Self::ask);
    }
}

impl Protocol for Asker {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.call_later(self.life.pause(), Self::ask);
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.heard += data.len() as u64;
        self.life.answers.set(self.life.answers.get() + data.len() as u64);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if why == Disconnect::Stopped {
            return;
        }
        self.life.losses.set(self.life.losses.get() + 1);
        let life = Rc::clone(&self.life);
        let again = move || life.connect();
        ropewalk_protocol::call_later(&self.life.reactor, self.life.pause(), again);
    }
}

fn name(index: usize) -> String {
    format!("host{index}")
}

/// Cuts some hosts off from their neighbours for a while, and goes on doing so.
fn storm(simulation: &Simulation, random: Rc<RefCell<Random>>) {
    let (index, lasts) = {
        let mut random = random.borrow_mut();
        (random.below(HOSTS as u64) as usize, random.between(1, 120))
    };
    let (one, other) = (name(index), name((index + 1) % HOSTS));
    simulation.partition(&one, &other);
    simulation.after(Duration::from_secs(lasts), move |simulation| simulation.heal(&one, &other));
    simulation.after(STORM, move |simulation| storm(simulation, random));
}

/// What came of an hour: the hash of the story, the answers and the connections lost.
fn hour(seed: u64) -> (u64, u64, u64) {
    let simulation = Simulation::new(seed);
    let link = Link::default().latency(Duration::from_millis(20)).loss(0.001).cut(0.0);
    simulation.weather(&link);
    let (answers, losses) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let reactors: Vec<_> = (0..HOSTS).map(|index| simulation.host(&name(index))).collect();
    for (index, reactor) in reactors.iter().enumerate() {
        let address = simulation.address(&name(index), 7);
        let factory = Box::new(|_: &Address| Some(Neighbour));
        reactor.listen_tcp(address, TcpListenOptions::default(), factory).unwrap();
    }
    for (index, reactor) in reactors.into_iter().enumerate() {
        let life = Rc::new(Life {
            reactor,
            neighbour: simulation.address(&name((index + 1) % HOSTS), 7),
            random: RefCell::new(Random::new(seed + index as u64)),
            answers: Rc::clone(&answers),
            losses: Rc::clone(&losses),
        });
        life.connect();
    }
    storm(&simulation, Rc::new(RefCell::new(Random::new(seed))));
    simulation.run_for(Duration::from_hours(1));
    (simulation.hash(), answers.get(), losses.get())
}

#[test]
fn a_thousand_hosts_live_through_an_hour_and_again() {
    let first = hour(1);
    let (_, answers, losses) = first;
    assert!(answers > 150_000, "{answers} answers");
    assert!(losses > 100, "{losses} connections lost");
    assert_eq!(hour(1), first);
}
