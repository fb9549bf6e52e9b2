//! A driver over any interface that tells which descriptors are ready.
//!
//! One receive for each turn in which a socket is readable, into one buffer for all of them; output
//! is tried at once and waits for writability only if the kernel's buffer is full. What differs from
//! one interface to the next is a [`Poller`].

mod datagrams;
mod habits;
mod input;
mod pace;
mod passing;
mod poller;
mod streams;

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{DatagramQueue, Outbox};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{Shutdown, recv, shutdown};

use super::datagrams::{Message, Mishap};
use super::os::{self, BorrowedHost, accept, peer_address, unacknowledged};
use super::passing::Passing;
use super::reserve::Reserve;
use super::{Closing, Completion, Driver, Next, Role, Socket, Sockets, Unsettled};
use datagrams::Datagrams;
#[cfg(target_os = "linux")]
pub(super) use datagrams::misfortune;
use habits::Habits;
use input::Input;
use pace::Pace;
pub(crate) use poller::{Interest, Poller, Ready, Table, Token, Trigger};
pub(super) use streams::{SENDS_PER_TURN_MAX, SLICES_MAX};

/// How often one connection may receive in one turn, while its bytes fill the buffer.
const READS_PER_TURN_MAX: usize = 2;
/// How many connections one listener may accept in one turn.
pub(super) const ACCEPTS_PER_TURN_MAX: usize = 64;

pub(crate) struct Readiness<P> {
    poller: P,
    sockets: Sockets,
    entries: Vec<Entry>,
    /// The event that is looked at.
    cursor: usize,
    /// The output side of that event has been dealt with.
    output_done: bool,
    /// How many connections one listener may accept in this turn, and how many more that of the event
    /// that is looked at may.
    accepts_max: usize,
    accepts_left: usize,
    pace: Pace,
    /// The connection that was looked at last, if nothing is on its way there.
    settled: Option<usize>,
    /// Streams that are likely to have something, though nobody said so.
    expected: Vec<Token>,
    /// How often the connection of that event may still receive.
    reads_left: usize,
    input: Input,
    reserve: Reserve,
    /// From the first port on.
    datagrams: Option<Box<Datagrams>>,
    /// From the first connection on that accepts descriptors.
    passing: Option<Box<Passing>>,
}

/// Kept small: each connection has one.
#[derive(Default)]
pub(crate) struct Entry {
    generation: u32,
    role: Option<Role>,
    habits: Habits,
    /// What is asked of the kernel; nothing while the descriptor is not watched at all.
    interest: Option<Interest>,
    /// Output that has not gone yet.
    pending: Option<Box<Outbox>>,
}

/// What [`Readiness::next`] found, before it lends the buffer out.
enum Found {
    Received(usize, usize),
    /// Bytes where descriptors may be among them.
    Passed(usize, usize),
    Datagram(usize, Message),
    Other(Completion<'static>),
}

impl<P: Poller> Readiness<P> {
    pub(crate) fn new(poller: P, sockets: Sockets) -> Self {
        let input = Input::new(Rc::clone(sockets.lent()));
        Self {
            poller,
            sockets,
            entries: Vec::new(),
            cursor: 0,
            output_done: false,
            accepts_max: 1,
            accepts_left: 1,
            pace: Pace::default(),
            settled: None,
            expected: Vec::new(),
            reads_left: READS_PER_TURN_MAX,
            input,
            reserve: Reserve::new(),
            datagrams: None,
            passing: None,
        }
    }

    fn set_interest(&mut self, key: usize, wanted: Option<Interest>) -> io::Result<()> {
        if self.entries[key].interest == wanted {
            Ok(())
        } else {
            self.change_interest(key, wanted)
        }
    }

    fn change_interest(&mut self, key: usize, wanted: Option<Interest>) -> io::Result<()> {
        let entry = &mut self.entries[key];
        let token = Token { key: key as u32, generation: entry.generation };
        let poller = &mut self.poller;
        let drains = entry.habits.has(Habits::DRAINS);
        let trigger = move |wanted: Interest| match wanted {
            Interest { readable: true, writable: false } if drains => Trigger::Edge,
            _ => Trigger::Level,
        };
        let change = |socket: BorrowedFd<'_>| match (entry.interest, wanted) {
            (None, Some(wanted)) => poller.add(socket, token, wanted, trigger(wanted)),
            (Some(_), Some(wanted)) => poller.modify(socket, token, wanted, trigger(wanted)),
            (Some(_), None) => poller.delete(socket, token),
            (None, None) => Ok(()),
        };
        match self.sockets.with(key, change) {
            Some(Ok(())) => {
                entry.interest = wanted;
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(Errno::BADF.into()),
        }
    }

