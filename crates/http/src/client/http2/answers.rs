//! What is answered.

use std::cell::RefCell;
use std::rc::Rc;

use http::{HeaderMap, Response, StatusCode, Version};
use ropewalk_http2::frame::{ErrorCode, StreamId};
use ropewalk_http2::{Event, Fatal, ResetBy, ResponseHead};
use ropewalk_protocol::Conn;

use super::Http2;
use super::exchange::{Reading, Sending};
use crate::BadRequest;
use crate::client::connection::INTERIM_MAX;
use crate::client::{AgentError, Reader};
use crate::server::{BodyError, Incoming, Inflow, end, give};

impl Http2 {
    /// Takes what came.
    pub(super) fn hear(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let (mut input, now) = (data, conn.now());
        while !self.is_over {
            let mut outcome = Ok(None);
            conn.write_with(|out| outcome = self.engine.next(&mut input, now, out));
            match outcome {
                Ok(Some(event)) => self.take(conn, event),
                Ok(None) => return,
                Err(fatal) => return self.condemn(conn, fatal),
            }
        }
    }

    /// The server broke a rule of connections; `GOAWAY` is out.
    #[cold]
    fn condemn(&mut self, conn: &Conn<Self>, fatal: Fatal) {
        tracing::debug!(target: "ropewalk::http", peer = %conn.peer(), "{}: {fatal:?}", fatal.code());
        self.end_all(&AgentError::Connection(fatal));
        conn.close();
        self.link.leave();
    }

    fn take(&mut self, conn: &Conn<Self>, event: Event<'_>) {
        match event {
            Event::Response { stream, head, is_end } => self.head(conn, stream, *head, is_end),
            Event::Data { stream, data, is_end } => self.body(conn, stream, data, is_end),
            Event::Trailers { stream, fields } => {
                match self.exchange(stream).map(|one| &one.reading) {
                    Some(Reading::Tunnel(_) | Reading::Closing) => self.break_tunnel(conn, stream),
                    _ => self.whole(conn, stream, fields),
                }
            }
            Event::Reset { stream, why } => self.reset_came(conn, stream, why),
            Event::GoAway { code, .. } => {
                let has_worse = self.farewell.is_some_and(|known| known != ErrorCode::NoError);
                if !has_worse {
                    self.farewell = Some(code);
                }
                self.link.leave();
            }
            Event::Settings => {
                let max = self.engine.peer_streams_max() as usize;
                self.link.set_max(max.min(self.options.streams_max));
                self.link.set_takes_protocols(self.engine.has_extended_connect());
            }
            // More room to send is made use of in any case, and a ping's answer is heard as all is.
            _ => (),
        }
    }

    fn head(&mut self, conn: &Conn<Self>, stream: StreamId, head: ResponseHead, is_end: bool) {
        let Some(exchange) = self.exchange(stream) else { return };
        exchange.progress.answered.set(true);
        let Reading::Head { interim, .. } = &mut exchange.reading else { return };
        let mut response = Response::new(());
        (*response.status_mut(), *response.version_mut()) = (head.status, Version::HTTP_2);
        *response.headers_mut() = head.fields;
        if head.status.is_informational() {
            *interim += 1;
            if *interim > INTERIM_MAX {
                let error = AgentError::Interim { max: INTERIM_MAX };
                return self.give_up(conn, stream, ErrorCode::EnhanceYourCalm, error);
            }
            if head.status == StatusCode::CONTINUE {
                self.send_held(conn, stream);
            } else if let Some(on_interim) = exchange.on_interim.clone() {
                on_interim(response);
            }
            return;
        }
        if head.status.is_success()
            && let Some(switch) = exchange.switch.take_if(|switch| switch.wanted().is_some())
        {
            return self.open_tunnel(conn, stream, &switch, response, is_end);
        }
        let inflow = (!is_end).then(Rc::<RefCell<Inflow>>::default);
        let next = match &inflow {
            Some(inflow) => Reading::Body { inflow: Rc::clone(inflow), received: 0, held: 0 },
            None => Reading::Done,
        };
        let Reading::Head { promise, .. } = std::mem::replace(&mut exchange.reading, next) else {
            return;
        };
        // With a body to be sent, the timer is the body's.
        if exchange.is_sent() {
            exchange.stop_timer(conn);
        }
        let has_body = (!is_end).then_some(stream);
        let reader = Reader::of_stream(conn.clone(), has_body);
        self.ready.push((promise, response.map(|()| Incoming::of_answer(reader, inflow))));
        if is_end {
            self.finish(conn, stream);
        }
    }

