//! Length prefixes.

use crate::{Extent, LengthDecoder, Measure, TooLong};

/// A number of one, two or four bytes before each frame, which says how long it is.
///
/// ```
/// use ropewalk_framing::{Decoder, LengthDecoder, Prefix};
///
/// let mut out = Vec::new();
/// Prefix::U16.encode(b"hello", &mut out)?;
/// assert_eq!(out, b"\x00\x05hello");
///
/// let mut frames = LengthDecoder::new(Prefix::U16);
/// assert_eq!(frames.feed(&mut &out[..])?, Some(&b"hello"[..]));
/// # Ok::<(), ropewalk_framing::TooLong>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prefix {
    /// One byte: frames of up to 255 bytes.
    U8,
    /// Two bytes, the higher first: frames of up to 65,535 bytes.
    U16,
    /// Two bytes, the lower first.
    U16Le,
    /// Four bytes, the highest first: frames as long as the decoder allows.
    U32,
    /// Four bytes, the lowest first.
    U32Le,
}

/// Bytes to frames with a [`Prefix`].
pub type PrefixDecoder = LengthDecoder<Prefix>;

impl Prefix {
    /// How many bytes the number takes up.
    pub const fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::U16Le => 2,
            Self::U32 | Self::U32Le => 4,
        }
    }

    /// The longest frame that the number can tell of, in bytes.
    pub const fn max(self) -> usize {
        match self {
            Self::U8 => u8::MAX as usize,
            Self::U16 | Self::U16Le => u16::MAX as usize,
            Self::U32 | Self::U32Le => u32::MAX as usize,
        }
    }

    /// Appends `frame` and the number before it to `out`.
    ///
    /// # Errors
    ///
    /// If the number cannot be so large; nothing is appended then.
    pub fn encode(self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
        let length = frame.len();
        if length > self.max() {
            return Err(TooLong { length: length as u64, max: self.max() });
        }
        match self {
            Self::U8 => out.push(length as u8),
            Self::U16 => out.extend_from_slice(&(length as u16).to_be_bytes()),
            Self::U16Le => out.extend_from_slice(&(length as u16).to_le_bytes()),
            Self::U32 => out.extend_from_slice(&(length as u32).to_be_bytes()),
            Self::U32Le => out.extend_from_slice(&(length as u32).to_le_bytes()),
        }
        out.extend_from_slice(frame);
        Ok(())
    }
}

impl Measure for Prefix {
    type Error = TooLong;
    const FRONT_MAX: usize = 4;

    fn measure(&self, front: &[u8]) -> Result<Option<Extent>, TooLong> {
        let head = self.size();
        let Some(number) = front.get(..head) else { return Ok(None) };
        let body = match (self, number) {
            (_, &[a]) => u32::from(a),
            (Self::U16, &[a, b]) => u16::from_be_bytes([a, b]).into(),
            (_, &[a, b]) => u16::from_le_bytes([a, b]).into(),
            (Self::U32, &[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
            (_, &[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => return Ok(None),
        };
        Ok(Some(Extent { head, body: body.into(), tail: 0 }))
    }
}
