//! The notes that a connection takes: what its protocol wished, until the driver reads them.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk_deferred::{Canceller, Promise};

use crate::calls::{Agenda, Calls};
use crate::flags::Flags;
use crate::seat::Successor;
use crate::{
    CannotPass, Conn, DESCRIPTORS_WAITING_MAX, Descriptor, Disconnect, Outbox, Passing, Transport,
};

/// How many calls and results one connection brings home in one turn; the rest waits for the next.
pub const CALLS_PER_TURN_MAX: usize = 64;

/// In place of a number of bytes that four bytes do not hold.
const MUCH: u32 = u32::MAX;

/// How much output may wait before its producer is told, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Marks {
    /// Above this, [`writing_paused`](crate::Protocol::writing_paused) comes; 64 KiB.
    pub high: u64,
    /// At or below this, [`writing_resumed`](crate::Protocol::writing_resumed) comes; 16 KiB.
    pub low: u64,
    /// Above this, the connection ends with [`Overflowed`](crate::Disconnect::Overflowed); 256 MiB.
    /// Parts of files count as well.
    pub max: u64,
}

impl Default for Marks {
    fn default() -> Self {
        Self { high: 64 * 1024, low: 16 * 1024, max: 256 * 1024 * 1024 }
    }
}

impl Marks {
    /// These marks with other values for when to pause and when to go on.
    pub fn between(self, low: u64, high: u64) -> Self {
        Self { low: low.min(high), high, ..self }
    }

    /// These marks with another bound on all that may wait.
    pub fn at_most(self, max: u64) -> Self {
        Self { max, ..self }
    }
}

/// What is looked at before writing: the connection must be made, and nothing else of this be true.
const WRITING: Flags = Flags::MADE
    .or(Flags::OVER)
    .or(Flags::CLOSING)
    .or(Flags::ABORTING)
    .or(Flags::WRITE_CLOSED)
    .or(Flags::SWITCHED);

type Turn<P> = Box<dyn FnOnce(&mut P, &Conn<P>)>;

/// What few connections have at all.
pub(crate) struct Rare<P: 'static> {
    pub(crate) marks: Marks,
    pub(crate) successor: Option<Successor>,
    /// Bytes that arrived while reading was paused.
    pub(crate) held: Vec<u8>,
    pub(crate) descriptors: Option<Box<Descriptors>>,
    /// Whoever waits for the connection to be made.
    pub(crate) told: Option<Promise<Conn<P>>>,
    /// Why the protocol gave up, if it said so.
    pub(crate) reason: Option<Disconnect>,
    /// The layer that carries the connection in place of its first carrier.
    layer: Option<(Rc<dyn Transport>, usize)>,
    /// Bytes that the driver has taken and not yet sent, where these are [`MUCH`].
    much_with_driver: u64,
    waits: Vec<(u32, Canceller)>,
    /// What lasts as long as the connection.
    pub(crate) kept: Vec<Box<dyn Any>>,
}

impl<P> Default for Rare<P> {
    fn default() -> Self {
        Self {
            marks: Marks::default(),
            successor: None,
            held: Vec::new(),
            descriptors: None,
            told: None,
            reason: None,
            layer: None,
            much_with_driver: 0,
            waits: Vec::new(),
            kept: Vec::new(),
        }
    }
}

/// What is known of descriptors where any are passed.
#[derive(Default)]
pub(crate) struct Descriptors {
    /// Those that wait for a byte to go out with.
    waiting: Vec<Passing>,
    /// Each that is not sent yet, here, in an outbox or with the driver, has a share of this.
    count: Arc<()>,
    /// Those that came while reading was paused, and go before the bytes that did.
    pub(crate) arrived: VecDeque<Descriptor>,
}

impl<P> Rare<P> {
    pub(crate) fn descriptors(&mut self) -> &mut Descriptors {
        self.descriptors.get_or_insert_default()
    }

    fn has_arrived(&self) -> bool {
        self.descriptors.as_ref().is_some_and(|descriptors| !descriptors.arrived.is_empty())
    }
}

/// Kept small: each idle connection has one.
pub(crate) struct Page<P: 'static> {
    carrier: OnceCell<Rc<dyn Transport>>,
    /// The carrier's name for this connection.
    key: Cell<u32>,
    /// How many bytes the driver has taken and not yet sent, or [`MUCH`].
    with_driver: Cell<u32>,
    out: Cell<Option<Box<Outbox>>>,
    notes: RefCell<Notes<P>>,
    last_id: Cell<u32>,
    flags: Cell<Flags>,
}

