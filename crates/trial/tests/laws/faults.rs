//! Carriers with a fault in them, each in its own way.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Event, Outbox, Seat, Successor, Transport, Wishes, seat};
use ropewalk_reactor::platform::{Closing, Completion, Driver, Role, Socket};
use ropewalk_trial::{Random, Witness};

/// What is wrong with a [`Faulty`] driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A writer is not told that its output has gone.
    LostWakeUp,
    /// The last bytes before a close stay behind.
    DroppedTail,
    /// What was written later goes first.
    Reordering,
    /// Sockets are not closed.
    DescriptorLeak,
    /// Reading goes on while it is paused.
    DeafToPause,
    /// Reading does not go on after a pause.
    LostResume,
    /// Bytes are delivered again.
    Repetition,
    /// The end of the peer's stream is not told.
    LostEnd,
    /// What is aborted ends as if it were closed.
    AbortAsClose,
    /// A lack of descriptors goes unnoticed.
    SilentScarcity,
    /// Bytes that arrived are not told.
    LostBytes,
}

/// A driver that does what it should, but for one thing and now and then.
pub(crate) struct Faulty {
    below: Box<dyn Driver>,
    fault: Fault,
    random: Random,
    /// Output that is held back, by key.
    held: BTreeMap<usize, Box<Outbox>>,
    /// What was received last, to be told again.
    again: VecDeque<(usize, Vec<u8>)>,
    told: Vec<u8>,
    listeners: Vec<usize>,
}

impl Faulty {
    pub(crate) fn over(below: Box<dyn Driver>, fault: Fault, seed: u64) -> Box<dyn Driver> {
        Box::new(Self {
            below,
            fault,
            random: Random::new(seed),
            held: BTreeMap::new(),
            again: VecDeque::new(),
            told: Vec::new(),
            listeners: Vec::new(),
        })
    }

    fn strikes(&mut self, fault: Fault) -> bool {
        self.fault == fault && self.random.chance(0.3)
    }

    /// Gives what was held back to the driver.
    fn let_go(&mut self, key: usize) -> io::Result<()> {
        let mut held = self.held.remove(&key);
        self.below.send(key, &mut held).map(drop)
    }
}

