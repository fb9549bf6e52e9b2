//! What is asked.

use std::time::Duration;

use http::Method;
use http::header::{HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, TE};
use ropewalk_deferred::Failure;
use ropewalk_http2::frame::StreamId;
use ropewalk_http2::hpack::{Pseudo, Section};
use ropewalk_http2::{NotOpened, is_of_connection};
use ropewalk_protocol::Conn;

use super::exchange::{Exchange, Reading, Sending};
use super::{ErrorCode, Http2};
use crate::client::connection::Exchange as Asked;
use crate::client::link::Ticket;
use crate::client::switch::Wanted;
use crate::client::{AgentError, Wait};
use crate::codec::BadBody;
use crate::outflow::{Outflow, put_end, put_part, turn};
use crate::server::{BodyKind, BodyPiece};

/// A request's head.
struct Head<'h> {
    method: &'h [u8],
    target: &'h [u8],
    authority: &'h [u8],
    /// Lines of the form that HTTP/1.1 has.
    lines: &'h [u8],
}

impl Http2 {
    /// Sends a request. Where that cannot be any more, it is dropped, and sent elsewhere.
    pub(in crate::client) fn begin(&mut self, conn: &Conn<Self>, asked: Asked, ticket: Ticket) {
        if self.is_over || conn.is_closing() || !asked.promise.is_wanted() {
            return;
        }
        let Some(lease) = &self.lease else { return };
        let scheme: &[u8] = if lease.origin().is_secure() { b"https" } else { b"http" };
        let Some(head) = Head::of(&asked.head) else {
            return asked.promise.fail(AgentError::BadRequest("head".to_owned()));
        };
        let mut fields = match head.fields() {
            Ok(fields) => fields,
            Err(name) => return asked.promise.fail(AgentError::BadRequest(name)),
        };
        let wanted = asked.switch.as_ref().and_then(|switch| switch.wanted());
        if wanted.is_some() {
            // RFC 8441 5: there is no key, and nothing that answers one.
            fields.retain(|(name, _)| *name != SEC_WEBSOCKET_KEY);
        }
        if self.engine.openable() == 0 {
            if self.engine.is_used_up() {
                self.link.leave();
            }
            return;
        }
        let Some(body) = asked.body.borrow_mut().take() else { return };
        let is_end = is_empty(&body);
        let mut opened = Err(NotOpened::Going);
        conn.write_with(|out| {
            opened = match wanted {
                None => self.engine.open(is_end, out, |section| {
                    section.pseudo(Pseudo::Method, head.method);
                    head.put_place(section, scheme);
                    put_lines(section, &fields);
                }),
                Some(Wanted::Protocol(name)) => {
                    self.engine.open_tunnel(Some(name), out, |section| {
                        head.put_place(section, scheme);
                        put_lines(section, &fields);
                    })
                }
                Some(Wanted::Tunnel(target)) => self.engine.open_tunnel(None, out, |section| {
                    section.pseudo(Pseudo::Authority, target.as_bytes());
                    put_lines(section, &fields);
                }),
            };
        });
        let stream = match opened {
            Ok(stream) => stream,
            Err(why) => {
                tracing::debug!(target: "ropewalk::http", peer = %conn.peer(), "not asked: {why}");
                asked.body.replace(Some(body));
                return;
            }
        };
        if head.method == Method::HEAD.as_str().as_bytes() {
            self.engine.expect_no_body(stream);
        }
        self.enter(conn, stream, asked, ticket, body);
        self.settle(conn);
    }

