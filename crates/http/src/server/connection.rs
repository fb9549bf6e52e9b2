//! A server on its connection: requests in, answers out, in order.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use http::{Method, StatusCode};
use ropewalk_deferred::{Failure, Panicked};
use ropewalk_protocol::{Conn, ConnCall, Disconnect, Protocol};

use super::access::Access;
use super::body::{BodyPiece, Kind};
use super::exchange::{Exchange, Outflow};
use super::incoming::{BodyError, Incoming, Inflow, Request};
use super::reply::{Reply, Response, plain};
use super::site::Shared;
use super::upgrade::Takeover;
use super::watch::Watch;
use crate::codec::{
    Asked, BadRequest, BodyDecoder, BodyLength, BodySize, BodyWriter, Framing, HeadDecoder, Manner,
    ResponseHead, SentAs,
};

/// How much of a client's talk is heard out after its connection was given up, in bytes.
const LINGER_MAX: usize = 1024 * 1024;
/// Up to how many bytes a body is written together with its head.
const TOGETHER_MAX: usize = 1024;
/// How often a request body's rate is looked at.
const RATE_INTERVAL: Duration = Duration::from_secs(1);

/// One connection of a [`Site`](crate::Site).
///
/// Requests are answered one after another, in the order in which they came, however many lie
/// waiting; while an answer is being made, the client can send as much as one read takes, and then
/// waits.
pub struct Server {
    site: Rc<Shared>,
    /// Where the site keeps this connection.
    place: u32,
    /// The one timer, whatever it stands for at the moment.
    timer: Option<ConnCall>,
    /// Present while a head is not whole.
    head: Option<Box<HeadDecoder>>,
    phase: Phase,
}

enum Phase {
    /// Between requests, or in the middle of a head.
    Idle,
    /// A request is being received or answered.
    Busy(Box<Exchange>),
    /// The client has yet to take most of what it was answered.
    Choked(Box<Choked>),
    /// All has been said; the client is heard out for a while, so that it hears it too.
    Lingering(Box<Lingering>),
    /// Another protocol speaks with the client.
    HandedOver,
}

struct Choked {
    watch: Watch,
    /// What it asked for meanwhile.
    kept: Vec<u8>,
}

struct Lingering {
    watch: Watch,
    /// How much it has said since.
    heard: usize,
}

impl Server {
    pub(super) fn new(site: Rc<Shared>) -> Self {
        Self { site, place: u32::MAX, timer: None, head: None, phase: Phase::Idle }
    }

    /// Sets the timer.
    fn arm(&mut self, conn: &Conn<Self>, delay: Duration) {
        match self.timer {
            Some(timer) if conn.reset_call(timer, delay) => (),
            _ => self.timer = Some(conn.call_later(delay, Self::timer_due)),
        }
    }

    /// Reads requests until there are no more bytes or one is not answered at once.
    fn read(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        let site = Rc::clone(&self.site);
        let mut request = None;
        let mut answered = false;
        while matches!(self.phase, Phase::Idle) && !data.is_empty() && !conn.is_closing() {
            let mut fresh = HeadDecoder::default();
            let decoder = self.head.as_deref_mut().unwrap_or(&mut fresh);
            let had_begun = decoder.has_begun();
            let mut host = site.host.borrow_mut();
            let incoming = || Incoming::new(conn.clone(), None);
            let fed = decoder.feed_into(&mut request, incoming, &mut data, &site.limits, &mut host);
            drop(host);
            match fed {
                Ok(Some(manner)) => {
                    self.head = None;
                    self.begin(conn, &mut request, &manner, &mut data);
                    answered = true;
                }
                Ok(None) => {
                    let begins = decoder.has_begun() && !had_begun;
                    // Also one that saw nothing but an empty line: there may be no second one.
                    self.head.get_or_insert_with(|| Box::new(fresh));
                    if begins {
                        self.arm(conn, site.patience.head);
                    }
                }
                Err(bad) => self.refuse(conn, bad, None),
            }
        }
        let kept = match &mut self.phase {
            Phase::Busy(exchange) => &mut exchange.kept,
            Phase::Choked(choked) => &mut choked.kept,
            Phase::Idle => {
                if answered && !self.has_begun() {
                    self.arm(conn, site.patience.idle);
                }
                return;
            }
            Phase::Lingering(_) => return,
            Phase::HandedOver => return conn.hand_back(data),
        };
        if !data.is_empty() {
            kept.extend_from_slice(data);
            conn.pause_reading();
        }
    }

