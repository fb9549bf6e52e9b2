//! A message's body, as it comes in.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_http2::frame::ErrorCode;
use ropewalk_protocol::{Address, Disconnect, TlsInfo};

use super::body::BodyStream;
use super::elsewhere::pull;
use super::place::Place;
use crate::BadRequest;
use crate::client::{Decoding, Reader, Waker};
use crate::codec::PassedFields;

/// How much of a body is kept for those who do not take it; the peer waits after that.
const WAITING_MAX: usize = 64 * 1024;

/// Pieces are joined up to this size, so that a body in tiny chunks costs little more than its bytes.
const JOINED_MAX: usize = 4 * 1024;

/// A message's body, and the connection that it comes on: a request's for a server, an answer's for
/// a client.
///
/// It is asked for piece by piece, and the peer feels it where nobody asks. A body that nobody
/// wants is read and dropped if it is short, and ends the connection if it is not.
/// A client that waits for `100 Continue` hears it when the body is first asked for.
pub struct Incoming {
    pub(super) source: Source,
    /// Absent where there is no body.
    pub(super) inflow: Option<Rc<RefCell<Inflow>>>,
}

/// Who has the body sent.
pub(super) enum Source {
    /// The connection, and which of its requests it is.
    Request(Place),
    Answer(Box<Reader>),
    /// A request's, behind a content coding.
    Coded {
        place: Place,
        decoding: Rc<RefCell<Decoding>>,
    },
    /// It comes over no connection of ours.
    Elsewhere(Option<Rc<RefCell<BodyStream>>>),
}

/// Tells a connection that more of a body is wanted.
enum Bell {
    Request(Place),
    Answer(Waker),
}

impl Bell {
    fn ring(&self) {
        match self {
            Self::Request(place) => place.want_body(),
            Self::Answer(waker) => waker.want(),
        }
    }
}

impl Source {
    /// Somebody waits for more, or there is room for it.
    fn want(&self) {
        match self {
            Self::Request(place) | Self::Coded { place, .. } => place.want_body(),
            Self::Answer(reader) => reader.want(),
            Self::Elsewhere(_) => (),
        }
    }
}

/// How long the memory is into which pieces are copied, one behind the other, in bytes.
const ROOM: usize = 64 * 1024;

/// What the connection has received of a body and nobody has taken yet.
#[derive(Default)]
pub(crate) struct Inflow {
    /// Memory for pieces, which those give back that are dropped.
    room: BytesMut,
    queue: VecDeque<BytesMut>,
    waiting: usize,
    end: Option<Result<HeaderMap, BodyError>>,
    taker: Option<Promise<Option<Bytes>>>,
    sink: Option<Sink>,
    trailers: HeaderMap,
}

type Take = Box<dyn FnMut(&[u8])>;

/// Who is lent what comes, and hears of the end.
struct Sink {
    take: Take,
    ended: Promise<()>,
}

impl Inflow {
    /// A copy of `data`; a long one goes where one was before that nobody needs any more.
    fn copy(&mut self, data: &[u8]) -> BytesMut {
        if data.len() <= JOINED_MAX || data.len() > ROOM {
            return data.into();
        }
        if self.room.capacity() < data.len() && !self.room.try_reclaim(data.len()) {
            self.room = BytesMut::with_capacity(ROOM);
        }
        self.room.extend_from_slice(data);
        self.room.split()
    }

    /// Whether nothing is here, and more may come.
    fn waits(&self) -> bool {
        self.queue.is_empty() && self.end.is_none()
    }

    /// Whether the client should wait.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting >= WAITING_MAX
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.taker.is_some() || self.sink.as_ref().is_some_and(|sink| sink.ended.is_wanted())
    }

    /// Everything, if the body is here whole, in one piece at most, with nothing behind it.
    fn take_whole(&mut self) -> Option<Bytes> {
        let is_plain = matches!(&self.end, Some(Ok(trailers)) if trailers.is_empty());
        if !is_plain || self.queue.len() > 1 {
            return None;
        }
        self.waiting = 0;
        Some(self.queue.pop_front().map(BytesMut::freeze).unwrap_or_default())
    }

    pub(super) fn set_trailers(&mut self, trailers: HeaderMap) {
        self.trailers = trailers;
    }
}

