//! Many processes at once, and ends at any moment.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk_protocol::process::{
    ChildDescriptor, Command, ExitStatus, Process, ProcessEnd, ProcessProtocol, Signal,
    Spawner as _, seat_process,
};
use ropewalk_reactor::{DriverKind, Reactor};

use super::kit::{end_of, sh, start};
use crate::kit::{on_each_driver, reactor, turn_until};

on_each_driver! {
    of_a_storm_of_processes_none_is_lost,
    processes_killed_at_any_moment_are_told_of,
}

/// How many processes each driver sees come and go: five drivers make five thousand.
const STORM: usize = 1000;
/// How many of them there are at a time.
const AT_A_TIME: usize = 24;

/// Starts the next when its own has ended.
struct Errand {
    storm: Rc<Storm>,
    number: usize,
    said: Vec<u8>,
}

struct Storm {
    reactor: Reactor,
    begun: Cell<usize>,
    ended: RefCell<Vec<bool>>,
    left: Cell<usize>,
}

impl Storm {
    fn next(self: &Rc<Self>) {
        let number = self.begun.get();
        if number == STORM {
            return;
        }
        self.begun.set(number + 1);
        let command = Command::new("/bin/sh")
            .args(["-c", "echo $1; exit $2", "sh"])
            .arg(number.to_string())
            .arg((number % 200).to_string())
            .descriptor(0, ChildDescriptor::Null);
        let protocol = Errand { storm: Rc::clone(self), number, said: Vec::new() };
        self.reactor.spawn_seat(&command, seat_process(protocol));
    }
}

impl ProcessProtocol for Errand {
    fn out_received(&mut self, _: &Process<Self>, data: &[u8]) {
        self.said.extend_from_slice(data);
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        let code = (self.number % 200) as i32;
        assert_eq!(*end, ProcessEnd::Exited(ExitStatus::Exited(code)));
        assert_eq!(self.said, format!("{}\n", self.number).into_bytes());
        assert!(!std::mem::replace(&mut self.storm.ended.borrow_mut()[self.number], true));
        self.storm.left.set(self.storm.left.get() - 1);
        self.storm.next();
    }
}

fn of_a_storm_of_processes_none_is_lost(kind: DriverKind) {
    let reactor = reactor(kind);
    let storm = Rc::new(Storm {
        reactor: reactor.clone(),
        begun: Cell::new(0),
        ended: RefCell::new(vec![false; STORM]),
        left: Cell::new(STORM),
    });
    for _ in 0..AT_A_TIME {
        storm.next();
    }
    // A patience for each hundred, as the machine may have others to serve.
    for hundred in (0..STORM).step_by(100).rev() {
        turn_until(&reactor, || storm.left.get() <= hundred);
    }
    assert!(storm.ended.borrow().iter().all(|ended| *ended));
    assert_eq!(reactor.census().processes, 0);
    assert_eq!(reactor.census().watches, 0);
}

fn processes_killed_at_any_moment_are_told_of(kind: DriverKind) {
    for seed in 0..40_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut chance = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let reactor = reactor(kind);
        let command = match chance(3) {
            0 => sh("head -c 100000 /dev/zero; echo done >&2"),
            1 => Command::new("cat"),
            _ => Command::new("cat").arg("/dev/zero"),
        };
        let seen = start(&reactor, &command);
        for _ in 0..chance(6) {
            let _ = reactor.turn(std::time::Duration::from_millis(1));
        }
        let process = seen.process.borrow().clone();
        match (process, chance(3)) {
            (Some(process), 0) => {
                process.write(&vec![b'x'; chance(200_000) as usize]);
                let _ = process.kill();
            }
            (Some(process), 1) => process.abort(),
            (Some(process), _) => {
                process.close_all();
                let _ = process.signal(Signal::Terminate);
            }
            (None, _) => {
                turn_until(&reactor, || seen.process.borrow().is_some());
                let _ = seen.process().kill();
            }
        }
        let end = end_of(&reactor, &seen);
        assert!(end.status().is_some(), "seed {seed}: {end:?}");
        assert_eq!(seen.events().iter().filter(|event| *event == "ended").count(), 1);
        assert_eq!(reactor.census().processes, 0, "seed {seed}");
    }
}