    /// Sees to a request whose head is out.
    fn enter(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        asked: Asked,
        ticket: Ticket,
        body: BodyKind,
    ) {
        asked.progress.sent.set(true);
        asked.progress.reused.set(std::mem::replace(&mut self.was_used, true));
        let cancelled = conn.clone();
        asked.promise.on_cancel(move || {
            cancelled.call_later(Duration::ZERO, move |this, conn| this.cancel(conn, stream));
        });
        let total = asked.left.map(|left| {
            conn.call_later(left.time, move |this: &mut Self, conn| {
                let total = AgentError::TimedOut(Wait::Total(left.of));
                this.give_up(conn, stream, ErrorCode::Cancel, total);
            })
        });
        if let Some(priority) = &asked.priority {
            let now = priority.get();
            if now == asked.preferred {
                self.engine.prioritize(stream, now);
            } else {
                // It has changed while the request waited, whose head says what it was before.
                conn.write_with(|out| self.engine.change_priority(stream, now, out));
            }
            let carrier = conn.clone();
            priority.carried_by(move |priority| {
                carrier.call_later(Duration::ZERO, move |this, conn| {
                    conn.write_with(|out| this.engine.change_priority(stream, priority, out));
                });
            });
        }
        self.exchanges.push(Exchange {
            stream,
            progress: asked.progress,
            sending: Sending::Done,
            reading: Reading::Head { promise: asked.promise, interim: 0 },
            on_interim: asked.on_interim,
            switch: asked.switch,
            priority: asked.priority,
            waits_for: None,
            timer: None,
            total,
            ticket,
        });
        if is_empty(&body) {
            self.all_sent(conn, stream);
        } else if asked.expects_continue {
            if let Some(exchange) = self.exchange(stream) {
                exchange.sending = Sending::Held(body);
            }
            conn.call_later(self.patience.proceed, move |this: &mut Self, conn| {
                this.send_held(conn, stream);
                this.pump(conn);
                this.settle(conn);
            });
        } else {
            self.send(conn, stream, body);
            self.pump(conn);
        }
    }

    /// Sends a body that was held back, if it still is.
    pub(super) fn send_held(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        // An answer that came before makes it superfluous.
        if !matches!(exchange.reading, Reading::Head { .. }) {
            return;
        }
        match std::mem::replace(&mut exchange.sending, Sending::Done) {
            Sending::Held(body) => self.send(conn, stream, body),
            other => exchange.sending = other,
        }
    }

    fn send(&mut self, conn: &Conn<Self>, stream: StreamId, body: BodyKind) {
        let Some(exchange) = self.exchange(stream) else { return };
        let (pieces, piece, length) = match body {
            BodyKind::Bytes(bytes) => {
                let length = bytes.len() as u64;
                (None, Some(BodyPiece::Bytes(bytes)), Some(length))
            }
            BodyKind::Stream { pieces, length } => (Some(pieces), None, length),
            BodyKind::Empty | BodyKind::Switch(_) => (None, None, Some(0)),
        };
        exchange.sending = Sending::Stream(Box::new(Outflow::new(pieces, piece, length)));
        self.ask_for_piece(conn, stream);
    }

    /// The request is out; the answer's turn.
    fn all_sent(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        exchange.sending = Sending::Done;
        match exchange.reading {
            Reading::Head { .. } => {
                let head = self.patience.head;
                self.wait(conn, stream, head.map(|head| (head, Wait::Head(head))));
            }
            Reading::Body { .. } => self.body_wanted(conn, stream),
            Reading::Done => self.finish(conn, stream),
            Reading::Tunnel(_) | Reading::Closing => (),
        }
    }

