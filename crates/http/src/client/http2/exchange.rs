//! One request and its answer.

use std::cell::RefCell;
use std::rc::Rc;

use http::Response;
use ropewalk_deferred::Promise;
use ropewalk_http2::frame::StreamId;
use ropewalk_protocol::{Conn, ConnCall};

use super::tunnel::lost;
use super::{Http2, body_error};
use crate::carried::Carried;
use crate::client::connection::Progress;
use crate::client::link::Ticket;
use crate::client::{AgentError, OnInterim, RequestPriority, Switch, Wait};
use crate::outflow::Outflow;
use crate::server::{BodyKind, Incoming, Inflow, end};

pub(super) struct Exchange {
    pub(super) stream: StreamId,
    pub(super) progress: Rc<Progress>,
    pub(super) sending: Sending,
    pub(super) reading: Reading,
    pub(super) on_interim: Option<OnInterim>,
    pub(super) priority: Option<RequestPriority>,
    /// Present while another protocol is wanted, and was not agreed on.
    pub(super) switch: Option<Rc<Switch>>,
    /// What the timer stands for.
    pub(super) waits_for: Option<Wait>,
    pub(super) timer: Option<ConnCall>,
    pub(super) total: Option<ConnCall>,
    /// Its place on the connection, for as long as it lasts.
    pub(super) ticket: Ticket,
}

/// What has become of the request's body.
pub(super) enum Sending {
    /// The server is to say `100 Continue` first.
    Held(BodyKind),
    Stream(Box<Outflow>),
    Done,
}

/// What has become of the answer.
pub(super) enum Reading {
    Head {
        promise: Promise<Response<Incoming>>,
        interim: usize,
    },
    Body {
        inflow: Rc<RefCell<Inflow>>,
        /// How many bytes came.
        received: u64,
        /// What the server may not send again before somebody takes what is here.
        held: usize,
    },
    /// Another protocol has the stream, both ways.
    Tunnel(Box<Carried<Http2>>),
    /// It has closed it, and the server has yet to.
    Closing,
    Done,
}

impl Exchange {
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.sending, Sending::Done)
    }

    pub(super) fn stop_timer(&mut self, conn: &Conn<Http2>) {
        self.waits_for = None;
        if let Some(timer) = self.timer.take() {
            conn.cancel_call(timer);
        }
    }

    pub(super) fn stop_timers(&self, conn: &Conn<Http2>) {
        for timer in [self.timer, self.total].into_iter().flatten() {
            conn.cancel_call(timer);
        }
    }

    /// Tells whoever waits that no more comes. The place on the connection is free first: he may ask
    /// again at once.
    pub(super) fn fail(self, error: AgentError) {
        let Self { reading, ticket, priority, .. } = self;
        priority.inspect(RequestPriority::is_over);
        drop(ticket);
        match reading {
            Reading::Head { promise, .. } => promise.fail(error),
            Reading::Body { inflow, .. } => end(&inflow, Err(body_error(&error))),
            Reading::Tunnel(mut open) => {
                let why = lost(&error, &open);
                open.lose(why);
            }
            Reading::Closing | Reading::Done => (),
        }
    }
}
