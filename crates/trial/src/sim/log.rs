//! What happened, in order.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// How many happenings are kept to be read; all of them are in the hash.
const KEPT_MAX: usize = 4096;

/// One thing that happened in a [`Simulation`](crate::Simulation).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    pub(super) at: u64,
    pub(super) host: u32,
    pub(super) what: What,
    /// The connection, or what else is numbered.
    pub(super) which: u64,
    pub(super) count: u64,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Turn,
    Connecting,
    Connected,
    Refused,
    Accepted,
    Scarce,
    Sent,
    Arrived,
    Delayed,
    Received,
    Ended,
    Failed,
    Closed,
    Reset,
    Lost,
    Worked,
    Called,
    Weather,
    Passed,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Turn => "takes a turn",
            Self::Connecting => "connects",
            Self::Connected => "is connected",
            Self::Refused => "is not connected",
            Self::Accepted => "accepts",
            Self::Scarce => "has no descriptor left",
            Self::Sent => "sends",
            Self::Arrived => "gets",
            Self::Delayed => "sends again",
            Self::Received => "receives",
            Self::Ended => "receives the end",
            Self::Failed => "fails",
            Self::Closed => "closes",
            Self::Reset => "resets",
            Self::Lost => "loses a datagram",
            Self::Worked => "has a thread's work done",
            Self::Called => "is told from outside",
            Self::Weather => "has other weather",
            Self::Passed => "is passed descriptors",
        }
    }
}

impl Happening {
    /// When it happened, since the simulation's start.
    pub fn at(&self) -> Duration {
        Duration::from_nanos(self.at)
    }
}

/// The happenings of one simulation.
#[derive(Debug)]
pub(super) struct Log {
    hash: u64,
    count: u64,
    kept: VecDeque<Happening>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, count: 0, kept: VecDeque::new() }
    }

    pub(super) fn add(&mut self, happening: Happening) {
        let Happening { at, host, what, which, count } = happening;
        for word in [at, u64::from(host) << 8 | what as u64, which, count] {
            self.mix(word);
        }
        self.count += 1;
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(happening);
    }

    /// Takes bytes into the hash that somebody was given.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn kept(&self) -> impl DoubleEndedIterator<Item = &Happening> {
        self.kept.iter()
    }
}

/// A happening with the name of its host.
pub(super) struct Line<'a>(pub(super) &'a Happening, pub(super) &'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Happening { at, what, which, count, .. }, host) = self;
        let (seconds, nanos) = (at / 1_000_000_000, at % 1_000_000_000);
        write!(f, "{seconds:>5}.{nanos:09} {host} {}", what.name())?;
        match what {
            What::Turn | What::Weather | What::Worked | What::Called | What::Scarce => Ok(()),
            What::Sent | What::Arrived | What::Received | What::Lost => {
                write!(f, " {count} bytes (#{which})")
            }
            _ => write!(f, " (#{which})"),
        }
    }
}
