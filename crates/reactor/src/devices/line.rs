//! A connection over a descriptor that is no socket, such as a serial line.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, Disconnect, Ending, Event, Outbox, Seat, Successor, Transport, Wishes,
};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, read, write, writev};

use super::stand::{Carries, Stand};
use crate::Reactor;

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
    pub(super) stand: Stand<Line, dyn Seat>,
    farewell: RefCell<Option<Farewell>>,
    backlog: RefCell<Outbox>,
}

impl Line {
    /// Carries `seat`, which is told that the connection is made in a turn to come.
    pub(super) fn open(
        reactor: &Reactor,
        descriptor: OwnedFd,
        address: Address,
        mut seat: Box<dyn Seat>,
        farewell: Farewell,
    ) -> Result<Rc<Self>, (io::Error, Box<dyn Seat>)> {
        let line = Rc::new_cyclic(|me| Self {
            stand: Stand::new(me, reactor, address),
            farewell: RefCell::new(Some(farewell)),
            backlog: RefCell::default(),
        });
        if let Err(error) = line.stand.watch(reactor, descriptor) {
            return Err((error, seat));
        }
        seat.attach(Rc::clone(&line) as Rc<dyn Transport>, 0);
        line.stand.start(reactor, seat);
        Ok(line)
    }

    fn read(&self) {
        for _ in 0..READS_PER_TURN_MAX {
            if !self.stand.is_reading() {
                return;
            }
            let mut buffer = [0; READ_SIZE];
            match self.stand.with(|descriptor| read(descriptor, &mut buffer)) {
                None | Some(Err(Errno::AGAIN | Errno::INTR)) => return,
                // It was hung up: who is at the other end is gone, or the device is.
                Some(Ok(0) | Err(Errno::IO | Errno::NXIO | Errno::NODEV)) => {
                    return self.stand.lose(Disconnect::Reset);
                }
                Some(Err(errno)) => return self.stand.lose(Disconnect::from(&errno.into())),
                Some(Ok(count)) => self.tell(Event::Data(&buffer[..count])),
            }
        }
    }

    fn tell(&self, event: Event<'_>) {
        if let Some(mut seat) = self.stand.take_seat() {
            seat.handle(event);
            self.settle(seat);
        }
    }

    /// Carries out what the protocol wishes, and puts its seat back.
    fn settle(&self, mut seat: Box<dyn Seat>) {
        for _ in 0..ROUNDS_PER_TURN_MAX {
            let wishes = seat.wishes();
            if let Some(Ending::Abort(why)) = wishes.ending {
                return self.stand.end(seat, why);
            }
            if wishes.succession {
                if let Some(me) = self.stand.me() {
                    Successor::seat_all(&mut seat, &(me as Rc<dyn Transport>), 0);
                }
                continue;
            }
            if wishes.output {
                if let Some(mut out) = seat.take_output() {
                    self.backlog.borrow_mut().append(&mut out);
                }
                if let Err(errno) = self.flush() {
                    return self.stand.end(seat, Disconnect::from(&errno.into()));
                }
                let left = self.backlog.borrow().len();
                if left > 0 || wishes.sent {
                    seat.handle(Event::Sent { left });
                    continue;
                }
            }
            return self.rest(seat, &wishes);
        }
        self.stand.put_off(seat);
    }

    fn rest(&self, seat: Box<dyn Seat>, wishes: &Wishes) {
        if self.backlog.borrow().is_empty() && wishes.ending == Some(Ending::Close) {
            return self.stand.end(seat, Disconnect::Closed);
        }
        self.stand.rest(seat, wishes.reading, wishes.next_call);
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
        if self.backlog.borrow().is_empty() {
            self.stand.stop_waiting();
        } else {
            self.stand.wait_for_room();
        }
        Ok(())
    }

    fn write_once(&self) -> Result<usize, Errno> {
        let backlog = self.backlog.borrow();
        let written = if let Some(slice) = backlog.front_file() {
            let mut piece = Vec::new();
            slice.read_into(FILE_STEP, &mut piece).map_err(|_| Errno::INVAL)?;
            self.stand.with(|descriptor| write(descriptor, &piece))
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = backlog.gather(&mut slices);
            self.stand.with(|descriptor| writev(descriptor, &slices[..count]))
        };
        written.unwrap_or(Err(Errno::BADF))
    }
}

impl Carries for Line {
    type Seat = dyn Seat;

    fn stand(&self) -> &Stand<Self, dyn Seat> {
        &self.stand
    }

    fn begin(&self) {
        self.tell(Event::Made);
    }

    fn readable(&self) {
        self.read();
    }

    fn has_room(&self) {
        let Some(mut seat) = self.stand.take_seat() else { return };
        match self.flush() {
            Ok(()) => {
                seat.handle(Event::Sent { left: self.backlog.borrow().len() });
                self.settle(seat);
            }
            Err(errno) => self.stand.end(seat, Disconnect::from(&errno.into())),
        }
    }

    fn tick(&self) {
        self.tell(Event::Tick);
    }

    fn look(&self) {
        if self.backlog.borrow().is_empty() { self.tick() } else { self.has_room() }
    }

    fn ended(&self, mut seat: Box<dyn Seat>, descriptor: Option<OwnedFd>, why: Disconnect) {
        self.backlog.take();
        if let (Some(descriptor), Some(farewell)) = (descriptor, self.farewell.take()) {
            farewell(descriptor, why == Disconnect::Closed);
        }
        seat.handle(Event::Lost(why));
    }
}

impl Transport for Line {
    fn now(&self) -> Duration {
        self.stand.carrier.now()
    }

    fn wake(&self, _: usize) {
        self.stand.wake();
    }

    fn local(&self, _: usize) -> Address {
        self.stand.address.clone()
    }

    fn peer(&self, _: usize) -> Address {
        self.stand.address.clone()
    }

    fn lend_outbox(&self) -> Box<Outbox> {
        self.stand.carrier.lend_outbox()
    }
}