    /// Whether a part of a request's head is there.
    fn has_begun(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.has_begun())
    }

    /// A request's head is whole: takes the request and has it answered.
    fn begin(
        &mut self,
        conn: &Conn<Self>,
        place: &mut Option<Request>,
        manner: &Manner,
        data: &mut &[u8],
    ) {
        let Some(request) = place else { return };
        let mut asked = Asked::by_request(request, manner.keep_alive);
        if request.method() == Method::CONNECT {
            // What follows is for whoever the client thinks that it is connected to now.
            asked = asked.and_close();
        }
        let access = self.site.is_logging().then(|| Box::new(Access::to(request, conn)));
        if matches!(manner.body, BodyLength::None | BodyLength::Fixed(0)) {
            let mut reply = None;
            self.render(place, &mut reply);
            // Nothing has to be remembered of what is over at once.
            if let Some(Reply::Now(response)) = &reply
                && is_whole(response)
            {
                return self.answer_whole(conn, asked, response, access);
            }
            self.phase = Phase::Busy(Box::new(Exchange::new(asked, access, conn.now())));
            self.take_reply(conn, reply);
            return;
        }
        let decoder = match BodyDecoder::new(manner.body, self.site.limits.body_max) {
            Ok(decoder) => decoder,
            Err(bad) => return self.refuse(conn, bad, access),
        };
        let inflow = Rc::new(RefCell::new(Inflow::default()));
        request.body_mut().expect(Rc::clone(&inflow));
        let mut exchange = Exchange::new(asked, access, conn.now());
        exchange.expect_body(decoder, inflow, manner, conn.now());
        self.phase = Phase::Busy(Box::new(exchange));
        self.arm(conn, RATE_INTERVAL);
        let mut reply = None;
        self.render(place, &mut reply);
        // An answer that does not wait for the body is given before it is looked at, so that it is
        // the same wherever the pieces are cut. One that waits gets what is there first.
        match reply.map(settled) {
            Some(Reply::Now(response)) => {
                self.answer(conn, response);
                self.receive(conn, data);
            }
            later => {
                self.receive(conn, data);
                self.take_reply(conn, later);
            }
        }
    }

    /// Takes a request, if it is there, and has the resource answer it.
    fn render(&self, request: &mut Option<Request>, reply: &mut Option<Reply>) {
        // Request and reply are long to move: a closure that owned them would be moved twice.
        let call = || self.site.render(request, reply);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
            let panicked = Failure::new(Panicked::from_payload(&*payload));
            *reply = Some(Reply::Now(failed(&panicked)));
        }
    }

    fn take_reply(&mut self, conn: &Conn<Self>, reply: Option<Reply>) {
        match reply.map(settled) {
            None => (),
            Some(Reply::Now(response)) => self.answer(conn, response),
            Some(Reply::Later(later)) => conn.then(later, |this, conn, result| {
                this.answer(conn, result.unwrap_or_else(|failure| failed(&failure)));
            }),
        }
    }

    /// Answers with a response that is whole, to a request that is. The timer is left to
    /// [`read`](Self::read), who may have the next request already.
    fn answer_whole(
        &mut self,
        conn: &Conn<Self>,
        asked: Asked,
        response: &Response,
        access: Option<Box<Access>>,
    ) {
        let asked = if self.site.is_draining() { asked.and_close() } else { asked };
        let bytes = match &response.body().kind {
            Kind::Bytes(bytes) => Some(bytes),
            Kind::Empty | Kind::Stream { .. } | Kind::Switch(_) => None,
        };
        // Head and body in one go; a long body is not copied.
        let short = bytes.filter(|bytes| bytes.len() <= TOGETHER_MAX);
        let framing = self.put_head(conn, asked, response, short.map_or(&[], |bytes| bytes));
        let mut sent = 0;
        if let (SentAs::Fixed(length), Some(bytes)) = (framing.body, bytes) {
            sent = length;
            if short.is_none() {
                conn.write_bytes(bytes.clone());
            }
        }
        if let Some(mut access) = access {
            access.status = response.status();
            access.sent = sent;
            self.site.log(&access);
        }
        if !framing.keep_alive {
            self.say_goodbye(conn);
        } else if conn.is_writing_paused() {
            self.await_request(conn, Vec::new());
        }
    }

    /// Writes a response's head, and `body` behind it if there is to be one.
    fn put_head(
        &self,
        conn: &Conn<Self>,
        asked: Asked,
        response: &Response,
        body: &[u8],
    ) -> Framing {
        let head = ResponseHead {
            status: response.status(),
            headers: response.headers(),
            content_type: response.body().content_type(),
            size: response.body().length().map_or(BodySize::Unknown, BodySize::Known),
        };
        let mut framing = Framing { body: SentAs::Nothing, keep_alive: false };
        self.site.with_date(conn.now(), |date| {
            conn.write_with(|out| {
                framing = head.encode(out, asked, date);
                if framing.body != SentAs::Nothing {
                    out.extend_from_slice(body);
                }
            });
        });
        framing
    }

    /// Begins the answer to the request in progress.
    fn answer(&mut self, conn: &Conn<Self>, response: Response) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        if exchange.is_answered() {
            return;
        }
        let response = finished(response, exchange);
        exchange.welcome_body(conn);
        let stays = exchange.may_stay_open() && !self.site.is_draining();
        let asked = if stays { exchange.asked } else { exchange.asked.and_close() };
        let framing = self.put_head(conn, asked, &response, &[]);
        let Phase::Busy(exchange) = &mut self.phase else { return };
        exchange.status = Some(response.status());
        exchange.keep_alive = framing.keep_alive;
        let body = response.into_body();
        let length = body.length();
        let pieces = match body.kind {
            Kind::Empty => None,
            Kind::Bytes(bytes) => {
                if framing.body != SentAs::Nothing {
                    exchange.sent += bytes.len() as u64;
                    conn.write_bytes(bytes);
                }
                None
            }
            Kind::Stream { pieces, .. } => Some(pieces),
            Kind::Switch(takeover) => return self.hand_over(conn, takeover),
        };
        exchange.begin_watch(conn);
        match pieces.filter(|_| framing.body != SentAs::Nothing) {
            Some(pieces) => {
                debug_assert!(length.is_none() || framing.body != SentAs::Chunked);
                exchange.outflow =
                    Outflow::Streaming { pieces, writer: BodyWriter::new(framing.body) };
                self.arm(conn, self.site.patience.reader);
                self.pump(conn);
            }
            None => {
                exchange.outflow = Outflow::Done;
                self.answered(conn);
            }
        }
    }

    /// The head of the last answer is out: another protocol has the connection from here on.
    fn hand_over(&mut self, conn: &Conn<Self>, takeover: Takeover) {
        let phase = std::mem::replace(&mut self.phase, Phase::HandedOver);
        let Phase::Busy(mut exchange) = phase else { return };
        if let Some(access) = exchange.finish_access(conn.now()) {
            self.site.log(&access);
        }
        takeover.run(conn, &exchange.kept);
    }

    /// Sends pieces of the body until the client has enough or the next one is not there.
    pub(super) fn pump(&mut self, conn: &Conn<Self>) {
        if let Phase::Busy(exchange) = &mut self.phase {
            let pumped = exchange.pump(conn);
            self.after_pieces(conn, pumped);
        }
    }

    /// A piece of the body that was not there is.
    pub(super) fn piece_came(
        &mut self,
        conn: &Conn<Self>,
        piece: Result<Option<BodyPiece>, Failure>,
    ) {
        if let Phase::Busy(exchange) = &mut self.phase {
            let taken = exchange.take_piece(conn, piece);
            let is_more = matches!(taken, Ok(false));
            self.after_pieces(conn, taken);
            if is_more {
                self.pump(conn);
            }
        }
    }

    fn after_pieces(&mut self, conn: &Conn<Self>, outcome: Result<bool, Failure>) {
        match outcome {
            Ok(true) => self.answered(conn),
            Ok(false) => (),
            Err(failure) => {
                tracing::error!(target: "ropewalk::http", "an answer broke off: {failure:?}");
                conn.abort();
            }
        }
    }

    /// The answer has gone out: what becomes of the connection?
    fn answered(&mut self, conn: &Conn<Self>) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        if let Some(access) = exchange.finish_access(conn.now()) {
            self.site.log(&access);
        }
        if exchange.has_client_ended {
            // It hears no goodbye and says none.
            conn.close();
        } else if !exchange.keep_alive {
            self.say_goodbye(conn);
        } else if exchange.is_body_over() {
            let kept = std::mem::take(&mut exchange.kept);
            self.await_request(conn, kept);
        } else {
            exchange.discard_the_rest();
            self.arm(conn, RATE_INTERVAL);
            conn.resume_reading();
        }
    }

    /// The next request may come, of which `kept` may be the beginning.
    fn await_request(&mut self, conn: &Conn<Self>, kept: Vec<u8>) {
        if conn.is_writing_paused() {
            let choked = Choked { watch: Watch::on(conn), kept };
            self.phase = Phase::Choked(Box::new(choked));
            return self.arm(conn, self.site.patience.reader);
        }
        if kept.is_empty() && self.site.is_draining() {
            return self.say_goodbye(conn);
        }
        self.phase = Phase::Idle;
        self.arm(conn, self.site.patience.idle);
        if kept.is_empty() {
            conn.resume_reading();
        } else {
            // Through the queue, so that a long line of requests does not nest. Reading is paused
            // since it was kept, so nothing overtakes it.
            conn.call_later(Duration::ZERO, move |this, conn| {
                conn.resume_reading();
                this.data_received(conn, &kept);
            });
        }
    }

    /// Takes the body in progress out of `data`; goes on to what comes after it if all is answered.
    fn receive(&mut self, conn: &Conn<Self>, data: &mut &[u8]) {
        self.receive_body(conn, data);
        if let Phase::Busy(exchange) = &self.phase
            && exchange.is_over()
        {
            self.answered(conn);
        }
    }

    /// Takes the body in progress out of `data`, and leaves what comes after it.
    fn receive_body(&mut self, conn: &Conn<Self>, data: &mut &[u8]) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        match exchange.receive(conn, data, &self.site.limits) {
            Ok(()) => (),
            Err(bad) => {
                exchange.end_body(Err(BodyError::Bad(bad)));
                match exchange.outflow {
                    Outflow::Waiting => self.refuse(conn, bad, None),
                    // What is on its way cannot be taken back; it is broken off.
                    Outflow::Streaming { .. } => conn.abort(),
                    Outflow::Done => self.say_goodbye(conn),
                }
            }
        }
    }

    /// Answers what could not be read, and ends the connection.
    fn refuse(&mut self, conn: &Conn<Self>, bad: BadRequest, access: Option<Box<Access>>) {
        tracing::debug!(target: "ropewalk::http", peer = %conn.peer(), "bad request: {bad}");
        let mut response = plain(bad.status());
        response.body_mut().kind = Kind::Bytes(format!("{}: {bad}\n", bad.status()).into());
        self.refuse_with(conn, &response, access);
    }

    fn refuse_with(&mut self, conn: &Conn<Self>, response: &Response, access: Option<Box<Access>>) {
        let access = access.or_else(|| match &mut self.phase {
            Phase::Busy(exchange) => exchange.finish_access(conn.now()).map(Box::new),
            Phase::Idle | Phase::Choked(_) | Phase::Lingering(_) | Phase::HandedOver => None,
        });
        let access =
            access.or_else(|| self.site.is_logging().then(|| Box::new(Access::to_nothing(conn))));
        self.phase = Phase::Idle;
        self.answer_whole(conn, Asked::unread(), response, access);
    }

    /// Ends the connection so that the client gets to read what was said to it: a socket that is
    /// closed while unread bytes lie in it takes the answer back (RFC 9112 9.6).
    fn say_goodbye(&mut self, conn: &Conn<Self>) {
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

    /// Ends the connection as soon as nothing is left to be answered.
    pub(super) fn drain(&mut self, conn: &Conn<Self>) {
        if matches!(self.phase, Phase::Idle) && !self.has_begun() {
            conn.close();
        }
    }
}

