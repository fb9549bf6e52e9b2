//! One connection: one request after another.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use ropewalk_deferred::{Failure, Promise};
use ropewalk_protocol::{Conn, ConnCall, Disconnect, Protocol};

use super::passing::OnInterim;
use super::pool::Lease;
use super::switch::Onto;
use super::{AgentError, ClientPatience, Reader, RequestPriority, Switch, Wait};
use crate::Priority;
use crate::codec::{
    AnswerDecoder, AnswerHead, AnswerTo, BodyDecoder, BodyLength, BodyWriter, Limits, PassedFields,
    Piece,
};
use crate::server::{BodyError, BodyKind, BodyPiece, BodyStream, Incoming, Inflow, end, give};

/// How many interim answers (1xx) there may be before a final one.
pub(super) const INTERIM_MAX: usize = 16;
/// How much of an answer that nobody wants is read, so that its connection can be used again.
const UNWANTED_MAX: u64 = 64 * 1024;

/// Up to how many bytes a body that is passed on goes with its head.
const WHOLE_MAX: usize = 64 * 1024;

/// How far a request has got; the one who retries looks at it.
#[derive(Default)]
pub(super) struct Progress {
    /// Some of it may have left.
    pub(super) sent: Cell<bool>,
    /// Something came back.
    pub(super) answered: Cell<bool>,
    /// It went out on a connection that had been used before.
    pub(super) reused: Cell<bool>,
}

/// What is left of a request's total time.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub(super) time: Duration,
    pub(super) of: Duration,
}

/// Speaks on a connection next, and has what came for it.
type Successor = Box<dyn FnOnce(&Conn<Connection>, &[u8])>;

/// One request for one connection.
pub(super) struct Exchange {
    /// All of it up to the body.
    pub(super) head: Rc<Vec<u8>>,
    pub(super) to: AnswerTo,
    pub(super) body: Rc<RefCell<Option<BodyKind>>>,
    pub(super) writer: BodyWriter,
    /// Whether the body waits for a word of the server.
    pub(super) expects_continue: bool,
    pub(super) progress: Rc<Progress>,
    pub(super) left: Option<Left>,
    pub(super) on_interim: Option<OnInterim>,
    pub(super) priority: Option<RequestPriority>,
    /// What that was when the head was made.
    pub(super) preferred: Priority,
    /// The protocol may change.
    pub(super) switch: Option<Rc<Switch>>,
    /// It is somebody else's: when he goes, nothing is waited for.
    pub(super) is_passed_on: bool,
    pub(super) promise: Promise<Response<Incoming>>,
}

pub(crate) struct Connection {
    lease: Option<Lease>,
    patience: Rc<ClientPatience>,
    limits: Rc<Limits>,
    was_used: bool,
    /// How many requests went out: which one a reader belongs to.
    serial: u64,
    phase: Phase,
    /// An answer that is told once all that came with it is read: its connection may be free by then.
    ready: Option<(Promise<Response<Incoming>>, Response<Incoming>)>,
    /// Who speaks on this connection next.
    successor: Option<Successor>,
    /// The one timer of this connection, whatever it stands for at the moment.
    timer: Option<ConnCall>,
    waits_for: Waiting,
    total: Option<ConnCall>,
}

/// What is to happen when the timer is due.
#[derive(Clone, Copy)]
enum Waiting {
    Nothing,
    /// The request is given up.
    Server(Wait),
    /// A body that was held back is sent.
    Proceed,
    /// The connection is closed, as nobody has used it.
    Request,
}

enum Phase {
    Idle,
    Busy(Box<Busy>),
    Over,
}

struct Busy {
    to: AnswerTo,
    progress: Rc<Progress>,
    sending: Sending,
    reading: Reading,
    keep_alive: bool,
    on_interim: Option<OnInterim>,
    switch: Option<Rc<Switch>>,
    is_passed_on: bool,
}

enum Sending {
    /// The server is to say `100 Continue` first.
    Held {
        body: BodyKind,
        writer: BodyWriter,
    },
    Stream {
        pieces: BodyStream,
        writer: BodyWriter,
        trailers: HeaderMap,
        is_asked: bool,
    },
    Done,
}

enum Reading {
    Head { decoder: AnswerDecoder, interim: usize, promise: Promise<Response<Incoming>> },
    Body { decoder: BodyDecoder, inflow: Rc<RefCell<Inflow>>, unwanted: Option<u64> },
    Done,
}

