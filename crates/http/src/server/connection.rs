//! A server on its connection: requests in, answers out, in order.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use ropewalk_http2::frame::PREFACE;
use ropewalk_protocol::{Conn, ConnCall, Disconnect, Protocol};

use super::exchange::{Exchange, Outflow};
use super::http2::Http2;
use super::incoming::BodyError;
use super::reply::plain;
use super::site::{Patience, Shared};
use super::watch::Watch;
use crate::codec::HeadDecoder;

/// How much of a client's talk is heard out after its connection was given up, in bytes.
const LINGER_MAX: usize = 1024 * 1024;
/// How often a request body's rate is looked at.
pub(super) const RATE_INTERVAL: Duration = Duration::from_secs(1);

/// One connection of a [`Site`](crate::Site).
///
/// Requests are answered one after another, in the order in which they came, however many lie
/// waiting; while an answer is being made, the client can send as much as one read takes, and then
/// waits.
pub struct Server {
    pub(super) site: Rc<Shared>,
    /// Where the site keeps this connection.
    pub(super) place: u32,
    /// How many requests there were, for those that speak of one of them later.
    pub(super) serial: u32,
    /// The one timer, whatever it stands for at the moment.
    timer: Option<ConnCall>,
    /// Present while a head is not whole.
    pub(super) head: Option<Box<HeadDecoder>>,
    pub(super) phase: Phase,
}

pub(super) enum Phase {
    /// Between requests, or in the middle of a head.
    Idle,
    /// In the middle of what may be the preface of HTTP/2, of which this came.
    Preface(Box<Preface>),
    /// A request is being received or answered.
    Busy(Box<Exchange>),
    /// The client has yet to take most of what it was answered.
    Choked(Box<Choked>),
    /// All has been said; the client is heard out for a while, so that it hears it too.
    Lingering(Box<Lingering>),
    /// Another protocol speaks with the client.
    HandedOver,
}

/// Less than a preface.
pub(super) struct Preface(Vec<u8>);

pub(super) struct Choked {
    pub(super) watch: Watch,
    /// What it asked for meanwhile.
    pub(super) kept: Vec<u8>,
}

pub(super) struct Lingering {
    watch: Watch,
    /// How much it has said since.
    heard: usize,
}

/// The place of a connection that was accepted and has not been made yet.
const EXPECTED: u32 = u32::MAX - 1;

impl Server {
    pub(super) fn new(site: Rc<Shared>) -> Self {
        Self { site, place: u32::MAX, serial: 0, timer: None, head: None, phase: Phase::Idle }
    }

    /// The same for a connection that its site counts already.
    pub(super) fn expected(self) -> Self {
        Self { place: EXPECTED, ..self }
    }

    /// Sets the timer.
    pub(super) fn arm(&mut self, conn: &Conn<Self>, delay: Duration) {
        match self.timer {
            Some(timer) if conn.reset_call(timer, delay) => (),
            _ => self.timer = Some(conn.call_later(delay, Self::timer_due)),
        }
    }

    /// Whether a part of a request's head is there.
    pub(super) fn has_begun(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.has_begun())
    }

    /// Finds out which HTTP the client speaks: its first bytes are `kept` and `data`.
    fn read_preface(&mut self, conn: &Conn<Self>, mut kept: Vec<u8>, data: &[u8]) {
        kept.extend_from_slice(data);
        if kept.starts_with(PREFACE) {
            self.speak_http2(conn, &kept);
        } else if may_be_preface(&kept) {
            self.phase = Phase::Preface(Box::new(Preface(kept)));
        } else {
            self.phase = Phase::Idle;
            self.read(conn, &kept);
        }
    }

    fn speak_http2(&mut self, conn: &Conn<Self>, came: &[u8]) {
        self.phase = Phase::HandedOver;
        // The site is not empty in between.
        self.site.expect();
        conn.switch_protocol(Http2::new(Rc::clone(&self.site)), came);
    }

    /// Ends the connection so that the client gets to read what was said to it: a socket that is
    /// closed while unread bytes lie in it takes the answer back (RFC 9112 9.6).
    pub(super) fn say_goodbye(&mut self, conn: &Conn<Self>) {
        self.head = None;
        let lingering = Lingering { watch: Watch::on(conn), heard: 0 };
        self.phase = Phase::Lingering(Box::new(lingering));
        conn.close_write();
        conn.resume_reading();
        self.arm(conn, self.site.patience.goodbye);
    }

    fn timer_due(&mut self, conn: &Conn<Self>) {
        self.timer = None;
        let has_begun = self.has_begun();
        match &mut self.phase {
            Phase::Preface(_) => self.refuse_with(conn, &plain(StatusCode::REQUEST_TIMEOUT), None),
            Phase::Idle if has_begun => {
                self.refuse_with(conn, &plain(StatusCode::REQUEST_TIMEOUT), None);
            }
            Phase::Idle => conn.close(),
            Phase::Choked(choked) => {
                let patience = self.site.patience.reader;
                match choked.watch.look(conn, patience) {
                    Some(wait) => self.arm(conn, wait),
                    None => conn.abort(),
                }
            }
            Phase::Lingering(lingering) => {
                let patience = &self.site.patience;
                if conn.waiting() == 0 {
                    return conn.close();
                }
                // While it takes what is left, its time to hang up has not begun.
                match lingering.watch.look(conn, patience.reader) {
                    Some(wait) => self.arm(conn, wait.min(patience.goodbye)),
                    None => conn.abort(),
                }
            }
            Phase::Busy(_) => self.look_after(conn),
            Phase::HandedOver => (),
        }
    }

    /// Sees to it that the client sends its body and takes its answer.
    fn look_after(&mut self, conn: &Conn<Self>) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let patience = &self.site.patience;
        if exchange.is_body_slow(conn.now(), patience) {
            exchange.end_body(Err(BodyError::Slow));
            return match exchange.outflow {
                Outflow::Waiting => {
                    self.refuse_with(conn, &plain(StatusCode::REQUEST_TIMEOUT), None);
                }
                Outflow::Streaming { .. } => conn.abort(),
                Outflow::Done => self.say_goodbye(conn),
            };
        }
        let receiving = !exchange.is_body_over();
        match exchange.look_at_reader(conn, patience.reader) {
            Some(wait) if receiving => self.arm(conn, wait.min(RATE_INTERVAL)),
            Some(wait) => self.arm(conn, wait),
            None => conn.abort(),
        }
    }

    /// The resource has asked for the body, or has room for more of it.
    pub(super) fn body_wanted(&mut self, conn: &Conn<Self>) {
        if let Phase::Busy(exchange) = &mut self.phase {
            exchange.body_wanted(conn);
        }
    }

    /// Ends the connection as soon as nothing is left to be answered, which may be under way.
    pub(super) fn drain(&mut self, conn: &Conn<Self>) {
        if !matches!(self.phase, Phase::Idle) || self.has_begun() {
            return;
        }
        if self.serial > 0 {
            return self.part(conn);
        }
        // It has come for something. What is left of its time for a head tells for how long it has been here.
        let Patience { head, newcomer, parting, .. } = self.site.patience;
        let left = self.timer.and_then(|timer| conn.time_left(timer)).unwrap_or(head);
        let stayed = head.saturating_sub(left);
        self.arm(conn, newcomer.saturating_sub(stayed).max(parting));
    }

    /// Lets the client go, unless a request of it is on its way.
    pub(super) fn part(&mut self, conn: &Conn<Self>) {
        self.phase = Phase::Idle;
        // What has come by a turn is told before the calls that are due in it are made, so what lies in the
        // system's buffer by now is read first, however long that turn lets itself be waited for.
        self.arm(conn, self.site.patience.parting);
        conn.resume_reading();
    }
}

