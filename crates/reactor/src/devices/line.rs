//! A connection over a descriptor that is no socket, such as a serial line.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_protocol::{
    Address, Clock as _, DelayedCall, Disconnect, Ending, Event, Outbox, Seat, Successor,
    Transport, Wishes,
};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write, writev};

use crate::carrier::Carrier;
use crate::inner::Inner;
use crate::{Reactor, Watch, WatchEnd};

/// How often a line's wishes are carried out in one turn; the rest waits for the next.
const ROUNDS_PER_TURN_MAX: usize = 8;
/// How many bytes are read at once.
const READ_SIZE: usize = 16 * 1024;
/// How often is read in one turn.
const READS_PER_TURN_MAX: usize = 4;
/// How often is written in one turn.
const WRITES_PER_TURN_MAX: usize = 4;
/// How much of a file is read at a time to be written.
const FILE_STEP: usize = 64 * 1024;
/// How many slices one write gathers.
const SLICES_MAX: usize = 16;

/// What is done with the descriptor in the end, and whether all that was written is to go out before.
type Farewell = Box<dyn FnOnce(OwnedFd, bool)>;

/// A connection over a descriptor that does not block. It keeps the laws that sockets' connections keep; the
/// stream out has no end of its own.
pub(super) struct Line {
    me: Weak<Line>,
    inner: Weak<Inner>,
    carrier: Rc<Carrier>,
    address: Address,
    /// Out while the protocol runs.
    seat: RefCell<Option<Box<dyn Seat>>>,
    descriptor: RefCell<Option<OwnedFd>>,
    farewell: RefCell<Option<Farewell>>,
    reader: RefCell<Option<Watch>>,
    /// While output waits for room.
    writer: RefCell<Option<Watch>>,
    backlog: RefCell<Outbox>,
    /// When the seat wants to be called, and what does it.
    next_call: RefCell<Option<(Duration, DelayedCall)>>,
    is_woken: Cell<bool>,
    is_reading: Cell<bool>,
}

