//! What connections lend one another, so that none of them keeps it while it idles.

use std::cell::{Cell, RefCell};
use std::fmt;

use flate2::{Compress, Compression, Decompress};

use super::deflate::Window;

/// The largest buffer that is kept for the next message, in bytes.
const BUFFER_MAX: usize = 64 * 1024;
/// How many random bytes are fetched at once.
const RANDOM_BYTES: usize = 1024;

/// Buffers and compressors that all connections with the same [`Options`](crate::Options) share.
#[derive(Default)]
pub(crate) struct Spares {
    buffer: Cell<Vec<u8>>,
    inflate: RefCell<Option<(u8, Decompress)>>,
    deflate: RefCell<Option<(u8, u32, Compress)>>,
    random: RefCell<Random>,
}

#[derive(Default)]
struct Random {
    bytes: Vec<u8>,
}

impl Spares {
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.buffer.take()
    }

    pub(super) fn put_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= BUFFER_MAX {
            buffer.clear();
            self.buffer.set(buffer);
        }
    }

    pub(super) fn take_inflate(&self, window: Window) -> Decompress {
        match self.inflate.take() {
            Some((bits, mut stream)) if bits == window.bits => {
                stream.reset(false);
                stream
            }
            _ => Decompress::new_with_window_bits(false, window.bits),
        }
    }

    pub(super) fn put_inflate(&self, window: Window, stream: Decompress) {
        self.inflate.replace(Some((window.bits, stream)));
    }

    pub(super) fn take_deflate(&self, window: Window, level: u32) -> Compress {
        match self.deflate.take() {
            Some((bits, its_level, mut stream)) if bits == window.bits && its_level == level => {
                stream.reset();
                stream
            }
            _ => Compress::new_with_window_bits(Compression::new(level), false, window.bits),
        }
    }

    pub(super) fn put_deflate(&self, window: Window, level: u32, stream: Compress) {
        self.deflate.replace(Some((window.bits, level, stream)));
    }

    /// A mask that nobody can foresee (RFC 6455 10.3).
    pub(crate) fn mask(&self) -> Result<[u8; 4], getrandom::Error> {
        let mut random = self.random.borrow_mut();
        if let Some((rest, mask)) = random.bytes.split_last_chunk::<4>() {
            let (mask, length) = (*mask, rest.len());
            random.bytes.truncate(length);
            return Ok(mask);
        }
        let mut fresh = vec![0; RANDOM_BYTES];
        getrandom::fill(&mut fresh)?;
        let mask = [fresh[0], fresh[1], fresh[2], fresh[3]];
        fresh.drain(..mask.len());
        random.bytes = fresh;
        Ok(mask)
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").finish_non_exhaustive()
    }
}
