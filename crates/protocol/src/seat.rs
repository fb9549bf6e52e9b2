//! A protocol on its connection, as a driver sees it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Panicked, deferred};

use crate::calls::Agenda as _;
use crate::flags::Flags;
use crate::page::CALLS_PER_TURN_MAX;
use crate::{Arrival, Conn, Descriptor, Disconnect, Outbox, Protocol, Transport};

/// How long a peer may leave the last output unread before a closing connection gives up on it.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// A protocol on its connection: told of events, then asked what it wishes.
///
/// Whoever carries bytes drives one: a socket under any kernel interface, a TLS session, an SSH
/// channel, a test's wire. The rules of [`Protocol`] are kept here, once. A driver
///
/// 1. attaches the seat to itself before anything else, then tells it [`Event::Made`];
/// 2. after each event takes the output, reads the wishes and carries them out, a successor first;
/// 3. tells [`Event::Sent`] whenever output stays behind, and when [`Wishes::sent`] asks for it;
/// 4. tells [`Event::Lost`] exactly once, as the last event.
pub trait Seat {
    /// Names the carrier and the key by which it knows this connection.
    fn attach(&mut self, transport: Rc<dyn Transport>, key: usize);

    /// Tells the protocol what happened, then makes the calls that are due.
    fn handle(&mut self, event: Event<'_>);

    /// What the driver is to do.
    fn wishes(&self) -> Wishes;

    /// Takes what is to be sent.
    fn take_output(&mut self) -> Option<Box<Outbox>>;

    /// Takes the seat that follows this one, if its protocol was switched. Also who looks for
    /// [`Wishes::succession`] and finds none has done what was asked.
    fn take_successor(&mut self) -> Option<Successor>;

    /// Tells what is seated here, from the bottom up: see [`Protocol::tell_names`].
    fn tell_names(&self, tell: &mut dyn FnMut(&'static str)) {
        let _ = tell;
    }
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It is up.
    Made,
    /// Bytes arrived.
    Data(&'a [u8]),
    /// A descriptor came, with the bytes that are told of next; whoever takes it has it.
    Descriptor(&'a Arrival),
    /// The peer will send no more.
    Eof,
    /// Output was sent; this many bytes that the driver took are still with it.
    Sent {
        /// Bytes taken and not yet sent.
        left: u64,
    },
    /// Nothing but time passed, or a note was written from outside.
    Tick,
    /// It is over; what comes later is ignored.
    Lost(Disconnect),
}

/// What a seat wants from its driver.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each wish stands alone; they form no states")]
pub struct Wishes {
    /// Bytes are welcome.
    pub reading: bool,
    /// The stream out is to be ended once everything is sent.
    pub close_write: bool,
    /// The connection is to be ended.
    pub ending: Option<Ending>,
    /// There is output to take.
    pub output: bool,
    /// [`Event::Sent`] is wanted after the next sending, also when nothing stays behind.
    pub sent: bool,
    /// The seat's successor is to be seated, if there is one; or the transport has just been
    /// [asked for descriptors](Transport::accept_descriptors), which is to be carried out now.
    pub succession: bool,
    /// When to tell [`Event::Tick`], if nothing happens before.
    pub next_call: Option<Duration>,
    /// The peer has said that it will send no more, whether the transport knows of it or not: a close need
    /// not wait for what may still come.
    pub peer_done: bool,
}

/// How a connection is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// After everything written is sent.
    Close,
    /// Now, for this reason.
    Abort(Disconnect),
}

/// The seat that takes a connection over, and what it is told first.
pub struct Successor {
    pub(crate) takes: Takes,
    /// Bytes that the old protocol had and the new one, or the layer, is to get.
    pub(crate) rest: Vec<u8>,
    /// Descriptors that came and nobody was told of.
    pub(crate) descriptors: Vec<Descriptor>,
    /// Whether the peer has said already that it will send no more.
    pub(crate) eof: bool,
}

/// Who takes a connection over.
pub(crate) enum Takes {
    /// Another protocol, in place of the one that had it.
    Over(Box<dyn Seat>),
    /// A layer, which carries the protocol that had it.
    Under(Box<Insert>),
}

/// Puts a layer under a seat; answers the seat of the two.
type Insert = dyn FnOnce(Box<dyn Seat>) -> Box<dyn Seat>;

impl Successor {
    /// Seats each successor that `seat` may have, the successor's own included.
    pub fn seat_all(seat: &mut Box<dyn Seat>, transport: &Rc<dyn Transport>, key: usize) {
        while let Some(successor) = seat.take_successor() {
            match successor.takes {
                Takes::Over(next) => {
                    seat.handle(Event::Lost(Disconnect::Switched));
                    *seat = next;
                }
                Takes::Under(insert) => *seat = insert(std::mem::replace(seat, Box::new(Nobody))),
            }
            seat.attach(Rc::clone(transport), key);
            seat.handle(Event::Made);
            for descriptor in successor.descriptors {
                seat.handle(Event::Descriptor(&Arrival::new(descriptor)));
            }
            if !successor.rest.is_empty() {
                seat.handle(Event::Data(&successor.rest));
            }
            if successor.eof {
                seat.handle(Event::Eof);
            }
        }
    }
}

/// Keeps a seat's place while it is moved.
struct Nobody;

impl Seat for Nobody {
    fn attach(&mut self, _: Rc<dyn Transport>, _: usize) {}

    fn handle(&mut self, _: Event<'_>) {}

    fn wishes(&self) -> Wishes {
        Wishes {
            reading: false,
            close_write: false,
            ending: None,
            output: false,
            sent: false,
            succession: false,
            next_call: None,
            peer_done: false,
        }
    }

    fn take_output(&mut self) -> Option<Box<Outbox>> {
        None
    }

    fn take_successor(&mut self) -> Option<Successor> {
        None
    }
}

impl fmt::Debug for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Successor").field("rest", &self.rest.len()).finish_non_exhaustive()
    }
}

/// Seats `protocol` on a connection of its own.
pub fn seat(protocol: impl Protocol) -> Box<dyn Seat> {
    Box::new(Pair::new(protocol, Conn::new()))
}

/// Seats `protocol`; the deferred gives its handle once the connection is made, or says why it was
/// not. Cancelling it aborts the attempt.
#[track_caller]
pub fn seat_and_tell<P: Protocol>(protocol: P) -> (Box<dyn Seat>, Deferred<Conn<P>>) {
    let conn = Conn::new();
    let (promise, made) = deferred();
    let page = Rc::downgrade(&conn.page);
    promise.on_cancel(move || {
        if let Some(page) = page.upgrade() {
            Conn { page }.abort();
        }
    });
    conn.page.with_rare(|rare| rare.told = Some(promise));
    (Box::new(Pair::new(protocol, conn)), made)
}

pub(crate) struct Pair<P: 'static> {
    protocol: P,
    conn: Conn<P>,
}

impl<P: Protocol> Pair<P> {
    pub(crate) fn new(protocol: P, conn: Conn<P>) -> Self {
        Self { protocol, conn }
    }

