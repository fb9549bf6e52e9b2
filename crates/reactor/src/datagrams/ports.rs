//! Ports between the driver below and their seats above.

use std::io;
use std::rc::Rc;

use ropewalk_protocol::{Address, DatagramEvent, DatagramSeat, Disconnect, Ending, Transport};

use crate::inner::{Entry, Inner, Purpose, Request};
use crate::streams::After;
use crate::sys::os::SocketFile;
use crate::sys::{Closing, Driver, Mishap, Role, Socket};
use crate::tally::Runs;

use crate::wheel::TimerKey;
use crate::{ListeningPort, Reactor};

/// How often one port's wishes are carried out in one turn; the rest waits for the next.
const ROUNDS_PER_TURN_MAX: usize = 8;

/// One port.
#[expect(clippy::struct_excessive_bools, reason = "each tells of something else")]
pub(crate) struct Datagrams {
    /// Tells this port from others that used its key.
    pub(crate) id: u64,
    /// Out while the protocol runs.
    seat: Option<Box<dyn DatagramSeat>>,
    timer: Option<TimerKey>,
    /// The longest datagram that is taken.
    length: usize,
    /// The protocol knows that it is open.
    started: bool,
    reading: bool,
    /// What is to be sent waits until the driver tells of room.
    full: bool,
    /// It has been told of something in this turn, and is to be looked at.
    unsettled: bool,
    /// The file to remove when it closes.
    place: Option<SocketFile>,
}

impl Reactor {
    /// Takes a socket in for a seat, which is told in the next turn.
    pub(crate) fn open_port(
        &self,
        socket: Socket,
        bound: Address,
        peer: Option<Address>,
        length: usize,
        place: Option<SocketFile>,
        mut seat: Box<dyn DatagramSeat>,
    ) -> ListeningPort {
        let inner = self.inner();
        let id = inner.next_id();
        let mut entries = inner.entries.borrow_mut();
        let vacant = entries.vacant_entry();
        let key = vacant.key();
        seat.attach(Rc::clone(&inner.carrier) as Rc<dyn Transport>, key);
        vacant.insert(Entry::Datagrams(Box::new(Datagrams {
            id,
            seat: Some(seat),
            timer: None,
            length,
            started: false,
            reading: true,
            full: false,
            unsettled: false,
            place,
        })));
        drop(entries);
        inner.request(Request::OpenPort { key, id, socket, peer });
        ListeningPort::new(inner, key, id, bound)
    }

    /// Tells a seat in the next turn that it gets no port.
    pub(crate) fn refuse_port(&self, seat: Box<dyn DatagramSeat>, why: Disconnect) {
        self.inner().request(Request::RefusePort { seat, why });
    }
}

impl Inner {
    pub(crate) fn with_port<T>(
        &self,
        key: usize,
        look: impl FnOnce(&mut Datagrams) -> T,
    ) -> Option<T> {
        match self.entries.borrow_mut().get_mut(key) {
            Some(Entry::Datagrams(port)) => Some(look(port)),
            _ => None,
        }
    }

    fn take_port_seat(&self, key: usize) -> Option<Box<dyn DatagramSeat>> {
        self.with_port(key, |port| port.seat.take()).flatten()
    }

    /// Hands a port's socket to the driver and tells its protocol.
    pub(crate) fn start_port(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        id: u64,
        socket: Socket,
        peer: Option<Address>,
    ) {
        if self.with_port(key, |port| port.id) != Some(id) {
            return;
        }
        let opened = driver.open(key, socket, Role::Datagrams);
        let Some(mut seat) = self.take_port_seat(key) else { return };
        if let Err(error) = opened {
            return self.end_port(driver, key, seat, Disconnect::from(&error));
        }
        let connected = peer.is_some();
        if let Some(peer) = peer {
            self.carrier.set_peer(key, peer);
        }
        self.with_port(key, |port| port.started = true);
        seat.handle(DatagramEvent::Started { connected });
        self.settle_port(driver, key, seat);
    }

