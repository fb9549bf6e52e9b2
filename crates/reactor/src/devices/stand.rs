//! What lines and tunnels have in common: a seat over a descriptor that is watched.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_protocol::{Address, Clock as _, DelayedCall, Disconnect, Transport};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::carrier::Carrier;
use crate::inner::Inner;
use crate::{Reactor, Watch, WatchEnd};

/// Who carries a seat over a descriptor.
pub(super) trait Carries: Transport + 'static {
    type Seat: ?Sized + 'static;

    fn stand(&self) -> &Stand<Self, Self::Seat>;

    /// The seat is to be told that it is carried.
    fn begin(&self);

    /// There is something to read.
    fn readable(&self);

    /// What waited for room can go on.
    fn has_room(&self);

    /// A call of the seat's is due.
    fn tick(&self);

    /// Somebody has asked for another look at the seat's notes.
    fn look(&self);

    /// All that was held is free, and the seat is to be told of its end.
    fn ended(&self, seat: Box<Self::Seat>, descriptor: Option<OwnedFd>, why: Disconnect);
}

/// A seat, and the descriptor under it.
pub(super) struct Stand<T: ?Sized, S: ?Sized> {
    me: Weak<T>,
    inner: Weak<Inner>,
    pub(super) carrier: Rc<Carrier>,
    pub(super) address: Address,
    /// Out while the protocol runs.
    seat: RefCell<Option<Box<S>>>,
    descriptor: RefCell<Option<OwnedFd>>,
    reader: RefCell<Option<Watch>>,
    /// While something waits for room.
    writer: RefCell<Option<Watch>>,
    /// When the seat wants to be called, and what does it.
    next_call: RefCell<Option<(Duration, DelayedCall)>>,
    is_woken: Cell<bool>,
    is_reading: Cell<bool>,
}