    fn body(&mut self, conn: &Conn<Self>, stream: StreamId, data: &[u8], is_end: bool) {
        if self.tunnel_data(conn, stream, data, is_end) {
            return;
        }
        let max = self.body_max;
        let Some(exchange) = self.exchange(stream) else { return };
        let Reading::Body { inflow, received, held } = &mut exchange.reading else { return };
        *received += data.len() as u64;
        if let Some(max) = max.filter(|max| *received > *max) {
            end(inflow, Err(BodyError::Bad(BadRequest::BodyTooLong { max })));
            return self.cancel(conn, stream);
        }
        if !data.is_empty() {
            give(inflow, data, |_| None);
        }
        *held += data.len();
        if is_end {
            return self.whole(conn, stream, HeaderMap::new());
        }
        self.body_wanted(conn, stream);
    }

    /// The answer is here whole.
    fn whole(&mut self, conn: &Conn<Self>, stream: StreamId, trailers: HeaderMap) {
        let Some(exchange) = self.exchange(stream) else { return };
        let Reading::Body { inflow, held, .. } =
            std::mem::replace(&mut exchange.reading, Reading::Done)
        else {
            return;
        };
        // The rest of it waits here, and no more of it comes: the connection's window is others' again.
        conn.write_with(|out| self.engine.release(stream, held, out));
        end(&inflow, Ok(trailers));
        self.finish(conn, stream);
    }

    /// The answer is read.
    pub(super) fn finish(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.remove(conn, stream) else { return };
        exchange.priority.as_ref().inspect(|priority| priority.is_over());
        if exchange.switch.is_some() {
            // Nothing follows on a stream that the server did not want to have for a protocol.
            conn.write_with(|out| {
                if let Some(head) = self.engine.data_head(stream, 0, true, out) {
                    out.extend_from_slice(&head);
                }
            });
        } else if !exchange.is_sent() {
            // RFC 9113 8.1: the server has answered without hearing all, and needs no more of it.
            conn.write_with(|out| self.engine.reset(stream, ErrorCode::Cancel, out));
        }
        debug_assert!(matches!(exchange.reading, Reading::Done), "nobody waits for more");
    }

    /// Somebody waits for more of the body, or has made room for it.
    pub(in crate::client) fn body_wanted(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        let is_sending = matches!(exchange.sending, Sending::Stream(_));
        let Reading::Body { inflow, held, .. } = &mut exchange.reading else { return };
        let (is_full, is_wanted) = {
            let inflow = inflow.borrow();
            (inflow.is_full(), inflow.is_wanted())
        };
        let release = if is_full { 0 } else { std::mem::take(held) };
        if release > 0 {
            conn.write_with(|out| self.engine.release(stream, release, out));
        }
        if is_sending {
            return;
        }
        if is_wanted {
            self.wait_idle(conn, stream);
        } else {
            self.wait(conn, stream, None);
        }
    }

    fn reset_came(&mut self, conn: &Conn<Self>, stream: StreamId, why: ResetBy) {
        let Some(exchange) = self.remove(conn, stream) else { return };
        let is_unprocessed =
            matches!(why, ResetBy::GoAway | ResetBy::Peer(ErrorCode::RefusedStream));
        let is_unanswered = matches!(exchange.reading, Reading::Head { .. });
        let error = if why == ResetBy::GoAway && self.farewell == Some(ErrorCode::Http11Required) {
            AgentError::GoneAway(ErrorCode::Http11Required)
        } else if is_unprocessed && is_unanswered {
            AgentError::Unprocessed
        } else {
            AgentError::Stream(why)
        };
        exchange.fail(error);
    }
}
