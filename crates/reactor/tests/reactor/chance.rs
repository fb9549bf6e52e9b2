//! Connections that do what chance tells them, and a record of each that they are checked against.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, Clock, Conn, Disconnect, Port, Protocol, seat};
use ropewalk_reactor::{Census, ConnectOptions, ListeningPort, Reactor, TcpListenOptions};

use crate::kit::{PATIENCE, alone, anywhere, descriptors, reactor, settle};

/// How many pairs of protocols there are at a time; each that ends has a successor until time is up.
const PAIRS: usize = 200;
const DEEDS: u32 = 60;
/// How long a game with one of the known seeds lasts, and one with a fresh seed.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(2);

/// A small generator of numbers that only look random.
#[derive(Clone)]
struct Chance(Rc<Cell<u64>>);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(Rc::new(Cell::new(seed | 1)))
    }

    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

/// What went one way: how much was written and read, and how the two ends came to an end.
#[derive(Default)]
struct Way {
    written: u64,
    read: u64,
    /// The writer ended its stream, so that all of it must arrive if nobody breaks off.
    ended: bool,
    eof: bool,
}

/// What is known of a pair of protocols.
struct Pair {
    ways: [Way; 2],
    made: [bool; 2],
    lost: [Option<Disconnect>; 2],
    /// One side broke off, or stopped reading for good: not everything arrives.
    broken: bool,
}

/// One side of a pair; what it writes shows its place in the stream.
struct Gambler {
    pair: Rc<RefCell<Pair>>,
    side: usize,
    deeds: u32,
    chance: Chance,
    /// How long it bears silence, if it does not bear it for ever.
    patience: Option<Duration>,
    heard_at: Duration,
    /// Of a chain of protocols on one connection, the last one is told of the connection's end.
    handed_on: bool,
    heard_eof: bool,
}

fn byte_at(place: u64) -> u8 {
    (place ^ place >> 8 ^ place >> 16).wrapping_mul(31) as u8
}

impl Gambler {
    fn write(&self, conn: &Conn<Self>, len: u64) {
        let mut pair = self.pair.borrow_mut();
        let way = &mut pair.ways[self.side];
        if way.ended {
            return;
        }
        let bytes: Vec<u8> = (way.written..way.written + len).map(byte_at).collect();
        way.written += len;
        conn.write(&bytes);
    }

    fn end_writing(&self) {
        self.pair.borrow_mut().ways[self.side].ended = true;
    }

    fn break_off(&self) {
        self.pair.borrow_mut().broken = true;
        self.end_writing();
    }

    /// Gives up on a peer that has been silent for too long.
    fn look_at_the_clock(&mut self, conn: &Conn<Self>) {
        let Some(patience) = self.patience.filter(|_| !self.handed_on) else { return };
        let silent = conn.now().saturating_sub(self.heard_at);
        let left = patience.saturating_sub(silent);
        if left.is_zero() {
            self.break_off();
            conn.abort_with(Disconnect::TimedOut);
        } else {
            conn.call_later(left, Self::look_at_the_clock);
        }
    }

    fn act(&mut self, conn: &Conn<Self>) {
        if self.handed_on {
            return;
        }
        if self.deeds == 0 {
            conn.resume_reading();
            self.end_writing();
            return conn.close_write();
        }
        self.deeds -= 1;
        match self.chance.below(100) {
            0..40 => self.write(conn, 1 << self.chance.below(16)),
            40..42 => self.write(conn, 300_000),
            42..55 => conn.pause_reading(),
            55..80 => conn.resume_reading(),
            80..84 => {
                self.end_writing();
                conn.close_write();
            }
            84 => {
                self.break_off();
                conn.close();
            }
            85 => {
                self.break_off();
                conn.abort();
            }
            86..90 if !conn.is_closing() => {
                self.handed_on = true;
                let next = Self {
                    pair: Rc::clone(&self.pair),
                    chance: self.chance.clone(),
                    handed_on: false,
                    heard_eof: false,
                    ..*self
                };
                conn.switch_protocol(next, b"");
                return;
            }
            _ => (),
        }
        // Most are busy, and now and then one falls silent.
        let delay = match self.chance.below(20) {
            0 => Duration::from_millis(self.chance.below(40)),
            _ => Duration::from_micros(self.chance.below(4) * 300),
        };
        conn.call_later(delay, Self::act);
    }
}