impl Connection {
    pub(super) fn new(lease: Lease, patience: Rc<ClientPatience>, limits: Rc<Limits>) -> Self {
        Self {
            lease: Some(lease),
            patience,
            limits,
            was_used: false,
            serial: 0,
            phase: Phase::Idle,
            ready: None,
            successor: None,
            timer: None,
            waits_for: Waiting::Nothing,
            total: None,
        }
    }

    pub(super) fn begin(&mut self, conn: &Conn<Self>, exchange: Exchange) {
        // Dropped unsent, it is sent elsewhere.
        if !matches!(self.phase, Phase::Idle) || conn.is_closing() {
            return;
        }
        let is_secure = self.lease.as_ref().is_some_and(|lease| lease.origin().is_secure());
        if is_secure && conn.tls().is_none() {
            exchange.promise.fail(AgentError::NotEncrypted);
            self.phase = Phase::Over;
            return conn.abort();
        }
        let Some(body) = exchange.body.borrow_mut().take() else { return };
        exchange.progress.sent.set(true);
        exchange.progress.reused.set(mem::replace(&mut self.was_used, true));
        self.serial += 1;
        let cancelled = conn.clone();
        exchange.promise.on_cancel(move || cancelled.abort());
        self.total = exchange.left.map(|left| {
            conn.call_later(left.time, move |this: &mut Self, conn| {
                this.give_up(conn, Wait::Total(left.of));
            })
        });
        conn.write(&exchange.head);
        // RFC 9112 5.2: what is passed on is not to be read in two ways.
        let is_passed_on = exchange.is_passed_on;
        let decoder =
            if is_passed_on { AnswerDecoder::default() } else { AnswerDecoder::unfolding() };
        let mut busy = Box::new(Busy {
            to: exchange.to,
            progress: exchange.progress,
            sending: Sending::Done,
            reading: Reading::Head { decoder, interim: 0, promise: exchange.promise },
            keep_alive: true,
            on_interim: exchange.on_interim,
            switch: exchange.switch,
            is_passed_on: exchange.is_passed_on,
        });
        let writer = exchange.writer;
        if exchange.expects_continue {
            busy.sending = Sending::Held { body, writer };
            self.phase = Phase::Busy(busy);
            self.arm(conn, self.patience.proceed, Waiting::Proceed);
        } else {
            self.phase = Phase::Busy(busy);
            self.send(conn, body, writer);
        }
    }

    /// Sends a body that was held back, if it still is.
    fn send_held(&mut self, conn: &Conn<Self>) {
        let Phase::Busy(busy) = &mut self.phase else { return };
        match mem::replace(&mut busy.sending, Sending::Done) {
            Sending::Held { body, writer } => self.send(conn, body, writer),
            other => busy.sending = other,
        }
    }

    fn send(&mut self, conn: &Conn<Self>, body: BodyKind, mut writer: BodyWriter) {
        let Phase::Busy(busy) = &mut self.phase else { return };
        let written = match body {
            BodyKind::Stream { pieces, .. } => {
                busy.sending =
                    Sending::Stream { pieces, writer, trailers: HeaderMap::new(), is_asked: false };
                return self.ask(conn);
            }
            BodyKind::Bytes(bytes) => {
                let mut out = |bytes: &[u8]| conn.write(bytes);
                writer.begin(&mut out, bytes.len() as u64).and_then(|is_sent| {
                    if is_sent {
                        conn.write_bytes(bytes);
                        writer.end(&mut out);
                    }
                    writer.finish(&mut out)
                })
            }
            _ => writer.finish(&mut |bytes: &[u8]| conn.write(bytes)),
        };
        match written {
            Ok(()) => self.all_sent(conn),
            Err(bad) => self.fail(conn, AgentError::BadBody(bad)),
        }
    }

    /// The request is out; the answer's turn.
    fn all_sent(&mut self, conn: &Conn<Self>) {
        let Phase::Busy(busy) = &mut self.phase else { return };
        busy.sending = Sending::Done;
        match busy.reading {
            Reading::Head { .. } => {
                let head = self.patience.head;
                self.wait(conn, head.map(|head| (head, Wait::Head(head))));
            }
            Reading::Done => self.finish(conn),
            Reading::Body { .. } => (),
        }
    }

    /// Asks for the next piece of the request's body, if there is room for it.
    fn ask(&mut self, conn: &Conn<Self>) {
        let Phase::Busy(busy) = &mut self.phase else { return };
        let Sending::Stream { pieces, is_asked, .. } = &mut busy.sending else { return };
        if *is_asked {
            return;
        }
        if !conn.is_writing_paused() {
            *is_asked = true;
            let next = pieces.next();
            conn.then(next, Self::piece);
            // Whoever makes the body may take its time; the total time runs.
            self.waits_for = Waiting::Nothing;
            return;
        }
        self.wait_idle(conn);
    }

