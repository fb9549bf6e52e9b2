//! What lies between two hosts, and what a host is like.

use std::time::Duration;

use super::Random;

/// The way from one host to another.
///
/// A stream sees loss as TCP does: what is lost comes later, and all behind it waits.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_trial::{Link, Simulation};
///
/// let simulation = Simulation::new(1);
/// let satellite = Link::default().latency(Duration::from_millis(270)).loss(0.01);
/// simulation.host("ship");
/// simulation.host("shore");
/// simulation.link("ship", "shore", satellite);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    pub(super) loss: f64,
    pub(super) duplication: f64,
    pub(super) reordering: f64,
    pub(super) bandwidth: Option<u64>,
    pub(super) window: u64,
    pub(super) segment: u64,
    pub(super) cut: f64,
    pub(super) reset_after: Option<u64>,
}

impl Default for Link {
    /// A calm local network: half a millisecond each way, nothing is lost.
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(500),
            jitter: Duration::from_micros(100),
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            bandwidth: None,
            window: 64 * 1024,
            segment: 1460,
            cut: 0.1,
            reset_after: None,
        }
    }
}

impl Link {
    /// How long everything takes on the way, one way.
    pub fn latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// How much longer some things take.
    pub fn jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// How likely one packet is lost, from 0 to 1.
    pub fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// How likely one packet comes twice, from 0 to 1. Streams do not notice.
    pub fn duplication(self, duplication: f64) -> Self {
        Self { duplication, ..self }
    }

    /// How likely one packet is overtaken by later ones, from 0 to 1. Streams notice a delay.
    pub fn reordering(self, reordering: f64) -> Self {
        Self { reordering, ..self }
    }

    /// How many bytes pass in a second; any number unless set.
    pub fn bandwidth(self, bytes: u64) -> Self {
        Self { bandwidth: Some(bytes.max(1)), ..self }
    }

    /// How many bytes of one stream may be under way or unread, at least 1; 64 KiB unless set.
    pub fn window(self, bytes: u64) -> Self {
        Self { window: bytes.max(1), ..self }
    }

    /// How many bytes of a stream travel together at most, at least 1; 1460 unless set.
    pub fn segment(self, bytes: u64) -> Self {
        Self { segment: bytes.max(1), ..self }
    }

    /// How likely a receive or a send takes less than it could, from 0 to 1; 0.1 unless set.
    pub fn cut(self, cut: f64) -> Self {
        Self { cut, ..self }
    }

    /// Resets each stream once so many bytes of it have passed this way.
    pub fn reset_after(self, bytes: u64) -> Self {
        Self { reset_after: Some(bytes), ..self }
    }

    /// Any link but one that resets: slow or fast, narrow or wide, lossy or not.
    pub fn rough(random: &mut Random) -> Self {
        let micros = |micros| Duration::from_micros(micros);
        let latency = *random.choose(&[0, 50, 1000, 20_000, 150_000]);
        let lossy = [0.0, 0.0, 0.01, 0.1];
        Self {
            latency: micros(latency),
            jitter: micros(random.below(latency + 1)),
            loss: *random.choose(&lossy),
            duplication: *random.choose(&lossy),
            reordering: *random.choose(&lossy),
            bandwidth: random.chance(0.3).then(|| random.between(10_000, 10_000_000)),
            window: *random.choose(&[1, 7, 512, 4096, 65536, 1 << 20]),
            segment: *random.choose(&[1, 3, 536, 1460, 16384]),
            cut: *random.choose(&[0.0, 0.1, 0.5, 1.0]),
            reset_after: None,
        }
    }

    /// As [`rough`](Self::rough) as any, but wide enough that a protocol's own patience is not at stake:
    /// windows of 4 KiB and more, packets of 536 bytes and more.
    pub fn passable(random: &mut Random) -> Self {
        let (windows, segments) = ([4096, 65536, 1 << 20], [536, 1460, 16384]);
        let (window, segment) = (*random.choose(&windows), *random.choose(&segments));
        Self { window, segment, ..Self::rough(random) }
    }

    /// What the host is to itself.
    pub(super) fn loopback() -> Self {
        Self {
            latency: Duration::from_micros(20),
            jitter: Duration::from_micros(10),
            segment: 32 * 1024,
            ..Self::default()
        }
    }
}

/// What one host is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub(super) descriptors: usize,
    pub(super) drift: i32,
    pub(super) uptime: Duration,
    pub(super) turn: Duration,
}

impl Default for Machine {
    /// A quick one, with 1024 descriptors and a clock that is right.
    fn default() -> Self {
        Self {
            descriptors: 1024,
            drift: 0,
            uptime: Duration::ZERO,
            turn: Duration::from_micros(20),
        }
    }
}

impl Machine {
    /// How many sockets it may have open.
    pub fn descriptors(self, descriptors: usize) -> Self {
        Self { descriptors, ..self }
    }

    /// How far its clock gains on the others, in parts of a million; negative is slow.
    pub fn drift(self, parts_per_million: i32) -> Self {
        Self { drift: parts_per_million.max(-900_000), ..self }
    }

    /// What its clock shows at the beginning.
    pub fn uptime(self, uptime: Duration) -> Self {
        Self { uptime, ..self }
    }

    /// How long one turn of its loop takes at most; 20 microseconds unless set.
    pub fn turn(self, turn: Duration) -> Self {
        Self { turn, ..self }
    }

    /// This machine's clock at the time `world`, in nanoseconds.
    pub(super) fn clock(&self, world: u64) -> u64 {
        let rate = (1_000_000 + i64::from(self.drift)) as u128;
        self.uptime.as_nanos() as u64 + (u128::from(world) * rate / 1_000_000) as u64
    }

    /// How long it takes until this machine's clock has gone on by `time`.
    pub(super) fn world_time(&self, time: Duration) -> u64 {
        let rate = (1_000_000 + i64::from(self.drift)) as u128;
        let nanos = (time.as_nanos() * 1_000_000).div_ceil(rate);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}
