//! Two connections as one.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Conn, ConnCall, Disconnect, Protocol};

/// How long nothing may move in either direction, unless set.
pub const IDLE: Duration = Duration::from_hours(1);
/// How long nothing may move once one direction has ended, unless set.
pub const HALF_CLOSED: Duration = Duration::from_mins(5);

/// For how long two connections stay joined: plain values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayOptions {
    /// How long nothing may move in either direction; [`IDLE`], an hour.
    pub idle: Option<Duration>,
    /// The same once one direction has ended; [`HALF_CLOSED`], five minutes.
    pub half_closed: Option<Duration>,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self { idle: Some(IDLE), half_closed: Some(HALF_CLOSED) }
    }
}

impl RelayOptions {
    /// The patience with two connections of which one direction has ended or not.
    fn patience(self, is_half_closed: bool) -> Option<Duration> {
        let half_closed = self.half_closed.filter(|_| is_half_closed);
        self.idle.into_iter().chain(half_closed).min()
    }
}

/// What went through two connections that were joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Bytes from the first connection to the second.
    pub there: u64,
    /// Bytes from the second to the first.
    pub back: u64,
    /// Why the one that ended first did.
    pub why: Disconnect,
}

/// Two protocols that pass on to each other what they hear, each to be seated on a connection of its
/// own; and what went through, once it is over.
///
/// The first connection to be made is not read until the second one is. When one ends before its
/// time, the other is aborted, so that nobody takes a torn stream for a whole one.
///
/// ```
/// use ropewalk_forward::{RelayOptions, relay};
/// use ropewalk_trial::{Clock, Memory};
///
/// let (near, far, over) = relay(RelayOptions::default());
/// let clock = Clock::new();
/// let (mut near, mut far) = (Memory::seat(near, &clock), Memory::seat(far, &clock));
/// near.push(b"hello");
/// assert_eq!(far.take_sent(), b"hello");
/// near.eof();
/// far.push(b"goodbye");
/// far.eof();
/// assert_eq!(near.take_sent(), b"goodbye");
/// assert_eq!(over.now_or_never().unwrap().unwrap().back, 7);
/// ```
pub fn relay(options: RelayOptions) -> (Relay, Relay, Deferred<Tally>) {
    let (promise, over) = deferred();
    let joint = Rc::new(Joint {
        ends: RefCell::default(),
        moved_at: Cell::default(),
        timer: Cell::default(),
        over: Cell::new(Some(promise)),
        options,
    });
    let other = Rc::clone(&joint);
    (Relay { joint, side: 0 }, Relay { joint: other, side: 1 }, over)
}

/// One of two connections that are joined; [`relay`] makes them.
pub struct Relay {
    joint: Rc<Joint>,
    side: usize,
}

/// What the two have in common.
struct Joint {
    ends: RefCell<[End; 2]>,
    /// When a byte moved last.
    moved_at: Cell<Duration>,
    /// The call that looks after the patience, and whose it is.
    timer: Cell<Option<(usize, ConnCall)>>,
    over: Cell<Option<Promise<Tally>>>,
    options: RelayOptions,
}

#[derive(Default)]
struct End {
    conn: Option<Conn<Relay>>,
    /// The peer has said that it will send no more.
    has_ended: bool,
    is_lost: bool,
    /// How many bytes came from here.
    came: u64,
}

impl Relay {
    fn other(&self) -> Option<Conn<Self>> {
        self.joint.ends.borrow()[1 - self.side].conn.clone()
    }

    fn with_end<T>(&self, look: impl FnOnce(&mut End) -> T) -> T {
        look(&mut self.joint.ends.borrow_mut()[self.side])
    }

    /// Looks after the patience from now on.
    fn watch(&self, conn: &Conn<Self>) {
        if let Some(patience) = self.joint.patience() {
            let call = conn.call_later(patience, |this, conn| this.check(conn));
            self.joint.timer.set(Some((self.side, call)));
        }
    }

    /// Ends both if nothing has moved for too long.
    fn check(&self, conn: &Conn<Self>) {
        let Some(patience) = self.joint.patience() else { return };
        let still = conn.now().saturating_sub(self.joint.moved_at.get());
        if still >= patience {
            return conn.abort_with(Disconnect::TimedOut);
        }
        let call = conn.call_later(patience.saturating_sub(still), |this, conn| this.check(conn));
        self.joint.timer.set(Some((self.side, call)));
    }
}

impl Protocol for Relay {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.with_end(|end| end.conn = Some(conn.clone()));
        self.joint.moved_at.set(conn.now());
        if self.joint.is_lost(1 - self.side) {
            conn.abort();
        } else if let Some(other) = self.other() {
            other.resume_reading();
            self.watch(conn);
        } else {
            conn.pause_reading();
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let Some(other) = self.other() else { return conn.hand_back(data) };
        self.joint.moved_at.set(conn.now());
        self.with_end(|end| end.came += data.len() as u64);
        other.write(data);
        if other.is_writing_paused() {
            conn.pause_reading();
        }
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.with_end(|end| end.has_ended = true);
        self.joint.moved_at.set(conn.now());
        let Some(other) = self.other() else { return };
        if self.joint.ends.borrow().iter().all(|end| end.has_ended) {
            other.close();
            conn.close();
            return;
        }
        other.close_write();
        // The patience is another one from here on.
        if let Some((side, call)) = self.joint.timer.take() {
            let timed = if side == self.side { conn } else { &other };
            timed.cancel_call(call);
        }
        self.watch(conn);
    }

    fn writing_paused(&mut self, _: &Conn<Self>) {
        if let Some(other) = self.other() {
            other.pause_reading();
        }
    }

    fn writing_resumed(&mut self, _: &Conn<Self>) {
        if let Some(other) = self.other() {
            other.resume_reading();
        }
    }

    fn output_sent(&mut self, conn: &Conn<Self>) {
        // A slow reader is not an idle one.
        self.joint.moved_at.set(conn.now());
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.with_end(|end| end.is_lost = true);
        let ends = self.joint.ends.borrow();
        if let Some(promise) = self.joint.over.take() {
            promise.succeed(Tally { there: ends[0].came, back: ends[1].came, why });
        }
        let is_whole = ends.iter().all(|end| end.has_ended);
        let other = ends[1 - self.side].conn.clone();
        drop(ends);
        // One that was ended in order delivers the rest of what it has.
        if let Some(other) = other.filter(|_| !is_whole) {
            other.abort_with(if why == Disconnect::Closed { Disconnect::Reset } else { why });
        }
    }
}

/// One that is dropped before it had a connection will never have one: the other has nobody to talk to.
impl Drop for Relay {
    fn drop(&mut self) {
        let was_lost = self.with_end(|end| std::mem::replace(&mut end.is_lost, true));
        if let Some(other) = self.other().filter(|_| !was_lost) {
            other.abort();
        }
    }
}

impl Joint {
    fn patience(&self) -> Option<Duration> {
        self.options.patience(self.ends.borrow().iter().any(|end| end.has_ended))
    }

    fn is_lost(&self, side: usize) -> bool {
        self.ends.borrow()[side].is_lost
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("side", &self.side).finish_non_exhaustive()
    }
}
