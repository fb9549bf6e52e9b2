//! What a reactor counts as it goes: plain numbers that only its own thread touches, and the few words
//! that others may read while it is stuck.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_protocol::{Disconnect, Seat};

use crate::statistics::SourceStatistics;
use crate::sys::ticks;
use crate::{Histogram, Statistics};

/// How many places are told apart; connections of all others are counted together.
const PLACES_MAX: usize = 256;
/// How many kinds of connections are told apart.
const SOURCES_MAX: usize = 1024;
/// How many names may be counted by [`Conn::count`](ropewalk_protocol::Conn::count).
const COUNTS_MAX: usize = 256;
/// How many places in the code are remembered, to name what runs.
const SPOTS_MAX: usize = 4096;

/// In so many turns it is found out anew how long a tick is: in the first, second, fourth and so on, of which the last
/// are known best.
const CALIBRATIONS: u64 = 4096;

/// Where connections come from that nobody accepted.
const OUTGOING: &str = "outgoing";
/// Where they come from when there were too many places.
const OTHERS: &str = "others";

const CAUSES: [&str; 14] = [
    "closed",
    "aborted",
    "reset",
    "refused",
    "unreachable",
    "network_unreachable",
    "timed_out",
    "unknown_host",
    "panicked",
    "switched",
    "overflowed",
    "stopped",
    "tls",
    "failed",
];

fn cause(why: Disconnect) -> usize {
    match why {
        Disconnect::Closed => 0,
        Disconnect::Aborted => 1,
        Disconnect::Reset => 2,
        Disconnect::Refused => 3,
        Disconnect::Unreachable => 4,
        Disconnect::NetworkUnreachable => 5,
        Disconnect::TimedOut => 6,
        Disconnect::UnknownHost => 7,
        Disconnect::Panicked => 8,
        Disconnect::Switched => 9,
        Disconnect::Overflowed => 10,
        Disconnect::Stopped => 11,
        Disconnect::Tls(_) => 12,
        _ => 13,
    }
}

/// One more.
pub(crate) fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// The numbers of one reactor.
pub(crate) struct Tally {
    pub(crate) pulse: Arc<Pulse>,
    /// How many nanoseconds 2^32 ticks take.
    scale: Cell<u64>,
    turn_time: RefCell<Histogram>,
    lag: RefCell<Histogram>,
    pub(crate) accept_errors: Cell<u64>,
    pub(crate) accept_pauses: Cell<u64>,
    pub(crate) turned_away: Cell<u64>,
    pub(crate) datagrams: Cell<u64>,
    pub(crate) datagram_bytes: Cell<u64>,
    ended: RefCell<[u64; CAUSES.len()]>,
    counts: RefCell<Vec<(&'static str, u64)>>,
    places: RefCell<Vec<String>>,
    sources: RefCell<Vec<SourceTally>>,
    /// Places in the code, as the pulse has them.
    spots: RefCell<Vec<&'static Location<'static>>>,
}

/// Connections of one listener and one protocol.
struct SourceTally {
    place: usize,
    names: Vec<&'static str>,
    open: u64,
    opened: u64,
    /// Of those that are over.
    received: u64,
    sent: u64,
}

/// What runs on the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    Call(&'static Location<'static>),
    Task(&'static Location<'static>),
    Remote,
    Datagrams,
    Watch,
    Factory,
}

impl Tally {
    /// With `is_timed`, it finds out how long turns take.
    pub(crate) fn new(started: Instant, is_timed: bool) -> Self {
        Self {
            pulse: Arc::new(Pulse::new(started, is_timed)),
            scale: Cell::default(),
            turn_time: RefCell::default(),
            lag: RefCell::default(),
            accept_errors: Cell::default(),
            accept_pauses: Cell::default(),
            turned_away: Cell::default(),
            datagrams: Cell::default(),
            datagram_bytes: Cell::default(),
            ended: RefCell::default(),
            counts: RefCell::default(),
            places: RefCell::new(vec![OUTGOING.to_owned(), OTHERS.to_owned()]),
            sources: RefCell::default(),
            spots: RefCell::default(),
        }
    }

    /// A turn has something to do from now on.
    #[inline]
    pub(crate) fn begin(&self) {
        self.pulse.began.store(self.pulse.ticks() + 1, Ordering::Relaxed);
    }

