//! One request and its answer, where they are not over at once.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use ropewalk_deferred::Failure;
use ropewalk_protocol::{Conn, Disconnect};

use super::access::Access;
use super::body::{BodyPiece, BodyStream};
use super::connection::Server;
use super::incoming::{self, BodyError, Inflow};
use super::site::Patience;
use super::watch::Watch;
use crate::Limits;
use crate::codec::{
    Asked, BadRequest, BodyDecoder, BodyLength, BodyWriter, CONTINUE, Manner, Piece,
};

/// How much of a body that nobody wants is read and dropped, so that the connection can go on.
const DISCARD_MAX: u64 = 256 * 1024;
/// How many pieces of a body go out in one turn.
const PIECES_PER_TURN_MAX: usize = 32;

pub(super) struct Exchange {
    pub(super) asked: Asked,
    pub(super) access: Option<Box<Access>>,
    /// What was answered, once it is.
    pub(super) status: Option<StatusCode>,
    pub(super) keep_alive: bool,
    /// How many bytes of body the answer has had so far.
    pub(super) sent: u64,
    pub(super) outflow: Outflow,
    /// What came behind this request.
    pub(super) kept: Vec<u8>,
    inbound: Option<Inbound>,
    /// A piece of the answer's body is on its way.
    waits_for_piece: bool,
    began: Duration,
    /// How much the client has taken of what waits for it.
    watch: Option<Watch>,
    /// The client will send no more.
    pub(super) has_client_ended: bool,
}

/// What has become of the answer.
pub(super) enum Outflow {
    /// Nothing of it has been sent.
    Waiting,
    /// Its head is out, and its body follows.
    Streaming { pieces: BodyStream, writer: BodyWriter, trailers: HeaderMap },
    /// It is out.
    Done,
}

/// The body of the request while it comes.
struct Inbound {
    decoder: BodyDecoder,
    /// Absent where nobody wants it.
    inflow: Option<Rc<RefCell<Inflow>>>,
    /// The client waits for a word before it sends anything.
    waits_for_continue: bool,
    /// How many bytes it will be, where the client said so.
    length: Option<u64>,
    received: u64,
    /// Since when, and from how many bytes on, the rate is counted.
    rate_from: (Duration, u64),
    paused: bool,
    discarded_from: u64,
    over: bool,
}

impl Exchange {
    pub(super) fn new(asked: Asked, access: Option<Box<Access>>, now: Duration) -> Self {
        Self {
            asked,
            access,
            status: None,
            keep_alive: true,
            sent: 0,
            outflow: Outflow::Waiting,
            kept: Vec::new(),
            inbound: None,
            waits_for_piece: false,
            began: now,
            watch: None,
            has_client_ended: false,
        }
    }

