//! Workers that are processes, with sockets that they share.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::process::{ChildDescriptor, Command};
use ropewalk_protocol::{Address, Conn, Disconnect, Factory, Port, Protocol, call_later, sleep};
use ropewalk_reactor::{DriverKind, ListeningPort, Reactor, TcpListenOptions};
use ropewalk_shards::{Binder, Worker, WorkerOptions, Workers};

use crate::kit::{Open, PATIENCE, any_driver, anywhere, on_each_driver};

on_each_driver! {
    every_worker_serves_and_all_stop,
    who_is_killed_comes_back_and_nobody_is_refused,
    a_reload_refuses_nobody,
}

/// Names the driver to the children.
const DRIVER: &str = "ROPEWALK_REACTOR";

/// Says the number of its process.
struct Pid(Rc<Open>);

impl Protocol for Pid {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&std::process::id().to_be_bytes());
        conn.close();
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn connection_lost(&mut self, _: &Conn<Self>, _: Disconnect) {
        self.0.one_less();
    }
}

#[derive(Default)]
struct Pids(Rc<Open>);

impl Factory for Pids {
    type Protocol = Pid;

    fn build(&mut self, _: &Address) -> Option<Pid> {
        self.0.one_more();
        Some(Pid(Rc::clone(&self.0)))
    }
}

fn listen(reactor: &Reactor, pids: Pids) -> ListeningPort {
    let options = TcpListenOptions::default();
    reactor.listen_tcp(anywhere(), options, Box::new(pids)).unwrap()
}

/// What the workers of these tests are: nothing, where it was not started as one.
#[test]
fn the_worker() {
    let Some(worker) = Worker::from_environment().unwrap() else { return };
    let reactor = Reactor::with_driver(any_driver()).unwrap();
    let ready = worker.join(&reactor).unwrap();
    let pids = Pids::default();
    let open = Rc::clone(&pids.0);
    let port = listen(&reactor, pids);
    reactor.before_stop(move || port.stop_listening().add_callback(move |()| open.all_gone()));
    call_later(&reactor, Duration::ZERO, move || ready.tell().unwrap());
    reactor.run().unwrap();
}

/// What the parent is that is killed in one of these tests.
#[test]
fn the_parent() {
    if std::env::var_os("ROPEWALK_TEST_PARENT").is_none() || is_worker() {
        return;
    }
    let reactor = Reactor::with_driver(any_driver()).unwrap();
    let (workers, _port) = start(&reactor, any_driver(), 2);
    let (watched, clock) = (workers, reactor.clone());
    let told = reactor.spawn(async move {
        until(&clock, || watched.states().iter().all(|state| state.is_ready)).await?;
        for state in watched.states() {
            println!("worker {}", state.process.unwrap());
        }
        Ok::<_, Failure>(())
    });
    told.detach();
    reactor.run().unwrap();
}

fn is_worker() -> bool {
    std::env::var_os("ROPEWALK_WORKER").is_some()
}

fn command(kind: DriverKind) -> Command {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "workers::the_worker", "--nocapture"])
        .env(DRIVER, kind.name())
        .descriptor(1, ChildDescriptor::Null)
        .descriptor(2, ChildDescriptor::Inherit(2))
}

fn start(reactor: &Reactor, kind: DriverKind, count: usize) -> (Workers, ListeningPort) {
    let binder = Binder::on(reactor);
    let port = listen(reactor, Pids::default());
    let options = WorkerOptions::default();
    let (spawner, clock) = (reactor.clone(), reactor.clone());
    let workers = Workers::start(spawner, clock, command(kind), binder.listeners(), count, options);
    (workers, port)
}

/// Waits until something is so.
async fn until(clock: &Reactor, mut is_so: impl FnMut() -> bool) -> Result<(), Failure> {
    let give_up = clock.precise_now() + PATIENCE;
    while !is_so() {
        assert!(clock.precise_now() < give_up, "it never came about");
        sleep(clock, Duration::from_millis(5)).await?;
    }
    Ok(())
}

/// The process that serves a connection.
fn ask(place: SocketAddr) -> u32 {
    let mut stream = TcpStream::connect(place).expect("nobody is refused");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut number = [0; 4];
    stream.read_exact(&mut number).expect("whoever connects is served");
    u32::from_be_bytes(number)
}

/// Runs a test with so many workers that are ready, and stops them in the end.
fn with_workers<F: Future<Output = Result<(), Failure>> + 'static>(
    kind: DriverKind,
    count: usize,
    test: impl FnOnce(Reactor, Workers, SocketAddr) -> F,
) {
    if is_worker() {
        return;
    }
    let reactor = Reactor::with_driver(kind).unwrap();
    let (workers, port) = start(&reactor, kind, count);
    let place = port.address().ip().unwrap();
    let (clock, watched) = (reactor.clone(), workers.clone());
    let test = test(reactor.clone(), workers.clone(), place);
    let whole = reactor.spawn(async move {
        until(&clock, || watched.states().iter().all(|state| state.is_ready)).await?;
        test.await?;
        let numbers: Vec<_> = watched.states().iter().filter_map(|state| state.process).collect();
        watched.stop().await?;
        for number in numbers {
            assert!(!lives(number), "{number} lives on");
        }
        Ok::<_, Failure>(())
    });
    reactor.run_until(whole).unwrap();
    assert_eq!(reactor.census().processes, 0);
}

