//! A seat of whose end somebody else is told.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk_deferred::{Deferred, Promise, deferred};

use crate::seat::{Takes, seat_and_tell};
use crate::{
    Conn, Disconnect, Ending, Event, Outbox, Protocol, Seat, Successor, Transport, Wishes,
};

/// Seats `protocol`. The first deferred gives its handle once the connection is made, or says why it was
/// not; the second tells of the connection's end, after the protocol has been told, also where the
/// protocol has been switched or put on a layer meanwhile.
#[track_caller]
pub fn seat_and_watch<P: Protocol>(
    protocol: P,
) -> (Box<dyn Seat>, Deferred<Conn<P>>, Deferred<Disconnect>) {
    seat_on(Rc::default(), protocol)
}

/// The same on a thread that can be cut, whatever the connection's protocol is by then.
#[track_caller]
pub(crate) fn seat_on<P: Protocol>(
    thread: Rc<Thread>,
    protocol: P,
) -> (Box<dyn Seat>, Deferred<Conn<P>>, Deferred<Disconnect>) {
    let (seat, made) = seat_and_tell(protocol);
    let (promise, lost) = deferred();
    (Box::new(Watched { seat, promise: Some(promise), thread }), made, lost)
}

/// What a connection hangs by.
#[derive(Default)]
pub(crate) struct Thread {
    carrier: RefCell<Option<(Rc<dyn Transport>, usize)>>,
    is_cut: Cell<bool>,
}

impl Thread {
    /// Ends the connection now.
    pub(crate) fn cut(&self) {
        self.is_cut.set(true);
        let carrier = self.carrier.borrow().clone();
        if let Some((transport, key)) = carrier {
            transport.wake(key);
        }
    }
}

struct Watched {
    seat: Box<dyn Seat>,
    promise: Option<Promise<Disconnect>>,
    thread: Rc<Thread>,
}

impl Seat for Watched {
    fn attach(&mut self, transport: Rc<dyn Transport>, key: usize) {
        self.thread.carrier.replace(Some((Rc::clone(&transport), key)));
        self.seat.attach(transport, key);
    }

    fn handle(&mut self, event: Event<'_>) {
        self.seat.handle(event);
        if let Event::Lost(why) = event
            && let Some(promise) = self.promise.take()
        {
            self.thread.carrier.take();
            promise.succeed(why);
        }
    }

    fn wishes(&self) -> Wishes {
        let wishes = self.seat.wishes();
        if self.thread.is_cut.get() {
            return Wishes { ending: Some(Ending::Abort(Disconnect::Aborted)), ..wishes };
        }
        wishes
    }

    fn take_output(&mut self) -> Option<Box<Outbox>> {
        self.seat.take_output()
    }

    fn take_successor(&mut self) -> Option<Successor> {
        let mut successor = self.seat.take_successor()?;
        if let Takes::Over(next) = successor.takes {
            // From now on it is the successor's end that matters.
            let (promise, thread) = (self.promise.take(), Rc::clone(&self.thread));
            successor.takes = Takes::Over(Box::new(Self { seat: next, promise, thread }));
        }
        Some(successor)
    }

    fn tell_names(&self, tell: &mut dyn FnMut(&'static str)) {
        self.seat.tell_names(tell);
    }
}
