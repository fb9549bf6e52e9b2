//! A protocol's end of its port.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};

use super::page::Page;
use super::{
    DATAGRAM_OVERHEAD, Interface, Membership, MulticastChange, MulticastError, MulticastSettings,
    SendError,
};
use crate::calls::Agenda as _;
use crate::flags::Flags;
use crate::{Address, ConnCall};

/// How long what is left in the queue may keep a closing port open.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// A protocol's end of its port: a handle to use, clone and keep.
///
/// Nothing is sent during a call. Each wish is written down here, and the driver carries it out after
/// the protocol has returned; a handle used from elsewhere wakes the driver within the same turn. What
/// one turn's calls send leaves together.
pub struct DatagramPort<P: 'static> {
    pub(super) page: Rc<Page<P>>,
}

impl<P> DatagramPort<P> {
    pub(super) fn new() -> Self {
        Self { page: Rc::new(Page::new()) }
    }

    /// Sends a copy of `data` to `to`, as one datagram.
    ///
    /// # Errors
    ///
    /// If the port is not open, or more waits than [`SEND_QUEUE_MAX`](super::SEND_QUEUE_MAX), or the
    /// datagram alone is more than that: it is dropped. What goes wrong later is told by
    /// [`send_failed`](super::DatagramProtocol::send_failed).
    pub fn send_to(&self, data: &[u8], to: &Address) -> Result<(), SendError> {
        self.enqueue(data, Some(to))
    }

    /// Sends a copy of `data` to the peer that the port is connected to.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), and if there is no peer.
    pub fn send(&self, data: &[u8]) -> Result<(), SendError> {
        self.enqueue(data, None)
    }

    /// Sends what `fill` appends as one datagram to `to`, or to the peer: for encoders, who need no
    /// buffer of their own.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to) and [`send`](Self::send).
    pub fn send_with(
        &self,
        to: Option<&Address>,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), SendError> {
        self.page.send(to, |queue, room| queue.push_with(room, to, fill))
    }

    fn enqueue(&self, data: &[u8], to: Option<&Address>) -> Result<(), SendError> {
        self.page.send(to, |queue, room| {
            let fits = data.len() + DATAGRAM_OVERHEAD <= room;
            if fits {
                queue.push(data, to);
            }
            fits
        })
    }

    /// What waits to be sent: bytes, and [`DATAGRAM_OVERHEAD`] for each datagram.
    pub fn waiting(&self) -> usize {
        self.page.queue_size()
    }

    /// Sets how much may wait to be sent, counted like [`waiting`](Self::waiting).
    pub fn set_queue_max(&self, max: usize) {
        self.page.set_queue_max(max);
        self.page.wake();
    }

    /// Closes once everything written is sent. What is sent after this is refused, and nothing more
    /// is read.
    pub fn close(&self) {
        if !self.page.is(Flags::CLOSING) {
            self.page.set(Flags::CLOSING);
            self.call_later(CLOSE_PATIENCE, |_, port| port.abort());
            self.page.wake();
        }
    }

    /// Closes now and forgets what is unsent.
    pub fn abort(&self) {
        if !self.page.is(Flags::ABORTING) {
            self.page.set(Flags::ABORTING);
            self.page.wake();
        }
    }

    /// Stops reading: no datagram comes until [`resume_reading`](Self::resume_reading). The system
    /// keeps what its buffer has room for and drops the rest.
    pub fn pause_reading(&self) {
        if !self.page.is(Flags::READ_PAUSED) {
            self.page.set(Flags::READ_PAUSED);
            self.page.wake();
        }
    }

    /// Goes on reading.
    pub fn resume_reading(&self) {
        if self.page.is(Flags::READ_PAUSED) {
            self.page.clear(Flags::READ_PAUSED);
            self.page.wake();
        }
    }

    /// Whether the port is open: it has started, and its end was not asked for.
    pub fn is_open(&self) -> bool {
        self.page.is(Flags::MADE) && !self.page.is_ending()
    }

    /// Whether the port is over.
    pub fn is_over(&self) -> bool {
        self.page.is(Flags::OVER)
    }

    /// The time on the clock that this port's calls go by.
    pub fn now(&self) -> Duration {
        self.page.now()
    }

    /// Where the port receives; [`Address::Unnamed`] while it is not open.
    pub fn local(&self) -> Address {
        self.page.open().map_or(Address::Unnamed, |(transport, key)| transport.local(key))
    }

    /// The peer that the port is connected to; [`Address::Unnamed`] if it is not.
    pub fn peer(&self) -> Address {
        match self.page.open() {
            Some((transport, key)) if self.page.is(Flags::CONNECTED) => transport.peer(key),
            _ => Address::Unnamed,
        }
    }

    /// Calls `turn` after `delay`, if the port lives so long; no earlier than the next turn.
    pub fn call_later(
        &self,
        delay: Duration,
        turn: impl FnOnce(&mut P, &Self) + 'static,
    ) -> ConnCall {
        self.page.call_later(delay, Box::new(turn))
    }

    /// Forgets a call; false if it was made or forgotten already.
    pub fn cancel_call(&self, call: ConnCall) -> bool {
        self.page.cancel_call(call)
    }

    /// Moves a call to `delay` from now; false if it was made or forgotten already.
    pub fn reset_call(&self, call: ConnCall, delay: Duration) -> bool {
        self.page.reset_call(call, delay)
    }

    /// Brings a result home: calls `turn` with it, if the port lives so long. The deferred is
    /// cancelled when the port ends first.
    pub fn then<T: 'static>(
        &self,
        deferred: Deferred<T>,
        turn: impl FnOnce(&mut P, &Self, Result<T, Failure>) + 'static,
    ) {
        self.page
            .bring_home(deferred, |result| Box::new(move |this, port| turn(this, port, result)));
    }

    /// Receives what is sent to `group`, on the interface that is named. Several ports may.
    ///
    /// # Errors
    ///
    /// If the transport knows no groups, or the system refuses.
    pub fn join_group(&self, group: IpAddr, interface: Interface) -> Result<(), MulticastError> {
        self.change_multicast(MulticastChange::Join(Membership { group, interface, source: None }))
    }

    /// Receives it no more.
    ///
    /// # Errors
    ///
    /// As [`join_group`](Self::join_group), and if the port is not in the group.
    pub fn leave_group(&self, group: IpAddr, interface: Interface) -> Result<(), MulticastError> {
        self.change_multicast(MulticastChange::Leave(Membership { group, interface, source: None }))
    }

    /// Anything else about groups: source-specific membership, hops, loopback, the interface to send
    /// by. It takes effect at once.
    ///
    /// # Errors
    ///
    /// As [`join_group`](Self::join_group).
    pub fn change_multicast(&self, change: MulticastChange) -> Result<(), MulticastError> {
        let (transport, key) = self.page.open().ok_or(MulticastError::Unsupported)?;
        transport.change_multicast(key, &change)
    }

    /// How the port sends to groups.
    ///
    /// # Errors
    ///
    /// As [`join_group`](Self::join_group).
    pub fn multicast_settings(&self) -> Result<MulticastSettings, MulticastError> {
        let (transport, key) = self.page.open().ok_or(MulticastError::Unsupported)?;
        transport.multicast_settings(key)
    }
}

impl<P> Clone for DatagramPort<P> {
    fn clone(&self) -> Self {
        Self { page: Rc::clone(&self.page) }
    }
}

impl<P> fmt::Debug for DatagramPort<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramPort")
            .field("waiting", &self.waiting())
            .field("open", &self.is_open())
            .field("over", &self.is_over())
            .finish_non_exhaustive()
    }
}
