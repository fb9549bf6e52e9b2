//! A datagram protocol on its port, as a driver sees it.

use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};

use super::page::Held;
use super::{DatagramPort, DatagramProtocol, DatagramQueue, SendError};
use crate::calls::Agenda as _;
use crate::flags::Flags;
use crate::page::CALLS_PER_TURN_MAX;
use crate::seat::guard;
use crate::{Address, Disconnect, Ending, Transport};

/// A datagram protocol on its port: told of events, then asked what it wishes.
///
/// Whoever carries datagrams drives one: a socket, a proxy's association, a test. The rules of
/// [`DatagramProtocol`] are kept here, once. A driver
///
/// 1. attaches the seat to itself before anything else, then tells it [`DatagramEvent::Started`];
/// 2. after one or several events takes the queue, sends what it can, gives back the rest, and carries
///    the other wishes out;
/// 3. tells [`DatagramEvent::Tick`] once it has room for what it gave back, after having sent that;
/// 4. tells [`DatagramEvent::Stopped`] exactly once, as the last event.
pub trait DatagramSeat {
    /// Names the carrier and the key by which it knows this port.
    fn attach(&mut self, transport: Rc<dyn Transport>, key: usize);

    /// Tells the protocol what happened, then makes the calls that are due.
    fn handle(&mut self, event: DatagramEvent<'_>);

    /// What the driver is to do.
    fn wishes(&self) -> DatagramWishes;

    /// Takes what is to be sent, if anything is.
    fn take_queue(&mut self) -> Option<Box<DatagramQueue>>;

    /// Gives back what was not sent yet, before any other event; also an empty queue.
    fn give_back(&mut self, queue: Box<DatagramQueue>);
}

/// What happens to a port.
#[derive(Clone, Copy, Debug)]
pub enum DatagramEvent<'a> {
    /// It is open.
    Started {
        /// It has one peer, and sends to and hears from that one only.
        connected: bool,
    },
    /// A datagram came.
    Received {
        /// The datagram.
        data: &'a [u8],
        /// Who sent it.
        from: &'a Address,
        /// This is only its beginning.
        truncated: bool,
    },
    /// Nobody receives at the peer that the port is connected to.
    Refused,
    /// A datagram could not be sent and was dropped, or one that was sent did not arrive.
    Unsent {
        /// Where it was to go, if not to the peer.
        to: Option<&'a Address>,
        /// Why it did not.
        why: SendError,
    },
    /// Nothing but time passed, or a note was written from outside, or the queue has moved.
    Tick,
    /// It is over; what comes later is ignored.
    Stopped(Disconnect),
}

/// What a seat wants from its driver.
#[derive(Clone, Copy, Debug)]
pub struct DatagramWishes {
    /// Datagrams are welcome.
    pub reading: bool,
    /// The port is to be closed.
    pub ending: Option<Ending>,
    /// When to tell [`DatagramEvent::Tick`], if nothing happens before.
    pub next_call: Option<Duration>,
}

/// Seats `protocol` on a port of its own.
pub fn seat_datagrams(protocol: impl DatagramProtocol) -> Box<dyn DatagramSeat> {
    Box::new(Pair { protocol, port: DatagramPort::new() })
}

/// Seats `protocol`; the deferred gives its handle once the port is open, or says why it was not.
/// Cancelling it gives the port up.
#[track_caller]
pub fn seat_datagrams_and_tell<P: DatagramProtocol>(
    protocol: P,
) -> (Box<dyn DatagramSeat>, Deferred<DatagramPort<P>>) {
    let port = DatagramPort::new();
    let (promise, opened) = deferred();
    let page = Rc::downgrade(&port.page);
    promise.on_cancel(move || {
        if let Some(page) = page.upgrade() {
            DatagramPort { page }.abort();
        }
    });
    port.page.tell(promise);
    (Box::new(Pair { protocol, port }), opened)
}

struct Pair<P: 'static> {
    protocol: P,
    port: DatagramPort<P>,
}

