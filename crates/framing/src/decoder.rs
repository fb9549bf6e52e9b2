//! What all decoders have in common.

use std::error::Error;

/// Bytes to frames, pushed: it is fed slices and answers one frame after the other.
///
/// A frame that lies whole in the slice is lent from there; only an unfinished rest is kept. However
/// the same bytes are cut, the frames are the same.
pub trait Decoder: 'static {
    /// What is wrong with bytes that are no frame.
    type Error: Error + 'static;

    /// Takes the next frame off the front of `data`; all of `data` if no frame is finished yet.
    ///
    /// # Errors
    ///
    /// If what comes next is no frame, or a longer one than is allowed.
    fn feed<'f, 'd: 'f>(&'f mut self, data: &mut &'d [u8])
    -> Result<Option<&'f [u8]>, Self::Error>;

    /// Takes out what was kept of an unfinished frame: its first bytes as they came.
    fn take_rest(&mut self) -> Vec<u8>;
}

/// What is kept of an unfinished frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest {
    bytes: Vec<u8>,
    /// The bytes are those of a finished frame, lent until the next call.
    is_lent: bool,
}

impl Rest {
    /// The bytes, after those that were lent are forgotten. Nothing kept is no memory held.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if std::mem::take(&mut self.is_lent) {
            self.bytes = Vec::new();
        }
        &mut self.bytes
    }

    pub(crate) fn lend(&mut self) -> &[u8] {
        self.is_lent = true;
        &self.bytes
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.bytes().is_empty()
    }

    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.bytes())
    }
}
