//! Whether a client takes what it is sent.

use std::time::Duration;

use ropewalk_protocol::{Conn, Protocol};

/// How much a client has yet to take, and since when it has taken nothing of it.
pub(super) struct Watch {
    pub(super) left: u64,
    since: Duration,
}

impl Watch {
    /// Begins now.
    pub(super) fn on<P: Protocol>(conn: &Conn<P>) -> Self {
        Self { left: conn.waiting(), since: conn.now() }
    }

    /// More was written, before which this much waited.
    pub(super) fn wrote<P: Protocol>(&mut self, conn: &Conn<P>, before: u64) {
        if before < self.left || before == 0 {
            self.since = conn.now();
        }
        self.left = conn.waiting();
    }

    /// How long it is until the client has to have taken something; `None` where it has taken
    /// nothing for as long as `patience`.
    pub(super) fn look<P: Protocol>(
        &mut self,
        conn: &Conn<P>,
        patience: Duration,
    ) -> Option<Duration> {
        let waiting = conn.waiting();
        if waiting < self.left || waiting == 0 {
            *self = Self::on(conn);
            return Some(patience);
        }
        let left = patience.saturating_sub(conn.now().saturating_sub(self.since));
        (!left.is_zero()).then_some(left)
    }
}
