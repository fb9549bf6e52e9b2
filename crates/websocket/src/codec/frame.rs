//! Frames: their heads and their masks (RFC 6455 5.2, 5.3).

use super::error::BadFrame;

/// The longest payload of a control frame, in bytes (RFC 6455 5.5).
pub const CONTROL_MAX: usize = 125;

/// Says that the length stands in the next two bytes.
const SHORT: u8 = 0x7E;
/// Says that the length stands in the next eight bytes.
const LONG: u8 = 0x7F;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpCode {
    /// More of the message before.
    Continuation,
    /// The first of a text.
    Text,
    /// The first of bytes.
    Binary,
    /// The end of the conversation.
    Close,
    /// A question whether the peer is there.
    Ping,
    /// The answer to it.
    Pong,
}

impl OpCode {
    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// The one with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it speaks of the conversation rather than being part of it.
    pub const fn is_control(self) -> bool {
        self.number() & 8 != 0
    }
}

/// The head of a frame.
///
/// ```
/// use ropewalk_websocket::{FrameHead, OpCode};
///
/// let head =
///     FrameHead { is_final: true, is_compressed: false, opcode: OpCode::Text, mask: None, length: 5 };
/// let mut out = Vec::new();
/// head.encode(&mut out);
/// assert_eq!(out, [0x81, 5]);
/// assert_eq!(FrameHead::read(&out), Ok(Some((head, 2))));
/// assert_eq!(FrameHead::read(&out[..1]), Ok(None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Whether its message ends with it.
    pub is_final: bool,
    /// Whether its message is compressed (RSV1, RFC 7692 6).
    pub is_compressed: bool,
    /// What it is.
    pub opcode: OpCode,
    /// What its payload is masked with.
    pub mask: Option<[u8; 4]>,
    /// How long its payload is, in bytes.
    pub length: u64,
}

impl FrameHead {
    /// The longest head, in bytes.
    pub const MAX: usize = 14;

    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let first =
            u8::from(self.is_final) << 7 | u8::from(self.is_compressed) << 6 | self.opcode.number();
        let masked = u8::from(self.mask.is_some()) << 7;
        if self.length <= CONTROL_MAX as u64 {
            out.extend_from_slice(&[first, masked | self.length as u8]);
        } else if let Ok(length) = u16::try_from(self.length) {
            let [high, low] = length.to_be_bytes();
            out.extend_from_slice(&[first, masked | SHORT, high, low]);
        } else {
            out.extend_from_slice(&[first, masked | LONG]);
            out.extend_from_slice(&self.length.to_be_bytes());
        }
        if let Some(mask) = self.mask {
            out.extend_from_slice(&mask);
        }
    }

    /// Reads the head at the beginning of `data`, and says how long it is; `None` if it is not whole.
    ///
    /// # Errors
    ///
    /// If no frame begins so. Whether a frame may come now, and masked, is the
    /// [`Decoder`](crate::Decoder)'s to say.
    pub fn read(data: &[u8]) -> Result<Option<(Self, usize)>, BadFrame> {
        let &[first, second, ref rest @ ..] = data else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err(BadFrame::ReservedBits);
        }
        let number = first & 0x0F;
        let opcode = OpCode::from_number(number).ok_or(BadFrame::OpCode { number })?;
        let (is_final, short) = (first & 0x80 != 0, second & 0x7F);
        if opcode.is_control() {
            if !is_final {
                return Err(BadFrame::FragmentedControl);
            }
            if usize::from(short) > CONTROL_MAX {
                return Err(BadFrame::LongControl);
            }
        }
        let (length, rest) = match short {
            SHORT => {
                let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*bytes)), rest)
            }
            LONG => {
                let Some((bytes, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*bytes), rest)
            }
            short => (u64::from(short), rest),
        };
        let shortest = match short {
            SHORT => CONTROL_MAX as u64 + 1,
            LONG => u64::from(u16::MAX) + 1,
            _ => 0,
        };
        if length < shortest || length >> 63 != 0 {
            return Err(BadFrame::Length);
        }
        let mut mask = None;
        let mut rest = rest;
        if second & 0x80 != 0 {
            let Some((bytes, after)) = rest.split_first_chunk() else { return Ok(None) };
            (mask, rest) = (Some(*bytes), after);
        }
        let is_compressed = first & 0x40 != 0;
        let head = Self { is_final, is_compressed, opcode, mask, length };
        Ok(Some((head, data.len() - rest.len())))
    }
}

/// Masks `payload`, or takes its mask off (RFC 6455 5.3). It begins `offset` bytes into its frame's.
pub(super) fn apply_mask(payload: &mut [u8], mask: [u8; 4], offset: u64) {
    let mut mask = mask;
    mask.rotate_left((offset % 4) as usize);
    let word = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