    /// The turn is over; answers how long it took, in nanoseconds.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        let pulse = &*self.pulse;
        let ticks = pulse.ticks();
        let turns = pulse.turns.load(Ordering::Relaxed) + 1;
        let often = turns % CALIBRATIONS;
        if often & often.wrapping_sub(1) == 0 {
            self.calibrate(ticks);
        }
        // What counts for one processor may be a little behind another's.
        let took = (ticks + 1).saturating_sub(pulse.began.load(Ordering::Relaxed));
        let took = ((u128::from(took) * u128::from(self.scale.get())) >> 32) as u64;
        self.turn_time.borrow_mut().record_nanoseconds(took);
        pulse.turns.store(turns, Ordering::Relaxed);
        pulse.at.store(0, Ordering::Relaxed);
        pulse.began.store(0, Ordering::Relaxed);
        took
    }

    /// Finds out how long a tick is.
    #[cold]
    fn calibrate(&self, ticks: u64) {
        let all = ticks.saturating_sub(self.pulse.first_tick);
        let scale = (self.pulse.started.elapsed().as_nanos() << 32).checked_div(all.into());
        self.scale.set(scale.and_then(|scale| u64::try_from(scale).ok()).unwrap_or(0));
    }

    /// What was due has its turn so much later.
    pub(crate) fn late(&self, by: Duration) {
        self.lag.borrow_mut().record(by);
    }

    /// This connection's protocol is called.
    pub(crate) fn runs_connection(&self, source: u32) {
        self.pulse.at.store(1 << KIND_SHIFT | u64::from(source), Ordering::Relaxed);
    }

    /// Something else is.
    pub(crate) fn runs(&self, what: Runs) {
        let (kind, index) = match what {
            Runs::Call(at) => (2, self.spot(at)),
            Runs::Task(at) => (3, self.spot(at)),
            Runs::Remote => (4, 0),
            Runs::Datagrams => (5, 0),
            Runs::Watch => (6, 0),
            Runs::Factory => (7, 0),
        };
        self.pulse.at.store(kind << KIND_SHIFT | u64::from(index), Ordering::Relaxed);
    }

    /// The number of a place in the code.
    fn spot(&self, at: &'static Location<'static>) -> u32 {
        let mut spots = self.spots.borrow_mut();
        if let Some(known) = spots.iter().position(|spot| std::ptr::eq(*spot, at)) {
            return known as u32;
        }
        if spots.len() >= SPOTS_MAX {
            return SPOTS_MAX as u32;
        }
        spots.push(at);
        lock(&self.pulse.spots).push(at);
        spots.len() as u32 - 1
    }

    /// The number of a place where somebody listens.
    pub(crate) fn place(&self, address: &str) -> usize {
        let mut places = self.places.borrow_mut();
        if let Some(known) = places.iter().position(|place| place == address) {
            return known;
        }
        if places.len() >= PLACES_MAX {
            return 1;
        }
        places.push(address.to_owned());
        places.len() - 1
    }

    /// A connection is there; answers what it is counted under.
    pub(crate) fn opened(&self, place: usize, seat: &dyn Seat) -> u32 {
        let source = self.source(place, seat);
        if let Some(found) = self.sources.borrow_mut().get_mut(source as usize) {
            found.open += 1;
            found.opened += 1;
        }
        source
    }

    /// Another protocol has a connection.
    pub(crate) fn switched(&self, from: u32, seat: &dyn Seat) -> u32 {
        let place = self.sources.borrow().get(from as usize).map(|source| source.place);
        let Some(place) = place else { return from };
        let to = self.source(place, seat);
        let mut sources = self.sources.borrow_mut();
        if let Some(before) = sources.get_mut(from as usize) {
            before.open -= 1;
        }
        if let Some(after) = sources.get_mut(to as usize) {
            after.open += 1;
        }
        to
    }

    /// A connection is gone.
    pub(crate) fn closed(&self, source: u32, received: u64, sent: u64) {
        if let Some(found) = self.sources.borrow_mut().get_mut(source as usize) {
            found.open = found.open.saturating_sub(1);
            found.received += received;
            found.sent += sent;
        }
    }

    /// A connection is over for its protocol, for this reason.
    pub(crate) fn ended(&self, why: Disconnect) {
        self.ended.borrow_mut()[cause(why)] += 1;
    }

    /// Something happened that has a name.
    pub(crate) fn count(&self, what: &'static str) {
        let mut counts = self.counts.borrow_mut();
        if let Some((_, count)) = counts.iter_mut().find(|(name, _)| *name == what) {
            *count += 1;
        } else if counts.len() < COUNTS_MAX {
            counts.push((what, 1));
        }
    }

    fn source(&self, place: usize, seat: &dyn Seat) -> u32 {
        let mut names: [&'static str; 8] = [""; 8];
        let mut length = 0;
        seat.tell_names(&mut |name| {
            if let Some(free) = names.get_mut(length) {
                *free = name;
                length += 1;
            }
        });
        let names = &names[..length];
        let mut sources = self.sources.borrow_mut();
        let known =
            sources.iter().position(|source| source.place == place && source.names == names);
        if let Some(known) = known {
            return known as u32;
        }
        if sources.len() >= SOURCES_MAX {
            return SOURCES_MAX as u32 - 1;
        }
        let tally =
            SourceTally { place, names: names.to_vec(), open: 0, opened: 0, received: 0, sent: 0 };
        let shown = (self.places.borrow()[place].clone(), protocol_name(names));
        lock(&self.pulse.sources).push(shown);
        sources.push(tally);
        sources.len() as u32 - 1
    }

    /// What a connection is counted under: the listener and the protocol.
    pub(crate) fn source_of(&self, source: u32) -> (String, String) {
        let sources = lock(&self.pulse.sources);
        sources.get(source as usize).cloned().unwrap_or_default()
    }

    /// Writes the numbers down. `living` has bytes received and sent on connections that are up, by source.
    pub(crate) fn report(&self, living: &[(u64, u64)], into: &mut Statistics) {
        into.turns = self.pulse.turns.load(Ordering::Relaxed);
        into.turn_time = self.turn_time.borrow().clone();
        into.lag = self.lag.borrow().clone();
        into.accept_errors = self.accept_errors.get();
        into.accept_pauses = self.accept_pauses.get();
        into.turned_away = self.turned_away.get();
        into.datagrams = self.datagrams.get();
        into.datagram_bytes = self.datagram_bytes.get();
        into.ended = CAUSES.into_iter().zip(*self.ended.borrow()).collect();
        into.counts.clone_from(&self.counts.borrow());
        let sources = self.sources.borrow();
        let all = sources.iter().enumerate().map(|(index, source)| {
            let (received, sent) = living.get(index).copied().unwrap_or_default();
            let (listener, protocol) = self.source_of(index as u32);
            SourceStatistics {
                listener,
                protocol,
                open: source.open,
                opened: source.opened,
                received: source.received + received,
                sent: source.sent + sent,
            }
        });
        into.sources = all.collect();
    }
}

