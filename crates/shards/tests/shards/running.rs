//! Starting, stopping and failing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use ropewalk_deferred::Panicked;
use ropewalk_protocol::call_later;
use ropewalk_reactor::{CannotListen, DriverKind, Exit, TcpListenOptions, UnixListenOptions};
use ropewalk_shards::{Dealing, ShardFailed, Shards, cores, shards};

use crate::kit::{Numbers, PATIENCE, all_of, any_driver, connect, on_each_driver, serve};

on_each_driver! {
    a_stop_in_order_loses_nothing_that_was_accepted,
    one_shard_that_fails_ends_all_and_is_named,
    unix_sockets_are_shared,
}

fn a_stop_in_order_loses_nothing_that_was_accepted(kind: DriverKind) {
    let shards = Shards::new(2).driver(kind).signals(false);
    let (handle, made) = (shards.handle(), Arc::<AtomicUsize>::default());
    let (sender, places) = channel();
    let server = Arc::clone(&made);
    let running = std::thread::Builder::new()
        .spawn(move || {
            shards.run(|shard| {
                let (open, port) = serve(shard, &server, &sender)?;
                shard.reactor().before_stop(move || {
                    // Before it has stopped, the last who wait are still let in.
                    port.stop_listening().add_callback(move |()| open.all_gone())
                });
                Ok(())
            })
        })
        .unwrap();
    let place = all_of(&places, 2)[0];
    let (served, done) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (served, done) = (Arc::clone(&served), Arc::clone(&done));
            let client = move || {
                while !done.load(Ordering::SeqCst) {
                    ask(place, &served);
                }
            };
            std::thread::Builder::new().spawn(client).unwrap()
        })
        .collect();
    while served.load(Ordering::SeqCst) < 200 {
        std::thread::yield_now();
    }
    handle.stop();
    running.join().unwrap().unwrap();
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    // Who was not accepted any more does not count; who was has had all that it asked for.
    assert_eq!(made.load(Ordering::SeqCst), served.load(Ordering::SeqCst));
}

/// One conversation; counted if it came to its end.
fn ask(place: SocketAddr, served: &AtomicUsize) {
    let Ok(mut stream) = TcpStream::connect(place) else { return };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut heard = [0; 4];
    if stream.write_all(b"abc").is_ok() && stream.read_exact(&mut heard).is_ok() {
        assert_eq!(heard[1..], *b"abc");
        served.fetch_add(1, Ordering::SeqCst);
    }
}

fn one_shard_that_fails_ends_all_and_is_named(kind: DriverKind) {
    let (sender, places) = channel();
    let made = Arc::<AtomicUsize>::default();
    let running = std::thread::Builder::new()
        .spawn(move || {
            Shards::new(3).driver(kind).signals(false).messages::<()>(1).run(|shard| {
                serve(shard, &made, &sender)?;
                let here = shard.clone();
                shard.on_message(move |_, ()| here.fail(std::io::Error::other("out of paper")));
                if shard.index() == 0 {
                    // Once they all run.
                    let here = shard.clone();
                    call_later(shard.reactor(), Duration::ZERO, move || here.send(2, ()).unwrap());
                }
                Ok(())
            })
        })
        .unwrap();
    let places = all_of(&places, 3);
    let failed = running.join().unwrap().unwrap_err();
    assert_eq!((failed.shard, failed.to_string().as_str()), (2, "shard 2 failed"));
    assert_eq!(failed.failure.error().to_string(), "out of paper");
    // Nobody listens there any more.
    TcpListener::bind(places[0]).unwrap();
}

#[test]
fn a_panic_is_carried_to_whoever_waits() {
    let failed = shards(3, |_, index| {
        assert!(index != 1, "one is unlucky");
        Ok(())
    });
    let ShardFailed { shard, failure } = failed.unwrap_err();
    assert_eq!(shard, 1);
    assert_eq!(failure.check::<Panicked>().unwrap().message(), "one is unlucky");
}

#[test]
fn a_place_that_is_taken_is_the_first_shards_failure() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let place = taken.local_addr().unwrap();
    let failed = Shards::new(2).driver(any_driver()).signals(false).run(|shard| {
        let numbers = Numbers { shard: shard.index(), made: Arc::default(), open: Rc::default() };
        shard.reactor().listen_tcp(place, TcpListenOptions::default(), Box::new(numbers))?;
        Ok(())
    });
    let failed = failed.unwrap_err();
    assert_eq!(failed.shard, 0);
    let refused = failed.failure.check::<CannotListen>().unwrap();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn nobody_runs_before_all_have_started() {
    let started = AtomicUsize::new(0);
    let seen = Arc::<AtomicUsize>::default();
    let exit = Shards::new(4).driver(any_driver()).signals(false).run(|shard| {
        // They start one after the other.
        assert_eq!(started.fetch_add(1, Ordering::SeqCst), shard.index());
        let (reactor, seen) = (shard.reactor().clone(), Arc::clone(&seen));
        call_later(shard.reactor(), Duration::ZERO, move || {
            seen.fetch_add(1, Ordering::SeqCst);
            reactor.stop();
        });
        Ok(())
    });
    assert_eq!(exit.unwrap(), Exit::Stopped);
    assert_eq!(started.load(Ordering::SeqCst), 4);
}

