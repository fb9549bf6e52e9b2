//! What takes a call each where the system has no better: datagrams, parts of files, a loop's alarm.

use std::io;
use std::net::IpAddr;

use ropewalk_protocol::{Address, DatagramQueue, Outbox, SendError};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::net::{recv, recvfrom, send, sendto};

use super::datagrams::{LENGTH_MAX, Message, Mishap, send_error};
use super::{Driver, Refusal, Sockets, os};
use crate::DriverKind;

/// How many datagrams are received for one event at most.
const MESSAGES_MAX: usize = 32;
/// How many datagrams one port may send in one turn.
const SENDS_MAX: usize = 512;
/// How many bytes of a file are read at once.
const FILE_STEP: u64 = 64 * 1024;

/// What there is.
pub(crate) const DEFAULT_DRIVER: DriverKind = DriverKind::Portable;

/// There are no drivers but the one that every system has.
pub(super) fn open(_: DriverKind, _: Sockets) -> Result<Box<dyn Driver>, Refusal> {
    Err(Refusal::Lacks("what only Linux has"))
}

/// What ends a loop's sleep: a pair of sockets.
pub(crate) struct Counter {
    sender: OwnedFd,
    receiver: OwnedFd,
}

impl Counter {
    /// A counter, and the descriptor that is readable once it was rung.
    pub(crate) fn new() -> io::Result<(Self, OwnedFd)> {
        let (receiver, sender) = os::pair()?;
        let watched = receiver.try_clone()?;
        Ok((Self { sender, receiver }, watched))
    }

    /// Makes the descriptor readable.
    pub(crate) fn ring(&self) {
        // Full, it wakes as well as with one more.
        let _ = send(&self.sender, &[1], os::SEND_FLAGS);
    }

    /// Makes it readable no more.
    pub(crate) fn quiet(&self) {
        // There may have been nothing to take back.
        let _ = recv(&self.receiver, &mut [0_u8; 64], os::AT_ONCE);
    }
}

/// Nothing here waits for a connection's first bytes before it tells of it.
pub(crate) fn defer_accept(_: &socket2::Socket) -> io::Result<()> {
    Ok(())
}

/// How many bytes the peer has not acknowledged, on a TCP socket: no system here tells.
pub(super) fn unacknowledged(_: BorrowedFd<'_>) -> u64 {
    0
}

/// Sends from the file at the front of `out`; answers how many bytes went and how many were asked for.
pub(super) fn send_file(socket: BorrowedFd<'_>, out: &Outbox) -> Result<(u64, u64), Errno> {
    let Some(slice) = out.front_file() else { return Ok((0, 0)) };
    let mut bytes = vec![0; slice.len.min(FILE_STEP) as usize];
    let read = os::read_at(&slice.file, &mut bytes, slice.offset);
    match read.map_err(|error| Errno::from_io_error(&error).unwrap_or(os::FILE_ERROR))? {
        // The file is shorter than the peer was promised.
        0 => Err(os::FILE_ERROR),
        count => {
            let sent = send(socket, &bytes[..count], os::SEND_FLAGS)?;
            Ok((sent as u64, count as u64))
        }
    }
}

/// No system but Linux takes several datagrams as one.
pub(super) fn may_segment(_: BorrowedFd<'_>) -> bool {
    false
}