/// Lays the next piece in. Where it is waited for it goes there at once, as `share` may have it without a copy.
pub(crate) fn give(
    inflow: &RefCell<Inflow>,
    data: &[u8],
    share: impl FnOnce(&[u8]) -> Option<Bytes>,
) {
    let sink = inflow.borrow_mut().sink.take();
    if let Some(mut sink) = sink.filter(|sink| sink.ended.is_wanted()) {
        (sink.take)(data);
        inflow.borrow_mut().sink = Some(sink);
        return;
    }
    let mut inflow = inflow.borrow_mut();
    if let Some(taker) = inflow.taker.take() {
        let piece = share(data).unwrap_or_else(|| inflow.copy(data).freeze());
        drop(inflow);
        return taker.succeed(Some(piece));
    }
    inflow.waiting += data.len();
    match inflow.queue.back_mut().filter(|last| last.len() + data.len() <= JOINED_MAX) {
        Some(last) => last.extend_from_slice(data),
        None => {
            let piece = inflow.copy(data);
            inflow.queue.push_back(piece);
        }
    }
}

/// Says how the body ended.
pub(crate) fn end(inflow: &RefCell<Inflow>, end: Result<HeaderMap, BodyError>) {
    let mut inflow = inflow.borrow_mut();
    if inflow.end.is_some() {
        return;
    }
    let (taker, sink) = (inflow.taker.take(), inflow.sink.take());
    inflow.end = Some(end.clone());
    if let Ok(trailers) = &end {
        inflow.trailers = trailers.clone();
    }
    drop(inflow);
    if let Some(taker) = taker {
        taker.fire(end.clone().map(|_| None));
    }
    if let Some(Sink { ended, .. }) = sink {
        ended.fire(end.map(|_| ()));
    }
}

impl Incoming {
    pub(super) fn new(place: Place) -> Self {
        Self { source: Source::Request(place), inflow: None }
    }

    /// On which connection a request came, and which of its requests it is.
    pub(crate) fn request_place(&self) -> Option<&Place> {
        match &self.source {
            Source::Request(place) | Source::Coded { place, .. } => Some(place),
            Source::Answer(_) | Source::Elsewhere(_) => None,
        }
    }

    /// The body of an answer.
    pub(crate) fn of_answer(reader: Reader, inflow: Option<Rc<RefCell<Inflow>>>) -> Self {
        Self { source: Source::Answer(Box::new(reader)), inflow }
    }

    /// Undoes the coding of an answer's body.
    /// Whether that can be done here.
    pub(crate) fn decode(&mut self, decoding: Decoding) -> bool {
        match &mut self.source {
            Source::Answer(reader) => reader.decode(decoding),
            Source::Request(place) => {
                self.source = Source::Coded {
                    place: place.clone(),
                    decoding: Rc::new(RefCell::new(decoding)),
                };
            }
            // One inside of another is not known here, nor one that comes over no connection of ours.
            Source::Coded { .. } | Source::Elsewhere(_) => return false,
        }
        true
    }

    /// There is a body, and here is what comes of it.
    pub(super) fn expect(&mut self, inflow: Rc<RefCell<Inflow>>) {
        self.inflow = Some(inflow);
    }

    /// The next piece, once it is there; `None` at the end.
    ///
    /// The deferred fails with a [`BodyError`] where the peer is gone, too slow, or broke the rules.
    pub fn next_piece(&mut self) -> Deferred<Option<Bytes>> {
        let Some(shared) = &self.inflow else { return Deferred::succeed(None) };
        match &self.source {
            Source::Answer(reader) => {
                if let Some(decoding) = reader.decoding() {
                    let bell = Bell::Answer(reader.waker());
                    return decoded_piece(decoding, Rc::clone(shared), bell);
                }
            }
            Source::Coded { place, decoding } => {
                let bell = Bell::Request(place.clone());
                return decoded_piece(Rc::clone(decoding), Rc::clone(shared), bell);
            }
            Source::Elsewhere(Some(pieces)) => return pull(pieces, shared),
            Source::Request(_) | Source::Elsewhere(None) => (),
        }
        take_next(shared, || self.source.want())
    }

