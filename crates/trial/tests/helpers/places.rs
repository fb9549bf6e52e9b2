//! `MemoryNetwork`, `ClockThreads`, and the clock.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{
    Address, Clock as _, Conn, Credentials, Disconnect, Port, Protocol, call_later, connect,
    defer_to_threads, listen, seat,
};
use ropewalk_trial::{Clock, ClockThreads, Memory, MemoryNetwork, Note, Witness};

struct Echo;

impl Protocol for Echo {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.call_later(Duration::from_secs(5), |_, conn| conn.close());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

#[test]
fn a_service_is_reached_by_name_and_lives_on_the_clock() {
    let clock = Clock::new();
    let network = MemoryNetwork::new(&clock).in_chunks_of(2);
    let port = listen(&network.endpoint("echo"), |peer: &Address| {
        assert_eq!(peer.to_string(), "memory:echo#2");
        Some(Echo)
    });
    let port: Box<dyn Port> = port.now_or_never().expect("at once").expect("the name is free");
    assert_eq!(port.address().to_string(), "memory:echo");
    let (client, notes) = Witness::new(|conn, note| match note {
        Note::Made => conn.write(b"hello"),
        Note::Eof => conn.close(),
        _ => (),
    });
    drop(connect(&network.endpoint("memory:echo"), client));
    assert_eq!(notes.all(), []);
    network.run();
    let pieces = [&b"he"[..], b"ll", b"o"].map(|piece| Note::Data(piece.to_vec()));
    assert_eq!(notes.all()[1..], pieces);
    network.advance(Duration::from_secs(5));
    assert_eq!(notes.lost(), Some(Disconnect::Closed));
    assert_eq!(network.connections(), 0);
    drop(port.stop_listening());
    let (late, refused) = Witness::quiet();
    let nobody = connect(&network.endpoint("echo"), late);
    network.run();
    assert!(nobody.now_or_never().expect("it is told").is_err());
    assert_eq!(refused.all(), [Note::Lost(Disconnect::Refused)]);
}

#[test]
fn one_name_has_one_listener_and_a_cut_network_loses_all() {
    let network = MemoryNetwork::new(&Clock::new());
    let endpoint = network.endpoint("taken");
    let first = listen(&endpoint, |_: &Address| Some(Echo));
    let second = listen(&endpoint, |_: &Address| Some(Echo));
    assert!(first.now_or_never().expect("at once").is_ok());
    assert!(second.now_or_never().expect("at once").is_err());
    let (client, notes) = Witness::quiet();
    drop(connect(&endpoint, client));
    network.run();
    assert_eq!(network.connections(), 1);
    network.cut_all();
    assert_eq!(notes.lost(), Some(Disconnect::Reset));
}

#[test]
fn work_takes_its_time_on_the_clock() {
    let clock = Clock::new();
    let threads = ClockThreads::new(&clock, Duration::from_secs(2));
    let done = Rc::new(Cell::new(0));
    let flag = Rc::clone(&done);
    drop(defer_to_threads(&threads, || Ok::<_, Failure>(7)).map(move |value| flag.set(value)));
    clock.advance(Duration::from_millis(1999));
    assert_eq!(done.get(), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(done.get(), 7);
}

#[test]
fn a_clock_goes_on_until_something_holds_or_the_time_is_over() {
    let clock = Clock::new();
    let count = Rc::new(Cell::new(0));
    for seconds in 1..=5 {
        let counter = Rc::clone(&count);
        call_later(&clock, Duration::from_secs(seconds), move || counter.set(counter.get() + 1));
    }
    assert!(clock.until(Duration::from_mins(1), || count.get() == 3));
    assert_eq!(clock.now(), Duration::from_secs(3));
    assert!(!clock.until(Duration::from_millis(1500), || count.get() == 5));
    assert_eq!((clock.now(), count.get()), (Duration::from_millis(4500), 4));
    assert!(!clock.until(Duration::from_mins(1), || false));
    assert_eq!((clock.now(), count.get()), (Duration::from_millis(64_500), 5));
}

#[test]
fn a_clock_may_go_on_by_itself() {
    let clock = Clock::new();
    clock.set_auto_advance(Duration::from_secs(1));
    assert_eq!([clock.now(), clock.now()], [Duration::ZERO, Duration::from_secs(1)]);
    clock.set_auto_advance(Duration::ZERO);
    assert_eq!(clock.now(), clock.now());
}

#[test]
fn a_protocol_in_memory_can_ask_who_is_at_the_other_end() {
    let root = Credentials { process: None, user: 7, group: 7 };
    let (witness, _) = Witness::new(|conn, note| {
        if *note == Note::Made {
            let user = conn.credentials().map(|credentials| credentials.user);
            conn.write(format!("{user:?}").as_bytes());
        }
    });
    let memory = Memory::with_credentials(seat(witness), &Clock::new(), root);
    assert_eq!(memory.sent(), b"Some(7)");
}