    fn piece(&mut self, conn: &Conn<Self>, piece: Result<Option<BodyPiece>, Failure>) {
        let Phase::Busy(busy) = &mut self.phase else { return };
        let Sending::Stream { writer, trailers, is_asked, .. } = &mut busy.sending else { return };
        *is_asked = false;
        let mut out = |bytes: &[u8]| conn.write(bytes);
        let written = match piece {
            Err(failure) => {
                tracing::debug!(target: "ropewalk::http", "a request's body broke off: {failure:?}");
                return self.fail(conn, AgentError::BodyFailed);
            }
            Ok(None) => {
                let ended = mem::replace(&mut busy.sending, Sending::Done);
                let Sending::Stream { writer, trailers, .. } = ended else { return };
                match writer.finish_with(&mut out, &trailers) {
                    Ok(()) => return self.all_sent(conn),
                    Err(bad) => Err(bad),
                }
            }
            Ok(Some(BodyPiece::Trailers(fields))) => {
                *trailers = fields;
                Ok(())
            }
            Ok(Some(piece)) => writer.begin(&mut out, piece.len()).map(|is_sent| {
                if is_sent {
                    match piece {
                        BodyPiece::Bytes(bytes) => conn.write_bytes(bytes),
                        BodyPiece::File(slice) => {
                            conn.write_file(slice.file, slice.offset, slice.len);
                        }
                        BodyPiece::Trailers(_) => (),
                    }
                    writer.end(&mut out);
                }
            }),
        };
        match written {
            Ok(()) => self.ask(conn),
            Err(bad) => self.fail(conn, AgentError::BadBody(bad)),
        }
    }

    fn read(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        loop {
            let Phase::Busy(busy) = &mut self.phase else {
                // Nobody asked for this.
                if !data.is_empty() {
                    self.phase = Phase::Over;
                    conn.abort();
                }
                return;
            };
            match &mut busy.reading {
                Reading::Head { decoder, .. } => {
                    if data.is_empty() {
                        return;
                    }
                    busy.progress.answered.set(true);
                    let fed = if busy.is_passed_on {
                        decoder.feed_passed(&mut data, busy.to, &self.limits)
                    } else {
                        let fed = decoder.feed(&mut data, busy.to, &self.limits);
                        fed.map(|head| head.map(|head| (head, None)))
                    };
                    match fed {
                        Ok(None) => return,
                        Ok(Some((head, passed))) => {
                            self.head(conn, head, passed, &mut data);
                            if let Some(successor) = self.successor.take() {
                                return successor(conn, data);
                            }
                        }
                        Err(bad) => return self.fail(conn, AgentError::BadAnswer(bad)),
                    }
                }
                Reading::Body { decoder, inflow, unwanted } => {
                    match decoder.feed(&mut data, &self.limits) {
                        Ok(None) => break,
                        Ok(Some(Piece::Data(piece))) => match unwanted {
                            None => give(inflow, piece, |piece| conn.share(piece)),
                            Some(left) => match left.checked_sub(piece.len() as u64) {
                                Some(rest) => *left = rest,
                                None => return conn.abort(),
                            },
                        },
                        Ok(Some(Piece::End(trailers))) => {
                            end(inflow, Ok(trailers));
                            busy.reading = Reading::Done;
                            self.finish(conn);
                        }
                        Err(bad) => {
                            end(inflow, Err(BodyError::Bad(bad)));
                            self.phase = Phase::Over;
                            return conn.abort();
                        }
                    }
                }
                Reading::Done if data.is_empty() => return,
                Reading::Done => {
                    self.phase = Phase::Over;
                    return conn.abort();
                }
            }
        }
        self.body_wanted(conn);
    }

