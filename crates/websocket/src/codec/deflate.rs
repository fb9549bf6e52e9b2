//! Compressed messages (RFC 7692 7.2).

use std::fmt;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::BadFrame;
use super::spares::Spares;

/// What ends a compressed message and is not sent (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// By how much room for output grows, in bytes.
const STEP: usize = 4 * 1024;

/// How one direction is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// How far back a repetition may lie, as a power of two of bytes: 9 to 15.
    pub(crate) bits: u8,
    /// Whether messages may repeat what earlier ones said. It compresses better, and keeps memory for
    /// each connection as long as it lasts: about 11 KiB to expand, about 200 KiB to compress.
    pub(crate) keeps_context: bool,
}

/// What two ends have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deflate {
    /// How this end's messages are compressed.
    pub(crate) sent: Window,
    /// How the peer's are.
    pub(crate) received: Window,
    /// How hard to try, from 1 to 9.
    pub(crate) level: u32,
    /// The shortest message that is compressed, in bytes.
    pub(crate) shortest: usize,
}

/// Expands messages.
pub(super) struct Inflater {
    window: Window,
    /// Absent between messages that share no context.
    stream: Option<Decompress>,
}

impl Inflater {
    pub(super) fn new(window: Window) -> Self {
        Self { window, stream: None }
    }

    /// Appends what `piece` expands to, if all of `out` then has at most `max` bytes.
    pub(super) fn expand(
        &mut self,
        piece: &[u8],
        out: &mut Vec<u8>,
        max: usize,
        spares: &Spares,
    ) -> Result<(), BadFrame> {
        let stream = self.stream.get_or_insert_with(|| spares.take_inflate(self.window));
        let mut left = piece;
        loop {
            if out.len() == out.capacity() {
                // One more than is allowed tells a message that is too long from one that just fits.
                out.reserve(STEP.min(max + 1 - out.len()).max(1));
            }
            let (taken, given) = (stream.total_in(), out.len());
            let status = stream.decompress_vec(left, out, FlushDecompress::Sync);
            let status = status.map_err(|_| BadFrame::Compression)?;
            let moved_in = (stream.total_in() - taken) as usize;
            left = &left[moved_in..];
            if out.len() > max {
                return Err(BadFrame::MessageTooLong { max });
            }
            if matches!(status, Status::StreamEnd) {
                // RFC 7692 7.2.3.4: a block may say that it is the last, and others follow it.
                stream.reset(false);
            } else if moved_in == 0 && out.len() == given {
                break;
            }
            if left.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        if left.is_empty() { Ok(()) } else { Err(BadFrame::Compression) }
    }

    /// Appends what is left of a message.
    pub(super) fn finish(
        &mut self,
        out: &mut Vec<u8>,
        max: usize,
        spares: &Spares,
    ) -> Result<(), BadFrame> {
        self.expand(&TAIL, out, max, spares)?;
        if !self.window.keeps_context
            && let Some(stream) = self.stream.take()
        {
            spares.put_inflate(self.window, stream);
        }
        Ok(())
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("window", &self.window).finish_non_exhaustive()
    }
}

/// Compresses messages.
pub(super) struct Deflater {
    deflate: Deflate,
    stream: Option<Compress>,
}

impl Deflater {
    pub(super) fn new(deflate: Deflate) -> Self {
        Self { deflate, stream: None }
    }

    /// Whether a message of this length is worth it.
    pub(super) fn wants(&self, length: usize) -> bool {
        length >= self.deflate.shortest
    }

    /// Appends `message`, compressed.
    pub(super) fn compress(&mut self, message: &[u8], out: &mut Vec<u8>, spares: &Spares) {
        if message.is_empty() {
            // RFC 7692 7.2.3.6: a flush of nothing would write nothing.
            return out.push(0);
        }
        let Deflate { sent, level, .. } = self.deflate;
        let level = level.clamp(1, 9);
        let mut stream = self.stream.take().unwrap_or_else(|| spares.take_deflate(sent, level));
        let mut left = message;
        loop {
            out.reserve((left.len() / 2).max(STEP));
            let taken = stream.total_in();
            let status = stream.compress_vec(left, out, FlushCompress::Sync);
            left = &left[(stream.total_in() - taken) as usize..];
            let is_stuck = !matches!(status, Ok(Status::Ok));
            if is_stuck || (left.is_empty() && out.len() < out.capacity()) {
                break;
            }
        }
        debug_assert!(left.is_empty() && out.ends_with(&TAIL), "a flush ends with an empty block");
        out.truncate(out.len().saturating_sub(TAIL.len()));
        if sent.keeps_context {
            self.stream = Some(stream);
        } else {
            spares.put_deflate(sent, level, stream);
        }
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("deflate", &self.deflate).finish_non_exhaustive()
    }
}
