//! Servers: what they listen at, and how they take their leave.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, Conn, Disconnect, Drain as _, Factory, Goodbye, Leaving, Protocol, connect,
};
use ropewalk_service::{Drained, Service as _, StreamServer};
use ropewalk_trial::{Clock, MemoryNetwork, Note, Notes, Witness};

use crate::kit::{result, waits};

const SECOND: Duration = Duration::from_secs(1);

/// Answers each line after as many seconds as it says.
#[derive(Default)]
struct Slow {
    is_busy: bool,
    is_leaving: bool,
}

impl Protocol for Slow {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.is_busy = true;
        let wait = SECOND * u32::from(data[0] - b'0');
        conn.call_later(wait, |this, conn| {
            this.is_busy = false;
            conn.write(b"done");
            if this.is_leaving {
                conn.close();
            }
        });
    }
}

impl Goodbye for Slow {
    fn goodbye(&mut self, conn: &Conn<Self>) {
        conn.write(b"bye");
        self.is_leaving = true;
        if !self.is_busy {
            conn.close();
        }
    }
}

struct Slows;

impl Factory for Slows {
    type Protocol = Slow;

    fn build(&mut self, _: &Address) -> Option<Slow> {
        Some(Slow::default())
    }
}

struct House {
    clock: Clock,
    network: MemoryNetwork,
    server: StreamServer<Leaving<Slows>>,
}

fn house() -> House {
    let clock = Clock::new();
    let network = MemoryNetwork::new(&clock);
    let place = network.endpoint("here");
    let server = StreamServer::new(place, clock.clone(), Leaving::new(Slows));
    House { clock, network, server }
}

impl House {
    /// A client that says this at once.
    fn client(&self, words: &'static [u8]) -> Notes {
        let (client, notes) = Witness::new(move |conn, note| match note {
            Note::Made if !words.is_empty() => conn.write(words),
            Note::Eof => conn.close(),
            _ => (),
        });
        connect(&self.network.endpoint("here"), client).on_result(drop);
        self.network.run();
        notes
    }
}

fn end(notes: &Notes) -> Option<Disconnect> {
    notes.lost()
}

#[test]
fn it_listens_while_it_runs() {
    let house = house();
    assert_eq!(house.server.address(), None);
    assert_eq!(end(&house.client(b"")), Some(Disconnect::Refused));
    result(house.server.prepare()).unwrap();
    result(house.server.start()).unwrap();
    assert_eq!(house.server.address().unwrap().to_string(), "memory:here");
    assert_eq!(end(&house.client(b"")), None);
    assert_eq!(house.server.connections(), 1);
    let stopped = house.server.stop();
    house.network.run();
    result(stopped).unwrap();
    assert_eq!(house.server.connections(), 0);
    assert_eq!(end(&house.client(b"")), Some(Disconnect::Refused));
    // And again.
    result(house.server.start()).unwrap();
    let client = house.client(b"0");
    house.network.advance(SECOND);
    assert_eq!(client.data(), b"done");
}

#[test]
fn a_place_that_is_taken_is_why_it_does_not_start() {
    let house = house();
    result(house.server.start()).unwrap();
    let place = house.network.endpoint("here");
    let second = StreamServer::new(place, house.clock.clone(), Leaving::new(Slows));
    assert!(result(second.start()).is_err());
    assert_eq!(second.address(), None);
}

#[test]
fn who_is_idle_goes_at_once_and_who_is_busy_when_it_is_through() {
    let house = house();
    result(house.server.start()).unwrap();
    let (idle, busy) = (house.client(b""), house.client(b"3"));
    let drained = house.server.drain(SECOND * 10);
    house.network.advance(Duration::ZERO);
    assert_eq!(end(&house.client(b"")), Some(Disconnect::Refused), "the place is given up");
    assert_eq!((idle.data().as_slice(), end(&idle)), (&b"bye"[..], Some(Disconnect::Closed)));
    assert_eq!((busy.data().as_slice(), end(&busy)), (&b"bye"[..], None));
    house.network.advance(SECOND * 2);
    let drained = waits(drained);
    house.network.advance(SECOND);
    assert_eq!(busy.data(), b"byedone");
    assert_eq!(result(drained).unwrap(), Drained::new(2, 0));
    // The deadline has nothing left to do.
    house.network.advance(SECOND * 60);
    result(house.server.stop()).unwrap();
}