    /// Finds out how a stream, or those that a listener accepts, are to be watched.
    fn learn(&mut self, key: usize, habit: u8) {
        let drains = self.sockets.with(key, P::drains).unwrap_or(false);
        self.entries[key].habits.set(habit, drains);
    }

    /// Has a place for a descriptor, which is not watched yet.
    fn hold(&mut self, key: usize, socket: Socket, role: Role) -> io::Result<()> {
        let socket = socket.into_system()?;
        if self.entries.len() <= key {
            self.entries.resize_with(key + 1, Entry::default);
        }
        self.sockets.insert(key, socket);
        self.entries[key].role = Some(role);
        Ok(())
    }

    /// Has a stream told of for as long as there is something to read: not all of it was read.
    fn watch_closely(&mut self, key: usize) -> io::Result<()> {
        let entry = &mut self.entries[key];
        if !entry.habits.has(Habits::DRAINS) {
            return Ok(());
        }
        entry.habits.set(Habits::DRAINS, false);
        let interest = entry.interest;
        let changed = self.change_interest(key, interest);
        self.entries[key].habits.set(Habits::DRAINS, changed.is_err());
        changed
    }

    /// Waits for writability as well, or no more.
    fn set_writable(&mut self, key: usize, writable: bool) -> io::Result<()> {
        let interest = self.entries[key].interest;
        if interest.is_none() && !writable {
            return Ok(());
        }
        let interest = interest.unwrap_or_default();
        self.set_interest(key, Some(Interest { writable, ..interest }))
    }

    fn advance_cursor(&mut self) {
        self.cursor += 1;
        self.output_done = false;
        self.accepts_left = self.accepts_max;
        self.reads_left = READS_PER_TURN_MAX;
    }

    /// Looks at events until one of them completes something.
    #[inline]
    fn find(&mut self) -> Option<Found> {
        if self.datagrams.is_some() || !self.expected.is_empty() {
            let found = self.next_datagram().or_else(|| self.next_expected());
            if found.is_some() {
                return found;
            }
        }
        loop {
            let (Token { key, generation }, ready) = self.poller.event(self.cursor)?;
            let key = key as usize;
            let role = match self.entries.get(key) {
                Some(entry) if entry.generation == generation => entry.role,
                _ => None,
            };
            let (found, is_done) = match role {
                Some(Role::Stream) => {
                    if ready.writable
                        && let Some(found) = self.output_first(key)
                    {
                        return Some(found);
                    }
                    let found = self.receive(key, ready);
                    let is_done = !self.is_not_done(key, ready, found.as_ref());
                    (found, is_done)
                }
                role => self.look_at(key, role, ready),
            };
            if is_done {
                self.advance_cursor();
            }
            if found.is_some() {
                return found;
            }
        }
    }

    /// Looks at an event that is not a stream's; whether that is all there is to it.
    #[inline(never)]
    fn look_at(&mut self, key: usize, role: Option<Role>, ready: Ready) -> (Option<Found>, bool) {
        match role {
            None | Some(Role::Stream) => (None, true),
            Some(Role::Listener) => {
                let found = self.accept(key).map(Found::Other);
                let is_done = found.is_none();
                (found, is_done)
            }
            Some(Role::Connecting) => (Some(Found::Other(self.finish_connect(key))), true),
            Some(Role::Watch | Role::WatchOutput) => (self.watched(key), true),
            Some(Role::Datagrams) => match self.room_first(key, ready) {
                Some(found) => (Some(found), false),
                None => (self.receive_datagrams(key, ready), true),
            },
            Some(Role::Passing) => {
                if ready.writable
                    && let Some(found) = self.output_first(key)
                {
                    return (Some(found), false);
                }
                let found = self.receive_passed(key, ready);
                let is_telling = |passing: &Passing| passing.is_telling(key);
                let is_done = found.is_none() || !self.passing.as_deref().is_some_and(is_telling);
                (found, is_done)
            }
        }
    }

    /// The same for a port.
    fn room_first(&mut self, key: usize, ready: Ready) -> Option<Found> {
        if !ready.writable || std::mem::replace(&mut self.output_done, true) {
            return None;
        }
        self.has_room(key).map(Found::Other)
    }

    /// A watched descriptor is ready, if it still is to be watched.
    fn watched(&self, key: usize) -> Option<Found> {
        self.entries[key].interest.map(|_| Found::Other(Completion::Ready { key }))
    }