/// What is written down beside output and flags.
struct Notes<P: 'static> {
    calls: Calls<Turn<P>>,
    rare: Option<Box<Rare<P>>>,
}

impl<P> Page<P> {
    pub(crate) fn new() -> Self {
        Self {
            carrier: OnceCell::new(),
            key: Cell::new(0),
            with_driver: Cell::new(0),
            out: Cell::new(None),
            notes: RefCell::new(Notes { calls: Calls::new(), rare: None }),
            last_id: Cell::new(0),
            flags: Cell::new(Flags::default()),
        }
    }

    pub(crate) fn attach(&self, transport: Rc<dyn Transport>, key: usize) {
        if self.is(Flags::LAYERING) {
            self.with_rare(|rare| rare.layer = Some((transport, key)));
            self.clear(Flags::LAYERING);
            self.set(Flags::LAYERED);
            return;
        }
        // Otherwise a seat is attached once; a second carrier would be the driver's fault and is
        // not believed.
        if self.carrier.set(transport).is_ok() {
            debug_assert!(u32::try_from(key).is_ok(), "more connections than memory could hold");
            self.key.set(key as u32);
        }
    }

    /// What `look` finds at the carrier, if there is one yet.
    pub(crate) fn ask_carrier<T>(
        &self,
        look: impl FnOnce(&Rc<dyn Transport>, usize) -> T,
    ) -> Option<T> {
        if self.is(Flags::LAYERED)
            && let Some((layer, key)) = self.peek_rare(|rare| rare.layer.clone()).flatten()
        {
            return Some(look(&layer, key));
        }
        self.carrier.get().map(|transport| look(transport, self.key.get() as usize))
    }

    /// The same as long as the carrier knows this connection by its key: another may have it
    /// afterwards.
    pub(crate) fn ask_connected<T>(
        &self,
        look: impl FnOnce(&Rc<dyn Transport>, usize) -> T,
    ) -> Option<T> {
        if self.is(Flags::OVER) { None } else { self.ask_carrier(look) }
    }

    pub(crate) fn with_rare<T>(&self, look: impl FnOnce(&mut Rare<P>) -> T) -> T {
        self.set(Flags::RARE);
        look(self.notes.borrow_mut().rare.get_or_insert_default())
    }

    /// What `look` finds, where there is anything rare at all.
    pub(crate) fn peek_rare<T>(&self, look: impl FnOnce(&mut Rare<P>) -> T) -> Option<T> {
        if !self.is(Flags::RARE) {
            return None;
        }
        self.notes.borrow_mut().rare.as_deref_mut().map(look)
    }

    /// Whether the protocol may have to be told of anything that is written down here.
    #[inline]
    pub(crate) fn has_more_to_tell(&self) -> bool {
        const ANY: Flags =
            Flags::RARE.or(Flags::EOF_HELD).or(Flags::OVER_HIGH).or(Flags::TOLD_PAUSED);
        self.is(ANY) || !self.notes.borrow().calls.is_empty()
    }

    /// Whether bytes lie here that came while they were not welcome.
    pub(crate) fn has_held(&self) -> bool {
        self.peek_rare(|rare| !rare.held.is_empty() || rare.has_arrived()).unwrap_or(false)
    }

    pub(crate) fn may_write(&self) -> bool {
        self.flags().0 & WRITING.0 == Flags::MADE.0
    }

    /// Whether bytes may be handed to the protocol.
    pub(crate) fn may_read(&self) -> bool {
        const NO: Flags = Flags::READ_PAUSED.or(Flags::SWITCHED).or(Flags::LAYERING);
        !self.is_ending() && !self.is(NO)
    }

    pub(crate) fn write(&self, fill: impl FnOnce(&mut Outbox)) {
        // One look for all that is unusual.
        if self.flags().0 & WRITING.or(Flags::PASSING).0 != Flags::MADE.0 {
            return self.write_passing(fill);
        }
        self.write_plainly(fill);
    }

