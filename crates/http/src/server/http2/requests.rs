//! What a client sends.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HOST, HeaderValue, SEC_WEBSOCKET_KEY, TE, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use ropewalk_deferred::{Failure, Panicked};
use ropewalk_http2::frame::{ErrorCode, StreamId};
use ropewalk_http2::hpack::{Pseudo, Section};
use ropewalk_http2::{Event, Fatal, RequestHead, ResetBy};
use ropewalk_protocol::{Conn, Disconnect};

use super::exchange::Exchange;
use super::tunnel::Tunnel;
use super::{Http2, Stage};
use crate::BadRequest;
use crate::codec::Asked;
use crate::server::access::Access;
use crate::server::answering::{Whole, failed, settled};
use crate::server::incoming::{self, BodyError, Incoming, Inflow};
use crate::server::place::Place;
use crate::server::reply::{Reply, plain};
use crate::server::request::Request;

impl Http2 {
    /// Takes what came, as long as the client takes what it is answered.
    pub(super) fn hear(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let (mut input, now) = (data, conn.now());
        loop {
            if input.is_empty() && self.engine.is_between_frames() {
                return;
            }
            if conn.is_writing_paused() && !input.is_empty() {
                self.kept.extend_from_slice(input);
                return conn.pause_reading();
            }
            let mut outcome = Ok(None);
            conn.write_with(|out| outcome = self.engine.next(&mut input, now, out));
            match outcome {
                Ok(Some(event)) => self.take(conn, event, now),
                Ok(None) => return,
                Err(fatal) => return self.break_off(conn, &fatal),
            }
        }
    }

    /// `GOAWAY` is out: nothing that follows can be read.
    #[cold]
    fn break_off(&mut self, conn: &Conn<Self>, fatal: &Fatal) {
        tracing::debug!(target: "ropewalk::http", peer = %conn.peer(), "{}: {fatal:?}", fatal.code());
        self.say_goodbye(conn);
    }

    fn take(&mut self, conn: &Conn<Self>, event: Event<'_>, now: Duration) {
        match event {
            Event::Request { stream, head, is_end } => self.begin(conn, stream, *head, is_end, now),
            Event::TooLarge { stream } => self.too_large(conn, stream, now),
            Event::Data { stream, data, is_end } => self.body(conn, stream, data, is_end, now),
            Event::Trailers { stream, fields } => {
                let Some(exchange) = self.exchange(stream) else { return };
                if exchange.tunnel.is_some() {
                    // RFC 9113 8.5: nothing but data goes there.
                    return self.reset(conn, stream, ErrorCode::ProtocolError);
                }
                exchange.end_body(Ok(fields));
                self.forget_if_over(conn, stream);
            }
            Event::Reset { stream, why } => self.reset_came(conn, stream, &why),
            Event::Settings if self.stage == Stage::Greeting => self.stage = Stage::Open,
            // There may be more room to send, which is looked at in any case.
            _ => (),
        }
    }

    fn too_large(&mut self, conn: &Conn<Self>, stream: StreamId, now: Duration) {
        let access = self.site.is_logging().then(|| Box::new(Access::to_nothing(conn.peer())));
        let response = plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        self.answer_whole(conn, stream, Asked::unread(), Whole::of(&response), access, now);
        self.let_go(conn, stream);
    }

    /// A request came: has it answered.
    fn begin(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        head: RequestHead,
        is_end: bool,
        now: Duration,
    ) {
        self.stage = Stage::Open;
        let length = head.length;
        let claims_tls = head.scheme.as_deref().is_some_and(|scheme| scheme == b"https");
        let expects_continue = !is_end
            && head.fields.get(EXPECT).is_some_and(|value| value.as_bytes() == b"100-continue");
        let mut body = Incoming::new(Place::Stream(conn.clone(), stream));
        let inflow =
            (!is_end && head.method != Method::CONNECT).then(Rc::<RefCell<Inflow>>::default);
        if let Some(inflow) = &inflow {
            body.expect(Rc::clone(inflow));
        }
        let is_connect = head.method == Method::CONNECT;
        let is_extended = head.protocol.is_some();
        let has_te = head.fields.contains_key(TE);
        let request = self.request(head, body);
        let mut asked = Asked::by_request(request.method(), Version::HTTP_2, true);
        // No other value of this field came through.
        if has_te {
            asked = asked.and_trailers();
        }
        let access = self.site.is_logging().then(|| Box::new(Access::to(&request, conn.peer())));
        if claims_tls && !self.site.trusts_schemes && conn.tls().is_none() {
            return self.refuse(conn, stream, asked, StatusCode::MISDIRECTED_REQUEST, access, now);
        }
        if is_connect {
            let mut exchange = Exchange::new(stream, asked, access, now);
            exchange.tunnel = Some(Box::new(Tunnel::asked(is_extended, is_end)));
            self.exchanges.push(exchange);
            let reply = self.render(request);
            return self.take_reply(conn, stream, settled(reply));
        }
        let body_max = self.site.body_max(&request);
        let too_long = body_max.is_some_and(|max| length > Some(max));
        if too_long {
            return self.refuse(conn, stream, asked, StatusCode::PAYLOAD_TOO_LARGE, access, now);
        }
        let Some(inflow) = inflow else {
            let reply = self.render(request);
            // Nothing has to be remembered of what is over at once.
            if let Some(whole) = Whole::of_reply(&reply)
                && self.fits(stream, &whole)
            {
                return self.answer_whole(conn, stream, asked, whole, access, now);
            }
            self.exchanges.push(Exchange::new(stream, asked, access, now));
            return self.take_reply(conn, stream, reply);
        };
        let mut exchange = Exchange::new(stream, asked, access, now);
        exchange.expect_body(inflow, body_max, expects_continue, now);
        self.exchanges.push(exchange);
        let reply = self.render(request);
        self.take_reply(conn, stream, settled(reply));
    }