impl Line {
    /// Carries `seat`, which is told that the connection is made in a turn to come.
    pub(super) fn open(
        reactor: &Reactor,
        descriptor: OwnedFd,
        address: Address,
        mut seat: Box<dyn Seat>,
        farewell: Farewell,
    ) -> Result<Rc<Self>, (std::io::Error, Box<dyn Seat>)> {
        let inner = reactor.inner();
        let line = Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            inner: Rc::downgrade(inner),
            carrier: Rc::clone(&inner.carrier),
            address,
            seat: RefCell::new(None),
            descriptor: RefCell::new(None),
            farewell: RefCell::new(Some(farewell)),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
            backlog: RefCell::default(),
            next_call: RefCell::new(None),
            is_woken: Cell::new(false),
            is_reading: Cell::new(true),
        });
        let told = Rc::clone(&line);
        let reader = match reactor.add_reader(&descriptor, move |ready| told.ready(ready)) {
            Ok(reader) => reader,
            Err(refused) => return Err((refused.error, seat)),
        };
        // Not before the protocol knows of it.
        reader.pause();
        line.reader.replace(Some(reader));
        line.descriptor.replace(Some(descriptor));
        seat.attach(Rc::clone(&line) as Rc<dyn Transport>, 0);
        line.seat.replace(Some(seat));
        let first = Rc::clone(&line);
        reactor.schedule(
            Duration::ZERO,
            Box::new(move || {
                if let Some(reader) = &*first.reader.borrow() {
                    reader.resume();
                }
                first.tell(Event::Made);
            }),
        );
        Ok(line)
    }

    /// Asks the descriptor, while it is open.
    pub(super) fn with<T>(&self, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.descriptor.borrow().as_ref().map(|descriptor| ask(descriptor.as_fd()))
    }

    fn ready(&self, ready: Result<(), WatchEnd>) {
        match ready {
            Ok(()) => self.read(),
            Err(why) => self.watch_ended(&why),
        }
    }

    fn watch_ended(&self, why: &WatchEnd) {
        self.lose(match why {
            WatchEnd::Stopped => Disconnect::Stopped,
            WatchEnd::Failed(error) => Disconnect::from(error),
            WatchEnd::Closed => Disconnect::Reset,
        });
    }

    fn read(&self) {
        for _ in 0..READS_PER_TURN_MAX {
            if !self.is_reading.get() {
                return;
            }
            let mut buffer = [0; READ_SIZE];
            match self.with(|descriptor| read(descriptor, &mut buffer)) {
                None | Some(Err(Errno::AGAIN | Errno::INTR)) => return,
                // It was hung up: who is at the other end is gone, or the device is.
                Some(Ok(0) | Err(Errno::IO | Errno::NXIO | Errno::NODEV)) => {
                    return self.lose(Disconnect::Reset);
                }
                Some(Err(errno)) => return self.lose(Disconnect::from(&errno.into())),
                Some(Ok(count)) => self.tell(Event::Data(&buffer[..count])),
            }
        }
    }

    fn tell(&self, event: Event<'_>) {
        let seat = self.seat.borrow_mut().take();
        let Some(mut seat) = seat else { return };
        seat.handle(event);
        self.settle(seat);
    }

    /// Ends the connection from below.
    fn lose(&self, why: Disconnect) {
        let seat = self.seat.borrow_mut().take();
        if let Some(seat) = seat {
            self.end(seat, why);
        }
    }

    /// Carries out what the protocol wishes, and puts its seat back.
    fn settle(&self, mut seat: Box<dyn Seat>) {
        for _ in 0..ROUNDS_PER_TURN_MAX {
            let wishes = seat.wishes();
            if let Some(Ending::Abort(why)) = wishes.ending {
                return self.end(seat, why);
            }
            if wishes.succession {
                if let Some(me) = self.me.upgrade() {
                    Successor::seat_all(&mut seat, &(me as Rc<dyn Transport>), 0);
                }
                continue;
            }
            if wishes.output {
                if let Some(mut out) = seat.take_output() {
                    self.backlog.borrow_mut().append(&mut out);
                }
                if let Err(errno) = self.flush() {
                    return self.end(seat, Disconnect::from(&errno.into()));
                }
                let left = self.backlog.borrow().len();
                if left > 0 || wishes.sent {
                    seat.handle(Event::Sent { left });
                    continue;
                }
            }
            return self.rest(seat, &wishes);
        }
        // It keeps itself busy; the others come first.
        self.seat.replace(Some(seat));
        self.wake(0);
    }

    fn rest(&self, seat: Box<dyn Seat>, wishes: &Wishes) {
        if self.backlog.borrow().is_empty() && wishes.ending == Some(Ending::Close) {
            return self.end(seat, Disconnect::Closed);
        }
        if self.is_reading.replace(wishes.reading) != wishes.reading
            && let Some(reader) = &*self.reader.borrow()
        {
            if wishes.reading { reader.resume() } else { reader.pause() }
        }
        self.call_at(wishes.next_call);
        self.seat.replace(Some(seat));
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
            me.next_call.take();
            me.tell(Event::Tick);
        });
        let delay = due.saturating_sub(self.carrier.now());
        *next = Some((due, Reactor::of(inner).schedule(delay, call)));
    }

    /// Writes what the descriptor takes; what it does not waits for room.
    fn flush(&self) -> Result<(), Errno> {
        for _ in 0..WRITES_PER_TURN_MAX {
            if self.backlog.borrow().is_empty() {
                break;
            }
            match self.write_once() {
                Ok(count) => self.backlog.borrow_mut().advance(count as u64),
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        self.wait_for_room();
        Ok(())
    }

    fn write_once(&self) -> Result<usize, Errno> {
        let backlog = self.backlog.borrow();
        let written = if let Some(slice) = backlog.front_file() {
            let mut piece = Vec::new();
            slice.read_into(FILE_STEP, &mut piece).map_err(|_| Errno::INVAL)?;
            self.with(|descriptor| write(descriptor, &piece))
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = backlog.gather(&mut slices);
            self.with(|descriptor| writev(descriptor, &slices[..count]))
        };
        written.unwrap_or(Err(Errno::BADF))
    }

    fn wait_for_room(&self) {
        if self.backlog.borrow().is_empty() {
            drop(self.writer.take());
            return;
        }
        if self.writer.borrow().is_some() {
            return;
        }
        let (Some(me), Some(inner)) = (self.me.upgrade(), self.inner.upgrade()) else { return };
        let told = move |ready: Result<(), WatchEnd>| match ready {
            Ok(()) => me.has_room(),
            Err(why) => me.watch_ended(&why),
        };
        let watched = self
            .descriptor
            .borrow()
            .as_ref()
            .map(|descriptor| Reactor::of(inner).add_writer(descriptor, told));
        match watched {
            Some(Ok(writer)) => drop(self.writer.replace(Some(writer))),
            Some(Err(refused)) => {
                tracing::warn!(target: "ropewalk::reactor", "output waits: {refused}");
                self.wake(0);
            }
            None => (),
        }
    }

    fn has_room(&self) {
        let seat = self.seat.borrow_mut().take();
        let Some(mut seat) = seat else { return };
        match self.flush() {
            Ok(()) => {
                seat.handle(Event::Sent { left: self.backlog.borrow().len() });
                self.settle(seat);
            }
            Err(errno) => self.end(seat, Disconnect::from(&errno.into())),
        }
    }

    /// Ends the connection: all that it held is free before the protocol hears of it.
    fn end(&self, mut seat: Box<dyn Seat>, why: Disconnect) {
        drop(self.reader.take());
        drop(self.writer.take());
        if let Some((_, call)) = self.next_call.take() {
            call.cancel();
        }
        self.backlog.take();
        let descriptor = self.descriptor.take();
        if let (Some(descriptor), Some(farewell)) = (descriptor, self.farewell.take()) {
            farewell(descriptor, why == Disconnect::Closed);
        }
        seat.handle(Event::Lost(why));
    }
}

impl Transport for Line {
    fn now(&self) -> Duration {
        self.carrier.now()
    }

    fn wake(&self, _: usize) {
        if self.is_woken.replace(true) {
            return;
        }
        let (Some(me), Some(inner)) = (self.me.upgrade(), self.inner.upgrade()) else { return };
        let call = move || {
            me.is_woken.set(false);
            if me.backlog.borrow().is_empty() { me.tell(Event::Tick) } else { me.has_room() }
        };
        Reactor::of(inner).schedule(Duration::ZERO, Box::new(call));
    }

    fn local(&self, _: usize) -> Address {
        self.address.clone()
    }

    fn peer(&self, _: usize) -> Address {
        self.address.clone()
    }

    fn lend_outbox(&self) -> Box<Outbox> {
        self.carrier.lend_outbox()
    }
}
