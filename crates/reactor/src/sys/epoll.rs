//! Linux's `epoll`, level-triggered.
//!
//! One receive for each turn in which a socket is readable, into one buffer for all of them; output
//! is tried at once and waits for writability only if the kernel's buffer is full.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ropewalk_protocol::Outbox;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, acceptfrom_with, recv, send,
    sendmsg, shutdown,
};

use super::{Closing, Completion, Driver, Role, Sockets, peer_address};

/// How many bytes one receive takes at most; the buffer is the reactor's only one.
const READ_SIZE: usize = 64 * 1024;
/// How many events one wait fetches at most.
const EVENTS_MAX: usize = 1024;
/// How many connections one listener may accept in one turn.
const ACCEPTS_PER_TURN_MAX: usize = 64;
/// How many slices one send gathers.
const SLICES_MAX: usize = 16;
/// How many bytes of a file one call sends, so that no connection holds the turn up for long.
const FILE_STEP: u64 = 1 << 20;
/// How many calls one connection may spend on its output in one turn.
const SENDS_PER_TURN_MAX: usize = 4;

/// How often a closing connection throws away what its peer still sent.
const LAST_READS_MAX: usize = 16;

pub(crate) struct Epoll {
    epoll: OwnedFd,
    sockets: Sockets,
    entries: Vec<Entry>,
    events: Vec<Event>,
    /// The event that is looked at.
    cursor: usize,
    /// The output side of that event has been dealt with.
    output_done: bool,
    accepts_left: usize,
    buffer: Box<[u8]>,
    /// Given up for a moment when there is no other descriptor left.
    reserve: Option<OwnedFd>,
}

#[derive(Default)]
struct Entry {
    /// Tells the key's present use from earlier ones, of which events may still be under way.
    generation: u32,
    role: Option<Role>,
    interest: Interest,
    /// Output that has not gone yet.
    pending: Option<Box<Outbox>>,
}

/// What is asked of the kernel for one descriptor.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Interest {
    readable: bool,
    writable: bool,
    /// The descriptor is in the kernel's set at all.
    registered: bool,
}

impl Interest {
    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.readable);
        flags.set(EventFlags::OUT, self.writable);
        flags
    }
}