    /// Hands a port what came; it is looked at once all that came in this turn is told.
    pub(crate) fn datagrams_came(
        &self,
        key: usize,
        data: &[u8],
        segment: usize,
        from: &Address,
        truncated: bool,
    ) -> After {
        let length = self.with_port(key, |port| port.length).unwrap_or(0);
        let (count, bytes) = (&self.tally.datagrams, &self.tally.datagram_bytes);
        count.set(count.get() + data.len().div_ceil(segment.max(1)).max(1) as u64);
        bytes.set(bytes.get() + data.len() as u64);
        self.tell_port(key, |seat| {
            let mut rest = data;
            loop {
                let (datagram, others) = rest.split_at(segment.max(1).min(rest.len()));
                let part = &datagram[..datagram.len().min(length)];
                let truncated = part.len() < datagram.len() || (truncated && others.is_empty());
                seat.handle(DatagramEvent::Received { data: part, from, truncated });
                if others.is_empty() {
                    return;
                }
                rest = others;
            }
        })
    }

    /// Tells a port what went wrong with what it has sent.
    pub(crate) fn mishap(&self, key: usize, mishap: &Mishap) -> After {
        self.tell_port(key, |seat| tell_mishap(seat, mishap))
    }

    /// The driver takes datagrams of this port again.
    pub(crate) fn port_has_room(&self, key: usize) -> After {
        self.with_port(key, |port| port.full = false);
        self.tell_port(key, |_| ())
    }

    fn tell_port(&self, key: usize, tell: impl FnOnce(&mut dyn DatagramSeat)) -> After {
        if let Some(mut seat) = self.take_port_seat(key) {
            self.tally.runs(Runs::Datagrams);
            tell(&mut *seat);
            let unsettled = self.with_port(key, |port| {
                port.seat = Some(seat);
                std::mem::replace(&mut port.unsettled, true)
            });
            if unsettled == Some(false) {
                self.unsettled.borrow_mut().push(key);
                self.carrier.set_stirred(true);
            }
        }
        After::Nothing
    }

    /// Looks at the ports that were told of something in this turn.
    pub(crate) fn settle_ports(&self, driver: &mut dyn Driver) {
        if self.unsettled.borrow().is_empty() {
            return;
        }
        let mut keys = self.unsettled.take();
        for key in keys.drain(..) {
            self.with_port(key, |port| port.unsettled = false);
            if let Some(seat) = self.take_port_seat(key) {
                self.settle_port(driver, key, seat);
            }
        }
        // Kept for its memory, unless somebody was told of something meanwhile.
        let mut unsettled = self.unsettled.borrow_mut();
        if unsettled.is_empty() {
            *unsettled = keys;
        }
    }

    /// Tells a port that it was written to from outside, or that time has passed.
    pub(crate) fn tick_port(&self, driver: &mut dyn Driver, key: usize) {
        // Who has not started yet is looked at when he does.
        if self.with_port(key, |port| port.started) != Some(true) {
            return;
        }
        if let Some(mut seat) = self.take_port_seat(key) {
            seat.handle(DatagramEvent::Tick);
            self.settle_port(driver, key, seat);
        }
    }

    /// A port's timer came due.
    pub(crate) fn port_timer_due(&self, driver: &mut dyn Driver, key: usize) {
        self.with_port(key, |port| port.timer = None);
        self.tick_port(driver, key);
    }

