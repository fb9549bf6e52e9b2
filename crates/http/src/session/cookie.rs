//! Cookies as a server reads and sets them (RFC 6265).

use std::error::Error;
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::COOKIE_BYTES_MAX;

/// How many cookies of one request are looked at.
pub const COOKIES_READ_MAX: usize = 100;

/// The cookies of a request, names and values as they came. What is none is passed over, as is what comes
/// behind the first [`COOKIES_READ_MAX`].
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::COOKIE};
/// use ropewalk_http::session::cookies;
///
/// let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("a=1; b=\"two\""))]);
/// assert_eq!(cookies(&headers).collect::<Vec<_>>(), [("a", "1"), ("b", "two")]);
/// ```
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';'));
    let pairs = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        let inside = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some((name.trim(), inside.unwrap_or(value)))
    });
    pairs.filter(|(name, _)| !name.is_empty()).take(COOKIES_READ_MAX)
}

/// The value of the first cookie of this name.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    cookies(headers).find(|(other, _)| *other == name).map(|(_, value)| value)
}

/// With which requests of other sites' pages a cookie goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// With none.
    Strict,
    /// With those alone by which a person goes to a page.
    Lax,
    /// With all; it has to be [secure](SetCookie::in_clear) then.
    None,
}

/// A cookie to be set.
///
/// Unless told otherwise it is for encrypted connections (`Secure`), not for scripts (`HttpOnly`), not for what
/// other sites' pages ask (`SameSite=Lax`), for the host alone that sets it, for all its paths, and until the browser is
/// closed.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_http::session::SetCookie;
///
/// let cookie = SetCookie::new("theme", "dark")?.max_age(Duration::from_secs(3600));
/// assert_eq!(cookie.to_value()?, "theme=dark; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax");
/// # Ok::<(), ropewalk_http::session::BadCookie>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie {
    name: String,
    value: String,
    path: String,
    domain: Option<String>,
    max_age: Option<Duration>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
}

/// Why something cannot be a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadCookie {
    /// Its name is no token.
    Name,
    /// Its value has letters that a cookie cannot have: blanks, quotes, commas, semicolons, backslashes,
    /// or others than ASCII.
    Value,
    /// Its path does not begin with a slash, or has a semicolon or control characters.
    Path,
    /// Its domain is no host's name.
    Domain,
    /// Browsers refuse a name that begins with `__Secure-` or `__Host-` together with these attributes.
    Prefix,
    /// A cookie for other sites' pages has to be secure.
    SameSiteNone,
    /// It is longer than browsers take, which is [`COOKIE_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for BadCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the name of a cookie is a token: letters, digits and some marks",
            Self::Value => {
                "the value of a cookie is ASCII without blanks, quotes, commas, semicolons and backslashes"
            }
            Self::Path => "the path of a cookie begins with a slash and has no semicolon",
            Self::Domain => "the domain of a cookie is the name of a host",
            Self::Prefix => {
                "a name with __Secure- wants Secure; one with __Host- the path / and no domain besides"
            }
            Self::SameSiteNone => "a cookie with SameSite=None has to be Secure",
            Self::TooLong => "a cookie with its attributes is longer than browsers take",
        })
    }
}

impl Error for BadCookie {}

impl SetCookie {
    /// A cookie of this name and value.
    ///
    /// # Errors
    ///
    /// If it cannot have them.
    pub fn new(name: &str, value: &str) -> Result<Self, BadCookie> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(BadCookie::Name);
        }
        // RFC 6265 4.1.1: cookie-octet.
        let is_octet = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        if !value.bytes().all(is_octet) {
            return Err(BadCookie::Value);
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
            path: "/".to_owned(),
            domain: None,
            max_age: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
        })
    }

    /// One that takes the cookie of this name away, if path and domain are those that it was set with.
    ///
    /// # Errors
    ///
    /// If there can be none of this name.
    pub fn removal(name: &str) -> Result<Self, BadCookie> {
        Ok(Self::new(name, "")?.max_age(Duration::ZERO))
    }

    /// For paths at this one and below it.
    pub fn path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// For this domain and all hosts below it, to which the host that sets it belongs.
    pub fn domain(self, domain: impl Into<String>) -> Self {
        Self { domain: Some(domain.into()), ..self }
    }

    /// For so long, in whole seconds.
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self }
    }

    /// For connections in the clear, too.
    pub fn in_clear(self) -> Self {
        Self { secure: false, ..self }
    }

    /// For scripts, too.
    pub fn for_scripts(self) -> Self {
        Self { http_only: false, ..self }
    }

    /// With other requests of other sites' pages than by default.
    pub fn same_site(self, same_site: SameSite) -> Self {
        Self { same_site, ..self }
    }

    /// The value of a `Set-Cookie` field.
    ///
    /// # Errors
    ///
    /// If an attribute cannot be sent, or browsers refuse it together with another.
    pub fn to_value(&self) -> Result<HeaderValue, BadCookie> {
        self.check()?;
        let Self { name, value, path, .. } = self;
        let mut text = format!("{name}={value}; Path={path}");
        if let Some(domain) = &self.domain {
            text.extend(["; Domain=", domain]);
        }
        if let Some(max_age) = self.max_age {
            // A String takes all that is written to it.
            let _ = write!(text, "; Max-Age={}", max_age.as_secs());
        }
        for (is_there, word) in [(self.secure, "; Secure"), (self.http_only, "; HttpOnly")] {
            text += if is_there { word } else { "" };
        }
        text += match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        };
        if text.len() > COOKIE_BYTES_MAX {
            return Err(BadCookie::TooLong);
        }
        HeaderValue::try_from(text).map_err(|_| BadCookie::Value)
    }

    fn check(&self) -> Result<(), BadCookie> {
        let is_path = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
        if !self.path.starts_with('/') || !self.path.bytes().all(is_path) {
            return Err(BadCookie::Path);
        }
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if let Some(domain) = &self.domain
            && (domain.is_empty() || !domain.bytes().all(is_host))
        {
            return Err(BadCookie::Domain);
        }
        let begins = |prefix: &str| {
            self.name.get(..prefix.len()).is_some_and(|name| name.eq_ignore_ascii_case(prefix))
        };
        let is_for_host = self.path == "/" && self.domain.is_none();
        if (begins("__Secure-") && !self.secure)
            || (begins("__Host-") && !(self.secure && is_for_host))
        {
            return Err(BadCookie::Prefix);
        }
        if self.same_site == SameSite::None && !self.secure {
            return Err(BadCookie::SameSiteNone);
        }
        Ok(())
    }
}