/// No system but Linux is asked to put datagrams together.
pub(crate) fn coalesce(_: BorrowedFd<'_>) {}

/// Groups for one source on an interface by its number are asked for on Linux only.
pub(crate) fn source_membership(
    _: BorrowedFd<'_>,
    _: IpAddr,
    _: IpAddr,
    _: u32,
    _: bool,
) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Interfaces by their number are asked for on Linux only.
pub(crate) fn set_multicast_interface(_: BorrowedFd<'_>, _: u32) -> io::Result<()> {
    Err(Errno::OPNOTSUPP.into())
}

/// Interfaces by their name are asked for on Linux only.
pub(crate) fn bind_to_interface(_: &socket2::Socket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whatever can be watched here is watched.
pub(crate) fn is_always_ready(_: &io::Error) -> bool {
    false
}

/// Room for what comes for one event.
pub(super) struct Receiver {
    memory: Vec<u8>,
    batch: std::collections::VecDeque<Message>,
    /// What a socket told behind its last datagrams.
    late: Option<(RawFd, Errno)>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        let memory = vec![0; MESSAGES_MAX * (LENGTH_MAX + 1)];
        Self { memory, batch: std::collections::VecDeque::new(), late: None }
    }

    /// Receives what has come at a socket, up to a batch.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        self.batch.clear();
        if let Some((_, error)) = self.late.take().filter(|late| late.0 == socket.as_raw_fd()) {
            return Err(error);
        }
        for (index, room) in self.memory.chunks_exact_mut(LENGTH_MAX + 1).enumerate() {
            match recvfrom(socket, &mut *room, os::AT_ONCE) {
                Ok((len, full, from)) => self.batch.push_back(Message {
                    start: index * (LENGTH_MAX + 1),
                    len,
                    segment: len,
                    from: os::peer_address(from),
                    truncated: full > LENGTH_MAX,
                }),
                Err(error) if self.batch.is_empty() => return Err(error),
                Err(error) if os::is_passing(error) => break,
                Err(error) => {
                    self.late = Some((socket.as_raw_fd(), error));
                    break;
                }
            }
        }
        Ok(())
    }

    /// The next message of the batch.
    pub(super) fn next(&mut self) -> Option<Message> {
        self.batch.pop_front()
    }

    /// Forgets what is left of the batch.
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.late = None;
    }

    /// The bytes of a message of the present batch.
    pub(super) fn bytes(&self, message: &Message) -> &[u8] {
        &self.memory[message.start..message.start + message.len]
    }
}

/// Sends datagrams.
pub(super) struct Sender;

impl Sender {
    pub(super) fn new() -> Self {
        Self
    }

    /// Sends what the socket takes off the front of `queue`; answers whether it takes no more for
    /// now.
    pub(super) fn send(
        &mut self,
        socket: BorrowedFd<'_>,
        queue: &mut DatagramQueue,
        _: &mut bool,
        mishaps: &mut Vec<Mishap>,
    ) -> Result<bool, Errno> {
        let mut has_reported = false;
        for _ in 0..SENDS_MAX {
            let Some(front) = queue.front() else { return Ok(false) };
            let is_local = front.to.is_some_and(|to| to.ip().is_none());
            let sent = match front.to {
                None => send(socket, front.data, os::SEND_FLAGS),
                Some(Address::Ip(to)) => sendto(socket, front.data, os::SEND_FLAGS, to),
                Some(to) => os::send_to_name(socket, front.data, to),
            };
            match sent {
                Ok(_) => {
                    queue.advance(1);
                    has_reported = false;
                }
                Err(Errno::INTR) => (),
                // Nobody tells when the receiver's queue has room again.
                Err(error) if os::is_passing(error) && is_local => {
                    give_up(queue, SendError::PeerFull, mishaps);
                }
                Err(error) if os::is_passing(error) => return Ok(true),
                Err(error @ (Errno::BADF | Errno::NOTSOCK | Errno::FAULT)) => return Err(error),
                // A report on what was sent before, in the place of this, which is tried again.
                Err(error) if os::is_refusal(error) && !is_local && !has_reported => {
                    has_reported = true;
                    mishaps.push(Mishap::Refused);
                }
                Err(error) => give_up(queue, send_error(error), mishaps),
            }
        }
        Ok(!queue.is_empty())
    }
}

/// Drops the first datagram, which cannot be sent.
fn give_up(queue: &mut DatagramQueue, why: SendError, mishaps: &mut Vec<Mishap>) {
    let to = queue.front().and_then(|front| front.to.cloned());
    mishaps.push(Mishap::Unsent { to, why });
    queue.advance(1);
}
