//! Bytes to replies, and requests to bytes.

use std::io::Write;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ropewalk_framing::{Decoder as _, Ending, LineDecoder};

use crate::{BadReply, BadRequest};

/// The longest key, in bytes.
pub const KEY_MAX: usize = 250;

/// The longest line that a server may send, its end not counted, in bytes.
pub const LINE_MAX: usize = 2048;

/// The longest time that memcached counts from now; what is longer it takes for a date.
const RELATIVE_MAX: u64 = 30 * 24 * 60 * 60;
/// How much room is made for a value before any of it is there.
const ROOM_MAX: usize = 64 * 1024;

/// How long a value is kept, as far as memory allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// As long as there is room.
    #[default]
    Never,
    /// So long from when it is stored, in whole seconds rounded up; at most 30 days.
    After(Duration),
    /// Until this moment on the server's clock.
    At(SystemTime),
    /// It is not kept at all.
    Now,
}

impl Expiry {
    /// The number that stands for it.
    pub(crate) fn number(self) -> Result<i64, BadRequest> {
        Ok(match self {
            Self::Never => 0,
            Self::After(Duration::ZERO) | Self::Now => -1,
            Self::After(time) => {
                let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
                if seconds > RELATIVE_MAX {
                    return Err(BadRequest::FarExpiry);
                }
                seconds as i64
            }
            Self::At(moment) => {
                let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
                // Early in 1970 it would be taken for a time from now.
                if since.as_secs() <= RELATIVE_MAX { -1 } else { seconds }
            }
        })
    }
}

/// A key that can stand in a request.
pub(crate) fn check_key(key: &[u8]) -> Result<(), BadRequest> {
    if key.is_empty() {
        return Err(BadRequest::EmptyKey);
    }
    if key.len() > KEY_MAX {
        return Err(BadRequest::LongKey { length: key.len() });
    }
    match key.iter().find(|byte| **byte <= b' ' || **byte == 0x7f) {
        Some(&byte) => Err(BadRequest::KeyByte { byte }),
        None => Ok(()),
    }
}

/// Appends the words of a request and its end.
pub(crate) fn put_line(out: &mut Vec<u8>, words: &[&dyn Word]) {
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        word.put(out);
    }
    out.extend_from_slice(b"\r\n");
}

/// What can stand between spaces in a request.
pub(crate) trait Word {
    fn put(&self, out: &mut Vec<u8>);
}

impl Word for &[u8] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl Word for &str {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

macro_rules! number_word {
    ($($number:ty),*) => {$(
        impl Word for $number {
            fn put(&self, out: &mut Vec<u8>) {
                // Writing to a vector cannot fail.
                let _ = write!(out, "{self}");
            }
        }
    )*};
}

number_word!(i64, u32, u64, usize);

/// One thing that a server says: a line, or a value with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// `VALUE`: a value that was asked for.
    Value {
        /// Its key.
        key: Vec<u8>,
        /// What its owner keeps beside it.
        flags: u32,
        /// The number of this very version of it, if that was asked for.
        cas_unique: Option<u64>,
        /// The value.
        value: Bytes,
    },
    /// `END`: there are no more values or statistics.
    End,
    /// `STORED`.
    Stored,
    /// `NOT_STORED`: what the command asks for was not so.
    NotStored,
    /// `EXISTS`: somebody else has stored another version.
    Exists,
    /// `NOT_FOUND`: there is no such key.
    NotFound,
    /// `DELETED`.
    Deleted,
    /// `TOUCHED`.
    Touched,
    /// `OK`.
    Ok,
    /// `RESET`: statistics begin anew.
    Reset,
    /// What a value has become that was counted up or down.
    Number(u64),
    /// `STAT`.
    Stat {
        /// What is counted.
        name: String,
        /// How much, or how it is.
        value: String,
    },
    /// `VERSION`.
    Version(String),
    /// `ERROR`: the command is not known.
    Error,
    /// `CLIENT_ERROR`: the call is wrong.
    ClientError(String),
    /// `SERVER_ERROR`: it cannot be done.
    ServerError(String),
}

impl Reply {
    /// Reads a line that is not the head of a value.
    fn read(line: &[u8]) -> Result<Self, BadReply> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(reply) = Self::plain(line) {
            return Ok(reply);
        }
        let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        Ok(match word {
            b"ERROR" => Self::Error,
            b"CLIENT_ERROR" => Self::ClientError(text(rest)),
            b"SERVER_ERROR" => Self::ServerError(text(rest)),
            b"VERSION" => Self::Version(text(rest)),
            b"STAT" => {
                let at = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                let value = rest.get(at + 1..).unwrap_or_default();
                Self::Stat { name: text(&rest[..at]), value: text(value) }
            }
            // Counted down, a number may keep the width that it had, in spaces.
            _ => Self::Number(number(line.trim_ascii_end()).ok_or(BadReply::Unknown)?),
        })
    }

    /// The reply of a line that is one word and no more.
    fn plain(line: &[u8]) -> Option<Self> {
        Some(match line {
            b"END" => Self::End,
            b"STORED" => Self::Stored,
            b"NOT_STORED" => Self::NotStored,
            b"EXISTS" => Self::Exists,
            b"NOT_FOUND" => Self::NotFound,
            b"DELETED" => Self::Deleted,
            b"TOUCHED" => Self::Touched,
            b"OK" => Self::Ok,
            b"RESET" => Self::Reset,
            _ => return None,
        })
    }
}

