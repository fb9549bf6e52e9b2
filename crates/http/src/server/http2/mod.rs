//! A server on a connection of HTTP/2 (RFC 9113): many requests side by side.

mod answers;
mod exchange;
mod requests;
mod tunnel;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_http2::Connection;
use ropewalk_http2::frame::{ErrorCode, StreamId};
use ropewalk_protocol::{Conn, ConnCall, Disconnect, Protocol};

use super::connection::RATE_INTERVAL;
use super::incoming::BodyError;
use super::site::Shared;
use super::watch::Watch;
use crate::outflow::UNDER_WAY_MAX;
use answers::LastHead;
use exchange::Exchange;

/// How much of a client's talk is heard out after its connection was given up, in bytes.
const LINGER_MAX: usize = 1024 * 1024;

/// The place of a connection that is not made yet.
const NOWHERE: u32 = u32::MAX;

/// One connection of a [`Site`](crate::Site) whose client speaks HTTP/2.
pub(crate) struct Http2 {
    pub(super) site: Rc<Shared>,
    /// Where the site keeps this connection.
    place: u32,
    engine: Connection,
    /// Requests that were not over at once, by their streams.
    exchanges: Vec<Exchange>,
    /// The one timer, whatever it stands for at the moment.
    timer: Option<ConnCall>,
    /// It stands for a look at all that is in progress, once in a while.
    is_ticking: bool,
    /// It stands for the moment at which streams that were reset are forgotten.
    is_forgetting: bool,
    stage: Stage,
    last: LastHead,
    /// What came while the client took nothing of what it was sent.
    kept: Vec<u8>,
    /// How much the client has taken of what waits for it, where it does not take all.
    watch: Option<Watch>,
    /// The client will send no more.
    has_client_ended: bool,
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client's settings have not come.
    Greeting,
    Open,
    /// All has been said; the client is heard out, so far, so that it hears it too.
    Lingering(usize),
}

impl Http2 {
    pub(super) fn new(site: Rc<Shared>) -> Self {
        let engine = Connection::server(Rc::clone(&site.streams));
        Self {
            site,
            place: NOWHERE,
            engine,
            exchanges: Vec::new(),
            timer: None,
            is_ticking: false,
            is_forgetting: false,
            stage: Stage::Greeting,
            last: LastHead::default(),
            kept: Vec::new(),
            watch: None,
            has_client_ended: false,
        }
    }

    fn arm(&mut self, conn: &Conn<Self>, delay: Duration) {
        match self.timer {
            Some(timer) if conn.reset_call(timer, delay) => (),
            _ => self.timer = Some(conn.call_later(delay, Self::timer_due)),
        }
    }

    fn place_of(&self, stream: StreamId) -> Option<usize> {
        self.exchanges.binary_search_by_key(&stream, |exchange| exchange.stream).ok()
    }

    fn exchange(&mut self, stream: StreamId) -> Option<&mut Exchange> {
        let place = self.place_of(stream)?;
        Some(&mut self.exchanges[place])
    }

    /// Looks at what the connection waits for now, after anything has happened.
    fn settle(&mut self, conn: &Conn<Self>) {
        if matches!(self.stage, Stage::Lingering(_)) {
            return;
        }
        if conn.is_writing_paused() {
            self.watch.get_or_insert_with(|| Watch::on(conn));
        }
        self.tell_tunnels(conn);
        self.is_forgetting = false;
        // What another protocol has is its own to look after, as a connection would be.
        let is_at_rest = |exchange: &Exchange| !exchange.is_watched();
        let is_resting = !self.exchanges.is_empty()
            && self.exchanges.len() >= self.engine.streams()
            && self.exchanges.iter().all(is_at_rest);
        if is_resting && self.watch.is_none() {
            self.is_ticking = false;
            if let Some(timer) = self.timer.take() {
                conn.cancel_call(timer);
            }
            return;
        }
        let is_busy = self.engine.streams() > 0 || !self.exchanges.is_empty();
        if is_busy || self.watch.is_some() {
            if !self.is_ticking {
                self.is_ticking = true;
                self.arm(conn, RATE_INTERVAL);
            }
            return;
        }
        self.is_ticking = false;
        self.exchanges = Vec::new();
        if self.has_client_ended {
            return conn.close();
        }
        if self.engine.is_going() && self.kept.is_empty() {
            return self.say_goodbye(conn);
        }
        let patience = &self.site.patience;
        let mut wait = if self.stage == Stage::Greeting { patience.head } else { patience.idle };
        if self.engine.remembers_resets() && wait > UNDER_WAY_MAX {
            self.is_forgetting = true;
            wait = UNDER_WAY_MAX;
        }
        self.arm(conn, wait);
    }

