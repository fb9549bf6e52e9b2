//! What a client is answered.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use ropewalk_deferred::Failure;
use ropewalk_http2::frame::{ErrorCode, HEAD_LEN, StreamId};
use ropewalk_http2::hpack::Pseudo;
use ropewalk_protocol::Conn;

use super::Http2;
use super::exchange::Answer;
use super::tunnel::Tunnel;
use crate::codec::{Asked, SentAs};
use crate::outflow::{Outflow, TOGETHER_MAX, put_end, put_fields, put_part, turn};
use crate::server::access::Access;
use crate::server::answering::{Whole, failed};
use crate::server::body::{BodyPiece, Kind};
use crate::server::reply::{Reply, Response, plain};

impl Http2 {
    pub(super) fn take_reply(&mut self, conn: &Conn<Self>, stream: StreamId, reply: Reply) {
        match reply {
            Reply::Now(response) => self.answer(conn, stream, response),
            Reply::Body(body) => self.answer(conn, stream, Response::new(body)),
            later @ (Reply::Later(_) | Reply::Passed(_)) => {
                conn.then(later.into(), move |this, conn, result| {
                    this.answer(conn, stream, result.unwrap_or_else(|failure| failed(&failure)));
                    this.pump(conn);
                    this.settle(conn);
                });
            }
        }
    }

    /// Whether an answer can go out at once, as far as windows are concerned.
    pub(super) fn fits(&self, stream: StreamId, whole: &Whole<'_>) -> bool {
        let len = whole.body.length().unwrap_or(u64::MAX);
        len <= self.engine.room(stream) as u64
    }

    /// Answers with a response that is whole and [fits](Self::fits), to a request of which nothing is
    /// kept.
    pub(super) fn answer_whole(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        asked: Asked,
        whole: Whole<'_>,
        access: Option<Box<Access>>,
        now: Duration,
    ) {
        let none = bytes::Bytes::new();
        let bytes = match &whole.body.kind {
            Kind::Bytes(bytes) => bytes,
            Kind::Empty | Kind::Stream { .. } | Kind::Switch(_) => &none,
        };
        let mut sent = 0;
        let mut rest = None;
        conn.write_with(|out| {
            let body = self.put_head(out, stream, asked, &whole, bytes.is_empty(), now);
            if body == SentAs::Nothing || bytes.is_empty() {
                return;
            }
            if let Some(head) = self.engine.data_head(stream, bytes.len(), true, out) {
                out.extend_from_slice(&head);
                sent = bytes.len() as u64;
                if bytes.len() <= TOGETHER_MAX {
                    out.extend_from_slice(bytes);
                } else {
                    rest = Some(bytes.clone());
                }
            }
        });
        if let Some(bytes) = rest {
            conn.write_bytes(bytes);
        }
        if let Some(mut access) = access {
            access.status = whole.status;
            access.sent = sent;
            self.site.log(&access);
        }
    }

    /// Writes a response's head; how its body follows.
    fn put_head(
        &mut self,
        out: &mut Vec<u8>,
        stream: StreamId,
        asked: Asked,
        whole: &Whole<'_>,
        is_empty: bool,
        now: Duration,
    ) -> SentAs {
        let (status, headers) = (whole.status, whole.headers);
        let own = headers.and_then(|headers| headers.get(CONTENT_LENGTH));
        let own = own.and_then(|value| value.to_str().ok()?.parse().ok());
        let (sent_as, length) = asked.framing(status, whole.body.length(), own);
        let is_end = sent_as == SentAs::Nothing || (is_empty && sent_as == SentAs::Fixed(0));
        let said = Said::of(self.engine.revision(), now, whole, length);
        if said.is_some() && self.last.said == said {
            self.engine.repeat_head(stream, is_end, self.last.block(), out);
            return sent_as;
        }
        let before = out.len();
        let has = |name: HeaderName| headers.is_some_and(|headers| headers.contains_key(name));
        let content_type = whole.body.content_type().filter(|_| !has(CONTENT_TYPE));
        let has_date = has(DATE);
        let (engine, site) = (&mut self.engine, &self.site);
        engine.send_head(stream, is_end, out, |head| {
            head.pseudo(Pseudo::Status, status.as_str().as_bytes());
            put_fields(head, headers);
            if let Some(content_type) = content_type {
                head.field(&CONTENT_TYPE, content_type);
            }
            if !has_date {
                site.with_date(now, |date| head.shared(&DATE, date.as_bytes()));
            }
            if let Some(length) = length {
                let mut digits = [0; 20];
                head.fleeting(&CONTENT_LENGTH, decimal(length, &mut digits));
            }
        });
        if let Some(said) = said
            && said.revision == self.engine.revision()
        {
            self.last.keep(said, out.get(before..).unwrap_or_default());
        }
        sent_as
    }