impl<T: Carries<Seat = S>, S: ?Sized + 'static> Stand<T, S> {
    pub(super) fn new(me: &Weak<T>, reactor: &Reactor, address: Address) -> Self {
        let inner = reactor.inner();
        Self {
            me: Weak::clone(me),
            inner: Rc::downgrade(inner),
            carrier: Rc::clone(&inner.carrier),
            address,
            seat: RefCell::new(None),
            descriptor: RefCell::new(None),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
            next_call: RefCell::new(None),
            is_woken: Cell::new(false),
            is_reading: Cell::new(true),
        }
    }

    /// Watches the descriptor, from [`start`](Self::start) on.
    pub(super) fn watch(&self, reactor: &Reactor, descriptor: OwnedFd) -> io::Result<()> {
        let me = self.me.upgrade();
        let told = move |ready: Result<(), WatchEnd>| match (&me, ready) {
            (Some(me), Ok(())) => me.readable(),
            (Some(me), Err(why)) => me.stand().watch_ended(&why),
            (None, _) => (),
        };
        let reader = reactor.add_reader(&descriptor, told).map_err(|refused| refused.error)?;
        // Not before the protocol knows of it.
        reader.pause();
        self.reader.replace(Some(reader));
        self.descriptor.replace(Some(descriptor));
        Ok(())
    }

    /// Carries `seat`, which is attached, from a turn to come on.
    pub(super) fn start(&self, reactor: &Reactor, seat: Box<S>) {
        self.put_back(seat);
        let me = self.me.upgrade();
        let begin = move || {
            let Some(me) = me else { return };
            if let Some(reader) = &*me.stand().reader.borrow() {
                reader.resume();
            }
            me.begin();
        };
        reactor.schedule(Duration::ZERO, Box::new(begin));
    }

    pub(super) fn me(&self) -> Option<Rc<T>> {
        self.me.upgrade()
    }

    /// Asks the descriptor, while it is open.
    pub(super) fn with<R>(&self, ask: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        self.descriptor.borrow().as_ref().map(|descriptor| ask(descriptor.as_fd()))
    }

    pub(super) fn take_seat(&self) -> Option<Box<S>> {
        self.seat.borrow_mut().take()
    }

    pub(super) fn put_back(&self, seat: Box<S>) {
        self.seat.replace(Some(seat));
    }

    /// Puts back a seat that keeps itself busy; the others come first.
    pub(super) fn put_off(&self, seat: Box<S>) {
        self.put_back(seat);
        self.wake();
    }

    /// Puts back a seat that has no more to say for now.
    pub(super) fn rest(&self, seat: Box<S>, reading: bool, next_call: Option<Duration>) {
        if self.is_reading.replace(reading) != reading
            && let Some(reader) = &*self.reader.borrow()
        {
            if reading { reader.resume() } else { reader.pause() }
        }
        self.call_at(next_call);
        self.put_back(seat);
    }

    pub(super) fn is_reading(&self) -> bool {
        self.is_reading.get()
    }

    fn call_at(&self, due: Option<Duration>) {
        let Some(due) = due else { return };
        let mut next = self.next_call.borrow_mut();
        match &*next {
            // Later is found out when that call is made.
            Some((before, _)) if *before <= due => return,
            Some((_, call)) => drop(call.cancel()),
            None => (),
        }
        let (Some(me), Some(inner)) = (self.me.upgrade(), self.inner.upgrade()) else { return };
        let call = Box::new(move || {
            me.stand().next_call.take();
            me.tick();
        });
        let delay = due.saturating_sub(self.carrier.now());
        *next = Some((due, Reactor::of(inner).schedule(delay, call)));
    }

    /// Has the seat's notes looked at in a turn to come.
    pub(super) fn wake(&self) {
        if self.is_woken.replace(true) {
            return;
        }
        let (Some(me), Some(inner)) = (self.me.upgrade(), self.inner.upgrade()) else { return };
        let call = move || {
            me.stand().is_woken.set(false);
            me.look();
        };
        Reactor::of(inner).schedule(Duration::ZERO, Box::new(call));
    }

    /// Has [`Carries::has_room`] called whenever there is, until [`stop_waiting`](Self::stop_waiting).
    pub(super) fn wait_for_room(&self) {
        if self.is_waiting() {
            return;
        }
        let (Some(me), Some(inner)) = (self.me.upgrade(), self.inner.upgrade()) else { return };
        let told = move |ready: Result<(), WatchEnd>| match ready {
            Ok(()) => me.has_room(),
            Err(why) => me.stand().watch_ended(&why),
        };
        match self.with(|descriptor| Reactor::of(inner).add_writer(&descriptor, told)) {
            Some(Ok(writer)) => drop(self.writer.replace(Some(writer))),
            Some(Err(refused)) => {
                tracing::warn!(target: "ropewalk::reactor", "output waits: {refused}");
                self.wake();
            }
            None => (),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.writer.borrow().is_some()
    }

    pub(super) fn stop_waiting(&self) {
        drop(self.writer.take());
    }

    fn watch_ended(&self, why: &WatchEnd) {
        self.lose(match why {
            WatchEnd::Stopped => Disconnect::Stopped,
            WatchEnd::Failed(error) => Disconnect::from(error),
            WatchEnd::Closed => Disconnect::Reset,
        });
    }

    /// Ends what is carried from below.
    pub(super) fn lose(&self, why: Disconnect) {
        if let Some(seat) = self.take_seat() {
            self.end(seat, why);
        }
    }

    /// Ends what is carried: all that it held is free before the protocol hears of it.
    pub(super) fn end(&self, seat: Box<S>, why: Disconnect) {
        drop(self.reader.take());
        self.stop_waiting();
        if let Some((_, call)) = self.next_call.take() {
            call.cancel();
        }
        let descriptor = self.descriptor.take();
        if let Some(me) = self.me.upgrade() {
            me.ended(seat, descriptor, why);
        }
    }
}
