//! A protocol that remembers what its process does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ropewalk_protocol::process::{
    Command, ExitStatus, Output, Process, ProcessEnd, ProcessProtocol, SpawnError, output_of, spawn,
};
use ropewalk_reactor::{DriverKind, Reactor};

use crate::kit::{reactor, turn_until};

/// What a [`Witness`] was told, in order.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) process: RefCell<Option<Process<Witness>>>,
    pub(super) events: RefCell<Vec<String>>,
    pub(super) output: RefCell<BTreeMap<u32, Vec<u8>>>,
    pub(super) exited: Cell<Option<ExitStatus>>,
    pub(super) ended: RefCell<Option<ProcessEnd>>,
}

impl Seen {
    pub(super) fn process(&self) -> Process<Witness> {
        self.process.borrow().clone().unwrap()
    }

    pub(super) fn text(&self, descriptor: u32) -> String {
        let output = self.output.borrow();
        String::from_utf8(output.get(&descriptor).cloned().unwrap_or_default()).unwrap()
    }

    pub(super) fn events(&self) -> Vec<String> {
        self.events.borrow().clone()
    }

    fn note(&self, event: String) {
        assert!(self.ended.borrow().is_none(), "{event} after the end");
        self.events.borrow_mut().push(event);
    }
}

type Beginning = Box<dyn FnOnce(&Process<Witness>)>;

/// Notes down what it is told, after having begun as it was told to.
pub(super) struct Witness {
    seen: Rc<Seen>,
    beginning: Option<Beginning>,
}

impl ProcessProtocol for Witness {
    fn started(&mut self, process: &Process<Self>) {
        self.seen.note("started".to_owned());
        self.seen.process.replace(Some(process.clone()));
        if let Some(beginning) = self.beginning.take() {
            beginning(process);
        }
    }

    fn output_received(&mut self, _: &Process<Self>, descriptor: u32, data: &[u8]) {
        assert!(!data.is_empty() && self.seen.ended.borrow().is_none());
        let closed = format!("closed {descriptor}");
        assert!(!self.seen.events.borrow().contains(&closed), "output after its end");
        self.seen.output.borrow_mut().entry(descriptor).or_default().extend_from_slice(data);
    }

    fn descriptor_closed(&mut self, _: &Process<Self>, descriptor: u32) {
        self.seen.note(format!("closed {descriptor}"));
    }

    fn writing_paused(&mut self, _: &Process<Self>, descriptor: u32) {
        self.seen.note(format!("paused {descriptor}"));
    }

    fn writing_resumed(&mut self, _: &Process<Self>, descriptor: u32) {
        self.seen.note(format!("resumed {descriptor}"));
    }

    fn exited(&mut self, process: &Process<Self>, status: ExitStatus) {
        assert_eq!(process.status(), Some(status));
        self.seen.note("exited".to_owned());
        self.seen.exited.set(Some(status));
    }

    fn ended(&mut self, process: &Process<Self>, end: &ProcessEnd) {
        assert!(process.is_over());
        self.seen.note("ended".to_owned());
        self.seen.ended.replace(Some(end.clone()));
    }
}

/// Starts a command.
pub(super) fn start(reactor: &Reactor, command: &Command) -> Rc<Seen> {
    start_with(reactor, command, |_| ())
}

/// Starts a command, and has its protocol begin so.
pub(super) fn start_with(
    reactor: &Reactor,
    command: &Command,
    beginning: impl FnOnce(&Process<Witness>) + 'static,
) -> Rc<Seen> {
    let seen = Rc::new(Seen::default());
    let beginning: Option<Beginning> = Some(Box::new(beginning));
    let witness = Witness { seen: Rc::clone(&seen), beginning };
    spawn(reactor, command, witness).on_result(|result| {
        if let Err(failure) = result {
            let is_known = failure.check::<SpawnError>().is_some();
            assert!(is_known || failure.check::<ProcessEnd>().is_some(), "{failure:?}");
        }
    });
    seen
}

/// Turns until it is all over; answers how it ended.
#[track_caller]
pub(super) fn end_of(reactor: &Reactor, seen: &Seen) -> ProcessEnd {
    turn_until(reactor, || seen.ended.borrow().is_some());
    seen.ended.borrow().clone().unwrap()
}

/// A shell with this script.
pub(super) fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

/// Runs a command to its end.
#[track_caller]
pub(super) fn run(kind: DriverKind, command: &Command) -> Output {
    let reactor = reactor(kind);
    reactor.run_until(output_of(&reactor, command)).unwrap()
}

/// What a script writes to its standard output.
#[track_caller]
pub(super) fn said(kind: DriverKind, command: &Command) -> String {
    let output = run(kind, command);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.is_success(), "{:?}: {complaint}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Whether this process has a child of that number, be it alive or a zombie.
pub(super) fn is_there(id: u32) -> bool {
    std::fs::metadata(format!("/proc/{id}")).is_ok()
}