/// What the types of protocols are called where people look: by the room that has them, or by their path.
pub(crate) fn protocol_name(types: &[&str]) -> String {
    let mut words: Vec<String> = Vec::new();
    for path in types {
        let plain = path.split('<').next().unwrap_or(path);
        let mut parts = plain.split("::");
        let first = parts.next().unwrap_or(plain);
        let word = match first.strip_prefix("ropewalk_") {
            // Policies around a protocol are not what it speaks.
            Some("framing" | "protocol" | "forward") => continue,
            Some("small") => parts.next().unwrap_or("small").to_owned(),
            Some(room) => room.to_owned(),
            None => plain.to_owned(),
        };
        if words.last() != Some(&word) {
            words.push(word);
        }
    }
    if words.is_empty() {
        let last = types.last().and_then(|path| path.split('<').next());
        return last.unwrap_or("unknown").to_owned();
    }
    words.join("+")
}

const KIND_SHIFT: u32 = 56;

/// What other threads may read of a reactor at any time.
pub(crate) struct Pulse {
    started: Instant,
    /// What the processor had counted then.
    first_tick: u64,
    /// Turns take the time that they take, and not a simulated one.
    is_timed: bool,
    /// When the turn that is under way began, in ticks and one more; nought while the loop sleeps.
    began: AtomicU64,
    turns: AtomicU64,
    /// What runs: the kind in the highest byte, an index in the lower half.
    at: AtomicU64,
    sources: Mutex<Vec<(String, String)>>,
    spots: Mutex<Vec<&'static Location<'static>>>,
    /// The system's number for the loop's thread.
    thread: Option<u32>,
}

