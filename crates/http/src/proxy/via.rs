//! The Via field (RFC 9110 7.6.3).

use std::error::Error;
use std::fmt;

use crate::codec::{is_blank, is_token};

/// How many hops a message may have behind it before it is taken to go in circles.
pub const VIA_HOPS_MAX: usize = 32;
/// How deep comments may nest.
const COMMENT_DEPTH_MAX: usize = 8;

/// One of those whom a message came by.
///
/// ```
/// use ropewalk_http::proxy::ViaHop;
///
/// let hops = ViaHop::parse(b"1.0 fred, 1.1 p.example.net:8080 (Apache/1.1)")?;
/// assert_eq!(hops[0].by, "fred");
/// assert_eq!(hops[1].to_string(), "1.1 p.example.net:8080 (Apache/1.1)");
/// # Ok::<(), ropewalk_http::proxy::BadVia>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViaHop {
    /// The protocol in which it received the message: a version of HTTP, or a name, a slash and a version.
    pub protocol: String,
    /// Its host and port, or a name that stands for them.
    pub by: String,
    /// What it says of itself, parentheses included.
    pub comment: Option<String>,
}

/// Why a Via field is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadVia {
    /// No protocol where one was expected, at this byte.
    Protocol(usize),
    /// Nobody who received the message, at this byte.
    By(usize),
    /// A comment that does not end, nests too deep or holds control bytes, at this byte.
    Comment(usize),
    /// Something behind an entry, at this byte.
    Comma(usize),
    /// More entries than [`VIA_HOPS_MAX`].
    TooMany,
}

impl fmt::Display for BadVia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(at) => write!(f, "expected a protocol at byte {at} of Via"),
            Self::By(at) => write!(f, "expected a host or a name at byte {at} of Via"),
            Self::Comment(at) => write!(f, "expected a comment at byte {at} of Via"),
            Self::Comma(at) => write!(f, "expected a comma at byte {at} of Via"),
            Self::TooMany => write!(f, "expected at most {VIA_HOPS_MAX} hops in Via"),
        }
    }
}

impl Error for BadVia {}

impl ViaHop {
    /// The hops in a field's value, in their order. Empty entries do not count (RFC 9110 5.6.1.2).
    ///
    /// # Errors
    ///
    /// If it is no such list.
    pub fn parse(value: &[u8]) -> Result<Vec<Self>, BadVia> {
        let mut hops = Vec::new();
        let mut at = 0;
        loop {
            at = skip_blanks(value, at);
            match value.get(at) {
                None => return Ok(hops),
                Some(b',') => {
                    at += 1;
                    continue;
                }
                Some(_) if hops.len() == VIA_HOPS_MAX => return Err(BadVia::TooMany),
                Some(_) => (),
            }
            let (hop, end) = Self::read(value, at)?;
            hops.push(hop);
            at = skip_blanks(value, end);
            if !matches!(value.get(at), None | Some(b',')) {
                return Err(BadVia::Comma(at));
            }
        }
    }

    fn read(value: &[u8], start: usize) -> Result<(Self, usize), BadVia> {
        let end = word_end(value, start);
        let protocol = &value[start..end];
        let parts: Vec<_> = protocol.split(|&byte| byte == b'/').collect();
        if parts.len() > 2 || !parts.into_iter().all(is_token) {
            return Err(BadVia::Protocol(start));
        }
        let by_start = skip_blanks(value, end);
        let by_end = word_end(value, by_start);
        let by = &value[by_start..by_end];
        if by.is_empty() || by_start == end || !by.iter().all(|&byte| is_of_host(byte)) {
            return Err(BadVia::By(by_start));
        }
        let after = skip_blanks(value, by_end);
        let comment = match value.get(after) {
            Some(b'(') if after > by_end => Some(comment_end(value, after)?),
            _ => None,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let hop = Self {
            protocol: text(protocol),
            by: text(by),
            comment: comment.map(|end| text(&value[after..end])),
        };
        Ok((hop, comment.unwrap_or(by_end)))
    }
}

impl fmt::Display for ViaHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.by)?;
        match &self.comment {
            Some(comment) => write!(f, " {comment}"),
            None => Ok(()),
        }
    }
}

fn skip_blanks(value: &[u8], at: usize) -> usize {
    let rest = value.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| is_blank(byte)).count()
}

fn word_end(value: &[u8], at: usize) -> usize {
    let rest = value.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&byte| !is_blank(byte) && byte != b',').count()
}

/// What hosts, ports and pseudonyms are made of.
const fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'"' | b'\\' | b'/' | b'<' | b'>' | b'@')
}

/// Where the comment that begins at `start` ends (RFC 9110 5.6.5).
fn comment_end(value: &[u8], start: usize) -> Result<usize, BadVia> {
    let bad = BadVia::Comment(start);
    let (mut at, mut depth) = (start, 0);
    loop {
        let byte = *value.get(at).ok_or(bad)?;
        at += 1;
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'\\' => {
                let quoted = *value.get(at).ok_or(bad)?;
                at += 1;
                if !matches!(quoted, b'\t' | b' '..=b'~') {
                    return Err(bad);
                }
            }
            b'\t' | b' '..=b'~' => (),
            _ => return Err(bad),
        }
        if depth == 0 {
            return Ok(at);
        }
        if depth > COMMENT_DEPTH_MAX {
            return Err(bad);
        }
    }
}