    fn tell(&mut self, event: Event<'_>) {
        /// What makes output a matter that is no longer the protocol's.
        const NO_MORE: Flags = Flags::ABORTING.or(Flags::SWITCHED);
        let Self { protocol, conn } = self;
        let page = &conn.page;
        match event {
            Event::Made => {
                page.set(Flags::MADE);
                protocol.connection_made(conn);
                let told = page.peek_rare(|rare| rare.told.take()).flatten();
                if let Some(promise) = told {
                    promise.succeed(conn.clone());
                }
            }
            Event::Data(data) if page.may_read() && !page.has_held() => {
                protocol.data_received(conn, data);
            }
            Event::Data(data) if !page.is_ending() => {
                page.with_rare(|rare| rare.held.extend_from_slice(data));
            }
            Event::Descriptor(arrival) => self.descriptor_came(arrival),
            Event::Eof => {
                page.set(Flags::EOF);
                if page.may_read() && !page.has_held() {
                    protocol.eof_received(conn);
                } else {
                    page.set(Flags::EOF_HELD);
                }
            }
            Event::Sent { left } => {
                page.clear(Flags::SENT_WANTED);
                self.sent(left);
                if !self.conn.page.is(NO_MORE) {
                    self.protocol.output_sent(&self.conn);
                }
            }
            Event::Data(_) | Event::Tick | Event::Lost(_) => (),
        }
    }