    pub(super) fn expect_body(
        &mut self,
        decoder: BodyDecoder,
        inflow: Rc<RefCell<Inflow>>,
        manner: &Manner,
        now: Duration,
    ) {
        self.inbound = Some(Inbound {
            decoder,
            inflow: Some(inflow),
            waits_for_continue: manner.expects_continue,
            length: match manner.body {
                BodyLength::Fixed(length) => Some(length),
                BodyLength::None | BodyLength::Chunked | BodyLength::UntilClose => None,
            },
            received: 0,
            rate_from: (now, 0),
            paused: false,
            discarded_from: 0,
            over: false,
        });
    }

    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.outflow, Outflow::Waiting)
    }

    /// Whether the request's body has come whole, or there is none.
    pub(super) fn is_body_over(&self) -> bool {
        self.inbound.as_ref().is_none_or(|inbound| inbound.over)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_body_over() && matches!(self.outflow, Outflow::Done)
    }

    /// Whether this status may hand the connection to another protocol: a CONNECT's success does, and
    /// 101 for all else, but not while a body is still to come.
    pub(super) fn may_switch_with(&self, status: StatusCode) -> bool {
        let fits = if self.asked.is_connect() {
            status.is_success()
        } else {
            // RFC 9110 7.8: to who asked for it alone; an HTTP/1.0 client that did is not heard.
            status == StatusCode::SWITCHING_PROTOCOLS && self.asked.wants_upgrade()
        };
        fits && self.is_body_over()
    }

    /// A resource that answers and keeps the body means to read it. The client hears so before the
    /// answer: behind its beginning there is no place for it.
    pub(super) fn welcome_body(&mut self, conn: &Conn<Server>) {
        if let Some(inbound) = self.inbound.as_mut().filter(|inbound| !inbound.over)
            && inbound.waits_for_continue
            && inbound.is_wanted()
        {
            inbound.send_continue(conn);
        }
    }

    /// The connection ends after this answer, also if that has begun already.
    pub(super) fn end_after_answer(&mut self) {
        self.asked = self.asked.and_close();
        self.keep_alive = false;
    }

    /// Whether the connection can go on after this answer, whatever is left of the body.
    pub(super) fn may_stay_open(&self) -> bool {
        let Some(inbound) = self.inbound.as_ref().filter(|inbound| !inbound.over) else {
            return true;
        };
        // RFC 9110 10.1.1: a client that was not asked for its body may send it or not; only
        // closing tells the two apart.
        let left = inbound.length.unwrap_or_default().saturating_sub(inbound.received);
        !inbound.waits_for_continue && (inbound.is_wanted() || left <= DISCARD_MAX)
    }

    /// Takes the body out of `data`, and leaves what comes after it.
    pub(super) fn receive(
        &mut self,
        conn: &Conn<Server>,
        data: &mut &[u8],
        limits: &Limits,
    ) -> Result<(), BadRequest> {
        let Some(inbound) = self.inbound.as_mut().filter(|inbound| !inbound.over) else {
            return Ok(());
        };
        if data.is_empty() && inbound.waits_for_continue {
            return Ok(());
        }
        inbound.waits_for_continue = false;
        inbound.let_go_if_unwanted();
        inbound.over = take_pieces(
            conn,
            &mut inbound.decoder,
            data,
            limits,
            inbound.inflow.as_deref(),
            &mut inbound.received,
        )?;
        let dropped = inbound.received.saturating_sub(inbound.discarded_from);
        if inbound.inflow.is_none() && !inbound.over && dropped > DISCARD_MAX {
            // More than anyone should have to listen to for the sake of a connection. What follows
            // is in the middle of a body, so nothing of it may be taken for a request.
            inbound.over = true;
            self.end_after_answer();
            return Ok(());
        }
        let full = inbound.inflow.as_ref().is_some_and(|inflow| inflow.borrow().is_full());
        if full && !inbound.over {
            inbound.paused = true;
            conn.pause_reading();
        }
        Ok(())
    }

    /// The resource has asked for the body, or has room for more of it.
    pub(super) fn body_wanted(&mut self, conn: &Conn<Server>) {
        let answered = self.is_answered();
        let Some(inbound) = self.inbound.as_mut().filter(|inbound| !inbound.over) else { return };
        if inbound.waits_for_continue && !answered {
            let asked = inbound.inflow.as_ref().is_some_and(|inflow| inflow.borrow().is_wanted());
            if asked {
                inbound.send_continue(conn);
            }
        }
        let full = inbound.inflow.as_ref().is_some_and(|inflow| inflow.borrow().is_full());
        if inbound.paused && !full {
            inbound.paused = false;
            inbound.rate_from = (conn.now(), inbound.received);
            conn.resume_reading();
        }
    }

    /// Says how the request's body ended.
    pub(super) fn end_body(&mut self, how: Result<HeaderMap, BodyError>) {
        if let Some(inbound) = &mut self.inbound {
            inbound.over = true;
            if let Some(inflow) = inbound.inflow.take() {
                incoming::end(&inflow, how);
            }
        }
    }

    /// Lets go of a body that is not wanted: what is left of it is read and dropped.
    pub(super) fn discard_the_rest(&mut self) {
        if let Some(inbound) = &mut self.inbound {
            inbound.let_go_if_unwanted();
        }
    }

    /// Whether the body comes more slowly than a client has to send it.
    pub(super) fn is_body_slow(&self, now: Duration, patience: &Patience) -> bool {
        let Some(inbound) = self.inbound.as_ref().filter(|inbound| !inbound.over) else {
            return false;
        };
        if inbound.paused || !self.kept.is_empty() {
            return false;
        }
        // A client that waits for a word is not slow; the resource is.
        if inbound.waits_for_continue {
            return false;
        }
        let (since, from) = inbound.rate_from;
        let counted = now.saturating_sub(since).saturating_sub(patience.body_grace);
        let expected = counted.as_millis() * u128::from(patience.body_rate) / 1000;
        u128::from(inbound.received - from) < expected
    }

    /// The client's time to take its answer begins.
    pub(super) fn begin_watch(&mut self, conn: &Conn<Server>) {
        self.watch = Some(Watch::on(conn));
    }

    /// How long it is until the client has to have taken something of its answer; `None` where it
    /// has taken nothing for as long as `patience`.
    pub(super) fn look_at_reader(
        &mut self,
        conn: &Conn<Server>,
        patience: Duration,
    ) -> Option<Duration> {
        self.watch.as_mut().map_or(Some(patience), |watch| watch.look(conn, patience))
    }

    /// Sends pieces of the body until the client has enough (false), the next one is not there
    /// (false), or all is out (true).
    pub(super) fn pump(&mut self, conn: &Conn<Server>) -> Result<bool, Failure> {
        for _ in 0..PIECES_PER_TURN_MAX {
            if self.waits_for_piece || conn.is_writing_paused() {
                return Ok(false);
            }
            let Outflow::Streaming { pieces, .. } = &mut self.outflow else { return Ok(false) };
            match pieces.next().try_take() {
                Ok(Ok(Some(piece))) => self.put_piece(conn, piece)?,
                Ok(Ok(None)) => return self.put_end(conn).map(|()| true),
                Ok(Err(failure)) => return Err(failure),
                Err(later) => {
                    self.waits_for_piece = true;
                    conn.then(later, Server::piece_came);
                    return Ok(false);
                }
            }
        }
        conn.call_later(Duration::ZERO, Server::pump);
        Ok(false)
    }

    /// A piece that was waited for is there; true once all is out.
    pub(super) fn take_piece(
        &mut self,
        conn: &Conn<Server>,
        piece: Result<Option<BodyPiece>, Failure>,
    ) -> Result<bool, Failure> {
        self.waits_for_piece = false;
        match piece? {
            Some(piece) => self.put_piece(conn, piece).map(|()| false),
            None => self.put_end(conn).map(|()| true),
        }
    }

    fn put_piece(&mut self, conn: &Conn<Server>, piece: BodyPiece) -> Result<(), Failure> {
        let Outflow::Streaming { writer, trailers, .. } = &mut self.outflow else {
            return Ok(());
        };
        if let BodyPiece::Trailers(fields) = piece {
            // RFC 9110 6.5.1: whoever does not ask for them may drop them unread.
            if self.asked.takes_trailers() {
                *trailers = fields;
            }
            return Ok(());
        }
        let length = piece.len();
        let before = conn.waiting();
        let mut outcome = Ok(false);
        conn.write_with(|out| outcome = writer.begin(out, length));
        if !outcome? {
            return Ok(());
        }
        match piece {
            BodyPiece::Bytes(bytes) => conn.write_bytes(bytes),
            BodyPiece::File(slice) => conn.write_file(slice.file, slice.offset, slice.len),
            BodyPiece::Trailers(_) => (),
        }
        conn.write_with(|out| writer.end(out));
        self.sent += length;
        if let Some(watch) = &mut self.watch {
            watch.wrote(conn, before);
        }
        Ok(())
    }

    fn put_end(&mut self, conn: &Conn<Server>) -> Result<(), Failure> {
        let outflow = std::mem::replace(&mut self.outflow, Outflow::Done);
        if let Outflow::Streaming { writer, trailers, .. } = outflow {
            let mut outcome = Ok(());
            conn.write_with(|out| outcome = writer.finish_with(out, &trailers));
            outcome?;
        }
        Ok(())
    }

    /// What the log is to be told, once.
    pub(super) fn finish_access(&mut self, now: Duration) -> Option<Access> {
        let access = self.access.take()?;
        Some(access.finished(self.status, self.sent, now.saturating_sub(self.began)))
    }
}

