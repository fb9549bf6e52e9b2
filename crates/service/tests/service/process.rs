//! Programs that are kept running: processes that are none, and a clock that the tests move.

use std::time::Duration;

use ropewalk_protocol::process::{Command, ExitStatus, ProcessEnd, Signal, SpawnFault};
use ropewalk_service::{Backoff, ProcessService, ProcessState, Service as _, Supervision};
use ropewalk_trial::{Clock, FakeProcess, FakeProcesses};

use crate::kit::{result, waits};

const SECOND: Duration = Duration::from_secs(1);

struct House {
    clock: Clock,
    processes: FakeProcesses,
    service: ProcessService,
}

fn house() -> House {
    let clock = Clock::new();
    let processes = FakeProcesses::new(&clock);
    let command = Command::new("worker");
    let service = ProcessService::new("worker", processes.clone(), clock.clone(), command);
    let service =
        service.supervision(Supervision::default().backoff(Backoff::default().chance(|| 1.0)));
    House { clock, processes, service }
}

impl House {
    fn next(&self) -> FakeProcess {
        self.clock.advance(Duration::ZERO);
        self.processes.take_next().expect("a process is started")
    }

    fn start(&self) -> FakeProcess {
        let started = waits(self.service.start());
        self.clock.advance(Duration::ZERO);
        result(started).unwrap();
        self.next()
    }
}

#[test]
fn it_runs_once_it_is_started() {
    let house = house();
    assert_eq!(house.service.state(), ProcessState::Stopped);
    house.start();
    assert!(matches!(house.service.state(), ProcessState::Running(_)));
    result(house.service.start()).unwrap();
    house.clock.advance(Duration::ZERO);
    assert!(house.processes.take_next().is_none(), "who runs is not started twice");
}

#[test]
fn a_program_that_is_not_there_is_why_it_does_not_start() {
    let house = house();
    house.processes.refuse_next(SpawnFault::NotFound);
    let started = house.service.start();
    house.clock.advance(Duration::ZERO);
    let failure = result(started).unwrap_err();
    assert!(matches!(failure.check::<ProcessEnd>(), Some(ProcessEnd::NotStarted(_))));
    assert_eq!(house.service.state(), ProcessState::Stopped);
    house.clock.advance(SECOND * 120);
    assert!(house.processes.take_next().is_none());
}

#[test]
fn it_comes_back_later_each_time_until_it_lasts() {
    let house = house();
    let mut process = house.start();
    for (restarts, wait) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        process.exit(ExitStatus::Exited(1));
        assert_eq!(house.service.state(), ProcessState::Waiting);
        house.clock.advance((SECOND * wait).saturating_sub(Duration::from_millis(1)));
        assert!(house.processes.take_next().is_none(), "earlier than after {wait} s");
        house.clock.advance(Duration::from_millis(1));
        process = house.next();
        assert_eq!(house.service.restarts(), restarts as u64 + 1);
    }
    house.clock.advance(SECOND);
    process.exit(ExitStatus::SUCCESS);
    house.clock.advance(SECOND);
    house.next();
}

#[test]
fn what_cannot_be_started_again_is_tried_again() {
    let house = house();
    house.start().exit(ExitStatus::SUCCESS);
    house.processes.refuse_next(SpawnFault::NotFound);
    house.clock.advance(SECOND);
    assert_eq!(house.service.state(), ProcessState::Waiting);
    house.clock.advance(SECOND * 2);
    house.next();
}

#[test]
fn it_is_asked_to_stop_and_killed_after_the_grace() {
    let house = house();
    let process = house.start();
    let stopped = house.service.stop();
    house.clock.advance(SECOND * 4);
    assert_eq!(process.signals(), [Signal::Terminate]);
    let stopped = waits(stopped);
    assert!(result(house.service.start()).is_err(), "it is still there");
    let second = house.service.stop();
    house.clock.advance(SECOND);
    assert_eq!(process.signals(), [Signal::Terminate, Signal::Kill]);
    house.clock.advance(Duration::ZERO);
    result(stopped).unwrap();
    result(second).unwrap();
    house.clock.advance(SECOND * 120);
    assert!(house.processes.take_next().is_none(), "it came back after the stop");
    house.start();
}

#[test]
fn a_stop_ends_the_wait() {
    let house = house();
    house.start().exit(ExitStatus::SUCCESS);
    result(house.service.stop()).unwrap();
    house.clock.advance(SECOND * 120);
    assert!(house.processes.take_next().is_none());
}

#[test]
fn a_stop_before_it_runs_holds() {
    let house = house();
    let started = house.service.start();
    let stopped = house.service.stop();
    let process = house.next();
    assert_eq!(process.signals(), [Signal::Terminate]);
    process.exit(ExitStatus::SUCCESS);
    house.clock.advance(Duration::ZERO);
    result(stopped).unwrap();
    assert!(result(started).is_err());
    assert_eq!(house.service.state(), ProcessState::Stopped);
}

#[test]
fn what_it_writes_is_taken_off_its_hands() {
    let house = house();
    let process = house.start();
    process.push_out(b"one\ntwo");
    process.push_err(b"oh no\n");
    assert!(process.is_reading(1) && process.is_reading(2));
    process.exit(ExitStatus::SUCCESS);
    assert_eq!(house.service.state(), ProcessState::Waiting);
}
