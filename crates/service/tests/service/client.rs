//! Clients that stay connected.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{Address, Conn, Disconnect, Port, Protocol, listen};
use ropewalk_service::{Backoff, ClientService, ClientState, NoConnection, Service as _};
use ropewalk_trial::{Clock, MemoryNetwork};

use crate::kit::{Echo, result, waits};

const SECOND: Duration = Duration::from_secs(1);

struct Caller;

impl Protocol for Caller {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}

struct House {
    clock: Clock,
    network: MemoryNetwork,
    client: ClientService<Caller>,
    /// How many attempts there were.
    attempts: Rc<Cell<u32>>,
}

fn house() -> House {
    let clock = Clock::new();
    let network = MemoryNetwork::new(&clock);
    let attempts = Rc::new(Cell::new(0));
    let counter = Rc::clone(&attempts);
    let place = network.endpoint("far");
    let client = ClientService::new(place, clock.clone(), move || {
        counter.set(counter.get() + 1);
        Caller
    });
    let client = client.backoff(Backoff::default().chance(|| 1.0));
    House { clock, network, client, attempts }
}

impl House {
    fn listen(&self) -> Box<dyn Port> {
        result(listen(&self.network.endpoint("far"), |_: &Address| Some(Echo))).unwrap()
    }
}

#[test]
fn it_connects_and_whoever_waits_is_given_the_connection() {
    let house = house();
    let _port = house.listen();
    let early = result(house.client.when_connected()).unwrap_err();
    assert_eq!(*early.check::<NoConnection>().unwrap(), NoConnection::Stopped);
    result(house.client.start()).unwrap();
    assert_eq!(house.client.state(), ClientState::Connecting);
    let connected = waits(house.client.when_connected());
    house.network.run();
    assert_eq!(house.client.state(), ClientState::Connected);
    assert_eq!(result(connected).unwrap().peer().to_string(), "memory:far");
    // Who asks later has it at once.
    result(house.client.when_connected()).unwrap();
    result(house.client.start()).unwrap();
    assert_eq!(house.attempts.get(), 1, "who runs is not started twice");
}

#[test]
fn it_waits_longer_after_each_failure() {
    let house = house();
    result(house.client.start()).unwrap();
    house.network.run();
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(house.client.state(), ClientState::Waiting);
        let before = house.attempts.get();
        house.network.advance(Duration::from_millis(wait * 1000 - 1));
        assert_eq!(house.attempts.get(), before, "earlier than after {wait} s");
        house.network.advance(Duration::from_millis(1));
        assert_eq!(house.attempts.get(), before + 1);
    }
    // When somebody is there at last, it connects.
    let _port = house.listen();
    house.network.advance(SECOND * 60);
    assert_eq!(house.client.state(), ClientState::Connected);
}

#[test]
fn chance_makes_each_wait_shorter() {
    let backoff = Backoff::default();
    for failures in 0..40 {
        let bound = SECOND * (1 << failures.min(6)).min(60);
        assert!(backoff.wait(failures) <= bound);
    }
    let waits: std::collections::BTreeSet<_> = (0..32).map(|_| backoff.wait(6)).collect();
    assert!(waits.len() > 16, "{waits:?}");
    let none = Backoff::default().chance(|| 0.0);
    assert_eq!(none.wait(5), Duration::ZERO);
    let odd = Backoff::default().first(SECOND * 3).factor(1.5).max(SECOND * 5).chance(|| 1.0);
    let waits: Vec<_> = (0..4).map(|failures| odd.wait(failures).as_millis()).collect();
    assert_eq!(waits, [3_000, 4_500, 5_000, 5_000]);
}

#[test]
fn what_is_lost_is_made_again() {
    let house = house();
    let _port = house.listen();
    result(house.client.start()).unwrap();
    house.network.run();
    house.network.advance(SECOND * 10);
    house.network.cut_all();
    house.network.run();
    assert_eq!(house.client.state(), ClientState::Waiting);
    house.network.advance(SECOND);
    assert_eq!(house.client.state(), ClientState::Connected);
    assert_eq!(house.attempts.get(), 2);
}

#[test]
fn connections_that_do_not_last_do_not_shorten_the_wait() {
    let house = house();
    let _port = house.listen();
    result(house.client.start()).unwrap();
    house.network.run();
    for wait in [1, 2, 4] {
        house.network.cut_all();
        house.network.run();
        house.network.advance(SECOND * wait);
        assert_eq!(house.client.state(), ClientState::Connected, "after {wait} s");
    }
    // One that lasts does.
    house.network.advance(SECOND * 10);
    house.network.cut_all();
    house.network.run();
    house.network.advance(SECOND);
    assert_eq!(house.client.state(), ClientState::Connected);
}

