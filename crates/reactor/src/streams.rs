//! Connections between the driver below and their seats above.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, Arrival, Disconnect, Ending, Event, FileOperation, FileOutcome, Outbox, Seat,
    Successor, Transport, Wishes,
};

use crate::inner::{Entry, Inner, Purpose, Stream};
use crate::sys::{Closing, Completion, Driver, Socket};
use crate::under_way::Kind;

/// How much of one connection's wishes is carried out in one turn; the rest waits for the next. A round with
/// little to send takes one, one with much [`BURDEN_MAX`].
const BURDEN_PER_TURN_MAX: usize = 32;
/// So that eight rounds have their turn whatever they send.
const BURDEN_MAX: usize = 4;
/// How many bytes add one to the burden.
const BURDEN_STEP: u64 = 4096;

impl Inner {
    /// Hands a completed operation to whom it concerns; answers the connection to look at after.
    pub(crate) fn deliver(&self, completion: Completion<'_>) -> After {
        match completion {
            Completion::Received { key, data } => {
                self.bytes_came(key, data).map_or(After::Nothing, |seat| After::Settle(key, seat))
            }
            Completion::Passed { key, descriptor } => {
                self.told(key, Event::Descriptor(&Arrival::new(descriptor)))
            }
            Completion::Ended { key } => {
                if self.with_stream(key, |stream| stream.ended = true).is_none() {
                    return After::Lingered(key);
                }
                self.told(key, Event::Eof)
            }
            Completion::Sent { key, left } => {
                self.with_stream(key, |stream| stream.backlogged = left > 0);
                self.told(key, Event::Sent { left })
            }
            Completion::Datagram { key, data, segment, from, truncated } => {
                self.datagrams_came(key, data, segment, &from, truncated)
            }
            Completion::Mishap { key, mishap } => self.mishap(key, &mishap),
            Completion::Writable { key } => self.port_has_room(key),
            Completion::Failed { key, error } => After::Failed(key, error),
            Completion::Connected { key, result } => After::Connected(key, result),
            Completion::Accepted { key, socket, peer } => After::Accepted(key, socket, peer),
            Completion::AcceptFailed { key, error } => After::AcceptFailed(key, error),
            Completion::Ready { key } => After::Ready(key),
            Completion::File { id, result } => After::File(id, result),
            Completion::FileReturned { id, operation } => After::FileReturned(id, operation),
        }
    }

    /// Tells a connection of bytes; answers its seat, which is to be settled then.
    #[inline]
    pub(crate) fn bytes_came(&self, key: usize, data: &[u8]) -> Option<Box<dyn Seat>> {
        let (seat, source) = self.with_stream(key, |stream| {
            stream.received += data.len() as u64;
            (stream.seat.take(), stream.source)
        })?;
        let mut seat = seat?;
        self.tally.runs_connection(source);
        seat.handle(Event::Data(data));
        Some(seat)
    }

    fn told(&self, key: usize, event: Event<'_>) -> After {
        let Some(mut seat) = self.take_seat(key) else { return After::Nothing };
        seat.handle(event);
        After::Settle(key, seat)
    }

    pub(crate) fn take_seat(&self, key: usize) -> Option<Box<dyn Seat>> {
        let taken = self.with_stream(key, |stream| (stream.seat.take(), stream.source));
        let (seat, source) = taken?;
        self.tally.runs_connection(source);
        seat
    }

    pub(crate) fn with_stream<T>(
        &self,
        key: usize,
        look: impl FnOnce(&mut Stream) -> T,
    ) -> Option<T> {
        match self.entries.borrow_mut().get_mut(key) {
            Some(Entry::Stream(stream)) => Some(look(stream)),
            _ => None,
        }
    }

    /// Makes a connection of a socket that a listener accepted, and whose peer may have sent something.
    pub(crate) fn adopt(
        &self,
        driver: &mut dyn Driver,
        listener: usize,
        socket: Socket,
        peer: Address,
        mut seat: Box<dyn Seat>,
        has_sent: bool,
    ) {
        let place = self.with_listener(listener, |listener| listener.counted_at).unwrap_or(0);
        let source = self.tally.opened(place, &*seat);
        let stream = Stream::connected(source, self.carrier.now());
        let key = self.entries.borrow_mut().insert(Entry::Stream(stream));
        self.origins.inherit(Kind::Entry, key, listener);
        seat.attach(Rc::clone(&self.carrier) as Rc<dyn Transport>, key);
        if let Err(error) = driver.open_accepted(key, socket, listener) {
            self.entries.borrow_mut().remove(key);
            driver.close(key, Closing::Reset);
            let why = Disconnect::from(&error);
            self.tally.closed(source, 0, 0);
            self.tally.ended(why);
            seat.handle(Event::Lost(why));
            return;
        }
        self.carrier.set_peer(key, peer);
        self.tally.runs_connection(source);
        seat.handle(Event::Made);
        self.settle(driver, key, seat);
        if has_sent {
            driver.expect(key);
        }
    }