impl Driver for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.below.descriptor()
    }

    fn expose(&mut self) -> io::Result<()> {
        self.below.expose()
    }

    fn open(&mut self, key: usize, socket: Socket, role: Role) -> io::Result<()> {
        if role == Role::Listener {
            self.listeners.push(key);
        }
        self.below.open(key, socket, role)
    }

    fn set_reading(&mut self, key: usize, reading: bool) -> io::Result<()> {
        let is_lost = if reading {
            self.strikes(Fault::LostResume)
        } else {
            self.fault == Fault::DeafToPause && !self.listeners.contains(&key)
        };
        if is_lost { Ok(()) } else { self.below.set_reading(key, reading) }
    }

    fn send(&mut self, key: usize, out: &mut Option<Box<Outbox>>) -> io::Result<u64> {
        let is_first = !self.held.contains_key(&key);
        if is_first && out.is_some() && self.strikes(Fault::Reordering) {
            self.held.extend(out.take().map(|held| (key, held)));
            return Ok(0);
        }
        if self.fault == Fault::DroppedTail
            && let Some(output) = out
        {
            if !is_first {
                self.let_go(key)?;
            }
            let mut rest = std::mem::take(&mut **output);
            **output = rest.split_to(rest.len().saturating_sub(3));
            self.held.insert(key, Box::new(rest));
            return self.below.send(key, out);
        }
        let left = self.below.send(key, out)?;
        if !is_first && self.fault == Fault::Reordering {
            self.let_go(key)?;
        }
        Ok(left)
    }

    fn accept_descriptors(&mut self, key: usize, at_once: usize) -> io::Result<()> {
        self.below.accept_descriptors(key, at_once)
    }

    fn end_stream(&mut self, key: usize) -> io::Result<()> {
        self.let_go(key)?;
        self.below.end_stream(key)
    }

    fn close(&mut self, key: usize, how: Closing) {
        self.held.remove(&key);
        let how = if self.fault == Fault::AbortAsClose { Closing::InOrder } else { how };
        if !self.strikes(Fault::DescriptorLeak) {
            self.below.close(key, how);
        }
    }

    fn release(&mut self, key: usize) -> Option<Socket> {
        self.below.release(key)
    }

    fn shed(&mut self, key: usize) -> usize {
        self.below.shed(key)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.below.wait(timeout)
    }

    fn next(&mut self) -> Option<Completion<'_>> {
        if let Some((key, data)) = self.again.pop_front() {
            self.told = data;
            return Some(Completion::Received { key, data: &self.told });
        }
        loop {
            let strikes = self.random.chance(0.3);
            let found = match self.below.next()? {
                Completion::Sent { left: 0, .. } if self.fault == Fault::LostWakeUp && strikes => {
                    continue;
                }
                Completion::Ended { .. } if self.fault == Fault::LostEnd && strikes => continue,
                Completion::AcceptFailed { .. } if self.fault == Fault::SilentScarcity => continue,
                Completion::Received { .. } if self.fault == Fault::LostBytes && strikes => {
                    continue;
                }
                Completion::Received { key, data } => {
                    if self.fault == Fault::Repetition && strikes {
                        self.again.push_back((key, data.to_vec()));
                    }
                    self.told.clear();
                    self.told.extend_from_slice(data);
                    Err(key)
                }
                Completion::Accepted { key, socket, peer } => {
                    Ok(Completion::Accepted { key, socket, peer })
                }
                Completion::AcceptFailed { key, error } => {
                    Ok(Completion::AcceptFailed { key, error })
                }
                Completion::Connected { key, result } => Ok(Completion::Connected { key, result }),
                Completion::Ended { key } => Ok(Completion::Ended { key }),
                Completion::Sent { key, left } => Ok(Completion::Sent { key, left }),
                Completion::Failed { key, error } => Ok(Completion::Failed { key, error }),
                // Nothing else comes on streams.
                _ => continue,
            };
            return Some(match found {
                Ok(completion) => completion,
                Err(key) => Completion::Received { key, data: &self.told },
            });
        }
    }
}

/// What is wrong with a [`Careless`] seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    /// A call comes a turn late.
    LateCall,
    /// The end is told twice.
    TwoEnds,
    /// The end is not told.
    NoEnd,
    /// The beginning is told after the first bytes.
    LateBeginning,
}

/// A transport between the reactor and a protocol that tells it something wrong.
pub(crate) struct Careless {
    seat: Box<dyn Seat>,
    slip: Slip,
    /// Writes to the same notes, and is told what is told twice.
    twin: Box<dyn Seat>,
    /// A beginning that has not been told.
    is_begun: bool,
    has_slept: bool,
}

impl Careless {
    pub(crate) fn dress(witness: Witness, slip: Slip) -> Box<dyn Seat> {
        let twin = seat(Witness::sharing(&witness.notes(), |_, _| ()));
        let seat = seat(witness);
        Box::new(Self { seat, slip, twin, is_begun: false, has_slept: false })
    }
}

impl Seat for Careless {
    fn attach(&mut self, transport: Rc<dyn Transport>, key: usize) {
        self.seat.attach(transport, key);
    }

    fn handle(&mut self, event: Event<'_>) {
        match (self.slip, event) {
            (Slip::LateCall, Event::Tick) if !std::mem::replace(&mut self.has_slept, true) => (),
            (Slip::TwoEnds, Event::Lost(why)) => {
                self.seat.handle(Event::Lost(why));
                self.twin.handle(Event::Lost(why));
            }
            (Slip::NoEnd, Event::Lost(_)) => (),
            (Slip::LateBeginning, Event::Made) => self.is_begun = true,
            (_, event) => {
                self.has_slept = false;
                self.seat.handle(event);
                if std::mem::take(&mut self.is_begun) {
                    self.seat.handle(Event::Made);
                }
            }
        }
    }

    fn wishes(&self) -> Wishes {
        self.seat.wishes()
    }

    fn take_output(&mut self) -> Option<Box<Outbox>> {
        self.seat.take_output()
    }

    fn take_successor(&mut self) -> Option<Successor> {
        self.seat.take_successor()
    }
}