    /// Lends `take` each piece as it comes, without a copy of it; the deferred tells of the end.
    ///
    /// `take` is called by the connection itself: it keeps up with the peer, or lays the bytes somewhere
    /// that has a bound. If the deferred is dropped, nobody wants the rest of the body. It fails as those of
    /// [`next_piece`](Self::next_piece) do.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// use ropewalk_http::{Request, Router, Site};
    /// use ropewalk_trial::{Clock, Memory};
    ///
    /// let router = Router::new().post("/count", |request: Request| {
    ///     let count = Rc::new(Cell::new(0));
    ///     let counted = Rc::clone(&count);
    ///     let body = request.into_body();
    ///     body.for_each(move |piece| counted.set(counted.get() + piece.len()))
    ///         .map(move |()| format!("{} bytes", count.get()))
    /// });
    /// let mut client = Memory::seat(Site::new(router).server(), &Clock::new());
    /// client.push(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    /// client.run();
    /// assert!(client.take_sent().ends_with(b"\r\n\r\n5 bytes"));
    /// ```
    pub fn for_each(mut self, mut take: impl FnMut(&[u8]) + 'static) -> Deferred<()> {
        loop {
            let is_plain = match &self.source {
                Source::Request(..) => true,
                Source::Answer(reader) => reader.decoding().is_none(),
                Source::Coded { .. } | Source::Elsewhere(_) => false,
            };
            match self.inflow.as_deref().filter(|_| is_plain) {
                Some(shared) if shared.borrow().waits() => {
                    let (promise, ended) = deferred();
                    let sink = Sink { take: Box::new(take), ended: promise };
                    shared.borrow_mut().sink = Some(sink);
                    self.source.want();
                    // An answer's connection is told when nobody has its body any more.
                    return ended.map(move |()| drop(self));
                }
                _ => (),
            }
            match self.next_piece().try_take() {
                Ok(Ok(Some(piece))) => take(&piece),
                Ok(Ok(None)) => return Deferred::succeed(()),
                Ok(Err(failure)) => return Deferred::ready(Err(failure)),
                Err(waiting) => {
                    return waiting.add_callback(move |piece| match piece {
                        Some(piece) => {
                            take(&piece);
                            self.for_each(take)
                        }
                        None => Deferred::succeed(()),
                    });
                }
            }
        }
    }

    /// Fields of an answer that are not in its head, as they are only passed on.
    pub(crate) fn take_passed(&mut self) -> Option<Box<PassedFields>> {
        match &mut self.source {
            Source::Answer(reader) => reader.take_passed(),
            _ => None,
        }
    }

    /// The whole body, if it has come already and in one piece, with no fields behind it.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        let Source::Answer(reader) = &mut self.source else { return None };
        if reader.decoding().is_some() {
            return None;
        }
        let whole = self.inflow.as_ref()?.borrow_mut().take_whole()?;
        reader.is_read();
        Some(whole)
    }

    /// The whole body, if it has at most `max` bytes.
    ///
    /// The deferred fails as those of [`next_piece`](Self::next_piece) do, or with [`BodyError::TooLong`].
    pub fn collect(self, max: usize) -> Deferred<Bytes> {
        collect_into(self, BytesMut::new(), max)
    }

    /// The fields that came after the body (RFC 9110 6.5), once it has ended.
    pub fn trailers(&self) -> HeaderMap {
        self.inflow.as_ref().map(|shared| shared.borrow().trailers.clone()).unwrap_or_default()
    }

    /// Whether there is no body at all.
    pub fn is_none(&self) -> bool {
        self.inflow.is_none()
    }

    /// Who is at the other end: the client of a request, the server of an answer.
    pub fn peer(&self) -> Address {
        match &self.source {
            Source::Request(place) | Source::Coded { place, .. } => place.peer(),
            Source::Answer(reader) => reader.peer(),
            Source::Elsewhere(_) => Address::Unnamed,
        }
    }

    /// This side's own address.
    pub fn local(&self) -> Address {
        match &self.source {
            Source::Request(place) | Source::Coded { place, .. } => place.local(),
            Source::Answer(reader) => reader.local(),
            Source::Elsewhere(_) => Address::Unnamed,
        }
    }

    /// What was agreed on with the peer, if the connection is encrypted.
    pub fn tls(&self) -> Option<TlsInfo> {
        match &self.source {
            Source::Request(place) | Source::Coded { place, .. } => place.tls(),
            Source::Answer(reader) => reader.tls(),
            Source::Elsewhere(_) => None,
        }
    }
}

/// The next piece as it came, or a wait for it; `want` is called where more is to be sent.
fn take_next(shared: &RefCell<Inflow>, want: impl FnOnce()) -> Deferred<Option<Bytes>> {
    let mut inflow = shared.borrow_mut();
    if let Some(piece) = inflow.queue.pop_front() {
        let was_full = inflow.is_full();
        inflow.waiting -= piece.len();
        if was_full && !inflow.is_full() {
            want();
        }
        return Deferred::succeed(Some(piece.freeze()));
    }
    if let Some(end) = &inflow.end {
        return Deferred::ready(end.clone().map(|_| None).map_err(Into::into));
    }
    let (promise, next) = deferred();
    inflow.taker = Some(promise);
    want();
    next
}

