//! What a reactor has counted, and the connections that it has, for whoever looks on.

use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use ropewalk_protocol::{Address, Transport};

use crate::inner::{Entry, Inner, Request};
use crate::{Census, Histogram, Observer, Reactor};

/// What a reactor has counted since it was made; see [`Reactor::statistics`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// How old the reactor is.
    pub age: Duration,
    /// What it has under way now.
    pub census: Census,
    /// How many turns there have been.
    pub turns: u64,
    /// How long each took, the wait before it not included.
    pub turn_time: Histogram,
    /// How late the first of what was due in a turn had its turn. Timers go by milliseconds, so one is
    /// nothing.
    pub lag: Histogram,
    /// Accepting failed.
    pub accept_errors: u64,
    /// Accepting paused, for want of descriptors.
    pub accept_pauses: u64,
    /// Connections for which there was no protocol or no descriptor.
    pub turned_away: u64,
    /// Datagrams that came.
    pub datagrams: u64,
    /// Bytes in them.
    pub datagram_bytes: u64,
    /// How many connections ended, by cause.
    pub ended: Vec<(&'static str, u64)>,
    /// Connections by listener and protocol.
    pub sources: Vec<SourceStatistics>,
    /// What protocols counted by [`Conn::count`](ropewalk_protocol::Conn::count).
    pub counts: Vec<(&'static str, u64)>,
    /// What [probes](Reactor::add_probe) told.
    pub gauges: Vec<Gauge>,
    /// Jobs that wait for a thread.
    pub pool_queue: u64,
    /// Threads that are at a job.
    pub pool_busy: u64,
    /// How long jobs waited for a thread.
    pub pool_waits: Histogram,
}

/// Connections of one listener that speak one protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceStatistics {
    /// Where they were accepted; `outgoing` for those that were made here.
    pub listener: String,
    /// What they speak: `http`, `tls+http`.
    pub protocol: String,
    /// How many are there.
    pub open: u64,
    /// How many there have been; one that has changed its protocol is counted where it began.
    pub opened: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes handed on to be sent.
    pub sent: u64,
}

/// A number that somebody else keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    /// What it is, in small letters and underscores.
    pub name: &'static str,
    /// Of what.
    pub of: String,
    /// How much.
    pub value: f64,
}

/// A connection as those see it who look on; see [`Reactor::connections`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connection {
    /// Tells it from all others of this reactor that are up.
    pub id: u64,
    /// Where it was accepted; `outgoing` for one that was made here.
    pub listener: String,
    /// What it speaks.
    pub protocol: String,
    /// The other end.
    pub peer: Address,
    /// How long it has been there.
    pub age: Duration,
    /// Bytes received.
    pub received: u64,
    /// Bytes handed on to be sent.
    pub sent: u64,
    /// What it is at: `connecting`, `open`, `sending` what the peer has yet to take, `paused` in reading,
    /// or ended on one side, `half-closed`.
    pub state: &'static str,
}

/// Tells gauges when statistics are asked for, until it is dropped.
#[must_use = "a probe that is dropped tells nothing"]
#[derive(Debug)]
pub struct Probe {
    inner: Weak<Inner>,
    id: u64,
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.probes.borrow_mut().retain(|(id, _)| *id != self.id);
        }
    }
}

/// What a probe asks.
pub(crate) type Ask = Rc<dyn Fn(&mut Vec<Gauge>)>;

impl Reactor {
    /// What was counted since the reactor was made. It looks at each connection.
    pub fn statistics(&self) -> Statistics {
        let inner = self.inner();
        let mut living: Vec<(u64, u64)> = Vec::new();
        for (_, entry) in inner.entries.borrow().iter() {
            if let Entry::Stream(stream) = entry {
                let index = stream.source as usize;
                if living.len() <= index {
                    living.resize(index + 1, (0, 0));
                }
                living[index].0 += stream.received;
                living[index].1 += stream.sent;
            }
        }
        let mut statistics = Statistics {
            age: inner.carrier.read_clock(),
            census: self.census(),
            ..Statistics::default()
        };
        inner.tally.report(&living, &mut statistics);
        inner.pool.borrow().report(&mut statistics);
        let probes: Vec<Ask> =
            inner.probes.borrow().iter().map(|(_, ask)| Rc::clone(ask)).collect();
        for ask in probes {
            ask(&mut statistics.gauges);
        }
        statistics
    }

    /// Every connection, those being made included.
    pub fn connections(&self) -> Vec<Connection> {
        let inner = self.inner();
        let now = inner.carrier.read_clock();
        let entries = inner.entries.borrow();
        let streams = entries.iter().filter_map(|(key, entry)| match entry {
            Entry::Stream(stream) => Some((key, stream)),
            _ => None,
        });
        streams
            .map(|(key, stream)| {
                let (listener, protocol) = inner.tally.source_of(stream.source);
                let state = if stream.attempt.is_some() {
                    "connecting"
                } else if stream.backlogged {
                    "sending"
                } else if stream.ended || stream.write_ended {
                    "half-closed"
                } else if stream.reading {
                    "open"
                } else {
                    "paused"
                };
                Connection {
                    id: u64::from(stream.since) << 32 | key as u64,
                    listener,
                    protocol,
                    peer: inner.carrier.peer(key),
                    // The clock of connections goes round in 49 days.
                    age: Duration::from_millis(
                        (now.as_millis() as u32).wrapping_sub(stream.since).into(),
                    ),
                    received: stream.received,
                    sent: stream.sent,
                    state,
                }
            })
            .collect()
    }

    /// Aborts a connection that [`connections`](Self::connections) named; its protocol hears
    /// [`Disconnect::Aborted`](ropewalk_protocol::Disconnect). False if it is not there any more.
    pub fn abort_connection(&self, id: u64) -> bool {
        let (key, since) = ((id & 0xffff_ffff) as usize, (id >> 32) as u32);
        let is_there = self.inner().with_stream(key, |stream| stream.since == since) == Some(true);
        if is_there {
            self.inner().request(Request::Cut { key, since });
        }
        is_there
    }

    /// Reads from other threads what this reactor is at, also while it is stuck in one turn.
    pub fn observer(&self) -> Observer {
        Observer(Arc::clone(&self.inner().tally.pulse))
    }

    /// Has `ask` tell numbers of its own whenever [`statistics`](Self::statistics) are asked for.
    pub fn add_probe(&self, ask: impl Fn(&mut Vec<Gauge>) + 'static) -> Probe {
        let id = self.inner().next_id();
        self.inner().probes.borrow_mut().push((id, Rc::new(ask)));
        Probe { inner: Rc::downgrade(self.inner()), id }
    }

    /// Remembers from now on who asks for listeners and connections, as builds with debug assertions do
    /// from the start: [`under_way`](Self::under_way) then tells. Of calls and tasks that is always known.
    pub fn remember_origins(&self) {
        self.inner().origins.remember();
    }

    /// Each call that waits: where it was asked for, and when it is due, by this reactor's clock.
    pub fn timers(&self) -> Vec<(&'static Location<'static>, Duration)> {
        self.inner().calls.all().into_iter().map(|(_, due, at)| (at, due)).collect()
    }
}