    #[cold]
    fn descriptor_came(&mut self, arrival: &Arrival) {
        let page = &self.conn.page;
        if page.is_ending() {
            return;
        }
        let Some(descriptor) = arrival.take() else { return };
        if page.may_read() && !page.has_held() {
            self.protocol.descriptor_received(&self.conn, descriptor);
        } else {
            page.with_rare(|rare| rare.descriptors().arrived.push_back(descriptor));
        }
    }

    fn sent(&self, left: u64) {
        let page = &self.conn.page;
        page.set_with_driver(left);
        if left > 0 && page.is(Flags::CLOSING) && !page.is(Flags::CLOSE_TIMED) {
            page.set(Flags::CLOSE_TIMED);
            watch_the_rest(&self.conn);
        }
    }

    /// Delivers what was held back while reading was paused.
    #[inline]
    fn deliver_held(&mut self) {
        let page = &self.conn.page;
        if page.is(Flags::RARE.or(Flags::EOF_HELD)) && page.may_read() {
            self.deliver_the_held();
        }
    }

    #[inline(never)]
    fn deliver_the_held(&mut self) {
        let page = &self.conn.page;
        while page.may_read()
            && let Some(descriptor) = page.next_arrived()
        {
            self.protocol.descriptor_received(&self.conn, descriptor);
        }
        if !page.may_read() {
            return;
        }
        let held = page.peek_rare(|rare| std::mem::take(&mut rare.held)).unwrap_or_default();
        if !held.is_empty() {
            self.protocol.data_received(&self.conn, &held);
        }
        let page = &self.conn.page;
        if page.is(Flags::EOF_HELD) && page.may_read() && !page.has_held() {
            page.clear(Flags::EOF_HELD);
            self.protocol.eof_received(&self.conn);
        }
    }

    #[inline]
    fn tell_marks(&mut self) {
        let Self { protocol, conn } = self;
        let page = &conn.page;
        // A producer that is told to go on may be over the mark again at once, and must hear it:
        // otherwise it would wait for a word that never comes.
        while page.is(Flags::OVER_HIGH) != page.is(Flags::TOLD_PAUSED) && !page.is_ending() {
            if page.is(Flags::OVER_HIGH) {
                page.set(Flags::TOLD_PAUSED);
                protocol.writing_paused(conn);
            } else {
                page.clear(Flags::TOLD_PAUSED);
                protocol.writing_resumed(conn);
            }
        }
    }

    /// What is to be told besides the event: what was held back, marks, calls that are due.
    fn tell_the_rest(&mut self) {
        self.deliver_held();
        self.tell_marks();
        self.make_calls();
        // One of the calls may have resumed reading.
        self.deliver_held();
        self.tell_marks();
    }

    fn make_calls(&mut self) {
        let newest = self.conn.page.last_id().get();
        for _ in 0..CALLS_PER_TURN_MAX {
            if self.conn.page.is(Flags::ABORTING) || self.conn.page.is(Flags::SWITCHED) {
                return;
            }
            let Some(call) = self.conn.page.take_due(newest) else { return };
            call.make(|turn| turn(&mut self.protocol, &self.conn));
            self.tell_marks();
        }
    }

    /// Why an aborting connection ends.
    #[cold]
    fn reason(&self) -> Disconnect {
        let page = &self.conn.page;
        if page.is(Flags::PANICKED) {
            Disconnect::Panicked
        } else if page.is(Flags::OVERFLOWED) {
            Disconnect::Overflowed
        } else {
            page.peek_rare(|rare| rare.reason).flatten().unwrap_or(Disconnect::Aborted)
        }
    }