    /// Tells a connection that it was written to from outside, or that time has passed.
    pub(crate) fn tick(&self, driver: &mut dyn Driver, key: usize) {
        if let Some(mut seat) = self.take_seat(key) {
            seat.handle(Event::Tick);
            self.settle(driver, key, seat);
        } else {
            self.tick_port(driver, key);
        }
    }

    /// Carries out what a connection wishes, and puts its seat back.
    pub(crate) fn settle(&self, driver: &mut dyn Driver, key: usize, mut seat: Box<dyn Seat>) {
        let mut burden = 0;
        let mut written = 0;
        while burden < BURDEN_PER_TURN_MAX {
            burden += 1;
            let wishes = seat.wishes();
            if let Some(Ending::Abort(why)) = wishes.ending {
                self.with_stream(key, |stream| stream.sent += written);
                return self.end(driver, key, seat, why);
            }
            if wishes.succession {
                if let Err(error) = self.accept_descriptors(driver) {
                    return self.end(driver, key, seat, Disconnect::from(&error));
                }
                let carrier = Rc::clone(&self.carrier) as Rc<dyn Transport>;
                Successor::seat_all(&mut seat, &carrier, key);
                self.with_stream(key, |stream| {
                    stream.source = self.tally.switched(stream.source, &*seat);
                });
                continue;
            }
            let mut left = None;
            if wishes.output {
                let out = seat.take_output();
                let length = out.as_ref().map_or(0, |out| out.len());
                burden += ((length / BURDEN_STEP) as usize).min(BURDEN_MAX - 1);
                written += length;
                match self.send(driver, key, out) {
                    Ok(bytes) => left = Some(bytes),
                    Err(error) => return self.end_failed(driver, key, seat, &error),
                }
            }
            if let Some(left) = left
                && (left > 0 || wishes.sent)
            {
                seat.handle(Event::Sent { left });
                continue;
            }
            return match self.rest(driver, key, &wishes, written, seat) {
                Ok(()) => (),
                Err((seat, why)) => self.end(driver, key, seat, why),
            };
        }
        // It keeps itself busy; the others come first.
        self.unfinished.borrow_mut().push(key);
        self.carrier.set_stirred(true);
        self.put_back(key, written, seat);
    }

    /// The same for those that are held, if there are any.
    #[inline]
    pub(crate) fn settle_held(&self, driver: &mut dyn Driver, count: &mut usize) {
        if std::mem::take(count) > 0 {
            self.settle_all(driver);
        }
    }

    #[inline(never)]
    fn settle_all(&self, driver: &mut dyn Driver) {
        let mut held = self.held.take();
        held.drain(..).for_each(|(key, seat)| self.settle(driver, key, seat));
        self.held.replace(held);
    }

    fn send(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        mut out: Option<Box<Outbox>>,
    ) -> io::Result<u64> {
        let left = driver.send(key, &mut out)?;
        if let Some(out) = out {
            self.carrier.recycle(out);
        }
        if left > 0 {
            self.with_stream(key, |stream| stream.backlogged = true);
        }
        Ok(left)
    }

    /// Has connections receive the descriptors that they asked for.
    #[cold]
    fn accept_descriptors(&self, driver: &mut dyn Driver) -> io::Result<()> {
        for (key, at_once) in self.carrier.take_accepting() {
            driver.accept_descriptors(key, at_once)?;
        }
        Ok(())
    }

    /// Carries out what does not end in another word to the protocol, and puts the seat back; or gives
    /// it back with the reason for which it must end.
    fn rest(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        wishes: &Wishes,
        written: u64,
        seat: Box<dyn Seat>,
    ) -> Result<(), (Box<dyn Seat>, Disconnect)> {
        let mut entries = self.entries.borrow_mut();
        if let Some(Entry::Stream(stream)) = entries.get_mut(key) {
            stream.sent += written;
            if let Some(why) = self.carry_out_wishes(driver, key, stream, wishes) {
                return Err((seat, why));
            }
            stream.seat = Some(seat);
        } else {
            // What is dropped with it may look for an entry too.
            drop(entries);
        }
        Ok(())
    }

