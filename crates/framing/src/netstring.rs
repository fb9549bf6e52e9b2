//! Netstrings ([D. J. Bernstein's text](https://cr.yp.to/proto/netstrings.txt)).

use std::fmt;
use std::io::Write as _;

use crate::{Extent, LengthDecoder, Measure, TooLong};

/// The most digits that the length of a netstring has.
const DIGITS_MAX: usize = 19;

/// A length in decimal digits, a colon, so many bytes, a comma.
///
/// ```
/// use ropewalk_framing::{Decoder, LengthDecoder, Netstring};
///
/// let mut out = Vec::new();
/// Netstring.encode(b"hello world!", &mut out);
/// assert_eq!(out, b"12:hello world!,");
///
/// let mut strings = LengthDecoder::new(Netstring);
/// assert_eq!(strings.feed(&mut &out[..])?, Some(&b"hello world!"[..]));
/// # Ok::<(), ropewalk_framing::BadNetstring>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Netstring;

/// Bytes to netstrings.
pub type NetstringDecoder = LengthDecoder<Netstring>;

impl Netstring {
    /// Appends `bytes` as a netstring to `out`.
    pub fn encode(self, bytes: &[u8], out: &mut Vec<u8>) {
        // A vector takes all that is written to it.
        let _ = write!(out, "{}:", bytes.len());
        out.extend_from_slice(bytes);
        out.push(b',');
    }
}

/// Why bytes are no netstring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadNetstring {
    /// The peer sends a longer one than is taken.
    TooLong(TooLong),
    /// The peer sent something other than a digit or a colon in the length, or a colon alone.
    NoLength,
    /// The peer sent a length with a zero in front, or one beyond all measure.
    BadLength,
    /// The peer sent no comma at the end.
    NoComma,
}

impl fmt::Display for BadNetstring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong(_) => "a netstring is too long",
            Self::NoLength => "a netstring does not begin with its length",
            Self::BadLength => "a netstring's length is no proper number",
            Self::NoComma => "a netstring does not end in a comma",
        })
    }
}

impl std::error::Error for BadNetstring {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLong(inner) => Some(inner),
            Self::NoLength | Self::BadLength | Self::NoComma => None,
        }
    }
}

impl From<TooLong> for BadNetstring {
    fn from(error: TooLong) -> Self {
        Self::TooLong(error)
    }
}

impl Measure for Netstring {
    type Error = BadNetstring;
    const FRONT_MAX: usize = DIGITS_MAX + 1;

    fn measure(&self, front: &[u8]) -> Result<Option<Extent>, BadNetstring> {
        let mut body: u64 = 0;
        for (index, byte) in front.iter().enumerate() {
            match byte {
                b'0'..=b'9' if index == 1 && body == 0 => return Err(BadNetstring::BadLength),
                b'0'..=b'9' if index == DIGITS_MAX => return Err(BadNetstring::BadLength),
                b'0'..=b'9' => body = body * 10 + u64::from(byte - b'0'),
                b':' if index > 0 => {
                    return Ok(Some(Extent { head: index + 1, body, tail: 1 }));
                }
                _ => return Err(BadNetstring::NoLength),
            }
        }
        Ok(None)
    }

    fn check_tail(&self, tail: &[u8]) -> Result<(), BadNetstring> {
        if tail == b"," { Ok(()) } else { Err(BadNetstring::NoComma) }
    }
}
