//! What goes through a proxy: bodies as they come, heads with their fields changed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, UPGRADE, VIA};
use http::{HeaderMap, Response, Version};
use ropewalk_deferred::Deferred;

use super::fields::{Via, strip_hop_by_hop};
use crate::client::{OnInterim, Switch};
use crate::codec::PassedFields;
use crate::server::{Body, BodyPiece, BodyStream, Incoming, Interim, plain};

/// A message's body, to be sent on piece by piece with the fields behind it. `kept` lives as long.
pub(super) fn body(incoming: Incoming, headers: &HeaderMap, kept: impl Sized + 'static) -> Body {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|digits| digits.to_str().ok()?.parse().ok());
    body_of(incoming, length, kept)
}

fn body_of(mut incoming: Incoming, length: Option<u64>, kept: impl Sized + 'static) -> Body {
    if incoming.is_none() {
        return Body::empty();
    }
    if let Some(whole) = incoming.take_whole() {
        return whole.into();
    }
    let incoming = Rc::new(RefCell::new(incoming));
    let has_ended = Rc::new(Cell::new(false));
    let pieces = BodyStream::new(move || {
        let _kept = &kept;
        if has_ended.get() {
            return Deferred::succeed(None);
        }
        let next = incoming.borrow_mut().next_piece();
        match next.try_take() {
            Ok(piece) => Deferred::ready(piece.map(|piece| told(piece, &incoming, &has_ended))),
            Err(later) => {
                let (incoming, has_ended) = (Rc::clone(&incoming), Rc::clone(&has_ended));
                later.map(move |piece| told(piece, &incoming, &has_ended))
            }
        }
    });
    match length {
        Some(length) => Body::stream_of(length, pieces),
        None => Body::stream(pieces),
    }
}

/// A piece, or at the end the fields that came behind the body.
fn told(
    piece: Option<Bytes>,
    incoming: &RefCell<Incoming>,
    has_ended: &Cell<bool>,
) -> Option<BodyPiece> {
    if let Some(piece) = piece {
        return Some(piece.into());
    }
    has_ended.set(true);
    let mut trailers = incoming.borrow().trailers();
    strip_hop_by_hop(&mut trailers);
    (!trailers.is_empty()).then_some(BodyPiece::Trailers(trailers))
}

/// An upstream's answer on its way to the client; its fields may be among those that are passed on as they came,
/// where `may_pass` says so of them.
pub(super) fn answer(
    response: Response<Incoming>,
    via: &Via,
    kept: impl Sized + 'static,
    may_pass: impl FnOnce(&PassedFields) -> bool,
) -> http::Response<Body> {
    let (mut parts, mut incoming) = response.into_parts();
    let said = via.value(parts.version);
    let mut passed = incoming.take_passed();
    // Where the body came with the head, nothing else will.
    let whole = passed.as_mut().and_then(|passed| passed.body.take());
    let lines = passed.take_if(|passed| may_pass(passed));
    if let Some(passed) = passed {
        passed.lay_among(&mut parts.headers);
    }
    parts.version = Version::HTTP_11;
    let Some(mut lines) = lines else {
        strip_hop_by_hop(&mut parts.headers);
        if let Some(said) = said {
            parts.headers.append(VIA, said.clone());
        }
        let body = match whole {
            Some(whole) => whole.into(),
            None => body(incoming, &parts.headers, kept),
        };
        return Response::from_parts(parts, body);
    };
    if let Some(said) = said {
        lines.add(&VIA, said);
    }
    let mut body = match whole {
        Some(whole) => whole.into(),
        None => body_of(incoming, lines.length, kept),
    };
    body.passed = Some(lines);
    Response::from_parts(parts, body)
}

/// The same where both sides speak another protocol from here on; nothing if it is not the one that was
/// asked for, or the upstream did not change to it.
pub(super) fn switched(
    response: Response<Incoming>,
    asked: &HeaderValue,
    switch: &Switch,
    via: &Via,
) -> Option<http::Response<Body>> {
    let near = switch.take_near()?;
    let (mut parts, _) = response.into_parts();
    let said = parts.headers.get(UPGRADE).cloned()?;
    if !said.as_bytes().eq_ignore_ascii_case(asked.as_bytes()) {
        return None;
    }
    strip_hop_by_hop(&mut parts.headers);
    via.add(&mut parts.headers, parts.version);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    parts.headers.insert(UPGRADE, said);
    Some(Response::from_parts(parts, Body::switch_to(near)))
}

/// A request line and fields.
pub(super) struct HeadWriter(Vec<u8>);

impl HeadWriter {
    /// One to which about so many bytes in whole lines will be added.
    pub(super) fn new(method: &http::Method, target: &[&str], lines: usize) -> Self {
        let mut head = Self(Vec::with_capacity(512 + lines));
        head.put(&[method.as_str().as_bytes(), b" "]);
        for part in target {
            head.put(&[part.as_bytes()]);
        }
        head.put(&[b" HTTP/1.1\r\n"]);
        head
    }

    fn put(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }

    pub(super) fn field(&mut self, name: &HeaderName, value: &[u8]) {
        self.put(&[name.as_str().as_bytes(), b": ", value, b"\r\n"]);
    }

    /// Adds whole lines.
    pub(super) fn lines(&mut self, lines: &[u8]) {
        self.put(&[lines]);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// What a proxy answers by itself.
pub(super) fn refusal(error: super::ProxyError) -> http::Response<Body> {
    let mut response = plain(error.status());
    response.extensions_mut().insert(error);
    response
}

/// Passes interim answers on to the one who asked (RFC 9110 15.2).
pub(super) fn interim(interim: Interim) -> OnInterim {
    Rc::new(move |response: Response<()>| {
        let (mut parts, ()) = response.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        interim.send(parts.status, parts.headers);
    })
}