/// What [`Epoll::next`] found, before it lends the buffer out.
enum Found {
    Received(usize, usize),
    Other(Completion<'static>),
}

impl Epoll {
    pub(crate) fn new(sockets: Sockets) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            sockets,
            entries: Vec::new(),
            events: Vec::with_capacity(EVENTS_MAX),
            cursor: 0,
            output_done: false,
            accepts_left: ACCEPTS_PER_TURN_MAX,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            reserve: open_reserve(),
        })
    }

    fn set_interest(&mut self, key: usize, wanted: Interest) -> io::Result<()> {
        let entry = &mut self.entries[key];
        if entry.interest == wanted {
            return Ok(());
        }
        let data = EventData::new_u64(u64::from(entry.generation) << 32 | key as u64);
        let epoll = &self.epoll;
        let change = |socket: BorrowedFd<'_>| match (entry.interest.registered, wanted.registered) {
            (false, true) => epoll::add(epoll, socket, data, wanted.flags()),
            (true, true) => epoll::modify(epoll, socket, data, wanted.flags()),
            (true, false) => epoll::delete(epoll, socket),
            (false, false) => Ok(()),
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

    fn advance_cursor(&mut self) {
        self.cursor += 1;
        self.output_done = false;
        self.accepts_left = ACCEPTS_PER_TURN_MAX;
    }

    /// Looks at events until one of them completes something.
    fn find(&mut self) -> Option<Found> {
        loop {
            let Event { flags, data } = *self.events.get(self.cursor)?;
            let data = data.u64();
            let (key, generation) = ((data & 0xffff_ffff) as usize, (data >> 32) as u32);
            let role = match self.entries.get(key) {
                Some(entry) if entry.generation == generation => entry.role,
                _ => None,
            };
            let found = match role {
                None => None,
                Some(Role::Listener) => {
                    if let Some(found) = self.accept(key) {
                        return Some(Found::Other(found));
                    }
                    None
                }
                Some(Role::Connecting) => Some(Found::Other(self.finish_connect(key))),
                Some(Role::Watch) => Some(Found::Other(Completion::Readable { key })),
                Some(Role::Stream) => {
                    if !self.output_done && flags.contains(EventFlags::OUT) {
                        self.output_done = true;
                        if let Some(found) = self.go_on_sending(key) {
                            return Some(Found::Other(found));
                        }
                    }
                    self.receive(key, flags)
                }
            };
            self.advance_cursor();
            if found.is_some() {
                return found;
            }
        }
    }

    fn accept(&mut self, key: usize) -> Option<Completion<'static>> {
        self.accepts_left = self.accepts_left.checked_sub(1)?;
        let accept = |listener: BorrowedFd<'_>| {
            acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
        };
        match self.sockets.with(key, accept)? {
            Ok((socket, peer)) => {
                let peer = peer_address(peer);
                Some(Completion::Accepted { key, socket, peer })
            }
            // Nobody waits, or not any more; or a signal came, and the next turn asks again.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => None,
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
            self.set_interest(key, Interest { readable: true, writable: false, registered: true })
        });
        Completion::Connected { key, result }
    }

    fn receive(&mut self, key: usize, flags: EventFlags) -> Option<Found> {
        let mut interest = self.entries[key].interest;
        if interest.readable {
            if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                return None;
            }
            let receive =
                |socket: BorrowedFd<'_>| recv(socket, &mut *self.buffer, RecvFlags::empty());
            return match self.sockets.with(key, receive)? {
                Ok((0, _)) => {
                    interest.readable = false;
                    match self.set_interest(key, interest) {
                        Ok(()) => Some(Found::Other(Completion::Ended { key })),
                        Err(error) => Some(Found::Other(Completion::Failed { key, error })),
                    }
                }
                Ok((count, _)) => Some(Found::Received(key, count)),
                Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM) => None,
                Err(error) => Some(Found::Other(Completion::Failed { key, error: error.into() })),
            };
        }
        if flags.contains(EventFlags::ERR) {
            let error = self.sockets.with(key, |socket| sockopt::socket_error(socket))?;
            let error = match error {
                Ok(Err(error)) | Err(error) => error,
                Ok(Ok(())) => Errno::CONNRESET,
            };
            return Some(Found::Other(Completion::Failed { key, error: error.into() }));
        }
        if flags.contains(EventFlags::HUP) {
            // Both ways are shut, which epoll would say again and again; what was received before
            // that waits in the kernel until somebody reads.
            interest.registered = false;
            if let Err(error) = self.set_interest(key, interest) {
                return Some(Found::Other(Completion::Failed { key, error }));
            }
        }
        None
    }

    /// Sends more of what stayed behind.
    fn go_on_sending(&mut self, key: usize) -> Option<Completion<'static>> {
        let mut out = self.entries[key].pending.take()?;
        let sent = self.push(key, &mut out);
        let left = out.len();
        if left > 0 {
            self.entries[key].pending = Some(out);
        }
        let result = sent.and_then(|()| {
            let interest = self.entries[key].interest;
            self.set_interest(key, Interest { writable: left > 0, ..interest })
        });
        Some(match result {
            Ok(()) => Completion::Sent { key, left },
            Err(error) => Completion::Failed { key, error },
        })
    }

    /// Throws away what came and nobody read: TCP would answer it with a reset, and the peer might
    /// lose what was sent to it before.
    fn read_the_rest(&mut self, socket: BorrowedFd<'_>) {
        for _ in 0..LAST_READS_MAX {
            match recv(socket, &mut *self.buffer, RecvFlags::DONTWAIT) {
                Ok((count, _)) if count > 0 => (),
                _ => return,
            }
        }
    }

    /// Gives the kernel as much of `out` as it takes.
    fn push(&self, key: usize, out: &mut Outbox) -> io::Result<()> {
        for _ in 0..SENDS_PER_TURN_MAX {
            if out.is_empty() {
                break;
            }
            let step = self.sockets.with(key, |socket| send_front(socket, out));
            match step.unwrap_or(Err(Errno::BADF)) {
                Ok((sent, asked)) => {
                    out.advance(sent);
                    if sent < asked {
                        break;
                    }
                }
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => break,
                Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Driver for Epoll {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn open(&mut self, key: usize, socket: OwnedFd, role: Role) -> io::Result<()> {
        if self.entries.len() <= key {
            self.entries.resize_with(key + 1, Entry::default);
        }
        self.sockets.insert(key, socket);
        self.entries[key].role = Some(role);
        let connecting = role == Role::Connecting;
        let interest = Interest { readable: !connecting, writable: connecting, registered: true };
        self.set_interest(key, interest)
    }

    fn set_reading(&mut self, key: usize, reading: bool) -> io::Result<()> {
        let interest = self.entries[key].interest;
        self.set_interest(key, Interest { readable: reading, registered: true, ..interest })
    }

    fn send(&mut self, key: usize, out: &mut Option<Box<Outbox>>) -> io::Result<u64> {
        let Some(output) = out else { return Ok(0) };
        if let Some(pending) = &mut self.entries[key].pending {
            pending.append(output);
            return Ok(pending.len());
        }
        self.push(key, output)?;
        let left = output.len();
        if left > 0 {
            self.entries[key].pending = out.take();
            let interest = self.entries[key].interest;
            self.set_interest(key, Interest { writable: true, registered: true, ..interest })?;
        }
        Ok(left)
    }

    fn end_stream(&mut self, key: usize) -> io::Result<()> {
        match self.sockets.with(key, |socket| shutdown(socket, Shutdown::Write)) {
            // A peer that is gone already will be noticed by whoever reads.
            Some(Ok(()) | Err(Errno::NOTCONN)) | None => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }

    fn close(&mut self, key: usize, how: Closing) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let role = entry.role.take();
        entry.generation = entry.generation.wrapping_add(1);
        entry.interest = Interest::default();
        entry.pending = None;
        // Closing takes the descriptor out of the kernel's set as well.
        let Some(socket) = self.sockets.remove(key) else { return };
        match how {
            Closing::InOrder if role == Some(Role::Stream) => self.read_the_rest(socket.as_fd()),
            Closing::InOrder => (),
            // Only TCP knows a reset; elsewhere an end is an end.
            Closing::Reset => {
                let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
            }
        }
        drop(socket);
        if self.reserve.is_none() {
            self.reserve = open_reserve();
        }
    }

    fn shed(&mut self, key: usize) -> usize {
        if self.reserve.take().is_none() {
            return 0;
        }
        let accept = |listener: BorrowedFd<'_>| {
            acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC).is_ok()
        };
        let count = (0..ACCEPTS_PER_TURN_MAX)
            .take_while(|_| self.sockets.with(key, accept) == Some(true))
            .count();
        self.reserve = open_reserve();
        count
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.events.clear();
        self.cursor = 0;
        self.output_done = false;
        self.accepts_left = ACCEPTS_PER_TURN_MAX;
        let timeout = timeout.map(|timeout| {
            // The kernel counts in milliseconds here, and so does the wheel: never wake early.
            let millis = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i64;
            rustix::time::Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
        });
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn next(&mut self) -> Option<Completion<'_>> {
        match self.find()? {
            Found::Received(key, count) => {
                Some(Completion::Received { key, data: &self.buffer[..count] })
            }
            Found::Other(completion) => Some(completion),
        }
    }
}

/// Sends from the front of `out`; answers how many bytes went and how many were asked for.
fn send_front(socket: BorrowedFd<'_>, out: &Outbox) -> Result<(u64, u64), Errno> {
    if let Some(slice) = out.front_file() {
        let mut offset = slice.offset;
        let asked = slice.len.min(FILE_STEP);
        return match rustix::fs::sendfile(socket, &slice.file, Some(&mut offset), asked as usize)? {
            // The file is shorter than the peer was promised.
            0 => Err(Errno::IO),
            sent => Ok((sent as u64, asked)),
        };
    }
    if out.is_one_slice() {
        let front = out.front();
        let sent = send(socket, front, SendFlags::NOSIGNAL)?;
        return Ok((sent as u64, front.len() as u64));
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = out.gather(&mut slices);
    let asked = slices[..count].iter().map(|slice| slice.len() as u64).sum();
    let flags = SendFlags::NOSIGNAL;
    let sent = sendmsg(socket, &slices[..count], &mut SendAncillaryBuffer::default(), flags)?;
    Ok((sent as u64, asked))
}

fn open_reserve() -> Option<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}
