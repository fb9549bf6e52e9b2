//! A connection of HTTP/2 (RFC 9113): many requests side by side.

mod answers;
mod exchange;
mod requests;
mod tunnel;

use std::rc::Rc;
use std::time::Duration;

use http::Response;
use ropewalk_deferred::Promise;
use ropewalk_http2::Connection;
use ropewalk_http2::frame::{ErrorCode, StreamId};
use ropewalk_protocol::{Conn, ConnCall, Disconnect, Protocol};

use super::fresh::Rules;
use super::link::Link;
use super::pool::Lease;
use super::{AgentError, ClientPatience, Http2Options, Wait};
use crate::outflow::UNDER_WAY_MAX;
use crate::server::{BodyError, Incoming};
use exchange::Exchange;

/// What a ping says that asks whether the server is there.
const THERE: [u8; 8] = *b"there?\0\0";

/// One connection whose server speaks HTTP/2.
pub(crate) struct Http2 {
    /// Absent once the connection is over.
    lease: Option<Lease>,
    link: Rc<Link>,
    patience: Rc<ClientPatience>,
    options: Rc<Http2Options>,
    body_max: Option<u64>,
    engine: Connection,
    /// Requests that are not over, by their streams.
    exchanges: Vec<Exchange>,
    /// Answers that are told once all that came with them is read.
    ready: Vec<(Promise<Response<Incoming>>, Response<Incoming>)>,
    was_used: bool,
    /// Closes the connection when nobody has used it for a while.
    keep: Option<ConnCall>,
    /// Looks whether the server is there, while something is asked of it.
    watch: Option<ConnCall>,
    /// When something came last.
    heard: Duration,
    /// When the server was asked whether it is there, if it has not said anything since.
    asked: Option<Duration>,
    /// Why the server said that it goes.
    farewell: Option<ErrorCode>,
    is_over: bool,
}

impl Http2 {
    pub(super) fn new(lease: Lease, link: Rc<Link>, rules: &Rules) -> Self {
        Self {
            lease: Some(lease),
            link,
            patience: Rc::clone(&rules.patience),
            options: Rc::clone(&rules.http2),
            body_max: rules.limits.body_max,
            engine: Connection::client(Rc::clone(&rules.http2_limits)),
            exchanges: Vec::new(),
            ready: Vec::new(),
            was_used: false,
            keep: None,
            watch: None,
            heard: Duration::ZERO,
            asked: None,
            farewell: None,
            is_over: false,
        }
    }

    fn place_of(&self, stream: StreamId) -> Option<usize> {
        self.exchanges.binary_search_by_key(&stream, |exchange| exchange.stream).ok()
    }

    fn exchange(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        let place = self.place_of(stream)?;
        self.exchanges.get_mut(place)
    }

    /// Looks at what the connection waits for now, after anything has happened.
    fn settle(&mut self, conn: &Conn<Self>) {
        for (promise, response) in std::mem::take(&mut self.ready) {
            promise.succeed(response);
        }
        if self.is_over {
            return;
        }
        self.tell_tunnels(conn);
        if !self.exchanges.is_empty() {
            if let Some(keep) = self.keep.take() {
                conn.cancel_call(keep);
            }
            if self.watch.is_none()
                && let Some(silence) = self.options.silence
            {
                self.watch = Some(conn.call_later(silence, Self::look));
                self.heard = conn.now();
            }
            return;
        }
        self.exchanges = Vec::new();
        if let Some(watch) = self.watch.take() {
            conn.cancel_call(watch);
        }
        self.asked = None;
        let is_orphan = self.lease.as_ref().is_none_or(Lease::is_orphan);
        if self.engine.is_going() || self.engine.is_used_up() || is_orphan {
            return self.say_goodbye(conn);
        }
        if self.keep.is_none() {
            self.keep_for(conn, self.patience.keep);
        }
    }

    /// Keeps a connection that nobody uses for so long. What it knows of streams that it reset it forgets
    /// before, once nothing can be under way for them.
    fn keep_for(&mut self, conn: &Conn<Self>, time: Duration) {
        let wait = if self.engine.remembers_resets() { time.min(UNDER_WAY_MAX) } else { time };
        self.keep = Some(conn.call_later(wait, move |this: &mut Self, conn| {
            this.keep = None;
            if wait < time {
                this.engine.forget_resets();
                this.keep_for(conn, time.saturating_sub(wait));
            } else if this.link.is_unused() {
                this.close_unused(conn);
            } else {
                // Somebody has a place, and waits for a word.
                this.settle(conn);
            }
        }));
    }

    /// Closes the connection, unless it is used.
    pub(super) fn close_unused(&mut self, conn: &Conn<Self>) {
        if !self.is_over && self.exchanges.is_empty() {
            self.say_goodbye(conn);
        }
    }

    fn say_goodbye(&mut self, conn: &Conn<Self>) {
        self.is_over = true;
        conn.write_with(|out| self.engine.go_away_at_once(ErrorCode::NoError, b"", out));
        conn.close();
        self.link.leave();
    }

