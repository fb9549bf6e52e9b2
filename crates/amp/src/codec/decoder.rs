use std::error::Error;
use std::fmt;

use super::{Fields, KEY_MAX};

/// How much of everything one connection may take up.
///
/// | limit | default | beyond it |
/// |---|--:|---|
/// | [`KEY_MAX`], [`VALUE_MAX`](super::VALUE_MAX) | 255 and 65,535 bytes, by the protocol | [`BadField`](crate::BadField) before sending |
/// | `keys_max` | 1,024 | [`BadBox::Keys`], closed |
/// | `box_max` | 1 MiB | [`BadBox::Long`], closed |
/// | `requests_max` | 4,096 | an error for the caller, then closed |
/// | `calls_max` | 65,536 | [`CallError::TooMany`](crate::CallError::TooMany) |
/// | `descriptors_max` | 64 | the oldest is closed; more at once end the connection |
/// | `output_max` | 16 MiB | [`Overflowed`](ropewalk_protocol::Disconnect::Overflowed) |
///
/// ```
/// # use ropewalk_amp::Limits;
/// let small = Limits { box_max: 4096, ..Limits::default() };
/// assert_eq!(small.keys_max, 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Keys in one box that is received.
    pub keys_max: usize,
    /// Bytes of one box that is received, all its lengths counted.
    pub box_max: usize,
    /// The peer's calls that wait for an answer of ours.
    pub requests_max: usize,
    /// Our calls that wait for the peer's answer.
    pub calls_max: usize,
    /// Descriptors that came and no box has claimed; none are accepted where it is 0.
    pub descriptors_max: usize,
    /// Bytes written and not yet taken by the peer.
    pub output_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys_max: 1024,
            box_max: 1024 * 1024,
            requests_max: 4096,
            calls_max: 65_536,
            descriptors_max: 64,
            output_max: 16 * 1024 * 1024,
        }
    }
}

/// Why bytes are no box. The peer broke a rule, or went beyond a limit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadBox {
    /// A key says that it has this many bytes, which is more than [`KEY_MAX`].
    KeyLength(u16),
    /// The same key stands in it twice.
    SameKey,
    /// It has more keys than [`Limits::keys_max`].
    Keys,
    /// It has more bytes than [`Limits::box_max`].
    Long,
    /// It is no request, no answer and no error: an empty box, perhaps.
    NoMeaning,
    /// It answers a call that was never made, or was answered already.
    UnknownTag,
    /// It is an error without a code or a description.
    BareError,
}

impl fmt::Display for BadBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyLength(length) => {
                return write!(f, "a key of {length} bytes, where {KEY_MAX} are allowed");
            }
            Self::SameKey => "a box that has a key twice",
            Self::Keys => "a box with too many keys",
            Self::Long => "a box that is too long",
            Self::NoMeaning => "a box that is no request, no answer and no error",
            Self::UnknownTag => "an answer to a call that does not wait for one",
            Self::BareError => "an error without a code or a description",
        })
    }
}

impl Error for BadBox {}

/// Finds boxes in bytes that arrive in any pieces.
///
/// A box that lies whole in what is fed is looked at where it is; only an unfinished one is kept.
///
/// ```
/// # use ropewalk_amp::{Decoder, Limits};
/// let mut decoder = Decoder::default();
/// let mut bytes = &b"\0\x05total\0\x0294\0\0\0\x01"[..];
/// let limits = Limits::default();
///
/// let total = decoder.feed(&mut bytes, &limits)?.and_then(|fields| fields.value(b"total"));
/// assert_eq!(total, Some(&b"94"[..]));
/// assert_eq!(decoder.feed(&mut bytes, &limits)?, None);
/// assert!(bytes.is_empty());
/// # Ok::<(), ropewalk_amp::BadBox>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a box whose end has not come, or a box that was given out.
    kept: Vec<u8>,
    scan: Scan,
    is_given: bool,
}

/// How far a box has been looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// All before this is whole fields.
    at: usize,
    keys: usize,
}

/// What a look at the beginning of a box tells.
enum Seen {
    /// The box is this long.
    Whole(usize),
    /// It cannot be judged before it has this many bytes.
    Needs(usize),
}

impl Scan {
    /// Looks on where it stopped, in a box that begins with `bytes`.
    fn go_on(&mut self, bytes: &[u8], limits: &Limits) -> Result<Seen, BadBox> {
        loop {
            let needed = needs(self.at + 2, limits)?;
            let Some(key) = length_at(bytes, self.at) else { return Ok(needed) };
            let value_at = self.at + 2 + usize::from(key);
            match key {
                0 => return Ok(Seen::Whole(self.at + 2)),
                256.. => return Err(BadBox::KeyLength(key)),
                _ if self.keys == limits.keys_max => return Err(BadBox::Keys),
                _ => (),
            }
            let Some(value) = length_at(bytes, value_at) else {
                return needs(value_at + 2, limits);
            };
            let end = value_at + 2 + usize::from(value);
            if bytes.len() < end {
                return needs(end, limits);
            }
            *self = Self { at: end, keys: self.keys + 1 };
        }
    }
}

fn length_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|length| u16::from_be_bytes(*length))
}

fn needs(length: usize, limits: &Limits) -> Result<Seen, BadBox> {
    if length > limits.box_max { Err(BadBox::Long) } else { Ok(Seen::Needs(length)) }
}

impl Decoder {
    /// Takes bytes off the front of `data` and answers the next box, or `None` once all bytes are
    /// taken and the next box has not come to its end.
    ///
    /// # Errors
    ///
    /// If what comes is no box. Feed it nothing more then.
    pub fn feed<'s, 'd: 's>(
        &'s mut self,
        data: &mut &'d [u8],
        limits: &Limits,
    ) -> Result<Option<Fields<'s>>, BadBox> {
        if std::mem::take(&mut self.is_given) {
            // Given back to the system: an idle connection keeps no buffer.
            self.kept = Vec::new();
        }
        if self.kept.is_empty() {
            let mut scan = Scan::default();
            match scan.go_on(data, limits)? {
                Seen::Whole(length) => {
                    let (whole, rest) = data.split_at(length);
                    *data = rest;
                    return judge(whole);
                }
                Seen::Needs(_) => {
                    self.scan = scan;
                    self.kept.extend_from_slice(data);
                    *data = &[];
                    return Ok(None);
                }
            }
        }
        loop {
            match self.scan.go_on(&self.kept, limits)? {
                Seen::Whole(_) => {
                    self.is_given = true;
                    self.scan = Scan::default();
                    return judge(&self.kept);
                }
                Seen::Needs(_) if data.is_empty() => return Ok(None),
                Seen::Needs(length) => {
                    // No byte more than that: what comes after the box belongs to somebody else.
                    let missing = (length - self.kept.len()).min(data.len());
                    let (taken, rest) = data.split_at(missing);
                    self.kept.extend_from_slice(taken);
                    *data = rest;
                }
            }
        }
    }

    /// Takes the beginning of a box whose end has not come.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.scan = Scan::default();
        let rest = std::mem::take(&mut self.kept);
        if std::mem::take(&mut self.is_given) { Vec::new() } else { rest }
    }
}

/// A whole box, unless it says the same key twice.
fn judge(whole: &[u8]) -> Result<Option<Fields<'_>>, BadBox> {
    let fields = Fields::new(&whole[..whole.len() - 2]);
    if fields.are_distinct() { Ok(Some(fields)) } else { Err(BadBox::SameKey) }
}