impl Pulse {
    fn new(started: Instant, is_timed: bool) -> Self {
        // Where the system has such a place.
        let thread = std::fs::read_link("/proc/thread-self").ok();
        let thread = thread.and_then(|path| path.file_name()?.to_str()?.parse().ok());
        Self {
            started,
            first_tick: if is_timed { ticks(started) } else { 0 },
            is_timed,
            began: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            at: AtomicU64::new(0),
            sources: Mutex::default(),
            spots: Mutex::default(),
            thread,
        }
    }

    #[inline]
    fn ticks(&self) -> u64 {
        if self.is_timed { ticks(self.started) } else { 0 }
    }

    /// How long it has been since it was so many ticks.
    fn since(&self, tick: u64) -> Duration {
        let now = self.ticks();
        let [since, all] = [tick, self.first_tick].map(|tick| u128::from(now.saturating_sub(tick)));
        let nanoseconds = (self.started.elapsed().as_nanos() * since).checked_div(all).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    fn what(&self, at: u64) -> String {
        let index = (at & 0xffff_ffff) as usize;
        let source = || lock(&self.sources).get(index).cloned().unwrap_or_default();
        let spot = || match lock(&self.spots).get(index) {
            Some(spot) => format!("asked for at {spot}"),
            None => "asked for somewhere".to_owned(),
        };
        match at >> KIND_SHIFT {
            1 => {
                let (listener, protocol) = source();
                format!("the protocol {protocol} of a connection at {listener}")
            }
            2 => format!("a call {}", spot()),
            3 => format!("a task {}", spot()),
            4 => "a call from another thread".to_owned(),
            5 => "a protocol for datagrams".to_owned(),
            6 => "whoever watches a descriptor".to_owned(),
            7 => "a factory of protocols".to_owned(),
            _ => "the loop itself".to_owned(),
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads from any thread what a reactor is at, also while it is stuck: see
/// [`Reactor::observer`](crate::Reactor::observer).
#[derive(Clone)]
pub struct Observer(pub(crate) Arc<Pulse>);

/// A turn that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// Its number, from nought.
    pub number: u64,
    /// How long it has been going on.
    pub lasts: Duration,
    /// What runs in it, in words: the protocol and the listener of a connection, or where a call or a task
    /// was asked for.
    pub runs: String,
}

impl Observer {
    /// The turn that is under way; `None` while the loop sleeps or does not run.
    pub fn turn(&self) -> Option<Turn> {
        let pulse = &*self.0;
        let number = pulse.turns.load(Ordering::Relaxed);
        let began = pulse.began.load(Ordering::Relaxed).checked_sub(1)?;
        let at = pulse.at.load(Ordering::Relaxed);
        let lasts = pulse.since(began);
        Some(Turn { number, lasts, runs: pulse.what(at) })
    }

    /// How many turns there have been.
    pub fn turns(&self) -> u64 {
        self.0.turns.load(Ordering::Relaxed)
    }

    /// The number by which the system knows the loop's thread, on Linux.
    pub fn thread(&self) -> Option<u32> {
        self.0.thread
    }
}

/// Two are the same if they look at the same reactor.
impl PartialEq for Observer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Observer {}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("turn", &self.turn()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::protocol_name;

    #[test]
    fn protocols_are_named_as_people_know_them() {
        for (types, wanted) in [
            (&["ropewalk_http::server::connection::Server<ropewalk_http::Site>"][..], "http"),
            (&["ropewalk_tls::layer::Tls", "ropewalk_http::server::Server"], "tls+http"),
            (&["ropewalk_framing::policy::Limit", "ropewalk_small::echo::Echo"], "echo"),
            (&["ropewalk_framing::line::Lines<a::B>"], "ropewalk_framing::line::Lines"),
            (&["chat::Chat"], "chat::Chat"),
            (&["ropewalk_tls::Tls", "ropewalk_tls::Tls"], "tls"),
            (&[], "unknown"),
        ] {
            assert_eq!(protocol_name(types), wanted);
        }
    }
}