impl Inbound {
    /// Whether somebody takes it, or may yet.
    fn is_wanted(&self) -> bool {
        self.inflow
            .as_ref()
            .is_some_and(|inflow| Rc::strong_count(inflow) > 1 || inflow.borrow().is_wanted())
    }

    fn send_continue(&mut self, conn: &Conn<Server>) {
        self.waits_for_continue = false;
        self.rate_from = (conn.now(), self.received);
        conn.write(CONTINUE);
    }

    fn let_go_if_unwanted(&mut self) {
        if self.inflow.is_some() && !self.is_wanted() {
            self.inflow = None;
            self.discarded_from = self.received;
            self.paused = false;
        }
    }
}

impl Drop for Inbound {
    /// Whoever still waits for the body hears that no more of it comes.
    fn drop(&mut self) {
        if let Some(inflow) = self.inflow.take() {
            incoming::end(&inflow, Err(BodyError::Lost(Disconnect::Closed)));
        }
    }
}

/// Takes what a decoder finds.
fn take_pieces(
    conn: &Conn<Server>,
    decoder: &mut BodyDecoder,
    data: &mut &[u8],
    limits: &Limits,
    inflow: Option<&RefCell<Inflow>>,
    count: &mut u64,
) -> Result<bool, BadRequest> {
    while let Some(piece) = decoder.feed(data, limits)? {
        match piece {
            Piece::Data(bytes) => {
                *count += bytes.len() as u64;
                if let Some(inflow) = inflow {
                    incoming::give(inflow, bytes, |bytes| conn.share(bytes));
                }
            }
            Piece::End(trailers) => {
                if let Some(inflow) = inflow {
                    incoming::end(inflow, Ok(trailers));
                }
                return Ok(true);
            }
        }
    }
    Ok(false)
}