    /// Begins the answer to a request in progress.
    pub(super) fn answer(&mut self, conn: &Conn<Self>, stream: StreamId, response: Response) {
        let now = conn.now();
        let Some(place) = self.place_of(stream) else { return };
        if self.exchanges[place].is_answered() {
            return;
        }
        let response = finished(response, self.exchanges[place].tunnel.as_deref());
        if matches!(response.body().kind, Kind::Switch(_)) {
            return self.open_tunnel(conn, stream, response);
        }
        let asked = self.exchanges[place].asked;
        if self.exchanges[place].is_body_wanted()
            && self.exchanges[place].inbound.as_ref().is_some_and(|body| body.waits_for_continue)
        {
            // A resource that answers and keeps the body means to read it.
            if let Some(inbound) = &mut self.exchanges[place].inbound {
                inbound.waits_for_continue = false;
            }
            self.interim(conn, stream, StatusCode::CONTINUE, None);
        }
        let mut sent_as = SentAs::Nothing;
        conn.write_with(|out| {
            let is_empty = response.body().length() == Some(0);
            sent_as = self.put_head(out, stream, asked, &Whole::of(&response), is_empty, now);
        });
        if let Some(own) = response.headers().get("priority")
            && let Some(asked) = self.engine.priority(stream)
        {
            self.engine.prioritize(stream, asked.merged(own.as_bytes()));
        }
        let exchange = &mut self.exchanges[place];
        exchange.status = Some(response.status());
        exchange.moved = now;
        let body = response.into_body();
        let (pieces, piece) = match body.kind {
            Kind::Bytes(bytes) if !bytes.is_empty() => (None, Some(BodyPiece::Bytes(bytes))),
            Kind::Stream { pieces, .. } => (Some(pieces), None),
            Kind::Empty | Kind::Bytes(_) | Kind::Switch(_) => (None, None),
        };
        let left = match sent_as {
            SentAs::Fixed(length) => Some(length),
            SentAs::Nothing | SentAs::Chunked | SentAs::UntilClose => None,
        };
        if sent_as == SentAs::Nothing || left == Some(0) {
            return self.answered(conn, stream);
        }
        exchange.answer = Answer::Streaming(Box::new(Outflow::new(pieces, piece, left)));
        self.ask_for_piece(conn, stream);
    }

    /// Gets the next piece of a body, unless one is at hand.
    fn ask_for_piece(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        let Answer::Streaming(outflow) = &mut exchange.answer else { return };
        if outflow.piece.is_some() {
            return self.engine.set_wants_to_send(stream, true);
        }
        let next = outflow.next();
        match next {
            Ok(piece) => self.piece_came(conn, stream, piece),
            Err(later) => {
                self.engine.set_wants_to_send(stream, false);
                conn.then(later, move |this, conn, piece| {
                    this.piece_came(conn, stream, piece);
                    this.pump(conn);
                    this.settle(conn);
                });
            }
        }
    }

    fn piece_came(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        piece: Result<Option<BodyPiece>, Failure>,
    ) {
        let now = conn.now();
        let Some(exchange) = self.exchange(stream) else { return };
        let Answer::Streaming(outflow) = &mut exchange.answer else { return };
        match piece {
            Ok(Some(BodyPiece::Trailers(fields))) => {
                // RFC 9110 6.5.1: to those who said that they take them.
                if exchange.asked.takes_trailers() {
                    outflow.trailers = fields;
                }
            }
            Ok(Some(piece)) if piece.is_empty() => (),
            Ok(Some(piece)) => {
                if outflow.left.is_some_and(|left| piece.len() > left) {
                    tracing::error!(target: "ropewalk::http", "a body is longer than its answer said");
                    return self.reset(conn, stream, ErrorCode::InternalError);
                }
                outflow.piece = Some(piece);
                exchange.moved = now;
                return self.engine.set_wants_to_send(stream, true);
            }
            Ok(None) => return self.put_end(conn, stream),
            Err(failure) => {
                tracing::error!(target: "ropewalk::http", "an answer broke off: {failure:?}");
                return self.reset(conn, stream, ErrorCode::InternalError);
            }
        }
        // Through the queue: there may be any number of pieces with nothing in them.
        conn.call_later(Duration::ZERO, move |this, conn| {
            this.ask_for_piece(conn, stream);
            this.pump(conn);
            this.settle(conn);
        });
    }

    /// All pieces are out: says so, with the trailers where there are any.
    fn put_end(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        let Answer::Streaming(outflow) = &mut exchange.answer else { return };
        if outflow.left.is_some_and(|left| left > 0) {
            tracing::error!(target: "ropewalk::http", "a body is shorter than its answer said");
            return self.reset(conn, stream, ErrorCode::InternalError);
        }
        let trailers = std::mem::take(&mut outflow.trailers);
        put_end(conn, &mut self.engine, stream, &trailers);
        self.answered(conn, stream);
    }

