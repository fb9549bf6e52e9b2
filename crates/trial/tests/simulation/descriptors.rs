//! Descriptors between two ends on one simulated host.

use std::cell::{Cell, RefCell};
use std::io::{PipeWriter, Read, Write, pipe};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, CannotPass, Conn, Descriptor, Disconnect, Protocol, seat, seat_and_tell,
};
use ropewalk_reactor::{ConnectOptions, ListeningPort, Reactor, UnixListenOptions};
use ropewalk_trial::{Link, Random, Simulation};

use crate::kit::{Note, connect, echo_at, witness};

const PLACE: &str = "/socket";

/// A descriptor that can be told by what it holds, and its other end.
fn held(text: &str) -> (Descriptor, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    (reader.into(), writer)
}

fn is_closed(mut writer: &PipeWriter) -> bool {
    writer.write(b"x").is_err()
}

/// Takes so many at once, and pauses now and then.
struct Taker {
    at_once: usize,
    random: Random,
    told: Rc<RefCell<String>>,
    lost: Rc<Cell<Option<Disconnect>>>,
}

impl Taker {
    fn may_pause(&mut self, conn: &Conn<Self>) {
        if self.random.chance(0.2) {
            conn.pause_reading();
            let wait = Duration::from_millis(self.random.between(1, 500));
            conn.call_later(wait, |_, conn| conn.resume_reading());
        }
    }
}

impl Protocol for Taker {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        if self.at_once > 0 {
            conn.accept_descriptors(self.at_once).unwrap();
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.told.borrow_mut().push_str(str::from_utf8(data).unwrap());
        self.may_pause(conn);
    }

    fn descriptor_received(&mut self, conn: &Conn<Self>, descriptor: Descriptor) {
        // Its other end may be open still.
        let mut name = [0; 16];
        let count = descriptor.into_file().read(&mut name).unwrap();
        let name = format!("<{}>", str::from_utf8(&name[..count]).unwrap());
        self.told.borrow_mut().push_str(&name);
        self.may_pause(conn);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.lost.set(Some(why));
    }
}

type Told = (Rc<RefCell<String>>, Rc<Cell<Option<Disconnect>>>);

fn listen(host: &Reactor, seed: u64, at_once: usize) -> (ListeningPort, Told) {
    let told: Told = Default::default();
    let (text, lost) = (Rc::clone(&told.0), Rc::clone(&told.1));
    let factory = Box::new(move |_: &Address| {
        let (told, lost) = (Rc::clone(&text), Rc::clone(&lost));
        Some(Taker { at_once, random: Random::new(seed), told, lost })
    });
    let options = UnixListenOptions::default();
    (host.listen_unix(Path::new(PLACE), options, factory).unwrap(), told)
}

#[test]
fn whatever_the_weather_they_come_in_order_before_their_bytes() {
    for seed in 0..60 {
        let simulation = Simulation::new(seed);
        let host = simulation.host("here");
        let mut random = Random::new(seed);
        simulation.link("here", "here", Link::rough(&mut random));
        simulation.patience(Duration::from_hours(24));
        let (_port, (told, lost)) = listen(&host, seed, 3);
        let wanted = Rc::new(RefCell::new(String::new()));
        let script = Rc::clone(&wanted);
        let (sender, heard) = witness(move |conn, note| {
            if *note != Note::Made {
                return;
            }
            for index in 0..random.between(1, 20) {
                for _ in 0..random.below(4) {
                    conn.send_descriptor(held(&index.to_string()).0).unwrap();
                    let name = format!("<{index}>");
                    script.borrow_mut().push_str(&name);
                }
                let text = "x".repeat(random.between(1, 800) as usize);
                conn.write(text.as_bytes());
                script.borrow_mut().push_str(&text);
            }
            conn.close();
        });
        let options = ConnectOptions::default().timeout(Duration::from_hours(1));
        host.connect_unix(Path::new(PLACE), options, seat(sender));
        assert!(simulation.until(|| lost.get().is_some() && heard.lost().is_some()), "seed {seed}");
        assert!(*told.borrow() == *wanted.borrow(), "seed {seed}: {told:?}");
        assert_eq!(lost.get(), Some(Disconnect::Closed), "seed {seed}");
    }
}

#[test]
fn nothing_is_left_of_those_under_way_when_a_connection_ends() {
    for seed in 0..50 {
        let simulation = Simulation::new(seed);
        let host = simulation.host("here");
        simulation.patience(Duration::from_hours(1));
        // Some accept them, others do not.
        let (_port, (_, lost)) = listen(&host, seed, (seed % 2) as usize);
        let (seat, made) = seat_and_tell(witness(|_, _| ()).0);
        host.connect_unix(Path::new(PLACE), ConnectOptions::default(), seat);
        let made = Rc::new(RefCell::new(Some(made)));
        let waiting = Rc::clone(&made);
        let conn = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&conn);
        if let Some(made) = waiting.borrow_mut().take() {
            made.on_result(move |made| {
                slot.replace(made.ok());
            });
        }
        assert!(simulation.until(|| conn.borrow().is_some()));
        let conn = conn.borrow().clone().unwrap();
        let ends: Vec<_> = (0..10)
            .map(|_| {
                let (descriptor, end) = held("x");
                conn.send_descriptor(descriptor).unwrap();
                conn.write(&vec![b'x'; 30_000]);
                end
            })
            .collect();
        simulation.run_for(Duration::from_millis(seed));
        conn.abort();
        assert!(simulation.until(|| lost.get().is_some()), "seed {seed}");
        simulation.run_for(Duration::from_secs(1));
        assert!(ends.iter().all(is_closed), "seed {seed}");
    }
}

#[test]
fn more_at_once_than_accepted_end_the_connection() {
    let simulation = Simulation::new(1);
    let host = simulation.host("here");
    let (_port, (told, lost)) = listen(&host, 1, 2);
    let (sender, _) = witness(|conn, note| {
        if *note == Note::Made {
            for _ in 0..3 {
                conn.send_descriptor(held("x").0).unwrap();
            }
            conn.write(b"x");
        }
    });
    host.connect_unix(Path::new(PLACE), ConnectOptions::default(), seat(sender));
    assert!(simulation.until(|| lost.get().is_some()));
    assert_eq!(lost.get(), Some(Disconnect::DescriptorsLost));
    assert_eq!(*told.borrow(), "");
}

#[test]
fn connections_between_hosts_refuse_them() {
    let simulation = Simulation::new(1);
    let (server, client) = (simulation.host("server"), simulation.host("client"));
    let address = simulation.address("server", 7);
    let _port = echo_at(&server, address);
    let (sender, heard) = witness(|conn, note| {
        if *note == Note::Made {
            assert_eq!(conn.send_descriptor(held("x").0), Err(CannotPass::Unsupported));
            assert_eq!(conn.accept_descriptors(1), Err(CannotPass::Unsupported));
            conn.close();
        }
    });
    connect(&client, address, sender);
    assert!(simulation.until(|| heard.lost().is_some()));
    assert_eq!(heard.lost(), Some(Disconnect::Closed));
}
