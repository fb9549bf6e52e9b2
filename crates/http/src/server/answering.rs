//! How a server answers: at once, later, or piece by piece; and what comes after that.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, StatusCode};
use ropewalk_deferred::{Failure, Panicked};
use ropewalk_protocol::{Conn, Protocol};

use super::access::Access;
use super::body::{Body, BodyPiece, Kind};
use super::captures::BadParam;
use super::connection::{Choked, Phase, RATE_INTERVAL, Server};
use super::decode::UnknownCoding;
use super::exchange::{Exchange, Outflow};
use super::incoming::BodyError;
use super::reply::{Passed, Reply, Response, plain};
use super::request::Request;
use super::upgrade::Takeover;
use super::watch::Watch;
use crate::codec::{Asked, BadRequest, BodySize, BodyWriter, Framing, ResponseHead, SentAs};
use crate::form::FormError;

/// Up to how many bytes a body is written together with its head.
const TOGETHER_MAX: usize = 1024;

impl Server {
    /// Has the resource answer a request, and `take` take the answer.
    #[inline]
    pub(super) fn render(&mut self, request: Request, mut take: impl FnMut(&mut Self, Reply)) {
        let mut request = Some(request);
        let mut is_rendered = false;
        // Request and reply are long to move: the one is lent to the closure, and the other taken within.
        let call = || {
            let Some(request) = request.take() else { return };
            let reply = self.site.render(request);
            is_rendered = true;
            take(self, reply);
        };
        let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else { return };
        if is_rendered {
            resume_unwind(payload);
        }
        let panicked = Failure::new(Panicked::from_payload(&*payload));
        take(self, Reply::Now(failed(&panicked)));
    }

    pub(super) fn take_reply(&mut self, conn: &Conn<Self>, reply: Reply) {
        match settled(reply) {
            Reply::Now(response) => self.answer(conn, response),
            Reply::Body(body) => self.answer(conn, Response::new(body)),
            Reply::Later(later) | Reply::Passed(Passed(later)) => {
                conn.then(later, |this, conn, result| {
                    this.answer(conn, result.unwrap_or_else(|failure| failed(&failure)));
                });
            }
        }
    }

