//! Streams between simulated hosts.

use std::time::Duration;

use ropewalk_protocol::{Disconnect, Port as _, seat};
use ropewalk_reactor::{ConnectOptions, TcpListenOptions};
use ropewalk_trial::{Link, Machine, Random, Simulation};

use crate::kit::{Note, connect, echo_at, pattern, witness};

fn two(seed: u64) -> (Simulation, ropewalk_reactor::Reactor, ropewalk_reactor::Reactor) {
    let simulation = Simulation::new(seed);
    let (server, client) = (simulation.host("server"), simulation.host("client"));
    (simulation, server, client)
}

#[test]
fn whatever_the_weather_an_echo_comes_back_whole() {
    for seed in 0..200 {
        let (simulation, server, client) = two(seed);
        let mut random = Random::new(seed);
        simulation.link_from("client", "server", Link::rough(&mut random));
        simulation.link_from("server", "client", Link::rough(&mut random));
        simulation.patience(Duration::from_hours(24));
        let address = simulation.address("server", 7);
        echo_at(&server, address);
        let sent = pattern(random.between(1, 1000) as usize);
        let question = sent.clone();
        let (asker, heard) = witness(move |conn, note| match note {
            Note::Made => {
                conn.write(&question);
                conn.close_write();
            }
            Note::Eof => conn.close(),
            _ => (),
        });
        // The first packet may be lost more than once.
        let options = ConnectOptions::default().timeout(Duration::from_hours(1));
        client.connect_tcp(address, options, seat(asker));
        assert!(simulation.until(|| heard.lost().is_some()), "seed {seed}");
        assert!(heard.data() == sent, "seed {seed}: {:?}", heard.all());
        assert_eq!(heard.lost(), Some(Disconnect::Closed), "seed {seed}");
        simulation.run_for(Duration::from_hours(1));
        assert_eq!(client.census().connections, 0, "seed {seed}");
        assert_eq!(server.census().connections, 0, "seed {seed}");
        assert_eq!((simulation.descriptors("client"), simulation.descriptors("server")), (0, 1));
    }
}

#[test]
fn what_takes_time_takes_it_on_the_simulated_clock() {
    let (simulation, server, client) = two(1);
    let slow = Link::default().latency(Duration::from_millis(100)).jitter(Duration::ZERO);
    simulation.link("client", "server", slow.bandwidth(10_000));
    let address = simulation.address("server", 7);
    echo_at(&server, address);
    let (asker, heard) = witness(|conn, note| {
        if *note == Note::Made {
            conn.write(&[7; 10_000]);
        }
    });
    connect(&client, address, asker);
    assert!(simulation.until(|| heard.has(&Note::Made)));
    let connected = simulation.now();
    assert!((200..250).contains(&connected.as_millis()), "{connected:?}");
    assert!(simulation.until(|| heard.data().len() == 10_000));
    let echoed = simulation.now().saturating_sub(connected);
    assert!(
        (1200..2500).contains(&echoed.as_millis()),
        "a second each way, in part at once: {echoed:?}"
    );
}

#[test]
fn nobody_there_is_told_as_on_any_network() {
    let (simulation, _server, client) = two(2);
    let refused = simulation.address("server", 7);
    let nowhere = "192.0.2.1:7".parse().unwrap();
    for (address, why) in [(refused, Disconnect::Refused), (nowhere, Disconnect::Unreachable)] {
        let (asker, heard) = witness(|_, _| ());
        connect(&client, address, asker);
        assert!(simulation.until(|| heard.lost().is_some()));
        assert_eq!(heard.all(), [Note::Lost(why)]);
    }
    let (asker, heard) = witness(|_, _| ());
    client.connect_name("nobody", 7, ConnectOptions::default(), seat(asker));
    assert!(simulation.until(|| heard.lost().is_some()));
    assert_eq!(heard.all(), [Note::Lost(Disconnect::UnknownHost)]);
    simulation.partition("client", "server");
    let (asker, heard) = witness(|_, _| ());
    let before = simulation.now();
    connect(&client, refused, asker);
    assert!(simulation.until(|| heard.lost().is_some()));
    assert_eq!(heard.all(), [Note::Lost(Disconnect::TimedOut)]);
    assert_eq!(simulation.now().saturating_sub(before).as_secs(), 30);
}