#[test]
fn who_waits_for_so_many_attempts_hears_of_the_last() {
    let house = house();
    result(house.client.start()).unwrap();
    let patient = house.client.when_connected();
    let twice = house.client.when_connected_within(2);
    let again = house.client.when_connected_within(2);
    house.network.run();
    let (patient, twice) = (waits(patient), waits(twice));
    house.network.advance(SECOND);
    let failure = result(twice).unwrap_err();
    assert_eq!(*failure.check::<Disconnect>().unwrap(), Disconnect::Refused);
    assert!(result(again).is_err());
    let patient = waits(patient);
    result(house.client.stop()).unwrap();
    let failure = result(patient).unwrap_err();
    assert_eq!(*failure.check::<NoConnection>().unwrap(), NoConnection::Stopped);
}

#[test]
fn nobody_has_a_connection_before_it_is_prepared() {
    let House { network, client, attempts, .. } = &house();
    let _port = result(listen(&network.endpoint("far"), |_: &Address| Some(Echo))).unwrap();
    let preparing = Rc::<RefCell<Option<Promise<()>>>>::default();
    let keeps = Rc::clone(&preparing);
    let client = client.clone().prepare(move |conn| {
        conn.write(b"HELLO");
        let (promise, prepared) = deferred();
        keeps.replace(Some(promise));
        prepared
    });
    result(client.start()).unwrap();
    let connected = client.when_connected();
    network.run();
    assert_eq!(client.state(), ClientState::Preparing);
    let connected = waits(connected);
    // What cannot be prepared has failed, and is ended.
    let within = client.when_connected_within(1);
    preparing.take().unwrap().fail(Failure::new("wrong password"));
    network.run();
    assert_eq!(result(within).unwrap_err().error().to_string(), "wrong password");
    assert_eq!((client.state(), network.connections()), (ClientState::Waiting, 0));
    network.advance(SECOND);
    let connected = waits(connected);
    assert_eq!(attempts.get(), 2);
    preparing.take().unwrap().succeed(());
    network.run();
    result(connected).unwrap();
    assert_eq!(client.state(), ClientState::Connected);
}

#[test]
fn a_connection_that_is_lost_while_it_is_prepared_has_failed() {
    let House { network, client, .. } = &house();
    let _port = result(listen(&network.endpoint("far"), |_: &Address| Some(Echo))).unwrap();
    let preparing = Rc::<RefCell<Option<Promise<()>>>>::default();
    let keeps = Rc::clone(&preparing);
    let client = client.clone().prepare(move |_| {
        let (promise, prepared) = deferred();
        keeps.replace(Some(promise));
        prepared
    });
    result(client.start()).unwrap();
    network.run();
    network.cut_all();
    network.run();
    assert_eq!(client.state(), ClientState::Waiting);
    // What is prepared too late is not taken for a connection.
    preparing.take().unwrap().succeed(());
    network.run();
    assert_eq!(client.state(), ClientState::Waiting);
}

#[test]
fn a_stop_ends_the_connection_and_waits_for_its_end() {
    let house = house();
    let _port = house.listen();
    result(house.client.start()).unwrap();
    house.network.run();
    let stopped = waits(house.client.stop());
    assert_eq!(house.client.state(), ClientState::Stopping);
    let second = house.client.stop();
    house.network.run();
    result(stopped).unwrap();
    result(second).unwrap();
    assert_eq!((house.client.state(), house.network.connections()), (ClientState::Stopped, 0));
    house.network.advance(SECOND * 120);
    assert_eq!(house.attempts.get(), 1, "it goes on after the stop");
    result(house.client.stop()).unwrap();
}

#[test]
fn a_stop_gives_up_the_attempt_and_the_wait() {
    let house = house();
    result(house.client.start()).unwrap();
    let stopped = house.client.stop();
    house.network.run();
    result(stopped).unwrap();
    assert_eq!(house.client.state(), ClientState::Stopped);
    result(house.client.start()).unwrap();
    house.network.run();
    assert_eq!(house.client.state(), ClientState::Waiting);
    result(house.client.stop()).unwrap();
    house.clock.advance(SECOND * 60);
    assert_eq!(house.attempts.get(), 2);
}

#[test]
fn a_start_while_it_stops_begins_anew() {
    let house = house();
    let _port = house.listen();
    result(house.client.start()).unwrap();
    house.network.run();
    let stopped = house.client.stop();
    result(house.client.start()).unwrap();
    let connected = waits(house.client.when_connected());
    house.network.run();
    result(stopped).unwrap();
    result(connected).unwrap();
    assert_eq!(house.client.state(), ClientState::Connected);
    assert_eq!(house.attempts.get(), 2);
}

#[test]
fn who_no_longer_waits_takes_no_place() {
    let house = house();
    result(house.client.start()).unwrap();
    for _ in 0..3 {
        let given_up: Deferred<_> = house.client.when_connected();
        given_up.cancel();
        assert!(result(given_up).is_err());
    }
    let _port = house.listen();
    house.network.run();
    house.network.advance(SECOND);
    assert_eq!(house.client.state(), ClientState::Connected);
}