    /// Answers with a response that is whole, to a request that is. The timer is left to
    /// [`read`](Self::read), who may have the next request already.
    #[inline]
    pub(super) fn answer_whole(
        &mut self,
        conn: &Conn<Self>,
        asked: Asked,
        whole: Whole<'_>,
        access: Option<Box<Access>>,
        now: Duration,
    ) {
        let asked = if self.site.is_draining() { asked.and_close() } else { asked };
        let bytes = match &whole.body.kind {
            Kind::Bytes(bytes) => Some(bytes),
            Kind::Empty | Kind::Stream { .. } | Kind::Switch(_) => None,
        };
        // Head and body in one go; a long body is not copied.
        let short = bytes.filter(|bytes| bytes.len() <= TOGETHER_MAX);
        let framing = self.put_head(conn, asked, whole, short.map_or(&[], |bytes| bytes), now);
        let mut sent = 0;
        if let (SentAs::Fixed(length), Some(bytes)) = (framing.body, bytes) {
            sent = length;
            if short.is_none() {
                conn.write_bytes(bytes.clone());
            }
        }
        if let Some(mut access) = access {
            access.status = whole.status;
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
    #[inline]
    fn put_head(
        &self,
        conn: &Conn<Self>,
        asked: Asked,
        whole: Whole<'_>,
        body: &[u8],
        now: Duration,
    ) -> Framing {
        let head = ResponseHead {
            status: whole.status,
            headers: whole.headers,
            passed: whole.body.passed.as_deref(),
            content_type: whole.body.content_type(),
            size: whole.body.length().map_or(BodySize::Unknown, BodySize::Known),
        };
        let mut framing = Framing { body: SentAs::Nothing, keep_alive: false };
        conn.write_with(|out| {
            framing = self.site.encode(&head, out, asked, now);
            if framing.body != SentAs::Nothing {
                out.extend_from_slice(body);
            }
        });
        framing
    }

    /// Begins the answer to the request in progress.
    pub(super) fn answer(&mut self, conn: &Conn<Self>, response: Response) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        if exchange.is_answered() {
            return;
        }
        let response = finished(response, exchange);
        exchange.welcome_body(conn);
        let stays = exchange.may_stay_open() && !self.site.is_draining();
        let asked = if stays { exchange.asked } else { exchange.asked.and_close() };
        let short = match &response.body().kind {
            Kind::Bytes(bytes) if bytes.len() <= TOGETHER_MAX => &bytes[..],
            _ => &[],
        };
        let framing = self.put_head(conn, asked, Whole::of(&response), short, conn.now());
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
                    if bytes.len() > TOGETHER_MAX {
                        conn.write_bytes(bytes);
                    }
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
                exchange.outflow = Outflow::Streaming {
                    pieces,
                    writer: BodyWriter::new(framing.body),
                    trailers: HeaderMap::new(),
                };
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
        takeover.run(conn, &exchange.kept, &self.site);
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
    pub(super) fn answered(&mut self, conn: &Conn<Self>) {
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
    pub(super) fn await_request(&mut self, conn: &Conn<Self>, kept: Vec<u8>) {
        if conn.is_writing_paused() {
            let choked = Choked { watch: Watch::on(conn), kept };
            self.phase = Phase::Choked(Box::new(choked));
            return self.arm(conn, self.site.patience.reader);
        }
        if kept.is_empty() && self.site.is_draining() {
            return self.part(conn);
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

    /// Answers what could not be read, and ends the connection.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        conn: &Conn<Self>,
        bad: BadRequest,
        access: Option<Box<Access>>,
    ) {
        tracing::debug!(target: "ropewalk::http", peer = %conn.peer(), "bad request: {bad}");
        let mut response = plain(bad.status());
        response.body_mut().kind = Kind::Bytes(format!("{}: {bad}\n", bad.status()).into());
        self.refuse_with(conn, &response, access);
    }

    pub(super) fn refuse_with(
        &mut self,
        conn: &Conn<Self>,
        response: &Response,
        access: Option<Box<Access>>,
    ) {
        let access = access.or_else(|| match &mut self.phase {
            Phase::Busy(exchange) => exchange.finish_access(conn.now()).map(Box::new),
            Phase::Idle
            | Phase::Preface(_)
            | Phase::Choked(_)
            | Phase::Lingering(_)
            | Phase::HandedOver => None,
        });
        let access = access
            .or_else(|| self.site.is_logging().then(|| Box::new(Access::to_nothing(conn.peer()))));
        self.phase = Phase::Idle;
        self.answer_whole(conn, Asked::unread(), Whole::of(response), access, conn.now());
    }
}

/// A response, wherever its parts lie.
#[derive(Clone, Copy)]
pub(super) struct Whole<'r> {
    pub(super) status: StatusCode,
    /// Absent where it has no fields of its own.
    pub(super) headers: Option<&'r HeaderMap>,
    pub(super) body: &'r Body,
}

impl<'r> Whole<'r> {
    pub(super) fn of(response: &'r Response) -> Self {
        let headers = Some(response.headers());
        Self { status: response.status(), headers, body: response.body() }
    }

    /// What is answered, if it is here and everything of it is in memory.
    pub(super) fn of_reply(reply: &'r Reply) -> Option<Self> {
        let whole = match reply {
            Reply::Now(response) => Self::of(response),
            Reply::Body(body) => Self { status: StatusCode::OK, headers: None, body },
            Reply::Later(_) | Reply::Passed(_) => return None,
        };
        let is_whole = matches!(whole.body.kind, Kind::Empty | Kind::Bytes(_))
            && !whole.status.is_informational();
        is_whole.then_some(whole)
    }
}

/// An answer that another one has to follow is none: the client would wait for it.
fn finished(response: Response, exchange: &Exchange) -> Response {
    let status = response.status();
    let switches = matches!(response.body().kind, Kind::Switch(_));
    if switches && !exchange.may_switch_with(status) {
        tracing::error!(target: "ropewalk::http", "a resource switched protocols with {status}");
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    if status == StatusCode::SWITCHING_PROTOCOLS && switches && !names_its_next(&response) {
        tracing::error!(target: "ropewalk::http", "a resource switched to a protocol without its name");
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    if status.is_informational() && !switches {
        tracing::error!(target: "ropewalk::http", "a resource answered with {status} alone");
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    response
}

/// Whether a switch says what to, and that it is for this connection alone (RFC 9110 7.8).
fn names_its_next(response: &Response) -> bool {
    let headers = response.headers();
    let options = headers.get_all(CONNECTION).iter();
    let mut options = options.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    headers.contains_key(UPGRADE)
        && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// An answer that came meanwhile is here; from here on it is this connection's.
pub(super) fn settled(reply: Reply) -> Reply {
    match reply {
        Reply::Later(later) | Reply::Passed(Passed(later)) => match later.try_take() {
            Ok(result) => Reply::Now(result.unwrap_or_else(|failure| failed(&failure))),
            Err(later) => Reply::Later(later),
        },
        now @ (Reply::Now(_) | Reply::Body(_)) => now,
    }
}

/// What a client is told of a failure: nothing but that there was one, unless it was its own.
pub(super) fn failed(failure: &Failure) -> Response {
    if let Some(error) = failure.check::<BodyError>() {
        tracing::debug!(target: "ropewalk::http", "a request's body was not taken: {failure:?}");
        return plain(error.status());
    }
    if let Some(error) = failure.check::<FormError>() {
        tracing::debug!(target: "ropewalk::http", "a form was not taken: {failure:?}");
        return plain(error.status());
    }
    if let Some(error) = failure.check::<UnknownCoding>() {
        return error.response();
    }
    if failure.check::<BadParam>().is_some() {
        tracing::debug!(target: "ropewalk::http", "no such address: {failure:?}");
        return plain(StatusCode::NOT_FOUND);
    }
    tracing::error!(target: "ropewalk::http", "a resource failed: {failure:?}");
    plain(StatusCode::INTERNAL_SERVER_ERROR)
}