    /// The same bytes without a copy, if the carrier can spare them.
    #[inline(never)]
    pub(crate) fn share(&self, bytes: &[u8]) -> Option<Bytes> {
        self.ask_carrier(|transport, _| transport.share(bytes)).flatten()
    }

    /// Writes what the descriptors before it go with, if anything may be written.
    #[cold]
    #[inline(never)]
    fn write_passing(&self, fill: impl FnOnce(&mut Outbox)) {
        if !self.may_write() {
            return;
        }
        let mut fresh = Outbox::default();
        fill(&mut fresh);
        self.write_plainly(|out| {
            if !fresh.is_empty() {
                self.lay_out_descriptors(out);
                out.append_behind(&mut fresh);
            }
        });
    }

    /// Puts the descriptors that wait into `out`, where bytes are added next.
    fn lay_out_descriptors(&self, out: &mut Outbox) {
        self.clear(Flags::PASSING);
        let waiting = self.peek_rare(|rare| std::mem::take(&mut rare.descriptors().waiting));
        for passing in waiting.unwrap_or_default() {
            out.write_descriptor(passing);
        }
    }

    /// Has a descriptor go with the next byte that is written.
    pub(crate) fn pass(&self, descriptor: Descriptor) -> Result<(), CannotPass> {
        if !self.may_write() {
            return Err(CannotPass::NotOpen);
        }
        self.with_rare(|rare| {
            let Descriptors { waiting, count, .. } = rare.descriptors();
            if Arc::strong_count(count) > DESCRIPTORS_WAITING_MAX {
                return Err(CannotPass::TooMany);
            }
            waiting.push(Passing::new(descriptor, count));
            Ok(())
        })?;
        self.set(Flags::PASSING);
        Ok(())
    }

    /// The first of the descriptors that came and nobody was told of.
    pub(crate) fn next_arrived(&self) -> Option<Descriptor> {
        self.peek_rare(|rare| rare.descriptors.as_mut()?.arrived.pop_front()).flatten()
    }

    /// Takes the descriptors that came and nobody was told of.
    pub(crate) fn take_arrived(&self) -> Vec<Descriptor> {
        let arrived =
            |rare: &mut Rare<P>| Some(std::mem::take(&mut rare.descriptors.as_mut()?.arrived));
        self.peek_rare(arrived).flatten().unwrap_or_default().into()
    }

    /// Has another page, which takes over, pass what waits here, and count what is on its way.
    pub(crate) fn hand_passing_to<Q>(&self, other: &Page<Q>) {
        let descriptors = self.peek_rare(|rare| rare.descriptors.take()).flatten();
        if let Some(descriptors) = descriptors {
            if self.is(Flags::PASSING) {
                self.clear(Flags::PASSING);
                other.set(Flags::PASSING);
            }
            other.with_rare(|rare| rare.descriptors = Some(descriptors));
        }
    }

    /// How many descriptors are not sent yet.
    pub(crate) fn descriptors_waiting(&self) -> usize {
        let count =
            |rare: &mut Rare<P>| Some(Arc::strong_count(&rare.descriptors.as_ref()?.count) - 1);
        self.peek_rare(count).flatten().unwrap_or(0)
    }

    #[inline]
    fn write_plainly(&self, fill: impl FnOnce(&mut Outbox)) {
        let lend = || self.ask_carrier(|transport, _| transport.lend_outbox()).unwrap_or_default();
        let mut out = self.out.take().unwrap_or_else(lend);
        fill(&mut out);
        if let Some(mut meanwhile) = self.out.take() {
            out.append(&mut meanwhile);
        }
        let (waiting, marks) = self.lay_out(out);
        if waiting > marks.max {
            self.set(Flags::OVERFLOWED.or(Flags::ABORTING));
        }
        self.wake();
    }

    /// Adds all of `more`, whose size its writer's own marks have bounded already.
    pub(crate) fn write_outbox(&self, mut more: Box<Outbox>) {
        if !self.may_write() {
            return;
        }
        if self.is(Flags::PASSING) && !more.is_empty() {
            let mut out = self.out.take().unwrap_or_default();
            self.lay_out_descriptors(&mut out);
            out.append_behind(&mut more);
            self.lay_out(out);
            return self.wake();
        }
        let out = match self.out.take() {
            None => more,
            Some(mut out) => {
                out.append(&mut more);
                out
            }
        };
        self.lay_out(out);
        self.wake();
    }