/// Bytes to [`Reply`]s, pushed. After an error it is of no further use.
///
/// ```
/// use ropewalk_memcached::{Decoder, Reply};
///
/// let mut decoder = Decoder::new(1024);
/// let mut data = &b"STORED\r\nVALUE key 0 5\r\nhel"[..];
/// assert_eq!(decoder.feed(&mut data)?, Some(Reply::Stored));
/// assert_eq!(decoder.feed(&mut data)?, None);
/// let mut data = &b"lo\r\nEND\r\n"[..];
/// assert!(matches!(decoder.feed(&mut data)?, Some(Reply::Value { .. })));
/// assert_eq!(decoder.feed(&mut data)?, Some(Reply::End));
/// # Ok::<(), ropewalk_memcached::BadReply>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    lines: LineDecoder,
    value_max: usize,
    /// The value that is being read.
    unfinished: Option<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    key: Vec<u8>,
    flags: u32,
    cas_unique: Option<u64>,
    length: usize,
    value: Vec<u8>,
}

impl Decoder {
    /// A decoder of values of at most `value_max` bytes.
    pub fn new(value_max: usize) -> Self {
        let lines = LineDecoder::new(Ending::CrLf).line_max(LINE_MAX);
        Self { lines, value_max, unfinished: None }
    }

    /// Takes the next reply off the front of `data`; all of `data` if none is whole yet.
    ///
    /// # Errors
    ///
    /// If what comes next is no reply, or has a longer value than is allowed.
    pub fn feed(&mut self, data: &mut &[u8]) -> Result<Option<Reply>, BadReply> {
        if self.unfinished.is_none() {
            let Some(line) = self.lines.feed(data).map_err(|_| BadReply::Line)? else {
                return Ok(None);
            };
            match line.strip_prefix(b"VALUE ") {
                Some(head) => self.unfinished = Some(Unfinished::read(head, self.value_max)?),
                None => return Reply::read(line).map(Some),
            }
        }
        let Some(unfinished) = &mut self.unfinished else { return Ok(None) };
        if !unfinished.feed(data)? {
            return Ok(None);
        }
        let whole = self.unfinished.take();
        Ok(whole.map(|Unfinished { key, flags, cas_unique, value, .. }| Reply::Value {
            key,
            flags,
            cas_unique,
            value: value.into(),
        }))
    }
}

impl Unfinished {
    /// Reads what follows `VALUE`: a key, flags, a length, perhaps a version.
    fn read(head: &[u8], value_max: usize) -> Result<Self, BadReply> {
        let mut words = head.split(|byte| *byte == b' ');
        let key = words.next().filter(|key| check_key(key).is_ok()).ok_or(BadReply::Unknown)?;
        let mut next = || words.next().map(|word| number(word).ok_or(BadReply::Unknown));
        let flags = next().ok_or(BadReply::Unknown)??;
        let flags = u32::try_from(flags).map_err(|_| BadReply::Unknown)?;
        let length = next().ok_or(BadReply::Unknown)??;
        let cas_unique = next().transpose()?;
        if next().is_some() {
            return Err(BadReply::Unknown);
        }
        let long = BadReply::LongValue { length };
        let length = usize::try_from(length).ok().filter(|length| *length <= value_max);
        let length = length.ok_or(long)?;
        let value = Vec::with_capacity(length.min(ROOM_MAX) + 2);
        Ok(Self { key: key.to_vec(), flags, cas_unique, length, value })
    }

    /// Takes what belongs to the value and its end; whether it is whole.
    fn feed(&mut self, data: &mut &[u8]) -> Result<bool, BadReply> {
        let missing = self.length + 2 - self.value.len();
        let (more, rest) = data.split_at(missing.min(data.len()));
        self.value.extend_from_slice(more);
        *data = rest;
        // A wrong end is told as soon as it is seen, however it is cut.
        let end = self.value.get(self.length..).unwrap_or_default();
        if !b"\r\n".starts_with(end) {
            return Err(BadReply::Unended);
        }
        let is_whole = end.len() == 2;
        if is_whole {
            self.value.truncate(self.length);
        }
        Ok(is_whole)
    }
}

/// A number as memcached writes it: digits and nothing else.
fn number(word: &[u8]) -> Option<u64> {
    // A sign is none of a number's here.
    let digits = Some(word).filter(|word| word.iter().all(u8::is_ascii_digit))?;
    str::from_utf8(digits).ok()?.parse().ok()
}