#[test]
fn hosts_are_found_by_name_and_a_port_by_asking() {
    let (simulation, server, client) = two(3);
    let port = echo_at(&server, simulation.address("server", 0));
    let bound = port.address().ip().unwrap();
    let (asker, heard) = witness(|conn, note| match note {
        Note::Made => {
            assert_eq!(conn.peer().ip().unwrap().ip().to_string(), "10.0.0.1");
            assert_eq!(conn.local().ip().unwrap().ip().to_string(), "10.0.0.2");
            conn.write(b"x");
        }
        Note::Data(_) => conn.close(),
        _ => (),
    });
    client.connect_name("server", bound.port(), ConnectOptions::default(), seat(asker));
    assert!(simulation.until(|| heard.lost().is_some()));
    assert_eq!(heard.data(), b"x");
    let factory = Box::new(|_: &ropewalk_protocol::Address| Some(crate::kit::Echo));
    let taken = server.listen_tcp(bound, TcpListenOptions::default(), factory).unwrap_err();
    assert_eq!(taken.error.kind(), std::io::ErrorKind::AddrInUse);
    let factory = Box::new(|_: &ropewalk_protocol::Address| Some(crate::kit::Echo));
    let foreign =
        server.listen_tcp(simulation.address("client", 1), TcpListenOptions::default(), factory);
    assert_eq!(foreign.unwrap_err().error.kind(), std::io::ErrorKind::AddrNotAvailable);
}

#[test]
fn a_partition_delays_streams_and_ends_them_when_it_lasts() {
    let (simulation, server, client) = two(4);
    let address = simulation.address("server", 7);
    echo_at(&server, address);
    let (asker, heard) = witness(|conn, note| {
        if let Note::Made = note {
            conn.write(b"one");
        }
    });
    let (seat, conn) = ropewalk_protocol::seat_and_tell(asker);
    client.connect_tcp(address, ConnectOptions::default(), seat);
    let conn = simulation.run_until(conn).unwrap();
    assert!(simulation.until(|| heard.data() == b"one"));
    simulation.partition("client", "server");
    conn.write(b"two");
    simulation.run_for(Duration::from_secs(20));
    assert_eq!(heard.data(), b"one");
    simulation.heal("client", "server");
    assert!(simulation.until(|| heard.data() == b"onetwo"));
    simulation.partition("client", "server");
    conn.write(b"three");
    assert!(simulation.until(|| heard.lost().is_some()));
    assert_eq!(heard.lost(), Some(Disconnect::TimedOut));
}

#[test]
fn a_stream_can_be_reset_at_any_byte() {
    for limit in 1..40_usize {
        let (simulation, server, client) = two(5);
        simulation.link_from("client", "server", Link::default().reset_after(limit as u64));
        let address = simulation.address("server", 7);
        let (listener, got) = witness(|_, _| ());
        let mut listener = Some(listener);
        let factory = Box::new(move |_: &ropewalk_protocol::Address| listener.take());
        server.listen_tcp(address, TcpListenOptions::default(), factory).unwrap();
        let (asker, heard) = witness(|conn, note| {
            if *note == Note::Made {
                conn.write(&pattern(40));
            }
        });
        connect(&client, address, asker);
        assert!(simulation.until(|| heard.lost().is_some() && got.lost().is_some()));
        assert_eq!(got.data(), pattern(limit));
        assert_eq!((heard.lost(), got.lost()), (Some(Disconnect::Reset), Some(Disconnect::Reset)));
    }
}

#[test]
fn a_host_without_descriptors_turns_away_and_goes_on() {
    let simulation = Simulation::new(6);
    let server = simulation.host_with("server", Machine::default().descriptors(4));
    let client = simulation.host("client");
    let address = simulation.address("server", 7);
    echo_at(&server, address);
    let all: Vec<_> = (0..8)
        .map(|_| {
            let (asker, heard) = witness(|conn, note| {
                if *note == Note::Made {
                    conn.write(b"hello");
                }
            });
            let (seat, conn) = ropewalk_protocol::seat_and_tell(asker);
            client.connect_tcp(address, ConnectOptions::default(), seat);
            (simulation.run_until(conn).unwrap(), heard)
        })
        .collect();
    simulation.run_for(Duration::from_secs(10));
    let served = all.iter().filter(|(_, heard)| heard.data() == b"hello").count();
    let turned_away =
        all.iter().filter(|(_, heard)| heard.has(&Note::Eof) || heard.lost().is_some());
    assert_eq!((served, turned_away.count()), (3, 5));
    for (conn, _) in &all {
        conn.close();
    }
    simulation.run_for(Duration::from_secs(1));
    let (asker, heard) = witness(|conn, note| {
        if *note == Note::Made {
            conn.write(b"again");
        }
    });
    connect(&client, address, asker);
    assert!(simulation.until(|| heard.data() == b"again"));
}

