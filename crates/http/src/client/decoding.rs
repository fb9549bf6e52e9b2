//! Content codings (RFC 9110 8.4.1), undone.

use std::io::{self, Write};
use std::mem;

use bytes::{Buf, Bytes};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::expand::Expander;
use crate::BodyError;

/// Coded bytes that are decoded at once: no more than 1,032 times as many come of them.
const SLICE: usize = 64;
/// Decoded bytes that make a piece.
const PIECE: usize = 32 * 1024;

/// A body on its way through a decoder; it decodes when it is asked for, so that little is kept.
pub(crate) struct Decoding {
    decoder: Decoder,
    coding: &'static str,
    /// What came and is not decoded.
    coded: Bytes,
    state: State,
    left: u64,
    max: u64,
}

#[derive(PartialEq)]
enum State {
    More,
    Ending,
    Over,
}

enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Raw(DeflateDecoder<Vec<u8>>),
    /// `br` and `zstd`, of which a few bytes may become very many.
    Expander(Box<Expander>),
    /// `deflate` before its first byte: most mean zlib by it, some do not.
    Unknown,
}

impl Decoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if matches!(self, Self::Unknown) {
            let is_zlib = bytes.first().is_some_and(|first| first & 0x0f == 8);
            *self = if is_zlib {
                Self::Zlib(ZlibDecoder::new(Vec::new()))
            } else {
                Self::Raw(DeflateDecoder::new(Vec::new()))
            };
        }
        match self {
            Self::Gzip(decoder) => decoder.write(bytes),
            Self::Zlib(decoder) => decoder.write(bytes),
            Self::Raw(decoder) => decoder.write(bytes),
            Self::Expander(decoder) => decoder.write(bytes),
            Self::Unknown => Ok(0),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Raw(decoder) => decoder.try_finish(),
            Self::Expander(decoder) => decoder.finish(),
            Self::Unknown => Ok(()),
        }
    }

    /// Whether more comes of what was taken in.
    fn has_more(&self) -> bool {
        matches!(self, Self::Expander(decoder) if decoder.has_more)
    }

    fn decoded(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Zlib(decoder) => Some(decoder.get_mut()),
            Self::Raw(decoder) => Some(decoder.get_mut()),
            Self::Expander(decoder) => Some(decoder.decoded()),
            Self::Unknown => None,
        }
    }
}

impl Decoding {
    /// The one for a coding, if it is known here.
    pub(crate) fn of(coding: &[u8], max: u64) -> Option<Self> {
        let (decoder, coding) = match coding.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" => (Decoder::Gzip(MultiGzDecoder::new(Vec::new())), "gzip"),
            b"deflate" => (Decoder::Unknown, "deflate"),
            b"br" => (Decoder::Expander(Box::new(Expander::brotli())), "br"),
            b"zstd" => (Decoder::Expander(Box::new(Expander::zstd().ok()?)), "zstd"),
            _ => return None,
        };
        Some(Self { decoder, coding, coded: Bytes::new(), state: State::More, left: max, max })
    }

    /// Takes the next coded piece, or hears that there is none.
    pub(crate) fn feed(&mut self, piece: Option<Bytes>) {
        match piece {
            Some(piece) => self.coded = piece,
            None => self.state = State::Ending,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The next decoded piece; `None` if more has to be fed, or it is over.
    pub(crate) fn step(&mut self) -> Result<Option<Bytes>, BodyError> {
        let bad = BodyError::BadCoding(self.coding);
        while !self.coded.is_empty() || self.decoder.has_more() {
            let slice = &self.coded[..self.coded.len().min(SLICE)];
            let had_more = self.decoder.has_more();
            let taken = match self.decoder.write(slice) {
                // What follows the end of a stream belongs to nobody.
                Ok(0) if !had_more && !self.decoder.has_more() => return Err(bad),
                Err(_) => return Err(bad),
                Ok(taken) => taken,
            };
            self.coded.advance(taken);
            if let Some(piece) = self.take(PIECE)? {
                return Ok(Some(piece));
            }
        }
        if self.state == State::Ending {
            self.decoder.finish().map_err(|_| bad)?;
            self.state = State::Over;
        }
        self.take(1)
    }

    /// What is decoded, if it is at least so much.
    fn take(&mut self, least: usize) -> Result<Option<Bytes>, BodyError> {
        let Some(decoded) = self.decoder.decoded().filter(|decoded| decoded.len() >= least) else {
            return Ok(None);
        };
        let piece = mem::take(decoded);
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or(BodyError::DecodedTooLong { max: self.max })?;
        Ok(Some(piece.into()))
    }
}
