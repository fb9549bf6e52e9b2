//! What the tests have in common.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, ClientEndpoint, Disconnect, Event, Seat};
use ropewalk_trial::{Clock, Memory};

pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// What comes of it when somebody connects.
#[derive(Clone, Copy, Default)]
pub(crate) enum Answer {
    #[default]
    Made,
    Late,
    Refused,
}

/// A place to connect to, whose other side is the test.
#[derive(Clone, Default)]
pub(crate) struct Far(pub(crate) Rc<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) clock: Clock,
    pub(crate) answer: Cell<Answer>,
    pub(crate) made: RefCell<Vec<Memory>>,
    pub(crate) waiting: RefCell<Vec<Box<dyn Seat>>>,
}

impl Far {
    pub(crate) fn answering(answer: Answer) -> Self {
        let far = Self::default();
        far.0.answer.set(answer);
        far
    }

    pub(crate) fn on(clock: &Clock, answer: Answer) -> Self {
        let inner = Inner { clock: clock.clone(), answer: Cell::new(answer), ..Inner::default() };
        Self(Rc::new(inner))
    }

    /// The connection that was made last.
    pub(crate) fn take(&self) -> Memory {
        self.0.made.borrow_mut().pop().expect("a connection")
    }
}

impl ClientEndpoint for Far {
    fn connect_seat(&self, mut seat: Box<dyn Seat>) {
        match self.0.answer.get() {
            Answer::Made => {
                let memory = Memory::take_seat(seat, &self.0.clock);
                self.0.made.borrow_mut().push(memory);
            }
            Answer::Late => self.0.waiting.borrow_mut().push(seat),
            Answer::Refused => seat.handle(Event::Lost(Disconnect::Refused)),
        }
    }
}

pub(crate) fn ip(text: &str) -> Address {
    Address::Ip(text.parse().expect("an address and a port"))
}
