//! The same input, cut in every way.

use std::fmt;
use std::time::Duration;

use ropewalk_protocol::{Disconnect, Protocol, Seat, seat};

use crate::{Clock, Difference, Memory, Random};

/// How many ways of cutting at random are tried.
const RANDOM_CUTS: u64 = 16;
/// How long a protocol may put off reading on.
const READING_PATIENCE: Duration = Duration::from_mins(1);

/// How an input is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Whole,
    /// Into pieces of so many bytes.
    Pieces(usize),
    /// Anywhere, as this seed has it.
    Random(u64),
}

impl Cut {
    /// Those that are worth trying.
    pub fn all() -> impl Iterator<Item = Self> {
        let pieces = [1, 2, 3, 7, 64].map(Self::Pieces);
        [Self::Whole].into_iter().chain(pieces).chain((0..RANDOM_CUTS).map(Self::Random))
    }

    /// Cuts `bytes`.
    pub fn cut(self, bytes: &[u8]) -> Vec<&[u8]> {
        let mut random = match self {
            Self::Random(seed) => Some(Random::new(seed)),
            Self::Whole | Self::Pieces(_) => None,
        };
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let size = match (self, &mut random) {
                (Self::Pieces(size), _) => size.max(1),
                (_, Some(random)) => {
                    // Few bytes as often as many.
                    let most = if random.chance(0.5) { 4 } else { bytes.len() as u64 };
                    random.between(1, most) as usize
                }
                _ => rest.len(),
            };
            let (piece, others) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = others;
        }
        pieces
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("all at once"),
            Self::Pieces(1) => f.write_str("byte by byte"),
            Self::Pieces(size) => write!(f, "in pieces of {size}"),
            Self::Random(seed) => write!(f, "at random (seed {seed})"),
        }
    }
}

/// What a protocol made of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it sent.
    pub sent: Vec<u8>,
    /// How it ended the connection, if it did.
    pub ended: Option<Disconnect>,
    /// Whether it ended its stream.
    pub write_closed: bool,
}

/// Gives `input` to one fresh protocol for each way of cutting it, all at once, byte by byte, in pieces and
/// at random, and answers what they all made of it.
///
/// ```
/// use ropewalk_protocol::{Conn, Protocol};
/// use ropewalk_trial::chunked;
///
/// struct Echo;
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
///
/// assert_eq!(chunked(b"hello", || Echo).sent, b"hello");
/// ```
///
/// # Panics
///
/// If they do not all make the same of it: the two sides are shown where they part.
#[track_caller]
pub fn chunked<P: Protocol>(input: &[u8], mut make: impl FnMut() -> P) -> Answer {
    chunked_seats(input, |_| seat(make()))
}

/// The same for what is seated already, on a clock that others may share.
///
/// # Panics
///
/// As [`chunked`] does.
#[track_caller]
pub fn chunked_seats(input: &[u8], mut make: impl FnMut(&Clock) -> Box<dyn Seat>) -> Answer {
    let mut give = |cut: Cut| {
        let clock = Clock::new();
        let mut memory = Memory::take_seat(make(&clock), &clock);
        for piece in cut.cut(input) {
            feed(&mut memory, piece);
        }
        memory.run();
        Answer {
            sent: memory.take_sent(),
            ended: memory.ended(),
            write_closed: memory.is_write_closed(),
        }
    };
    let whole = give(Cut::Whole);
    for cut in Cut::all() {
        let other = give(cut);
        if let Some(difference) = Difference::between(&whole.sent, &other.sent) {
            panic!("given {cut}, it answers otherwise than given all at once: {difference}");
        }
        assert_eq!(whole, other, "given {cut}, it ends otherwise than given all at once");
    }
    whole
}

/// Gives a piece to a protocol, which may take its time; answers how much it took.
pub(crate) fn feed(memory: &mut Memory, piece: &[u8]) -> usize {
    let until = memory.now() + READING_PATIENCE;
    let mut given = 0;
    while given < piece.len() && memory.ended().is_none() {
        match memory.push(&piece[given..]) {
            // It reads no more for now: perhaps when its next call is made.
            0 => match memory.next_call() {
                Some(due) if due <= until => memory.advance(due.saturating_sub(memory.now())),
                _ => break,
            },
            taken => given += taken,
        }
    }
    given
}