#[test]
fn who_is_not_through_by_the_deadline_is_cut_and_counted() {
    let house = house();
    result(house.server.start()).unwrap();
    let (quick, slow) = (house.client(b"2"), house.client(b"9"));
    let drained = house.server.drain(SECOND * 5);
    house.network.advance(SECOND * 4);
    assert_eq!(end(&quick), Some(Disconnect::Closed));
    let drained = waits(drained);
    house.network.advance(SECOND);
    assert!(end(&slow).is_some());
    assert_eq!(slow.data(), b"bye");
    assert_eq!(result(drained).unwrap(), Drained::new(2, 1));
}

#[test]
fn any_protocol_says_goodbye_by_a_hook() {
    let clock = Clock::new();
    let network = MemoryNetwork::new(&clock);
    let lines = Leaving::by(Slows, |_, conn| {
        conn.write(b"421 closing\r\n");
        conn.close();
    });
    let server = StreamServer::new(network.endpoint("here"), clock.clone(), lines);
    let house = House { clock, network, server: house().server };
    result(server.start()).unwrap();
    let client = house.client(b"");
    let drained = server.drain(SECOND);
    house.network.advance(Duration::ZERO);
    assert_eq!(client.data(), b"421 closing\r\n");
    assert_eq!(result(drained).unwrap(), Drained::new(1, 0));
}

#[test]
fn who_comes_while_it_drains_is_told_too() {
    let clock = Clock::new();
    let network = MemoryNetwork::new(&clock);
    let leaving = Leaving::new(Slows);
    let place = network.endpoint("here");
    let listening =
        ropewalk_protocol::ServerEndpoint::listen_seats(&place, Box::new(leaving.clone()));
    let _port = result(listening).unwrap();
    let drained = leaving.drain();
    result(drained).unwrap();
    let house = House { clock, network, server: house().server };
    let late = house.client(b"");
    house.network.advance(Duration::ZERO);
    assert_eq!((late.data().as_slice(), end(&late)), (&b"bye"[..], Some(Disconnect::Closed)));
    leaving.resume();
    let later = house.client(b"");
    house.network.advance(Duration::ZERO);
    assert_eq!(end(&later), None);
    assert_eq!(leaving.cut(), 1);
}

/// Becomes another protocol at the first byte.
struct Changing(Rc<Cell<u32>>);

impl Protocol for Changing {
    fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
        let next = Changed(Rc::clone(&self.0));
        drop(conn.switch_protocol(next, b""));
    }
}

struct Changed(Rc<Cell<u32>>);

impl Protocol for Changed {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn connection_lost(&mut self, _: &Conn<Self>, _: Disconnect) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_connection_whose_protocol_was_switched_is_one_until_its_end() {
    let house = house();
    let lost = Rc::new(Cell::new(0));
    let counter = Rc::clone(&lost);
    let make = move |_: &Address| Some(Changing(Rc::clone(&counter)));
    let leaving = Leaving::by(make, |_, conn| conn.close());
    let place = house.network.endpoint("here");
    let server = StreamServer::new(place, house.clock.clone(), leaving);
    result(server.start()).unwrap();
    let _client = house.client(b"x");
    assert_eq!((server.connections(), lost.get()), (1, 0));
    house.network.cut_all();
    house.network.run();
    assert_eq!((server.connections(), lost.get()), (0, 1));
    // And it can be cut, whoever has it by then.
    let client = house.client(b"x");
    let drained = server.drain(SECOND);
    house.network.advance(SECOND);
    assert_eq!(result(drained).unwrap(), Drained::new(1, 1));
    assert_eq!((server.connections(), lost.get()), (0, 2));
    assert!(end(&client).is_some());
}
