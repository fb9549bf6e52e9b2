//! Time-outs.

use std::time::Duration;

use ropewalk_protocol::{
    Above, Address, Below, ConnCall, Disconnect, Layer, Layered, Outbox, Seat,
};

use super::{Policy, PolicyState};

/// Ends connections that take too long; their protocol is told
/// [`TimedOut`](Disconnect::TimedOut).
///
/// What a protocol knows better, such as how long one of its messages may take, it times itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long nothing may move in either direction; 60 seconds.
    pub idle: Option<Duration>,
    /// How long a peer may take from the beginning to a first message that is answered: until the
    /// protocol writes something after bytes have come. Not set: it is for servers that answer.
    pub first: Option<Duration>,
    /// How long the connection may last, whatever happens on it. Not set.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: Some(Duration::from_mins(1)), first: None, total: None }
    }
}

impl Policy for Timeouts {
    type Layer = Timed;
    type State = Self;

    fn begin(self) -> Self {
        self
    }
}

impl PolicyState for Timeouts {
    type Layer = Timed;

    fn admit(
        &mut self,
        _: &Address,
        build: &mut dyn FnMut() -> Option<Box<dyn Seat>>,
    ) -> Option<Layered<Timed>> {
        let layer = Timed {
            timeouts: *self,
            moved_at: Duration::ZERO,
            waiting: 0,
            has_heard: false,
            first_call: None,
            is_late: false,
        };
        Some(Layered::new(layer, build()?))
    }
}

/// A connection with time-outs.
#[derive(Debug)]
pub struct Timed {
    timeouts: Timeouts,
    /// When anything moved last.
    moved_at: Duration,
    /// How much output was waiting when that was asked last.
    waiting: u64,
    has_heard: bool,
    /// The time-out for the first message, while it runs.
    first_call: Option<ConnCall>,
    is_late: bool,
}

impl Timed {
    fn end(&mut self, below: &Below<Self>) {
        self.is_late = true;
        // A peer who has taken everything may as well see a clean end.
        if below.waiting() == 0 { below.close() } else { below.abort_with(Disconnect::TimedOut) }
    }

    fn check_idle(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let Some(idle) = self.timeouts.idle else { return };
        let still = below.now().saturating_sub(self.moved_at);
        if still >= idle {
            self.end(below);
        } else {
            above.call_later(idle.saturating_sub(still), Self::check_idle);
        }
    }
}

impl Layer for Timed {
    const PASSES_DESCRIPTORS: bool = true;

    fn connection_made(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        self.moved_at = below.now();
        self.check_idle(below, above);
        if let Some(first) = self.timeouts.first {
            self.first_call = above.call_later(first, |layer, below, _| layer.end(below));
        }
        if let Some(total) = self.timeouts.total {
            above.call_later(total, |layer, below, _| layer.end(below));
        }
        above.made();
    }

    fn data_received(&mut self, below: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
        self.moved_at = below.now();
        self.has_heard = true;
        above.data_received(data);
    }

    fn output_written(&mut self, below: &Below<Self>, out: Box<Outbox>) {
        self.moved_at = below.now();
        self.waiting += out.len();
        if self.has_heard
            && let Some(call) = self.first_call.take()
        {
            below.cancel_call(call);
        }
        below.write_outbox(out);
    }

    fn output_sent(&mut self, below: &Below<Self>, _: &mut Above<Self>) {
        if below.waiting() < self.waiting {
            self.moved_at = below.now();
        }
        self.waiting = below.waiting();
    }

    fn connection_lost(&mut self, _: &Below<Self>, why: Disconnect) -> Disconnect {
        if self.is_late { Disconnect::TimedOut } else { why }
    }
}