/// Whether these can be the first bytes of a client that speaks HTTP/2.
#[inline]
fn may_be_preface(data: &[u8]) -> bool {
    // Most that begin alike are POST and PUT.
    let len = data.len().min(PREFACE.len());
    data[..len] == PREFACE[..len]
}

impl Protocol for Server {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        if self.place == EXPECTED {
            self.site.arrived();
        }
        self.place = self.site.enter(conn);
        if conn.tls().is_some_and(|tls| tls.alpn.as_deref() == Some(b"h2")) {
            // RFC 9113 3.2: nothing else is spoken where it was chosen.
            return self.speak_http2(conn, b"");
        }
        let patience = &self.site.patience;
        let is_last = self.site.is_draining();
        self.arm(conn, if is_last { patience.newcomer } else { patience.head });
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let mut data = data;
        match &mut self.phase {
            Phase::Idle if self.serial == 0 && may_be_preface(data) && self.head.is_none() => {
                self.read_preface(conn, Vec::new(), data);
            }
            Phase::Preface(kept) => {
                let kept = std::mem::take(&mut kept.0);
                self.read_preface(conn, kept, data);
            }
            Phase::Idle | Phase::Choked(_) => self.read(conn, data),
            Phase::Lingering(lingering) => {
                lingering.heard += data.len();
                if lingering.heard > LINGER_MAX {
                    conn.abort();
                }
            }
            Phase::Busy(_) => {
                self.receive(conn, &mut data);
                self.read(conn, data);
            }
            Phase::HandedOver => conn.hand_back(data),
        }
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        match &mut self.phase {
            // A client may end its stream behind its request and still want the answer.
            Phase::Busy(exchange) if exchange.is_body_over() => {
                exchange.has_client_ended = true;
                exchange.end_after_answer();
            }
            Phase::Busy(exchange) if !matches!(exchange.outflow, Outflow::Done) => conn.abort(),
            Phase::Idle
            | Phase::Preface(_)
            | Phase::Busy(_)
            | Phase::Choked(_)
            | Phase::Lingering(_) => conn.close(),
            Phase::HandedOver => (),
        }
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        match &mut self.phase {
            Phase::Busy(_) => self.pump(conn),
            Phase::Choked(choked) => {
                let kept = std::mem::take(&mut choked.kept);
                self.await_request(conn, kept);
            }
            Phase::Idle | Phase::Preface(_) | Phase::Lingering(_) | Phase::HandedOver => (),
        }
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        if self.place == EXPECTED {
            self.site.arrived();
        }
        self.site.leave(self.place);
        if let Phase::Busy(exchange) = &mut self.phase {
            exchange.end_body(Err(BodyError::Lost(why)));
            if let Some(access) = exchange.finish_access(conn.now()) {
                self.site.log(&access);
            }
        }
        self.phase = Phase::Idle;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Idle => "idle",
            Phase::Preface(_) => "preface",
            Phase::Busy(_) => "busy",
            Phase::Choked(_) => "choked",
            Phase::Lingering(_) => "lingering",
            Phase::HandedOver => "handed over",
        };
        f.debug_struct("Server").field("phase", &phase).finish_non_exhaustive()
    }
}
