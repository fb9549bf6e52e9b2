//! How a server reads: heads off the front of what came, then bodies.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::Method;
use ropewalk_protocol::Conn;

use super::access::Access;
use super::answering::{Whole, settled};
use super::connection::{Phase, RATE_INTERVAL, Server};
use super::exchange::{Exchange, Outflow};
use super::incoming::{BodyError, Incoming, Inflow};
use super::place::Place;
use super::reply::Reply;
use super::request::Request;
use crate::codec::{Asked, BadRequest, BodyDecoder, BodyLength, Manner, RawHead, read_in_place};

impl Server {
    /// Reads requests until there are no more bytes or one is not answered at once.
    pub(super) fn read(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        let mut answered = false;
        // The time stands still meanwhile.
        let now = conn.now();
        while matches!(self.phase, Phase::Idle) && !data.is_empty() && !conn.is_closing() {
            match self.read_head(conn, &mut data) {
                Ok(Some((head, manner))) => {
                    self.serial = self.serial.wrapping_add(1);
                    let body = Incoming::new(Place::Serial(conn.clone(), self.serial));
                    self.begin(conn, Request::new(head, body), &manner, &mut data, now);
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
            Phase::Preface(_) | Phase::Lingering(_) => return,
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
        let (limits, mut last_ones) = (&site.limits, site.last_requests.borrow_mut());
        let last = last_ones.of(self.place);
        if self.head.is_none()
            && let Some(read) = read_in_place(data, limits, last)
        {
            return Ok(Some(read));
        }
        let decoder = self.head.get_or_insert_default();
        let had_begun = decoder.has_begun();
        let read = decoder.go_on(data, limits, last)?;
        let begins = decoder.has_begun() && !had_begun;
        drop(last_ones);
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
        now: Duration,
    ) {
        let mut asked = Asked::by_request(request.method(), request.version(), manner.keep_alive);
        if manner.wants_upgrade {
            asked = asked.and_upgrade();
        }
        if manner.takes_trailers {
            asked = asked.and_trailers();
        }
        if request.method() == Method::CONNECT {
            // What follows is for whoever the client thinks that it is connected to now.
            asked = asked.and_close();
        }
        let mut access =
            self.site.is_logging().then(|| Box::new(Access::to(&request, conn.peer())));
        if matches!(manner.body, BodyLength::None | BodyLength::Fixed(0)) {
            return self.render(request, |this, reply| {
                let access = access.take();
                // Nothing has to be remembered of what is over at once.
                if let Some(whole) = Whole::of_reply(&reply) {
                    return this.answer_whole(conn, asked, whole, access, now);
                }
                this.phase = Phase::Busy(Box::new(Exchange::new(asked, access, now)));
                this.take_reply(conn, reply);
            });
        }
        let decoder = match BodyDecoder::new(manner.body, self.site.body_max(&request)) {
            Ok(decoder) => decoder,
            Err(bad) => return self.refuse(conn, bad, access),
        };
        let inflow = Rc::new(RefCell::new(Inflow::default()));
        request.body_mut().expect(Rc::clone(&inflow));
        let mut exchange = Exchange::new(asked, access, now);
        exchange.expect_body(decoder, inflow, manner, now);
        self.phase = Phase::Busy(Box::new(exchange));
        self.arm(conn, RATE_INTERVAL);
        // An answer that does not wait for the body is given before it is looked at, so that it is
        // the same wherever the pieces are cut. One that waits gets what is there first.
        self.render(request, |this, reply| match settled(reply) {
            now @ (Reply::Now(_) | Reply::Body(_)) => {
                this.take_reply(conn, now);
                this.receive(conn, data);
            }
            later @ (Reply::Later(_) | Reply::Passed(_)) => {
                this.receive(conn, data);
                this.take_reply(conn, later);
            }
        });
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