#[test]
fn a_stop_before_they_run_holds() {
    let shards = Shards::new(2).driver(any_driver()).signals(false);
    shards.handle().stop();
    assert_eq!(shards.run(|_| Ok(())).unwrap(), Exit::Stopped);
}

#[test]
fn who_is_not_to_wait_does_not() {
    let shards = Shards::new(2).driver(any_driver()).signals(false);
    let handle = shards.handle();
    let (sender, waiting) = channel();
    let running = std::thread::Builder::new()
        .spawn(move || {
            shards.run(|shard| {
                let sender = sender.clone();
                // Never fired while it waits.
                let (promise, never) = ropewalk_deferred::deferred::<()>();
                let kept = std::cell::RefCell::new(Some(promise));
                shard.reactor().before_stop(move || {
                    sender.send(()).unwrap();
                    never
                });
                call_later(shard.reactor(), Duration::from_hours(1), move || drop(kept.take()));
                Ok(())
            })
        })
        .unwrap();
    handle.stop();
    all_of(&waiting, 2);
    handle.stop_now();
    running.join().unwrap().unwrap();
}

#[test]
fn the_first_waits_for_the_last() {
    let ended = Arc::<AtomicUsize>::default();
    let exit = Shards::new(3).driver(any_driver()).signals(false).run(|shard| {
        let (ended, clock) = (Arc::clone(&ended), shard.reactor().clone());
        if shard.index() > 0 {
            shard.reactor().before_stop(move || {
                let (promise, later) = ropewalk_deferred::deferred();
                call_later(&clock, Duration::from_millis(20), move || {
                    ended.fetch_add(1, Ordering::SeqCst);
                    promise.succeed(());
                });
                later
            });
        } else {
            shard.reactor().stop();
        }
        Ok(())
    });
    assert_eq!(exit.unwrap(), Exit::Stopped);
    assert_eq!(ended.load(Ordering::SeqCst), 2);
}

fn unix_sockets_are_shared(kind: DriverKind) {
    let folder = std::env::temp_dir().join(format!("shards-{}-{kind}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let shards = Shards::new(2).driver(kind).signals(false).dealing(Dealing::default());
    let (handle, made) = (shards.handle(), Arc::<AtomicUsize>::default());
    let (sender, ready) = channel();
    let (listening, counter) = (path.clone(), Arc::clone(&made));
    let running = std::thread::Builder::new()
        .spawn(move || {
            shards.run(|shard| {
                let numbers = Numbers {
                    shard: shard.index(),
                    made: Arc::clone(&counter),
                    open: Rc::default(),
                };
                let options = UnixListenOptions::default();
                shard.reactor().listen_unix(&listening, options, Box::new(numbers))?;
                let sender = sender.clone();
                call_later(shard.reactor(), Duration::ZERO, move || sender.send(()).unwrap());
                Ok(())
            })
        })
        .unwrap();
    all_of(&ready, 2);
    let mut counts = [0_usize; 2];
    let open: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut shard = [0];
            stream.read_exact(&mut shard).unwrap();
            counts[usize::from(shard[0])] += 1;
            stream
        })
        .collect();
    assert!(counts[0].abs_diff(counts[1]) <= 2, "{counts:?}");
    handle.stop();
    running.join().unwrap().unwrap();
    drop(open);
    assert_eq!(made.load(Ordering::SeqCst), 20);
    assert!(!path.exists(), "the socket is left behind");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn pinned_shards_stay_on_a_core_each() {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let own = || {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect::<Vec<_>>()
    };
    let before = own();
    let (sender, told) = channel();
    let pinned = Shards::new(2).driver(any_driver()).signals(false).pinned(true);
    pinned
        .run(|shard| {
            sender.send(own())?;
            shard.reactor().stop();
            Ok(())
        })
        .unwrap();
    let cores: Vec<_> = told.try_iter().collect();
    assert_eq!(cores[0], [before[0]]);
    assert_eq!(cores[1], [before[1 % before.len()]]);
    assert_eq!(own(), before);
}

#[test]
fn there_is_a_core() {
    assert!(cores() >= 1);
}

#[test]
fn connections_go_on_while_others_come() {
    // Handing over works in both directions under many at once.
    let made = crate::kit::while_serving(any_driver(), 2, Dealing::default(), |places| {
        let place = places[0];
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let client = move || (0..50).for_each(|_| drop(connect(place)));
                std::thread::Builder::new().spawn(client).unwrap()
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
    });
    assert_eq!(made, 300);
}
