//! A seat of whose end somebody else is told.

use std::rc::Rc;

use ropewalk_deferred::{Deferred, Promise, deferred};

use crate::seat::{Takes, seat_and_tell};
use crate::{Conn, Disconnect, Event, Outbox, Protocol, Seat, Successor, Transport, Wishes};

/// Seats `protocol`. The first deferred gives its handle once the connection is made, or says why it was
/// not; the second tells of the connection's end, after the protocol has been told, also where the
/// protocol has been switched or put on a layer meanwhile.
#[track_caller]
pub fn seat_and_watch<P: Protocol>(
    protocol: P,
) -> (Box<dyn Seat>, Deferred<Conn<P>>, Deferred<Disconnect>) {
    let (seat, made) = seat_and_tell(protocol);
    let (promise, lost) = deferred();
    (Box::new(Watched { seat, promise: Some(promise) }), made, lost)
}

struct Watched {
    seat: Box<dyn Seat>,
    promise: Option<Promise<Disconnect>>,
}

impl Seat for Watched {
    fn attach(&mut self, transport: Rc<dyn Transport>, key: usize) {
        self.seat.attach(transport, key);
    }

    fn handle(&mut self, event: Event<'_>) {
        self.seat.handle(event);
        if let Event::Lost(why) = event
            && let Some(promise) = self.promise.take()
        {
            promise.succeed(why);
        }
    }

    fn wishes(&self) -> Wishes {
        self.seat.wishes()
    }

    fn take_output(&mut self) -> Option<Box<Outbox>> {
        self.seat.take_output()
    }

    fn take_successor(&mut self) -> Option<Successor> {
        let mut successor = self.seat.take_successor()?;
        if let Takes::Over(next) = successor.takes {
            // From now on it is the successor's end that matters.
            let next = Self { seat: next, promise: self.promise.take() };
            successor.takes = Takes::Over(Box::new(next));
        }
        Some(successor)
    }
}
