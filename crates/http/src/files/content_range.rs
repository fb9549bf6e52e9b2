use std::fmt;

/// Which part of a whole a message carries: the `Content-Range` of a partial PUT or a 206
/// (RFC 9110 14.4 and 14.5).
///
/// ```
/// use ropewalk_http::files::ContentRange;
///
/// let range = ContentRange::parse(b"bytes 1000-1999/5000")?;
/// assert_eq!((range.first(), range.length(), range.total()), (1000, 1000, Some(5000)));
/// assert_eq!(range.to_string(), "bytes 1000-1999/5000");
/// # Ok::<(), ropewalk_http::files::BadContentRange>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

/// A `Content-Range` that says where no bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadContentRange;

impl fmt::Display for BadContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content-Range: expected \"bytes FIRST-LAST/TOTAL\" with FIRST <= LAST < TOTAL")
    }
}

impl std::error::Error for BadContentRange {}

impl ContentRange {
    /// Reads the value of the field.
    ///
    /// # Errors
    ///
    /// [`BadContentRange`] where it is malformed, of another unit, tells of no bytes (`bytes */5000`), or
    /// ends before it begins or behind the whole.
    pub fn parse(value: &[u8]) -> Result<Self, BadContentRange> {
        let text = str::from_utf8(value).map_err(|_| BadContentRange)?;
        let (unit, rest) = text.split_once(' ').ok_or(BadContentRange)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return Err(BadContentRange);
        }
        let (range, total) = rest.split_once('/').ok_or(BadContentRange)?;
        let (first, last) = range.split_once('-').ok_or(BadContentRange)?;
        let (first, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        // A range's length has to be a number too.
        if first > last || last == u64::MAX || total.is_some_and(|total| last >= total) {
            return Err(BadContentRange);
        }
        Ok(Self { first, last, total })
    }

    /// Where the first byte stands in the whole.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Where the first byte behind it would stand.
    pub fn end(&self) -> u64 {
        self.last + 1
    }

    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        self.end() - self.first
    }

    /// How many bytes the whole has, where that is known.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Whether it is the end of the whole.
    pub fn is_last(&self) -> bool {
        self.total == Some(self.end())
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

fn number(digits: &str) -> Result<u64, BadContentRange> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number).ok_or(BadContentRange)
}