impl Protocol for Gambler {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.pair.borrow_mut().made[self.side] = true;
        self.heard_at = conn.now();
        self.look_at_the_clock(conn);
        self.act(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        assert!(!conn.is_reading_paused(), "bytes come while reading is paused");
        self.heard_at = conn.now();
        let mut pair = self.pair.borrow_mut();
        assert_eq!(pair.lost[self.side], None, "bytes come after the end");
        let way = &mut pair.ways[1 - self.side];
        assert!(!way.eof, "bytes come after the end of the stream");
        for byte in data {
            assert_eq!(*byte, byte_at(way.read), "at byte {}", way.read);
            way.read += 1;
        }
        assert!(way.read <= way.written);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        let mut pair = self.pair.borrow_mut();
        let broken = pair.broken;
        let way = &mut pair.ways[1 - self.side];
        // A successor is told again what its predecessor knew.
        assert!(!std::mem::replace(&mut self.heard_eof, true), "the stream ends twice");
        way.eof = true;
        assert!(broken || way.read == way.written, "{} of {}", way.read, way.written);
        drop(pair);
        if self.chance.below(4) == 0 {
            // The peer has said all; whoever closes now loses nothing of it, and sends all of his.
            self.end_writing();
            conn.close();
        }
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if self.handed_on && why == Disconnect::Switched {
            return;
        }
        let mut pair = self.pair.borrow_mut();
        assert_eq!(pair.lost[self.side].replace(why), None, "the connection ends twice");
    }
}

/// Two protocols that meet, and where they do.
struct Game {
    pair: Rc<RefCell<Pair>>,
    port: ListeningPort,
}

impl Game {
    fn begin(reactor: &Reactor, chance: &Chance) -> Self {
        let pair =
            Pair { ways: Default::default(), made: [false; 2], lost: [None; 2], broken: false };
        let pair = Rc::new(RefCell::new(pair));
        let gambler = |side| Gambler {
            pair: Rc::clone(&pair),
            side,
            deeds: chance.below(DEEDS.into()) as u32,
            chance: chance.clone(),
            patience: (chance.below(8) == 0).then(|| Duration::from_millis(5 + chance.below(50))),
            heard_at: Duration::ZERO,
            handed_on: false,
            heard_eof: false,
        };
        let mut server = Some(gambler(0));
        let factory = Box::new(move |_: &Address| server.take());
        let port = reactor.listen_tcp(anywhere(), TcpListenOptions::default(), factory).unwrap();
        let address = port.address().ip().unwrap();
        reactor.connect_tcp(address, ConnectOptions::default(), seat(gambler(1)));
        Self { pair, port }
    }

    fn is_over(&self) -> bool {
        self.pair.borrow().lost.iter().all(Option::is_some)
    }

    /// Compares what went in with what came out.
    fn end(self) {
        // What becomes of the port is seen when all is counted.
        drop(self.port.stop_listening());
        let pair = self.pair.borrow();
        if !pair.broken {
            assert_eq!(pair.made, [true; 2]);
            assert_eq!(pair.lost, [Some(Disconnect::Closed); 2]);
            for way in &pair.ways {
                assert_eq!((way.read, way.ended), (way.written, true));
            }
        }
    }
}

#[test]
fn whatever_chance_does_the_books_balance() {
    alone("chance::games");
}

/// A scene: it needs a process of its own. With `ROPEWALK_SEED` and `ROPEWALK_SCENE=chance::games` set,
/// one is played again.
pub(crate) fn games() {
    let given = std::env::var("ROPEWALK_SEED").ok().and_then(|seed| seed.parse().ok());
    let fresh = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let games = given
        .map_or_else(|| vec![(1, SHORT), (2, SHORT), (fresh, LONG)], |seed| vec![(seed, LONG)]);
    play(0, Duration::ZERO);
    let before = descriptors();
    for (seed, time) in games {
        println!("seed {seed}");
        let count = play(seed, time);
        println!("{count} pairs");
        assert_eq!(descriptors(), before, "descriptors are left");
    }
}

/// Has pairs play for so long; answers how many there were.
fn play(seed: u64, time: Duration) -> usize {
    let reactor = reactor();
    let chance = Chance::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut games: Vec<Game> = Vec::new();
    let mut count = 0;
    let end = reactor.now() + time;
    loop {
        for over in games.extract_if(.., |game| game.is_over()) {
            over.end();
        }
        let now = reactor.now();
        if now < end || count == 0 {
            count += PAIRS - games.len();
            games.resize_with(PAIRS, || Game::begin(&reactor, &chance));
        }
        if games.is_empty() {
            break;
        }
        assert!(now < end + PATIENCE, "{} pairs never end: {reactor:?}", games.len());
        reactor.turn(PATIENCE).unwrap();
    }
    settle(&reactor);
    let idle = Census::default();
    assert_eq!(reactor.census(), idle);
    assert_eq!((reactor.next_deadline(), reactor.operations()), (None, waking(&reactor)));
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert_eq!(reactor.census(), idle);
    count
}

/// How many operations a reactor has under way that does nothing: `io_uring` waits for other threads.
fn waking(reactor: &Reactor) -> usize {
    usize::from(reactor.driver() == "io_uring")
}