fn lives(process: u32) -> bool {
    std::fs::exists(format!("/proc/{process}")).unwrap()
}

fn every_worker_serves_and_all_stop(kind: DriverKind) {
    with_workers(kind, 2, move |reactor, workers, place| async move {
        let states = workers.states();
        let numbers: Vec<_> = states.iter().map(|state| state.process.unwrap()).collect();
        assert_ne!(numbers[0], numbers[1]);
        if kind == DriverKind::IoUring {
            // The kernel accepts for whoever it has chosen, also while that one stands still.
            let ask = move || Ok::<_, Failure>(ask(place));
            let served = reactor.defer_to_thread(ask).await?;
            assert!(numbers.contains(&served));
            return Ok(());
        }
        // While one stands still, the other serves.
        for (still, other) in [(0, 1), (1, 0)] {
            signal(numbers[still], rustix::process::Signal::STOP);
            until(&reactor, || is_stopped(numbers[still])).await?;
            let served = reactor.defer_to_thread(move || Ok::<_, Failure>(ask(place))).await?;
            assert_eq!(served, numbers[other]);
            signal(numbers[still], rustix::process::Signal::CONT);
        }
        Ok(())
    });
}

/// Whether a process stands still.
fn is_stopped(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.starts_with('T')
}

fn signal(process: u32, signal: rustix::process::Signal) {
    let process = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

/// Threads that ask and ask until they are told to stop; each fails if it is ever refused.
struct Clients {
    done: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    threads: RefCell<Vec<std::thread::JoinHandle<()>>>,
}

impl Clients {
    fn start(place: SocketAddr) -> Self {
        let (done, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let threads = (0..3).map(|_| {
            let (done, asked) = (Arc::clone(&done), Arc::clone(&asked));
            let work = move || {
                while !done.load(Ordering::SeqCst) {
                    ask(place);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            };
            std::thread::Builder::new().spawn(work).unwrap()
        });
        Self { threads: RefCell::new(threads.collect()), done, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn end(&self) {
        self.done.store(true, Ordering::SeqCst);
        for thread in self.threads.take() {
            thread.join().unwrap();
        }
    }
}

fn who_is_killed_comes_back_and_nobody_is_refused(kind: DriverKind) {
    with_workers(kind, 1, |reactor, workers, place| async move {
        let first = workers.states()[0].process.unwrap();
        // It is asked nothing in the moment of its death, which would be lost with it.
        signal(first, rustix::process::Signal::KILL);
        until(&reactor, || !lives(first)).await?;
        let clients = Clients::start(place);
        until(&reactor, || workers.states()[0].is_ready && clients.asked() > 20).await?;
        clients.end();
        let state = workers.states()[0];
        assert_ne!(state.process, Some(first));
        assert_eq!(state.restarts, 1);
        Ok(())
    });
}

fn a_reload_refuses_nobody(kind: DriverKind) {
    with_workers(kind, 2, move |reactor, workers, place| async move {
        let before: Vec<_> = workers.states().iter().map(|state| state.process).collect();
        let clients = Rc::new(Clients::start(place));
        until(&reactor, || clients.asked() > 20).await?;
        workers.reload(command(kind)).await?;
        let asked = clients.asked();
        until(&reactor, || clients.asked() > asked + 20).await?;
        let old: Vec<_> = before.iter().map(|process| process.unwrap()).collect();
        until(&reactor, || old.iter().all(|process| !lives(*process))).await?;
        clients.end();
        let after: Vec<_> = workers.states().iter().map(|state| state.process).collect();
        assert!(after.iter().all(|process| process.is_some() && !before.contains(process)));
        Ok(())
    });
}

#[test]
fn workers_do_not_outlive_their_parent() {
    if is_worker() {
        return;
    }
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "workers::the_parent", "--nocapture"])
        .env("ROPEWALK_TEST_PARENT", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(parent.stdout.take().unwrap());
    let lines = said.lines().map(Result::unwrap);
    let numbers = lines.filter_map(|line| line.split_once("worker ")?.1.parse::<u32>().ok());
    let numbers: Vec<_> = numbers.take(2).collect();
    assert_eq!(numbers.len(), 2);
    assert!(numbers.iter().all(|number| lives(*number)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let reactor = Reactor::with_driver(any_driver()).unwrap();
    let clock = reactor.clone();
    let gone = reactor
        .spawn(async move { until(&clock, || numbers.iter().all(|number| !lives(*number))).await });
    reactor.run_until(gone).unwrap();
}
