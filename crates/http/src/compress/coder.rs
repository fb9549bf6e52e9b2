//! Bytes into coded bytes.

use std::io::{self, Write};
use std::mem;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Coding;

/// The usual compromise between speed and size.
const GZIP_LEVEL: u32 = 6;
/// What is made for each answer is not worth brotli's last tenth of the way, which takes ten times as long.
const BROTLI_QUALITY: u32 = 4;
/// A window of 256 KiB: text repeats itself nearby, and the window is what a coder costs.
const BROTLI_WINDOW: u32 = 18;
const BROTLI_BUFFER: usize = 4 * 1024;
const ZSTD_LEVEL: i32 = 3;
/// RFC 9659: clients need not take a window over 8 MiB; 256 KiB here.
const ZSTD_WINDOW: u32 = 18;

/// One body on its way through an encoder.
pub(super) enum Coder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Coder {
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(out, Compression::new(GZIP_LEVEL))),
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(
                out,
                BROTLI_BUFFER,
                BROTLI_QUALITY,
                BROTLI_WINDOW,
            ))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW)?;
                Self::Zstd(encoder)
            }
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Has all that was written come out, so that a client can read it now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    /// What has come out since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Gzip(encoder) => mem::take(encoder.get_mut()),
            Self::Brotli(encoder) => mem::take(encoder.get_mut()),
            Self::Zstd(encoder) => mem::take(encoder.get_mut()),
        }
    }

    /// What comes out at the end.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok((*encoder).into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// A whole body at once.
pub(super) fn encode(coding: Coding, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut coder = Coder::new(coding)?;
    coder.write(bytes)?;
    let mut out = coder.take();
    out.extend(coder.finish()?);
    Ok(out)
}