    fn accept(&mut self, key: usize) -> Option<Completion<'static>> {
        // It may have been paused since the kernel told of it.
        if !self.entries[key].interest?.readable {
            return None;
        }
        self.accepts_left = self.accepts_left.checked_sub(1)?;
        match self.sockets.with(key, accept)? {
            Ok((socket, peer)) => {
                self.pace.accepted();
                let peer = peer_address(peer);
                Some(Completion::Accepted { key, socket: socket.into(), peer })
            }
            // Nobody waits, or not any more; or a signal came, and the next turn asks again.
            Err(Errno::WOULDBLOCK | Errno::INTR | Errno::CONNABORTED) => None,
            Err(error) => {
                self.accepts_left = 0;
                Some(Completion::AcceptFailed { key, error: error.into() })
            }
        }
    }

    fn finish_connect(&mut self, key: usize) -> Completion<'static> {
        let outcome = self.sockets.with(key, |socket| sockopt::socket_error(socket));
        let result = match outcome {
            Some(Ok(outcome)) => outcome.map_err(io::Error::from),
            Some(Err(error)) => Err(error.into()),
            None => Err(Errno::BADF.into()),
        };
        let result = result.and_then(|()| {
            self.entries[key].role = Some(Role::Stream);
            self.learn(key, Habits::DRAINS);
            self.set_interest(key, Some(Interest { readable: true, writable: false }))
        });
        Completion::Connected { key, result }
    }
}

