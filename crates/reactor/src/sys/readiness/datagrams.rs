//! Ports for datagrams: batches in and out, and what their sockets tell.

use std::io;

use ropewalk_protocol::DatagramQueue;
use rustix::io::Errno;
use rustix::net::sockopt;

use super::{Found, Poller, Readiness, Ready};
use crate::sys::Completion;
use crate::sys::datagrams::{Message, Mishap};
use crate::sys::os::{self, Receiver, Sender, may_segment};

/// What all ports for datagrams share.
pub(super) struct Datagrams {
    receiver: Receiver,
    sender: Sender,
    /// Whose the batch is that was received last.
    key: usize,
    /// Ports for which the kernel takes no datagrams together.
    single: Vec<usize>,
}

impl Datagrams {
    fn new() -> Self {
        let (receiver, sender) = (Receiver::new(), Sender::new());
        Self { receiver, sender, key: usize::MAX, single: Vec::new() }
    }

    /// Tells of a datagram that was received last.
    pub(super) fn lend(&self, key: usize, message: Message) -> Completion<'_> {
        let data = self.receiver.bytes(&message);
        let Message { segment, from, truncated, .. } = message;
        Completion::Datagram { key, data, segment, from, truncated }
    }
}

impl<P: Poller> Readiness<P> {
    /// The next of a batch of datagrams.
    pub(super) fn next_datagram(&mut self) -> Option<Found> {
        let datagrams = self.datagrams.as_mut()?;
        Some(Found::Datagram(datagrams.key, datagrams.receiver.next()?))
    }

    /// Receives a batch; answers its first datagram, or what the socket tells instead.
    pub(super) fn receive_datagrams(&mut self, key: usize, ready: Ready) -> Option<Found> {
        let interest = self.entries[key].interest?;
        if interest.readable && (ready.readable || ready.failed) {
            let datagrams = self.datagrams.as_mut()?;
            datagrams.key = key;
            let receiver = &mut datagrams.receiver;
            return match self.sockets.with(key, |socket| receiver.receive(socket))? {
                Ok(()) => self.next_datagram(),
                Err(Errno::INTR) => None,
                Err(error) if os::is_passing(error) => None,
                Err(error) => Some(Found::Other(misfortune(key, error))),
            };
        }
        if ready.failed {
            let error = self.sockets.with(key, |socket| sockopt::socket_error(socket))?;
            return match error {
                Ok(Ok(())) => None,
                Ok(Err(error)) | Err(error) => Some(Found::Other(misfortune(key, error))),
            };
        }
        None
    }

    /// A port can send again.
    pub(super) fn has_room(&mut self, key: usize) -> Option<Completion<'static>> {
        if !self.entries[key].interest?.writable {
            return None;
        }
        Some(match self.set_writable(key, false) {
            Ok(()) => Completion::Writable { key },
            Err(error) => Completion::Failed { key, error },
        })
    }

    /// Gives the kernel what it takes off the front of a port's queue; whether it takes no more.
    pub(super) fn push_datagrams(
        &mut self,
        key: usize,
        queue: &mut DatagramQueue,
        mishaps: &mut Vec<Mishap>,
    ) -> io::Result<bool> {
        let Some(datagrams) = &mut self.datagrams else { return Err(Errno::BADF.into()) };
        let may_segment = !datagrams.single.contains(&key);
        let mut segmenting = may_segment;
        let sent = self
            .sockets
            .with(key, |socket| datagrams.sender.send(socket, queue, &mut segmenting, mishaps));
        if may_segment && !segmenting {
            datagrams.single.push(key);
        }
        let full = sent.unwrap_or(Err(Errno::BADF))?;
        if full {
            self.set_writable(key, true)?;
        }
        Ok(full)
    }

    /// Makes room for the first port, and finds out what the kernel does for this one.
    pub(super) fn open_port(&mut self, key: usize) {
        let datagrams = self.datagrams.get_or_insert_with(|| Box::new(Datagrams::new()));
        if self.sockets.with(key, may_segment) != Some(true) {
            datagrams.single.push(key);
        }
    }

    /// Forgets what was received on a port, and what the kernel does for it.
    pub(super) fn close_port(&mut self, key: usize) {
        let Some(datagrams) = &mut self.datagrams else { return };
        datagrams.single.retain(|single| *single != key);
        if datagrams.key == key {
            datagrams.receiver.clear();
        }
    }
}

/// What it means for a port that its socket tells of an error.
pub(in crate::sys) fn misfortune(key: usize, error: Errno) -> Completion<'static> {
    match Mishap::reported(error) {
        Some(mishap) => Completion::Mishap { key, mishap },
        None => Completion::Failed { key, error: error.into() },
    }
}