    fn head(
        &mut self,
        conn: &Conn<Self>,
        head: AnswerHead,
        mut passed: Option<PassedFields>,
        data: &mut &[u8],
    ) {
        let AnswerHead { response, body, keep_alive } = head;
        let serial = self.serial;
        let Phase::Busy(busy) = &mut self.phase else { return };
        let Reading::Head { interim, .. } = &mut busy.reading else { return };
        let status = response.status();
        let is_tunnel =
            busy.to == AnswerTo::Connect && busy.switch.is_some() && status.is_success();
        if is_tunnel || status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(conn, response);
        }
        if status.is_informational() {
            *interim += 1;
            if *interim > INTERIM_MAX {
                return self.fail(conn, AgentError::Interim { max: INTERIM_MAX });
            }
            if status == StatusCode::CONTINUE {
                self.send_held(conn);
            } else if let Some(on_interim) = &busy.on_interim {
                on_interim(response);
            }
            return;
        }
        let decoder = match BodyDecoder::new(body, self.limits.body_max) {
            Ok(decoder) => decoder,
            Err(bad) => return self.fail(conn, AgentError::BadAnswer(bad.into())),
        };
        // What was held back is not wanted any more, and the server waits for it no longer.
        if matches!(busy.sending, Sending::Held { .. }) {
            busy.sending = Sending::Done;
            busy.keep_alive = false;
        }
        busy.keep_alive &= keep_alive;
        let mut has_body = !matches!(body, BodyLength::None | BodyLength::Fixed(0));
        if let (BodyLength::Fixed(length), Some(passed)) = (body, &mut passed)
            && has_body
            && let Some((whole, after)) = usize::try_from(length)
                .ok()
                .filter(|&length| length <= WHOLE_MAX)
                .and_then(|length| data.split_at_checked(length))
        {
            passed.body = Some(Bytes::copy_from_slice(whole));
            *data = after;
            has_body = false;
        }
        let inflow = has_body.then(|| Rc::new(RefCell::new(Inflow::default())));
        let next = match &inflow {
            Some(inflow) => Reading::Body { decoder, inflow: Rc::clone(inflow), unwanted: None },
            None => Reading::Done,
        };
        let Reading::Head { promise, .. } = mem::replace(&mut busy.reading, next) else { return };
        if has_body {
            self.waits_for = Waiting::Nothing;
        } else {
            self.finish(conn);
        }
        let serial = has_body.then_some(serial);
        let reader = Reader::of_connection(conn.clone(), serial).and_passed(passed);
        self.ready = Some((promise, response.map(|()| Incoming::of_answer(reader, inflow))));
    }

    /// The server changes to another protocol, if it was asked to.
    fn switch(&mut self, conn: &Conn<Self>, response: Response<()>) {
        let Phase::Busy(busy) = &mut self.phase else { return };
        let is_sent = matches!(busy.sending, Sending::Done);
        let switch = busy.switch.take().filter(|_| is_sent);
        let Some(agreed) = switch.and_then(|switch| switch.agree(&response)) else {
            return self.fail(conn, AgentError::Upgraded);
        };
        self.stop_waiting(conn);
        let Phase::Busy(busy) = mem::replace(&mut self.phase, Phase::Over) else { return };
        let Reading::Head { promise, .. } = busy.reading else { return };
        let next = match agreed {
            Ok(next) => next,
            Err(why) => {
                promise.fail(why);
                return conn.abort();
            }
        };
        // It counts as one of the agent's for as long as it lives.
        let lease = self.lease.take();
        self.successor =
            Some(Box::new(move |conn, rest| next(Onto::Connection(conn, rest, lease))));
        let reader = Reader::of_connection(conn.clone(), None);
        self.ready = Some((promise, response.map(|()| Incoming::of_answer(reader, None))));
    }

    /// The answer is read.
    fn finish(&mut self, conn: &Conn<Self>) {
        self.stop_waiting(conn);
        let Phase::Busy(busy) = mem::replace(&mut self.phase, Phase::Over) else { return };
        if !matches!(busy.sending, Sending::Done) {
            // The server has answered without hearing all, and would take the rest for a request.
            return conn.abort();
        }
        if !busy.keep_alive || conn.is_closing() {
            return conn.close();
        }
        self.phase = Phase::Idle;
        conn.resume_reading();
        self.arm(conn, self.patience.keep, Waiting::Request);
        if !self.lease.as_ref().is_some_and(|lease| lease.give_back(conn)) {
            conn.close();
        }
    }

    /// Somebody waits for more of the body, or has made room for it.
    pub(super) fn body_wanted(&mut self, conn: &Conn<Self>) {
        let Phase::Busy(busy) = &mut self.phase else { return };
        let Reading::Body { inflow, unwanted, .. } = &busy.reading else { return };
        let (is_full, is_wanted) = {
            let inflow = inflow.borrow();
            (inflow.is_full() && unwanted.is_none(), inflow.is_wanted() || unwanted.is_some())
        };
        if is_full {
            conn.pause_reading();
        } else {
            conn.resume_reading();
        }
        if is_wanted && matches!(busy.sending, Sending::Done) {
            self.wait_idle(conn);
        } else {
            self.waits_for = Waiting::Nothing;
        }
    }

    /// Nobody will take the rest of the body.
    pub(super) fn body_dropped(&mut self, conn: &Conn<Self>, serial: u64) {
        if serial != self.serial {
            return;
        }
        let Phase::Busy(busy) = &mut self.phase else { return };
        let Reading::Body { unwanted, .. } = &mut busy.reading else { return };
        if busy.is_passed_on {
            return conn.abort();
        }
        *unwanted = Some(UNWANTED_MAX);
        self.body_wanted(conn);
    }

    fn fail(&mut self, conn: &Conn<Self>, error: AgentError) {
        self.stop_waiting(conn);
        if let Phase::Busy(busy) = mem::replace(&mut self.phase, Phase::Over) {
            busy.reading.fail(error);
        }
        conn.abort();
    }

    fn give_up(&mut self, conn: &Conn<Self>, wait: Wait) {
        if !matches!(self.phase, Phase::Busy(_)) {
            return;
        }
        self.fail(conn, AgentError::TimedOut(wait));
    }

    fn wait_idle(&mut self, conn: &Conn<Self>) {
        self.wait(conn, self.patience.idle.map(|idle| (idle, Wait::Idle(idle))));
    }

    fn wait(&mut self, conn: &Conn<Self>, wait: Option<(Duration, Wait)>) {
        match wait {
            Some((time, wait)) => self.arm(conn, time, Waiting::Server(wait)),
            None => self.waits_for = Waiting::Nothing,
        }
    }

    /// Sets the timer. Where nothing is waited for any more it is left as it is, and means nothing.
    fn arm(&mut self, conn: &Conn<Self>, delay: Duration, waits_for: Waiting) {
        self.waits_for = waits_for;
        match self.timer {
            Some(timer) if conn.reset_call(timer, delay) => (),
            _ => self.timer = Some(conn.call_later(delay, Self::timer_due)),
        }
    }

    fn timer_due(&mut self, conn: &Conn<Self>) {
        self.timer = None;
        match mem::replace(&mut self.waits_for, Waiting::Nothing) {
            Waiting::Server(wait) => self.give_up(conn, wait),
            Waiting::Proceed => self.send_held(conn),
            Waiting::Request if matches!(self.phase, Phase::Idle) => {
                self.phase = Phase::Over;
                conn.close();
            }
            Waiting::Request | Waiting::Nothing => (),
        }
    }

    fn stop_waiting(&mut self, conn: &Conn<Self>) {
        self.waits_for = Waiting::Nothing;
        if let Some(total) = self.total.take() {
            conn.cancel_call(total);
        }
    }
}

