//! Processes: programs that are started, spoken with through pipes and reaped.

mod child;
mod orphans;
mod pipes;
mod plan;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ropewalk_protocol::Disconnect;
use ropewalk_protocol::process::{Command, ProcessSeat, SpawnError, SpawnFault, Spawner};

use crate::Reactor;
use crate::inner::{Inner, Request};
use crate::sys::Driver;
use crate::under_way::Kind;
use child::{Child, Watcher};

/// How much is read of one pipe in one turn.
const READ_SIZE: usize = 64 * 1024;

/// The processes of a reactor.
#[derive(Default)]
pub(crate) struct Processes {
    children: RefCell<BTreeMap<u64, Rc<Child>>>,
    /// What pipes are read into, out while a protocol has it.
    buffer: RefCell<Vec<u8>>,
    /// Watches for a signal, where no descriptor tells of a child's end.
    watcher: RefCell<Option<Watcher>>,
    /// How many children it watches for.
    by_signal: Cell<usize>,
}

impl Processes {
    pub(crate) fn len(&self) -> usize {
        self.children.borrow().len()
    }

    /// Each process, and what it is.
    pub(crate) fn all(&self) -> Vec<(usize, String)> {
        let children = self.children.borrow();
        children.iter().map(|(id, child)| (*id as usize, child.name())).collect()
    }

    fn get(&self, id: u64) -> Option<Rc<Child>> {
        self.children.borrow().get(&id).cloned()
    }

    /// Ends what goes on: everybody is told, unless there is no end to it.
    pub(crate) fn end_all(&self, tell: bool) {
        let children = self.children.take();
        for child in children.into_values() {
            child.lose(tell.then_some(Disconnect::Stopped));
        }
        self.watcher.take();
        orphans::reap();
    }

    fn take_buffer(&self) -> Vec<u8> {
        let mut buffer = self.buffer.take();
        buffer.resize(READ_SIZE, 0);
        buffer
    }

    fn give_back(&self, buffer: Vec<u8>) {
        // An idle reactor with no process needs none.
        if self.len() > 0 {
            self.buffer.replace(buffer);
        }
    }
}

/// Starts processes with pipes, terminals and descriptors of this process's.
///
/// The program is started during this call, which takes as long as the system takes to get to it: some
/// hundred microseconds, or longer where the command names a user, a group or a terminal in a process with
/// much memory. What it is told and tells goes through the loop. SIGPIPE has to be ignored, as Rust's
/// programs have it, so that writing to a program that is gone ends nothing but the pipe.
///
/// ```
/// use ropewalk_protocol::process::{Command, output_of};
/// use ropewalk_reactor::Reactor;
///
/// let reactor = Reactor::new()?;
/// let output = reactor.run_until(output_of(&reactor, &Command::new("echo").arg("hello")))?;
/// assert!(output.status.is_success());
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
impl Spawner for Reactor {
    #[track_caller]
    fn spawn_seat(&self, command: &Command, seat: Box<dyn ProcessSeat>) {
        let inner = self.inner();
        orphans::reap();
        let started = if inner.carrier.platform().is_some() {
            let fault =
                SpawnFault::Unsupported("no programs are started on a host that is made up");
            Err(SpawnError { program: command.program().to_owned(), fault })
        } else {
            plan::start(command)
        };
        let id = inner.next_id();
        let child = Child::new(inner, id, command, seat, started);
        inner.processes.children.borrow_mut().insert(id, child);
        inner.origins.note(Kind::Process, id as usize);
        inner.request(Request::StartProcess { id });
    }
}

impl Inner {
    /// Tells a process's protocol how its start went.
    pub(crate) fn start_process(self: &Rc<Self>, driver: &mut dyn Driver, id: u64) {
        if let Some(child) = self.processes.get(id) {
            child.begin(self, driver);
        }
    }
}