/// The next piece behind a content coding.
fn decoded_piece(
    decoding: Rc<RefCell<Decoding>>,
    shared: Rc<RefCell<Inflow>>,
    bell: Bell,
) -> Deferred<Option<Bytes>> {
    loop {
        let step = decoding.borrow_mut().step();
        match step {
            Ok(Some(piece)) => return Deferred::succeed(Some(piece)),
            Ok(None) if decoding.borrow().is_over() => return Deferred::succeed(None),
            Ok(None) => (),
            Err(error) => return Deferred::fail(error),
        }
        match take_next(&shared, || bell.ring()).try_take() {
            Ok(Ok(piece)) => decoding.borrow_mut().feed(piece),
            Ok(Err(failure)) => return Deferred::ready(Err(failure)),
            Err(waiting) => {
                return waiting.add_callback(move |piece| {
                    decoding.borrow_mut().feed(piece);
                    decoded_piece(decoding, shared, bell)
                });
            }
        }
    }
}

fn collect_into(mut body: Incoming, mut whole: BytesMut, max: usize) -> Deferred<Bytes> {
    loop {
        match body.next_piece().try_take() {
            Ok(Ok(Some(piece))) if piece.len() > max - whole.len() => {
                return Deferred::fail(BodyError::TooLong { max });
            }
            Ok(Ok(Some(piece))) => whole.extend_from_slice(&piece),
            Ok(Ok(None)) => return Deferred::succeed(whole.freeze()),
            Ok(Err(failure)) => return Deferred::ready(Err(failure)),
            Err(waiting) => {
                return waiting.add_callback(move |piece| match piece {
                    Some(piece) if piece.len() > max - whole.len() => {
                        Deferred::fail(BodyError::TooLong { max })
                    }
                    Some(piece) => {
                        whole.extend_from_slice(&piece);
                        collect_into(body, whole, max)
                    }
                    None => Deferred::succeed(whole.freeze()),
                });
            }
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.inflow.as_ref().map(|shared| shared.borrow().waiting);
        f.debug_struct("Incoming").field("waiting", &waiting).finish_non_exhaustive()
    }
}

/// Why a body did not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// It broke a rule; a client was told so.
    Bad(BadRequest),
    /// It is longer than is wanted.
    TooLong {
        /// How many bytes were wanted at most.
        max: usize,
    },
    /// It came more slowly than [`Patience::body_rate`](crate::Patience) or
    /// [`ClientPatience`](crate::ClientPatience) allow.
    Slow,
    /// Its content coding, which is named, was broken or broke off.
    BadCoding(&'static str),
    /// It is longer than [`Options::decoded_max`](crate::Options::decoded_max) once it is decoded.
    DecodedTooLong {
        /// How many bytes were wanted at most.
        max: u64,
    },
    /// A part of it lies in a file, where bytes in memory were expected.
    NotInMemory,
    /// The connection ended first.
    Lost(Disconnect),
    /// Its stream of HTTP/2 ended first, or its connection did, for this reason (RFC 9113 7).
    Reset(ErrorCode),
}

impl BodyError {
    /// What the client is answered where a resource does not see to it.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Bad(bad) => bad.status(),
            Self::TooLong { .. } | Self::DecodedTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Lost(_) | Self::Reset(_) | Self::BadCoding(_) | Self::NotInMemory => {
                StatusCode::BAD_REQUEST
            }
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(_) => f.write_str("the body broke a rule"),
            Self::TooLong { max } => {
                write!(f, "the body is longer than the {max} bytes that were wanted")
            }
            Self::BadCoding(coding) => write!(f, "the body is no whole {coding}"),
            Self::DecodedTooLong { max } => {
                write!(f, "the body is longer than {max} bytes once it is decoded")
            }
            Self::NotInMemory => f.write_str("a part of the body lies in a file"),
            Self::Slow => f.write_str("the body came too slowly"),
            Self::Lost(_) => f.write_str("the connection ended before the body did"),
            Self::Reset(code) => write!(f, "the body broke off with {code}"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bad(bad) => Some(bad),
            Self::Lost(why) => Some(why),
            _ => None,
        }
    }
}
