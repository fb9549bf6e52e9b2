//! How a server reads: heads off the front of what came, then bodies.

use std::cell::RefCell;
use std::rc::Rc;

use http::Method;
use ropewalk_protocol::Conn;

use super::access::Access;
use super::answering::{Whole, settled};
use super::connection::{Phase, RATE_INTERVAL, Server};
use super::exchange::{Exchange, Outflow};
use super::incoming::{BodyError, Incoming, Inflow};
use super::reply::Reply;
use super::request::Request;
use crate::codec::{Asked, BadRequest, BodyDecoder, BodyLength, Manner, RawHead, read_in_place};

impl Server {
    /// Reads requests until there are no more bytes or one is not answered at once.
    pub(super) fn read(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        let mut answered = false;
        while matches!(self.phase, Phase::Idle) && !data.is_empty() && !conn.is_closing() {
            match self.read_head(conn, &mut data) {
                Ok(Some((head, manner))) => {
                    self.serial = self.serial.wrapping_add(1);
                    let body = Incoming::new(conn.clone(), self.serial);
                    self.begin(conn, Request::new(head, body), &manner, &mut data);
                    answered = true;
                }
                Ok(None) => (),
                Err(bad) => self.refuse(conn, bad, None),
            }
        }
        let kept = match &mut self.phase {
            Phase::Busy(exchange) => &mut exchange.kept,
            Phase::Choked(choked) => &mut choked.kept,
            Phase::Idle => {
                if answered && !self.has_begun() {
                    self.arm(conn, self.site.patience.idle);
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

    /// Takes a request's head off the front of `data`, or what there is of one.
    fn read_head(
        &mut self,
        conn: &Conn<Self>,
        data: &mut &[u8],
    ) -> Result<Option<(RawHead, Manner)>, BadRequest> {
        let site = &*self.site;
        let (limits, mut host) = (&site.limits, site.host.borrow_mut());
        if self.head.is_none()
            && let Some(read) = read_in_place(data, limits, &mut host)
        {
            return Ok(Some(read));
        }
        let decoder = self.head.get_or_insert_default();
        let had_begun = decoder.has_begun();
        let read = decoder.go_on(data, limits, &mut host)?;
        let begins = decoder.has_begun() && !had_begun;
        drop(host);
        if read.is_some() {
            self.head = None;
        } else if begins {
            self.arm(conn, self.site.patience.head);
        }
        Ok(read)
    }

    /// A request's head is whole: takes the request and has it answered.
    fn begin(
        &mut self,
        conn: &Conn<Self>,
        mut request: Request,
        manner: &Manner,
        data: &mut &[u8],
    ) {
        let mut asked = Asked::by_request(request.method(), request.version(), manner.keep_alive);
        if request.method() == Method::CONNECT {
            // What follows is for whoever the client thinks that it is connected to now.
            asked = asked.and_close();
        }
        let access = self.site.is_logging().then(|| Box::new(Access::to(&request, conn)));
        if matches!(manner.body, BodyLength::None | BodyLength::Fixed(0)) {
            let mut reply = None;
            self.render(&mut Some(request), &mut reply);
            // Nothing has to be remembered of what is over at once.
            if let Some(whole) = reply.as_ref().and_then(Whole::of_reply) {
                return self.answer_whole(conn, asked, whole, access);
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
        self.render(&mut Some(request), &mut reply);
        // An answer that does not wait for the body is given before it is looked at, so that it is
        // the same wherever the pieces are cut. One that waits gets what is there first.
        match reply.map(settled) {
            now @ Some(Reply::Now(_) | Reply::Body(_)) => {
                self.take_reply(conn, now);
                self.receive(conn, data);
            }
            later => {
                self.receive(conn, data);
                self.take_reply(conn, later);
            }
        }
    }

    /// Takes the body in progress out of `data`; goes on to what comes after it if all is answered.
    pub(super) fn receive(&mut self, conn: &Conn<Self>, data: &mut &[u8]) {
        self.receive_body(conn, data);
        if let Phase::Busy(exchange) = &self.phase
            && exchange.is_over()
        {
            self.answered(conn);
        }
    }

    /// Takes the body in progress out of `data`, and leaves what comes after it.
    pub(super) fn receive_body(&mut self, conn: &Conn<Self>, data: &mut &[u8]) {
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
}
