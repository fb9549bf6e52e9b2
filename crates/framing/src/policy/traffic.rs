//! Who said how much.

use ropewalk_protocol::{Above, Address, Below, Disconnect, Layer, Layered, Outbox, Seat};

use super::{Policy, PolicyState};

/// Logs what goes to and fro, with `tracing` under the target `ropewalk::traffic`: beginnings and
/// ends as `debug` with their totals, each piece as `trace`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficLog {
    /// How many bytes at the front of each piece are shown; none, since they may be secret.
    pub shown_max: usize,
}

impl Policy for TrafficLog {
    type Layer = Logged;
    type State = TrafficLogging;

    fn begin(self) -> TrafficLogging {
        TrafficLogging { log: self, last_id: 0 }
    }
}

/// A [`TrafficLog`] at work.
#[derive(Clone, Copy, Debug)]
pub struct TrafficLogging {
    log: TrafficLog,
    last_id: u64,
}

impl PolicyState for TrafficLogging {
    type Layer = Logged;

    fn admit(
        &mut self,
        _: &Address,
        build: &mut dyn FnMut() -> Option<Box<dyn Seat>>,
    ) -> Option<Layered<Logged>> {
        let above = build()?;
        self.last_id += 1;
        let layer = Logged { log: self.log, id: self.last_id, received: 0, written: 0 };
        Some(Layered::new(layer, above))
    }
}

/// A connection whose traffic is logged.
#[derive(Debug)]
pub struct Logged {
    log: TrafficLog,
    id: u64,
    received: u64,
    written: u64,
}

impl Logged {
    fn piece(&self, verb: &str, bytes: &[u8], count: u64) {
        let id = self.id;
        let shown = &bytes[..bytes.len().min(self.log.shown_max)];
        if shown.is_empty() {
            tracing::trace!(target: "ropewalk::traffic", id, bytes = count, "{verb}");
        } else {
            let data = shown.escape_ascii();
            tracing::trace!(target: "ropewalk::traffic", id, bytes = count, %data, "{verb}");
        }
    }
}

impl Layer for Logged {
    const PASSES_DESCRIPTORS: bool = true;

    fn connection_made(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let id = self.id;
        tracing::debug!(target: "ropewalk::traffic", id, peer = %below.peer(), "made");
        above.made();
    }

    fn data_received(&mut self, _: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
        self.received += data.len() as u64;
        self.piece("received", data, data.len() as u64);
        above.data_received(data);
    }

    fn eof_received(&mut self, _: &Below<Self>, above: &mut Above<Self>) {
        tracing::trace!(target: "ropewalk::traffic", id = self.id, "the peer ended its stream");
        above.eof_received();
    }

    fn output_written(&mut self, below: &Below<Self>, out: Box<Outbox>) {
        self.written += out.len();
        self.piece("written", out.front(), out.len());
        below.write_outbox(out);
    }

    fn connection_lost(&mut self, _: &Below<Self>, why: Disconnect) -> Disconnect {
        let Self { id, received, written, .. } = *self;
        tracing::debug!(target: "ropewalk::traffic", id, received, written, "lost: {why}");
        why
    }
}