impl Reading {
    fn fail(self, error: AgentError) {
        match self {
            Self::Head { promise, .. } => promise.fail(error),
            Self::Body { inflow, .. } => {
                let error = match error {
                    AgentError::TimedOut(_) => BodyError::Slow,
                    AgentError::Lost(why) => BodyError::Lost(why),
                    _ => BodyError::Lost(Disconnect::Aborted),
                };
                end(&inflow, Err(error));
            }
            Self::Done => (),
        }
    }
}

impl Protocol for Connection {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.read(conn, data);
        if let Some((promise, response)) = self.ready.take() {
            promise.succeed(response);
        }
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        if let Phase::Busy(busy) = &mut self.phase
            && let Reading::Body { decoder, inflow, .. } = &mut busy.reading
            && decoder.close()
        {
            end(inflow, Ok(HeaderMap::new()));
            busy.reading = Reading::Done;
            busy.keep_alive = false;
            return self.finish(conn);
        }
        let busy = mem::replace(&mut self.phase, Phase::Over);
        if let Phase::Busy(busy) = busy {
            self.stop_waiting(conn);
            busy.reading.fail(AgentError::Lost(Disconnect::Closed));
            return conn.abort();
        }
        conn.close();
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.ask(conn);
    }

    fn output_sent(&mut self, conn: &Conn<Self>) {
        let Phase::Busy(busy) = &self.phase else { return };
        match (&busy.sending, &busy.reading) {
            (Sending::Stream { is_asked: false, .. }, _) => self.wait_idle(conn),
            // It has not heard all of the request yet.
            (Sending::Done, Reading::Head { .. }) => {
                let head = self.patience.head;
                self.wait(conn, head.map(|head| (head, Wait::Head(head))));
            }
            _ => (),
        }
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Phase::Busy(busy) = mem::replace(&mut self.phase, Phase::Over) {
            busy.reading.fail(AgentError::Lost(why));
        }
        self.lease = None;
    }
}