    /// Gets the next piece of a body, unless one is at hand.
    fn ask_for_piece(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        let Sending::Stream(outflow) = &mut exchange.sending else { return };
        if outflow.piece.is_some() {
            self.engine.set_wants_to_send(stream, true);
            return self.wait_idle(conn, stream);
        }
        let next = outflow.next();
        self.engine.set_wants_to_send(stream, false);
        match next {
            Ok(piece) => self.piece_came(conn, stream, piece),
            Err(later) => {
                // Whoever makes the body may take its time; the total time runs.
                self.wait(conn, stream, None);
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
        let Some(exchange) = self.exchange(stream) else { return };
        let Sending::Stream(outflow) = &mut exchange.sending else { return };
        match piece {
            Ok(Some(BodyPiece::Trailers(fields))) => outflow.trailers = fields,
            Ok(Some(piece)) if piece.is_empty() => (),
            Ok(Some(piece)) => {
                if let Some(left) = outflow.left.filter(|left| piece.len() > *left) {
                    let error = BadBody::TooLong { over: piece.len() - left };
                    return self.break_off(conn, stream, AgentError::BadBody(error));
                }
                outflow.piece = Some(piece);
                self.engine.set_wants_to_send(stream, true);
                return self.wait_idle(conn, stream);
            }
            Ok(None) => return self.put_end(conn, stream),
            Err(failure) => {
                tracing::debug!(target: "ropewalk::http", "a request's body broke off: {failure:?}");
                return self.break_off(conn, stream, AgentError::BodyFailed);
            }
        }
        // Through the queue: there may be any number of pieces with nothing in them.
        conn.call_later(Duration::ZERO, move |this, conn| {
            this.ask_for_piece(conn, stream);
            this.pump(conn);
            this.settle(conn);
        });
    }

    /// This end's own fault.
    fn break_off(&mut self, conn: &Conn<Self>, stream: StreamId, error: AgentError) {
        self.give_up(conn, stream, ErrorCode::InternalError, error);
    }

    /// All pieces are out: says so, with the trailers where there are any.
    fn put_end(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        let Sending::Stream(outflow) = &mut exchange.sending else { return };
        if let Some(under) = outflow.left.filter(|left| *left > 0) {
            let error = BadBody::TooShort { under };
            return self.break_off(conn, stream, AgentError::BadBody(error));
        }
        let trailers = std::mem::take(&mut outflow.trailers);
        put_end(conn, &mut self.engine, stream, &trailers);
        self.all_sent(conn, stream);
    }

    /// Sends parts of bodies by turns, until the server has enough or there are none.
    pub(super) fn pump(&mut self, conn: &Conn<Self>) {
        let goes_on = turn(conn, |most| {
            if self.is_over || self.exchanges.is_empty() {
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
        let room = self.engine.room_of_turn(stream).min(most);
        let part = self.exchange(stream).and_then(|exchange| match &mut exchange.sending {
            Sending::Stream(outflow) => {
                let part = outflow.take_part(room)?;
                // Behind the last byte there may be trailers, of a stream.
                Some((part, outflow.pieces.is_none() && outflow.left == Some(0)))
            }
            _ => None,
        });
        let Some((part, is_end)) = part else {
            self.engine.set_wants_to_send(stream, false);
            return 0;
        };
        let len = part.len();
        put_part(conn, &mut self.engine, stream, part, is_end);
        if is_end {
            self.all_sent(conn, stream);
        } else {
            self.ask_for_piece(conn, stream);
        }
        len as usize
    }
}

fn is_empty(body: &BodyKind) -> bool {
    match body {
        BodyKind::Empty | BodyKind::Switch(_) => true,
        BodyKind::Bytes(bytes) => bytes.is_empty(),
        BodyKind::Stream { .. } => false,
    }
}

impl<'h> Head<'h> {
    /// The parts of a head that was written for HTTP/1.1.
    fn of(text: &'h [u8]) -> Option<Self> {
        let end = memchr::memchr(b'\r', text)?;
        let (first, lines) = (&text[..end], text.get(end + 2..)?);
        let mut words = first.split(|octet| *octet == b' ');
        let (method, target) = (words.next()?, words.next()?);
        let is_host =
            |line: &&[u8]| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:"));
        let authority =
            each_line(lines).find(is_host).map_or(&b""[..], |line| line[5..].trim_ascii());
        Some(Self { method, target, authority, lines })
    }

    /// The fields, but those that belong to a connection of HTTP/1.1 (RFC 9113 8.2.2).
    ///
    /// # Errors
    ///
    /// The name of one that cannot be sent.
    fn fields(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let mut fields = Vec::with_capacity(8);
        for line in each_line(self.lines) {
            let colon = memchr::memchr(b':', line).unwrap_or(line.len());
            let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
            let bad = || String::from_utf8_lossy(name).into_owned();
            let field = HeaderName::from_bytes(name).map_err(|_| bad())?;
            let value = value.trim_ascii();
            let is_left_out = field == HOST
                || is_of_connection(&field)
                || (field == TE && !value.eq_ignore_ascii_case(b"trailers"));
            if !is_left_out {
                fields.push((field, HeaderValue::from_bytes(value).map_err(|_| bad())?));
            }
        }
        Ok(fields)
    }

    fn put_place(&self, section: &mut Section<'_>, scheme: &[u8]) {
        section.pseudo(Pseudo::Scheme, scheme);
        if !self.authority.is_empty() {
            section.pseudo(Pseudo::Authority, self.authority);
        }
        section.pseudo(Pseudo::Path, self.target);
    }
}

fn put_lines(section: &mut Section<'_>, fields: &[(HeaderName, HeaderValue)]) {
    for (name, value) in fields {
        section.field(name, value);
    }
}

/// Each line that says something, without its end.
fn each_line(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = lines.split(|octet| *octet == b'\n');
    ends.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
}