    /// Answers without having asked the resource.
    fn refuse(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        asked: Asked,
        status: StatusCode,
        access: Option<Box<Access>>,
        now: Duration,
    ) {
        let response = plain(status);
        self.answer_whole(conn, stream, asked, Whole::of(&response), access, now);
        self.let_go(conn, stream);
    }

    pub(in crate::server) fn render(&self, request: Request) -> Reply {
        let call = std::panic::AssertUnwindSafe(|| self.site.render(request));
        std::panic::catch_unwind(call).unwrap_or_else(|payload| {
            let panicked = Failure::new(Panicked::from_payload(&*payload));
            Reply::Now(failed(&panicked))
        })
    }

    fn body(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        data: &[u8],
        is_end: bool,
        now: Duration,
    ) {
        let Some(place) = self.place_of(stream) else {
            return conn.write_with(|out| self.engine.release(stream, data.len(), out));
        };
        let exchange = &mut self.exchanges[place];
        if exchange.tunnel.is_some() {
            return self.tunnel_data(conn, stream, data, is_end);
        }
        let mut release = data.len();
        if let Some(inbound) = &mut exchange.inbound {
            inbound.waits_for_continue = false;
            inbound.received += data.len() as u64;
            if let Some(max) = inbound.max.filter(|max| inbound.received > *max) {
                return self.body_too_long(conn, stream, max, now);
            }
            if !inbound.is_wanted() {
                inbound.inflow = None;
            }
            if let Some(inflow) = &inbound.inflow {
                incoming::give(inflow, data, |_| None);
            }
            inbound.held += release;
            release = if inbound.is_full() { 0 } else { std::mem::take(&mut inbound.held) };
        }
        if is_end {
            exchange.end_body(Ok(http::HeaderMap::new()));
        }
        conn.write_with(|out| self.engine.release(stream, release, out));
        if is_end {
            self.forget_if_over(conn, stream);
        }
    }

    fn body_too_long(&mut self, conn: &Conn<Self>, stream: StreamId, max: u64, now: Duration) {
        let Some(exchange) = self.exchange(stream) else { return };
        exchange.end_body(Err(BodyError::Bad(BadRequest::BodyTooLong { max })));
        if exchange.is_answered() {
            return self.reset(conn, stream, ErrorCode::Cancel);
        }
        let (asked, access) = (exchange.asked, exchange.access.take());
        self.refuse(conn, stream, asked, StatusCode::PAYLOAD_TOO_LARGE, access, now);
    }

    /// The resource has asked for the body, or has room for more of it.
    pub(in crate::server) fn body_wanted(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        let is_answered = exchange.is_answered();
        let Some(inbound) = &mut exchange.inbound else { return };
        let is_asked_for =
            inbound.inflow.as_ref().is_some_and(|inflow| inflow.borrow().is_wanted());
        let welcomes = inbound.waits_for_continue && !is_answered && is_asked_for;
        let mut release = 0;
        if !inbound.is_full() && inbound.held > 0 {
            inbound.rate_from = (conn.now(), inbound.received);
            release = std::mem::take(&mut inbound.held);
        }
        if welcomes {
            inbound.waits_for_continue = false;
            inbound.rate_from = (conn.now(), inbound.received);
            self.interim(conn, stream, StatusCode::CONTINUE, None);
        }
        conn.write_with(|out| self.engine.release(stream, release, out));
    }

