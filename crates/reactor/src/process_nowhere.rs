//! Where no processes are started yet.

use ropewalk_protocol::process::{
    Command, ProcessEvent, ProcessSeat, SpawnError, SpawnFault, Spawner,
};
use std::cell::RefCell;
use std::rc::Rc;

use crate::Reactor;
use crate::inner::{Inner, Request};
use crate::sys::Driver;

/// Those who wait to hear that no process is started for them.
#[derive(Default)]
pub(crate) struct Processes {
    refused: RefCell<Vec<(u64, Box<dyn ProcessSeat>, SpawnError)>>,
}

impl Processes {
    pub(crate) fn len(&self) -> usize {
        self.refused.borrow().len()
    }

    pub(crate) fn all(&self) -> Vec<(usize, String)> {
        Vec::new()
    }

    pub(crate) fn end_all(&self, tell: bool) {
        for (_, mut seat, error) in self.refused.take() {
            if tell {
                seat.handle(ProcessEvent::NotStarted(error));
            }
        }
    }
}

impl Spawner for Reactor {
    fn spawn_seat(&self, command: &Command, seat: Box<dyn ProcessSeat>) {
        let fault = SpawnFault::Unsupported("no processes are started on this system yet");
        let error = SpawnError { program: command.program().to_owned(), fault };
        let id = self.inner().next_id();
        self.inner().processes.refused.borrow_mut().push((id, seat, error));
        self.inner().request(Request::StartProcess { id });
    }
}

impl Inner {
    pub(crate) fn start_process(self: &Rc<Self>, _: &mut dyn Driver, id: u64) {
        let mut refused = self.processes.refused.borrow_mut();
        let Some(place) = refused.iter().position(|(known, ..)| *known == id) else { return };
        let (_, mut seat, error) = refused.remove(place);
        drop(refused);
        seat.handle(ProcessEvent::NotStarted(error));
    }
}
