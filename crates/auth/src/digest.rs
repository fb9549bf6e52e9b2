//! Digest (RFC 7616): what a client proves and a server checks.

use std::fmt;
use std::sync::Arc;

use md5::Md5;
use sha2::Sha256;

use crate::credentials::PasswordProof;
use crate::secret::same_secret;

/// What is hashed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5: for those who know nothing else.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The algorithm of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|each| each.name().eq_ignore_ascii_case(name))
    }

    /// The hash of these parts with a colon between each, in lower-case hexadecimal digits.
    pub fn hash(self, parts: &[&str]) -> String {
        self.hash_bytes(parts.join(":").as_bytes())
    }

    /// The hash of these bytes, such as a body, in lower-case hexadecimal digits.
    pub fn hash_bytes(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 => hex(&<Md5 as md5::Digest>::digest(bytes)),
            Self::Sha256 => hex(&<Sha256 as md5::Digest>::digest(bytes)),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte)]).collect()
}

/// What is made of a password, and is as good as it within its realm (RFC 7616 3.4.2).
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&[username, realm, password])
}

/// What is made of the [`ha1`] for those algorithms whose names end in `-sess`.
pub fn session_ha1(algorithm: Algorithm, ha1: &str, nonce: &str, cnonce: &str) -> String {
    algorithm.hash(&[ha1, nonce, cnonce])
}

/// What a client that knows the password answers to a nonce (RFC 7616 3.4.1).
///
/// `counted` is the nonce's count in eight digits and the client's own nonce; it is absent where the server
/// named no qop, as those of RFC 2069 do not.
pub fn response(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    counted: Option<(&str, &str)>,
    method: &str,
    uri: &str,
) -> String {
    let ha2 = algorithm.hash(&[method, uri]);
    match counted {
        Some((count, cnonce)) => algorithm.hash(&[ha1, nonce, count, cnonce, "auth", &ha2]),
        None => algorithm.hash(&[ha1, nonce, &ha2]),
    }
}

/// The same where the proof covers the body, too (`qop=auth-int`): `body` is its
/// [hash](Algorithm::hash_bytes).
pub fn response_with_body(
    algorithm: Algorithm,
    ha1: &str,
    nonce: &str,
    (count, cnonce): (&str, &str),
    [method, uri, body]: [&str; 3],
) -> String {
    let ha2 = algorithm.hash(&[method, uri, body]);
    algorithm.hash(&[ha1, nonce, count, cnonce, "auth-int", &ha2])
}

/// The name by which somebody claims to be somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Username {
    /// As it is.
    Plain(Arc<str>),
    /// Hashed, so that nobody on the way learns it (RFC 7616 3.4.4).
    Hashed {
        /// What it was hashed with.
        algorithm: Algorithm,
        /// Behind which realm.
        realm: Arc<str>,
        /// The hash, in hexadecimal digits.
        hash: String,
    },
}

impl Username {
    /// Whether this is the name of `user`.
    pub fn is(&self, user: &str) -> bool {
        match self {
            Self::Plain(name) => &**name == user,
            Self::Hashed { algorithm, realm, hash } => {
                same_secret(algorithm.hash(&[user, realm]).as_bytes(), hash.as_bytes())
            }
        }
    }
}

/// A proof by Digest, as a server read it. It was looked at already whether its nonce is one of the server's.
#[derive(Clone, Debug)]
pub struct DigestProof {
    /// What was hashed with.
    pub algorithm: Algorithm,
    /// Who it claims to be.
    pub username: Username,
    /// In which realm.
    pub realm: String,
    /// What the server gave.
    pub nonce: String,
    /// How often it was used, in eight digits.
    pub count: String,
    /// The client's own nonce.
    pub cnonce: String,
    /// The request's method.
    pub method: String,
    /// What was asked for.
    pub uri: String,
    /// The hash of the request's body, where the proof covers that, too.
    pub body: Option<String>,
    /// What the client made of all that and its password.
    pub response: String,
}

impl PasswordProof for DigestProof {
    fn username(&self) -> Username {
        self.username.clone()
    }

    fn fits_password(&self, username: &str, password: &str) -> bool {
        let username = match &self.username {
            Username::Plain(claimed) => claimed,
            Username::Hashed { .. } => username,
        };
        self.fits_digest_hash(&ha1(self.algorithm, username, &self.realm, password))
    }

    fn fits_digest_hash(&self, hash: &str) -> bool {
        let counted = (self.count.as_str(), self.cnonce.as_str());
        let Self { algorithm, nonce, method, uri, .. } = self;
        let expected = match &self.body {
            None => response(*algorithm, hash, nonce, Some(counted), method, uri),
            Some(body) => response_with_body(*algorithm, hash, nonce, counted, [method, uri, body]),
        };
        same_secret(expected.as_bytes(), self.response.as_bytes())
    }
}
