//! Codings of which a few bytes may stand for very many: what comes out is asked for in pieces.

use std::fmt;
use std::io;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation as _, OutBuffer};
use zstd::zstd_safe::DParameter;

/// RFC 9659: a frame of zstd that wants a window over 8 MiB need not be taken.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// How much comes out at a time, in bytes.
const STEP: usize = 32 * 1024;

/// A decoder that gives a piece at a time, however much there would be.
pub(super) struct Expander {
    kind: Kind,
    out: Vec<u8>,
    /// There may be more of what was taken in.
    pub(super) has_more: bool,
    has_ended: bool,
    has_begun: bool,
}

enum Kind {
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(ZstdDecoder<'static>),
}

impl Expander {
    pub(super) fn brotli() -> Self {
        let alloc = StandardAlloc::default;
        Self::new(Kind::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc()))))
    }

    pub(super) fn zstd() -> io::Result<Self> {
        let mut decoder = ZstdDecoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Self::new(Kind::Zstd(decoder)))
    }

    const fn new(kind: Kind) -> Self {
        Self { kind, out: Vec::new(), has_more: false, has_ended: false, has_begun: false }
    }

    pub(super) fn decoded(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Takes some of `bytes`, and gives at most a piece for it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let start = self.out.len();
        self.out.resize(start + STEP, 0);
        self.has_begun |= !bytes.is_empty();
        let (taken, given) = match &mut self.kind {
            Kind::Brotli(_) if self.has_ended => return Err(bad()),
            Kind::Brotli(state) => {
                let (mut left, mut taken) = (bytes.len(), 0);
                let (mut room, mut given, mut total) = (STEP, 0, 0);
                let out = &mut self.out[start..];
                let result = BrotliDecompressStream(
                    &mut left, &mut taken, bytes, &mut room, &mut given, out, &mut total, state,
                );
                match result {
                    BrotliResult::ResultSuccess => self.has_ended = true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => (),
                    BrotliResult::ResultFailure => return Err(bad()),
                }
                self.has_more = matches!(result, BrotliResult::NeedsMoreOutput);
                (taken, given)
            }
            Kind::Zstd(decoder) => {
                let mut input = InBuffer::around(bytes);
                let mut output = OutBuffer::around(&mut self.out[start..]);
                let hint = decoder.run(&mut input, &mut output)?;
                let (taken, given) = (input.pos(), output.pos());
                // Nothing in and nothing out tells nothing of whether a frame is over.
                if taken > 0 || given > 0 {
                    self.has_ended = hint == 0;
                }
                self.has_more = given == STEP;
                (taken, given)
            }
        };
        self.out.truncate(start + given);
        Ok(taken)
    }

    /// # Errors
    ///
    /// If it broke off. Nothing at all is no brotli, and no frame of zstd is nothing.
    pub(super) fn finish(&self) -> io::Result<()> {
        let may_be_nothing = matches!(self.kind, Kind::Zstd(_)) && !self.has_begun;
        if self.has_ended || may_be_nothing {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl fmt::Debug for Expander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}