    fn timer_due(&mut self, conn: &Conn<Self>) {
        self.timer = None;
        let was_ticking = std::mem::take(&mut self.is_ticking);
        if let Stage::Lingering(_) = self.stage {
            return conn.close();
        }
        if std::mem::take(&mut self.is_forgetting) {
            self.engine.forget_resets();
            return self.settle(conn);
        }
        let patience = self.site.patience;
        if let Some(watch) = &mut self.watch {
            if !conn.is_writing_paused() {
                self.watch = None;
            } else if watch.look(conn, patience.reader).is_none() {
                return conn.abort();
            }
        }
        if !was_ticking {
            // Nothing was asked for in all the time.
            let code = if self.stage == Stage::Greeting {
                ErrorCode::SettingsTimeout
            } else {
                ErrorCode::NoError
            };
            conn.write_with(|out| self.engine.go_away_at_once(code, b"", out));
            return self.say_goodbye(conn);
        }
        self.look_after(conn);
        self.pump(conn);
        self.settle(conn);
    }

    /// Sees to it that the client sends its bodies and takes its answers.
    fn look_after(&mut self, conn: &Conn<Self>) {
        let (now, patience) = (conn.now(), self.site.patience);
        let slow: Vec<StreamId> = self
            .exchanges
            .iter()
            .filter(|exchange| exchange.is_slow(now, &patience))
            .map(|exchange| exchange.stream)
            .collect();
        for stream in slow {
            self.give_up(conn, stream);
        }
    }

    /// Ends the connection so that the client gets to read what was said to it.
    fn say_goodbye(&mut self, conn: &Conn<Self>) {
        self.end_exchanges(conn, Disconnect::Closed);
        self.stage = Stage::Lingering(0);
        self.kept = Vec::new();
        conn.close_write();
        conn.resume_reading();
        self.arm(conn, self.site.patience.goodbye);
    }

    /// Ends the connection: idle at once, busy ones when the last answer is out.
    pub(super) fn drain(&mut self, conn: &Conn<Self>) {
        if let Stage::Lingering(_) = self.stage {
            return;
        }
        conn.write_with(|out| self.engine.go_away(out));
        self.settle(conn);
    }

    fn end_exchanges(&mut self, conn: &Conn<Self>, why: Disconnect) {
        for mut exchange in std::mem::take(&mut self.exchanges) {
            exchange.lose(why);
            if let Some(access) = exchange.finish_access(conn.now()) {
                self.site.log(&access);
            }
        }
    }
}

impl Protocol for Http2 {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.place = self.site.enter_http2(conn);
        self.site.arrived();
        conn.write_with(|out| self.engine.greet(out));
        if self.site.is_draining() {
            conn.write_with(|out| self.engine.go_away(out));
        }
        self.settle(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        if let Stage::Lingering(heard) = &mut self.stage {
            *heard += data.len();
            if *heard > LINGER_MAX {
                conn.abort();
            }
            return;
        }
        self.hear(conn, data);
        self.pump(conn);
        self.settle(conn);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.has_client_ended = true;
        let lost = BodyError::Lost(Disconnect::Closed);
        self.exchanges.iter_mut().for_each(|exchange| exchange.end_body(Err(lost)));
        self.end_tunnels_input(conn);
        self.pump(conn);
        self.settle(conn);
        if matches!(self.stage, Stage::Lingering(_)) || self.exchanges.is_empty() {
            conn.close();
        }
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.watch = None;
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            conn.resume_reading();
            self.hear(conn, &kept);
        }
        self.pump(conn);
        self.settle(conn);
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        if self.place == NOWHERE {
            self.site.arrived();
        }
        self.site.leave(self.place);
        self.end_exchanges(conn, why);
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").field("streams", &self.engine.streams()).finish_non_exhaustive()
    }
}