    fn lose(&mut self, why: Disconnect) {
        let Self { protocol, conn } = self;
        let (told, successor) = conn
            .page
            .peek_rare(|rare| (rare.told.take(), rare.successor.take()))
            .unwrap_or_default();
        conn.page.end();
        let why = if conn.page.is(Flags::PANICKED) { Disconnect::Panicked } else { why };
        guard(|| protocol.connection_lost(conn, why));
        if let Some(promise) = told {
            match (conn.cause(), conn.cannot_connect()) {
                (Some(cause), _) => promise.fail(cause),
                (None, Some(error)) => promise.fail(error),
                (None, None) => promise.fail(why),
            }
        }
        // The connection ended before it could be handed over.
        if let Some(Successor { takes: Takes::Over(mut seat), .. }) = successor {
            seat.handle(Event::Lost(why));
        }
    }
}

impl<P: Protocol> Seat for Pair<P> {
    fn attach(&mut self, transport: Rc<dyn Transport>, key: usize) {
        self.conn.page.attach(transport, key);
    }

    fn handle(&mut self, event: Event<'_>) {
        if self.conn.page.is(Flags::OVER) {
            return;
        }
        if let Event::Lost(why) = event {
            return self.lose(why);
        }
        self.conn.page.enter();
        let survived = guard(|| {
            self.tell(event);
            if self.conn.page.has_more_to_tell() {
                self.tell_the_rest();
            }
        });
        self.conn.page.clear(Flags::IN_CALL);
        if !survived {
            self.conn.page.set(Flags::PANICKED);
            self.conn.page.set(Flags::ABORTING);
        }
    }

    fn wishes(&self) -> Wishes {
        let page = &self.conn.page;
        let flags = page.flags();
        let ending = if flags.has(Flags::ABORTING) {
            Some(Ending::Abort(self.reason()))
        } else if flags.has(Flags::CLOSING) {
            Some(Ending::Close)
        } else {
            None
        };
        let reading = page.may_read();
        Wishes {
            reading,
            close_write: flags.has(Flags::WRITE_CLOSED),
            ending,
            output: flags.has(Flags::OUTPUT) && !flags.has(Flags::LAYERING),
            sent: flags.has(Flags::OVER_HIGH.or(Flags::SENT_WANTED)),
            succession: flags.has(Flags::SWITCHED.or(Flags::LAYERING).or(Flags::ACCEPTS)),
            // What was handed back by one who goes on reading is not left lying.
            next_call: if reading && page.has_held() { Some(page.now()) } else { page.next_call() },
            peer_done: flags.has(Flags::PEER_DONE),
        }
    }

    fn take_output(&mut self) -> Option<Box<Outbox>> {
        // What is there when a layer comes in between is to go through the layer.
        if self.conn.page.is(Flags::LAYERING) { None } else { self.conn.page.take_out() }
    }

    fn take_successor(&mut self) -> Option<Successor> {
        self.conn.page.clear(Flags::ACCEPTS);
        self.conn.page.peek_rare(|rare| rare.successor.take()).flatten()
    }

    fn tell_names(&self, tell: &mut dyn FnMut(&'static str)) {
        self.protocol.tell_names(tell);
    }
}

/// Aborts a closing connection whose peer takes nothing of what is left for it.
fn watch_the_rest<P: 'static>(conn: &Conn<P>) {
    let before = conn.waiting();
    conn.call_later(CLOSE_PATIENCE, move |_, conn| {
        if conn.waiting() < before { watch_the_rest(conn) } else { conn.abort() }
    });
}

/// Calls into a protocol; false if it panicked, which is logged and concerns nobody else.
pub(crate) fn guard(call: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else { return true };
    let failure = Failure::new(Panicked::from_payload(&*payload));
    tracing::error!(target: "ropewalk::protocol", "a protocol {failure}");
    false
}
