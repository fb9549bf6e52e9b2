use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// The last second that four digits of a year can tell.
const SECOND_MAX: u64 = 253_402_300_799;

/// A moment as responses name it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 5.6.7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Date {
    line: [u8; Self::LINE.len()],
}

impl Date {
    /// The whole field, as most responses want it.
    const LINE: [u8; 37] = *b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    const BEFORE: usize = b"date: ".len();

    /// The date of a moment, in seconds since 1970 began.
    ///
    /// What lies beyond the year 9999 is its last second.
    pub fn at(unix_seconds: u64) -> Self {
        let time = UNIX_EPOCH + Duration::from_secs(unix_seconds.min(SECOND_MAX));
        let formatted = httpdate::fmt_http_date(time);
        let mut line = Self::LINE;
        for (to, from) in line[Self::BEFORE..].iter_mut().zip(formatted.bytes()) {
            *to = from;
        }
        Self { line }
    }

    /// The date as it goes over the wire.
    pub fn as_bytes(&self) -> &[u8; 29] {
        const { assert!(Self::LINE.len() == Self::BEFORE + 29 + 2) };
        match self.line[Self::BEFORE..].first_chunk() {
            Some(text) => text,
            None => unreachable!("the line is longer than that"),
        }
    }

    /// The date as a field, with its name and the end of its line.
    pub(super) fn as_line(&self) -> &[u8; Self::LINE.len()] {
        &self.line
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(self.as_bytes()).unwrap_or_default())
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes a new [`Date`] only when the second is a new one.
#[derive(Clone, Debug)]
pub struct DateCache {
    second: u64,
    date: Date,
}

impl Default for DateCache {
    fn default() -> Self {
        Self { second: 0, date: Date::at(0) }
    }
}

impl DateCache {
    /// The date of a moment, in seconds since 1970 began.
    pub fn at(&mut self, unix_seconds: u64) -> &Date {
        if self.second != unix_seconds {
            *self = Self { second: unix_seconds, date: Date::at(unix_seconds) };
        }
        &self.date
    }

    /// The date that was made last; the beginning of 1970 if none was.
    pub fn last(&self) -> &Date {
        &self.date
    }
}