    /// Carries out what a port wishes, and puts its seat back.
    fn settle_port(&self, driver: &mut dyn Driver, key: usize, mut seat: Box<dyn DatagramSeat>) {
        for _ in 0..ROUNDS_PER_TURN_MAX {
            let wishes = seat.wishes();
            if let Some(Ending::Abort(why)) = wishes.ending {
                return self.end_port(driver, key, seat, why);
            }
            let mut full = self.with_port(key, |port| port.full).unwrap_or(false);
            if !full {
                match self.send_datagrams(driver, key, &mut *seat) {
                    Ok((now_full, false)) => full = now_full,
                    // It was told of something, and may have more to say.
                    Ok((_, true)) => continue,
                    Err(error) => {
                        return self.end_port(driver, key, seat, Disconnect::from(&error));
                    }
                }
            }
            if !full && wishes.ending.is_some() {
                return self.end_port(driver, key, seat, Disconnect::Closed);
            }
            let paused = self.with_port(key, |port| {
                (port.reading != wishes.reading).then(|| port.reading = wishes.reading).is_some()
            });
            if paused == Some(true)
                && let Err(error) = driver.set_reading(key, wishes.reading)
            {
                return self.end_port(driver, key, seat, Disconnect::from(&error));
            }
            let now = self.carrier.now();
            self.with_port(key, |port| {
                let mut wheel = self.wheel.borrow_mut();
                match (wishes.next_call, port.timer) {
                    (Some(due), None) => {
                        port.timer = Some(wheel.add(now, due, Purpose::Datagrams(key).into()));
                    }
                    // Later is found out when the timer comes due.
                    (Some(due), Some(timer)) if due < wheel.due(timer) => {
                        wheel.reset(timer, now, due);
                    }
                    _ => (),
                }
                port.seat = Some(seat);
            });
            return;
        }
        // It keeps itself busy; the others come first.
        self.unfinished.borrow_mut().push(key);
        self.carrier.set_stirred(true);
        self.with_port(key, |port| port.seat = Some(seat));
    }

    /// Sends what a port wants sent; answers whether the driver takes no more, and whether the
    /// protocol was told of anything.
    fn send_datagrams(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        seat: &mut dyn DatagramSeat,
    ) -> io::Result<(bool, bool)> {
        let Some(mut queue) = seat.take_queue() else { return Ok((false, false)) };
        let mut mishaps = Vec::new();
        let sent = driver.send_datagrams(key, &mut queue, &mut mishaps);
        seat.give_back(queue);
        let full = sent?;
        self.with_port(key, |port| port.full = full);
        for mishap in &mishaps {
            tell_mishap(seat, mishap);
        }
        Ok((full, !mishaps.is_empty()))
    }

    /// Closes a port: everything it held is free before its protocol is told.
    fn end_port(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        mut seat: Box<dyn DatagramSeat>,
        why: Disconnect,
    ) {
        if let Some(Entry::Datagrams(port)) = self.take_entry(key) {
            // While the socket still answers, nobody takes its file for one that was left behind.
            drop(port.place);
            if let Some(timer) = port.timer {
                self.wheel.borrow_mut().remove(timer);
            }
        }
        driver.close(key, Closing::InOrder);
        self.carrier.forget_peer(key);
        seat.handle(DatagramEvent::Stopped(why));
        self.feed_the_starving(driver);
    }

    /// The same for one that is of no more use below.
    pub(crate) fn lose_port(&self, driver: &mut dyn Driver, key: usize, why: Disconnect) {
        if let Some(seat) = self.take_port_seat(key) {
            self.end_port(driver, key, seat, why);
        }
    }

    /// Ends a port from outside, after one try to send what waits; whether there was such a port.
    pub(crate) fn stop_port(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        id: u64,
        why: Disconnect,
    ) -> bool {
        if self.with_port(key, |port| port.id) != Some(id) {
            return false;
        }
        let started = self.with_port(key, |port| port.started && !port.full) == Some(true);
        if let Some(mut seat) = self.take_port_seat(key) {
            if started && let Some(mut queue) = seat.take_queue() {
                // What cannot be sent now is never sent.
                let _ = driver.send_datagrams(key, &mut queue, &mut Vec::new());
            }
            self.end_port(driver, key, seat, why);
        }
        true
    }
}

fn tell_mishap(seat: &mut dyn DatagramSeat, mishap: &Mishap) {
    seat.handle(match mishap {
        Mishap::Refused => DatagramEvent::Refused,
        Mishap::Unsent { to, why } => DatagramEvent::Unsent { to: to.as_ref(), why: *why },
    });
}
