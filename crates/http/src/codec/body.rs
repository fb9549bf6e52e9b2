use std::mem;

use http::HeaderMap;

use super::chunked::Chunks;
use super::error::BadRequest;
use super::framing::BodyLength;
use super::limits::Limits;

/// What [`BodyDecoder::feed`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'d> {
    /// The next bytes of the body; they lie in what was fed.
    Data(&'d [u8]),
    /// The body is over; these fields came after it (RFC 9110 6.5).
    End(HeaderMap),
}

/// Takes a message's body out of bytes that arrive in any pieces, and leaves what comes after it.
///
/// ```
/// # use ropewalk_http::{BodyDecoder, BodyLength, Limits, Piece};
/// let mut decoder = BodyDecoder::new(BodyLength::Chunked, None)?;
/// let mut bytes = &b"5\r\nhello\r\n0\r\n\r\nGET /"[..];
/// let mut feed = || decoder.feed(&mut bytes, &Limits::default());
///
/// assert_eq!(feed()?, Some(Piece::Data(b"hello")));
/// assert!(matches!(feed()?, Some(Piece::End(trailers)) if trailers.is_empty()));
/// assert_eq!(feed()?, None);
/// assert_eq!(bytes, b"GET /");
/// # Ok::<(), ropewalk_http::BadRequest>(())
/// ```
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Fixed { left: u64 },
    Chunked(Chunks),
    UntilClose { room: Option<u64>, max: u64 },
    Over,
}

impl BodyDecoder {
    /// A decoder for one body that may have `body_max` bytes, its chunks' framing not counted.
    ///
    /// # Errors
    ///
    /// If the length is known, and known to be too much.
    pub fn new(length: BodyLength, body_max: Option<u64>) -> Result<Self, BadRequest> {
        let state = match (length, body_max) {
            (BodyLength::Fixed(length), Some(max)) if length > max => {
                return Err(BadRequest::BodyTooLong { max });
            }
            (BodyLength::None, _) => State::Fixed { left: 0 },
            (BodyLength::Fixed(length), _) => State::Fixed { left: length },
            (BodyLength::UntilClose, max) => {
                State::UntilClose { room: max, max: max.unwrap_or(u64::MAX) }
            }
            (BodyLength::Chunked, max) => State::Chunked(Chunks::new(max)),
        };
        Ok(Self { state })
    }

    /// Takes bytes off the front of `data` and answers the next piece, or `None` once it needs more
    /// bytes or is over.
    ///
    /// A body that is empty ends without a byte being fed.
    ///
    /// # Errors
    ///
    /// If the chunks are malformed or the body is too long. Feed it nothing more then.
    pub fn feed<'d>(
        &mut self,
        data: &mut &'d [u8],
        limits: &Limits,
    ) -> Result<Option<Piece<'d>>, BadRequest> {
        let piece = match &mut self.state {
            State::Fixed { left: 0 } => Some(Piece::End(HeaderMap::new())),
            State::Fixed { left } => take(data, left).map(Piece::Data),
            State::Chunked(chunks) => chunks.feed(data, limits)?,
            State::UntilClose { room, max } => {
                let piece = mem::take(data);
                if let Some(room) = room {
                    let left = room.checked_sub(piece.len() as u64);
                    *room = left.ok_or(BadRequest::BodyTooLong { max: *max })?;
                }
                (!piece.is_empty()).then_some(Piece::Data(piece))
            }
            State::Over => None,
        };
        if matches!(piece, Some(Piece::End(_))) {
            self.state = State::Over;
        }
        Ok(piece)
    }

    /// The connection has ended; whether the body has too, so that nothing of it is missing.
    pub fn close(&mut self) -> bool {
        if matches!(self.state, State::UntilClose { .. }) {
            self.state = State::Over;
        }
        self.is_over()
    }

    /// Whether the whole body has been taken.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

/// Takes at most `left` bytes off `data`, or tells that there are none.
pub(super) fn take<'d>(data: &mut &'d [u8], left: &mut u64) -> Option<&'d [u8]> {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
    let (taken, rest) = data.split_at(length);
    *data = rest;
    *left -= length as u64;
    (length > 0).then_some(taken)
}