    /// Sends parts of bodies by turns, until the client has enough or there are none.
    pub(super) fn pump(&mut self, conn: &Conn<Self>) {
        let goes_on = turn(conn, |most| {
            if self.exchanges.is_empty() {
                return None;
            }
            let stream = self.engine.next_sender()?;
            Some(self.put_part(conn, stream, most))
        });
        // Above the mark there will be a word when it goes on.
        if goes_on && !conn.is_writing_paused() {
            conn.call_later(Duration::ZERO, |this, conn| {
                this.pump(conn);
                this.settle(conn);
            });
        }
    }

    /// Sends as much of the piece at hand as may go at once; how many bytes that was.
    fn put_part(&mut self, conn: &Conn<Self>, stream: StreamId, most: usize) -> usize {
        if let Some(len) = self.put_tunnel_part(conn, stream) {
            return len;
        }
        let (room, now) = (self.engine.room_of_turn(stream).min(most), conn.now());
        let Some(place) = self.place_of(stream) else { return 0 };
        let exchange = &mut self.exchanges[place];
        let Answer::Streaming(outflow) = &mut exchange.answer else { return 0 };
        let Some(part) = outflow.take_part(room) else { return 0 };
        let (is_all, is_end) = (outflow.piece.is_none(), outflow.left == Some(0));
        let len = part.len();
        exchange.sent += len;
        exchange.moved = now;
        put_part(conn, &mut self.engine, stream, part, is_end);
        if is_end {
            self.answered(conn, stream);
        } else if is_all {
            self.ask_for_piece(conn, stream);
        }
        len as usize
    }

    /// An answer is out.
    fn answered(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        exchange.answer = Answer::Done;
        let log = exchange.finish_access(conn.now());
        // A stream that was wanted for another protocol is of no use any more.
        let is_refused = exchange.tunnel.take().is_some_and(|tunnel| tunnel.is_receiving());
        let is_unwanted = is_refused || (exchange.inbound.is_some() && !exchange.is_body_wanted());
        if let Some(access) = log {
            self.site.log(&access);
        }
        if is_unwanted {
            // RFC 9113 8.1: the client need not go on with a body that nobody reads.
            return self.reset(conn, stream, ErrorCode::NoError);
        }
        self.forget_if_over(conn, stream);
    }
}

/// How long a head is at most that is kept, as it was sent: those that say nothing new take some ten octets.
const KEPT_MAX: usize = 15;

/// The last head of an answer without fields of its own. Mostly the next one says the same.
#[derive(Default)]
pub(super) struct LastHead {
    said: Option<Said>,
    len: u8,
    block: [u8; KEPT_MAX],
}

/// All that decides what such a head says, and by which octets.
#[derive(PartialEq)]
struct Said {
    revision: u32,
    /// By the connection's clock; the date holds for it.
    second: u32,
    length: u32,
    status: StatusCode,
    content_type: Option<&'static HeaderValue>,
}

impl Said {
    /// What an answer says without fields of its own, if it is nothing out of the way.
    fn of(revision: u32, now: Duration, whole: &Whole<'_>, length: Option<u64>) -> Option<Self> {
        if whole.headers.is_some_and(|headers| !headers.is_empty()) {
            return None;
        }
        let (second, length) = (now.as_secs().try_into().ok()?, length?.try_into().ok()?);
        let (status, content_type) = (whole.status, whole.body.content_type());
        Some(Self { revision, second, length, status, content_type })
    }
}

impl LastHead {
    fn block(&self) -> &[u8] {
        &self.block[..usize::from(self.len)]
    }

    /// Keeps the block of the frame at the front of `sent`, where it is short.
    fn keep(&mut self, said: Said, sent: &[u8]) {
        // Nothing was sent on a stream that is over.
        let Some((&[0, 0, len, ..], behind)) = sent.split_at_checked(HEAD_LEN) else { return };
        let len = usize::from(len);
        if let (Some(block), Some(place)) = (behind.get(..len), self.block.get_mut(..len)) {
            place.copy_from_slice(block);
            self.len = len as u8;
            self.said = Some(said);
        }
    }
}

/// An answer that another one has to follow is none: the client would wait for it.
fn finished(response: Response, tunnel: Option<&Tunnel>) -> Response {
    let status = response.status();
    if matches!(response.body().kind, Kind::Switch(_)) {
        if tunnel.is_some_and(|tunnel| tunnel.may_open_with(status)) {
            return response;
        }
        tracing::error!(target: "ropewalk::http", "a resource switched protocols with {status}");
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    if tunnel.is_some() && status.is_success() {
        // The client would take it for a change of protocol (RFC 9110 9.3.6, RFC 8441 5).
        return plain(StatusCode::NOT_IMPLEMENTED);
    }
    if status.is_informational() {
        tracing::error!(target: "ropewalk::http", "a resource answered a stream with {status}");
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    response
}

/// A number in digits.
fn decimal(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut start = digits.len();
    let mut left = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            return &digits[start..];
        }
    }
}
