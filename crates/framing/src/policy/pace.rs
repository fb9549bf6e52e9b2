//! The least that a peer must do.

use std::time::Duration;

use ropewalk_protocol::{Above, Address, Below, Disconnect, Layer, Layered, Outbox, Seat};

use super::{Policy, PolicyState};

/// Ends connections whose peers are slower than a rate; their protocol is told
/// [`TimedOut`](Disconnect::TimedOut).
///
/// A peer is judged at the end of each period: one who was offered enough output and took too little
/// of it, or who was read from all the time and sent too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The least that a peer takes of what waits for it, in bytes a second; 240.
    pub take_min: Option<u64>,
    /// The least that a peer sends, in bytes a second. Not set: it is for peers that always have
    /// something to send.
    pub send_min: Option<u64>,
    /// How long a peer is watched before it is judged; 5 seconds.
    pub period: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { take_min: Some(240), send_min: None, period: Duration::from_secs(5) }
    }
}

impl Pace {
    /// What a rate comes to in one period, in bytes.
    fn least(&self, per_second: u64) -> u64 {
        let bytes = u128::from(per_second) * self.period.as_nanos() / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl Policy for Pace {
    type Layer = Paced;
    type State = Self;

    fn begin(self) -> Self {
        self
    }
}

impl PolicyState for Pace {
    type Layer = Paced;

    fn admit(
        &mut self,
        _: &Address,
        build: &mut dyn FnMut() -> Option<Box<dyn Seat>>,
    ) -> Option<Layered<Paced>> {
        let layer = Paced {
            pace: *self,
            received: 0,
            was_paused: false,
            written: 0,
            offered: 0,
            is_watching: false,
        };
        Some(Layered::new(layer, build()?))
    }
}

/// A connection whose peer is watched.
#[derive(Debug)]
pub struct Paced {
    pace: Pace,
    /// Bytes that came in this period.
    received: u64,
    /// Reading was paused at some time in this period.
    was_paused: bool,
    /// Bytes that were written in this period.
    written: u64,
    /// Bytes that were waiting when it began.
    offered: u64,
    /// A peer that has nothing to take is not watched.
    is_watching: bool,
}

impl Paced {
    fn judge_sending(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let Some(least) = self.pace.send_min.map(|rate| self.pace.least(rate)) else { return };
        let received = std::mem::take(&mut self.received);
        let was_paused = std::mem::replace(&mut self.was_paused, !above.is_reading());
        if received < least && !was_paused {
            return below.abort_with(Disconnect::TimedOut);
        }
        above.call_later(self.pace.period, Self::judge_sending);
    }

    fn watch_taking(&mut self, below: &Below<Self>) {
        self.is_watching = below.waiting() > 0 && self.pace.take_min.is_some();
        if self.is_watching {
            (self.offered, self.written) = (below.waiting(), 0);
            below.call_later(self.pace.period, |this, below| {
                this.with(below, |layer, below, _| layer.judge_taking(below));
            });
        }
    }

    fn judge_taking(&mut self, below: &Below<Self>) {
        let least = self.pace.take_min.map_or(0, |rate| self.pace.least(rate));
        let taken = (self.offered + self.written).saturating_sub(below.waiting());
        if self.offered >= least && taken < least {
            return below.abort_with(Disconnect::TimedOut);
        }
        self.watch_taking(below);
    }
}

impl Layer for Paced {
    const PASSES_DESCRIPTORS: bool = true;

    fn connection_made(&mut self, _: &Below<Self>, above: &mut Above<Self>) {
        above.made();
        if self.pace.send_min.is_some() {
            self.was_paused = !above.is_reading();
            above.call_later(self.pace.period, Self::judge_sending);
        }
    }

    fn data_received(&mut self, _: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
        self.received += data.len() as u64;
        above.data_received(data);
        self.was_paused |= !above.is_reading();
    }

    fn output_written(&mut self, below: &Below<Self>, out: Box<Outbox>) {
        self.written += out.len();
        below.write_outbox(out);
    }

    fn output_sent(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        self.was_paused |= !above.is_reading();
        // Some stays behind: from here on there is something to take.
        if !self.is_watching {
            self.watch_taking(below);
        }
    }
}
