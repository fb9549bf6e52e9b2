use std::fmt;

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, HeaderValue};

use crate::middleware::preferred;

/// A content coding (RFC 9110 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coding {
    /// `gzip`, which everybody knows.
    Gzip,
    /// `br`: the smallest for text, and slower.
    Brotli,
    /// `zstd`: nearly as small, and fast.
    Zstd,
}

impl Coding {
    /// As `Content-Encoding` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// How files in it are usually called, behind their own name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
        }
    }

    pub(crate) const fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A client takes none of the codings there are, and not the plain thing either (`identity;q=0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcceptable;

impl fmt::Display for NotAcceptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client accepts no coding that there is, and refuses what has none")
    }
}

impl std::error::Error for NotAcceptable {}

/// Which of `offers` to send to a client by its `Accept-Encoding` (RFC 9110 12.5.3); `None` is the plain
/// thing.
///
/// Of codings that it likes as well, the first is taken. The plain thing is taken where the client says
/// nothing, or likes it better.
///
/// # Errors
///
/// [`NotAcceptable`]: the answer is 406.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};
/// use ropewalk_http::compress::{Coding, NotAcceptable, negotiate};
///
/// let client = |accepted| HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
/// let offers = [Coding::Zstd, Coding::Gzip];
/// assert_eq!(negotiate(&client("gzip, br;q=0.5"), &offers), Ok(Some(Coding::Gzip)));
/// assert_eq!(negotiate(&client("zstd;q=0.5, gzip;q=0.5"), &offers), Ok(Some(Coding::Zstd)));
/// assert_eq!(negotiate(&client("br"), &offers), Ok(None));
/// assert_eq!(negotiate(&client("br, identity;q=0"), &offers), Err(NotAcceptable));
/// ```
pub fn negotiate(headers: &HeaderMap, offers: &[Coding]) -> Result<Option<Coding>, NotAcceptable> {
    if !headers.contains_key(ACCEPT_ENCODING) {
        return Ok(None);
    }
    let mut names: Vec<&str> = offers.iter().map(|coding| coding.name()).collect();
    names.push("identity");
    let gzip = offers.iter().copied().find(|coding| *coding == Coding::Gzip);
    // RFC 9110 8.4.1.3: an old name of gzip, for those alone who use it.
    if gzip.is_some() && names_x_gzip(headers) {
        names.push("x-gzip");
    }
    match preferred(headers, &ACCEPT_ENCODING, &names) {
        Some(place) if place == offers.len() => Ok(None),
        Some(place) => Ok(offers.get(place).copied().or(gzip)),
        None => Err(NotAcceptable),
    }
}

fn names_x_gzip(headers: &HeaderMap) -> bool {
    let members = headers.get_all(ACCEPT_ENCODING).iter();
    let mut members = members.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    members.any(|member| {
        let name = member.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"x-gzip")
    })
}
