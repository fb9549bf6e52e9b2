//! What a client says of itself in `Authorization`.

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ropewalk_auth::UsernamePassword;
use ropewalk_auth::digest::Algorithm;

use super::params::Parameters;

/// Clients leave the padding out at times.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The value of an `Authorization` or `Proxy-Authorization` field (RFC 9110 11.6.2), as it was read. Whether
/// it is right is another question.
///
/// ```
/// use ropewalk_http::auth::Authorization;
///
/// let said = Authorization::read(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
/// let Authorization::Basic(login) = said else { panic!("it is Basic") };
/// assert_eq!((&*login.username, &*login.password), ("Aladdin", "open sesame"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authorization {
    /// A name and a password (RFC 7617), in UTF-8, or else in Latin-1.
    Basic(UsernamePassword),
    /// A proof of a password (RFC 7616).
    Digest(Box<DigestAuthorization>),
    /// A token (RFC 6750).
    Bearer(String),
    /// Something of another scheme, whose name is here.
    Other(String),
}

/// What stands in a proof by Digest (RFC 7616 3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DigestAuthorization {
    /// The name, or the hash of it where [`is_hashed`](Self::is_hashed).
    pub username: String,
    /// Whether the name is hashed.
    pub is_hashed: bool,
    /// The server's name for what is protected.
    pub realm: String,
    /// What the server gave.
    pub nonce: String,
    /// What is asked for.
    pub uri: String,
    /// What was hashed with.
    pub algorithm: Algorithm,
    /// How often the nonce was used, this time included.
    pub count: u32,
    /// The same as it was written, which is part of the proof.
    pub count_text: String,
    /// The client's own nonce.
    pub cnonce: String,
    /// Whether the proof covers the body, too (`qop=auth-int`).
    pub covers_body: bool,
    /// What the server had it give back, where it does.
    pub opaque: Option<String>,
    /// The proof.
    pub response: String,
}

/// Why a field says nothing that can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadAuthorization {
    /// It has no scheme.
    NoScheme,
    /// What follows `Basic` is not base64 of a name, a colon and a password without control characters.
    BadBasic,
    /// What follows `Bearer` is no token.
    BadBearer,
    /// What follows `Digest` is no list of parameters.
    BadParameters,
    /// Digest lacks this parameter, or it is malformed.
    BadParameter(&'static str),
    /// Digest was done in a way that is not offered: another algorithm, or without `qop=auth`.
    NotOffered(&'static str),
}

impl fmt::Display for BadAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScheme => f.write_str("expected the name of a scheme, such as Basic"),
            Self::BadBasic => {
                f.write_str("expected base64 of a name, a colon and a password behind Basic")
            }
            Self::BadBearer => f.write_str("expected a token behind Bearer"),
            Self::BadParameters => {
                f.write_str("expected parameters with a comma between each behind Digest")
            }
            Self::BadParameter(name) => {
                write!(f, "the parameter {name} of Digest is missing or malformed")
            }
            Self::NotOffered(name) => {
                write!(f, "Digest was done with another {name} than was offered")
            }
        }
    }
}

impl Error for BadAuthorization {}

impl Authorization {
    /// Reads a field's value.
    ///
    /// # Errors
    ///
    /// If it is malformed, for those schemes that are known.
    pub fn read(value: &[u8]) -> Result<Self, BadAuthorization> {
        let value = value.trim_ascii();
        let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
        let scheme = str::from_utf8(&value[..end]).map_err(|_| BadAuthorization::NoScheme)?;
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(is_token) {
            return Err(BadAuthorization::NoScheme);
        }
        let rest = value[end..].trim_ascii();
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => basic(rest).ok_or(BadAuthorization::BadBasic).map(Self::Basic),
            "bearer" => bearer(rest).ok_or(BadAuthorization::BadBearer).map(Self::Bearer),
            "digest" => {
                DigestAuthorization::read(rest).map(|digest| Self::Digest(Box::new(digest)))
            }
            _ => Ok(Self::Other(scheme.to_owned())),
        }
    }

    /// Who it claims to be, where that can be told.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::Basic(login) => Some(&login.username),
            Self::Digest(digest) if !digest.is_hashed => Some(&digest.username),
            Self::Digest(_) | Self::Bearer(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic(login) => f.debug_tuple("Basic").field(login).finish(),
            Self::Digest(digest) => f.debug_tuple("Digest").field(digest).finish(),
            // Whoever bears it may use it.
            Self::Bearer(_) => f.debug_tuple("Bearer").finish_non_exhaustive(),
            Self::Other(scheme) => f.debug_tuple("Other").field(scheme).finish(),
        }
    }
}

/// UTF-8, which clients are told to speak; what is none is Latin-1, which some speak all the same.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

/// RFC 7617 2: the name ends at the first colon, and neither has control characters.
fn basic(rest: &[u8]) -> Option<UsernamePassword> {
    let text = text(LENIENT.decode(rest).ok()?);
    let (username, password) = text.split_once(':')?;
    let is_plain = !text.chars().any(char::is_control);
    is_plain.then(|| UsernamePassword::new(username, password))
}

/// RFC 6750 2.1.
fn bearer(rest: &[u8]) -> Option<String> {
    let is_of = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let is_token = !rest.is_empty() && rest.iter().all(is_of);
    is_token.then(|| String::from_utf8_lossy(rest).into_owned())
}

impl DigestAuthorization {
    fn read(rest: &[u8]) -> Result<Self, BadAuthorization> {
        use BadAuthorization::{BadParameter, BadParameters, NotOffered};

        let parameters = Parameters::read(&text(rest.to_vec())).ok_or(BadParameters)?;
        let want = |name| parameters.get(name).ok_or(BadParameter(name)).map(str::to_owned);
        let algorithm = parameters.get("algorithm").unwrap_or("MD5");
        let algorithm = Algorithm::named(algorithm).ok_or(NotOffered("algorithm"))?;
        // Without it a proof could be replayed for as long as its nonce is good.
        let covers_body = match parameters.get("qop") {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => false,
            Some(qop) if qop.eq_ignore_ascii_case("auth-int") => true,
            _ => return Err(NotOffered("qop")),
        };
        let is_hashed =
            parameters.get("userhash").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        let username = match (parameters.get("username"), parameters.get("username*")) {
            (Some(name), None) => name.to_owned(),
            (None, Some(extended)) if !is_hashed => {
                extended_value(extended).ok_or(BadParameter("username*"))?
            }
            _ => return Err(BadParameter("username")),
        };
        let count_text = want("nc")?;
        let is_count =
            count_text.len() == 8 && count_text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let count =
            u32::from_str_radix(&count_text, 16).ok().filter(|&count| is_count && count > 0);
        let count = count.ok_or(BadParameter("nc"))?;
        Ok(Self {
            username,
            is_hashed,
            realm: want("realm")?,
            nonce: want("nonce")?,
            uri: want("uri")?,
            algorithm,
            count,
            count_text,
            cnonce: want("cnonce")?,
            covers_body,
            opaque: parameters.get("opaque").map(str::to_owned),
            response: want("response")?,
        })
    }
}

/// RFC 8187 3.2.1, of which everybody uses UTF-8.
fn extended_value(text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '\'');
    let charset = parts.next()?;
    let _language = parts.next()?;
    let value = parts.next()?;
    let decoded = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
    charset.eq_ignore_ascii_case("utf-8").then(|| decoded.into_owned())
}
