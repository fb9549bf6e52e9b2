//! Workers that are none: the test is the program, and moves the clock.

use std::time::Duration;

use ropewalk_protocol::process::{Command, ExitStatus, Signal};
use ropewalk_shards::{Listeners, NotReady, WorkerOptions, Workers};
use ropewalk_trial::{Clock, FakeProcess, FakeProcesses};

/// The descriptor by which a worker says that it is ready.
const READY: u32 = 4;

struct House {
    clock: Clock,
    processes: FakeProcesses,
    workers: Workers,
}

fn house(count: usize) -> House {
    let clock = Clock::new();
    let processes = FakeProcesses::new(&clock);
    let (listeners, options) = (Listeners::default(), WorkerOptions::default());
    let command = Command::new("server");
    let workers =
        Workers::start(processes.clone(), clock.clone(), command, listeners, count, options);
    clock.advance(Duration::ZERO);
    House { clock, processes, workers }
}

impl House {
    fn next(&self) -> FakeProcess {
        self.clock.advance(Duration::ZERO);
        self.processes.take_next().expect("a process is started")
    }

    fn ready(&self) -> FakeProcess {
        let process = self.next();
        process.push(READY, b"1");
        self.clock.advance(Duration::ZERO);
        process
    }
}

#[test]
fn each_has_its_number() {
    let house = house(3);
    for index in 0..3 {
        let process = house.next();
        let variable = process.command().variable("ROPEWALK_WORKER".as_ref(), None).unwrap();
        let expected = format!("{}:{index}:0", std::process::id());
        assert_eq!(variable.to_str().unwrap(), expected);
    }
    assert!(house.processes.take_next().is_none());
}

#[test]
fn who_dies_comes_back_later_each_time() {
    let house = house(1);
    let mut wait: Duration = Duration::from_millis(100);
    for deaths in 1..12 {
        house.ready().exit(ExitStatus::Exited(1));
        house.clock.advance(wait.saturating_sub(Duration::from_millis(1)));
        assert!(house.processes.take_next().is_none(), "too early after {deaths} deaths");
        house.clock.advance(Duration::from_millis(1));
        assert_eq!(house.workers.states()[0].restarts, deaths);
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

#[test]
fn who_has_lived_long_comes_back_soon() {
    let house = house(1);
    for _ in 0..4 {
        house.ready().exit(ExitStatus::Exited(1));
        house.clock.advance(Duration::from_secs(30));
    }
    let process = house.ready();
    house.clock.advance(Duration::from_secs(10));
    process.exit(ExitStatus::Exited(1));
    house.clock.advance(Duration::from_millis(100));
    house.next();
}

#[test]
fn all_are_asked_to_stop_and_killed_after_the_grace() {
    let house = house(2);
    let (first, second) = (house.ready(), house.ready());
    let stopped = house.workers.stop();
    house.clock.advance(Duration::ZERO);
    assert_eq!(first.signals(), [Signal::Terminate]);
    first.exit(ExitStatus::SUCCESS);
    house.clock.advance(Duration::from_secs(29));
    let Err(stopped) = stopped.try_take() else { panic!("one still runs") };
    assert_eq!(second.signals(), [Signal::Terminate]);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(second.signals(), [Signal::Terminate, Signal::Kill]);
    house.clock.advance(Duration::ZERO);
    stopped.now_or_never().expect("all have ended").unwrap();
    house.clock.advance(Duration::from_mins(1));
    assert!(house.processes.take_next().is_none(), "one was started again");
}

#[test]
fn who_waits_to_come_back_does_not_after_a_stop() {
    let house = house(1);
    house.ready().exit(ExitStatus::Exited(1));
    house.workers.stop().now_or_never().expect("there is none").unwrap();
    house.clock.advance(Duration::from_mins(1));
    assert!(house.processes.take_next().is_none());
}

#[test]
fn who_has_not_started_yet_is_stopped_as_soon_as_it_has() {
    let clock = Clock::new();
    let processes = FakeProcesses::new(&clock);
    let (listeners, options) = (Listeners::default(), WorkerOptions::default());
    let command = Command::new("server");
    let workers = Workers::start(processes.clone(), clock.clone(), command, listeners, 1, options);
    let stopped = workers.stop();
    clock.advance(Duration::ZERO);
    let process = processes.take_next().unwrap();
    assert_eq!(process.signals(), [Signal::Terminate]);
    process.exit(ExitStatus::SUCCESS);
    clock.advance(Duration::ZERO);
    stopped.now_or_never().expect("it has ended").unwrap();
}

#[test]
fn who_is_not_ready_in_time_is_killed() {
    let house = house(1);
    let process = house.next();
    house.clock.advance(Duration::from_secs(29));
    assert_eq!(process.signals(), []);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(process.signals(), [Signal::Kill]);
    house.clock.advance(Duration::from_millis(100));
    house.next();
}

#[test]
fn successors_take_over_one_by_one() {
    let house = house(2);
    let old = [house.ready(), house.ready()];
    let reloaded = house.workers.reload(Command::new("newer"));
    let first = house.next();
    assert_eq!(first.command().program(), "newer");
    assert!(old.iter().all(|process| process.signals().is_empty()), "stopped too early");
    assert!(house.processes.take_next().is_none(), "both at once");
    first.push(READY, b"1");
    house.clock.advance(Duration::ZERO);
    assert_eq!(old[0].signals(), [Signal::Terminate]);
    let second = house.ready();
    assert_eq!(old[1].signals(), [Signal::Terminate]);
    reloaded.now_or_never().expect("both are ready").unwrap();
    // The end of the old ones is no death.
    for process in &old {
        process.exit(ExitStatus::SUCCESS);
    }
    house.clock.advance(Duration::from_mins(1));
    assert!(house.processes.take_next().is_none());
    assert!(!first.is_over() && !second.is_over());
}

#[test]
fn a_successor_that_dies_leaves_the_old_one_in_place() {
    let house = house(2);
    let old = [house.ready(), house.ready()];
    let reloaded = house.workers.reload(Command::new("broken"));
    house.next().exit(ExitStatus::Exited(2));
    house.clock.advance(Duration::ZERO);
    let failure = reloaded.now_or_never().expect("it is over").unwrap_err();
    let NotReady { worker, end } = failure.check::<NotReady>().unwrap();
    assert_eq!(*worker, 0);
    assert_eq!(end.as_ref().unwrap().status(), Some(ExitStatus::Exited(2)));
    assert!(old.iter().all(|process| process.signals().is_empty()));
    // Who dies from now on comes back as what it was.
    old[0].exit(ExitStatus::Exited(1));
    house.clock.advance(Duration::from_millis(100));
    assert_eq!(house.next().command().program(), "server");
}

#[test]
fn a_successor_that_is_too_slow_leaves_the_old_one_in_place() {
    let house = house(1);
    let old = house.ready();
    let reloaded = house.workers.reload(Command::new("slow"));
    let slow = house.next();
    house.clock.advance(Duration::from_secs(30));
    assert_eq!(slow.signals(), [Signal::Kill]);
    let failure = reloaded.now_or_never().expect("it is over").unwrap_err();
    assert_eq!(*failure.check::<NotReady>().unwrap(), NotReady { worker: 0, end: None });
    assert_eq!(old.signals(), []);
}