    /// Asks a server that is silent whether it is there (RFC 9113 6.7), and gives it up where it is not.
    fn look(&mut self, conn: &Conn<Self>) {
        self.watch = None;
        let Some(silence) = self.options.silence.filter(|_| !self.is_over) else { return };
        let now = conn.now();
        let wait = match self.asked {
            Some(asked) if now.saturating_sub(asked) >= self.options.pong => {
                self.end_all(&AgentError::Silent(silence + self.options.pong));
                self.link.leave();
                return conn.abort_with(Disconnect::TimedOut);
            }
            Some(asked) => (asked + self.options.pong).saturating_sub(now),
            None if now.saturating_sub(self.heard) >= silence => {
                self.asked = Some(now);
                conn.write_with(|out| self.engine.ping(THERE, out));
                self.options.pong
            }
            None => (self.heard + silence).saturating_sub(now),
        };
        self.watch = Some(conn.call_later(wait, Self::look));
    }

    /// Ends the connection: it carries no request any more.
    fn end_all(&mut self, error: &AgentError) {
        self.is_over = true;
        for exchange in std::mem::take(&mut self.exchanges) {
            exchange.fail(error.clone());
        }
        self.link.fail(error);
    }

    /// Takes a request off the connection, whose stream is over at both ends.
    fn remove(&mut self, conn: &Conn<Self>, stream: StreamId) -> Option<Exchange> {
        let place = self.place_of(stream)?;
        let exchange = self.exchanges.remove(place);
        exchange.stop_timers(conn);
        Some(exchange)
    }

    /// Ends a request early: the server is told, and the connection goes on.
    fn give_up(&mut self, conn: &Conn<Self>, stream: StreamId, code: ErrorCode, error: AgentError) {
        let Some(exchange) = self.remove(conn, stream) else { return };
        conn.write_with(|out| self.engine.reset(stream, code, out));
        exchange.fail(error);
        self.settle(conn);
    }

    /// Nobody waits for the answer any more.
    fn cancel(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let lost = AgentError::Lost(Disconnect::Aborted);
        self.give_up(conn, stream, ErrorCode::Cancel, lost);
    }

    /// Nobody takes the rest of an answer's body.
    pub(super) fn body_dropped(&mut self, conn: &Conn<Self>, stream: StreamId) {
        self.cancel(conn, stream);
    }

    /// The time that a request had for its next step is over.
    fn time_is_up(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(wait) = self.exchange(stream).and_then(|exchange| exchange.waits_for.take())
        else {
            return;
        };
        self.give_up(conn, stream, ErrorCode::Cancel, AgentError::TimedOut(wait));
    }

    fn wait(&mut self, conn: &Conn<Self>, stream: StreamId, wait: Option<(Duration, Wait)>) {
        let Some(exchange) = self.exchange(stream) else { return };
        let Some((time, wait)) = wait else { return exchange.stop_timer(conn) };
        exchange.waits_for = Some(wait);
        match exchange.timer {
            Some(timer) if conn.reset_call(timer, time) => (),
            _ => {
                let due = move |this: &mut Self, conn: &Conn<Self>| this.time_is_up(conn, stream);
                exchange.timer = Some(conn.call_later(time, due));
            }
        }
    }

    fn wait_idle(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let idle = self.patience.idle.map(|idle| (idle, Wait::Idle(idle)));
        self.wait(conn, stream, idle);
    }
}

impl Protocol for Http2 {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.heard = conn.now();
        conn.write_with(|out| self.engine.greet(out));
        // The one who had it made has gone first.
        self.link.share();
        self.settle(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        if self.is_over {
            return;
        }
        self.heard = conn.now();
        self.asked = None;
        self.hear(conn, data);
        self.pump(conn);
        self.settle(conn);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        let error = self.lost(Disconnect::Closed);
        self.end_all(&error);
        conn.close();
        self.link.leave();
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.pump(conn);
        self.settle(conn);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        let error = self.lost(why);
        self.end_all(&error);
        self.link.leave();
        self.lease = None;
    }
}

impl Http2 {
    /// Why requests fail whose connection ends.
    fn lost(&self, why: Disconnect) -> AgentError {
        match self.farewell {
            Some(code) if code != ErrorCode::NoError => AgentError::GoneAway(code),
            _ => AgentError::Lost(why),
        }
    }
}

/// Why a body is not whole.
fn body_error(error: &AgentError) -> BodyError {
    match error {
        AgentError::TimedOut(_) | AgentError::Silent(_) => BodyError::Slow,
        AgentError::Lost(why) => BodyError::Lost(*why),
        AgentError::Stream(why) => BodyError::Reset(why.code()),
        AgentError::Connection(fatal) => BodyError::Reset(fatal.code()),
        AgentError::GoneAway(code) => BodyError::Reset(*code),
        _ => BodyError::Lost(Disconnect::Aborted),
    }
}
