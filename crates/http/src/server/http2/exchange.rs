//! One request and its answer, where they are not over at once.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use ropewalk_http2::frame::StreamId;
use ropewalk_protocol::Disconnect;

use super::tunnel::Tunnel;
use crate::codec::Asked;
use crate::outflow::Outflow;
use crate::server::access::Access;
use crate::server::incoming::{self, BodyError, Inflow};
use crate::server::site::Patience;

pub(super) struct Exchange {
    pub(super) stream: StreamId,
    pub(super) asked: Asked,
    pub(super) access: Option<Box<Access>>,
    /// What was answered, once it is.
    pub(super) status: Option<StatusCode>,
    /// How many bytes of body the answer has had so far.
    pub(super) sent: u64,
    pub(super) answer: Answer,
    pub(super) inbound: Option<Inbound>,
    /// Present where the client wants the stream for another protocol.
    pub(super) tunnel: Option<Box<Tunnel>>,
    began: Duration,
    /// When a part of the answer went out last, or there was none to go.
    pub(super) moved: Duration,
}

/// What has become of the answer.
pub(super) enum Answer {
    /// Nothing of it has been sent.
    Waiting,
    /// Its head is out, and its body follows.
    Streaming(Box<Outflow>),
    /// It is out.
    Done,
}

/// The body of a request while it comes.
pub(super) struct Inbound {
    /// Absent once nobody wants it.
    pub(super) inflow: Option<Rc<RefCell<Inflow>>>,
    /// How many bytes it may be.
    pub(super) max: Option<u64>,
    /// The client waits for a word before it sends anything.
    pub(super) waits_for_continue: bool,
    pub(super) received: u64,
    /// What the client may not send again before somebody takes what is here.
    pub(super) held: usize,
    /// Since when, and from how many bytes on, the rate is counted.
    pub(super) rate_from: (Duration, u64),
}

impl Exchange {
    pub(super) fn new(
        stream: StreamId,
        asked: Asked,
        access: Option<Box<Access>>,
        now: Duration,
    ) -> Self {
        Self {
            stream,
            asked,
            access,
            status: None,
            sent: 0,
            answer: Answer::Waiting,
            inbound: None,
            tunnel: None,
            began: now,
            moved: now,
        }
    }

    pub(super) fn expect_body(
        &mut self,
        inflow: Rc<RefCell<Inflow>>,
        max: Option<u64>,
        expects_continue: bool,
        now: Duration,
    ) {
        self.inbound = Some(Inbound {
            inflow: Some(inflow),
            max,
            waits_for_continue: expects_continue,
            received: 0,
            held: 0,
            rate_from: (now, 0),
        });
    }

    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.answer, Answer::Waiting)
    }

    pub(super) fn is_over(&self) -> bool {
        self.inbound.is_none() && self.tunnel.is_none() && matches!(self.answer, Answer::Done)
    }

    /// Whether somebody takes the request's body, or may yet.
    pub(super) fn is_body_wanted(&self) -> bool {
        self.inbound.as_ref().is_some_and(Inbound::is_wanted)
    }

    /// Says how the request's body ended.
    pub(super) fn end_body(&mut self, how: Result<HeaderMap, BodyError>) {
        if let Some(mut inbound) = self.inbound.take()
            && let Some(inflow) = inbound.inflow.take()
        {
            incoming::end(&inflow, how);
        }
    }

    /// Whether the client sends its body, or takes its answer, more slowly than it may.
    pub(super) fn is_slow(&self, now: Duration, patience: &Patience) -> bool {
        let is_body_slow = self.inbound.as_ref().is_some_and(|inbound| {
            let (since, from) = inbound.rate_from;
            let counted = now.saturating_sub(since).saturating_sub(patience.body_grace);
            let expected = counted.as_millis() * u128::from(patience.body_rate) / 1000;
            // Where somebody here keeps it waiting, it is not the client that is slow.
            inbound.held == 0
                && !inbound.waits_for_continue
                && u128::from(inbound.received - from) < expected
        });
        let is_stalled = matches!(&self.answer, Answer::Streaming(outflow) if outflow.piece.is_some())
            && now.saturating_sub(self.moved) >= patience.reader;
        let is_overdue =
            self.tunnel.as_ref().is_some_and(|tunnel| tunnel.is_overdue(now, patience.goodbye));
        is_body_slow || is_stalled || is_overdue
    }

    /// Whether somebody has to look after it once in a while.
    pub(super) fn is_watched(&self) -> bool {
        self.tunnel.as_ref().is_none_or(|tunnel| tunnel.is_watched())
    }

    /// Tells all who have to do with it that it is over.
    pub(super) fn lose(&mut self, why: Disconnect) {
        self.end_body(Err(BodyError::Lost(why)));
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.lose(why);
        }
    }

    /// What the log is to be told, once.
    pub(super) fn finish_access(&mut self, now: Duration) -> Option<Access> {
        let access = self.access.take()?;
        Some(access.finished(self.status, self.sent, now.saturating_sub(self.began)))
    }
}

impl Inbound {
    pub(super) fn is_wanted(&self) -> bool {
        self.inflow
            .as_ref()
            .is_some_and(|inflow| Rc::strong_count(inflow) > 1 || inflow.borrow().is_wanted())
    }

    pub(super) fn is_full(&self) -> bool {
        self.inflow.as_ref().is_some_and(|inflow| inflow.borrow().is_full())
    }
}

impl Drop for Inbound {
    /// Whoever still waits for the body hears that no more of it comes.
    fn drop(&mut self) {
        if let Some(inflow) = self.inflow.take() {
            let lost = ropewalk_protocol::Disconnect::Closed;
            incoming::end(&inflow, Err(BodyError::Lost(lost)));
        }
    }
}
