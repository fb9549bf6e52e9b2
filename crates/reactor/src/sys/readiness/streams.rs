//! Streams of bytes: what comes, and what goes.

use std::io::{self, IoSlice};

use ropewalk_protocol::Outbox;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv, send, sockopt};

use super::{Found, Interest, Poller, Readiness, Ready, Role, Token};
use crate::sys::{Completion, os};

/// How many calls one connection may spend on its output in one turn.
pub(in crate::sys) const SENDS_PER_TURN_MAX: usize = 4;
/// How often a closing connection throws away what its peer still sent.
const LAST_READS_MAX: usize = 16;
/// How many slices one send gathers.
pub(in crate::sys) const SLICES_MAX: usize = 64;

impl<P: Poller> Readiness<P> {
    /// What comes of the output that can go on, if that has not been dealt with.
    pub(super) fn output_first(&mut self, key: usize) -> Option<Found> {
        if std::mem::replace(&mut self.output_done, true) {
            return None;
        }
        self.go_on_sending(key).map(Found::Other)
    }

    /// What comes of the streams that are likely to have something.
    pub(super) fn next_expected(&mut self) -> Option<Found> {
        while let Some(token) = self.expected.pop() {
            let found = self.receive_expected(token);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Receives from a stream of which nobody has said that something is there.
    #[inline(never)]
    fn receive_expected(&mut self, token: Token) -> Option<Found> {
        let key = token.key as usize;
        let entry = self.entries.get(key).filter(|entry| entry.generation == token.generation)?;
        if entry.role != Some(Role::Stream) {
            return None;
        }
        self.receive(key, Ready { readable: true, ..Ready::default() })
    }

    /// Whether a stream of which this was received is to be received from once more in this turn.
    pub(super) fn is_not_done(&mut self, key: usize, ready: Ready, found: Option<&Found>) -> bool {
        let Some(Found::Received(_, count)) = found else { return false };
        let is_filled = self.entries[key].habits.took(*count);
        if !is_filled && !ready.has_more {
            return false;
        }
        let is_large = self.entries[key].habits.is_given_much();
        // One large receive is a connection's share of a turn.
        self.reads_left = if is_large { 0 } else { self.reads_left.saturating_sub(1) };
        // Where the kernel cannot be asked to tell of the rest, it is read now.
        self.reads_left > 0 || self.watch_closely(key).is_err()
    }

    #[expect(clippy::inline_always, reason = "each message comes this way")]
    #[inline(always)]
    pub(super) fn receive(&mut self, key: usize, ready: Ready) -> Option<Found> {
        let interest = self.entries[key].interest?;
        if interest.readable {
            if !(ready.readable || ready.hung_up || ready.failed) {
                return None;
            }
            let room = self.input.room_for(self.entries[key].habits.read_size());
            let receive = |socket: BorrowedFd<'_>| recv(socket, room, RecvFlags::empty());
            return match self.sockets.with(key, receive)? {
                Ok((0, _)) => Some(Found::Other(self.ended(key, interest))),
                Ok((count, _)) => Some(Found::Received(key, count)),
                Err(error) => self.not_received(key, error),
            };
        }
        self.told_unasked(key, ready)
    }

    /// A receive came to nothing.
    #[cold]
    fn not_received(&mut self, key: usize, error: Errno) -> Option<Found> {
        if error == Errno::INTR || os::is_passing(error) {
            let watched = self.watch_closely(key).err();
            return watched.map(|error| Found::Other(Completion::Failed { key, error }));
        }
        Some(Found::Other(Completion::Failed { key, error: error.into() }))
    }

    /// What is told of a stream from which nobody reads.
    #[inline(never)]
    fn told_unasked(&mut self, key: usize, ready: Ready) -> Option<Found> {
        if ready.failed {
            let error = self.sockets.with(key, |socket| sockopt::socket_error(socket))?;
            let error = match error {
                Ok(Err(error)) | Err(error) => error,
                Ok(Ok(())) => Errno::CONNRESET,
            };
            return Some(Found::Other(Completion::Failed { key, error: error.into() }));
        }
        if ready.hung_up {
            // Output that still waits can only fail, and the kernel may never call it writable.
            if let Some(told) = self.go_on_sending(key) {
                return Some(Found::Other(told));
            }
            // Both ways are shut, which would be said again and again; what was received before
            // that waits in the kernel until somebody reads.
            if let Err(error) = self.set_interest(key, None) {
                return Some(Found::Other(Completion::Failed { key, error }));
            }
        }
        None
    }

    /// The peer ended its stream.
    pub(super) fn ended(&mut self, key: usize, interest: Interest) -> Completion<'static> {
        match self.set_interest(key, Some(Interest { readable: false, ..interest })) {
            Ok(()) => Completion::Ended { key },
            Err(error) => Completion::Failed { key, error },
        }
    }

    /// Sends more of what stayed behind.
    pub(super) fn go_on_sending(&mut self, key: usize) -> Option<Completion<'static>> {
        let mut out = self.entries[key].pending.take()?;
        let sent = self.push(key, &mut out);
        let left = out.len();
        if left > 0 {
            self.entries[key].pending = Some(out);
        }
        let result = sent.and_then(|()| self.set_writable(key, left > 0));
        Some(match result {
            Ok(()) => Completion::Sent { key, left },
            Err(error) => Completion::Failed { key, error },
        })
    }

    /// Gives the kernel as much of `out` as it takes.
    #[inline]
    pub(super) fn push(&self, key: usize, out: &mut Outbox) -> io::Result<()> {
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
                Err(error) if os::is_passing(error) => break,
                Err(Errno::INTR) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Throws away what came and nobody read: TCP would answer it with a reset, and the peer might
    /// lose what was sent to it before.
    pub(super) fn read_the_rest(&mut self, socket: BorrowedFd<'_>) {
        for _ in 0..LAST_READS_MAX {
            match recv(socket, self.input.room(), os::AT_ONCE) {
                Ok((count, _)) if count > 0 => (),
                _ => return,
            }
        }
    }
}

/// Sends from the front of `out`; answers how many bytes went and how many were asked for.
#[inline]
fn send_front(socket: BorrowedFd<'_>, out: &Outbox) -> Result<(u64, u64), Errno> {
    if !out.is_one_slice() {
        return send_several(socket, out);
    }
    let front = out.front();
    let sent = send(socket, front, os::SEND_FLAGS)?;
    Ok((sent as u64, front.len() as u64))
}

/// The same where that is more than one slice, or a file.
#[inline(never)]
fn send_several(socket: BorrowedFd<'_>, out: &Outbox) -> Result<(u64, u64), Errno> {
    if out.front_file().is_some() {
        return os::send_file(socket, out);
    }
    if out.has_front_descriptors() {
        return os::send_passing(socket, out);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = out.gather(&mut slices);
    let asked = slices[..count].iter().map(|slice| slice.len() as u64).sum();
    let sent = os::send_slices(socket, &slices[..count])?;
    Ok((sent as u64, asked))
}