impl<P: DatagramProtocol> Pair<P> {
    fn tell(&mut self, event: DatagramEvent<'_>) {
        let Self { protocol, port } = self;
        let page = &port.page;
        match event {
            DatagramEvent::Started { connected } => {
                page.set(Flags::MADE);
                if connected {
                    page.set(Flags::CONNECTED);
                }
                // An attempt that was given up meanwhile is over before it begins.
                if !page.is_ending() {
                    protocol.started(port);
                }
                if let Some(promise) = page.take_told() {
                    promise.succeed(port.clone());
                }
            }
            DatagramEvent::Received { data, from, truncated } => {
                if page.may_read() && !page.has_held() {
                    receive(protocol, port, data, from, truncated);
                } else if !page.is_ending() {
                    page.hold(data, from, truncated);
                }
            }
            DatagramEvent::Refused if !page.is_ending() => protocol.connection_refused(port),
            DatagramEvent::Unsent { to, why } if !page.is(Flags::ABORTING) => {
                protocol.send_failed(port, to, why);
            }
            DatagramEvent::Refused
            | DatagramEvent::Unsent { .. }
            | DatagramEvent::Tick
            | DatagramEvent::Stopped(_) => (),
        }
    }

    /// Delivers what was held back while reading was paused.
    fn deliver_held(&mut self) {
        let Self { protocol, port } = self;
        while port.page.has_held() && port.page.may_read() {
            let Some(Held { data, from, truncated }) = port.page.take_held() else { return };
            receive(protocol, port, &data, &from, truncated);
        }
    }

    fn tell_of_room(&mut self) {
        let Self { protocol, port } = self;
        if port.page.is(Flags::ROOM_AGAIN) {
            port.page.clear(Flags::ROOM_AGAIN);
            if !port.page.is_ending() {
                protocol.writing_resumed(port);
            }
        }
    }

    fn make_calls(&mut self) {
        let newest = self.port.page.last_id().get();
        for _ in 0..CALLS_PER_TURN_MAX {
            if self.port.page.is(Flags::ABORTING) {
                return;
            }
            let Some(call) = self.port.page.take_due(newest) else { return };
            call.make(|turn| turn(&mut self.protocol, &self.port));
        }
    }

    fn stop(&mut self, why: Disconnect) {
        let Self { protocol, port } = self;
        let told = port.page.take_told();
        port.page.end();
        let why = if port.page.is(Flags::PANICKED) { Disconnect::Panicked } else { why };
        guard(|| protocol.stopped(port, why));
        if let Some(promise) = told {
            promise.fail(why);
        }
    }
}

fn receive<P: DatagramProtocol>(
    protocol: &mut P,
    port: &DatagramPort<P>,
    data: &[u8],
    from: &Address,
    truncated: bool,
) {
    if truncated {
        protocol.datagram_truncated(port, data, from);
    } else {
        protocol.datagram_received(port, data, from);
    }
}

impl<P: DatagramProtocol> DatagramSeat for Pair<P> {
    fn attach(&mut self, transport: Rc<dyn Transport>, key: usize) {
        self.port.page.attach(transport, key);
    }

    fn handle(&mut self, event: DatagramEvent<'_>) {
        if self.port.page.is(Flags::OVER) {
            return;
        }
        if let DatagramEvent::Stopped(why) = event {
            return self.stop(why);
        }
        self.port.page.enter();
        let survived = guard(|| {
            self.tell(event);
            self.deliver_held();
            self.tell_of_room();
            self.make_calls();
        });
        self.port.page.clear(Flags::IN_CALL);
        if !survived && matches!(event, DatagramEvent::Started { .. }) {
            self.port.page.set(Flags::PANICKED.or(Flags::ABORTING));
        }
    }

    fn wishes(&self) -> DatagramWishes {
        let page = &self.port.page;
        let ending = if page.is(Flags::PANICKED) {
            Some(Ending::Abort(Disconnect::Panicked))
        } else if page.is(Flags::ABORTING) {
            Some(Ending::Abort(Disconnect::Aborted))
        } else if page.is(Flags::CLOSING) {
            Some(Ending::Close)
        } else {
            None
        };
        // What a panic or a call that resumed reading has left, and news of room, wait for no event.
        let restless = page.is(Flags::ROOM_AGAIN) || (page.has_held() && page.may_read());
        let next_call = if restless { Some(page.now()) } else { page.next_call() };
        DatagramWishes { reading: page.may_read(), ending, next_call }
    }

    fn take_queue(&mut self) -> Option<Box<DatagramQueue>> {
        self.port.page.take_queue()
    }

    fn give_back(&mut self, queue: Box<DatagramQueue>) {
        self.port.page.give_back(queue);
    }
}
