//! The ways in which passwords are kept.

use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params};
use sha_crypt::ShaCrypt;

use super::apr1;
use crate::secret::same_secret;

/// How much memory one check by argon2 may take, in KiB; what wants more is refused.
pub const ARGON2_KIB_MAX: u32 = 256 * 1024;
/// How many passes argon2 may make.
pub const ARGON2_PASSES_MAX: u32 = 64;
/// The highest cost of bcrypt: each further one takes twice the time, which at this is some ten seconds.
pub const BCRYPT_COST_MAX: u32 = 17;
/// How many rounds SHA-crypt may make.
pub const SHA_CRYPT_ROUNDS_MAX: u32 = 5_000_000;

/// How a password is kept, and what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    way: Way,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Argon2,
    Bcrypt,
    ShaCrypt,
    Apr1,
}

/// Why an entry cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadHash {
    /// It is kept in a way that anybody who reads the file undoes at once: a plain SHA-1, DES, or not at all.
    Weak {
        /// Which.
        way: &'static str,
    },
    /// It begins as a hash of this kind does, and is none.
    Broken {
        /// Which.
        way: &'static str,
    },
    /// It would take longer, or more memory, than a check may.
    Costly {
        /// Which.
        way: &'static str,
    },
    /// It is in no way that is known.
    Unknown,
}

impl std::fmt::Display for BadHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Weak { way } => write!(f, "it is kept as {way}, which protects nothing"),
            Self::Broken { way } => write!(f, "it is no whole hash of {way}"),
            Self::Costly { way } => write!(f, "its cost in {way} is more than one check may take"),
            Self::Unknown => f.write_str(
                "it is in no way that is known: expected bcrypt, argon2, SHA-crypt ($5$, $6$) or apr1",
            ),
        }
    }
}

impl Kept {
    pub(super) fn read(text: &str) -> Result<Self, BadHash> {
        let way = way(text)?;
        Ok(Self { way, text: text.to_owned() })
    }

    /// Whether it is in the one way that is taken for the sake of old files alone.
    pub(super) fn is_old(&self) -> bool {
        self.way == Way::Apr1
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn fits(&self, password: &str) -> bool {
        let (text, password) = (self.text.as_str(), password.as_bytes());
        match self.way {
            Way::Argon2 => PasswordHash::new(text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Way::Bcrypt => bcrypt::verify(password, text).unwrap_or(false),
            Way::ShaCrypt => ShaCrypt::default().verify_password(password, text).is_ok(),
            Way::Apr1 => apr1_parts(text).is_some_and(|(salt, hash)| {
                same_secret(apr1::hash(password, salt.as_bytes()).as_bytes(), hash.as_bytes())
            }),
        }
    }
}

fn way(text: &str) -> Result<Way, BadHash> {
    let begins = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    if begins(&["$argon2"]) {
        argon2_way(text)
    } else if begins(&["$2a$", "$2b$", "$2x$", "$2y$"]) {
        let parts = text.parse::<bcrypt::HashParts>();
        let cost = parts.map_err(|_| BadHash::Broken { way: "bcrypt" })?.get_cost();
        match cost {
            4..=BCRYPT_COST_MAX => Ok(Way::Bcrypt),
            0..4 => Err(BadHash::Broken { way: "bcrypt" }),
            _ => Err(BadHash::Costly { way: "bcrypt" }),
        }
    } else if begins(&["$5$", "$6$"]) {
        sha_crypt_way(text)
    } else if begins(&["$apr1$"]) {
        apr1_parts(text).map(|_| Way::Apr1).ok_or(BadHash::Broken { way: "apr1" })
    } else if begins(&["{SHA}"]) {
        Err(BadHash::Weak { way: "SHA-1 without salt" })
    } else if begins(&["$", "{"]) {
        Err(BadHash::Unknown)
    } else {
        Err(BadHash::Weak { way: "DES or as it is" })
    }
}

fn argon2_way(text: &str) -> Result<Way, BadHash> {
    let broken = BadHash::Broken { way: "argon2" };
    let hash = PasswordHash::new(text).map_err(|_| broken)?;
    Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| broken)?;
    let params = Params::try_from(&hash).map_err(|_| broken)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(broken);
    }
    if params.m_cost() > ARGON2_KIB_MAX || params.t_cost() > ARGON2_PASSES_MAX {
        return Err(BadHash::Costly { way: "argon2" });
    }
    Ok(Way::Argon2)
}

/// `$5$[rounds=N$]salt$hash`, where a letter stands for six bits.
fn sha_crypt_way(text: &str) -> Result<Way, BadHash> {
    let broken = BadHash::Broken { way: "SHA-crypt" };
    let length = if text.starts_with("$5$") { 43 } else { 86 };
    let mut fields = text[3..].split('$');
    let mut salt = fields.next().ok_or(broken)?;
    if let Some(rounds) = salt.strip_prefix("rounds=") {
        let rounds: u32 = rounds.parse().map_err(|_| broken)?;
        if rounds > SHA_CRYPT_ROUNDS_MAX {
            return Err(BadHash::Costly { way: "SHA-crypt" });
        }
        if rounds < 1000 {
            return Err(broken);
        }
        salt = fields.next().ok_or(broken)?;
    }
    let hash = fields.next().ok_or(broken)?;
    let is_whole = salt.len() <= 16
        && !salt.is_empty()
        && hash.len() == length
        && is_of_letters(salt)
        && is_of_letters(hash)
        && fields.next().is_none();
    if is_whole { Ok(Way::ShaCrypt) } else { Err(broken) }
}

fn apr1_parts(text: &str) -> Option<(&str, &str)> {
    let (salt, hash) = text.strip_prefix("$apr1$")?.split_once('$')?;
    let is_whole = !salt.is_empty()
        && salt.len() <= apr1::SALT_MAX
        && hash.len() == apr1::HASH_LENGTH
        && is_of_letters(salt)
        && is_of_letters(hash);
    is_whole.then_some((salt, hash))
}

fn is_of_letters(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'))
}