#[test]
fn a_crashed_peer_is_noticed_when_it_is_spoken_to() {
    let (simulation, server, client) = two(8);
    let address = simulation.address("server", 7);
    echo_at(&server, address);
    let (asker, heard) = witness(|_, _| ());
    let (seat, conn) = ropewalk_protocol::seat_and_tell(asker);
    client.connect_tcp(address, ConnectOptions::default(), seat);
    let conn = simulation.run_until(conn).unwrap();
    simulation.run_for(Duration::from_secs(1));
    simulation.crash("server");
    simulation.run_for(Duration::from_mins(1));
    assert_eq!(heard.all(), [Note::Made]);
    conn.write(b"anybody there?");
    assert!(simulation.until(|| heard.lost().is_some()));
    assert_eq!(heard.all(), [Note::Made, Note::Lost(Disconnect::Reset)]);
    assert_eq!(server.census().listeners, 0);
}

#[test]
fn clocks_drift_as_they_are_told() {
    let simulation = Simulation::new(9);
    let fast = simulation.host_with("fast", Machine::default().drift(100_000));
    let slow = simulation.host_with("slow", Machine::default().drift(-100_000));
    let seconds = Duration::from_secs(90);
    let (early, late) =
        (ropewalk_protocol::sleep(&fast, seconds), ropewalk_protocol::sleep(&slow, seconds));
    simulation.run_until(early).unwrap();
    let first = simulation.now().as_secs_f64();
    simulation.run_until(late).unwrap();
    let second = simulation.now().as_secs_f64();
    assert!((first - 90.0 / 1.1).abs() < 0.01, "{first}");
    assert!((second - 90.0 / 0.9).abs() < 0.01, "{second}");
}

#[test]
fn a_host_can_be_run_by_hand_and_work_and_tasks_take_their_time() {
    let (simulation, server, client) = two(10);
    let address = simulation.address("server", 7);
    echo_at(&server, address);
    let (asker, heard) = witness(|conn, note| match note {
        Note::Made => conn.write(b"x"),
        Note::Data(_) => conn.close(),
        _ => (),
    });
    connect(&client, address, asker);
    let waiter = client.clone();
    let outcome = client.run_until(client.spawn(async move {
        let doubled =
            waiter.defer_to_thread(|| Ok::<_, ropewalk_deferred::Failure>(21 * 2)).await?;
        ropewalk_protocol::sleep(&waiter, Duration::from_secs(5)).await?;
        Ok::<_, ropewalk_deferred::Failure>(doubled)
    }));
    assert_eq!(outcome.unwrap(), 42);
    assert!(simulation.now() >= Duration::from_secs(5));
    assert_eq!(heard.lost(), Some(Disconnect::Closed));
    let stopper = client.clone();
    ropewalk_protocol::call_later(&client, Duration::from_hours(1), move || stopper.stop());
    client.run().unwrap();
    assert!(simulation.now() >= Duration::from_hours(1));
}

#[test]
fn a_wait_without_end_says_what_was_under_way() {
    let (simulation, server, client) = two(11);
    echo_at(&server, simulation.address("server", 7));
    let (_promise, never) = ropewalk_deferred::deferred::<()>();
    let failure = simulation.run_until(never).unwrap_err();
    let said = failure.to_string();
    assert!(said.contains("server: a listener at 10.0.0.1:7"), "{said}");
    assert!(said.contains("asked for at crates/trial/tests/simulation/kit.rs:"), "{said}");
    assert!(said.contains("server: an open socket that listens at 10.0.0.1:7"), "{said}");
    let (_promise, never) = ropewalk_deferred::deferred::<()>();
    let failure = client.run_until(never).unwrap_err();
    assert!(format!("{failure:?}").contains("what was waited for does not come"), "{failure:?}");
}
