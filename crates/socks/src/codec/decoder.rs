//! Bytes to messages, whatever these are.

use crate::error::BadMessage;

/// The longest message of any kind: a request of version 4 with a user and a name.
pub const MESSAGE_MAX: usize = 8 + 2 * 256;

/// Something that is read from bytes.
pub trait Message: Sized {
    /// Reads one from the front of what there is.
    ///
    /// # Errors
    ///
    /// If there is too little of it, or what there is is none.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop>;
}

/// Why reading stopped.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// There is too little.
    More,
    /// This is no message.
    Bad(BadMessage),
}

impl From<BadMessage> for Stop {
    fn from(bad: BadMessage) -> Self {
        Self::Bad(bad)
    }
}

/// Bytes that are read from their front.
#[derive(Debug)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn peek(&self) -> Result<u8, Stop> {
        self.bytes.get(self.at).copied().ok_or(Stop::More)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Stop> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let bytes = self.bytes[self.at..].first_chunk().ok_or(Stop::More)?;
        self.at += N;
        Ok(*bytes)
    }

    pub(super) fn port(&mut self) -> Result<u16, Stop> {
        self.array().map(u16::from_be_bytes)
    }

    /// Bytes with their number in front.
    pub(super) fn counted(&mut self) -> Result<&'b [u8], Stop> {
        let length = usize::from(self.byte()?);
        let bytes = self.bytes[self.at..].get(..length).ok_or(Stop::More)?;
        self.at += length;
        Ok(bytes)
    }

    /// Bytes up to a zero, `max` at most.
    pub(super) fn until_zero(&mut self, max: usize, long: BadMessage) -> Result<&'b [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().take(max + 1).position(|byte| *byte == 0) else {
            return Err(if rest.len() > max { long.into() } else { Stop::More });
        };
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'b [u8] {
        &self.bytes[self.at..]
    }
}

/// Bytes to messages: it is told which kind comes next, and keeps what came of an unfinished one.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    rest: Vec<u8>,
}

impl Decoder {
    /// Takes a message off the front of `data`; all of `data` if it is not finished yet.
    ///
    /// # Errors
    ///
    /// If what came is none, as soon as that shows.
    pub fn feed<M: Message>(&mut self, data: &mut &[u8]) -> Result<Option<M>, BadMessage> {
        if self.rest.is_empty() {
            let Some((message, length)) = read(data)? else {
                self.rest.extend_from_slice(data);
                *data = &[];
                return Ok(None);
            };
            *data = &data[length..];
            return Ok(Some(message));
        }
        let before = self.rest.len();
        // No message is longer: with so much, it is finished or none.
        let more = data.len().min(MESSAGE_MAX.saturating_sub(before));
        self.rest.extend_from_slice(&data[..more]);
        let Some((message, length)) = read(&self.rest)? else {
            *data = &data[more..];
            return Ok(None);
        };
        // Without its last bytes it was not finished, so some of `data` belong to it.
        *data = &data[length - before..];
        self.rest = Vec::new();
        Ok(Some(message))
    }
}

fn read<M: Message>(bytes: &[u8]) -> Result<Option<(M, usize)>, BadMessage> {
    let mut reader = Reader::new(bytes);
    match M::read(&mut reader) {
        Ok(message) => Ok(Some((message, reader.at))),
        Err(Stop::More) => Ok(None),
        Err(Stop::Bad(bad)) => Err(bad),
    }
}