impl<P: Poller> Driver for Readiness<P> {
    fn name(&self) -> &'static str {
        self.poller.name()
    }

    fn descriptor(&self) -> BorrowedHost<'_> {
        self.poller.descriptor()
    }

    fn expose(&mut self) -> io::Result<()> {
        self.poller.expose()
    }

    fn open(&mut self, key: usize, socket: Socket, role: Role) -> io::Result<()> {
        self.hold(key, socket, role)?;
        match role {
            Role::Stream => self.learn(key, Habits::DRAINS),
            Role::Listener => self.learn(key, Habits::STREAMS_DRAIN),
            Role::Datagrams => self.open_port(key),
            _ => (),
        }
        self.set_interest(key, Some(interest_of(role)))
    }

    fn open_accepted(&mut self, key: usize, socket: Socket, listener: usize) -> io::Result<()> {
        self.hold(key, socket, Role::Stream)?;
        let of_listener = self.entries.get(listener).map(|listener| listener.habits);
        let drains = of_listener.is_some_and(|habits| habits.has(Habits::STREAMS_DRAIN));
        self.entries[key].habits.set(Habits::DRAINS, drains);
        self.set_interest(key, Some(interest_of(Role::Stream)))
    }

    fn set_reading(&mut self, key: usize, reading: bool) -> io::Result<()> {
        if let Some(role @ (Role::Watch | Role::WatchOutput)) = self.entries[key].role {
            // Not even of a hang-up, which would be told without end.
            return self.set_interest(key, reading.then(|| interest_of(role)));
        }
        self.entries[key].habits.does_not_swallow();
        let interest = self.entries[key].interest.unwrap_or_default();
        self.set_interest(key, Some(Interest { readable: reading, ..interest }))
    }

    fn send(&mut self, key: usize, out: &mut Option<Box<Outbox>>) -> io::Result<u64> {
        let Some(output) = out else { return Ok(0) };
        self.entries[key].habits.does_not_swallow();
        if let Some(pending) = &mut self.entries[key].pending {
            pending.append(output);
            return Ok(pending.len());
        }
        self.push(key, output)?;
        let left = output.len();
        if left > 0 {
            self.entries[key].pending = out.take();
            self.set_writable(key, true)?;
        }
        Ok(left)
    }

    fn accept_descriptors(&mut self, key: usize, at_once: usize) -> io::Result<()> {
        let role = self.entries.get_mut(key).and_then(|entry| entry.role.as_mut());
        let Some(role @ (Role::Stream | Role::Passing)) = role else {
            return Err(Errno::BADF.into());
        };
        *role = Role::Passing;
        self.watch_closely(key)?;
        self.passing.get_or_insert_with(|| Box::new(Passing::new())).accept(key, at_once);
        Ok(())
    }

    fn send_datagrams(
        &mut self,
        key: usize,
        queue: &mut DatagramQueue,
        mishaps: &mut Vec<Mishap>,
    ) -> io::Result<bool> {
        self.push_datagrams(key, queue, mishaps)
    }

    fn expect(&mut self, key: usize) {
        if let Some(entry) = self.entries.get(key) {
            self.expected.push(Token { key: key as u32, generation: entry.generation });
        }
    }

    fn passes_on(&mut self, key: usize) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.habits.does_not_swallow();
        }
    }

    fn share(&mut self, key: usize) {
        self.entries[key].habits.set(Habits::SHARED, true);
    }

    fn end_stream(&mut self, key: usize) -> io::Result<()> {
        self.sockets.with(key, end_stream).unwrap_or(Ok(()))
    }

    fn unsettled(&mut self, key: usize) -> Unsettled {
        let buffer = self.input.room();
        let look = |socket: BorrowedFd<'_>| match recv(socket, buffer, os::AT_ONCE) {
            // The peer ended its stream: nothing can come that would throw away what it is sent.
            Ok((0, _)) => Unsettled::default(),
            received => {
                Unsettled { is_unread: received.is_ok(), unacknowledged: unacknowledged(socket) }
            }
        };
        let found = self.sockets.with(key, look).unwrap_or_default();
        self.settled = (found == Unsettled::default()).then_some(key);
        found
    }

    fn close(&mut self, key: usize, how: Closing) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let token = Token { key: key as u32, generation: entry.generation };
        let role = entry.role.take();
        let watched = entry.interest.take().is_some();
        entry.generation = entry.generation.wrapping_add(1);
        entry.pending = None;
        let settled = self.settled.take() == Some(key);
        let shared = std::mem::take(&mut entry.habits).has(Habits::SHARED);
        if role == Some(Role::Datagrams) {
            self.close_port(key);
        } else if role == Some(Role::Passing) {
            self.passing.as_mut().into_iter().for_each(|passing| passing.forget(key));
        }
        let Some(socket) = self.sockets.remove(key) else { return };
        if watched && shared {
            // What cannot be told is no longer wanted either.
            let _ = self.poller.delete(socket.as_fd(), token);
        } else if watched {
            self.poller.forget(socket.as_fd(), token);
        }
        match how {
            Closing::InOrder if !settled && matches!(role, Some(Role::Stream | Role::Passing)) => {
                self.read_the_rest(socket.as_fd());
            }
            Closing::InOrder | Closing::Done => (),
            Closing::Reset => make_reset(&socket),
        }
        drop(socket);
        self.reserve.renew();
    }

    fn release(&mut self, key: usize) -> Option<Socket> {
        // Not watched any more, it is a descriptor like any other.
        self.set_interest(key, None).ok()?;
        let entry = self.entries.get_mut(key)?;
        entry.role = None;
        entry.habits = Habits::default();
        entry.generation = entry.generation.wrapping_add(1);
        self.sockets.remove(key).map(Socket::from)
    }

    fn shed(&mut self, key: usize) -> usize {
        self.reserve.shed(&self.sockets, key)
    }

    fn outputs(&self) -> usize {
        self.entries.iter().filter(|entry| entry.pending.is_some()).count()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.cursor = 0;
        self.output_done = false;
        self.accepts_max = self.pace.turn();
        self.accepts_left = self.accepts_max;
        self.reads_left = READS_PER_TURN_MAX;
        match self.poller.wait(timeout) {
            // A signal, or a kernel that is short of memory for a moment.
            Ok(()) | Err(Errno::INTR) => Ok(()),
            Err(error) if os::is_passing(error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn next(&mut self) -> Option<Completion<'_>> {
        match self.find()? {
            Found::Received(key, count) => {
                Some(Completion::Received { key, data: self.input.received(count) })
            }
            Found::Passed(key, count) => {
                let data = self.passing.as_ref()?.bytes(count);
                Some(Completion::Received { key, data })
            }
            Found::Datagram(key, message) => {
                self.datagrams.as_ref().map(|datagrams| datagrams.lend(key, message))
            }
            Found::Other(completion) => Some(completion),
        }
    }

    fn what_is_next(&self) -> Next {
        let is_done = !self.output_done && self.reads_left == READS_PER_TURN_MAX;
        if !is_done {
            Next::Unknown
        } else if self.poller.event(self.cursor).is_some() {
            // Each event is of another descriptor.
            Next::Another
        } else if self.datagrams.is_none() && self.expected.is_empty() {
            Next::Nothing
        } else {
            Next::Unknown
        }
    }
}

/// What is asked of the kernel for a descriptor at first.
fn interest_of(role: Role) -> Interest {
    let writable = matches!(role, Role::Connecting | Role::WatchOutput);
    Interest { readable: !writable, writable }
}

/// Ends the stream out.
pub(super) fn end_stream(socket: BorrowedFd<'_>) -> io::Result<()> {
    match shutdown(socket, Shutdown::Write) {
        // A peer that is gone already will be noticed by whoever reads.
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Has the peer told of a reset when the socket closes.
pub(super) fn make_reset(socket: &OwnedFd) {
    // Only TCP knows a reset; elsewhere an end is an end.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}