    /// Lays output out for the driver; answers how much waits, and how much may.
    #[inline]
    fn lay_out(&self, out: Box<Outbox>) -> (u64, Marks) {
        let marks = self.marks();
        let waiting = out.len() + self.with_driver();
        if waiting > marks.high {
            self.set(Flags::OVER_HIGH);
        }
        self.set_out(Some(out));
        (waiting, marks)
    }

    pub(crate) fn take_out(&self) -> Option<Box<Outbox>> {
        self.clear(Flags::OUTPUT);
        self.out.take()
    }

    pub(crate) fn set_out(&self, out: Option<Box<Outbox>>) {
        if out.as_ref().is_some_and(|out| !out.is_empty()) {
            self.set(Flags::OUTPUT);
        }
        self.out.set(out);
    }

    pub(crate) fn waiting(&self) -> u64 {
        let out = self.out.take();
        let waiting = out.as_ref().map_or(0, |out| out.len()) + self.with_driver();
        self.out.set(out);
        waiting
    }

    pub(crate) fn with_driver(&self) -> u64 {
        match self.with_driver.get() {
            MUCH => self.peek_rare(|rare| rare.much_with_driver).unwrap_or(0),
            few => few.into(),
        }
    }

    pub(crate) fn set_with_driver(&self, left: u64) {
        let few = u32::try_from(left).unwrap_or(MUCH);
        self.with_driver.set(few);
        if few == MUCH {
            self.with_rare(|rare| rare.much_with_driver = left);
        }
        if self.is(Flags::OVER_HIGH) && self.waiting() <= self.marks().low {
            self.clear(Flags::OVER_HIGH);
        }
    }

    pub(crate) fn marks(&self) -> Marks {
        self.peek_rare(|rare| rare.marks).unwrap_or_default()
    }

    pub(crate) fn next_call(&self) -> Option<Duration> {
        self.notes.borrow().calls.next_due()
    }

    /// Drops all that was to happen: timers, results on their way, output.
    pub(crate) fn end(&self) {
        self.set(Flags::OVER);
        self.with_driver.set(0);
        let Notes { calls, mut rare } =
            self.notes.replace(Notes { calls: Calls::new(), rare: None });
        drop(calls);
        // A layer is asked once more, for what it knows of the end.
        if let Some(layer) = rare.as_mut().and_then(|rare| rare.layer.take()) {
            self.with_rare(|rare| rare.layer = Some(layer));
        }
        for (_, canceller) in rare.iter().flat_map(|rare| &rare.waits) {
            canceller.cancel();
        }
        drop(self.take_out());
    }
}

impl<P: 'static> Agenda for Page<P> {
    type Turn = Turn<P>;

    fn noted(&self) -> &Cell<Flags> {
        &self.flags
    }

    fn last_id(&self) -> &Cell<u32> {
        &self.last_id
    }

    fn now(&self) -> Duration {
        self.ask_carrier(|transport, _| transport.now()).unwrap_or_default()
    }

    fn wake_carrier(&self) -> bool {
        self.ask_carrier(|transport, key| transport.wake(key)).is_some()
    }

    fn with_calls<T>(&self, look: impl FnOnce(&mut Calls<Turn<P>>) -> T) -> T {
        look(&mut self.notes.borrow_mut().calls)
    }

    fn add_wait(&self, id: u32, canceller: Canceller) {
        self.with_rare(|rare| rare.waits.push((id, canceller)));
    }

    fn forget_wait(&self, id: u32) {
        self.peek_rare(|rare| rare.waits.retain(|(waiting, _)| *waiting != id));
    }
}

#[cfg(test)]
mod tests {
    use super::Page;
    use crate::seat::Pair;
    use crate::{Conn, Protocol};

    struct Quiet;

    impl Protocol for Quiet {
        fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
    }

    /// Of the 400 bytes that an idle connection may take at all; an allocation of up to 120 takes 128.
    #[test]
    fn an_idle_connection_has_a_short_page() {
        let counts = 2 * size_of::<usize>();
        let page = size_of::<Page<Quiet>>() + counts;
        assert!(page <= 120, "{page} bytes");
        assert_eq!(
            size_of::<Pair<Quiet>>(),
            size_of::<Conn<Quiet>>(),
            "a seat adds but its handle"
        );
    }
}