    fn reset_came(&mut self, conn: &Conn<Self>, stream: StreamId, why: &ResetBy) {
        tracing::debug!(target: "ropewalk::http", peer = %conn.peer(), "stream {stream}: {why}");
        let Some(place) = self.place_of(stream) else { return };
        let mut exchange = self.exchanges.remove(place);
        let is_peers = matches!(why, ResetBy::Peer(_) | ResetBy::GoAway);
        exchange.lose(if is_peers { Disconnect::Reset } else { Disconnect::Aborted });
        if let Some(access) = exchange.finish_access(conn.now()) {
            self.site.log(&access);
        }
    }

    /// The client was too slow.
    pub(super) fn give_up(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(exchange) = self.exchange(stream) else { return };
        exchange.end_body(Err(BodyError::Slow));
        if exchange.tunnel.is_some() {
            return self.reset(conn, stream, ErrorCode::NoError);
        }
        if exchange.is_answered() {
            return self.reset(conn, stream, ErrorCode::Cancel);
        }
        let (asked, access, now) = (exchange.asked, exchange.access.take(), conn.now());
        self.refuse(conn, stream, asked, StatusCode::REQUEST_TIMEOUT, access, now);
    }

    /// Ends a stream early.
    pub(super) fn reset(&mut self, conn: &Conn<Self>, stream: StreamId, code: ErrorCode) {
        conn.write_with(|out| self.engine.reset(stream, code, out));
        if let Some(place) = self.place_of(stream) {
            let mut exchange = self.exchanges.remove(place);
            exchange.lose(Disconnect::Aborted);
            if let Some(access) = exchange.finish_access(conn.now()) {
                self.site.log(&access);
            }
        }
    }

    /// The answer is out, and nobody wants what the client still sends (RFC 9113 8.1).
    pub(super) fn let_go(&mut self, conn: &Conn<Self>, stream: StreamId) {
        if self.engine.is_live(stream)
            && self.exchange(stream).is_none_or(|exchange| exchange.is_answered())
        {
            self.reset(conn, stream, ErrorCode::NoError);
        } else if let Some(place) = self.place_of(stream) {
            self.exchanges.remove(place);
        }
    }

    pub(super) fn forget_if_over(&mut self, conn: &Conn<Self>, stream: StreamId) {
        let Some(place) = self.place_of(stream) else { return };
        if self.exchanges[place].is_over() {
            let mut exchange = self.exchanges.remove(place);
            if let Some(access) = exchange.finish_access(conn.now()) {
                self.site.log(&access);
            }
        }
    }

    /// Tells a client something before its answer.
    pub(in crate::server) fn interim(
        &mut self,
        conn: &Conn<Self>,
        stream: StreamId,
        status: StatusCode,
        fields: Option<&http::HeaderMap>,
    ) {
        let is_late = self.exchange(stream).is_none_or(|exchange| exchange.is_answered());
        if is_late || conn.is_writing_paused() {
            return;
        }
        conn.write_with(|out| {
            self.engine.send_head(stream, false, out, |head: &mut Section<'_>| {
                head.pseudo(Pseudo::Status, status.as_str().as_bytes());
                crate::outflow::put_fields(head, fields);
            });
        });
    }
}

impl Http2 {
    /// The request as resources know it: its target without scheme and host, the host among the fields.
    fn request(&self, head: RequestHead, body: Incoming) -> Request {
        let RequestHead { mut method, authority, path, mut fields, protocol, .. } = head;
        if let Some(protocol) = protocol {
            method = Method::GET;
            as_upgrade(&mut fields, protocol);
        }
        if let Some(authority) = &authority
            && !fields.contains_key(HOST)
            && let Some(host) = self.site.host(authority)
        {
            fields.insert(HOST, host);
        }
        let uri = match (path, authority) {
            (Some(path), _) if path == "/" => None,
            (Some(path), _) => Some(Uri::from(path)),
            (None, Some(authority)) => Some(Uri::from(authority)),
            (None, None) => None,
        };
        Request::of_map(method, uri, Version::HTTP_2, fields, body)
    }
}

/// What an extended CONNECT asks for, as HTTP/1.1 says it (RFC 8441 5): resources know it so.
fn as_upgrade(fields: &mut HeaderMap, protocol: Bytes) {
    let is_websocket = protocol.eq_ignore_ascii_case(b"websocket");
    // What has no place in a field asks for nothing that anybody knows.
    if let Ok(protocol) = HeaderValue::from_maybe_shared(protocol) {
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, protocol);
    }
    if is_websocket {
        // Whoever passes it on in HTTP/1.1 has to have a key that nobody could foresee.
        let half = |half: u8| RandomState::new().hash_one(half);
        let key = ((u128::from(half(0)) << 64) | u128::from(half(1))).to_be_bytes();
        if let Ok(key) = HeaderValue::from_str(&STANDARD.encode(key)) {
            fields.insert(SEC_WEBSOCKET_KEY, key);
        }
    }
}