impl Protocol for Server {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.place = self.site.enter(conn);
        self.arm(conn, self.site.patience.head);
        if self.site.is_draining() {
            conn.close();
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let mut data = data;
        match &mut self.phase {
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
            Phase::Idle | Phase::Busy(_) | Phase::Choked(_) | Phase::Lingering(_) => conn.close(),
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
            Phase::Idle | Phase::Lingering(_) | Phase::HandedOver => (),
        }
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
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
            Phase::Busy(_) => "busy",
            Phase::Choked(_) => "choked",
            Phase::Lingering(_) => "lingering",
            Phase::HandedOver => "handed over",
        };
        f.debug_struct("Server").field("phase", &phase).finish_non_exhaustive()
    }
}

/// Whether everything of a response is in memory.
fn is_whole(response: &Response) -> bool {
    matches!(response.body().kind, Kind::Empty | Kind::Bytes(_))
        && !response.status().is_informational()
}

/// An answer that another one has to follow is none: the client would wait for it.
fn finished(response: Response, exchange: &Exchange) -> Response {
    let status = response.status();
    let switches = matches!(response.body().kind, Kind::Switch(_));
    if switches && !exchange.may_switch_with(status) {
        tracing::error!(target: "ropewalk::http", "a resource switched protocols with {status}");
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    if status.is_informational() && !switches {
        tracing::error!(target: "ropewalk::http", "a resource answered with {status} alone");
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    response
}

/// An answer that came meanwhile is here.
fn settled(reply: Reply) -> Reply {
    match reply {
        Reply::Later(later) => match later.try_take() {
            Ok(result) => Reply::Now(result.unwrap_or_else(|failure| failed(&failure))),
            Err(later) => Reply::Later(later),
        },
        now @ Reply::Now(_) => now,
    }
}

/// What a client is told of a failure: nothing but that there was one, unless it was its own.
fn failed(failure: &Failure) -> Response {
    if let Some(error) = failure.check::<BodyError>() {
        tracing::debug!(target: "ropewalk::http", "a request's body was not taken: {failure:?}");
        return plain(error.status());
    }
    tracing::error!(target: "ropewalk::http", "a resource failed: {failure:?}");
    plain(StatusCode::INTERNAL_SERVER_ERROR)
}