    fn carry_out_wishes(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        stream: &mut Stream,
        wishes: &Wishes,
    ) -> Option<Disconnect> {
        if stream.attempt.is_some() {
            return wishes.ending.map(|_| Disconnect::Aborted);
        }
        if !stream.backlogged {
            if wishes.ending == Some(Ending::Close) {
                return Some(Disconnect::Closed);
            }
            if wishes.close_write && !stream.write_ended {
                stream.write_ended = true;
                if let Err(error) = driver.end_stream(key) {
                    return Some(Disconnect::from(&error));
                }
            }
            if stream.write_ended && stream.ended && wishes.reading {
                return Some(Disconnect::Closed);
            }
        }
        let reading = wishes.reading && !stream.ended;
        if reading != stream.reading {
            stream.reading = reading;
            if let Err(error) = driver.set_reading(key, reading) {
                return Some(Disconnect::from(&error));
            }
        }
        if let Some(due) = wishes.next_call {
            let now = self.carrier.now();
            let mut wheel = self.wheel.borrow_mut();
            match stream.timer {
                None => stream.timer = Some(wheel.add(now, due, Purpose::Stream(key).into())),
                Some(timer) if wheel.is_after(timer, due) => wheel.reset(timer, now, due),
                // Later is found out when the timer comes due: moving it with every message would
                // cost more than that.
                Some(_) => (),
            }
        }
        None
    }

    fn put_back(&self, key: usize, written: u64, seat: Box<dyn Seat>) {
        self.with_stream(key, |stream| {
            stream.sent += written;
            stream.seat = Some(seat);
        });
    }

    /// A connection's timer came due.
    pub(crate) fn timer_due(&self, driver: &mut dyn Driver, key: usize) {
        let attempting = self.with_stream(key, |stream| {
            stream.timer = None;
            stream.attempt.is_some()
        });
        match attempting {
            Some(true) => self.attempt_due(driver, key),
            Some(false) => self.tick(driver, key),
            None => self.linger_due(driver, key),
        }
    }

    /// Ends a connection: everything it held is free before its protocol is told, but for the
    /// descriptor of one that [lingers](Self::linger).
    pub(crate) fn end(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        seat: Box<dyn Seat>,
        why: Disconnect,
    ) {
        let how = if why == Disconnect::Closed { Closing::InOrder } else { Closing::Reset };
        self.end_as(driver, key, seat, why, how);
    }

    /// The same for one of which the system says that nothing more can be made.
    fn end_failed(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        seat: Box<dyn Seat>,
        error: &io::Error,
    ) {
        let why = Disconnect::from(error);
        // Where the peer has reset it there is nobody to tell of another reset.
        let how = if why == Disconnect::Reset { Closing::Done } else { Closing::Reset };
        self.end_as(driver, key, seat, why, how);
    }

    fn end_as(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        mut seat: Box<dyn Seat>,
        why: Disconnect,
        how: Closing,
    ) {
        let has_ended = || self.with_stream(key, |stream| stream.ended) == Some(true);
        let is_done = how == Closing::InOrder && (seat.wishes().peer_done || has_ended());
        let how = if is_done { Closing::Done } else { how };
        let lingers = if how == Closing::InOrder { self.linger(driver, key) } else { None };
        let stream = lingers.or_else(|| {
            let entry = self.take_entry(key);
            driver.close(key, how);
            match entry {
                Some(Entry::Stream(stream)) => Some(stream),
                _ => None,
            }
        });
        if let Some(mut stream) = stream {
            self.forget(driver, key, &mut stream);
        }
        self.tally.ended(why);
        seat.handle(Event::Lost(why));
        self.feed_the_starving(driver);
    }

    /// The same for one whose seat is in its place.
    pub(crate) fn lose(&self, driver: &mut dyn Driver, key: usize, why: Disconnect) {
        if let Some(seat) = self.take_seat(key) {
            self.end(driver, key, seat, why);
        } else {
            self.lose_port(driver, key, why);
        }
    }

    /// The same for one of which the system says that nothing more can be made.
    pub(crate) fn lose_failed(&self, driver: &mut dyn Driver, key: usize, error: &io::Error) {
        if let Some(seat) = self.take_seat(key) {
            self.end_failed(driver, key, seat, error);
        } else {
            self.lose_port(driver, key, Disconnect::from(error));
        }
    }

    pub(crate) fn forget(&self, driver: &mut dyn Driver, key: usize, stream: &mut Stream) {
        if let Some(attempt) = stream.attempt.take() {
            self.end_runners(driver, key, &attempt);
        }
        if let Some(timer) = stream.timer {
            self.wheel.borrow_mut().remove(timer);
        }
        self.tally.closed(stream.source, stream.received, stream.sent);
        self.carrier.forget_peer(key);
    }
}

impl Stream {
    fn connected(source: u32, now: Duration) -> Self {
        Self {
            seat: None,
            timer: None,
            source,
            since: now.as_millis() as u32,
            received: 0,
            sent: 0,
            reading: true,
            ended: false,
            write_ended: false,
            backlogged: false,
            attempt: None,
        }
    }
}

/// What is to be done about a completed operation once the driver is free again.
pub(crate) enum After {
    Nothing,
    Settle(usize, Box<dyn Seat>),
    Failed(usize, io::Error),
    Lingered(usize),
    Connected(usize, io::Result<()>),
    Accepted(usize, Socket, Address),
    AcceptFailed(usize, io::Error),
    Ready(usize),
    File(u64, io::Result<FileOutcome>),
    FileReturned(u64, FileOperation),
}
