//! A body on its way out over a stream of HTTP/2, whichever end sends it.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http2::frame::StreamId;
use ropewalk_http2::hpack::Section;
use ropewalk_http2::{Connection, is_of_connection};
use ropewalk_protocol::{Conn, FileSlice};

use crate::server::{BodyPiece, BodyStream};

/// How long something may be under way for a stream that was reset. A connection at rest knows of none after
/// that.
pub(crate) const UNDER_WAY_MAX: Duration = Duration::from_secs(10);
/// How many pieces of bodies go out in one turn.
const PIECES_PER_TURN_MAX: usize = 64;
/// How many bytes of bodies go out at once, before it is looked whether the peer takes them.
const BYTES_AT_ONCE_MAX: usize = 256 * 1024;
/// Up to how many bytes of a body are copied behind the head of their frame, rather than handed on.
pub(crate) const TOGETHER_MAX: usize = 4096;

/// What is left of a body.
pub(crate) struct Outflow {
    /// Absent where the piece at hand is all.
    pub(crate) pieces: Option<BodyStream>,
    /// The piece at hand, or what is left of it.
    pub(crate) piece: Option<BodyPiece>,
    /// How many bytes are still to come, where that is known.
    pub(crate) left: Option<u64>,
    pub(crate) trailers: HeaderMap,
}

type Next = Result<Option<BodyPiece>, Failure>;

impl Outflow {
    pub(crate) fn new(
        pieces: Option<BodyStream>,
        piece: Option<BodyPiece>,
        left: Option<u64>,
    ) -> Self {
        Self { pieces, piece, left, trailers: HeaderMap::new() }
    }

    /// The next piece, or what it comes by.
    pub(crate) fn next(&mut self) -> Result<Next, Deferred<Option<BodyPiece>>> {
        match &mut self.pieces {
            None => Ok(Ok(None)),
            Some(pieces) => pieces.next().try_take(),
        }
    }

    /// As much of the piece at hand as there is room for; nothing where none is at hand.
    pub(crate) fn take_part(&mut self, room: usize) -> Option<BodyPiece> {
        let piece = self.piece.as_mut()?;
        let len = usize::try_from(piece.len()).unwrap_or(usize::MAX).min(room);
        let is_all = len as u64 == piece.len();
        let part = match piece {
            BodyPiece::Bytes(bytes) => BodyPiece::Bytes(bytes.split_to(len)),
            BodyPiece::File(slice) => {
                let part = FileSlice { len: len as u64, ..slice.clone() };
                slice.offset += len as u64;
                slice.len -= len as u64;
                BodyPiece::File(part)
            }
            BodyPiece::Trailers(_) => return None,
        };
        self.left = self.left.map(|left| left - len as u64);
        if is_all {
            self.piece = None;
        }
        Some(part)
    }
}

/// What one turn sends: `put` is told how many bytes may still go and says how many went, or nothing where nobody has
/// any. Whether there may be more in another turn.
pub(crate) fn turn<P: 'static>(
    conn: &Conn<P>,
    mut put: impl FnMut(usize) -> Option<usize>,
) -> bool {
    if conn.is_writing_paused() {
        return false;
    }
    let mut left = BYTES_AT_ONCE_MAX;
    for _ in 0..PIECES_PER_TURN_MAX {
        let Some(len) = put(left) else { return false };
        left = left.saturating_sub(len);
        if left == 0 {
            break;
        }
    }
    true
}

/// Sends what there was room for, in as many frames as it takes.
pub(crate) fn put_part<P: 'static>(
    conn: &Conn<P>,
    engine: &mut Connection,
    stream: StreamId,
    mut part: BodyPiece,
    is_end: bool,
) {
    let frame_max = engine.frame_max() as u64;
    conn.write_parts(|out| {
        loop {
            let len = part.len().min(frame_max);
            let is_last = len == part.len();
            let mut is_over = false;
            out.write_with(|out| {
                match engine.data_head(stream, len as usize, is_end && is_last, out) {
                    Some(head) => out.extend_from_slice(&head),
                    None => is_over = true,
                }
            });
            if is_over {
                return;
            }
            match &mut part {
                BodyPiece::Bytes(bytes) => out.write_bytes(bytes.split_to(len as usize)),
                BodyPiece::File(slice) => {
                    out.write_file(FileSlice { len, ..slice.clone() });
                    slice.offset += len;
                    slice.len -= len;
                }
                BodyPiece::Trailers(_) => (),
            }
            if is_last {
                return;
            }
        }
    });
}

/// Ends a body behind its last byte, with the trailers where there are any.
pub(crate) fn put_end<P: 'static>(
    conn: &Conn<P>,
    engine: &mut Connection,
    stream: StreamId,
    trailers: &HeaderMap,
) {
    conn.write_with(|out| {
        if trailers.is_empty() {
            if let Some(head) = engine.data_head(stream, 0, true, out) {
                out.extend_from_slice(&head);
            }
        } else {
            engine.send_head(stream, true, out, |head| put_fields(head, Some(trailers)));
        }
    });
}

/// Writes fields, but those that belong to a connection of HTTP/1.1 (RFC 9113 8.2.2), and the length,
/// which is told by itself.
pub(crate) fn put_fields(head: &mut Section<'_>, fields: Option<&HeaderMap>) {
    for (name, value) in fields.into_iter().flatten() {
        if *name != CONTENT_LENGTH && !is_of_connection(name) {
            head.field(name, value);
        }
    }
}
